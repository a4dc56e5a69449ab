"""What became of the mail, as the log says it, of sessions whose truth is
known: in the clear, and in TLS that ends in Tarry."""
import os
import random
import re
import smtplib

import pytest

from conftest import wait_until
from mta import mta, proxy_for  # noqa: F401, fixtures
from scripted_mta import ScriptedMta
from test_reload import place  # noqa: F401
from test_tls import Python, ends_tls  # noqa: F401

SESSIONS = int(os.environ.get("TARRY_VERDICT_SESSIONS", "200"))
# What the MTA says to a recipient, and what that is; "" is accepted.
RECIPIENTS = {"good": (b"250 2.1.5 fine", ""),
              "nobody": (b"550 5.1.1 no such user", "unknown_users"),
              "listed": (b"554 5.7.1 you are listed", "policy"),
              "foreign": (b"554 5.7.1 Relay access denied", "relay_probes"),
              "later": (b"450 4.7.1 greylisted", "neutral"),
              "full": (b"452 4.2.2 mailbox full", "neutral")}
TEXTS = {"mail": (b"250 2.0.0 Ok: queued as 4XyZ12", "delivered"),
         "pills": (b"554 5.7.1 this is spam", "spam"),
         "wait": (b"451 4.3.0 later", "neutral")}
NAMES = ("delivered", "spam", "unknown_users", "relay_probes", "policy",
         "neutral", "protocol", "auth_failures")


class Judge(ScriptedMta):
    """Answers as the recipient's name or the text's first word tells it."""

    def answer(self, client, lines, script):
        line = lines.readline(1000)
        verb = line[:4].upper()
        if verb == b"RCPT":
            name = re.search(rb"<(\w+)@", line)[1].decode()
            client.sendall(RECIPIENTS[name][0] + b"\r\n")
        elif verb == b"BDAT":
            text = lines.read(int(line.split()[1]))
            client.sendall(self.judge(text))
        elif verb == b"DATA":
            client.sendall(b"354 go on\r\n")
            text = b""
            while not text.endswith(b".\r\n") and (one := lines.readline()):
                text += one
            if not text.endswith(b".\r\n"):
                return False
            client.sendall(self.judge(text))
        else:
            client.sendall(script.get(verb.decode("latin-1"),
                                      b"502 5.5.2 not known\r\n"))
        return verb not in (b"", b"QUIT")

    @staticmethod
    def judge(text):
        return TEXTS[text.split()[0].decode()][0] + b"\r\n"


@pytest.fixture
def judge():
    made = Judge(plain_sessions=0)
    yield made
    made.close()


def one_mail(smtp, draw, want, is_cut):
    smtp.mail("a@b.example")
    accepted = 0
    for name in draw.choices(list(RECIPIENTS), k=draw.randint(1, 4)):
        smtp.rcpt(f"{name}@d.example")
        what = RECIPIENTS[name][1]
        accepted += not what
        if what:
            want[what] += 1
    if not accepted or draw.random() < 0.2:
        smtp.rset()
        return
    text = draw.choice(list(TEXTS))
    what = TEXTS[text][1]
    if is_cut:
        smtp.putcmd("DATA")
        smtp.getreply()
        smtp.send(text.encode() + b" that is not")
        return
    if draw.random() < 0.3:
        body = text.encode() + b" in a chunk\r\n"
        smtp.send(b"BDAT %d LAST\r\n%s" % (len(body), body))
        smtp.getreply()
    else:
        smtp.data(text)
    want[what] += accepted if what == "delivered" else 1


def one_session(smtp, draw):
    """Returns the client's port and the counts that are to be said."""
    want = dict.fromkeys(NAMES, 0)
    port = smtp.sock.getsockname()[1]
    smtp.ehlo("c.example")
    mails = draw.randint(0, 3)
    is_cut = draw.random() < 0.15
    for i in range(mails):
        one_mail(smtp, draw, want, is_cut and i == mails - 1)
    if is_cut:
        smtp.close()
    else:
        smtp.quit()
    return port, want


@pytest.mark.parametrize("is_tls", (False, True))
def test_outcomes_are_those_that_were(is_tls, judge, proxy_for, ends_tls):
    keys = {"mta__client_address": "none", "mta__open_relay_checked": "yes",
            "class_new__greet": "0s", "class_new__teaser": "no",
            "class_new__client_sessions": "none"}
    if is_tls:
        tarryd = ends_tls(judge.port, **keys)
    else:
        tarryd = proxy_for("127.0.0.1", judge.port, **keys).wait_ready()
    draw = random.Random(7)
    for number in range(SESSIONS):
        smtp = Python(tarryd) if is_tls else smtplib.SMTP(
            "127.0.0.1", tarryd.port, timeout=30)
        port, want = one_session(smtp, draw)
        # Ports are used again: the newest line is the one.
        line = wait_until(
            lambda: (found := re.findall(r"^.*event=session .*$", tarryd.log,
                                         re.M))
            and len(found) == number + 1 and found[-1], "the log line")
        assert f" port={port} " in line
        said = {name: int(re.search(rf"\b{name}=(\d+)", line)[1])
                for name in NAMES}
        assert said == want, line
