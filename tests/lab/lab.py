"""A small internet of network namespaces, with Tarry in the middle of it.

One namespace is the server's: tarryd, tarry-sidecar and tarry-sink live there.
Each client has its own, and a wire (veth) to the server; so each has a TCP
stack of its own, with its own knobs. Nothing here touches the host's network.

Nothing sleeps for a time; waits are for a condition, with a deadline. What
was started is ended by its process id, what was added is deleted by its name.

    TARRY_BUILD  where the programs are, `build` if not set
    LAB_KEEP     if set, logs and captures are left in /tmp/tarrylab-*
"""
import contextlib
import ctypes
import ipaddress
import os
import pathlib
import re
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time
import urllib.request

import pytest

HERE = pathlib.Path(__file__).resolve().parent
TOP = HERE.parents[1]
BUILD = TOP / os.environ.get("TARRY_BUILD", "build")
DEADLINE = 20
PORT = 25  # in a namespace of our own it is always free
CLONE_NEWNET = 0x40000000
LIBC = ctypes.CDLL(None, use_errno=True)

# What runs here and the Debian package that brings it.
TOOLS = {"ip": "iproute2", "sysctl": "procps", "tcpdump": "tcpdump",
         "p0f": "p0f", "cc": "gcc", "pkg-config": "pkg-config"}
PROGRAMS = ("tarryd", "tarry-sidecar", "tarry-sink")


def skip_where_impossible(tools=TOOLS, programs=PROGRAMS):
    """Skips, and says why, where the lab cannot be built."""
    if os.geteuid() != 0:
        pytest.skip("the lab makes network namespaces: that needs root")
    for tool, package in tools.items():
        if shutil.which(tool) is None:
            pytest.skip(f"there is no {tool}: apt-get install {package}")
    for program in programs:
        if not (BUILD / program).exists():
            pytest.skip(f"{BUILD / program} is not built")
    done = subprocess.run(["unshare", "--net", "true"], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        pytest.skip(f"no network namespace is to be had: {done.stdout}")


def wait_until(condition, what, seconds=DEADLINE):
    """Waits until condition() is true; returns what it returned."""
    end = time.monotonic() + seconds
    while True:
        got = condition()
        if got:
            return got
        if time.monotonic() > end:
            pytest.fail(f"waited {seconds} s for {what}")
        threading.Event().wait(0.01)


def pause_until(moment):
    """Waits until time.monotonic() is `moment`: the schedule of a load."""
    threading.Event().wait(max(0, moment - time.monotonic()))


def run(*words):
    done = subprocess.run([str(word) for word in words], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, f"{' '.join(map(str, words))}: {done.stdout}"
    return done.stdout


def percentile(values, percent):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * percent / 100))]


