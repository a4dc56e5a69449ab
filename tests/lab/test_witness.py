"""Two witnesses of a SYN, under load, in trouble, and deceived.

The sidecar's table and the kernel's copy say what a client's SYN was. Whatever
happens to either of them, no client is taken for another, none is lost, and
none waits for it.
"""
import collections
import signal
import socket
import struct
import time

import pytest

from crafted import LINUX, WINDOWS, Peer, Syn
from lab import (DEADLINE, lab, pause_until, percentile,  # noqa: F401
                 start_storm, storm_shots, wait_until)

SESSIONS = 10000
TCP_MAXSEG = 2

HELD = """
[class held]
greet = 300ms
[rule everyone]
class = held
"""
PASS = "[rule everyone]\nclass = pass\n"

# Two stacks, told apart by TTL, options and window: by source address.
LINUX_TEXT = "4:64:0:1460:mss*44,7:mss,sok,ts,nop,ws:df,id+:0"
OTHER_TEXT = "4:128:0:1460:mss*20,7:mss,nop,nop,sok,nop,ws:df,id+:0"


@pytest.fixture(scope="module")
def two(lab):  # noqa: F811
    """Two clients with different stacks; the sidecar runs."""
    linux, other = lab.client(), lab.client()
    other.sysctl(ip_default_ttl=128, tcp_timestamps=0)
    other.route("initrwnd", "20")
    # Ports come back only after all others were used.
    for client in (linux, other):
        client.sysctl(ip_local_port_range="10000 60999")
    lab.start_sidecar()
    return linux, other


@pytest.fixture
def cookies(request, lab):  # noqa: F811
    """net.ipv4.tcp_syncookies of the server; IPv6 goes by it too."""
    lab.server.sysctl(tcp_syncookies=request.param)
    yield request.param
    lab.server.sysctl(tcp_syncookies=1)


def expected_of(two):
    return {two[0].ip4: LINUX_TEXT, two[1].ip4: OTHER_TEXT}


