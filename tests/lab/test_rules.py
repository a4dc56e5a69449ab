"""A rule for a signature delays just the senders that it names.

Two stacks send at the same time; one rule names one of them, by each way
there is to name it. What counts is what the senders feel: the time from
connect() to the greeting.
"""
import collections
import dataclasses

import pytest

from lab import (lab, percentile, start_storm, storm_shots)  # noqa: F401

SESSIONS = 200  # of each stack
RATE = 100  # a second, of each
GREET_MS = 1000
# Those who are not named, p99; and how much later than its greet a named one
# may be greeted, p99.
OTHER_MS, LATE_MS = 100, 200
# tarryd reads its clock once a turn of its loop: an accept late in a turn
# counts from the beginning of it. So much a busy machine makes of that.
TURN_MS = 20


@dataclasses.dataclass
class Case:
    name: str
    conditions: str
    named: str
    other: str


CASES = [
    Case("syn", "syn = *:128:*:*:*,*:mss,nop,nop,sok,nop,ws:*:0",
         "desktop", "linux"),
    Case("syn-literal",
         "syn = 4:128:0:1460:mss*44,7:mss,nop,nop,sok,nop,ws:df,~id+:0\n"
         "syn = 6:128:0:1440:mss*45,7:mss,nop,nop,sok,nop,ws:~flow:0",
         "desktop", "linux"),
    Case("stack",
         "stack = 4:64:0:M,7:mss,sok,ts,nop,ws:df,~id+:0\n"
         "stack = 6:64:0:M,7:mss,sok,ts,nop,ws:~flow:0",
         "linux", "desktop"),
    Case("family", "family = 128:mss,nop,nop,sok,nop,ws:",
         "desktop", "linux"),
    Case("mss", "mss = 1300..1400", "tunnel", "linux"),
]


@pytest.fixture(scope="module")
def street(lab):  # noqa: F811
    clients = {name: lab.client() for name in ("linux", "desktop", "tunnel")}
    clients["desktop"].sysctl(**{
        "ip_default_ttl": 128, "tcp_timestamps": 0,
        "net.ipv6.conf.eth0.hop_limit": 128})
    clients["tunnel"].route("advmss", "1360")
    lab.start_sidecar()
    return clients


def rules_of(case):
    return f"""
[class delayed]
greet = {GREET_MS}ms
[rule {case.name}]
{case.conditions}
class = delayed
[rule others]
class = pass
"""


def send(lab, clients, version):  # noqa: F811
    storms = [start_storm(lab, client, version, SESSIONS, SESSIONS, RATE)
              for client in clients]
    return [storm_shots(storm) for storm in storms]


def decisions(lab, client, version):  # noqa: F811
    return collections.Counter(
        (line["rule"], line["class"]) for line in lab.sessions()
        if line["client"] == client.source(version))


@pytest.fixture(scope="module", params=CASES, ids=lambda case: case.name)
def case(request, lab, street):  # noqa: F811
    lab.start_tarryd(rules_of(request.param))
    return request.param


@pytest.mark.parametrize("version", [4, 6])
def test_the_named_ones_wait_and_nobody_else(lab, street, case,  # noqa: F811
                                             version):
    pair = [street[case.named], street[case.other]]
    log_from = len(lab.tarryd.log)
    named, other = send(lab, pair, version)
    lab.wait_sessions(2 * SESSIONS, log_from)
    waits = sorted(shot.banner_ms for shot in named)
    others = [shot.banner_ms for shot in other]
    print(f"\n{case.name}, IPv{version}: {case.named} waits "
          f"{waits[0]:.1f}..{waits[-1]:.0f} ms (p99 "
          f"{percentile(waits, 99):.0f}), {case.other} p50 "
          f"{percentile(others, 50):.1f} p99 {percentile(others, 99):.1f} "
          f"max {max(others):.1f} ms; {len(named)} and {len(other)} sessions")
    assert {shot.result for shot in named + other} == {"220"}
    assert len(named) == len(other) == SESSIONS
    assert waits[0] >= GREET_MS - TURN_MS
    assert percentile(waits, 99) < GREET_MS + LATE_MS
    assert percentile(others, 99) < OTHER_MS
    assert decisions(lab, pair[0], version) == {
        (case.name, "delayed"): SESSIONS}
    assert decisions(lab, pair[1], version) == {("others", "pass"): SESSIONS}
