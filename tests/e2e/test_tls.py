"""TLS that ends in tarryd: real clients, real MTAs, and peers that cheat.

The MTA behind gets the mail in the clear; the clients see our certificate.
"""
import pathlib
import re
import signal
import smtplib
import socket
import ssl
import subprocess
import threading
import time

import pytest

import tls_files
from conftest import (BUILD, DEADLINE, WRAP, Client, Tarryd, shipped_config,
                      wait_until)
from mta import Exim, Postfix, mta, proxy_for  # noqa: F401
from test_hello import lines, wait_line
from test_mail import BODY, below_received, sink_mail
from test_reload import place  # noqa: F401

NAME = "mx.tarry.example"
QUICK = {"class_new__greet": "0s", "class_new__teaser": "no"}


def certificate(place, name=NAME, stem="a"):
    """Files of a new certificate, for [tls]; returns their two paths."""
    where = place / f"make-{stem}"
    where.mkdir(exist_ok=True)
    tls_files.make(where, name)
    for kind in ("crt", "key"):
        put = place / f"{stem}.{kind}"
        new = place / f"{stem}.{kind}.new"
        new.write_bytes((where / f"tls.{kind}").read_bytes())
        new.chmod(0o644)
        new.rename(put)
    return {"tls__certificate": place / f"{stem}.crt",
            "tls__key": place / f"{stem}.key"}


@pytest.fixture
def ends_tls(place, proxy_for):
    """ends_tls(MTA's port, key=value ..) -> a Tarryd; .ca is its
    certificate."""
    def start(port, address="127.0.0.1", **keys):
        files = certificate(place)
        tarryd = proxy_for(address, port, tls__mode="terminate", **files,
                           **{**QUICK, **keys}).wait_ready()
        tarryd.ca = files["tls__certificate"]
        return tarryd
    return start


def trusting(tarryd):
    return ssl.create_default_context(cafile=tarryd.ca)


class Python(smtplib.SMTP):
    """Checks the certificate for our name, wherever it connects to."""

    def __init__(self, tarryd, context=None):
        super().__init__("127.0.0.1", tarryd.port, timeout=DEADLINE)
        self.ehlo("c.example")
        self._host = NAME
        self.starttls(context=context or trusting(tarryd))


def python_sends(tarryd, body, path):
    with Python(tarryd) as client:
        client.ehlo("c.example")
        assert not client.has_extn("starttls")
        client.sendmail("a@b.example", ["c@d.example"], body)


def swaks_sends(tarryd, body, path):
    path.write_bytes(body.replace(b"\r\n", b"\n"))
    done = subprocess.run(
        ["swaks", "--server", "127.0.0.1", "--port", str(tarryd.port),
         "--tls", "--from", "a@b.example", "--to", "c@d.example", "--ehlo",
         "c.example", "--suppress-data", "--data", f"@{path}"],
        text=True, errors="replace", stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, timeout=DEADLINE)
    assert done.returncode == 0, done.stdout
    assert "TLS started with cipher" in done.stdout


def curl_sends(tarryd, body, path):
    path.write_bytes(body)
    done = subprocess.run(
        ["curl", "-sSv", "--ssl-reqd", "--cacert", tarryd.ca, "--connect-to",
         f"{NAME}:{tarryd.port}:127.0.0.1:{tarryd.port}", "--mail-from",
         "a@b.example", "--mail-rcpt", "c@d.example", "--upload-file", path,
         f"smtp://{NAME}:{tarryd.port}/c.example"],
        text=True, errors="replace", stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, timeout=DEADLINE)
    assert done.returncode == 0, done.stdout


SENDERS = {"python": python_sends, "swaks": swaks_sends, "curl": curl_sends}


@pytest.mark.parametrize("sender", SENDERS)
def test_real_clients(start_sink, ends_tls, tmp_path, sender):
    sink = start_sink()
    tarryd = ends_tls(sink.port)
    body = BODY if sender == "python" else BODY.replace(b"\xff", b"y")
    SENDERS[sender](tarryd, body, tmp_path / "body")
    got = sink_mail(sink, 1)[0]
    assert got.split(b"trailing blanks")[0].endswith(
        body.split(b"trailing blanks")[0][-1200:])
    line = wait_line(tarryd)
    assert line["tls_version"] == "TLSv1.3" and line["tls"] == "yes"
    assert line["messages"] == "1" and line["reason"] == "quit"
    assert line["recipients"] == "1"
    for what, count in (("starttls_reply", 1), ("ehlo_starttls_added", 1),
                        ("ehlo_starttls_removed", 0)):
        assert tarryd.metric(
            f'tarry_own_words_total{{what="{what}"}}') == count
    assert tarryd.metric('tarry_tls_handshakes_total{result="done"}') == 1
    assert tarryd.metric("tarry_tls_handshake_seconds_count") == 1
    ends = tarryd.metric("tarry_tls_certificate_not_after_timestamp_seconds")
    assert 29 < (ends - time.time()) / 86400 < 31


