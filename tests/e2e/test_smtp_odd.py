"""Odd but legal SMTP, through tarryd, with real MTAs behind it."""
import re
import shutil
import smtplib
import socket
import ssl
import subprocess
import time

import pytest

from conftest import DEADLINE, Client, send_mail, wait_until
from mta import Exim, Postfix, mta, proxy_for  # noqa: F401
from test_mail import CLIENT, below_received

HEAD = b"Subject: odd\r\nMessage-Id: <1@b.example>\r\n\r\n"
ENVELOPE = ("EHLO client.example", "MAIL FROM:<a@b.example>",
            "RCPT TO:<c@d.example>")


def ask_all(client, texts):
    return [client.ask(text)[:3] for text in texts]


def rest(client):
    """All that comes until the end."""
    got, client.rest = client.rest, b""
    while True:
        more = client.socket.recv(65536)
        if not more:
            return got
        got += more


def unread(client):
    """Bytes that wait in the socket at the other end of a client's."""
    ports = (client.socket.getpeername()[1], client.socket.getsockname()[1])

    def port_of(field):
        return int(field.split(":")[1], 16)
    with open("/proc/net/tcp") as table:
        rows = [row.split() for row in table][1:]
    return sum(int(row[4].split(":")[1], 16) for row in rows
               if (port_of(row[1]), port_of(row[2])) == ports)


@pytest.fixture
def postfix(mta):
    return mta(Postfix, proxy=True).start()


@pytest.fixture
def tarryd(postfix, proxy_for):
    return proxy_for(postfix.address, postfix.port).wait_ready()


@pytest.fixture
def client(tarryd):
    with tarryd.connect(CLIENT) as one:
        yield one


def clean(postfix):
    """True if Postfix saw nothing that it calls wrong."""
    assert not re.search(r"warning|improper|lost connection after|timeout",
                         postfix.log), postfix.log
    return True


def test_bdat(client, postfix, tarryd):
    assert client.reply().startswith("220")
    assert ask_all(client, ENVELOPE) == ["250"] * 3
    chunks = [HEAD, b".\r\nMAIL FROM:<>\r\n", b"\r\n.\r\nQUIT\r\n",
              b"\xff\r\n"]
    for chunk in chunks:
        client.send(b"BDAT %d\r\n" % len(chunk) + chunk)
        assert client.reply().startswith("250")
    assert client.ask("BDAT 0 LAST").startswith("250")
    assert client.ask("QUIT").startswith("221")
    want = b"".join(chunks).replace(b"\r\n", b"\n")
    assert [below_received(m) for m in postfix.wait_mail(1)] == [want]
    assert "messages=1 " in tarryd.wait_log(r"^.*event=session.*$")[0]
    assert clean(postfix)


def test_bdat_with_all_in_one_segment(client, postfix):
    assert client.reply().startswith("220")
    assert client.ask(ENVELOPE[0]).startswith("250")
    body = HEAD + b"x\r\n"
    client.send(b"MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\n"
                b"BDAT %d LAST\r\n" % len(body) + body + b"QUIT\r\n")
    assert [client.reply()[:3] for _ in range(4)] == \
        ["250", "250", "250", "221"]
    assert below_received(postfix.wait_mail(1)[0]) == \
        body.replace(b"\r\n", b"\n")


@pytest.mark.parametrize("kind", [Postfix, Exim])
def test_half_close_before_the_reply_to_the_dot(kind, mta, proxy_for):
    """As Exim does: body, dot and QUIT, then its side is shut."""
    if kind is Postfix:
        behind = mta(Postfix, proxy=True,
                     main="smtpd_end_of_data_restrictions = sleep 1\n")
    else:
        behind = mta(Exim, main="hosts_proxy = 127.0.0.1")
    behind.start()
    tarryd = proxy_for(behind.address, behind.port).wait_ready()
    with tarryd.connect(CLIENT) as client:
        assert client.reply().startswith("220")
        assert ask_all(client, (*ENVELOPE, "DATA")) == ["250"] * 3 + ["354"]
        client.send(HEAD + b"body\r\n.\r\nQUIT\r\n")
        client.socket.shutdown(socket.SHUT_WR)
        assert re.fullmatch(rb"250 [^\n]*\n221 [^\n]*\n", rest(client))
    line = tarryd.wait_log(r"^.*event=session.*$")[0]
    assert "reason=quit" in line and "messages=1 " in line
    behind.wait_mail(1)
    behind.stop()
    assert behind.mail_count() == 1


