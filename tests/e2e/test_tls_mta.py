"""[mta] tls = starttls: where TLS ends here, and begins again to the MTA.

The MTA's own STARTTLS, keyword and refusals are what the client sees.
"""
import re
import signal
import socket
import ssl
import subprocess
import threading

import pytest

import tls_files
from conftest import DEADLINE, wait_until
from mta import Exim, Postfix, mta, proxy_for  # noqa: F401
from scripted_mta import PLAIN, ScriptedMta
from test_hello import wait_line
from test_mail import BODY, below_received
from test_reload import place  # noqa: F401
from test_tls import (NAME, QUICK, SENDERS, Wire, ends_tls,  # noqa: F401
                      own)

NONE = {"mta__client_address": "none", "mta__open_relay_checked": "yes"}
TLS = {"mta__tls": "starttls"}
GO_AHEAD = b"220 2.0.0 the MTA is ready\r\n"
OFFER = b"250-mta.example\r\n250-STARTTLS\r\n250 SIZE\r\n"


class TlsMta(ScriptedMta):
    """Speaks TLS behind `go_ahead`, if that is a 220; offers it before."""

    def __init__(self, where, go_ahead=GO_AHEAD, keeps_version=None):
        tls_files.make(where)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(where / "tls.crt", where / "tls.key")
        if keeps_version:
            self.context.minimum_version = ssl.TLSVersion.TLSv1
            self.context.maximum_version = keeps_version
            self.context.set_ciphers("ALL:@SECLEVEL=0")
        self.go_ahead = go_ahead
        self.heard = []
        self.errors = []
        super().__init__()

    def serve(self, client, script):
        client.settimeout(DEADLINE)
        try:
            client.sendall(PLAIN["greeting"])
            with client:
                self.talk(client, {**script, "EHLO": OFFER}, "clear")
        except (OSError, ssl.SSLError) as error:
            self.errors.append(str(error))

    def talk(self, client, script, how):
        lines = client.makefile("rb")
        while True:
            line = lines.readline(1000)
            self.heard.append((how, line))
            if line[:8].upper() != b"STARTTLS":
                feed = Again(line, lines)
                if not self.answer(client, feed, script):
                    return
                continue
            client.sendall(self.go_ahead)
            if self.go_ahead.startswith(b"220") and how == "clear":
                inside = self.context.wrap_socket(client, server_side=True)
                self.talk(inside, {**self.script}, inside.version())
                return


class Again:
    """The lines of a file, with one that was read already."""

    def __init__(self, line, lines):
        self.line, self.lines = line, lines

    def readline(self, size=-1):
        line, self.line = self.line, None
        return line if line is not None else self.lines.readline(size)


@pytest.fixture
def tls_mta(tmp_path):
    made = []

    def make(**keys):
        made.append(TlsMta(tmp_path, **keys))
        return made[-1]
    yield make
    for one in made:
        one.close()


def ask_tls(tarryd):
    """A client behind the 220 that the MTA said."""
    client = tarryd.connect()
    assert client.reply().startswith("220")
    assert "STARTTLS" in client.ask("EHLO c.example")
    assert client.ask("STARTTLS") == GO_AHEAD.decode()
    return client


@pytest.mark.parametrize("sender", SENDERS)
@pytest.mark.parametrize("kind", [Postfix, Exim])
def test_real_mtas(mta, ends_tls, tmp_path, kind, sender):
    """One takes no mail in the clear; both write into the mail that it came
    by TLS, and the client's address is what it was."""
    if kind is Postfix:
        behind = tls_files.postfix(
            mta(Postfix, proxy=True,
                main="smtpd_client_restrictions = reject_plaintext_session\n"),
            tmp_path).start()
        keys = {}
    else:
        behind = tls_files.exim(mta(Exim), tmp_path).start()
        keys = NONE
    tarryd = ends_tls(behind.port, behind.address, **keys, **TLS)
    body = BODY.replace(b"\0", b"")
    if sender != "python":
        body = body.replace(b"\xff", b"y")
    SENDERS[sender](tarryd, body, tmp_path / "body")
    mail = behind.wait_mail(1)[0]
    assert b"Subject: odd" in below_received(mail)
    head = mail.split(b"Subject: odd")[0]
    assert b"TLSv1.3" in head or b"TLS1.3" in head, head
    line = wait_line(tarryd)
    assert line["tls_version"] == "TLSv1.3" and line["mta_tls"] == "yes"
    assert line["messages"] == "1" and line["reason"] == "quit"
    for what in ("starttls_reply", "ehlo_starttls_added",
                 "ehlo_starttls_removed"):
        assert tarryd.metric(f'tarry_own_words_total{{what="{what}"}}') == 0
    assert tarryd.metric("tarry_mta_tls_handshake_seconds_count") == 1
    if kind is Postfix:
        assert "127.0.0.1]" in behind.log