@pytest.mark.parametrize("kind", [Postfix, Exim])
def test_real_mtas(mta, ends_tls, tmp_path, kind):
    """Of both kinds: one offers STARTTLS itself, so that the keyword is kept
    and then taken out; what it logs is the client's address, and no TLS."""
    if kind is Postfix:
        behind = tls_files.postfix(mta(Postfix, proxy=True), tmp_path).start()
        keys = {}
    else:
        behind = tls_files.exim(mta(Exim), tmp_path).start()
        keys = {"mta__client_address": "none",
                "mta__open_relay_checked": "yes"}
    tarryd = ends_tls(behind.port, behind.address, **keys)
    python_sends(tarryd, BODY.replace(b"\0", b""), tmp_path / "body")
    mail = behind.wait_mail(1)[0]
    assert below_received(mail).startswith(b"Subject: odd")
    assert b"TLS" not in mail.split(b"Subject: odd")[0]
    line = wait_line(tarryd)
    assert line["messages"] == "1" and line["tls_version"] == "TLSv1.3"
    assert tarryd.metric(
        'tarry_own_words_total{what="ehlo_starttls_removed"}') == 1
    assert tarryd.metric(
        'tarry_own_words_total{what="ehlo_starttls_added"}') == 0


class Wire:
    """TLS by hand over a Client that has said STARTTLS."""

    def __init__(self, client, context=None):
        context = context or ssl._create_unverified_context()
        self.client = client
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing,
                                    server_hostname=NAME)
        self.rest = b""

    def push(self):
        self.client.send(self.outgoing.read())

    def pull(self, step, *words):
        while True:
            try:
                got = step(*words)
                self.push()
                return got
            except ssl.SSLWantReadError:
                self.push()
                data = self.client.socket.recv(65536)
                if data:
                    self.incoming.write(data)
                else:
                    self.incoming.write_eof()

    def shake(self):
        self.pull(self.tls.do_handshake)
        return self

    def say(self, text):
        self.tls.write(text.encode())
        self.push()

    def line(self):
        while b"\n" not in self.rest:
            got = self.pull(self.tls.read, 65536)
            if not got:
                return b""
            self.rest += got
        line, self.rest = self.rest.split(b"\n", 1)
        return line + b"\n"

    def reply(self):
        while True:
            line = self.line()
            if line[3:4] != b"-":
                return line.decode()

    def ask(self, text):
        self.say(text + "\r\n")
        return self.reply()


def start_tls(tarryd, behind="", source="127.0.0.1"):
    client = tarryd.connect(source)
    assert client.reply().startswith("220")
    client.send("STARTTLS\r\n" + behind)
    assert client.reply() == "220 2.0.0 Ready to start TLS\r\n"
    return client


def test_plaintext_behind_starttls_is_thrown_away(start_sink, ends_tls):
    sink = start_sink()
    tarryd = ends_tls(sink.port)
    evil = "EHLO evil\r\nMAIL FROM:<evil@b.example>\r\n"
    with start_tls(tarryd, evil) as client:
        wire = Wire(client).shake()
        assert wire.ask("EHLO c.example").startswith("250")
        # Its MAIL would have made this a good one.
        assert wire.ask("RCPT TO:<c@d.example>").startswith("503")
        assert wire.ask("QUIT").startswith("221")
    assert tarryd.metric("tarry_tls_discarded_bytes_total") == len(evil)
    assert wait_line(tarryd)["reason"] == "quit"


@pytest.mark.parametrize("said, alert, why", [
    (b"EHLO c.example\r\n", b"", "wrong version number"),
    (b"\x16\x03\x01\x00\x04\x02\x00\x00\x00", b"\x15",
     "unexpected message")])
