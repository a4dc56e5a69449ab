#!/usr/bin/env python3
"""Real clients through Tarry into real MTAs: is it only delay?

    tests/lab/matrix.py [--build DIRECTORY] [--sample] [--write FILE]

Sixteen clients send six mails each to four MTAs, directly and through Tarry
in each shipped class; then those that speak TLS do it by STARTTLS, with TLS
that passes, TLS that ends in Tarry, and TLS on both sides of it. What is
delivered, what bounces, and what the client is told must be the same. Prints
tables, and what differs; the exit status is 1 if anything does. What this
machine cannot run is skipped by name and counted.
"""
import argparse
import collections
import os
import pathlib
import shutil
import sys
import tempfile
import time

# Its modules read this when they are imported.
if "--build" in sys.argv[:-1]:
    os.environ["TARRY_BUILD"] = sys.argv[sys.argv.index("--build") + 1]

import pytest  # noqa: E402

from matrix_client import CLIENTS  # noqa: E402
from matrix_mail import MAILS, differences  # noqa: E402
from matrix_mta import SERVERS  # noqa: E402
from matrix_run import (DIRECT, TLS, Matrix, Pair,  # noqa: E402
                        shipped_classes, skip_where_no_matrix)

# A class with delays behind the greeting, inside and outside of TLS.
TLS_SHAPE = 1

# What may be told of a client's behaviour, as the log names it.
MANNERS = ("early_talker", "pipelining", "non_smtp", "bare_newline")


def tls_pairs(client, mta, ways=TLS[1:]):
    return [Pair(client, mta, DIRECT, TLS[0]),
            *(Pair(client, mta, shipped_classes()[TLS_SHAPE], tls)
              for tls in ways)]


def all_pairs():
    plain = [Pair(client, mta, shape) for client in CLIENTS
             for mta in SERVERS for shape in [DIRECT, *shipped_classes()]]
    return plain + [pair for client in CLIENTS if CLIENTS[client].speaks_tls
                    for mta in SERVERS if not SERVERS[mta].no_tls
                    for pair in tls_pairs(client, mta)]


def sample_pairs():
    """Each client with one MTA in two classes, and the same directly: all
    clients, all MTAs, all classes, and each class before each MTA."""
    best, second, third, worst = shipped_classes()
    mtas = list(SERVERS)
    pairs = []
    for number, client in enumerate(CLIENTS):
        group = number // len(mtas)
        mta = mtas[(number + group) % len(mtas)]
        shapes = (second, third) if group in (1, 2) else (best, worst)
        if client == "nullmailer":  # sends one mail after the other
            shapes = (best, second)
        pairs += [Pair(client, mta, shape) for shape in (DIRECT, *shapes)]
    # And with TLS, that of each MTA and of Tarry before each.
    offers = [mta for mta in SERVERS if not SERVERS[mta].no_tls]
    for number, client in enumerate(TLS_SAMPLE):
        pairs += tls_pairs(client, offers[number % 3],
                           TLS[1:2] if number < 3 else TLS[2:])
    return pairs


TLS_SAMPLE = ("Exim", "sendmail", "Postfix", "OpenSMTPD", "smtplib",
              "nodemailer")


def expected_boxes(client, mails=MAILS):
    """Mailboxes that every client fills; some give up a mail if one of its
    recipients is refused."""
    return {to for mail in mails if mail.name not in
            (*CLIENTS[client].cannot, "mixed")
            for to in mail.to if to.startswith("to.")}


def faults_of(run, direct):
    """In what a run is not as it should be, as texts."""
    if run.pair.tls and not all(run.is_tls):
        yield f"no TLS in {run.is_tls.count(False)} sessions"
    if run.pair.shape == DIRECT:
        missing = expected_boxes(run.pair.client) - set(run.outcome.boxes)
        if missing:
            yield f"nothing came to {sorted(missing)}"
        return
    yield from differences(direct.outcome, run.outcome)
    # A comparison of what was never slowed would show nothing.
    if len(run.held) != len(run.outcome.sessions):
        yield f"{len(run.outcome.sessions)} sessions in the capture, " \
            f"{len(run.held)} in Tarry's log"
    # They wait for answers and speak SMTP, however slowly they are served.
    odd = {name for line in run.held for name in MANNERS if name in line}
    if odd:
        yield f"told of a real client: {sorted(odd)}"
    classes = {line["class"] for line in run.held}
    if classes != {run.pair.shape}:
        yield f"classes in the log: {sorted(classes)}"