def test_early_talker_is_held_and_delivered(postfix, proxy_for):
    tarryd = proxy_for(postfix.address, postfix.port, class_watch__greet="2s",
                       class_watch__reply="0s").wait_ready()
    with tarryd.connect(CLIENT) as client:
        client.send("EHLO client.example\r\n")
        assert [reply[:3] for reply in (client.reply(), client.reply())] == \
            ["220", "250"]
        assert ask_all(client, ENVELOPE[1:]) == ["250", "250"]
        assert client.ask("DATA").startswith("354")
        client.send(HEAD + b"early\r\n.\r\n")
        assert client.reply().startswith("250")
        assert client.ask("QUIT").startswith("221")
    line = tarryd.wait_log(r"^.*event=session.*$")[0]
    assert "rule=odd" in line and "class=watch" in line
    assert below_received(postfix.wait_mail(1)[0]).endswith(b"\nearly\n")
    assert clean(postfix)


def test_an_early_talker_who_says_it_all_at_once(postfix, proxy_for):
    """Bytes kept before the greeting reach Postfix behind it, in order."""
    tarryd = proxy_for(postfix.address, postfix.port, class_watch__greet="1s",
                       class_watch__reply="0s").wait_ready()
    with tarryd.connect(CLIENT) as client:
        client.send("\r\n".join(ENVELOPE) + "\r\nDATA\r\n")
        assert [client.reply()[:3] for _ in range(5)] == \
            ["220", "250", "250", "250", "354"]
        client.send(HEAD + b"all\r\n.\r\n")
        assert client.reply().startswith("250")
    assert below_received(postfix.wait_mail(1)[0]).endswith(b"\nall\n")


def test_early_segments_stay_apart(postfix, proxy_for):
    """Each waits for the answers to the last, or Postfix would see EHLO and
    MAIL in one: improper pipelining, where the client only was early."""
    tarryd = proxy_for(postfix.address, postfix.port, class_watch__greet="1s",
                       class_watch__reply="0s").wait_ready()
    with tarryd.connect(CLIENT) as client:
        for text in ENVELOPE:
            client.send(text + "\r\n")
            wait_until(lambda: unread(client) == 0, "it to be read")
        assert [client.reply()[:3] for _ in range(4)] == \
            ["220", "250", "250", "250"]
        assert client.ask("QUIT").startswith("221")
    assert clean(postfix)


def test_pipelining_and_two_messages(client, postfix):
    assert client.reply().startswith("220")
    ehlo = client.ask(ENVELOPE[0])
    assert ehlo.count("\n") > 5  # a reply of many lines, whole
    assert "250-PIPELINING\r\n" in ehlo and "AUTH" not in ehlo
    one = b"MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\n" \
        b"RCPT TO:<x@elsewhere.example>\r\nDATA\r\n"
    client.send(one)
    assert [client.reply()[:3] for _ in range(4)] == \
        ["250", "250", "554", "354"]
    # The next transaction behind the dot, in the same segment.
    client.send(HEAD + b"first\r\n.\r\n" + one)
    assert [client.reply()[:3] for _ in range(5)] == \
        ["250", "250", "250", "554", "354"]
    client.send(HEAD + b"second\r\n.\r\nQUIT\r\n")
    assert [client.reply()[:3] for _ in range(2)] == ["250", "221"]
    assert client.line() == b""
    bodies = {below_received(m) for m in postfix.wait_mail(2)}
    assert bodies == {(HEAD + tail).replace(b"\r\n", b"\n")
                      for tail in (b"first\r\n", b"second\r\n")}
    assert clean(postfix)


