"""What the sidecar's tests need: a pair of hosts in network namespaces,
tarryd's reader by itself, capture files, and sidecars that lie."""
import contextlib
import ctypes
import fcntl
import os
import socket
import struct
import subprocess
import threading

from conftest import DEADLINE, TOP, wait_until

TCP_SAVE_SYN, TCP_SAVED_SYN = 27, 28
CLONE_NEWNET = 0x40000000
LIBC = ctypes.CDLL(None, use_errno=True)
HEAD, ENTRY = 4096, 192
VERSION, SET = 2, 64 + 8 * ENTRY
F_ADD_SEALS, SEAL_SHRINK, SEAL_GROW = 1033, 2, 4


def ip(*words):
    subprocess.run(["ip", *map(str, words)], check=True)


class Host:
    """A network namespace."""

    def __init__(self, name):
        self.name = name
        ip("netns", "add", name)
        self.ip("link", "set", "lo", "up")

    def ip(self, *words):
        ip("-n", self.name, *words)

    def delete(self):
        ip("netns", "del", self.name)

    @contextlib.contextmanager
    def inside(self):
        """Sockets made in here belong to the host."""
        with open("/proc/thread-self/ns/net") as home, \
                open(f"/run/netns/{self.name}") as there:
            if LIBC.setns(there.fileno(), CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")
            try:
                yield
            finally:
                assert LIBC.setns(home.fileno(), CLONE_NEWNET) == 0

    def words(self, *words):
        return ["ip", "netns", "exec", self.name, *words]


class Pair:
    """Two hosts with one cable: server (wire0) and client (wire1)."""

    SERVER4, CLIENT4 = "192.0.2.1", "192.0.2.2"
    SERVER6, CLIENT6 = "2001:db8::1", "2001:db8::2"

    def __init__(self):
        tag = f"tarry-{os.getpid()}"
        self.server = Host(tag + "s")
        self.client = Host(tag + "c")
        self.cable()

    def cable(self):
        self.server.ip("link", "add", "wire0", "type", "veth", "peer", "name",
                       "wire1", "netns", self.client.name)
        for host, wire, v4, v6 in (
                (self.server, "wire0", self.SERVER4, self.SERVER6),
                (self.client, "wire1", self.CLIENT4, self.CLIENT6)):
            host.ip("addr", "add", v4 + "/24", "dev", wire)
            host.ip("addr", "add", v6 + "/64", "dev", wire, "nodad")
            host.ip("link", "set", wire, "up")

    def delete(self):
        self.server.delete()
        self.client.delete()

    def listen(self, address=None):
        """A listener of the server that keeps the kernel's SYN copies."""
        address = address or self.SERVER4
        with self.server.inside():
            sock = socket.socket(
                socket.AF_INET6 if ":" in address else socket.AF_INET)
        sock.setsockopt(socket.IPPROTO_TCP, TCP_SAVE_SYN, 1)
        sock.bind((address, 0))
        sock.listen()
        sock.settimeout(DEADLINE)
        return sock

    def connect(self, listener, before=None):
        """Connects; returns ("address:port", the kernel's copy as hex)."""
        with self.client.inside():
            sock = socket.socket(listener.family)
        with sock:
            if before:
                before(sock)
            sock.settimeout(DEADLINE)
            sock.connect(listener.getsockname()[:2])
            name = sock.getsockname()
            with listener.accept()[0] as accepted:
                syn = accepted.getsockopt(socket.IPPROTO_TCP, TCP_SAVED_SYN,
                                          256)
        host = f"[{name[0]}]" if ":" in name[0] else name[0]
        return f"{host}:{name[1]}", syn.hex()


def compile_reader(where):
    """tests/tools/syn_table_dump.c with the parts of tarryd it needs."""
    sources = ["tests/tools/syn_table_dump.c", "proxy/evidence/syn_map.c",
               "shaping/syn_table.c", "shaping/syn.c", "shaping/addr.c"]
    program = where / "syn_table_dump"
    subprocess.run(
        [os.environ.get("CC", "cc"), "-std=c11", "-D_GNU_SOURCE", "-O2", "-g",
         "-Iinclude", "-I.", *os.environ.get("SAN", "").split(), *sources,
         "-o", program, "-luv", "-pthread"], cwd=TOP, check=True)
    return program


class Reader:
    """tarryd's end of the table; see syn_table_dump.c."""

    def __init__(self, program, path):
        self.process = subprocess.Popen(
            [program, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True)
        self.pid = self.process.pid
        self.said = []
        self.lines = []
        self.news = threading.Condition()
        self.thread = threading.Thread(target=self.listen, daemon=True)
        self.thread.start()

    def listen(self):
        for line in self.process.stdout:
            with self.news:
                (self.said if line.startswith("say ") else self.lines).append(
                    line.rstrip("\n").removeprefix("say "))
                self.news.notify_all()

    def ask(self, command, last):
        """Sends a command; returns its lines up to one that starts so."""
        with self.news:
            self.lines.clear()
            self.process.stdin.write(command + "\n")
            self.process.stdin.flush()
            done = self.news.wait_for(
                lambda: any(line.startswith(last) for line in self.lines),
                DEADLINE)
            assert done, f"no answer to {command}: {self.process.poll()}"
            return list(self.lines)

    def status(self):
        words = self.ask("status", "status ")[-1].split()
        return {"state": words[1], **{
            key: int(value) for key, value in zip(words[2::2], words[3::2])}}

    def wait_state(self, state):
        wait_until(lambda: self.status()["state"] == state, state)

    def entries(self):
        """Address and port -> what the table knows."""
        found = {}
        for line in self.ask("entries", "end")[:-1]:
            words = line.split()
            pairs = dict(zip(words[2::2], words[3::2]))
            found[words[1]] = {key: value if key == "raw" else int(value)
                               for key, value in pairs.items()}
        return found

    def wait_entry(self, client):
        return wait_until(lambda: self.entries().get(client),
                          f"an entry of {client}")

    def wait_said(self, text):
        wait_until(lambda: any(text in line for line in self.said), text)

    def mappings(self):
        """How many tables are mapped."""
        with open(f"/proc/{self.pid}/maps") as maps:
            return sum("tarry-syn-table" in line for line in maps)

    def poll(self):
        return self.process.poll()

    def stop(self):
        self.process.stdin.close()
        self.thread.join(DEADLINE)
        return self.process.wait(DEADLINE)


def syn_packet(isn=1, port=40000, to_port=25, ip_id=7, flags=2,
               options=bytes.fromhex("020405b4")):
    """An IPv4 SYN of 192.0.2.9 to 192.0.2.1, no checksums."""
    tcp = struct.pack("!HHIIBBHHH", port, to_port, isn, 0,
                      (20 + len(options)) // 4 << 4, flags, 1024, 0, 0)
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 40 + len(options), ip_id,
                       0x4000, 64, 6, 0, socket.inet_aton("192.0.2.9"),
                       socket.inet_aton("192.0.2.1"))
    return head + tcp + options


def pcap_file(path, frames, link=1, cut=0):
    """Writes frames [(seconds, bytes), ..]; without the last `cut` bytes."""
    out = struct.pack("<IHHiIII", 0xa1b23c4d, 2, 4, 0, 0, 65535, link)
    for at, frame in frames:
        out += struct.pack("<IIII", int(at), round(at % 1 * 1e9), len(frame),
                           len(frame)) + frame
    path.write_bytes(out[:len(out) - cut])
    return path


def table_memfd(size=HEAD + SET, seals=SEAL_SHRINK | SEAL_GROW,
                magic=b"TARRYSYN", version=VERSION, entry=ENTRY, sets=1):
    """A memfd that may or may not be a table."""
    fd = os.memfd_create("tarry-syn-table", os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, size)
    os.pwrite(fd, magic + struct.pack("=IIII", version, entry, sets, 1)[
        :max(0, size - len(magic))], 0)
    if seals:
        fcntl.fcntl(fd, F_ADD_SEALS, seals)
    return fd


class Liar:
    """Stands on the sidecar's socket and sends what it is told."""

    def __init__(self, path, fds, data=b"\1"):
        self.fds, self.data = fds, data
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.bind(str(path))
        self.socket.listen()
        self.taken = []
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        with contextlib.suppress(OSError):
            while True:
                connection = self.socket.accept()[0]
                self.taken.append(connection)
                if self.data is None:
                    continue
                socket.send_fds(connection, [self.data], self.fds)

    def stop(self):
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.thread.join(DEADLINE)
        for connection in self.taken:
            connection.close()
        self.socket.close()
        for fd in self.fds:
            os.close(fd)
