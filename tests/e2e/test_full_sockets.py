"""A peer that does not read for a while gets everything all the same, in
order and once, and the end behind it."""
import hashlib
import socket
import threading
import time

import pytest

from conftest import DEADLINE, wait_until

SMALL = 4096  # receive buffer of who does not read
REPLY = b"".join(b"250-%06d %s\r\n" % (i, b"x" * 400) for i in range(40000)) \
    + b"250 all\r\n"
BODY = b"".join(b"%06d %s\r\n" % (i, b"y" * 500) for i in range(40000))


class Mta:
    """One conversation at a time; `talk` has it behind the test session."""

    def __init__(self, talk):
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(16)
        self.talk = talk
        self.failed = []
        threading.Thread(target=self.serve, daemon=True).start()

    @property
    def port(self):
        return self.listener.getsockname()[1]

    def serve(self):
        while True:
            try:
                sock = self.listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=self.one, args=(sock,),
                             daemon=True).start()

    def one(self, sock):
        with sock, sock.makefile("rb") as lines:
            sock.sendall(b"220 mta.example\r\n")
            hello = lines.readline()
            sock.sendall(b"250 mta.example\r\n")
            if b"client.example" in hello:
                self.talk(sock, lines)
            elif lines.readline().startswith(b"QUIT"):
                sock.sendall(b"221 bye\r\n")

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.listener.close()


@pytest.fixture
def start(start_tarryd):
    def start(mta):
        return start_tarryd(mta.port, mta__client_address="none",
                            mta__open_relay_checked="yes",
                            class_new__greet="0s",
                            class_new__teaser="no").wait_ready()
    return start


def connect(tarryd):
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
    sock.settimeout(DEADLINE)
    sock.connect(("127.0.0.1", tarryd.port))
    lines = sock.makefile("rb")
    assert lines.readline().startswith(b"220")
    sock.sendall(b"EHLO client.example\r\n")
    assert lines.readline().startswith(b"250")
    return sock, lines


class Sender:
    """Sends in pieces, so that one can see it stop."""

    def __init__(self):
        self.sent = 0

    def send(self, sock, data):
        for at in range(0, len(data), 8192):
            sock.sendall(data[at:at + 8192])
            self.sent = at + 8192

    def stands_still(self):
        """True when everything between is full."""
        seen = [(time.monotonic(), self.sent)]

        def look():
            now = time.monotonic()
            if self.sent != seen[0][1]:
                seen[0] = (now, self.sent)
            return self.sent > 0 and now - seen[0][0] > 0.3
        return wait_until(look, "the sender to stand still")


def test_client_does_not_read(start):
    """The MTA says more than all buffers hold, 221 and the end."""
    mta_says = Sender()

    def talk(sock, lines):
        lines.readline()
        mta_says.send(sock, REPLY)
        lines.readline()
        sock.sendall(b"221 bye\r\n")

    with Mta(talk) as mta:
        tarryd = start(mta)
        sock, lines = connect(tarryd)
        with sock, lines:
            sock.sendall(b"HELP\r\n")
            mta_says.stands_still()
            assert mta_says.sent < len(REPLY)
            sock.sendall(b"QUIT\r\n")
            got = lines.read()
    assert got == REPLY + b"221 bye\r\n"


def test_end_waits_for_the_bytes(start):
    """The MTA closes with much of it still on the way."""
    mta_says = Sender()

    def talk(sock, lines):
        lines.readline()
        mta_says.send(sock, REPLY)

    with Mta(talk) as mta:
        tarryd = start(mta)
        sock, lines = connect(tarryd)
        with sock, lines:
            sock.sendall(b"HELP\r\n")
            mta_says.stands_still()
            got = lines.read()
    assert got == REPLY


@pytest.mark.parametrize("half_closes", (False, True))
def test_mta_does_not_read(start, half_closes):
    """A message larger than all buffers; the client's end may be behind."""
    go_on = threading.Event()
    took = []

    def talk(sock, lines):
        lines.readline()
        sock.sendall(b"354 go on\r\n")
        go_on.wait(DEADLINE)
        message = b""
        digest = hashlib.sha256()
        size = 0
        while True:
            message = lines.readline()
            if message in (b".\r\n", b""):
                break
            size += len(message)
            digest.update(message)
        took.append((size, digest.hexdigest()))
        sock.sendall(b"250 taken\r\n")
        took.append(lines.readline())
        if half_closes:
            took.append(lines.readline())
        sock.sendall(b"221 bye\r\n")

    with Mta(talk) as mta:
        tarryd = start(mta)
        sock, lines = connect(tarryd)
        with sock, lines:
            sock.sendall(b"DATA\r\n")
            assert lines.readline().startswith(b"354")

            client_says = Sender()

            def send():
                client_says.send(sock, BODY + b".\r\nQUIT\r\n")
                if half_closes:
                    sock.shutdown(socket.SHUT_WR)

            sender = threading.Thread(target=send, daemon=True)
            sender.start()
            client_says.stands_still()
            assert client_says.sent < len(BODY)
            go_on.set()
            got = lines.read()
            sender.join(DEADLINE)
    assert got == b"250 taken\r\n221 bye\r\n"
    assert took == [(len(BODY), hashlib.sha256(BODY).hexdigest()),
                    b"QUIT\r\n"] + [b""] * half_closes


def queues(*ports):
    """What waits in the sockets of these local ports."""
    with open("/proc/net/tcp") as table:
        rows = [row.split() for row in table][1:]
    return [row[4] for row in rows
            if int(row[1].split(":")[1], 16) in ports]


def all_is_still(*ports):
    """True when nothing moves any more."""
    seen = [(time.monotonic(), queues(*ports))]

    def look():
        now, found = time.monotonic(), queues(*ports)
        if found != seen[0][1]:
            seen[0] = (now, found)
        return now - seen[0][0] > 0.02
    return wait_until(look, "the queues to stand still")


def send_and_end(sock, data):
    sock.sendall(data)
    sock.shutdown(socket.SHUT_WR)


def test_end_of_any_length(start):
    """Wherever the socket to the MTA gets full, the client's FIN does not
    overtake what is still to be written."""
    go_on = threading.Semaphore(0)
    took = []

    def talk(sock, lines):
        lines.readline()
        sock.sendall(b"354 go on\r\n")
        go_on.acquire(timeout=DEADLINE)
        took.append(len(lines.read()))

    with Mta(talk) as mta:
        tarryd = start(mta)
        step = 40000
        for size in range(step, 120 * step, step):
            sock, lines = connect(tarryd)
            with sock, lines:
                sock.sendall(b"DATA\r\n")
                assert lines.readline().startswith(b"354")
                sender = threading.Thread(target=send_and_end,
                                          args=(sock, BODY[:size]))
                sender.start()
                all_is_still(mta.port, tarryd.port)
                go_on.release()
                assert lines.read() == b""
                sender.join(DEADLINE)
        wait_until(lambda: len(took) == 119, "all to be taken")
    assert took == list(range(step, 120 * step, step))
