"""A slow upload is felt by the sender, on a path with an MTU of 1500.

Over a wire, never over loopback, where one segment is 64 KiB. Each client
sends a message in its own class. An MTA in this process notes when which bytes
came; the client's socket and tarryd's are looked at all the while.
"""
import fcntl
import hashlib
import re
import socket
import struct
import termios
import threading
import time

import pytest

from lab import Lab, read_reply, skip_where_impossible, wait_until

BUDGET_S = 15
SIZE = 300_000
LINE = b"0123456789abcdef" * 4 + b"\r\n"
# By class: bytes a second, or None. The first seconds have the window that
# was offered before.
RATES = {"full": None, "four": 4096, "one": 1024}
FIRST_S = 1.0
GAP_S = 10  # never as long as this without a byte
KERNEL_BYTES = 16384  # of receive memory for a stalled client

CLASSES = """
[budget]
session = %ds
[class four]
data_rate = 4k
[class one]
data_rate = 1k
[rule four]
network = %s
class = four
[rule one]
network = %s
class = one
[rule full]
class = pass
"""


class Mta(threading.Thread):
    """Takes mail one session a thread; keeps when which bytes came."""

    def __init__(self, space):
        super().__init__(daemon=True)
        with space.entered():
            self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("127.0.0.1", 2525))
        self.listener.listen(64)
        self.arrivals = {}  # client's address: [(monotonic, len)]
        self.digests = {}
        self.start()

    def run(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(sock,),
                             daemon=True).start()

    def serve(self, sock):
        with sock:
            head = sock.recv(16, socket.MSG_WAITALL)
            rest = sock.recv(struct.unpack("!H", head[14:16])[0],
                             socket.MSG_WAITALL)
            source = socket.inet_ntoa(rest[:4]) if head[13] == 0x11 else ""
            sock.sendall(b"220 mta.example ESMTP\r\n")
            lines = sock.makefile("rb", buffering=0)
            for line in iter(lines.readline, b""):
                verb = line[:4].upper()
                if verb == b"DATA":
                    sock.sendall(b"354 go\r\n")
                    self.take(sock, source)
                    sock.sendall(b"250 took\r\n")
                elif verb == b"QUIT":
                    sock.sendall(b"221 bye\r\n")
                    return
                else:
                    sock.sendall(b"250 ok\r\n")

    def take(self, sock, source):
        arrivals = self.arrivals[source] = []
        digest, tail = hashlib.sha256(), b""
        while tail != b"\r\n.\r\n":
            data = sock.recv(65536)
            if not data:
                return
            arrivals.append((time.monotonic(), len(data)))
            digest.update(data)
            tail = (tail + data)[-5:]
        self.digests[source] = digest.hexdigest()


class Uploads(Lab):
    def start_sink(self):
        self.mta = Mta(self.server)

    def close(self):
        self.mta.listener.close()
        super().close()

    def receive_memory(self, port):
        """Bytes that the kernel holds for tarryd's socket of this client."""
        text = self.server.exec("ss", "-tmnH", "sport", "=", "25", "dport",
                                "=", str(port))
        found = re.search(r"skmem:\(r(\d+),", text)
        return int(found[1]) if found else None


