"""TLS that passes through: its first message is read, and nothing changed.

What is expected of JA4 is computed by ja4.py, which shares no code with what
is tested, from the very bytes that the client sent or, for clients that are
programs, from what the same program sends to a server of ours.
"""
import json
import re
import shutil
import socket
import ssl
import subprocess
import sys
import threading

import pytest

import ja4
import tls_files
from conftest import DEADLINE, Client, Tarryd, shipped_config, wait_until
from mta import Exim, Postfix, mta, proxy_for  # noqa: F401
from test_reload import place  # noqa: F401

WORST = """
[class heavy]
greet = 1s
reply = 9s
error = 9s
data_rate = 4k
[rule tls13]
ja4 = t13*
class = heavy
"""


def lines(tarryd):
    """The log lines of sessions that are over."""
    return [dict(re.findall(r'(\w+)=("[^"]*"|\S+)', line))
            for line in tarryd.log.splitlines() if "event=session" in line]


def wait_line(tarryd, count=1):
    return wait_until(
        lambda: len(lines(tarryd)) >= count and lines(tarryd)[-1],
        f"{count} sessions in the log")


class Tls:
    """TLS by a memory BIO: who has it sees each byte that goes out."""

    def __init__(self, client, name=None, protocols=(), version=None):
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        if protocols:
            context.set_alpn_protocols(list(protocols))
        if version:
            context.maximum_version = version
        self.client, self.sent = client, b""
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.object = context.wrap_bio(self.incoming, self.outgoing,
                                       server_hostname=name)
        with pytest.raises(ssl.SSLWantReadError):
            self.object.do_handshake()
        self.hello = self.outgoing.read()

    def flush(self):
        out = self.outgoing.read()
        if out:
            self.client.send(out)

    def run(self, step, *words):
        while True:
            try:
                result = step(*words)
                self.flush()
                return result
            except ssl.SSLWantReadError:
                self.flush()
                got = self.client.socket.recv(65536)
                assert got, "the MTA left"
                self.incoming.write(got)

    def shake(self):
        self.run(self.object.do_handshake)

    def ask(self, text):
        self.run(self.object.write, text.encode())
        reply = b""
        while not re.search(rb"^\d\d\d [^\n]*\n\Z", reply, re.M):
            reply += self.run(self.object.read, 65536)
        return reply.decode()


def records(hello, size):
    """The one record of a hello as records of `size` bytes."""
    body = hello[5:]
    return b"".join(
        hello[:3] + len(body[i:i + size]).to_bytes(2, "big") +
        body[i:i + size] for i in range(0, len(body), size))


def start_tls(client):
    client.reply()
    assert "STARTTLS" in client.ask("EHLO c.example")
    assert client.ask("STARTTLS").startswith("220")


def mail(tls):
    assert tls.ask("EHLO c.example\r\n").startswith("250")
    for line in ("MAIL FROM:<a@b.example>", "RCPT TO:<c@d.example>"):
        assert tls.ask(line + "\r\n").startswith("250")
    assert tls.ask("DATA\r\n").startswith("354")
    assert tls.ask("Subject: x\r\n\r\nhello\r\n.\r\n").startswith("250")
    assert tls.ask("QUIT\r\n").startswith("221")


def by_byte(client, data):
    client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for i in range(len(data)):
        client.send(data[i:i + 1])


@pytest.mark.parametrize("kind", [Postfix, Exim])
@pytest.mark.parametrize("way, name, protocols, version", [
    ("whole", "mta.example", (), None),
    ("bytes", None, ("smtp",), None),
    ("records", "mta.example", (), None),
    ("whole", None, (), ssl.TLSVersion.TLSv1_2),
])
def test_a_hello_is_read_on_its_way(mta, proxy_for, tmp_path, kind,  # noqa
                                    way, name, protocols, version):
    behind = {Postfix: tls_files.postfix, Exim: tls_files.exim}[kind](
        mta(kind), tmp_path).start()
    tarryd = proxy_for(behind.address, behind.port,
                       mta__client_address="none",
                       mta__open_relay_checked="yes").wait_ready()
    with Client(tarryd.port) as client:
        start_tls(client)
        tls = Tls(client, name, protocols, version)
        hello = records(tls.hello, 61) if way == "records" else tls.hello
        if way == "bytes":
            by_byte(client, hello)
        else:
            client.send(hello)
        tls.shake()
        mail(tls)
        raw = ja4.raw(hello)
    assert b"hello" in behind.wait_mail(1)[0]
    line = wait_line(tarryd)
    assert line["ja4"] == ja4.short(raw)
    assert line["tls"] == "yes"
    assert line.get("tls_sni") == name
    assert raw.startswith("t12" if version else "t13")
    assert tarryd.metric('tarry_tls_hellos_total{result="read"}') == 1