class Program:
    """A program that was started, with all that it prints in a file."""

    def __init__(self, path, words, **more):
        self.path = path
        with open(path, "wb") as out:
            self.process = subprocess.Popen(
                [str(word) for word in words], stdout=out,
                stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, **more)

    @property
    def log(self):
        return self.path.read_text(errors="replace")

    def wait_log(self, pattern, seconds=DEADLINE):
        def look():
            has_ended = self.process.poll() is not None
            found = re.search(pattern, self.log, re.M)
            assert found or not has_ended, \
                f"ended without {pattern!r}:\n{self.log[-3000:]}"
            return found
        return wait_until(look, f"{pattern!r} in {self.path}", seconds)

    def kill(self, number):
        self.process.send_signal(number)

    def stop(self):
        """Ends it by its id, by force if it must be."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            try:
                self.process.wait(DEADLINE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        return self.process.returncode


class Namespace:
    def __init__(self, name):
        self.name = name
        run("ip", "netns", "add", name)
        run("ip", "-n", name, "link", "set", "lo", "up")

    def ip(self, *words):
        return run("ip", "-n", self.name, *words)

    def exec(self, *words):
        return run("ip", "netns", "exec", self.name, *words)

    def sysctl(self, **keys):
        """sysctl(tcp_ecn=1): net.ipv4, or any name with its dots."""
        self.exec("sysctl", "-qw", *(
            f"{key if '.' in key else 'net.ipv4.' + key}={value}"
            for key, value in keys.items()))

    @contextlib.contextmanager
    def entered(self):
        """Sockets that this thread makes in here belong to the namespace."""
        with open("/proc/thread-self/ns/net") as home, \
                open(f"/run/netns/{self.name}") as there:
            assert LIBC.setns(there.fileno(), CLONE_NEWNET) == 0
            try:
                yield
            finally:
                assert LIBC.setns(home.fileno(), CLONE_NEWNET) == 0


class Client(Namespace):
    """A namespace with a wire to the server; all by its number 1..254."""

    def __init__(self, lab, number, mtu=1500):
        super().__init__(f"{lab.name}-{number}")
        self.number = number
        self.server = lab.server
        self.ip4, self.ip6 = f"10.71.{number}.2", f"fd71:0:0:{number:x}::2"
        self.to4, self.to6 = f"10.71.{number}.1", f"fd71:0:0:{number:x}::1"
        self.mac = f"02:00:00:00:{number:02x}:02"
        self.to_mac = f"02:00:00:00:{number:02x}:01"
        # No queue of duplicate address detection; no second address.
        self.sysctl(**{"net.ipv6.conf.default.accept_dad": 0})
        self.server.ip(
            "link", "add", f"v{number}", "address", self.to_mac, "mtu",
            str(mtu), "type", "veth", "peer", "name", "eth0", "address",
            self.mac, "mtu", str(mtu), "netns", self.name)
        for where, link, a4, a6 in (
                (self.server, f"v{number}", self.to4, self.to6),
                (self, "eth0", self.ip4, self.ip6)):
            where.ip("addr", "add", f"{a4}/24", "dev", link)
            where.ip("addr", "add", f"{a6}/64", "dev", link, "nodad")
            where.ip("link", "set", link, "up")
        # The same window scale whatever the memory of the machine.
        self.sysctl(tcp_rmem="4096 131072 6291456")

    def source(self, version):
        return self.ip4 if version == 4 else self.ip6

    def target(self, version):
        return self.to4 if version == 4 else self.to6

    def route(self, *words):
        """Attributes of the routes to the server: `advmss 1360`."""
        self.ip("route", "replace", f"10.71.{self.number}.0/24", "dev",
                "eth0", *words)
        # 256 is the kernel's own metric: another one would be a second route.
        self.ip("-6", "route", "replace", f"fd71:0:0:{self.number:x}::/64",
                "dev", "eth0", "metric", "256", *words)

    def connect(self, version, options=(), port=0):
        """Connects to Tarry, with options set on the socket before."""
        family = socket.AF_INET if version == 4 else socket.AF_INET6
        with self.entered():
            sock = socket.socket(family, socket.SOCK_STREAM)
        sock.settimeout(DEADLINE)
        for level, name, value in options:
            sock.setsockopt(level, name, value)
        sock.bind((self.source(version), port))
        sock.connect((self.target(version), PORT))
        return sock


class Lab:
    """The server's namespace, its programs, and the clients."""

    def __init__(self):
        self.name = f"tarrylab-{os.getpid()}"
        self.clients = []
        self.programs = []
        self.helpers = {}
        self.tarryd = self.sidecar = None
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="tarrylab-"))
        self.dir.chmod(0o755)
        self.server = Namespace(f"{self.name}-mx")
        try:
            self.server.sysctl(**{"net.ipv6.conf.default.accept_dad": 0,
                                  "net.core.somaxconn": 4096,
                                  "tcp_max_syn_backlog": 4096})
            self.start_sink()
        except BaseException:
            self.close()
            raise

    def close(self):
        for program in reversed(self.programs):
            program.stop()
        for space in [*self.clients, self.server]:
            subprocess.run(["ip", "netns", "delete", space.name])
        if "LAB_KEEP" not in os.environ:
            shutil.rmtree(self.dir)

    def client(self, **more):
        made = Client(self, len(self.clients) + 1, **more)
        self.clients.append(made)
        return made

    def start(self, name, words, space=None):
        space = space or self.server
        program = Program(
            self.dir / f"{len(self.programs)}-{name}.log",
            ["ip", "netns", "exec", space.name, *words])
        self.programs.append(program)
        return program

    def helper(self, name, *flags):
        """Builds tests/lab/NAME.c, once; returns the program."""
        if name not in self.helpers:
            self.helpers[name] = self.dir / name
            run("cc", "-std=c11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra",
                "-Werror", "-o", self.helpers[name], HERE / f"{name}.c",
                *flags)
        return self.helpers[name]

    def start_sink(self):
        mail = self.dir / "mail"
        mail.mkdir()
        sink = self.start("sink", [
            BUILD / "tarry-sink", "-l", "127.0.0.1:2525", "-d", mail])
        sink.wait_log("listening on")

    def start_sidecar(self):
        self.sidecar = self.start("sidecar", [
            BUILD / "tarry-sidecar", "-p", PORT, "-u", "nobody",
            "-s", self.dir / "sidecar/syn.sock"])
        self.sidecar.wait_log("serving")
        return self.sidecar

    def start_tarryd(self, classes_and_rules, kernel="yes", sidecar=True):
        """tarryd on port 25 of the server, past its test of the MTA."""
        path = self.dir / f"{len(self.programs)}.ini"
        socket_path = self.dir / "sidecar/syn.sock" if sidecar else ""
        path.write_text(f"""
[tarry]
mode = enforce
name = mx.example
max_sessions = 20000
[listen smtp]
address = 0.0.0.0:{PORT}
address = [::]:{PORT}
[mta]
address = 127.0.0.1:2525
client_address = proxy_v2
max_connections = 100
[syn]
sidecar = {socket_path}
kernel = {kernel}
labels = {TOP / "config/signatures.ini"}
{classes_and_rules}
""")
        self.stop_tarryd()
        self.tarryd = self.start(
            "tarryd", [BUILD / "tarryd", "-c", path, "-u", "nobody"])
        self.tarryd.wait_log("passed the test session")
        if sidecar:
            wait_until(lambda: self.metric("tarry_sidecar_up") == 1,
                       "tarryd to have the sidecar's table")
        return self.tarryd

    def stop_tarryd(self):
        if self.tarryd is not None:
            self.stop_tarryd_keep_log()
        self.tarryd = None

    def stop_tarryd_keep_log(self):
        """Ends it; its log is then complete, and can still be read."""
        status = self.tarryd.stop()
        assert status == 0, self.tarryd.log[-2000:]
        assert "broken invariant" not in self.tarryd.log

    def metrics(self):
        """All samples of /metrics, by their names with labels."""
        text = self.metrics_page()
        while text.startswith("HTTP/1.0 429"):  # asked too often
            threading.Event().wait(0.02)
            text = self.metrics_page()
        rows = (line.rsplit(" ", 1) for line in text.splitlines()
                if line.startswith(("tarry_", "process_")))
        return {row[0]: float(row[1]) for row in rows}

    def metrics_page(self):
        with self.server.entered():
            sock = socket.create_connection(("127.0.0.1", 9925), DEADLINE)
        with sock:
            sock.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            return b"".join(iter(lambda: sock.recv(65536), b"")).decode()

    def metric(self, name):
        return self.metrics().get(name)

    def sources(self):
        """How many sessions got their SYN from where."""
        all_of = self.metrics()
        found = {name: all_of[f'tarry_signature_lookups_total{{source='
                              f'"{name}",result="{result}"}}']
                 for name, result in (("sidecar", "hit"),
                                      ("saved_syn", "hit"),
                                      ("none", "miss"))}
        return {name: int(count) for name, count in found.items()}

    def sessions(self, log_from=0):
        """The session lines of tarryd's log, as dicts, in order of accept."""
        lines = (parse_logfmt(line) for line in
                 self.tarryd.log[log_from:].splitlines()
                 if " event=session " in line)
        return sorted(lines, key=lambda line: int(line["session"]))

    def wait_sessions(self, count, log_from=0):
        """Waits until so many session lines are there; returns them."""
        def look():
            found = self.sessions(log_from)
            return found if len(found) >= count else None
        return wait_until(look, f"{count} session lines")


