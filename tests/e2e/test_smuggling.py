"""Where does a message end? Odd ends of data, each before each real MTA.

No two MTAs agree on what ends DATA, and who takes more for an end than others
do can be made to take one mail for two (CVE-2023-51764 to 51766). Tarry must
alter nothing of that and see it just as the MTA behind it does: as many
messages, with the same commands and the same text in between.

Each form is sent in two ways: in steps, as a client that waits for replies,
which must be just as it is without Tarry; and with a second mail behind it in
the same write, as a smuggler does. Some MTAs refuse that for its pipelining,
and take more of it behind Tarry, which passes nothing behind DATA, or behind
what may be the end of it, before it was answered.
"""
import os
import pathlib
import re
import socket
import tempfile

import pytest

import journal_reader
from conftest import Client, wait_until
from mta import Exim, Opensmtpd, Postfix, Sendmail, mta, proxy_for  # noqa: F401,E501
from test_mail import CLIENT

FORMS = {
    "CRLF.CRLF": b"\r\n.\r\n",
    "LF.LF": b"\n.\n",
    "LF.CRLF": b"\n.\r\n",
    "CRLF.LF": b"\r\n.\n",
    "CR.CR": b"\r.\r",
    "CRLF.CR": b"\r\n.\r",
    "CR.CRLF": b"\r.\r\n",
    "LF.CR": b"\n.\r",
    "CR.LF": b"\r.\n",
    "CRLF.CRCRLF": b"\r\n.\r\r\n",
    "CRLF NUL.CRLF": b"\r\n\0.\r\n",
}
STANDARD, BARE = {"CRLF.CRLF"}, {"CRLF.CRLF", "LF.LF", "LF.CRLF", "CRLF.LF"}
ENVELOPE = ["MAIL FROM:<a@b.example>", "RCPT TO:<c@d.example>", "DATA"]
HEAD = b"Subject: %b\r\nMessage-Id: <%b@b.example>\r\n\r\nbegin %b\r\n%b"


def head(name):
    return HEAD % ((name,) * 4)


def postfix(bare_newline):
    def make(mta):
        behind = mta(Postfix, proxy=True,
                     main=f"smtpd_forbid_bare_newline = {bare_newline}\n")
        direct = free_port_of(behind)
        behind.set_line(f"{behind.address}:{direct} inet n - y - - smtpd\n"
                        f"{behind.address}:{behind.port} inet n - y - - smtpd"
                        " -o smtpd_upstream_proxy_protocol=haproxy")
        return behind, direct
    return make


def exim(mta):
    # Tarry comes from 127.0.0.1, who comes directly from another address.
    behind = mta(Exim, main="hosts_proxy = 127.0.0.1")
    return behind, behind.port


def opensmtpd(mta):
    behind = mta(Opensmtpd)
    direct = free_port_of(behind)
    behind.set_listen(
        f"listen on {behind.address} port {direct}\n"
        f"listen on {behind.address} port {behind.port} proxy-v2")
    return behind, direct


def sendmail(mta):
    behind = mta(Sendmail).set_box()
    return behind, behind.port


def free_port_of(behind):
    with socket.socket() as sock:
        sock.bind((behind.address, 0))
        return sock.getsockname()[1]


# What each takes for the end of a mail, as measured without Tarry; sendmail
# breaks off at the others, with 421 for bare CR and LF and 554 for NUL.
MTAS = {
    "Postfix": (postfix("no"), BARE | {"CRLF.CRCRLF"}),
    "Postfix normalize": (postfix("normalize"), STANDARD),
    "Exim": (exim, STANDARD),
    "OpenSMTPD": (opensmtpd, BARE),
    "sendmail": (sendmail, STANDARD),
}


class Lab:
    """An MTA, a Tarry before it, and what both make of a session."""

    def __init__(self, make, mta, proxy_for, journal):
        self.behind, self.direct = make(mta)
        self.behind.start()
        has_proxy = not isinstance(self.behind, Sendmail)
        self.source = CLIENT if has_proxy else "127.0.0.1"
        self.journal = journal
        self.tarryd = proxy_for(
            self.behind.address, self.behind.port, class_new__greet="0s",
            mta__client_address="proxy_v2" if has_proxy else "none",
            mta__open_relay_checked="yes",
            journal__path=journal).wait_ready()
        self.seen, self.sessions = set(), 0

    def connect(self, through_tarry):
        if through_tarry:
            return self.tarryd.connect(self.source)
        return Client(self.direct, self.source, self.behind.address)

    def mails(self):
        """The mails that came since it was last asked, without what the MTA
        puts above them."""
        wait_until(lambda: self.behind.queued() == 0, "an empty queue")
        new = set((self.behind.box / "new").glob("*")) - self.seen
        self.seen |= new
        return sorted(path.read_bytes().partition(b"begin ")[2]
                      for path in new)

    def view(self):
        """What Tarry made of the last session: (verbs with codes, line)."""
        self.sessions += 1

        def look():
            lines = journal_reader.read(self.journal, True) \
                if self.journal.exists() else []
            ended = [line["id"] for line in lines if line["ev"] == "end"]
            return lines if len(ended) >= self.sessions else None
        lines = wait_until(look, "the session's end in the journal")
        last = [line for line in lines if line["ev"] == "end"][-1]
        session = journal_reader.sessions(lines)[last["id"]]
        return [(verb, code) for verb, code, *_ in
                journal_reader.replay(session)], last


