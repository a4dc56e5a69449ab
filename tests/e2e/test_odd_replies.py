"""Replies as they should not be: too long, without a text, too many, mixed.

Which of them a client minds is between it and the MTA: all bytes pass as they
were said, and what real clients make of it is the same as without Tarry.
"""
import concurrent.futures
import re
import subprocess

import pytest

from conftest import wait_until
from mta import Postfix, mta, proxy_for  # noqa: F401
from scripted_mta import PLAIN, ScriptedMta
from test_mail import MESSAGE, exim_client, send_python

# With delays and teaser, so that there is something to get wrong.
WATCHED = {"rule_everyone__class": "watch", "class_watch__greet": "300ms",
           "class_watch__reply": "100ms", "class_watch__split": "50ms",
           "mta__client_address": "none",
           "mta__open_relay_checked": "yes"}


def lines(code, count):
    """A reply of so many lines of 80 bytes."""
    text = b"%d-" + b"x" * 74 + b"\r\n"
    return text % code * (count - 1) + text.replace(b"-", b" ") % code


SCRIPTS = {
    "greeting of 10 kB": {"greeting": lines(220, 125)},
    "EHLO of 10 kB": {"EHLO": lines(250, 125)},
    "RCPT of 10 kB": {"RCPT": lines(250, 125)},
    "refusal of 20 kB": {"RCPT": lines(550, 250)},
    "a line of 10 kB": {"RCPT": b"250 " + b"x" * 10000 + b"\r\n"},
    "354 of 10 kB": {"DATA": lines(354, 125)},
    "dot of 10 kB": {"dot": lines(250, 125)},
    "greeting of 46 lines": {"greeting": lines(220, 46)},
    "bare 220": {"greeting": b"220\r\n"},
    "bare 250 to EHLO": {"EHLO": b"250\r\n"},
    "bare 250 to MAIL": {"MAIL": b"250\r\n"},
    "bare 354": {"DATA": b"354\r\n"},
    "bare 250 to the dot": {"dot": b"250\r\n"},
    "bare 221": {"QUIT": b"221\r\n"},
    "extra line behind the greeting": {
        "greeting": PLAIN["greeting"] + b"250 extra\r\n"},
    "extra line behind EHLO": {"EHLO": PLAIN["EHLO"] + b"250 extra\r\n"},
    "extra line behind RCPT": {"RCPT": PLAIN["RCPT"] + b"250 extra\r\n"},
    "extra line behind the dot": {"dot": PLAIN["dot"] + b"250 extra\r\n"},
    "refusal and an extra line": {"RCPT": b"550 no\r\n250 extra\r\n"},
    "mixed codes": {"MAIL": b"250-one\r\n550 another\r\n"},
    "no reply at all": {"MAIL": b"hello\r\n"},
    "line feeds alone": {name: text.replace(b"\r", b"")
                         for name, text in PLAIN.items()},
}
ASKS = (("greeting", b""), ("EHLO", b"EHLO client.example\r\n"),
        ("MAIL", b"MAIL FROM:<a@b.example>\r\n"),
        ("RCPT", b"RCPT TO:<c@d.example>\r\n"), ("DATA", b"DATA\r\n"),
        ("dot", b"Subject: x\r\n\r\nbody\r\n.\r\n"), ("QUIT", b"QUIT\r\n"))


@pytest.fixture
def scripted():
    made = []

    def make(**script):
        made.append(ScriptedMta(**script))
        return made[-1]
    yield make
    for one in made:
        one.close()


def read(client, size):
    """So many bytes, or all up to the end."""
    while len(client.rest) < size:
        more = client.socket.recv(65536)
        if not more:
            break
        client.rest += more
    got, client.rest = client.rest[:size], client.rest[size:]
    return got


@pytest.mark.parametrize("name,teaser", [
    *((name, "yes") for name in SCRIPTS),
    *((name, "no") for name in SCRIPTS if "greeting" in SCRIPTS[name])])
