#!/usr/bin/env python3
"""How real clients speak SMTP: is it always the same, and whose is it?

    tests/lab/dialects.py [--build DIRECTORY] [--sessions N] [--write FILE]

Each client of the matrix sends mail through Tarry, a session each, so many
times with class `pass`, and some of them in a slow class too. Each session's
dialect is taken from the log and from a capture.
"""
import argparse
import collections
import dataclasses
import os
import pathlib
import re
import shutil
import sys
import tempfile
import threading
import time

# Its modules read this when they are imported.
if "--build" in sys.argv[:-1]:
    os.environ["TARRY_BUILD"] = sys.argv[sys.argv.index("--build") + 1]

from lab import parse_logfmt, wait_until  # noqa: E402
from dialect_heard import heard_sessions  # noqa: E402
from matrix_client import CLIENTS  # noqa: E402
from matrix_mail import MAILS  # noqa: E402
from matrix_run import (Matrix, Pair, shipped_classes,  # noqa: E402
                        skip_where_no_matrix)
from matrix_street import HOSTS_NET, PORT  # noqa: E402

PASS = "pass"
MAIL = MAILS[0]  # two recipients, both good
# A client has one session at a time, or it may carry more than one mail.
# Those that take seconds for one are on so many hosts at once.
HOSTS = {"OpenSMTPD": 25, "ssmtp": 5}
# Of those that are slowed: one that pipelines, one that sends all at once,
# two that wait, and one that says HELO.
SLOWED = ("Postfix", "Exim", "sendmail", "smtplib", "nullmailer")
PER_MAIL = {"dma": 2}  # one for each recipient
SESSION_SECONDS = 240


class Log:
    """The lines of sessions, as they are written: {client's address: [..]}"""

    def __init__(self, program):
        self.program, self.lock = program, threading.Lock()
        self.sessions = collections.defaultdict(list)
        self.offset, self.rest = 0, b""

    def read(self):
        with self.lock, open(self.program.path, "rb") as log:
            log.seek(self.offset)
            more = log.read()
            self.offset += len(more)
            *lines, self.rest = (self.rest + more).split(b"\n")
            for line in lines:
                if b" event=session " in line:
                    one = parse_logfmt(line.decode())
                    self.sessions[one["client"].split(":")[0].strip("[]")] \
                        .append(one)

    def of(self, host):
        self.read()
        return self.sessions[host]


class Speech(Matrix):
    """Runs whose pairs may be the same; each sends `counts` mails in turn."""

    def __init__(self, where, shares):
        """shares: [(pair, count of sessions)]"""
        pairs = [pair for pair, _ in shares]
        super().__init__(where, pairs, jobs=len(pairs), mails=(MAIL,))
        self.shapes.append(PASS)
        self.counts = {run.number: count for run, (_, count)
                       in zip(self.runs, shares)}

    def go(self):
        self.logs = {key: Log(tarryd) for key, tarryd in self.tarryds.items()}
        super().go()

    def start(self):
        super().start()
        self.street.stop_capture()  # that has the MTA's side only
        self.street.capture(f"tcp port {PORT} and net {HOSTS_NET}")

    def log_of(self, run):
        return self.logs[run.pair.mta, run.pair.shape, ""].of(run.host)

    def send_all(self, client, run):
        each = PER_MAIL.get(run.pair.client, 1)
        for number in range(0, self.counts[run.number], each):
            status = client.send(MAIL, run.number)
            assert not status, f"{run.pair}: {status}\n{client.log[-2000:]}"
            wait_until(lambda: len(self.log_of(run)) >= number + each,
                       f"{run.pair}: session {number + each}\n"
                       f"{client.log[-2000:]}", SESSION_SECONDS)

    def wait_done(self, client, host, run):
        pass

    def collect(self):
        for tarryd in self.tarryds.values():
            assert tarryd.stop() == 0, tarryd.log[-3000:]
        assert self.street.stop_capture() == 0
        heard = heard_sessions(self.where / "said.pcap")
        for run in self.runs:
            run.held = [] if run.skipped else [
                (line, heard[run.host, int(line["port"])])
                for line in self.log_of(run)]