def test_such_an_mta_refuses_mail_in_the_clear(mta, ends_tls, tmp_path):
    """What the test above would see if the MTA's side were not TLS."""
    behind = tls_files.postfix(
        mta(Postfix, proxy=True,
            main="smtpd_client_restrictions = reject_plaintext_session\n"),
        tmp_path).start()
    tarryd = ends_tls(behind.port, behind.address)
    with tarryd.connect() as client:
        client.reply()
        client.ask("EHLO c.example")
        client.ask("STARTTLS")
        wire = Wire(client).shake()
        wire.ask("EHLO c.example")
        wire.ask("MAIL FROM:<a@b.example>")
        assert wire.ask("RCPT TO:<c@d.example>").startswith("450 4.7.1")
        wire.ask("QUIT")


def test_who_asks_for_none_gets_none(mta, ends_tls, tmp_path):
    behind = tls_files.postfix(mta(Postfix, proxy=True), tmp_path).start()
    tarryd = ends_tls(behind.port, behind.address, **TLS)
    with tarryd.connect() as client:
        client.reply()
        for text, code in (("EHLO c.example", "250"),
                           ("MAIL FROM:<a@b.example>", "250"),
                           ("RCPT TO:<c@d.example>", "250"),
                           ("DATA", "354"), ("x\r\n.", "250"),
                           ("QUIT", "221")):
            assert client.ask(text).startswith(code), text
    assert b"TLS" not in behind.wait_mail(1)[0]


def test_a_large_mail_arrives_whole(mta, ends_tls, tmp_path):
    behind = tls_files.postfix(mta(Postfix, proxy=True), tmp_path).start()
    tarryd = ends_tls(behind.port, behind.address, **TLS)
    body = b"Subject: odd\r\n\r\n" + b"".join(
        b"%076d\r\n" % i for i in range(100000))
    SENDERS["python"](tarryd, body, None)
    mail = behind.wait_mail(1)[0]
    assert mail.replace(b"\n", b"\r\n").endswith(body[14:])


def test_the_mta_is_heard_in_tls_alone(tls_mta, ends_tls):
    """What a man in the middle puts behind its 220 reaches nobody."""
    behind = tls_mta(go_ahead=GO_AHEAD + b"250 injected\r\n")
    tarryd = ends_tls(behind.port, **NONE, **TLS)
    with ask_tls(tarryd) as client:
        wire = Wire(client).shake()
        assert wire.ask("NOOP") == "250 2.0.0 fine\r\n"
        assert wire.ask("QUIT").startswith("221")
    assert ("TLSv1.3", b"NOOP\r\n") in behind.heard
    assert tarryd.metric("tarry_tls_discarded_bytes_total") == 14


def test_plaintext_of_the_client_is_thrown_away(tls_mta, ends_tls):
    behind = tls_mta()
    tarryd = ends_tls(behind.port, **NONE, **TLS)
    with tarryd.connect() as client:
        client.reply()
        client.send("STARTTLS\r\nRSET\r\n")
        assert client.reply() == GO_AHEAD.decode()
        wire = Wire(client).shake()
        assert wire.ask("QUIT").startswith("221")
    assert not any(b"RSET" in line for _, line in behind.heard)


def test_a_refusal_is_the_clients(tls_mta, ends_tls):
    """The session goes on in the clear; asked again, it is TLS."""
    behind = tls_mta(go_ahead=b"454 4.7.0 not\r\n")
    tarryd = ends_tls(behind.port, **NONE, **TLS)
    with tarryd.connect() as client:
        client.reply()
        assert client.ask("STARTTLS") == "454 4.7.0 not\r\n"
        assert client.ask("NOOP") == "250 2.0.0 fine\r\n"
        behind.go_ahead = GO_AHEAD
        assert client.ask("STARTTLS") == GO_AHEAD.decode()
        wire = Wire(client).shake()
        assert wire.ask("QUIT").startswith("221")
    assert wait_line(tarryd)["mta_tls"] == "yes"


@pytest.mark.parametrize("version, why", [
    (ssl.TLSVersion.TLSv1_1, "alert|version|protocol"), (None, "closed")])