def test_auth_that_is_not_offered_and_unknown_commands(client, postfix):
    assert client.reply().startswith("220")
    assert client.ask(ENVELOPE[0]).startswith("250")
    assert client.ask("AUTH PLAIN AGEAYg==").startswith("503")
    assert client.ask("XCLIENT ADDR=10.0.0.1")[:3] in ("502", "550", "500")
    assert client.ask("FOO bar").startswith("5")
    assert client.ask("VRFY c@d.example")[:3] in ("252", "250")
    assert client.ask("NOOP").startswith("250")
    assert client.ask("RSET").startswith("250")
    assert ask_all(client, ENVELOPE[1:]) == ["250", "250"]
    assert client.ask("QUIT").startswith("221")


@pytest.fixture
def postfix_tls(mta):
    behind = mta(Postfix, proxy=True, main="""\
smtpd_tls_security_level = may
smtpd_tls_cert_file = /etc/postfix/tls.pem
smtpd_tls_key_file = /etc/postfix/tls.pem
smtpd_tls_loglevel = 1
smtpd_tls_received_header = yes
""")
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not there")
    pem = behind.root / "etc/postfix/tls.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048",
                    "-nodes", "-days", "2", "-subj", "/CN=mta.example",
                    "-keyout", pem, "-out", f"{pem}.crt"], check=True,
                   stderr=subprocess.DEVNULL)
    with open(pem, "ab") as out:
        out.write((pem.parent / "tls.pem.crt").read_bytes())
    pem.chmod(0o600)
    return behind.start()


def test_starttls_is_passed_through(postfix_tls, proxy_for):
    """The handshake is with Postfix itself: it is Postfix' certificate."""
    tarryd = proxy_for(postfix_tls.address, postfix_tls.port,
                       rule_everyone__class="watch", class_watch__greet="1s",
                       class_watch__reply="1s").wait_ready()
    context = ssl.create_default_context(
        cafile=postfix_tls.root / "etc/postfix/tls.pem.crt")
    context.check_hostname = False
    body = HEAD + b"".join(b"%06d inside\r\n" % i for i in range(20000))
    with smtplib.SMTP("127.0.0.1", tarryd.port, timeout=DEADLINE,
                      source_address=(CLIENT, 0)) as client:
        client.starttls(context=context)
        client.sendmail("a@b.example", ["c@d.example"], body)
    mail = postfix_tls.wait_mail(1)[0]
    assert below_received(mail) == body.replace(b"\r\n", b"\n")
    assert b"using TLSv1.3" in mail
    assert clean(postfix_tls)


def test_openssl_s_client(postfix_tls, proxy_for):
    tarryd = proxy_for(postfix_tls.address, postfix_tls.port).wait_ready()
    done = subprocess.run(
        ["openssl", "s_client", "-starttls", "smtp", "-crlf", "-quiet",
         "-connect", f"127.0.0.1:{tarryd.port}"],
        input="QUIT\n", text=True, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, timeout=DEADLINE)
    assert "221 2.0.0 Bye" in done.stdout


@pytest.mark.parametrize("teaser", ["yes", "no"])
def test_421_when_the_mta_is_gone(mta, proxy_for, teaser):
    behind = mta(Postfix, proxy=True).start()
    tarryd = proxy_for(behind.address, behind.port, budget__reply="2s",
                       class_new__teaser=teaser).wait_ready()
    behind.stop()
    with tarryd.connect(CLIENT) as client:
        greeting = client.reply()
        if teaser == "yes":
            # The MTA's name is known from the test session.
            assert re.fullmatch(r"220-mta\.example [^\r\n]*\r\n"
                                r"220 mta\.example[^\r\n]*\r\n", greeting)
            greeting = client.ask("EHLO client.example")
        assert re.fullmatch(r"421 mta\.example [^\r\n]*\r\n", greeting)
        assert client.line() == b""
    # And the next one, with the MTA back, gets through.
    behind.start()
    with tarryd.connect(CLIENT) as client:
        assert [r[:3] for r in send_mail(client)] == \
            ["220", "250", "250", "250", "354", "250", "221"]