def parse_logfmt(line):
    found = re.findall(r'(\w+)=("(?:[^"\\]|\\.)*"|\S*)', line)
    return {key: value[1:-1] if value[:1] == '"' else value
            for key, value in found}


def read_reply(sock):
    """One whole SMTP reply."""
    got = b""
    while not re.search(rb"(?m)^\d{3} .*\r\n\Z", got):
        more = sock.recv(4096)
        assert more, f"closed after {got!r}"
        got += more
    return got


def quit_politely(sock):
    """Banner, QUIT, 221, the end; returns the banner."""
    with sock:
        banner = read_reply(sock)
        sock.sendall(b"QUIT\r\n")
        read_reply(sock)
        return banner


class Capture:
    """tcpdump beside the server, and what p0f makes of it."""

    def __init__(self, lab):
        self.path = lab.dir / f"{len(lab.programs)}.pcap"
        self.lab = lab
        # p0f reads the older of the two formats of the `any` device. Frames
        # cut short, or the ring would hold few of them. The second term is
        # IPv6 with a destination option before TCP.
        self.tcpdump = lab.start("tcpdump", [
            "tcpdump", "-U", "--immediate-mode", "-s", "192", "-B", "8192",
            "-i", "any", "-y", "LINUX_SLL", "-Q", "in", "-Z", "root", "-w", self.path,
            f"tcp dst port {PORT} or ip6[6] = 60"])
        self.tcpdump.wait_log("listening on any")

    def stop(self, clients):
        """Waits until the SYNs of all (address, port) are in it."""
        wait_until(lambda: clients <= set(self.senders()),
                   f"{len(clients)} clients in the capture")
        self.tcpdump.stop()

    def senders(self):
        """(address, port) of each SYN."""
        data = self.path.read_bytes()
        at = 24
        while at + 16 <= len(data):
            size = struct.unpack_from("<I", data, at + 8)[0]
            ip = data[at + 16 + 16:at + 16 + size]
            at += 16 + size
            if len(ip) < 24 or at > len(data):
                continue
            if ip[0] >> 4 == 4:
                source, tcp = ip[12:16], (ip[0] & 15) * 4
            else:
                source, tcp = ip[8:24], 40
                if ip[6] == 60:
                    tcp += (ip[41] + 1) * 8
            if len(ip) > tcp + 13 and ip[tcp + 13] & 2:
                port = int.from_bytes(ip[tcp:tcp + 2], "big")
                yield str(ipaddress.ip_address(source)), port

    def p0f(self):
        """p0f's raw_sig of each SYN: {(address, port): text}."""
        out = self.path.with_suffix(".p0f")
        run("p0f", "-r", self.path, "-o", out)
        found = re.findall(
            r"mod=syn\|cli=([^/|]+)/(\d+)\|.*\|raw_sig=(\S*)",
            out.read_text())
        return {(str(ipaddress.ip_address(address)), int(port)): text
                for address, port, text in found}


