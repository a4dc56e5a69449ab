"""Load, a crowd that is held meanwhile, and an account of every message.

A FaultLab is a sink, tarryd and storms (tests/bench). In each test a crowd of
clients waits for its greeting while a load of some hundred sessions a second
runs and something goes wrong. In the end each client's view is compared with
the sink's: what was told 250 is there, once, as it was sent; what was heard is
what the sink says, byte for byte; and Tarry said 421 where it may, nowhere
else.
"""
import collections
import os
import re
import subprocess
import sys
import threading
import time

from conftest import BUILD, TOP

sys.path.insert(0, str(TOP / "tests/bench"))
from storm_lab import (  # noqa: E402
    Lab, Process, read_line, read_row, total, wait_until)

CROWD = 1200  # clients that wait all the while
HELD = 1000  # of them at least are held whenever one looks
CROWD_GREET = 5  # seconds
RATE = 500  # sessions a second
SECONDS = 3  # of load
# What begins a session ends it: these have to be served in full.
SERVED = ("complete", "early", "pipeline", "deaf")

CLASSES = f"""
[class hold]
greet = 300ms
[class teaser]
greet = 400ms
teaser = yes
[class slow]
greet = 200ms
reply = 80ms
[class drip]
greet = 300ms
reply = 100ms
drip = 80ms
teaser = yes
[class late]
greet = 700ms
[class crowd]
greet = {CROWD_GREET}s
"""

RULES = "".join(f"""
[rule {name}]
network = 127.{number}.0.0/16
class = {name}
""" for number, name in enumerate(
    ("hold", "teaser", "slow", "drip", "late", "crowd"), 1))


def config(mta_port, sessions=8000, slots=400, reply="20s", patience="9s",
           connect_timeout="500ms", sidecar="", more="", classes=CLASSES,
           rules=RULES):
    return f"""
[tarry]
mode = enforce
max_sessions = {sessions}
drain_timeout = 5s
[listen storm]
address = 127.0.0.1:0
[mta]
address = 127.0.0.1:{mta_port}
client_address = proxy_v2
max_connections = {slots}
connect_timeout = {connect_timeout}
patience = {patience}
[syn]
sidecar = {sidecar}
kernel = yes
labels = {TOP}/config/signatures.ini
[budget]
reply = {reply}
[http]
address = 127.0.0.1:0
{more}{classes}{rules}"""


