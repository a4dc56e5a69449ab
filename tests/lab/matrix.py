#!/usr/bin/env python3
"""Real clients through Tarry into real MTAs: is it only delay?

    tests/lab/matrix.py [--build DIRECTORY] [--sample]

Sixteen clients send six mails each to four MTAs, directly and through Tarry
in each shipped class. What is delivered, what bounces, and what the client is
told must be the same. Prints a table, and what differs; the exit status is 1
if anything does. What this machine cannot run is skipped by name and counted.
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
from matrix_run import (DIRECT, Matrix, Pair,  # noqa: E402
                        shipped_classes, skip_where_no_matrix)


def all_pairs():
    return [Pair(client, mta, shape) for client in CLIENTS
            for mta in SERVERS for shape in [DIRECT, *shipped_classes()]]


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
    return pairs


def expected_boxes(client, mails=MAILS):
    """Mailboxes that every client fills; some give up a mail if one of its
    recipients is refused."""
    return {to for mail in mails if mail.name not in
            (*CLIENTS[client].cannot, "mixed")
            for to in mail.to if to.startswith("to.")}


def faults_of(run, direct):
    """In what a run is not as it should be, as texts."""
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
    classes = {line["class"] for line in run.held}
    if classes != {run.pair.shape}:
        yield f"classes in the log: {sorted(classes)}"


class Report:
    def __init__(self, matrix):
        self.runs = {run.pair: run for run in matrix.runs}
        self.faults = {}
        self.skipped = {}
        for pair, run in self.runs.items():
            direct = self.runs[Pair(pair.client, pair.mta, DIRECT)]
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

    def table(self):
        mtas = list(dict.fromkeys(pair.mta for pair in self.runs))
        shapes = [shape for shape in [DIRECT, *shipped_classes()]
                  if any(pair.shape == shape for pair in self.runs)]
        width = {shape: max(len(shape), 4) for shape in shapes}
        group = sum(width.values()) + len(shapes) - 1
        yield " " * 12 + "".join(f" | {mta:{group}}" for mta in mtas)
        yield " " * 12 + "".join(" | " + " ".join(
            f"{shape:{width[shape]}}" for shape in shapes) for _ in mtas)
        for client in dict.fromkeys(pair.client for pair in self.runs):
            yield f"{client:12}" + "".join(" | " + " ".join(
                f"{self.cell(Pair(client, mta, shape)):{width[shape]}}"
                for shape in shapes) for mta in mtas)

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
        for line in self.table():
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
        for pair, why in self.skipped.items():
            out(f"skip {pair}: {why}")
        out(self.summary(seconds))


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
                        help="a fixed part of it: 32 pairs")
    parser.add_argument("--jobs", type=int, default=80,
                        help="how many runs go on at once")
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
    return 1 if any(report.faults.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
