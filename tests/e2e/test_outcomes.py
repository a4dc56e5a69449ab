"""What became of the mail, as the log says it, of sessions whose truth is
known: in the clear, and in TLS that ends in Tarry."""
import os
import random
import re
import smtplib
import socket
import time

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
    """Answers as the recipient's name or the text's words tell it: the first
    one is for the message, with PRDR the others for the recipients."""

    def __init__(self, **script):
        super().__init__(plain_sessions=0, EHLO=b"250-mta.example\r\n"
                         b"250-PIPELINING\r\n250-CHUNKING\r\n250 PRDR\r\n",
                         **script)
        self.chunks = {}

    def answer(self, client, lines, script):
        line = lines.readline(1000)
        verb = line[:4].upper()
        if verb == b"RCPT":
            name = re.search(rb"<(\w+)@", line)[1].decode()
            client.sendall(RECIPIENTS[name][0] + b"\r\n")
        elif verb == b"AUTH":
            client.sendall(b"535 5.7.8 not with that password\r\n")
        elif verb == b"BDAT":
            text = self.chunks.pop(client, b"") + \
                lines.read(int(line.split()[1]))
            if line.split()[-1].upper() == b"LAST":
                client.sendall(self.judge(text))
            else:
                self.chunks[client] = text
                client.sendall(b"250 2.0.0 go on\r\n")
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
        first, *others = [TEXTS[word][0] for word in
                          text.decode().split("\r\n")[0].split()]
        lines = [b"353 one for each", *others, first] if others else [first]
        return b"".join(line + b"\r\n" for line in lines)


@pytest.fixture
def judge():
    made = Judge()
    yield made
    made.close()


def say_text(smtp, draw, text):
    """In one piece, in chunks that wait for their answers, or that do not."""
    how = draw.choice(("data", "chunk", "chunks", "stream"))
    if how == "data":
        return smtp.data(text)
    body = text.encode() + b"\r\nand more of it\r\n"
    cuts = sorted(draw.sample(range(len(body)), 0 if how == "chunk" else 2))
    pieces = [body[i:j] for i, j in zip([0, *cuts], [*cuts, len(body)])]
    says = [b"BDAT %d%s\r\n%s" % (len(piece), b"" if left else b" LAST", piece)
            for left, piece in zip(range(len(pieces) - 1, -1, -1), pieces)]
    if how == "stream":
        smtp.send(b"".join(says))
    for one in says:
        if how != "stream":
            smtp.send(one)
        code = smtp.getreply()[0]
    return code


def name_recipients(smtp, draw, want):
    """How many were accepted."""
    accepted = 0
    for name in draw.choices(list(RECIPIENTS), k=draw.randint(1, 4)):
        smtp.rcpt(f"{name}@d.example")
        what = RECIPIENTS[name][1]
        accepted += not what
        if what:
            want[what] += 1
    return accepted


def judged_one_by_one(smtp, draw, want, accepted):
    """PRDR: the last reply has the last word on whom the others accepted."""
    words = draw.choices(list(TEXTS), k=accepted)
    last = draw.choice(list(TEXTS)) if "mail" in words else words[-1]
    say_text(smtp, draw, " ".join([last, *words]))
    for _ in range(accepted + 1):  # the first of them was read
        smtp.getreply()
    for word in words:
        if word != "mail":
            want[TEXTS[word][1]] += 1
    if "mail" in words:
        want[TEXTS[last][1]] += words.count("mail") if last == "mail" else 1


def one_mail(smtp, draw, want, is_cut):
    smtp.docmd(f"MAIL FROM:<{draw.choice(['a@b.example', ''])}>")
    accepted = name_recipients(smtp, draw, want)
    if not accepted or draw.random() < 0.2:
        smtp.rset()
        return
    text = draw.choice(list(TEXTS))
    what = TEXTS[text][1]
    if is_cut:
        smtp.putcmd("DATA")
        smtp.getreply()
        smtp.send(text.encode() + b" that is not")
    elif draw.random() < 0.3:
        judged_one_by_one(smtp, draw, want, accepted)
    else:
        say_text(smtp, draw, text)
        want[what] += accepted if what == "delivered" else 1