@pytest.mark.parametrize("teaser", ["yes", "no"])
def test_an_mta_that_refuses_this_client(mta, proxy_for, teaser):
    """After a teaser: one whole 220 reply, then the MTA's own refusal."""
    behind = mta(Postfix, proxy=True, main=f"""\
smtpd_client_restrictions = check_client_access inline:{{{CLIENT}=REJECT}}
smtpd_delay_reject = no
""").start()
    tarryd = proxy_for(behind.address, behind.port,
                       class_new__teaser=teaser).wait_ready()
    with tarryd.connect(CLIENT) as client:
        greeting = client.reply()
        if teaser == "yes":
            assert re.fullmatch(r"220-mta\.example [^\r\n]*\r\n"
                                r"220 mta\.example[^\r\n]*\r\n", greeting)
            greeting = client.ask("EHLO client.example")
        assert greeting == "554 5.7.1 <unknown[127.0.0.77]>: " \
            "Client host rejected: Access denied\r\n"
    with tarryd.connect("127.0.0.78") as other:
        assert [r[:3] for r in send_mail(other)][5] == "250"


ODD_BODY = HEAD + b"bare\rCR, bare\nLF\r\n.\r\r\n..\n" \
    b"nul\x00 \xff\xfe 8-bit\r\n\r\r\n" + b"long" * 5000 + b"\r\n"


def test_bare_cr_and_lf_and_nul(mta, proxy_for):
    """What Postfix makes of them is its affair: the same as without Tarry."""
    direct, behind = mta(Postfix), mta(Postfix, proxy=True)
    for one in (direct, behind):
        one.start()
    tarryd = proxy_for(behind.address, behind.port).wait_ready()
    body = ODD_BODY.replace(b"\r\n.\r\r\n", b"\r\n") + b".\r\n"
    for address, port in ((direct.address, direct.port),
                          ("127.0.0.1", tarryd.port)):
        client = Client.__new__(Client)
        client.rest = b""
        client.socket = socket.create_connection((address, port), DEADLINE,
                                                 (CLIENT, 0))
        with client:
            assert client.reply().startswith("220")
            assert ask_all(client, (*ENVELOPE, "DATA")) == \
                ["250", "250", "250", "354"]
            client.send(body)
            assert client.reply().startswith("250")
            assert client.ask("QUIT").startswith("221")
    assert below_received(behind.wait_mail(1)[0]) == \
        below_received(direct.wait_mail(1)[0])