def storm_both(lab, two, count, concurrency):  # noqa: F811
    """Half of the sessions from each; returns all, none of them failed."""
    storms = [start_storm(lab, client, 4, count // 2, concurrency // 2)
              for client in two]
    shots = [shot for storm in storms for shot in storm_shots(storm)]
    assert collections.Counter(shot.result for shot in shots) == {"220": count}
    return shots


def judge(lines, expected):
    """(unknown, wrong) among session lines."""
    unknown = [line for line in lines if line["syn"] == "unknown"]
    wrong = [(line["client"], line["port"], line["syn"]) for line in lines
             if line["syn"] not in ("unknown", expected[line["client"]])]
    return unknown, wrong


@pytest.mark.parametrize("cookies", [1, 2], indirect=True)
def test_ten_thousand_sessions_at_full_speed(lab, two, cookies):  # noqa: F811
    """All held for 300 ms, so that each has its line in the log."""
    lab.start_tarryd(HELD)
    start = time.monotonic()
    storm_both(lab, two, SESSIONS, 2000)
    seconds = time.monotonic() - start
    lines = lab.wait_sessions(SESSIONS)
    unknown, wrong = judge(lines, expected_of(two))
    sources = lab.sources()
    print(f"\ntcp_syncookies={cookies}: {len(lines)} sessions, "
          f"{SESSIONS / seconds:.0f} a second, used {sources}, "
          f"{len(unknown)} unknown, {len(wrong)} wrong")
    assert len(lines) == SESSIONS
    assert wrong == [] and unknown == []
    assert sources["none"] == 0
    # Cookies leave nothing to the kernel: or this would test nothing.
    assert (sources["saved_syn"] > 0) <= (cookies == 1)


@pytest.mark.parametrize("cookies", [1, 2], indirect=True)
def test_ten_thousand_sessions_that_nothing_holds(lab, two,  # noqa: F811
                                                  cookies):
    """Class pass: a banner waits for no evidence, so with cookies the SYN may
    be known too late for a rule. It is never another's. The log has the lines
    that its rate limit lets through, the metrics count all."""
    lab.start_tarryd(PASS)
    start = time.monotonic()
    storm_both(lab, two, SESSIONS, 200)
    seconds = time.monotonic() - start
    wait_until(lambda: sum(lab.sources().values()) >= SESSIONS, "all counted")
    sources = lab.sources()
    _, wrong = judge(lab.sessions(), expected_of(two))
    print(f"\ntcp_syncookies={cookies}, class pass: {SESSIONS} sessions, "
          f"{SESSIONS / seconds:.0f} a second, used {sources}, "
          f"{len(lab.sessions())} lines, {len(wrong)} wrong")
    assert sum(sources.values()) == SESSIONS
    assert wrong == []
    if cookies == 1:
        assert sources["none"] == 0


# Trouble with the sidecar in mid-load.

RATE = 400  # sessions a second, from both clients together
PHASE_S = 3.0
# A shared machine is noisy: p99 may be so many times the first phase's, or
# so many ms, whichever is more.
RATIO_MAX, P99_FLOOR_MS = 3.0, 15.0


class Trouble:
    """What is done to the sidecar, one thing a phase."""

    def __init__(self, lab):  # noqa: F811
        self.lab = lab

    def nothing(self):
        pass

    def kill(self):
        self.lab.sidecar.kill(signal.SIGKILL)
        self.lab.sidecar.process.wait(DEADLINE)

    def restart(self):
        self.lab.start_sidecar()

    def stop(self):
        self.lab.sidecar.kill(signal.SIGSTOP)

    def go_on(self):
        self.lab.sidecar.kill(signal.SIGCONT)


PHASES = ("nothing", "kill", "restart", "stop", "go_on", "nothing")


def run_phases(lab, two):  # noqa: F811
    """Storms at an even rate, with the troubles; (phase begins, sessions)."""
    seconds = PHASE_S * len(PHASES)
    storms = [start_storm(lab, client, 4, int(seconds * RATE / 2), 1000,
                          RATE // 2) for client in two]
    trouble = Trouble(lab)
    start = time.monotonic()
    begins = []
    for number, phase in enumerate(PHASES):
        pause_until(start + number * PHASE_S)
        begins.append(time.monotonic())
        getattr(trouble, phase)()
    return begins, [shot for storm in storms for shot in storm_shots(storm)]


def banner_p99s(begins, shots):
    ends = begins[1:] + [float("inf")]
    return [percentile([shot.banner_ms for shot in shots
                        if begin <= shot.start < end], 99)
            for begin, end in zip(begins, ends)]


def test_nobody_misses_a_sidecar_in_trouble(lab, two):  # noqa: F811
    lab.start_tarryd(PASS)
    begins, shots = run_phases(lab, two)
    failed = [shot.result for shot in shots if shot.result != "220"]
    assert failed == []
    wait_until(lambda: sum(lab.sources().values()) >= len(shots),
               "all counted")
    p99s = banner_p99s(begins, shots)
    bound = max(RATIO_MAX * p99s[0], P99_FLOOR_MS)
    _, wrong = judge(lab.sessions(), expected_of(two))
    print(f"\n{len(shots)} sessions, {RATE} a second, used {lab.sources()}, "
          f"{len(wrong)} wrong")
    print("connect to banner, p99 ms: " + ", ".join(
        f"{phase} {p99:.1f} (x{p99 / p99s[0]:.2f})"
        for phase, p99 in zip(PHASES, p99s)) + f"; bound {bound:.1f}")
    assert wrong == []
    assert lab.sources()["none"] == 0  # the kernel's copies are on
    assert sum(lab.sources().values()) == len(shots)
    assert max(p99s) <= bound
    said = lab.tarryd.log
    assert said.count("syn table") + said.count("sidecar") >= 3


# The same addresses and ports again, at once, with another SYN.

PORTS = 40
ROUNDS = 10
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close resets


def reuse_options(number, attempt):
    """A stack of its own for each attempt: the MSS says which it is."""
    ttl = 64 if (number + attempt) % 2 else 128
    return ((socket.IPPROTO_TCP, TCP_MAXSEG, 600 + attempt),
            (socket.IPPROTO_IP, socket.IP_TTL, ttl),
            (socket.SOL_SOCKET, socket.SO_LINGER, RESET),
            (socket.SOL_SOCKET, socket.SO_REUSEADDR, 1))


def check_reuse(lines, cookies, what):
    """Lines of one port rise in MSS: one that is not higher is an old SYN."""
    by_port = collections.defaultdict(list)
    for line in lines:
        by_port[line["port"]].append(line["syn"])
    unknown = sum(text == "unknown" for texts in by_port.values()
                  for text in texts)
    reuses = sum(len(texts) - 1 for texts in by_port.values())
    print(f"\ntcp_syncookies={cookies}, {what}: {len(lines)} sessions, "
          f"{reuses} reuses of {len(by_port)} ports, {unknown} unknown")
    for port, texts in by_port.items():
        found = [(int(text.split(":")[3]), int(text.split(":")[1]))
                 for text in texts if text != "unknown"]
        mss = [pair[0] for pair in found]
        assert mss == sorted(set(mss)), f"port {port}: {texts}"
        for value, ttl in found:
            want = reuse_options(int(port), value - 600)[1][2]
            assert ttl == want, f"port {port}: {texts}"
    return reuses, unknown


@pytest.mark.parametrize("cookies", [1, 2], indirect=True)
def test_a_port_used_again_has_its_own_syn(lab, two, cookies):  # noqa: F811
    """Each of forty ports ten times, reset after the greeting and reused at
    once; every session is held long enough to be known."""
    lab.start_tarryd(HELD)
    client = two[0]
    for attempt in range(ROUNDS):
        socks = [client.connect(4, reuse_options(port, attempt), port)
                 for port in range(61000, 61000 + PORTS)]
        for sock in socks:
            assert sock.recv(1000).startswith(b"220 ")
            sock.close()
    lines = lab.wait_sessions(PORTS * ROUNDS)
    reuses, unknown = check_reuse(lines, cookies, "reset after the greeting")
    assert len(lines) == PORTS * ROUNDS and reuses == PORTS * (ROUNDS - 1)
    assert unknown == 0


@pytest.mark.parametrize("cookies", [1, 2], indirect=True)
def test_a_port_used_again_at_once(lab, two, cookies):  # noqa: F811
    """Reset as soon as connected: the old SYN is microseconds old, and what
    the new one was may not be known yet. Then it is unknown, never the old
    one. A connection that is gone before it is accepted has no line."""
    lab.start_tarryd(HELD)
    for attempt in range(ROUNDS * 5):
        for port in range(61100, 61100 + PORTS // 4):
            two[0].connect(4, reuse_options(port, attempt), port).close()
    begun = ROUNDS * 5 * (PORTS // 4)
    lab.stop_tarryd_keep_log()
    lines = lab.sessions()
    check_reuse(lines, cookies, f"reset at once ({begun} connects)")
    assert len(lines) > begun / 2


@pytest.mark.parametrize("cookies", [1, 2], indirect=True)
def test_the_same_sequence_number_again(lab, two, cookies):  # noqa: F811
    """Crafted: the same addresses, ports and ISN, another stack. The table
    takes it for a SYN sent again and keeps the first header."""
    lab.start_tarryd(HELD)
    peer = Peer(two[0], host=77)
    for attempt in range(50):
        for port in range(30000, 30010):
            stack = Syn(29200, LINUX) if attempt % 2 else \
                Syn(64240, WINDOWS, ttl=128)
            peer.open(4, stack, port).reset()
    lab.stop_tarryd_keep_log()
    texts = collections.defaultdict(list)
    for line in lab.sessions():
        texts[line["port"]].append(line["syn"].split(":")[1])
    peer.close()
    report = collections.Counter(
        ttl for seen in texts.values() for ttl in seen)
    print(f"\ntcp_syncookies={cookies}, the same ISN again: {dict(report)}")
    for port, seen in texts.items():
        assert len(seen) == 50
        for attempt, ttl in enumerate(seen):
            assert ttl in ("64" if attempt % 2 else "128", "unknown"), \
                (port, seen)
