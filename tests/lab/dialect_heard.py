"""How a client spoke, read from a capture: a second opinion on Tarry's text.

Tarry reads a stream byte by byte; this has whole sessions and all the time in
the world. It knows what these clients say and no more.
"""
import dataclasses
import ipaddress
import re

from matrix_street import PORT, read_packets


@dataclasses.dataclass
class Command:
    line: bytes  # with its end
    is_ahead: bool  # it began before all answers before it were there

    @property
    def verb(self):
        return self.line.decode().upper().partition(" ")[0].strip()


class Session:
    def __init__(self):
        self.commands = []
        self.next = {}  # by side, the sequence number to come
        self.said = {True: b"", False: b""}  # by the client, the MTA; unread
        self.owed = 1  # answers; the first one is the greeting
        self.waits = None  # the DATA whose answer says what follows
        self.is_body = False
        self.octets = 0  # of BDAT, to come
        self.has_fin = False

    def packet(self, is_client, seq, flags, payload):
        if flags & 2:
            self.next[is_client] = seq + 1 & 0xffffffff
        elif payload and self.next[is_client] == seq:
            self.next[is_client] = seq + len(payload) & 0xffffffff
            self.said[is_client] += payload
            self.read_client() if is_client else self.read_mta()
        elif payload and (seq - self.next[is_client]) & 0x80000000 == 0:
            raise AssertionError("a segment is missing in the capture")

    def read_mta(self):
        while found := re.match(rb"(?:\d{3}-[^\n]*\n)*(\d{3})(?: [^\n]*)?\n",
                                self.said[False]):
            self.said[False] = self.said[False][found.end():]
            self.owed -= 1
            if self.waits is not None and self.owed == 0:
                self.is_body = found[1] == b"354"
                self.waits = None
                self.read_client()

    def read_client(self):
        while self.waits is None and self.take_one():
            pass

    def take_one(self):
        said = self.said[True]
        if self.octets:
            taken = min(self.octets, len(said))
            self.octets -= taken
        elif self.is_body:
            end = (b"\r\n" + said).find(b"\r\n.\r\n")
            taken = end + 3 if end >= 0 else 0
            self.is_body = end < 0
            self.owed += end >= 0
        else:
            taken = said.find(b"\n") + 1
            if taken:
                self.command(said[:taken])
        self.said[True] = said[taken:]
        return taken > 0

    def command(self, line):
        self.commands.append(Command(line, self.owed > 0))
        self.owed += 1
        if re.match(rb"data\s*$", line, re.I):
            self.waits = self.commands[-1]
        elif found := re.match(rb"bdat (\d+)", line, re.I):
            self.octets = int(found[1])

    def first(self, *verbs):
        """The first command with one of these verbs, or None."""
        return next((one for one in self.commands if
                     one.verb in verbs), None)

    def groups(self, command):
        """Whether it was not waited with. That a RCPT came behind the answer
        to MAIL is chance, where DATA did not wait for that to RCPT."""
        data = self.first("DATA", "BDAT")
        return command.is_ahead or \
            command.verb == "RCPT" and data is not None and data.is_ahead

    def text(self):
        """The dialect as include/tarry/dialect.h says it is written."""
        hello = [self.first(verb) for verb in ("EHLO", "HELO")]
        mail, rcpt = self.first("MAIL"), self.first("RCPT")
        data, quit = self.first("DATA", "BDAT"), self.first("QUIT")
        ends = {one.line.endswith(b"\r\n") for one in self.commands}
        return ":".join((
            "+".join(word(one) for one in hello if one),
            kind_of_name(next(one for one in hello if one)),
            path(mail), path(rcpt), params(mail), params(rcpt),
            "".join("-" if one is None else letter if self.groups(one) else "w"
                    for one, letter in zip((mail, rcpt, data, quit), "MRDQ")),
            word(data), word(quit) if quit else "fin",
            word(self.first("RSET")),
            "both" if len(ends) == 2 else "crlf" if True in ends else "lf"))

    def lines(self):
        """What it said, but for what it was about; grouped by answers."""
        said = b""
        for one in self.commands:
            line = re.sub(rb"<[^>]*>", b"<A>", one.line)
            line = re.sub(rb"(?i)\b(orcpt=)\S+", rb"\1A", line)
            line = re.sub(rb"(?i)(\bsize=|^bdat )\d+", rb"\1N", line)
            said += (b"+" if self.groups(one) else b"/") + \
                repr(line)[2:-1].encode()
        return said.decode().strip("/")


def word(command):
    if command is None:
        return "-"
    said = command.line.split()[0].decode()
    return said if said in (said.upper(), said.lower()) else \
        said.capitalize()


def kind_of_name(hello):
    name = hello.line.split()[1].decode() if b" " in hello.line else ""
    for kind, pattern in (("none", r"$"), ("localhost", r"(?i)localhost$"),
                          ("ip6", r"\[.*:.*\]$"), ("ip4", r"\[.*\]$"),
                          ("ip", r"[\d.]+$"), ("fqdn", r"[\w-]+\.[\w.-]+$"),
                          ("label", r"[a-zA-Z\d-]+$")):
        if re.match(pattern, name):
            return kind
    return "odd"


PATH = re.compile(rb"(\w+) (\w+):(\s*)(<?)[^>\s]*>?([^\r\n]*?)(\s*)\r?\n")


def path(command):
    if command is None:
        return "-"
    verb, keyword, blank, bracket, _, end = PATH.match(command.line).groups()
    return f"{verb.decode()}.{keyword.decode()}{'_' if blank else ''}" \
        f"{bracket.decode()}{'_' if end.strip(bytes([13, 10])) else ''}"


def params(command):
    if command is None:
        return "-"
    said = PATH.match(command.line)[5].decode().split()[:3]
    known = ("SIZE BODY SMTPUTF8 AUTH RET ENVID PRDR NOTIFY ORCPT REQUIRETLS "
             "MT-PRIORITY").split()
    names = [one.split("=")[0] for one in said]
    return "+".join(name if name.upper() in known else "x"
                    for name in names) or "none"


def heard_sessions(path):
    """{(client's address, port): Session} of a capture of both sides."""
    sessions = {}
    for source, port, to, to_port, seq, flags, payload in read_packets(path):
        is_client = to_port == PORT
        key = (str(ipaddress.ip_address(source if is_client else to)),
               port if is_client else to_port)
        if flags & 2 and is_client and key not in sessions:
            sessions[key] = Session()
        sessions[key].packet(is_client, seq, flags, payload)
    return sessions
