"""A slowed upload over a cable with an MTU of 1500: the sender feels it from
the first kilobytes on, never waits long, and nothing is lost."""
import fcntl
import os
import re
import signal
import socket
import struct
import subprocess
import threading
import time

import pytest

from conftest import Client, Tarryd, wait_until
from sidecar_rig import Pair

SIOCOUTQ = 0x5411
KIB = 1024
TEXT = """
[tarry]
mode = enforce
[listen smtp]
address = 127.0.0.1:0
[mta]
address = 127.0.0.1:1
client_address = proxy_v2
[http]
address = 127.0.0.1:0
[class slow]
greet = 0s
data_rate = %s
[rule everyone]
class = slow
"""

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture
def pair():
    hosts = Pair()
    yield hosts
    hosts.delete()


@pytest.fixture
def start(pair, start_sink, tmp_path, running):
    """start(rate) -> (sink, tarryd, client of the other host)"""
    def start_all(rate):
        with pair.server.inside():
            sink = start_sink()
            path = tmp_path / "slow.ini"
            path.write_text(TEXT % rate)
            tmp_path.chmod(0o755)
            tarryd = Tarryd(tmp_path / "slow.log",
                            ["-c", path, "-l", "192.0.2.1:0",
                             f"127.0.0.1:{sink.port}"])
            running.append(tarryd)
            tarryd.wait_ready()
        with pair.client.inside():
            client = Client.__new__(Client)
            client.socket = socket.create_connection(
                ("192.0.2.1", tarryd.port), 60)
            client.rest = b""
        assert client.reply().startswith("220 ")
        for text in ("EHLO client.example", "MAIL FROM:<a@b.example>",
                     "RCPT TO:<c@d.example>", "DATA"):
            assert client.ask(text)[0] in "23"
        return sink, tarryd, client
    return start_all


def unsent(client):
    """Bytes that the client's kernel has not got rid of."""
    got = fcntl.ioctl(client.socket, SIOCOUTQ, b"\0" * 4)
    return struct.unpack("i", got)[0]


def receive_buffer(pair, tarryd):
    """What the kernel gives the accepted socket at most."""
    done = subprocess.run(
        pair.server.words("ss", "-Htmn", "state", "established", "sport",
                          "=", f":{tarryd.port}"),
        check=True, stdout=subprocess.PIPE, text=True)
    return int(re.search(r"skmem:\(.*?rb(\d+)", done.stdout)[1])


def body_of(size):
    line = b"x" * 62 + b"\r\n"
    return b"Subject: x\r\n\r\n" + line * (size // len(line))


def send_behind(client, data):
    """Sends from a thread of its own."""
    def run():
        client.socket.sendall(data + b".\r\n")
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def stored(sink):
    return b"".join(path.read_bytes() for path in sink.mail.glob("*.eml"))


def test_a_sender_feels_the_rate(start):
    sink, _, client = start("32k")
    body = body_of(160 * KIB)
    began = time.monotonic()
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    send_behind(client, body).join()
    moved, last, gap = None, began, 0
    early = None
    while unsent(client) > 0:
        now = time.monotonic()
        left = unsent(client)
        if early is None and now - began > 0.5:
            early = len(body) - left
        if left != moved:
            gap = max(gap, now - last)
            moved, last = left, now
        threading.Event().wait(0.01)
    assert client.reply().startswith("250 ")
    took = time.monotonic() - began
    # A default buffer takes some 115 KiB before the sender feels anything.
    assert early is not None and early < 48 * KIB, early
    assert 0.85 * len(body) / (32 * KIB) < took < 2 * len(body) / (32 * KIB)
    assert gap < 2, gap
    assert stored(sink) == body
    client.close()


def test_what_ends_the_delays_opens_the_window(pair, start):
    sink, tarryd, client = start("4k")
    body = body_of(512 * KIB)
    sender = send_behind(client, body)
    # That it is slow: not even the kernel's buffers are filled yet.
    wait_until(lambda: unsent(client) > 128 * KIB, "unsent bytes")
    assert receive_buffer(pair, tarryd) < 16 * KIB
    began = time.monotonic()
    tarryd.send_signal(signal.SIGTERM)
    sender.join(20)
    assert receive_buffer(pair, tarryd) > 128 * KIB
    assert client.reply().startswith("250 ")
    # At its rate it would have been two minutes.
    assert time.monotonic() - began < 10
    assert stored(sink) == body
    assert client.ask("QUIT").startswith("221 ")
    client.close()
    assert tarryd.wait() == 0