def test_a_bad_handshake_is_told(tls_mta, ends_tls, version, why):
    """The client has heard no 220 then, and is closed."""
    behind = tls_mta(keeps_version=version)
    if version is None:
        behind.context = Hangs()
    tarryd = ends_tls(behind.port, **NONE, **TLS)
    for sessions in (1, 2):
        with tarryd.connect() as client:
            client.reply()
            client.ask("EHLO c.example")
            client.send("STARTTLS\r\n")
            assert client.line() == b""
        line = wait_line(tarryd, sessions)
    if version is not None:
        assert line["reason"] == "mta_tls_failed"
    said = re.findall("fails: ([^;]*);", tarryd.log)
    assert len(said) == 1 and re.search(why, said[0]), said


class Hangs:
    """In place of an SSL context: closes instead of shaking hands."""

    def wrap_socket(self, client, server_side):
        client.recv(65536)
        client.shutdown(socket.SHUT_RDWR)
        raise ssl.SSLError("closes")


def test_an_mta_that_offers_none(start_sink, ends_tls):
    tarryd = ends_tls(start_sink().port, **TLS)
    assert tarryd.wait_log("MTA does not offer STARTTLS")
    with tarryd.connect() as client:
        client.reply()
        assert "STARTTLS" not in client.ask("EHLO c.example")
        assert client.ask("STARTTLS").startswith("50")
        assert client.ask("QUIT").startswith("221")


def test_it_can_change_under_sessions(tls_mta, place, running):
    """Who is inside stays there, on both sides."""
    behind = tls_mta()
    tarryd = own(place, running, behind.port, **NONE, **TLS, **QUICK)
    path = place / "tarry.ini"

    def reload(tls, reloads):
        path.write_text(re.sub(r"(\n\[mta\]\n(?:.+\n)*?tls = )\w+",
                               rf"\g<1>{tls}", path.read_text()))
        tarryd.send_signal(signal.SIGHUP)
        wait_until(lambda: tarryd.log.count("and is in force") == reloads,
                   "a reload")

    def answer():
        with tarryd.connect() as client:
            client.reply()
            return client.ask("STARTTLS")
    with ask_tls(tarryd) as inside:
        wire = Wire(inside).shake()
        reload("none", 1)
        wait_until(lambda: "Ready to start" in answer(), "our own STARTTLS")
        assert wire.ask("NOOP").startswith("250")
        reload("starttls", 2)
        wait_until(lambda: answer() == GO_AHEAD.decode(), "the MTA's")
        assert wire.ask("QUIT").startswith("221")
    assert [how for how, line in behind.heard if line == b"NOOP\r\n"] == [
        "TLSv1.3"]


def test_replies_of_an_mta_that_is_not_waited_for(tls_mta, ends_tls):
    """Many commands at once, both sides full: all the replies, in order."""
    behind = tls_mta()
    tarryd = ends_tls(behind.port, **NONE, **TLS)
    count = 20000
    with ask_tls(tarryd) as client:
        wire = Wire(client).shake()
        wire.tls.write(b"NOOP\r\n" * count + b"QUIT\r\n")
        sender = threading.Thread(target=client.send,
                                  args=(wire.outgoing.read(),))
        sender.start()
        got = bytearray()
        while part := wire.pull(wire.tls.read, 1 << 20):
            got += part
        sender.join(DEADLINE)
    assert got == b"250 2.0.0 fine\r\n" * count + b"221 2.0.0 bye\r\n"


def test_a_slow_upload_arrives_whole(tls_mta, ends_tls):
    behind = tls_mta()
    tarryd = ends_tls(
        behind.port, **NONE, **TLS, rule_everyone__class="slow",
        class_slow__greet="0s", class_slow__reply="0s", class_slow__error="0s",
        class_slow__drip=None, class_slow__data_rate="32k")
    body = b"Subject: x\r\n\r\n" + b"".join(
        b"%070d\r\n" % i for i in range(1000))
    SENDERS["python"](tarryd, body, None)
    assert behind.mails[-1].endswith(body[-60000:])
    assert int(wait_line(tarryd)["held_ms"]) > 1000


def test_openssl_checks_the_client_side(tls_mta, ends_tls):
    """openssl s_client as the sender: nothing of the MTA's certificate
    reaches it."""
    behind = tls_mta()
    tarryd = ends_tls(behind.port, **NONE, **TLS)
    done = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{tarryd.port}",
         "-starttls", "smtp", "-CAfile", tarryd.ca, "-verify_hostname", NAME,
         "-verify_return_error", "-quiet"], input="QUIT\r\n",
        capture_output=True, text=True, timeout=DEADLINE)
    assert "221 2.0.0 bye" in done.stdout, done.stderr