def replies(client):
    """The replies up to the end, one text each."""
    found = []
    try:
        while text := client.reply():
            found.append(text)
    except ConnectionResetError:
        pass  # behind a 421, with bytes that nobody has read
    return found


def begin(client):
    """Up to the first 354; returns the replies."""
    return [client.reply(), client.ask("EHLO client.example"),
            *map(client.ask, ENVELOPE)]


def in_steps(client, form, is_end):
    """Waits for all replies; also in the middle, if there is to be one."""
    got = begin(client)
    client.send(head(b"first") + form)
    if is_end:
        got += [client.reply(), client.ask("NOOP"),
                *map(client.ask, ENVELOPE)]
        client.send(head(b"second"))
    client.send(b"\r\n.\r\n")
    got.append(client.reply())
    if not got[-1].startswith("421"):
        client.send("QUIT\r\n")
    return got + replies(client)


def at_once(client, form, _is_end):
    """What is a second mail for some is in the text of the first for others,
    and the replies tell the client what it was."""
    got = begin(client)
    client.send(head(b"first") + form + "\r\n".join(ENVELOPE).encode() +
                b"\r\n" + head(b"second") + b"\r\n.\r\nQUIT\r\n")
    return got + replies(client)


def same(replies):
    """Without what differs between any two sessions of an MTA."""
    return [re.sub(r"queued as \w+|id=[\w-]+|\b\w+ Message accepted|; .* GMT",
                   "ID", text) for text in replies]


def look(lab, way, form, is_end, through_tarry):
    with lab.connect(through_tarry) as client:
        got = way(client, form, is_end)
    return got, lab.mails()


def check_view(seen, end, got, mails, sent, what):
    """What Tarry saw of a session is what the client got and the MTA took."""
    assert not end.get("lost"), what
    codes = [int(reply[:3]) for reply in got]
    if codes[-1] == 421 and seen[-1][1] != 421:
        codes.pop()  # it answers no command
    assert [code for _, code in seen] == codes, what
    took = sum(verb == "dot" and code == 250 for verb, code in seen)
    assert took == len(mails) == end["messages"], what
    if not mails or not got[-1].startswith("221"):
        return  # refused or broken off
    # A command that Tarry saw is in no mail, and one that it did not see is.
    said = b"".join(mails).count(ENVELOPE[0].encode())
    assert [verb for verb, _ in seen].count("MAIL") + said == sent, what


@pytest.fixture
def journal():
    with tempfile.TemporaryDirectory(prefix="tarry-") as path:
        os.chmod(path, 0o777)
        yield pathlib.Path(path) / "journal"


@pytest.fixture(scope="module")
def table():
    """{form: {MTA: "messages of the MTA=those of Tarry, both ways"}}"""
    rows = {label: {} for label in FORMS}
    yield rows
    width = max(map(len, MTAS))
    print("\n" + " " * 14 + "  ".join(f"{name:{width}}" for name in MTAS))
    for label, cells in rows.items():
        print(f"{label:14}" + "  ".join(
            f"{cells.get(name, '-'):{width}}" for name in MTAS))


@pytest.mark.parametrize("name", MTAS)
def test_ends(name, mta, proxy_for, journal, table):  # noqa: F811
    make, ends = MTAS[name]
    lab = Lab(make, mta, proxy_for, journal)
    for label, form in FORMS.items():
        cells = []
        for way in (in_steps, at_once):
            want, want_mails = look(lab, way, form, label in ends, False)
            got, mails = look(lab, way, form, label in ends, True)
            seen, end = lab.view()
            what = f"{name}, {label}, {way.__name__}: {seen}"
            sent = 2 if way is at_once or label in ends else 1
            check_view(seen, end, got, mails, sent, what)
            if way is in_steps:
                assert same(got) == same(want), what
                assert mails == want_mails, what
            cells.append(f"{len(mails)}={end['messages']}")
        table[label][name] = " ".join(cells)
