"""Several workers: one port, one gate, and each message once."""
import concurrent.futures
import os
import pwd
import re
import socket

import pytest

from conftest import Tarryd, send_mail, wait_until

TEXT = """
[tarry]
mode = enforce
workers = 4
[listen smtp]
address = 127.0.0.1:%d
[mta]
address = 127.0.0.1:%d
client_address = proxy_v2
max_connections = 3
[http]
address = 127.0.0.1:0
[class slow]
greet = 200ms
reply = 20ms
client_sessions = 2
[rule slow]
network = 127.5.0.0/16
class = slow
"""
CLIENTS = 160
AT_ONCE = 24


def tarryd_uid():
    """As whom tarryd listens: only the same user may share a port."""
    for name in ("tarry", "nobody"):
        try:
            return pwd.getpwnam(name).pw_uid
        except KeyError:
            pass


@pytest.fixture
def port():
    """A port that is bound here and not listened on: the workers share it,
    and nobody else gets it."""
    uid = os.geteuid()
    if uid == 0:
        os.seteuid(tarryd_uid())
    try:
        sock = socket.socket()
    finally:
        os.seteuid(uid)
    with sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


def test_slots_and_caps_go_round_among_workers(port, start_sink, running,
                                               tmp_path):
    sink = start_sink()
    path = tmp_path / "workers.ini"
    path.write_text(TEXT % (port, sink.port))
    tmp_path.chmod(0o755)
    tarryd = Tarryd(tmp_path / "workers.log", ["-c", path])
    running.append(tarryd)
    tarryd.wait_ready()

    def one(number):
        # Every second one is slowed; of those, three share an address.
        source = (f"127.5.0.{1 + number % 27}" if number % 2
                  else f"127.6.0.{1 + number}")
        with tarryd.connect(source) as client:
            replies = send_mail(client, f"Subject: {number}\r\n\r\nx\r\n")
        return [reply[:3] for reply in replies]

    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        for replies in pool.map(one, range(CLIENTS)):
            assert replies == ["220", "250", "250", "250", "354", "250",
                               "221"]
    stored = [path.read_text() for path in sink.mail.glob("*.eml")]
    assert sorted(int(re.match(r"Subject: (\d+)", text)[1])
                  for text in stored) == list(range(CLIENTS))
    wait_until(lambda: tarryd.metric("tarry_connections_open") == 0, "the end")
    wait_until(lambda: tarryd.metric("tarry_mta_connections_open") == 0,
               "every slot back")
    # Session ids begin with the worker's number: the kernel spread them.
    ids = {int(found) >> 48
           for found in re.findall(r" session=(\d+)", tarryd.log)}
    assert ids == {0, 1, 2, 3}
    assert tarryd.stop() == 0
    assert "broken invariant" not in tarryd.log
    assert "not given back" not in tarryd.log