def test_a_bad_handshake_hears_no_reply(start_sink, ends_tls, said, alert,
                                        why):
    """An alert, where OpenSSL has one for it, and the end."""
    tarryd = ends_tls(start_sink().port)
    with start_tls(tarryd) as client:
        client.send(said)
        assert client.socket.recv(100)[:1] == alert
        assert client.socket.recv(100) == b""
    line = wait_line(tarryd)
    assert line["reason"] == "tls_failed"
    assert why in line["tls_error"]
    assert tarryd.metric('tarry_tls_handshakes_total{result="failed"}') == 1
    assert "TLS handshake failed" in line["why"]


def test_old_versions_are_refused(start_sink, ends_tls, tmp_path,
                                  monkeypatch):
    """By tarryd, even where the system's OpenSSL would take them."""
    conf = tmp_path / "openssl.cnf"
    conf.write_text("openssl_conf = a\n[a]\nssl_conf = b\n[b]\n"
                    "system_default = c\n[c]\nMinProtocol = TLSv1\n"
                    "CipherString = ALL:@SECLEVEL=0\n")
    conf.chmod(0o644)
    monkeypatch.setenv("OPENSSL_CONF", str(conf))
    tarryd = ends_tls(start_sink().port)
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    with start_tls(tarryd) as client, pytest.raises(ssl.SSLError):
        Wire(client, old).shake()
    line = wait_line(tarryd)
    assert line["reason"] == "tls_failed"
    assert "unsupported protocol" in line["tls_error"]


def test_leaving_in_a_delay_is_giving_up(start_sink, ends_tls):
    """A client that is held inside TLS is noticed when it goes."""
    tarryd = ends_tls(start_sink().port, rule_everyone__class="watch",
                      class_watch__greet="0s", class_watch__teaser="no",
                      class_watch__reply="9s")
    with start_tls(tarryd) as client:
        wire = Wire(client).shake()
        wire.say("EHLO c.example\r\n")
        wait_until(lambda: tarryd.metric("tarry_connections_held") == 1,
                   "the reply to be held")
    line = wait_line(tarryd)
    assert line["reason"] == "gave_up" and line["tls_version"] == "TLSv1.3"


def test_a_client_that_leaves_in_the_handshake(start_sink, ends_tls):
    tarryd = ends_tls(start_sink().port)
    with start_tls(tarryd) as client:
        client.send(b"\x16\x03\x01")
    assert wait_line(tarryd)["reason"] == "client_closed"


def test_renegotiation_is_refused(start_sink, ends_tls):
    tarryd = ends_tls(start_sink().port)
    done = subprocess.run(
        ["openssl", "s_client", "-starttls", "smtp", "-tls1_2", "-crlf",
         "-connect", f"127.0.0.1:{tarryd.port}"],
        input="R\n", text=True, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, timeout=DEADLINE)
    assert "RENEGOTIATING" in done.stdout
    assert "no renegotiation" in done.stdout


def own(place, running, port, **keys):
    """A Tarryd whose configuration its own user can read again."""
    files = certificate(place)
    text = shipped_config(
        listen_smtp__address="127.0.0.1:0",
        http__address="127.0.0.1:0", syn__sidecar="", syn__labels="",
        **{"mta__address": f"127.0.0.1:{port}", "tls__mode": "terminate",
           **files, **keys})
    # The shipped file has two.
    text = re.sub(r"(?m)^(address = 127.0.0.1:0)\n\1$", r"\1", text)
    path = place / "tarry.ini"
    path.write_text(text)
    tarryd = Tarryd(place / "tarryd.log", ["-c", path])
    running.append(tarryd)
    tarryd.wait_ready()
    tarryd.ca = files["tls__certificate"]
    return tarryd


def test_implicit(start_sink, place, running):
    """The teaser and the greet delay come inside TLS."""
    sink = start_sink()
    tarryd = own(place, running, sink.port, listen_smtp__tls="implicit",
                 class_new__greet="1s")
    context = trusting(tarryd)
    context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
    with socket.create_connection(("127.0.0.1", tarryd.port),
                                  DEADLINE) as raw:
        tls = context.wrap_socket(raw, server_hostname=NAME,
                                  suppress_ragged_eofs=False)
        client = Client.__new__(Client)
        client.socket, client.rest = tls, b""
        assert client.line().startswith(b"220-")
        assert client.line().startswith(b"220 ")
        assert "STARTTLS" not in client.ask("EHLO c.example")
        assert client.ask("MAIL FROM:<a@b.example>").startswith("250")
        assert client.ask("QUIT").startswith("221")
        assert tls.recv(1) == b""  # close_notify, or this raises
    line = wait_line(tarryd)
    assert line["tls_sni"] == NAME and int(line["greet_ms"]) >= 1000
    assert line["reason"] == "quit"


