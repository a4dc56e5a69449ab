"""A client, a router and a mail server, each in a namespace of its own.

    client 198.51.100.7 ---- .1 router 192.0.2.1 ---- .25 mx
           2001:db8:1::7    ::1        2001:db8:2::1  ::25

Tarry stands on the router or on the mail server's host, by what the files in
config/nftables say: their commands are typed here as they are printed there.
The mail server is Postfix, and knows of nothing.
"""
import os
import pathlib
import re
import shutil
import smtplib
import socket
import subprocess
import tempfile
import threading

import pytest

from lab import (BUILD, DEADLINE, TOP, Namespace, Program, parse_logfmt, run,
                 skip_where_impossible, wait_until)
from matrix_mta import Postfix, Syslog
from matrix_street import inside

RECIPES = TOP / "config/nftables"
CLIENT = {4: "198.51.100.7", 6: "2001:db8:1::7"}
ROUTER = {4: "198.51.100.1", 6: "2001:db8:1::1"}
INSIDE = {4: "192.0.2.1", 6: "2001:db8:2::1"}
MX = {4: "192.0.2.25", 6: "2001:db8:2::25"}
FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}
MAIL = "Subject: over the wire\r\n\r\nhello\r\n"


class Recipe:
    """What a file in config/nftables says is to be typed."""

    def __init__(self, name):
        parts = dict.fromkeys(("In tarry.ini:", "As root, at each boot:",
                               "And back again:"), "")
        heading = None
        for line in (RECIPES / name).read_text().splitlines():
            heading = next((part for part in parts if line.endswith(part)),
                           heading)
            if line.startswith("#     ") and heading:
                parts[heading] += line[6:] + "\n"
        self.ini, self.up, self.down = parts.values()
        assert self.ini and self.up and self.down, name

    @staticmethod
    def type(space, commands):
        done = subprocess.run(
            ["ip", "netns", "exec", space.name, "sh", "-e"], cwd=RECIPES,
            input=commands, text=True, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT)
        assert done.returncode == 0, done.stdout


class Mx(Postfix):
    """Listens on port 25, and says in its log who came, with the port."""

    def __init__(self, where, space):
        where.mkdir()
        super().__init__(where)
        self.prefix = inside(space)
        self.syslog = Syslog(self.root, where / "syslog")
        self.listen("25")

    def listen(self, where):
        self.put("inet_protocols = all\n"
                 "smtpd_client_port_logging = yes\n"
                 "smtpd_client_connection_count_limit = 0\n"
                 "virtual_mailbox_base = /var/mail\n",
                 [f"{where} inet n - y - - smtpd"])

    def close(self):
        super().close()
        self.syslog.close()

    def peers(self):
        """(address, port) of all that came, in order."""
        return [(address, int(port)) for address, port in re.findall(
            r": connect from \S+\[([0-9a-f.:]+)\]:(\d+)", self.log)]


def wire(one, link, other, other_link, addresses, other_addresses):
    """A cable between two namespaces, with an address of each family."""
    one.ip("link", "add", link, "type", "veth", "peer", "name", other_link,
           "netns", other.name)
    for space, name, own in ((one, link, addresses),
                             (other, other_link, other_addresses)):
        space.ip("addr", "add", f"{own[4]}/24", "dev", name)
        space.ip("addr", "add", f"{own[6]}/64", "dev", name, "nodad")
        space.ip("link", "set", name, "up")


