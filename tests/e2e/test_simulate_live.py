"""What tarryctl simulate says of a scenario is what a tarryd does in it: real
clients, a real tarryd, an MTA with the same times.

TARRY_SIMULATE_SECONDS: how long senders come (40)
"""
import asyncio
import json
import os
import subprocess
import threading
import time

import pytest

from conftest import BUILD, DEADLINE, WRAP, shipped_config, wait_until
from simulate_rig import Life

SECONDS = int(os.environ.get("TARRY_SIMULATE_SECONDS", "40"))
NEAR = 0.10
# Delays are compared in seconds too: that of nobody is nothing.
NEAR_S = 0.05
# A busy host's own part of a whole dialogue.
BUSY_S = 0.15
POLL_S = 0.05
FEW = 50  # of so few chance decides

RULES = """\
[class polite]
greet = 4s
reply = 2s
error = 3s
data_rate = 2k
[rule known]
network = 127.1.0.0/16
class = pass
[rule listed]
network = 127.4.0.0/16
class = polite
"""

SCENARIO = f"""\
[scenario]
for = {SECONDS}s
[mta]
greeting = 100ms
reply = 20ms
dot = 300ms
[kind known]
per_minute = 120
arrivals = even
network = 127.1.0.0/16
clients = 50
messages = 1..3
pipelining = yes
rtt = 0
[kind strangers]
per_minute = 180
arrivals = even
network = 127.2.0.0/16
clients = 3000
rtt = 0
[kind zombies]
per_minute = 210
arrivals = even
network = 127.3.0.0/16
clients = 3000
patience = 2s..12s
refused = 80%
rtt = 0
[kind hasty]
per_minute = 210
arrivals = even
network = 127.5.0.0/16
clients = 3000
patience = 2s..12s
early = 100%
refused = 80%
rtt = 0
[kind listed]
per_minute = 90
arrivals = even
network = 127.4.0.0/16
clients = 3000
unknown = 30%
size = 20k
rtt = 0
"""


def rules():
    return dict(
        text=shipped_config(
            http__address="127.0.0.1:0", syn__sidecar="", syn__labels="",
            mta__client_address="none", mta__open_relay_checked="yes",
            mta__max_connections="60", log__format="json",
        ).replace("[rule proven]", RULES + "[rule proven]"))


class Poll(threading.Thread):
    """Means over time of what /metrics says."""

    NAMES = ("tarry_connections_held", "tarry_mta_connections_open")

    def __init__(self, tarryd):
        super().__init__(daemon=True)
        self.tarryd = tarryd
        self.sums = dict.fromkeys(self.NAMES, 0.0)
        self.over = threading.Event()
        self.since = self.began = time.monotonic()

    def run(self):
        while not self.over.wait(POLL_S):
            got = self.tarryd.get("/metrics")[1]
            now = time.monotonic()
            for line in got.splitlines():
                name, _, value = line.partition(" ")
                if name in self.sums:
                    self.sums[name] += float(value) * (now - self.since)
            self.since = now
            if now - self.began >= SECONDS:
                return

    def mean(self, name):
        return self.sums[name] / (self.since - self.began)


def lines_by_kind(tarryd, life):
    got = {kind.name: [] for kind in life.kinds}
    for line in tarryd.log.splitlines():
        if not line.startswith("{"):
            continue
        entry = json.loads(line)
        for kind in life.kinds:
            net = str(kind.network).rsplit(".", 2)[0] + "."
            if entry.get("client", "").startswith(net):
                got[kind.name].append(int(entry["held_ms"]) / 1000)
    return got


def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(share * len(values)))]


def mean(values):
    return sum(values) / len(values) if values else 0


def simulate(path, scenario):
    scenario.write_text(SCENARIO)
    done = subprocess.run(
        [BUILD / "tarryctl", "--json", "--rules", path, "simulate", scenario],
        text=True, timeout=DEADLINE, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


class Report:
    """A table of both, and what is not near."""

    def __init__(self):
        self.far = []
        print(f"\n{'':34} {'simulated':>10} {'live':>10} {'differs':>8}")

    def row(self, what, simulated, live, is_promised=True, least=0.0):
        differs = abs(simulated - live)
        share = differs / max(live, 1e-9) if differs else 0
        print(f"{what:34} {simulated:10.2f} {live:10.2f} {share:8.1%}"
              + ("" if is_promised else "  (not promised)"))
        if is_promised and differs > least and share > NEAR:
            self.far.append(what)


@pytest.mark.skipif(bool(WRAP), reason="times under a wrapper are its own")
def test_live_is_as_it_was_simulated(start_tarryd, tmp_path):
    life = Life(SCENARIO)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(life.mta.start())
    serving = threading.Thread(target=loop.run_forever, daemon=True)
    serving.start()
    tarryd = start_tarryd(life.mta.port, **rules()).wait_ready()
    poll = Poll(tarryd)
    poll.start()
    asyncio.run_coroutine_threadsafe(
        life.live(tarryd.port), loop).result(SECONDS + 4 * DEADLINE)
    poll.join(DEADLINE)
    count = len(life.senders)
    held = wait_until(
        lambda: (got := lines_by_kind(tarryd, life)) and
        sum(map(len, got.values())) >= count and got, "a line of each session")
    loop.call_soon_threadsafe(loop.stop)
    serving.join()

    says = simulate(next(tmp_path.glob("tarry*.ini")), tmp_path / "s.ini")
    report = Report()
    report.row("held sessions, mean over time", says["held"]["mean"],
               poll.mean("tarry_connections_held"))
    report.row("MTA connections, mean over time",
               says["mta_connections"]["mean"],
               poll.mean("tarry_mta_connections_open"), is_promised=False)
    for kind in says["kinds"]:
        name, live = kind["kind"], held[kind["kind"]]
        senders = [s for s in life.senders if s.kind.name == name]
        after = [a for s in senders for a in s.after]
        report.row(f"{name}: sessions", kind["sessions"], len(live))
        report.row(f"{name}: added delay, mean", kind["delay"]["mean_s"],
                   mean(live), least=NEAR_S)
        # One that lies between two ways to be treated moves with a session.
        report.row(f"{name}: added delay, median", kind["delay"]["p50_s"],
                   percentile(live, 0.5), is_promised=False)
        report.row(f"{name}: added delay, p99", kind["delay"]["p99_s"],
                   percentile(live, 0.99), least=NEAR_S)
        report.row(f"{name}: mail taken after, mean",
                   kind["mail_after"]["mean_s"], mean(after), least=BUSY_S,
                   is_promised=kind["taken"] > FEW)
        report.row(f"{name}: gave up", kind["gave_up"],
                   sum(s.gave_up for s in senders), is_promised=False)
        report.row(f"{name}: messages taken", kind["taken"], len(after),
                   is_promised=False)
    assert not report.far


@pytest.mark.parametrize("text", ["5s", "2s..12s"])
def test_the_rig_draws_what_it_is_told(text):
    import random
    from simulate_rig import Span, seconds
    span, dice = Span(text, seconds), random.Random(1)
    drawn = [span.draw(dice) for _ in range(1000)]
    assert span.low <= min(drawn) and max(drawn) <= span.high