def test_names(start_sink, place, proxy_for):
    """Each name gets its certificate; no name, or another, the first."""
    one, two = certificate(place), certificate(place, "two.example", "b")
    both = {key: f"{one[key]}, {two[key]}" for key in one}
    tarryd = proxy_for("127.0.0.1", start_sink().port, tls__mode="terminate",
                       **both, **QUICK).wait_ready()

    def subject(*words):
        done = subprocess.run(
            ["openssl", "s_client", "-starttls", "smtp", "-connect",
             f"127.0.0.1:{tarryd.port}", *words], input="QUIT\n", text=True,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            timeout=DEADLINE)
        return re.search(r"subject=.*?CN = (\S+)", done.stdout)[1]
    assert subject("-servername", "two.example") == "two.example"
    assert subject("-servername", NAME) == NAME
    assert subject("-servername", "other.example") == NAME
    assert subject("-noservername") == NAME


def test_beyond_max_sessions_starttls_is_the_mtas(start_sink, ends_tls):
    """The sink has none: so none is offered, and the mail goes on."""
    tarryd = ends_tls(start_sink().port, tls__max_sessions="1")
    with start_tls(tarryd) as first:
        wire = Wire(first).shake()
        with tarryd.connect() as client:
            client.reply()
            assert "STARTTLS" not in client.ask("EHLO c.example")
            assert client.ask("STARTTLS").startswith("50")
            assert client.ask("QUIT").startswith("221")
        assert wire.ask("QUIT").startswith("221")
    wait_line(tarryd, 2)
    with start_tls(tarryd) as again:
        assert Wire(again).shake().ask("QUIT").startswith("221")


def test_half_close_before_the_dots_reply(start_sink, ends_tls):
    """close_notify, then FIN: what the MTA says behind it still arrives."""
    sink = start_sink()
    tarryd = ends_tls(sink.port)
    with start_tls(tarryd) as client:
        wire = Wire(client).shake()
        for text in ("EHLO c.example", "MAIL FROM:<a@b.example>",
                     "RCPT TO:<c@d.example>", "DATA"):
            assert wire.ask(text)[0] in "23"
        wire.tls.write(b"Subject: x\r\n\r\nx\r\n.\r\nQUIT\r\n")
        with pytest.raises(ssl.SSLWantReadError):
            wire.tls.unwrap()
        wire.push()
        client.socket.shutdown(socket.SHUT_WR)
        data = b""
        while got := client.socket.recv(65536):
            data += got
    assert data[:1] == b"\x17"  # two replies, in records of their own
    line = wait_line(tarryd)
    assert line["messages"] == "1" and line["reason"] == "quit"
    sink_mail(sink, 1)