def shares_of(client, sessions, shape=PASS):
    hosts = min(HOSTS.get(client, 2) if shape == PASS else sessions, sessions)
    for number in range(hosts):
        yield (Pair(client, "Postfix", shape),
               sessions // hosts + (number < sessions % hosts))


@dataclasses.dataclass
class Heard:
    client: str
    shape: str
    texts: collections.Counter  # dialects in the log
    lines: collections.Counter  # what was said, see Session.lines()
    faults: list
    labels: set
    skipped: str


def judge(client, shape, runs):
    heard = Heard(client, shape, collections.Counter(),
                  collections.Counter(), [], set(), "")
    for run in runs:
        heard.skipped = heard.skipped or run.skipped
        for line, session in run.held:
            heard.texts[line.get("dialect")] += 1
            heard.lines[session.lines()] += 1
            heard.labels.add(line.get("dialect_label"))
            if line["messages"] != "1" or line["class"] != shape:
                heard.faults.append(f"no mail, or not in {shape}: {line}")
            if session.text() != line.get("dialect"):
                heard.faults.append(
                    f"heard {session.text()}, the log says "
                    f"{line.get('dialect')}: {session.lines()}")
    return heard


def listen(where, clients, sessions, slow_sessions, slow_shape):
    """Runs all; returns [Heard], one for each client and class."""
    shares = [share for client in clients
              for share in shares_of(client, sessions)]
    shares += [share for client in SLOWED
               if client in clients for share in
               shares_of(client, slow_sessions, slow_shape)]
    speech = Speech(where, shares)
    try:
        speech.start()
        speech.go()
    finally:
        speech.close()
    runs = collections.defaultdict(list)
    for run in speech.runs:
        runs[run.pair.client, run.pair.shape].append(run)
    return [judge(*key, runs[key]) for key in runs]


def first_of_each(lines):
    """Of equal commands in a row only the first: their number is the mail's
    doing."""
    return re.sub(r"[/+](RCPT [^/+]*)(?:[/+]\1)+", r"/\1", lines)


def shared(heard):
    """{dialect: [Heard of class pass]}, in the order of the clients."""
    found = collections.defaultdict(list)
    for one in heard:
        if one.shape == PASS and not one.skipped:
            for text in one.texts:
                found[text].append(one)
    return found


def report(heard, seconds):
    for one in heard:
        if one.skipped:
            yield f"skip {one.client}: {one.skipped}"
        for text, count in one.texts.items():
            yield f"{one.client:11}{one.shape:7}{count:4} x {text}"
    yield ""
    for text, group in shared(heard).items():
        if len(group) > 1:
            yield f"{', '.join(one.client for one in group)} share {text}:"
            for one in group:
                for line, count in one.lines.items():
                    yield f"  {one.client:11}{count:4} x {line}"
    sessions = sum(sum(one.texts.values()) for one in heard)
    yield f"{sessions} sessions of {len({one.client for one in heard})} " \
        f"clients, {len(shared(heard))} dialects, {seconds:.0f} s"


PAGE = """\
# How real clients speak

Written by `make dialects`. Each client sends mails with two recipients to
Postfix through Tarry, one in a session, in class `pass` and some of them in
the slowest one. Of each session Tarry's text (tarry.ini(5), `dialect`) is
compared with what a capture of both sides says. Under the clients that share
a text stands all that they said: `/` behind an answer, `+` without one. What
differs there is no feature that the text has.

```
%s
```
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--build", help="where the programs are")
    parser.add_argument("--sessions", type=int, default=100)
    parser.add_argument("--client", action="append", choices=CLIENTS,
                        help="only this one; repeat it")
    parser.add_argument("--write", help="write what is printed there too")
    words = parser.parse_args()
    skip_where_no_matrix()
    where = pathlib.Path(tempfile.mkdtemp(prefix="tarry-dialects-"))
    where.chmod(0o755)
    begin = time.monotonic()
    try:
        heard = listen(where, words.client or CLIENTS, words.sessions,
                       max(1, words.sessions // 10),
                       shipped_classes()[-1])
    finally:
        shutil.rmtree(where)
    lines = list(report(heard, time.monotonic() - begin))
    faults = [fault for one in heard for fault in one.faults]
    print("\n".join(lines + faults))
    if words.write:
        pathlib.Path(words.write).write_text(PAGE % "\n".join(lines))
    return 1 if faults or any(len(one.texts) > 1 for one in heard) else 0


if __name__ == "__main__":
    sys.exit(main())
