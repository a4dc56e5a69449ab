"""What each pair sends, and when two outcomes are equal.

A run is one client with its six mails against one address. Its outcome is
what became of them, as seen from all sides: the mailboxes, the bounces, the
client's exit statuses or the queue it was left with, and every reply that it
was given. Two outcomes are compared after that is made equal which differs
between any two runs: the run's number, addresses, dates and ids.
"""
import collections
import dataclasses
import re

DOMAIN = "d.example"
HEADERS = ("From: a@b.example\nTo: list@d.example\nSubject: %s\n"
           "Message-Id: <%s@b.example>\n"
           "Date: Sun, 22 Nov 2026 10:00:00 +0000\n"
           "MIME-Version: 1.0\n"
           "Content-Type: text/plain; charset=utf-8\n"
           "Content-Transfer-Encoding: 8bit\n\n")
# What goes wrong in relays: dots, 8-bit, long lines, blank ends, SMTP.
ODD = (b".one dot\n..two dots\n.\n...\n. \n .\n.x.\nFrom here\n"
       b"gr\xc3\xbc\xc3\x9fe \xe2\x82\xac\n" + b"x" * 900 + b"\n"
       b"trailing blanks   \n\ttab\n\n\n"
       b"MAIL FROM:<x@y.example>\nQUIT\nDATA\n354 go on\n\nend\n")
BIG = b"".join(b"%07d %s\n" % (i, bytes(65 + (i * 7 + j) % 26
                                        for j in range(60)))
               for i in range(15400))
SMALL = b"hello\nworld\n"


@dataclasses.dataclass(frozen=True)
class Mail:
    name: str
    to: tuple  # local parts, without the run's number
    body: bytes
    has_sender: bool = True

    def sender(self, run):
        return f"from.{self.name}.{run:03d}@{DOMAIN}" \
            if self.has_sender else ""

    def recipients(self, run):
        return [f"{to}.{run:03d}@{DOMAIN}" for to in self.to]

    def message(self):
        """With LF; who needs CRLF makes it so."""
        return (HEADERS % (self.name, self.name)).encode() + self.body


# Who is called nobody is refused with 550 at RCPT by every MTA here.
MAILS = (
    Mail("two", ("to.two-a", "to.two-b"), SMALL),
    Mail("unknown", ("nobody.unknown",), SMALL),
    Mail("mixed", ("to.mixed", "nobody.mixed"), SMALL),
    Mail("big", ("to.big",), BIG),
    Mail("odd", ("to.odd",), ODD),
    Mail("null", ("to.null",), SMALL, has_sender=False),
)


# What any two runs differ in, most specific first.
NOT_THE_SAME = [(re.compile(pattern), put) for pattern, put in (
    (rb"\b((?:to|from|nobody)\.[a-z-]+)\.\d{3}\b", rb"\1.RUN"),
    (rb"queued as \w+", b"queued as ID"),  # Postfix
    # Sizes of bounces, which have ids and dates in them.
    (rb"\b\d+ (bytes queued|byte chunk)", rb"SIZE \1"),
    (rb"\btotal \d+", b"total SIZE"),
    (rb"<\d{12}\.\w{14}@", b"<ID@"),  # sendmail gave it one
    (rb"\bid=[\w-]+", b"id=ID"),  # Exim
    (rb"\b[0-9a-f]{8} Message accepted", b"ID Message accepted"),  # OpenSMTPD
    (rb"\b[0-9A-Za-z]{14} Message accepted", b"ID Message accepted"),
    (rb"\b[0-9A-Za-z]{9,20} (?=closing connection)", b"ID "),
    (rb"(?:[A-Z][a-z]{2}, )?\d{1,2} [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d"
     rb"(?: [+-]\d{4})?(?: \([A-Z]+\))?", b"DATE"),
    (rb"\b10\.(?:\d{1,3}\.){2}\d{1,3}\b", b"ADDRESS"),
)]


def same(text):
    for pattern, put in NOT_THE_SAME:
        text = pattern.sub(put, text)
    return text


# What Exim says to who hangs up without QUIT.
LOST_INPUT = b"421 mta.example lost input connection\r\n"
# What Postfix, Exim, OpenSMTPD and sendmail say to RSET.
TO_RSET = (b"250 2.0.0 Ok\r\n", b"250 Reset OK\r\n",
           b"250 2.0.0 Reset state\r\n")
# A teaser is a line before the MTA's own greeting, and begins so.
TEASER = re.compile(rb"\A220-[^\r\n]*\r\n(?=220[ -])")


def replies(said, awaits_quit=True):
    """A session's replies, made the same; what is no reply stays as it is.

    A client that does not wait for the reply to QUIT may be gone before it
    is said, or not.
    """
    found = [same(reply) for reply in re.findall(
        rb"(?:\d{3}-[^\n]*\n)*\d{3}(?: [^\n]*)?\n|[^\n]+\n?",
        TEASER.sub(b"", said, count=1))]
    if not awaits_quit and found and found[-1].startswith(b"221"):
        found.pop()
    return tuple(found)