def test_a_client_that_does_not_read(start_sink, ends_tls):
    """Commands until every buffer on the way is full; then all the replies
    are there."""
    tarryd = ends_tls(start_sink().port)
    count = 80000
    client = Client.__new__(Client)
    client.rest, client.socket = b"", socket.socket()
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 131072)
    client.socket.settimeout(DEADLINE)
    client.socket.connect(("127.0.0.1", tarryd.port))
    with client:
        client.reply()
        assert client.ask("STARTTLS").startswith("220")
        wire = Wire(client).shake()
        for _ in range(count // 1000):
            wire.tls.write(b"EHLO c\r\n" * 1000)
        wire.tls.write(b"QUIT\r\n")
        data = wire.outgoing.read()
        sender = threading.Thread(target=client.send, args=(data,))
        sender.start()
        wait_until(lambda: tarryd.metric("tarry_buffers_used") > 0, "a full socket")
        got = bytearray()
        while part := wire.pull(wire.tls.read, 1 << 20):
            got += part
        sender.join(DEADLINE)
    assert got.count(b"\n250 ENHANCEDSTATUSCODES\r\n") == count
    assert re.search(rb"\r\n221 [^\n]*\n\Z", got)


@pytest.mark.parametrize("pieces", [1, 7, 1400])
def test_records_in_pieces(start_sink, ends_tls, pieces):
    sink = start_sink()
    tarryd = ends_tls(sink.port)
    with start_tls(tarryd) as client:
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        whole = client.send

        def send(data):
            data = data if isinstance(data, bytes) else data.encode()
            for i in range(0, len(data), pieces):
                whole(data[i:i + pieces])
        client.send = send
        wire = Wire(client).shake()
        for text in ("EHLO c.example", "MAIL FROM:<a@b.example>",
                     "RCPT TO:<c@d.example>", "DATA"):
            assert wire.ask(text)[0] in "23"
        assert wire.ask("x\r\n" * 1000 + ".").startswith("250")
        assert wire.ask("QUIT").startswith("221")
    assert sink_mail(sink, 1)[0].endswith(b"x\r\n" * 1000)


def test_a_slow_upload_arrives_whole(start_sink, ends_tls):
    """Records of 16 KiB at 32 KiB a second."""
    sink = start_sink()
    tarryd = ends_tls(
        sink.port, rule_everyone__class="slow", class_slow__greet="0s",
        class_slow__reply="0s", class_slow__error="0s", class_slow__drip=None,
        class_slow__data_rate="32k")
    body = b"Subject: x\r\n\r\n" + b"".join(
        b"%070d\r\n" % i for i in range(1000))
    python_sends(tarryd, body, None)
    assert sink_mail(sink, 1)[0].endswith(body[-60000:])
    assert int(wait_line(tarryd)["held_ms"]) > 1000


def test_the_mode_can_change_under_sessions(start_sink, place, running):
    """terminate to pass and back; who is inside TLS stays there."""
    tarryd = own(place, running, start_sink().port, **QUICK)
    path = place / "tarry.ini"

    def offered(mode, reloads):
        path.write_text(re.sub(r"(?m)^mode = (pass|terminate)$",
                               f"mode = {mode}", path.read_text()))
        tarryd.send_signal(signal.SIGHUP)
        wait_until(lambda: tarryd.log.count("and is in force") == reloads,
                   "a reload")

        def look():
            with tarryd.connect() as client:
                client.reply()
                return "STARTTLS" in client.ask("EHLO c.example")
        return look
    with start_tls(tarryd) as inside:
        wire = Wire(inside).shake()
        look = offered("pass", 1)
        wait_until(lambda: not look(), "STARTTLS to be gone")
        assert wire.ask("EHLO c.example").startswith("250")
        wait_until(offered("terminate", 2), "STARTTLS to be back")
        assert wire.ask("QUIT").startswith("221")


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_sessions_are_resumed(start_sink, ends_tls, tmp_path, version):
    tarryd = ends_tls(start_sink().port)
    for words in (["-sess_out", tmp_path / "s"], ["-sess_in", tmp_path / "s"]):
        done = subprocess.run(
            ["openssl", "s_client", "-starttls", "smtp", "-crlf", version,
             "-ign_eof", *words, "-connect", f"127.0.0.1:{tarryd.port}"],
            input="QUIT\n", text=True, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, timeout=DEADLINE)
        assert "221 2.0.0" in done.stdout
    assert wait_line(tarryd, 2)["tls_resumed"] == "yes"
    for result in ("done", "resumed"):
        assert tarryd.metric(
            f'tarry_tls_handshakes_total{{result="{result}"}}') == 1


@pytest.mark.skipif(bool(WRAP) or "asan" in str(BUILD),
                    reason="measures memory")
def test_what_a_held_session_costs(start_sink, place, running):
    """At most 24 KiB each: sessions whose greeting is held inside TLS."""
    count = 300
    tarryd = own(place, running, start_sink().port,
                 listen_smtp__tls="implicit", class_new__greet="20s",
                 class_new__teaser="no", class_new__client_sessions=None)
    context = ssl._create_unverified_context()

    def rss():
        text = pathlib.Path(f"/proc/{tarryd.process.pid}/smaps_rollup")
        return int(re.search(r"Rss:\s+(\d+)", text.read_text())[1]) * 1024

    def hold():
        raw = socket.create_connection(("127.0.0.1", tarryd.port), DEADLINE)
        return context.wrap_socket(raw, server_hostname=NAME)

    def held():
        return tarryd.metric("tarry_connections_held")
    all_ = [hold() for _ in range(50)]  # what is paid once
    wait_until(lambda: held() == 50, "50 sessions held")
    before = rss()
    all_ += [hold() for _ in range(count)]
    wait_until(lambda: held() == 50 + count, "all of them held")
    each = (rss() - before) / count
    print(f"{each:.0f} bytes a held TLS session")
    for client in all_:
        client.close()
    assert each <= 24 * 1024
