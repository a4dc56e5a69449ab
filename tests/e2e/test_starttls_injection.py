"""Commands in the clear behind STARTTLS, in the same write (CVE-2011-0411).

With TLS that passes, Tarry withholds and throws away nothing: what was said
reaches the MTA byte for byte and in order, but behind its answer to STARTTLS.
So an MTA that goes on with TLS can take it for nothing but a broken
handshake, whatever it does with such bytes when they come with the command,
and one that refuses STARTTLS takes it for the commands that it is.
"""
import re
import socket
import threading

import pytest

import tls_files
from conftest import DEADLINE, Client, wait_until
from mta import Exim, Postfix, Sendmail, mta, proxy_for  # noqa: F401
from test_hello import Tls, wait_line

INJECTED = b"EHLO injected.example\r\nMAIL FROM:<injected@b.example>\r\n" \
    b"RCPT TO:<c@d.example>\r\nDATA\r\nSubject: injected\r\n\r\nx\r\n.\r\n"
ALERT = b"\x15\x03"


def sendmail(behind, where):
    behind.write("etc/tls.pem", tls_files.make(where))
    (behind.root / "etc/tls.pem").chmod(0o600)
    behind.set_box()
    path = behind.root / "etc/mail/sendmail.cf"
    behind.write("etc/mail/sendmail.cf", path.read_text() + "".join(
        f"O {name}=/etc/tls.pem\n" for name in (
            "ServerCertFile", "ServerKeyFile", "CACertFile")) +
        "O CACertPath=/etc\n")
    return behind


KINDS = {"Postfix": (Postfix, tls_files.postfix),
         "Exim": (Exim, tls_files.exim),
         "sendmail": (Sendmail, sendmail)}


def unproxied(behind):
    return {"address": behind.address, "port": behind.port,
            "mta__client_address": "none", "mta__open_relay_checked": "yes",
            "class_new__greet": "0s"}


def inject(client):
    """Says it; returns the reply to STARTTLS and all that comes behind."""
    client.reply()
    assert "STARTTLS" in client.ask("EHLO c.example")
    hello = Tls(client).hello
    client.send(b"STARTTLS\r\n" + INJECTED)
    reply, data = client.reply(), client.rest
    client.rest = b""
    try:
        client.send(hello)
        client.socket.shutdown(socket.SHUT_WR)
        while got := client.socket.recv(65536):
            data += got
    except (ConnectionError, OSError):
        pass  # it broke off with bytes unread
    return reply, data


@pytest.mark.parametrize("name", KINDS)
def test_no_mta_takes_it(name, mta, proxy_for, tmp_path):  # noqa: F811
    kind, prepare = KINDS[name]
    behind = prepare(mta(kind), tmp_path).start()
    with Client(behind.port, "127.0.0.1", behind.address) as client:
        reply, data = inject(client)
        print(f"{name}, alone: {reply!r} {data[:3]!r}")
    tarryd = proxy_for(**unproxied(behind)).wait_ready()
    with tarryd.connect() as client:
        reply, data = inject(client)
    print(f"{name}, behind Tarry: {reply!r} {data[:3]!r}")
    # It heard STARTTLS alone, so it agreed; and it saw no handshake then.
    assert reply.startswith("220")
    assert data == b"" or data.startswith(ALERT), data
    line = wait_line(tarryd)
    assert line["tls"] == "yes" and line["messages"] == "0"
    assert line["recipients"] == "0"
    # Nothing of it was taken, and the next client is served.
    with tarryd.connect() as client:
        client.reply()
        for text, code in (("EHLO c.example", "250"),
                           ("MAIL FROM:<a@b.example>", "250"),
                           ("RCPT TO:<c@d.example>", "250"), ("DATA", "354"),
                           ("Subject: next\r\n\r\nx\r\n.", "250"),
                           ("QUIT", "221")):
            assert client.ask(text).startswith(code), text
    # A file is there before all of the mail is in it; then the queue is empty.
    wait_until(lambda: behind.queued() == 0, "an empty queue")
    mails = behind.wait_mail(1)
    assert behind.mail_count() == 1 and b"Subject: next" in mails[0]
    assert "injected@b.example" not in behind.log


class Listener:
    """An MTA that answers STARTTLS with what it was given, once it has been
    let go, and keeps all that it hears in the pieces in which it came."""

    def __init__(self, answer):
        self.answer, self.go = answer, threading.Event()
        self.heard, self.sessions = [], 0
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                peer = self.socket.accept()[0]
            except OSError:
                return
            self.sessions += 1
            if self.sessions == 1:
                self.heard.clear()
            with peer:
                self.serve(peer)

    def serve(self, peer):
        peer.settimeout(DEADLINE)
        peer.sendall(b"220 mta.example ESMTP\r\n")
        while data := peer.recv(65536):
            self.heard.append(data)
            if data.startswith(b"EHLO c") or data.startswith(b"EHLO tarry"):
                peer.sendall(b"250-mta.example\r\n250 STARTTLS\r\n")
            elif data.startswith(b"STARTTLS"):
                self.go.wait(DEADLINE)
                peer.sendall(self.answer)
            elif data.startswith(b"QUIT"):
                peer.sendall(b"221 bye\r\n")
                return
            elif data.startswith(b"EHLO"):
                peer.sendall(b"250 mta.example\r\n" * data.count(b"EHLO"))


@pytest.mark.parametrize("answer, why", [
    (b"220 go on\r\n", "TLS"), (b"454 not now\r\n", "commands")])
def test_every_byte_passes_in_order_behind_the_answer(answer, why, proxy_for):
    """One that is no MTA sees it just as it was said, and in time."""
    listener = Listener(answer)
    tarryd = proxy_for("127.0.0.1", listener.port,
                       mta__client_address="none",
                       mta__open_relay_checked="yes",
                       class_new__greet="0s").wait_ready()
    behind = b"EHLO one\r\nEHLO two\r\n"
    with tarryd.connect() as client:
        client.reply()
        client.ask("EHLO c.example")
        listener.heard.clear()
        client.send(b"STARTTLS\r\n" + behind)
        wait_until(lambda: listener.heard, "STARTTLS at the MTA")
        assert listener.heard == [b"STARTTLS\r\n"]
        listener.go.set()
        assert client.reply().encode() == answer
        wait_until(lambda: b"".join(listener.heard[1:]) == behind,
                   "what stood behind it")
        assert [client.reply() for _ in range(2)] == \
            ["250 mta.example\r\n"] * 2
        assert client.ask("QUIT").startswith("221")
    line = wait_line(tarryd)
    assert (line.get("tls") == "yes") == (why == "TLS")
    listener.socket.close()
