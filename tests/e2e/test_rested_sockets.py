"""A socket to the MTA whose connection came to an orderly end serves the next
session. What is kept is the socket alone: no byte, and no address of an MTA
that was."""
import contextlib
import os
import pathlib
import socket
import tempfile
import threading

import pytest

from conftest import DEADLINE, Client, send_mail, wait_until
from reload_rig import Reloaded

AT_ONCE = 70
RESTED = 64  # worker_state.h
OK = ["220", "250", "250", "250", "354", "250", "221"]


class Mta:
    """Takes mail, and keeps what each connection said. It closes behind QUIT,
    when `go` is set."""

    def __init__(self, host="127.0.0.1"):
        self.listener = socket.create_server(
            (host, 0), backlog=AT_ONCE + 10,
            family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        self.address = f"[{host}]" if ":" in host else host
        self.address += f":{self.listener.getsockname()[1]}"
        self.go = threading.Event()
        self.go.set()
        self.heard = []
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                sock = self.listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=self.one, args=(sock,),
                             daemon=True).start()

    def one(self, sock):
        heard = []
        with sock, sock.makefile("rb") as lines:
            sock.sendall(b"220 mta.example ESMTP\r\n")
            is_data = False
            for line in lines:
                heard.append(line)
                if (is_data and line != b".\r\n" or
                        line.startswith(b"PROXY ")):
                    continue
                is_data = line == b"DATA\r\n"
                if line == b"QUIT\r\n":
                    break
                sock.sendall(b"354 go\r\n" if is_data else b"250 ok\r\n")
            self.go.wait(DEADLINE)
            sock.sendall(b"221 bye\r\n")
        self.heard.append(b"".join(heard))

    def mails(self):
        return [heard for heard in self.heard if b"MAIL" in heard]


@pytest.fixture
def start(tmp_path, running):
    """start(mta) -> a Reloaded; its file is where any user may read it."""
    with tempfile.TemporaryDirectory(prefix="tarry-") as place:
        def start(mta):
            os.chmod(place, 0o755)
            tarryd = Reloaded(tmp_path / "tarryd.log",
                              pathlib.Path(place) / "tarry.ini",
                              mta=mta.address, how="proxy_v1")
            running.append(tarryd)
            return tarryd.wait_ready()
        yield start
    for program in running:
        program.stop()
        for word in ("reason=bug", "not given back", "runtime error:",
                     "Sanitizer"):
            assert word not in program.log


def resting(tarryd):
    """How many sockets the process has that no table of the kernel lists:
    those are bound to nothing and lead nowhere."""
    listed = set()
    for name in ("tcp", "tcp6", "udp", "udp6", "unix", "netlink"):
        listed.update(word for line in pathlib.Path(
            f"/proc/net/{name}").read_text().splitlines()
            for word in line.split())
    count = 0
    for name in pathlib.Path(f"/proc/{tarryd.process.pid}/fd").iterdir():
        try:
            at = os.readlink(name)
        except FileNotFoundError:
            continue
        count += at.startswith("socket:[") and at[8:-1] not in listed
    return count


@contextlib.contextmanager
def somebody(tarryd):
    """A session that stays: sockets only rest while there is one."""
    with tarryd.connect() as client:
        client.reply()
        yield client
        assert client.ask("QUIT").startswith("221")
    wait_resting(tarryd, 0, 0)


def wait_resting(tarryd, want, sessions=1):
    wait_until(lambda: tarryd.metric("tarry_connections_open") == sessions,
               f"{sessions} sessions")
    wait_until(lambda: resting(tarryd) == want, f"{want} sockets at rest")


def mail(tarryd, number=0):
    with tarryd.connect() as client:
        assert [reply[:3] for reply in
                send_mail(client, f"X-Number: {number}\r\n")] == OK


def test_one_socket_serves_one_session_after_the_other(start):
    mta = Mta()
    tarryd = start(mta)
    with somebody(tarryd):
        for number in range(20):
            mail(tarryd, number)
            wait_resting(tarryd, 1)
    wait_until(lambda: len(mta.mails()) == 20, "all mail")
    # Each conversation is whole, with a header of its own, and no other's.
    for number, heard in enumerate(mta.mails()):
        assert heard.startswith(b"PROXY TCP4 127.0.0.1 ")
        assert heard.count(b"PROXY") == heard.count(b"EHLO") == 1
        assert heard.endswith(b"X-Number: %d\r\n.\r\nQUIT\r\n" % number)


def test_so_many_rest_and_no_more(start):
    mta = Mta()
    tarryd = start(mta)
    mta.go.clear()
    clients = [Client(tarryd.port) for _ in range(AT_ONCE)]
    for client in clients:
        client.reply()
        client.send("QUIT\r\n")
    wait_until(lambda: tarryd.metric("tarry_mta_connections_open") == AT_ONCE,
               "all connected")
    with tarryd.connect() as one_more:
        one_more.reply()
        mta.go.set()
        for client in clients:
            assert client.reply().startswith("221")
            client.close()
        wait_resting(tarryd, RESTED)
        assert tarryd.metric("tarry_mta_connections_open") == 1
        mail(tarryd)
        assert one_more.ask("QUIT").startswith("221")
    wait_until(lambda: len(mta.mails()) == 1, "the mail")


def test_an_end_that_is_not_orderly_keeps_nothing(start):
    mta = Mta()
    tarryd = start(mta)
    with somebody(tarryd):
        for _ in range(5):
            with tarryd.connect() as client:
                client.reply()
                assert client.ask("EHLO client.example").startswith("250")
            wait_resting(tarryd, 0)


def test_another_mta_gets_another_socket(start):
    """One over IPv4, then one over IPv6, while a session is with the first:
    its socket would fit none of the second."""
    if not socket.has_ipv6:
        pytest.skip("no IPv6")
    old, new = Mta(), Mta("::1")
    tarryd = start(old)
    with tarryd.connect() as stays:
        stays.reply()
        mail(tarryd)
        wait_resting(tarryd, 1)
        tarryd.reload(mta=new.address)
        wait_until(lambda: tarryd.get("/readyz")[0] == 200, "tested")
        mail(tarryd)
        with somebody(tarryd):
            assert stays.ask("QUIT").startswith("221")
            wait_resting(tarryd, 0)
            mail(tarryd)
    wait_until(lambda: len(old.heard) >= 3, "the old one's end")
    mail(tarryd)
    wait_until(lambda: len(new.mails()) == 3, "mail at the new one")
    assert tarryd.metric('tarry_mta_connect_errors_total{reason="other"}') == 0