class Upload(threading.Thread):
    """One message of SIZE bytes, as fast as the socket takes it."""

    def __init__(self, client):
        super().__init__(daemon=True)
        self.client = client
        self.sock = client.connect(4)
        self.port = self.sock.getsockname()[1]
        self.sock.settimeout(60)
        self.body = (LINE * (SIZE // len(LINE) + 1))[:SIZE] + b"\r\n.\r\n"
        self.begun = self.ended = None
        self.reply = None
        self.looks = []  # (seconds, bytes queued here, bytes in tarryd's)
        self.start()

    def run(self):
        with self.sock:
            read_reply(self.sock)
            for text in (b"EHLO c.example", b"MAIL FROM:<a@c.example>",
                         b"RCPT TO:<b@d.example>", b"DATA"):
                self.sock.sendall(text + b"\r\n")
                read_reply(self.sock)
            self.begun = time.monotonic()
            self.sock.sendall(self.body)
            self.reply = read_reply(self.sock)
            self.ended = time.monotonic()
            self.sock.sendall(b"QUIT\r\n")
            read_reply(self.sock)

    def look(self, lab):
        if self.begun is None or self.ended is not None:
            return
        try:
            queued = struct.unpack("i", fcntl.ioctl(
                self.sock, termios.TIOCOUTQ, b"\0\0\0\0"))[0]
        except (OSError, ValueError):
            return
        self.looks.append((time.monotonic() - self.begun, queued,
                           lab.receive_memory(self.port)))


@pytest.fixture(scope="module")
def sent():
    """All classes at a time; {class: (Upload, arrivals, digest)}."""
    skip_where_impossible()
    lab = Uploads()
    try:
        clients = {name: lab.client(mtu=1500) for name in RATES}
        lab.start_tarryd(CLASSES % (BUDGET_S, clients["four"].ip4,
                                    clients["one"].ip4), sidecar=False)
        uploads = {name: Upload(client) for name, client in clients.items()}

        def have_ended():
            for upload in uploads.values():
                upload.look(lab)
            return not any(upload.is_alive() for upload in uploads.values())
        wait_until(have_ended, "all uploads", 60)
        lines = lab.wait_sessions(len(RATES))
        assert not [line for line in lines if line["reason"] != "quit"]
        yield {name: (uploads[name], lab.mta.arrivals[client.ip4],
                      lab.mta.digests.get(client.ip4))
               for name, client in clients.items()}
        lab.stop_tarryd()
    finally:
        lab.close()


def between(upload, arrivals, begin, end):
    return sum(size for at, size in arrivals
               if begin <= at - upload.begun < end)


@pytest.mark.parametrize("name", RATES)
def test_nothing_is_lost_or_changed(sent, name):
    upload, arrivals, digest = sent[name]
    assert upload.reply == b"250 took\r\n"
    assert sum(size for _, size in arrivals) == len(upload.body)
    assert digest == hashlib.sha256(upload.body).hexdigest()


def test_full_speed_without_a_rate(sent):
    upload, _, _ = sent["full"]
    assert upload.ended - upload.begun < 2


@pytest.mark.parametrize("name", ["four", "one"])
def test_the_rate_is_kept_until_the_budget_ends(sent, name):
    upload, arrivals, _ = sent[name]
    seconds = BUDGET_S - 1 - FIRST_S
    came = between(upload, arrivals, FIRST_S, BUDGET_S - 1)
    first = between(upload, arrivals, 0, FIRST_S)
    gaps = [b - a for (a, _), (b, _) in zip(arrivals, arrivals[1:])]
    took = upload.ended - upload.begun
    print(f"\n{name}: {first} bytes in the first second, then "
          f"{came / seconds:.0f} a second of {RATES[name]}; the longest gap "
          f"{max(gaps):.2f} s in {len(arrivals)} pieces; {took:.1f} s in all")
    assert first < 12_000
    assert 0.7 * RATES[name] < came / seconds < 1.15 * RATES[name]
    assert max(gaps) < GAP_S
    # Spent means full speed.
    assert BUDGET_S - 2 < took < BUDGET_S + 3


@pytest.mark.parametrize("name", ["four", "one"])
def test_the_sender_feels_it_and_the_kernel_does_not(sent, name):
    upload, _, _ = sent[name]
    looks = [row for row in upload.looks if FIRST_S < row[0] < BUDGET_S - 1]
    queued = [queue for _, queue, _ in looks]
    held = sorted(memory for _, _, memory in looks if memory is not None)
    print(f"\n{name}: {len(looks)} looks; queued at the sender {min(queued)} "
          f"to {max(queued)} bytes; tarryd's kernel memory median "
          f"{held[len(held) // 2]}, at most {held[-1]} bytes")
    assert len(looks) > 20
    assert min(queued) > 0
    assert held[-1] <= KERNEL_BYTES