def caught_hello(words):
    """What a program that is told a port says first in TLS."""
    got = []

    def serve(server):
        peer = server.accept()[0]
        peer.settimeout(DEADLINE)
        peer.sendall(b"220 mta.example ESMTP\r\n")
        stream = peer.makefile("rb")
        for line in stream:
            if line.upper().startswith(b"STARTTLS"):
                break
            peer.sendall(b"250-mta.example\r\n250 STARTTLS\r\n")
        peer.sendall(b"220 go\r\n")
        head = stream.read(5)
        got.append(head + stream.read(int.from_bytes(head[3:5], "big")))
        peer.close()

    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(DEADLINE)
        thread = threading.Thread(target=serve, args=(server,))
        thread.start()
        run_client(words, server.getsockname()[1])
        thread.join()
    return got[0]


def run_client(words, port):
    return subprocess.run(
        [word.replace("PORT", str(port)) for word in words],
        input="QUIT\r\n", text=True, timeout=DEADLINE * 2,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


SMTPLIB = """
import smtplib, ssl
with smtplib.SMTP("127.0.0.1", PORT, timeout=30) as client:
    client.starttls(context=ssl._create_unverified_context())
    client.sendmail("a@b.example", ["c@d.example"], "Subject: x\\r\\n\\r\\nx")
"""
PROGRAMS = {
    "openssl": ["openssl", "s_client", "-quiet", "-starttls", "smtp",
                "-connect", "127.0.0.1:PORT", "-servername", "mx.example"],
    "old": ["openssl", "s_client", "-quiet", "-starttls", "smtp", "-tls1_2",
            "-connect", "127.0.0.1:PORT", "-noservername"],
    "curl": ["curl", "-sk", "--ssl-reqd", "smtp://127.0.0.1:PORT/c.example",
             "--mail-from", "a@b.example", "--mail-rcpt", "c@d.example",
             "-T", "/etc/hostname"],
    "smtplib": [sys.executable, "-c", SMTPLIB],
    "swaks": ["swaks", "--server", "127.0.0.1", "--port", "PORT", "-tls",
              "--from", "a@b.example", "--to", "c@d.example"],
}


EXIM_CLIENT = """\
begin acl
begin routers
all:
  driver = manualroute
  transport = out
  route_list = * 127.0.0.1
  self = send
begin transports
out:
  driver = smtp
  port = ${readfile{/etc/to-port}{}}
  hosts_require_tls = *
"""


def mta_programs(mta):  # noqa: F811
    """Postfix's and Exim's own TLS, each from within its root."""
    postfix, exim = mta(Postfix), mta(Exim)
    exim.write("etc/exim4/exim4.conf", "\n".join(
        ["primary_hostname = c.example", "keep_environment =",
         "spool_directory = /var/spool/exim4",
         "log_file_path = /var/log/exim-%s", EXIM_CLIENT]))
    return {
        "postfix": ["chroot", str(postfix.root), "/usr/sbin/posttls-finger",
                    "-c", "-l", "encrypt", "[127.0.0.1]:PORT"],
        "exim": ["sh", "-c", f"echo PORT >{exim.root}/etc/to-port && exec "
                 f"chroot {exim.root} /usr/sbin/exim4 -odf -f '<>' "
                 "c@d.example"]}


def test_programs_are_told_apart(mta, proxy_for, tmp_path):  # noqa: F811
    """As far as they differ: swaks and smtplib are OpenSSL as it comes."""
    behind = tls_files.postfix(mta(Postfix), tmp_path).start()
    tarryd = proxy_for(behind.address, behind.port,
                       mta__client_address="none",
                       mta__open_relay_checked="yes").wait_ready()
    seen = set()
    tried = 0
    for name, words in {**PROGRAMS, **mta_programs(mta)}.items():
        if shutil.which(words[0]) is None or name == "swaks" and \
                subprocess.run(["perl", "-MNet::SSLeay", "-e", "1"],
                               capture_output=True).returncode:
            continue
        tried += 1
        want = ja4.short(ja4.raw(caught_hello(words)))
        done = run_client(words, tarryd.port)
        assert done.returncode == 0, (name, done.stdout)
        assert wait_line(tarryd, tried)["ja4"] == want, name
        seen.add(want)
    assert tried >= 6
    assert len(seen) >= 6


def test_a_rule_asks_for_it(mta, running, tmp_path, place):  # noqa: F811
    """The plan made behind the hello never delays what TLS says."""
    behind = tls_files.postfix(mta(Postfix), tmp_path).start()
    place.chmod(0o777)  # tarryd runs as somebody else
    path = place / "tarry.ini"
    path.write_text(WORST + shipped_config(
        class_new__greet="0s", mta__client_address="none",
        mta__open_relay_checked="yes", http__address="127.0.0.1:0",
        syn__sidecar="", syn__labels="",
        journal__path=str(place / "journal")))
    tarryd = Tarryd(tmp_path / "tarryd.log",
                    ["-c", path, "-l", "127.0.0.1:0",
                     f"{behind.address}:{behind.port}"])
    running.append(tarryd)
    tarryd.wait_ready()
    for version in (None, ssl.TLSVersion.TLSv1_2):
        with Client(tarryd.port) as client:
            client.socket.settimeout(5)  # a reply of `heavy` takes 9 s
            start_tls(client)
            tls = Tls(client, version=version)
            client.send(tls.hello)
            tls.shake()
            mail(tls)
    wait_line(tarryd, 2)
    first, second = lines(tarryd)
    assert (first["rule"], first["class"]) == ("tls13", "heavy")
    assert second["rule"] == "everyone"
    assert first["replies_held"] == "0"
    tarryd.stop()
    facts = [json.loads(line)["facts"]
             for line in (place / "journal").read_text().splitlines()
             if json.loads(line)["ev"] == "plan"]
    known = [fact for fact in facts if "ja4" in fact]
    assert {fact["ja4"] for fact in known} == {first["ja4"], second["ja4"]}
    assert all(ja4.short(fact["ja4_r"]) == fact["ja4"] for fact in known)


@pytest.mark.parametrize("says, result", [
    (b"EHLO injected\r\nMAIL FROM:<a@b.example>\r\n", "not_tls"),
    (b"\x80\x2e\x01\x03\x01\x00\x15\x00\x00\x00\x10" + b"\x01" * 40,
     "not_tls"),
    (b"\x16\x03\x01\x00\x10\x01\x00\x00\x0c\x03\x03" + b"\x05" * 30,
     "broken"),
    (b"\x16\x03\x01\x40\x00\x01\xff\xff\xff" + b"\x05" * 300, "too_long"),
    (b"\x16\x03\x01\x02", "unfinished"),
])
def test_what_is_no_hello_is_counted(mta, proxy_for, tmp_path,  # noqa: F811
                                     says, result):
    behind = tls_files.postfix(mta(Postfix), tmp_path).start()
    tarryd = proxy_for(behind.address, behind.port,
                       mta__client_address="none",
                       mta__open_relay_checked="yes").wait_ready()
    with Client(tarryd.port) as client:
        start_tls(client)
        client.send(says)
        client.socket.shutdown(socket.SHUT_WR)
        while client.socket.recv(65536):
            pass
    line = wait_line(tarryd)
    assert "ja4" not in line
    assert line["tls_hello"] == ("more" if result == "unfinished" else result)
    assert tarryd.metric(
        f'tarry_tls_hellos_total{{result="{result}"}}') == 1


@pytest.mark.parametrize("listener", ["starttls", "implicit"])
def test_where_tls_ends_here_it_is_read_too(start_sink, running,  # noqa
                                            tmp_path, place, listener):
    """On a listener of implicit TLS even the greeting can follow from it."""
    sink = start_sink()
    place.chmod(0o777)
    (place / "tls.pem").write_text(tls_files.make(tmp_path))
    path = place / "tarry.ini"
    path.write_text(WORST + shipped_config(
        class_new__greet="200ms", http__address="127.0.0.1:0",
        syn__sidecar="", syn__labels="", tls__mode="terminate",
        tls__certificate=str(place / "tls.pem"),
        listen_smtp__address="127.0.0.1:0", listen_smtp__tls=listener,
        mta__address=f"127.0.0.1:{sink.port}"))
    tarryd = Tarryd(tmp_path / "tarryd.log", ["-c", path])
    running.append(tarryd)
    tarryd.wait_ready()
    with Client(tarryd.port) as client:
        if listener == "starttls":
            start_tls(client)
        tls = Tls(client, "mta.example")
        client.send(tls.hello)
        tls.shake()
        if listener == "implicit":
            assert tls.run(tls.object.read, 100).startswith(b"220")
        assert tls.ask("QUIT\r\n").startswith("221")
    line = wait_line(tarryd)
    assert line["ja4"] == ja4.short(ja4.raw(tls.hello))
    assert line["tls_sni"] == "mta.example"
    assert (line["rule"], line["class"]) == ("tls13", "heavy")
    if listener == "implicit":
        assert int(line["greet_ms"]) >= 1000  # as `heavy` wants it