def test_postfix_says_where_the_message_ends(mta, proxy_for):
    """This Postfix takes ends that the standard does not know; it decides.
    What follows is then in step: each reply comes, and only its own."""
    behind = mta(Postfix, proxy=True,
                 main="smtpd_forbid_bare_newline = no\n").start()
    tarryd = proxy_for(behind.address, behind.port,
                       rule_everyone__class="watch", class_watch__greet="0s",
                       class_watch__teaser="no",
                       class_watch__split="150ms",
                       class_watch__reply="300ms").wait_ready()
    ends = (b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r\n.\r\r\n", b"\r\n.\r\n")
    with tarryd.connect(CLIENT) as client:
        assert client.reply().startswith("220")
        assert client.ask(ENVELOPE[0]).startswith("250")
        for end in ends:
            assert ask_all(client, (*ENVELOPE[1:], "DATA")) == \
                ["250", "250", "354"], end
            client.send(HEAD + b"body" + end)
            assert client.reply().startswith("250 2.0.0 Ok: queued")
        assert client.ask("QUIT").startswith("221")
        assert client.line() == b""
    assert len(behind.wait_mail(len(ends))) == len(ends)


@pytest.mark.parametrize("offers", [True, False])
def test_early_talker_and_exim(mta, proxy_for, offers):
    """Exim breaks off if anybody speaks out of turn (smtp_enforce_sync)."""
    behind = mta(Exim, main="hosts_proxy = 127.0.0.1" + (
        "" if offers else "\npipelining_connect_advertise_hosts =")).start()
    tarryd = proxy_for(behind.address, behind.port, class_watch__greet="2s",
                       class_watch__reply="0s").wait_ready()
    with tarryd.connect(CLIENT) as client:
        client.send("EHLO client.example\r\n")
        assert [reply[:3] for reply in (client.reply(), client.reply())] == \
            ["220", "250"]
        assert ask_all(client, (*ENVELOPE[1:], "DATA")) == \
            ["250", "250", "354"]
        client.send(HEAD + b"early\r\n.\r\n")
        assert client.reply().startswith("250")
        assert client.ask("QUIT").startswith("221")
    line = tarryd.wait_log(r"^.*event=session.*$")[0]
    assert f"rule={'everyone' if offers else 'odd'}" in line
    assert behind.wait_mail(1)[0].endswith(b"\nearly\n")
    assert "sync" not in behind.log


def test_a_hasty_postfix_is_not_kept_waiting(mta, proxy_for):
    """Under stress Postfix waits seconds for a command; so patience rules."""
    behind = mta(Postfix, proxy=True, main="smtpd_timeout = 3s\n").start()
    tarryd = proxy_for(behind.address, behind.port, mta__patience="1s",
                       rule_everyone__class="slow", class_slow__greet="1s",
                       class_slow__drip="0s",
                       class_slow__reply="9s").wait_ready()
    with tarryd.connect(CLIENT) as client:
        assert [r[:3] for r in send_mail(client)] == \
            ["220", "250", "250", "250", "354", "250", "221"]
    behind.wait_mail(1)
    assert clean(behind)


def test_postfix_gives_up_while_a_reply_is_held(mta, proxy_for):
    """Its 421 and all before it go out at once, nothing is lost."""
    # The test session has a second of silence, which it must bear.
    behind = mta(Postfix, proxy=True, main="smtpd_timeout = 3s\n").start()
    tarryd = proxy_for(behind.address, behind.port,
                       rule_everyone__class="slow", class_slow__greet="0s",
                       class_slow__drip="0s",
                       class_slow__reply="15s").wait_ready()
    with tarryd.connect(CLIENT) as client:
        assert client.reply().startswith("220")
        start = time.monotonic()
        assert client.ask(ENVELOPE[0]).startswith("250-mta.example\r\n")
        assert client.reply().startswith("421 4.4.2 mta.example Error: time")
        assert client.line() == b""
        assert time.monotonic() - start < 6


def test_the_mta_ends_before_it_has_answered_the_dot(mta, proxy_for):
    """Nobody knows whether it has the mail: no words of ours."""
    behind = mta(Postfix, proxy=True,
                 main="smtpd_end_of_data_restrictions = "
                 "warn_if_reject reject, sleep 60\n").start()
    tarryd = proxy_for(behind.address, behind.port).wait_ready()
    with tarryd.connect(CLIENT) as client:
        assert client.reply().startswith("220")
        assert ask_all(client, (*ENVELOPE, "DATA")) == \
            ["250", "250", "250", "354"]
        client.send(HEAD + b"x\r\n.\r\n")
        wait_until(lambda: "END-OF-MESSAGE" in behind.log, "the dot")
        behind.stop()
        assert client.line() == b""
    assert behind.mail_count() == 0


def test_a_whole_early_session_in_two_segments(mta, proxy_for):
    """PIPECONNECT with BDAT: the chunk waits for no answer, which only comes
    when the chunk is there."""
    behind = mta(Exim, main="hosts_proxy = 127.0.0.1").start()
    tarryd = proxy_for(behind.address, behind.port,
                       class_new__greet="500ms").wait_ready()
    body = HEAD + b"".join(b"%05d line\r\n" % i for i in range(3000))
    with tarryd.connect(CLIENT) as client:
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.send("\r\n".join(ENVELOPE) + f"\r\nBDAT {len(body)} LAST\r\n")
        wait_until(lambda: unread(client) == 0, "the first to be read")
        client.send(body + b"QUIT\r\n")
        client.socket.shutdown(socket.SHUT_WR)
        codes = [line[:4] for line in rest(client).splitlines()]
    assert [code for code in codes if code[3:] == b" "] == \
        [b"220 ", b"250 ", b"250 ", b"250 ", b"250 ", b"221 "]
    assert behind.wait_mail(1)[0].endswith(b"\n02999 line\n")