def before_tls(said):
    """Of a session that becomes TLS only the greeting can be compared: whose
    TLS it is shows in what is offered and how STARTTLS is answered."""
    plain, is_tls, _ = said.partition(b"\r\n\x16\x03")
    if not is_tls:
        return said
    return re.match(rb"(?:\d{3}-[^\n]*\n)*[^\n]*\n?", plain)[0]


# Lines that the MTA of the recipient adds above the message.
ADDED = re.compile(
    rb"(?:Received|Return-Path|Delivered-To|X-Original-To|Envelope-To|"
    rb"Delivery-Date): ?[^\n]*\n(?:[ \t][^\n]*\n)*", re.I)
# Fields that say what became of a recipient.
STATUS = re.compile(rb"^(?:Final-Recipient|Action|Status|Diagnostic-Code): "
                    rb"[^\n]*\n(?:[ \t]+[^\n]*\n)*", re.M | re.I)
REFUSED = re.compile(rb"^.*\b5\d\d\b.*$", re.M)


def mail_text(mail):
    """A mail in a mailbox, but for what differs between any two."""
    mail = mail.replace(b"\r\n", b"\n")
    head, _, body = mail.partition(b"\n\n")
    head = ADDED.sub(b"", head + b"\n")
    return same(head) + b"\n" + body


def bounce_codes(mail):
    """Of a bounce only for whom it is and with what codes."""
    return same(b" ".join(sorted(set(re.findall(
        rb"(?m)<nobody\.[a-z]+\.\d{3}@d\.example>|^5\d\d\b", mail)))))


def bounce_text(mail):
    """What a bounce says of the recipients."""
    mail = mail.replace(b"\r\n", b"\n")
    found = STATUS.findall(mail) or REFUSED.findall(mail)
    return same(b"".join(found))


@dataclasses.dataclass
class Outcome:
    """What became of the mails of one run."""

    boxes: dict  # recipient without number -> [text of a mail]
    exits: dict  # mail's name -> exit status; empty for an MTA
    left: int  # mails in the client's queue
    sessions: list  # of tuples of replies
    reuses: bool  # the client may send several mails in a session

    def bag(self):
        """The replies between the first two and the last, of all sessions.

        How many mails a session carries is the client's choice and varies;
        so does what it says in between.
        """
        return collections.Counter(
            reply for session in self.sessions
            for reply in self.without_farewell(session)[2:]
            if not reply.startswith(b"221") and reply not in TO_RSET)

    def without_farewell(self, session):
        """A client that kept its connection for more mail may close it
        without a QUIT; what it is told then depends on how many it kept."""
        return session[:-1] if self.reuses and \
            session[-1:] == (LOST_INPUT,) else session

    def edges(self):
        """The first two and the last reply of every session."""
        return {session[:2] for session in self.sessions} | \
            {session[-1:] for session in self.sessions
             if session[-1:] and session[-1].startswith(b"221")}


def count_of(boxes):
    return {name: len(mails) for name, mails in sorted(boxes.items())}


def differ_boxes(want, got):
    if count_of(want.boxes) != count_of(got.boxes):
        yield f"mailboxes: {count_of(want.boxes)} became " \
            f"{count_of(got.boxes)}"
        return
    for name, mails in want.boxes.items():
        if sorted(mails) != sorted(got.boxes[name]):
            yield f"mail to {name} differs: " + \
                first_difference(mails, got.boxes[name])


def first_difference(want, got):
    for one, other in zip(sorted(want), sorted(got)):
        if one != other:
            at = next((i for i, (x, y) in enumerate(zip(one, other))
                       if x != y), min(len(one), len(other)))
            return f"at {at}: {one[max(0, at - 60):at + 60]!r} became " \
                f"{other[max(0, at - 60):at + 60]!r}"
    return f"{len(want)} became {len(got)}"


def differ_replies(want, got):
    if not want.reuses:
        missing = list((collections.Counter(want.sessions) -
                        collections.Counter(got.sessions)).elements())
        added = list((collections.Counter(got.sessions) -
                      collections.Counter(want.sessions)).elements())
        if missing or added:
            yield f"sessions' replies: {missing[:2]} became {added[:2]}"
        return
    if want.bag() != got.bag():
        yield f"replies: {dict(want.bag() - got.bag())} became " \
            f"{dict(got.bag() - want.bag())}"
    if want.edges() != got.edges():
        yield f"first and last replies: {want.edges() - got.edges()} " \
            f"became {got.edges() - want.edges()}"


def differences(want, got):
    """All in which the outcome with Tarry is not that without, as texts."""
    found = list(differ_boxes(want, got))
    if want.exits != got.exits:
        found.append(f"exit statuses: {want.exits} became {got.exits}")
    if want.left != got.left:
        found.append(f"left in the queue: {want.left} became {got.left}")
    if None in got.sessions or None in want.sessions:
        found.append("a session is not whole in the capture")
    else:
        found += differ_replies(want, got)
    return found
