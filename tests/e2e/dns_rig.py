"""A real rbldnsd, and in front of it a resolver that does as it is told.

The resolver is a relay that counts what it is asked. It passes questions on,
or delays, swallows or answers them itself, as its `mode` says.
"""
import collections
import os
import shutil
import socket
import struct
import subprocess
import threading
import time

import pytest

from conftest import Program, wait_until

RBLDNSD = shutil.which("rbldnsd") or "/usr/sbin/rbldnsd"
A, NS, PTR, AAAA = 1, 2, 12, 28


def udp_port(pid):
    """The UDP port that a process listens on; 0: none yet."""
    inodes = set()
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            inodes.add(os.readlink(f"/proc/{pid}/fd/{fd}"))
        except OSError:
            continue
    with open("/proc/net/udp") as table:
        for row in list(table)[1:]:
            words = row.split()
            if f"socket:[{words[9]}]" in inodes:
                return int(words[1].split(":")[1], 16)
    return 0


def start_rbldnsd(tmp_path, zones):
    """zones: domain -> (type, lines). Returns the Program; .port is its."""
    words = []
    for number, (domain, (kind, lines)) in enumerate(zones.items()):
        path = tmp_path / f"zone{number}"
        path.write_text("\n".join(lines) + "\n")
        path.chmod(0o644)
        words.append(f"{domain}:{kind}:{path.name}")
    tmp_path.chmod(0o755)
    program = Program(tmp_path / "rbldnsd.log",
                      [RBLDNSD, "-n", "-u", "nobody", "-b", "127.0.0.1/0",
                       "-w", tmp_path, *words])
    program.port = wait_until(lambda: udp_port(program.process.pid),
                              "rbldnsd's port")
    return program


def name_at(message, at):
    labels = []
    while message[at]:
        labels.append(message[at + 1:at + 1 + message[at]].decode())
        at += 1 + message[at]
    return ".".join(labels), at + 1


def wire(name):
    return b"".join(bytes([len(label)]) + label.encode()
                    for label in name.split(".")) + b"\0"


def answer(query, records, code=0, flags=0x8180, ident=None):
    """records: (type, data) of the name that is asked for."""
    _, end = name_at(query, 12)
    head = query[:2] if ident is None else ident
    out = head + struct.pack("!HHHHH", flags | code, 1, len(records), 0, 0)
    out += query[12:end + 4]
    for kind, data in records:
        out += b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, 60, len(data))
        out += data
    return out


class Resolver:
    """mode(name, type, query) -> bytes to answer, None to pass the question
    on, False to say nothing."""

    def __init__(self, upstream):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.upstream = ("127.0.0.1", upstream)
        self.asked = collections.Counter()
        self.mode = lambda name, kind, query: None
        self.delay = 0
        self.most = 0  # questions at a time, while delayed
        self.late = collections.deque()
        self.is_open = True
        self.back = {}
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def take(self, query, source):
        name, end = name_at(query, 12)
        kind = struct.unpack_from("!H", query, end)[0]
        self.asked[name.lower(), kind] += 1
        out = self.mode(name.lower(), kind, query)
        if out is False:
            return
        if out is None:
            self.back[query[:2]] = source
            self.socket.sendto(query, self.upstream)
        else:
            self.give(out, source)

    def give(self, out, source):
        if self.delay:
            self.late.append((time.monotonic() + self.delay, out, source))
            self.most = max(self.most, len(self.late))
        else:
            self.socket.sendto(out, source)

    def run(self):
        self.socket.settimeout(0.005)
        while self.is_open:
            while self.late and self.late[0][0] <= time.monotonic():
                _, out, source = self.late.popleft()
                self.socket.sendto(out, source)
            try:
                data, source = self.socket.recvfrom(4096)
            except (socket.timeout, ConnectionError):
                continue
            if source == self.upstream:
                self.give(data, self.back.pop(data[:2], source))
            else:
                self.take(data, source)
        self.socket.close()

    @property
    def count(self):
        return sum(self.asked.values())

    def stop(self):
        self.is_open = False
        self.thread.join()


ZONES = {
    "zen.test": ("ip4set", [":127.0.0.4:listed", "127.0.0.2", "192.0.2.7",
                            ":127.0.0.30:other", "127.0.0.3",
                            ":127.255.255.254:blocked", "127.0.0.9"]),
    "good.test": ("ip4set", [":127.0.5.2:known", "127.0.0.5"]),
    "six.test": ("ip6trie", [":127.0.0.2:listed", "::1"]),
}


@pytest.fixture
def rbldnsd(tmp_path):
    if not os.path.exists(RBLDNSD):
        pytest.skip("rbldnsd is not installed")
    program = start_rbldnsd(tmp_path, ZONES)
    yield program
    program.stop()


@pytest.fixture
def resolver(rbldnsd):
    made = Resolver(rbldnsd.port)
    yield made
    made.stop()


CONFIG = """
[tarry]
mode = enforce
[listen smtp]
address = 127.0.0.1:0
[mta]
address = 127.0.0.1:{mta}
[syn]
sidecar =
labels =
[http]
address = 127.0.0.1:0
[control]
socket =
[dns]
resolver = 127.0.0.1:{resolver}
timeout = {timeout}
ptr = {ptr}
{lists}
[class new]
greet = {greet}
[class slow]
greet = {slow}
{rules}
[rule everyone]
class = new
"""

LISTS = """
[dnsbl zen]
zone = zen.test=127.0.0.[2..11]*3
[dnswl good]
zone = good.test=127.0.[0..255].[1..3]
"""

RULES = """
[rule friend]
network = 127.0.0.8
class = pass
[rule listed]
dnsbl = 1..
class = slow
"""


def config(mta, resolver, lists=LISTS, rules=RULES, ptr="no", timeout="1s",
           greet="500ms", slow="1s"):
    return CONFIG.format(**locals())