def with_initial_ttl(p0f_text):
    """p0f prints `observed+distance`; Tarry's text has their sum."""
    def add(found):
        return f"{found[1]}:{int(found[2]) + int(found[3])}:"
    return re.sub(r"^(\d):(\d+)\+(\d+):", add, p0f_text)


def start_storm(lab, client, version, count, concurrency, rate=0):
    """storm.c in a client's namespace; see there."""
    return lab.start("storm", [
        lab.helper("storm"), client.target(version), PORT, count,
        concurrency, rate], client)


class Shot:
    """One session of a storm; times in seconds of time.monotonic()."""

    def __init__(self, line):
        words = line.split()
        self.start = int(words[0]) / 1e6
        self.port = int(words[1])
        self.connect_ms = int(words[2]) / 1e3
        self.banner_ms = int(words[3]) / 1e3  # from the connect() on
        self.result = words[4]


def storm_shots(storm, seconds=60):
    """Waits for the end of a storm; its sessions."""
    storm.process.wait(seconds)
    assert storm.process.returncode == 0, storm.log[-1000:]
    return [Shot(line) for line in storm.log.splitlines()]


@pytest.fixture(scope="module")
def lab():
    skip_where_impossible()
    made = Lab()
    yield made
    try:
        made.stop_tarryd()
    finally:
        made.close()