class Report:
    def __init__(self, matrix):
        self.runs = {run.pair: run for run in matrix.runs}
        self.faults = {}
        self.skipped = {}
        for pair, run in self.runs.items():
            direct = self.runs[pair.directly()]
            if run.skipped or direct.skipped:
                self.skipped[pair] = run.skipped or direct.skipped
            else:
                self.faults[pair] = list(faults_of(run, direct))

    def cell(self, pair):
        if pair not in self.runs:
            return "."
        if pair in self.skipped:
            return "skip"
        return "DIFF" if self.faults[pair] else "ok"

    def table(self, ways):
        """ways: {(shape, tls): heading of the column}"""
        runs = [pair for pair in self.runs if (pair.shape, pair.tls) in ways]
        mtas = list(dict.fromkeys(pair.mta for pair in runs))
        ways = {way: name for way, name in ways.items()
                if any((pair.shape, pair.tls) == way for pair in runs)}
        width = {way: max(len(name), 4) for way, name in ways.items()}
        group = sum(width.values()) + len(ways) - 1
        yield " " * 12 + "".join(f" | {mta:{group}}" for mta in mtas)
        yield " " * 12 + "".join(" | " + " ".join(
            f"{name:{width[way]}}" for way, name in ways.items())
            for _ in mtas)
        for client in dict.fromkeys(pair.client for pair in runs):
            yield f"{client:12}" + "".join(" | " + " ".join(
                f"{self.cell(Pair(client, mta, *way)):{width[way]}}"
                for way in ways) for mta in mtas)

    def tables(self):
        shape = shipped_classes()[TLS_SHAPE]
        for title, ways in (
                ("in plain text", {(shape, ""): shape for shape in
                                   (DIRECT, *shipped_classes())}),
                (f"with TLS, class {shape}", {
                    (DIRECT, TLS[0]): DIRECT,
                    **{(shape, tls): tls for tls in TLS[1:]}})):
            if any((pair.shape, pair.tls) in ways for pair in self.runs):
                yield f"{title}:"
                yield from self.table(ways)

    def waits(self):
        """How long each class made its sessions wait for the greeting."""
        held = collections.defaultdict(list)
        for pair, run in self.runs.items():
            for line in run.held or ():
                held[pair.shape].append(int(line["greet_ms"]) / 1e3)
        for shape, seconds in held.items():
            yield (f"{shape}: {len(seconds)} sessions, greeted after "
                   f"{min(seconds):.1f} to {max(seconds):.1f} s")

    def summary(self, seconds):
        slowed = [pair for pair in self.runs if pair.shape != DIRECT]
        bad = [pair for pair in self.faults if self.faults[pair]]
        same = [pair for pair in slowed if self.faults.get(pair) == []]
        mails = sum(len(mails) for pair in slowed
                    if self.runs[pair].outcome
                    for mails in self.runs[pair].outcome.boxes.values())
        skipped = f", {len(self.skipped)} runs skipped" \
            if self.skipped else ""
        return (f"{len(same)} of {len(slowed)} pairs are as without Tarry, "
                f"{len(bad)} differ{skipped}; {mails} mails in "
                f"{seconds:.0f} s")

    def print(self, seconds, out=print):
        for line in self.tables():
            out(line)
        for line in self.waits():
            out(line)
        for pair, faults in self.faults.items():
            for fault in faults:
                out(f"DIFF {pair}: {fault[:1500]}")
        for name in dict.fromkeys(pair.client for pair in self.runs):
            if CLIENTS[name].garbles:
                out(f"note {name}: of its bounces only recipients and codes "
                    "are compared")
        for name, server in SERVERS.items():
            if server.no_tls and any(pair.tls for pair in self.runs):
                out(f"note {name}: not tried with TLS: {server.no_tls}")
        for pair, why in self.skipped.items():
            out(f"skip {pair}: {why}")
        out(self.summary(seconds))


PAGE = """\
# Real clients through Tarry into real MTAs

Written by `make matrix`. Each client sends six mails to each MTA (two
recipients, an unknown one, a mixed pair, a megabyte, odd text, the null
sender) without Tarry and through it; with TLS it passes, ends in Tarry (terminate), or
ends there and begins again to the MTA (both). `ok`: the mailboxes, the bounces, the
exit statuses and the queue left behind are the same, no mail is there twice,
and so are the replies, as far as they can be read on the wire: with TLS that
is the greeting. `skip`, and DIFF with what differs, are explained below.

```
%s
```
"""


def run_matrix(where, pairs, jobs):
    """Runs all pairs; returns (report, seconds)."""
    begin = time.monotonic()
    matrix = Matrix(where, pairs, jobs)
    try:
        matrix.start()
        matrix.go()
    finally:
        matrix.close()
    return Report(matrix), time.monotonic() - begin


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--build", help="where the programs are")
    parser.add_argument("--sample", action="store_true",
                        help="a fixed part of it: 41 pairs")
    parser.add_argument("--jobs", type=int, default=80,
                        help="how many runs go on at once")
    parser.add_argument("--tls", action="store_true",
                        help="only what has TLS in it")
    parser.add_argument("--write", help="write the tables there too")
    for name, all_of in (("client", CLIENTS), ("mta", SERVERS),
                         ("class", [DIRECT, *shipped_classes()])):
        parser.add_argument(f"--{name}", action="append", choices=all_of,
                            dest=name, help=f"only this {name}; repeat it")
    parser.add_argument("--keep", action="store_true",
                        help="leave the logs and the capture")
    words = parser.parse_args()
    pairs = [pair for pair in
             (sample_pairs() if words.sample else all_pairs())
             if pair.client in (words.client or CLIENTS)
             and (pair.tls or not words.tls)
             and pair.mta in (words.mta or SERVERS)
             and pair.shape in (*(getattr(words, "class") or
                                  shipped_classes()), DIRECT)]
    try:
        skip_where_no_matrix()
    except pytest.skip.Exception as why:
        print(f"all {len(pairs)} runs skipped: {why}")
        return 0
    where = pathlib.Path(tempfile.mkdtemp(prefix="tarry-matrix-"))
    where.chmod(0o755)
    try:
        report, seconds = run_matrix(where, pairs, words.jobs)
    finally:
        if words.keep:
            print(f"logs and capture: {where}")
        else:
            shutil.rmtree(where)
    report.print(seconds)
    if words.write:
        lines = []
        report.print(seconds, lines.append)
        pathlib.Path(words.write).write_text(PAGE % "\n".join(lines))
    return 1 if any(report.faults.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