def one_session(smtp, draw):
    """Returns the client's port and the counts that are to be said."""
    want = dict.fromkeys(NAMES, 0)
    port = smtp.sock.getsockname()[1]
    smtp.ehlo("c.example")
    if draw.random() < 0.1:
        smtp.docmd("AUTH PLAIN AGEAYg==")
        want["auth_failures"] += 1
    mails = draw.randint(0, 3)
    is_cut = draw.random() < 0.15
    for i in range(mails):
        one_mail(smtp, draw, want, is_cut and i == mails - 1)
    if is_cut:
        smtp.close()
    else:
        smtp.quit()
    return port, want


def lines_of(tarryd, count):
    """That many lines of sessions, when they are there."""
    return wait_until(
        lambda: (found := re.findall(r"^.*event=session .*$", tarryd.log,
                                     re.M)) and len(found) >= count and found,
        f"{count} lines", 60)


def in_order(lines, ports):
    """The lines of sessions, one from each port."""
    by_port = {int(re.search(r" port=(\d+) ", line)[1]): line
               for line in lines}
    assert len(lines) == len(by_port) == len(ports)
    return [by_port[port] for port in ports]


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
    wants = []
    lines = []
    for number in range(SESSIONS):
        smtp = Python(tarryd) if is_tls else smtplib.SMTP(
            "127.0.0.1", tarryd.port, timeout=30)
        wants.append(one_session(smtp, draw))
        # Who is cut off may end behind the next; ports are used again.
        if number % 25 == 24 or number == SESSIONS - 1:
            lines += in_order(lines_of(tarryd, number + 1)[len(lines):],
                              [port for port, _ in wants[len(lines):]])
    assert len(lines_of(tarryd, SESSIONS)) == SESSIONS
    for line, (_, want) in zip(lines, wants):
        said = {name: int(re.search(rf"\b{name}=(\d+)", line)[1])
                for name in NAMES}
        assert said == want, line
    total = {name: sum(want[name] for _, want in wants) for name in NAMES}
    assert SESSIONS < 100 or all(
        total[name] for name in NAMES if name != "protocol"), total


HELD_S = 30
GIVES_UP = f"""
[class held]
greet = {HELD_S}s
[class slow]
reply = 15s
[rule held]
network = 127.0.0.8
class = held
[rule slow]
network = 127.0.0.9
class = slow
[rule everyone]
class = pass
"""


@pytest.mark.parametrize("source", ("127.0.0.8", "127.0.0.9"))
def test_who_gives_up_is_told_with_the_delay_so_far(source, judge,
                                                    start_tarryd):
    text = (f"[tarry]\nmode = enforce\n[listen smtp]\n"
            f"address = 127.0.0.1:0\n[mta]\naddress = 127.0.0.1:1\n"
            f"client_address = none\nopen_relay_checked = yes\n"
            f"[syn]\nsidecar =\nlabels =\n[http]\naddress = 127.0.0.1:0\n"
            f"{GIVES_UP}")
    tarryd = start_tarryd(judge.port, text=text).wait_ready()
    draw = random.Random(source)
    count = max(5, SESSIONS // 20)
    waited = []
    for _ in range(count):
        with socket.create_connection(("127.0.0.1", tarryd.port), 30,
                                      (source, 0)) as client:
            begin = time.monotonic()
            if source == "127.0.0.9":
                assert client.recv(200).startswith(b"220")
                client.sendall(b"EHLO c.example\r\n")
                begin = time.monotonic()
            client.settimeout(draw.uniform(0.05, 0.5))
            with pytest.raises(TimeoutError):
                client.recv(200)
            waited.append(time.monotonic() - begin)
    for line, seconds in zip(lines_of(tarryd, count), waited):
        assert " reason=gave_up " in line
        said_ms = int(re.search(r" gave_up_ms=(\d+)", line)[1])
        # What the MTA takes for its answer is no delay of ours.
        assert seconds * 1000 - 60 <= said_ms <= seconds * 1000 + 500, line