def test_all_passes_as_it_was_said(name, teaser, scripted,
                                   proxy_for):  # noqa: F811
    behind = scripted(**SCRIPTS[name])
    tarryd = proxy_for(behind.address, behind.port, class_watch__teaser=teaser,
                       **WATCHED).wait_ready()
    with tarryd.connect() as client:
        if teaser == "yes":
            assert client.line() == b"220-mta.example ESMTP\r\n"
        for verb, text in ASKS:
            client.send(text)
            want = behind.script[verb]
            assert read(client, len(want)) == want
            if verb == "RCPT" and want.startswith(b"550"):
                behind.script["DATA"] = b"503 no recipients\r\n"
                break
        else:
            assert client.line() == b""
    assert "reason=" in tarryd.wait_log(r"^.*event=session.*$")[0]


def exim_sender(mta, _ports):
    """An Exim that sends mail for c@p4711.example to port 4711."""
    sender = exim_client(mta, "${sg{$domain}{\\N[^0-9]\\N}{}}")

    def send(port):
        done = subprocess.run(
            ["chroot", sender.root, "/usr/sbin/exim4", "-odf", "-i", "-f",
             "", f"c@p{port}.example"], input=MESSAGE,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert done.returncode == 0, done.stdout
        wait_until(lambda: re.search(rf"c@p{port}\.example", sender.log),
                   "Exim to say what became of it")
    return sender, send, r"^\S+ \S+ \S+ ((?:=>|\*\*|==) c@p%d\..*)$"


def postfix_sender(mta, ports):
    sender = mta(Postfix, main="""\
transport_maps = texthash:/etc/postfix/transport
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination
virtual_mailbox_domains = none.example
""")
    sender.write("etc/postfix/transport", "b.example discard:\n" + "".join(
        f"p{port}.example smtp:[127.0.0.1]:{port}\n" for port in ports))
    sender.start()

    def send(port):
        send_python(sender.port, MESSAGE.replace(b"\n", b"\r\n"),
                    sender.address, to=f"c@p{port}.example")
        wait_until(lambda: re.search(rf"to=<c@p{port}\..* status=",
                                     sender.log),
                   "Postfix to say what became of it")
    return sender, send, r"to=<c@p%d\..*(status=.*)$"


def fate(log, pattern, port):
    """What a sender's log says of a mail, without what always differs."""
    found = re.findall(pattern % port, log, re.M)
    # Exim tells the beginning of what it took for no reply.
    return [re.sub(rf"\b{port}\b|p{port}|\[?127[.\d]+\]?|"
                   r"220-mta\.example ESMTP\\n|x(?=xx)", "", line)[:120]
            for line in found]


# One of each kind; what they make of more is in their own hands.
TOLD = ("greeting of 10 kB", "EHLO of 10 kB", "refusal of 20 kB",
        "dot of 10 kB", "bare 220", "bare 354", "bare 250 to the dot",
        "extra line behind the greeting", "extra line behind RCPT",
        "extra line behind the dot", "mixed codes")


@pytest.mark.parametrize("make", [exim_sender, postfix_sender])
def test_real_clients_make_the_same_of_it(make, mta, proxy_for,  # noqa: F811
                                          scripted):
    pairs = {}
    for name in TOLD:
        direct = scripted(plain_sessions=0, **SCRIPTS[name])
        behind = scripted(**SCRIPTS[name])
        tarryd = proxy_for(behind.address, behind.port, **WATCHED)
        pairs[name] = direct, behind, tarryd.wait_ready().port
    ports = [port for direct, _, through in pairs.values()
             for port in (direct.port, through)]
    sender, send, pattern = make(mta, ports)
    with concurrent.futures.ThreadPoolExecutor(22) as pool:
        list(pool.map(send, ports))
    for name, (direct, behind, port) in pairs.items():
        # A client may know what became of its mail before it has left.
        wait_until(lambda: direct.have_ended() and behind.have_ended(),
                   f"the sessions' ends, {name}")
        want = fate(sender.log, pattern, direct.port)
        got = fate(sender.log, pattern, port)
        print(f"{name}: {len(behind.mails)} taken, {got[0][:150]}")
        assert want and got == want, name
        assert len(behind.mails) == len(direct.mails), name