class Street:
    def __init__(self):
        name = f"tarrytp-{os.getpid()}"
        self.spaces, self.programs = [], []
        self.tarryd = self.postfix = None
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="tarrylab-"))
        self.dir.chmod(0o755)
        try:
            self.client, self.router, self.mx = (
                self.space(f"{name}-{part}") for part in ("c", "r", "m"))
            self.build()
        except BaseException:
            self.close()
            raise

    def space(self, name):
        self.spaces.append(Namespace(name))
        return self.spaces[-1]

    def build(self):
        for space in self.spaces:
            space.sysctl(**{"net.ipv6.conf.default.accept_dad": 0,
                            "net.core.somaxconn": 4096,
                            # As a distribution may have it.
                            "net.ipv4.conf.default.rp_filter": 1,
                            "net.ipv4.conf.all.rp_filter": 1})
        wire(self.client, "eth0", self.router, "out", CLIENT, ROUTER)
        wire(self.mx, "eth0", self.router, "in", MX, INSIDE)
        for space, via in ((self.client, ROUTER), (self.mx, INSIDE)):
            space.ip("route", "add", "default", "via", via[4])
            space.ip("-6", "route", "add", "default", "via", via[6])
        self.router.sysctl(ip_forward=1,
                           **{"net.ipv6.conf.all.forwarding": 1})
        self.postfix = Mx(self.dir / "mx", self.mx)
        self.postfix.start()

    def close(self):
        if self.tarryd:
            self.tarryd.stop()
        for program in reversed(self.programs):
            program.stop()
        if self.postfix:
            self.postfix.close()
        for space in self.spaces:
            subprocess.run(["ip", "netns", "delete", space.name])
        if "LAB_KEEP" not in os.environ:
            shutil.rmtree(self.dir)

    def start(self, name, words, space):
        program = Program(self.dir / f"{len(self.programs)}-{name}.log",
                          ["ip", "netns", "exec", space.name, *words])
        self.programs.append(program)
        return program

    def start_sidecar(self, space):
        self.socket = self.dir / f"sidecar-{space.name}/syn.sock"
        self.start("sidecar", [BUILD / "tarry-sidecar", "-p", "25", "-u",
                               "nobody", "-s", self.socket],
                   space).wait_log("serving")
        return self.socket

    def start_tarryd(self, space, ini, sidecar="", more="", workers=1):
        """tarryd with what a recipe wants."""
        self.stop_tarryd()
        path = self.dir / f"{len(self.programs)}.ini"
        mta = "" if re.search(r"(?m)^max_connections", ini) else \
            "max_connections = 400\n"
        path.write_text(f"[tarry]\nmode = enforce\n"
                        f"workers = {workers}\n{ini}{mta}[syn]\n"
                        f"sidecar = {sidecar}\nlabels =\n{more}")
        self.path, self.tarryd_space = path, space
        self.tarryd = self.start(
            "tarryd", [BUILD / "tarryd", "-c", path, "-u", "nobody"], space)
        self.tarryd.wait_log("metrics on")
        self.tarryd.wait_log("not tested before clients|passed the test")
        if sidecar:
            wait_until(lambda: self.metric("tarry_sidecar_up") == 1,
                       "tarryd to have the sidecar's table")
        return self.tarryd

    def stop_tarryd(self):
        if self.tarryd:
            status = self.tarryd.stop()
            assert status == 0, self.tarryd.log[-2000:]
            assert "broken invariant" not in self.tarryd.log
            assert "Sanitizer" not in self.tarryd.log
        self.tarryd = None

    def http(self, path):
        while True:
            text = self.http_once(path)
            if " 429 " not in text[:20]:
                return text
            threading.Event().wait(0.02)  # asked too often

    def http_once(self, path):
        with self.tarryd_space.entered():
            sock = socket.create_connection(("127.0.0.1", 9925), DEADLINE)
        with sock:
            sock.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
            return b"".join(iter(lambda: sock.recv(65536), b"")).decode()

    def metric(self, name):
        found = re.search(rf"(?m)^{re.escape(name)} (\S+)$",
                          self.http("/metrics"))
        return float(found[1]) if found else None

    def wait_metric(self, name, value):
        """The page is made once in a while."""
        wait_until(lambda: self.metric(name) == value,
                   f"{name} to be {value}, not {self.metric(name)}")

    def sessions(self):
        return [parse_logfmt(line) for line in
                self.tarryd.log.splitlines() if " event=session " in line]

    def wait_session(self, port):
        """The line of the session of a port of the client."""
        return wait_until(
            lambda: next((line for line in self.sessions()
                          if line["port"] == str(port)), None),
            f"the session of port {port}")

    def connect(self, version, port=0, to=None):
        """To the MTA, as any client would."""
        with self.client.entered():
            sock = socket.socket(FAMILY[version])
        sock.settimeout(DEADLINE)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((CLIENT[version], port))
        sock.connect(to or (MX[version], 25))
        return sock

    def send_mail(self, version, port=0):
        """A whole session; returns the client's port."""
        sock = self.connect(version, port)
        own = sock.getsockname()[1]
        client = smtplib.SMTP(local_hostname="client.example")
        client.sock, client.file = sock, None
        code, text = client.getreply()
        assert code == 220, text
        refused = client.sendmail("a@b.example", ["c@d.example"], MAIL)
        assert not refused
        client.quit()
        return own

    def send_many(self, count, version, hands=40):
        """So many sessions, some at a time; their ports, in any order."""
        numbers = iter(range(count))
        lock, ports, failures = threading.Lock(), [], []

        def work():
            while True:
                with lock:
                    number = next(numbers, None)
                    if number is None:
                        return
                try:
                    port = self.send_mail(version)
                except (OSError, smtplib.SMTPException,
                        AssertionError) as error:
                    failures.append((number, repr(error)))
                    return
                with lock:
                    ports.append(port)
        threads = [threading.Thread(target=work) for _ in range(hands)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failures, failures[:5]
        return ports


@pytest.fixture(scope="module")
def street():
    skip_where_impossible({"ip": "iproute2", "sysctl": "procps",
                           "nft": "nftables", "nsenter": "util-linux"},
                          ["tarryd", "tarry-sidecar"])
    made = Street()
    yield made
    made.close()