class Storm:
    """A load generator that runs beside others."""

    def __init__(self, lab, sessions, at_once, **more):
        self.lab = lab
        self.first = lab.next_id
        self.results = lab.where / f"results{lab.next_id}"
        self.rows = []
        self.sum = {}
        self.process = subprocess.Popen(
            lab.storm_words(sessions, at_once, r=self.results, **more),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        lab.storms.append(self)

    def finish(self, seconds=120):
        """Waits for its end; adds its rows to the lab's."""
        out, _ = self.process.communicate(timeout=seconds)
        assert self.process.returncode == 0
        self.sum = {key: int(value)
                    for key, value in re.findall(r"(\w+)=(\d+)", out)}
        with open(self.results, encoding="ascii") as lines:
            self.rows = [read_row(line) for line in lines]
        self.lab.rows += self.rows
        assert len(self.rows) == self.sum["sessions"]
        return self

    def has_begun(self):
        """Its last session has, by the clock."""
        return self.is_over() or time.monotonic() > self.lab.end + 0.2

    def is_over(self):
        return self.process.poll() is not None

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()


class Watch(threading.Thread):
    """Looks at the metrics all the while."""

    def __init__(self, lab):
        super().__init__(daemon=True)
        self.lab = lab
        self.ends = threading.Event()
        self.pages = []  # (time.monotonic(), page)
        self.start()

    def run(self):
        while not self.ends.is_set():
            try:
                self.pages.append((time.monotonic(), self.lab.metrics()))
            except OSError:  # no descriptor for us, or stopped
                self.ends.wait(0.05)

    def stop(self):
        self.ends.set()
        self.join()

    def values(self, name, begin=0.0, end=float("inf")):
        return [total(page, name) for at, page in self.pages
                if begin <= at <= end]


class FaultLab(Lab):
    """The crowd and the load of a test, and what became of them."""

    config = staticmethod(config)

    def __init__(self, where, wrap=(), **settings):
        self.storms = []
        self.first_sink = None
        super().__init__(where, BUILD, wrap=wrap, **settings)
        self.mta_port = int(re.search(r"listening on \S*:(\d+)",
                                      self.sink.log)[1])
        self.watch = None
        self.begin = self.end = 0.0

    def __exit__(self, *exc):
        if self.watch is not None:
            self.watch.stop()
        for storm in self.storms:
            storm.kill()
        super().__exit__(*exc)

    def start_crowd(self, count=CROWD, cell="complete,fin,crowd,well"):
        """Clients that wait; returns when nearly all of them are held."""
        crowd = Storm(self, count, count, k=cell, b=700)
        wait_until(lambda: self.metric("tarry_connections_held") >=
                   0.97 * count, "the crowd to be held")
        return crowd

    def start_load(self, cell, rate=RATE, seconds=SECONDS, **more):
        """`rate` sessions a second for some seconds, from now on."""
        if self.watch is None:
            self.watch = Watch(self)
        self.begin = self.begin or time.monotonic()
        self.end = max(self.end, time.monotonic() + seconds)
        count = int(rate * seconds)
        storm = Storm(self, count, count, R=rate, k=cell, s=len(self.storms)
                      + 1, b=more.pop("b", 0), **more)
        storm.rate = rate
        return storm

    def wait_dials(self, count):
        """Until so many sessions have been dialled."""
        def look():
            seen = self.watch.values("tarry_mta_connections_total")
            return seen and seen[-1] >= count
        wait_until(look, f"{count} dials")

    def restart_sink(self):
        """Another sink at the same port, with the same book."""
        self.sink = Process(
            [self.bench / "storm_sink", "-l", self.mta_port, "-o",
             self.taken_path], self.where / f"sink{time.monotonic()}.log")
        self.sink.wait_log(r"listening on ")

    # The account.

    def finish(self, *loads, held=HELD):
        """Waits for all storms; the load was what it was to be."""
        for storm in self.storms:
            if not storm.sum:
                storm.finish()
        self.watch.stop()
        for load in loads:
            per_s = load.sum["sessions"] * 1000 / load.sum["begun_ms"]
            assert per_s > 0.8 * load.rate, \
                f"only {per_s:.0f} sessions a second were begun"
        seen = self.watch.values("tarry_connections_held", self.begin,
                                 self.end)
        assert len(seen) > 3 and min(seen) >= held, \
            f"held while it happened: {seen}"

    def check_messages(self, may_421=lambda row: False, may_repeat=False):
        """Client's view and sink's view; returns the rows with a 421."""
        taken, twice = self.taken()
        told = {row.id for row in self.rows if row.told}
        bad = [number for number, word in taken.items() if word != "ok"]
        unheard = [row for row in self.rows
                   if row.id in taken and not row.told
                   and not explains_unheard(row) and not may_repeat]
        other = [row for row in self.rows if row.said == "other"]
        ours = [row for row in self.rows if row.said == "421"]
        wrong = [row for row in ours if not may_421(row)]
        missed = [row for row in self.rows if must_be_served(row) and
                  row.said == "exact" and
                  (row.end, row.told) != ("complete", True)
                  and not may_repeat]
        assert told
        assert twice == 0
        assert (bad, told - set(taken)) == ([], set())
        assert unheard == [], few(unheard)
        assert other == [], few(other)
        assert wrong == [], few(wrong)
        assert missed == [], few(missed)
        return ours

    def check_log(self):
        """A line a session but for counted drops; none for a bug of ours."""
        page = self.metrics()
        accepted = total(page, "tarry_connections_accepted_total")
        closed = total(page, "tarry_connections_closed_total")
        dropped = total(page, "tarry_log_lines_dropped_total")
        wait_until(lambda: len(self.session_lines()) + dropped >= accepted,
                   "the last log line")
        lines = self.session_lines()
        assert accepted == closed == len(lines) + dropped
        assert accepted >= len(self.rows)
        assert not [line for line in lines if line["reason"] == "bug"]
        assert "broken invariant" not in self.tarryd.log
        return collections.Counter(line["reason"] for line in lines)

    def check_idle(self):
        """Nothing is left of it, and it serves as before."""
        self.wait_idle()
        page = self.metrics()
        for name in ("tarry_connections_held", "tarry_mta_connections_open",
                     "tarry_mta_connections_waiting"):
            assert total(page, name) == 0, name
        wait_until(lambda: self.fds() <= self.idle_fds, "its descriptors")
        again = self.storm(100, 50, k="complete,fin,pass+hold,well", b=500)
        assert again["told"] == again["complete"] == 100
        self.wait_idle()

    def check_end(self):
        """It ends by itself; the sink tells what it did: {fault: count}."""
        status = self.tarryd.stop()
        assert status == 0, self.tarryd.log[-3000:]
        assert not re.search(r"Sanitizer|runtime error:|Assertion|"
                             r"not given back", self.tarryd.log)
        assert self.sink.stop() == 0
        text = self.sink.log
        found = {name: int(count) for name, count in
                 re.findall(r"^fault (\S+) (\d+)", text, re.M)}
        found["most"] = int(re.search(r"^accepted \d+ most (\d+)", text,
                                      re.M)[1])
        return found

    def check(self, **more):
        """All of the account; returns what the sink did."""
        self.wait_idle()
        ours = self.check_messages(**more)
        reasons = self.check_log()
        self.check_idle()
        self.rows = []
        did = self.check_end()
        ends = collections.Counter(
            row.end for storm in self.storms for row in storm.rows)
        print(f"\n{sum(ends.values())} sessions, {dict(ends)}, 421 {len(ours)}"
              f", held {min(self.watch.values('tarry_connections_held', self.begin, self.end)):.0f}"
              f" and more, {dict(reasons)}, the sink: {did}")
        return did


def few(rows):
    return "\n".join(map(str, [len(rows), *rows[:10]]))


def explains_unheard(row):
    """Could the MTA have its message without the client being told?"""
    left_first = row.end in ("left", "timeout") and row.step == "body"
    return left_first or row.fault == "dot-250-rst"


def must_be_served(row):
    """It does all it should, and so does the MTA, if late."""
    return row.leave in SERVED and (row.fault == "well" or
                                    row.fault.endswith("-slow"))


def percentile(values, percent):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * percent / 100))]


def open_fds(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


__all__ = ["CROWD", "HELD", "RATE", "SECONDS", "FaultLab", "Process",
           "percentile", "read_line", "total", "wait_until"]
