"""The measurements. Each gives samples; what they must be stands in bench.py.

Contenders of one measurement take turns, A B C A B C, each round beginning
with another one. A ratio is formed within a round, so that what the machine
does meanwhile is in both of its numbers.
"""
import collections
import pathlib
import re
import signal
import subprocess

from rig import (NS_PER_S, PORT, BenchError, Rig, descriptors, memory_bytes,
                 settled_descriptors, softirq_thread_ns, tree, wait_until,
                 window)
from rivals import (HAPROXY_HOLD, HAPROXY_SPLICE, HAPROXY_STICK, HELD_S,
                    Direct, Haproxy, Nginx, Tarry)

BODY = 4096
BULK_BODY = 25 * 1024 * 1024
AT_ONCE = 100
BULK_AT_ONCE = 4
WARM_UP = 300
GIB = 1 << 30
PROCESSES = 6
SOURCES = "127.1.0.1+200"
SOURCES_HELD = "127.5.0.1+200"
# At least every so manieth client hears something within the window.
DRIP_MIN = 4
PLAIN = "HAProxy"
GREETING_AT_ONCE = (100, 200, 400)
FLAT = {"few": 100, "many": 15000}


class Size:
    """How much of everything: for figures, or to see that all works."""

    def __init__(self, quick):
        self.starts = 2 if quick else 4
        self.start_rounds = 2 if quick else 8
        self.rounds = 3 if quick else 6
        self.sessions = 2000 if quick else 4000
        self.messages = 16 if quick else 40
        self.traced = 500 if quick else 2000
        self.greeted = 4000 if quick else 10000
        self.held = 3000 if quick else 8000
        self.held_rounds = 1 if quick else 3
        self.flat_rounds = 3 if quick else 6
        self.flat_sessions = 2000 if quick else 8000
        self.dripping = 12000 if quick else 100000
        self.drip_window_s = 3 if quick else 10
        self.handshakes = 1000 if quick else 5000
        self.held_tls = 1000 if quick else 5000
        self.relayed_plain = 1000 if quick else 3500
        self.stalled = 200 if quick else 1000


def rotated(items, by):
    by %= len(items)
    return items[by:] + items[:by]


def check_messages(rig, want):
    taken = rig.sums()["messages"]
    if taken != want:
        raise BenchError(f"{want} messages were said to be delivered, the "
                         f"sink has {taken}")


def measured_load(contender, sessions, at_once, **more):
    """Sums of the load, with the CPU that the contender used."""
    rig = contender.rig
    before = contender.cpu_ns(), contender.extra_ns(), \
        softirq_thread_ns(rig.measured)
    sums = rig.load(sessions, at_once, **more)
    after = contender.cpu_ns(), contender.extra_ns(), \
        softirq_thread_ns(rig.measured)
    sums["cpu_ns"], sums["extra_ns"], sums["softirq_ns"] = (
        now - then for now, then in zip(after, before))
    return sums


def take_rounds(contenders, rounds, tell, one):
    """[{name: one(contender)}] of all rounds."""
    found = []
    for number in range(rounds):
        found.append({})
        for contender in rotated(contenders, number):
            found[-1][contender.name] = one(contender)
        tell(f"round {number + 1} of {rounds}")
    return found


class Open:
    """All contenders of a measurement, started; stopped at the end."""

    def __init__(self, contenders):
        self.contenders = contenders

    def __enter__(self):
        try:
            for contender in self.contenders:
                contender.__enter__()
        except BaseException:
            self.__exit__()
            raise
        return self.contenders

    def __exit__(self, *exc):
        for contender in self.contenders:
            contender.__exit__()


# Sessions

def session_contenders(where, build):
    bench = build / "tests/bench"
    return [
        Tarry(where, build),
        Tarry(where, build, sidecar=False, name="Tarry, no sidecar"),
        Haproxy(PLAIN, where, bench),
        Haproxy("HAProxy, PROXY v2 and stick table", where, bench,
                HAPROXY_STICK),
        Nginx("nginx stream", where, bench, "stream"),
        Nginx("nginx mail", where, bench, "mail"),
    ]


def log_lines(tarry):
    """(sessions with a line of their own in the log, sessions)"""
    page = tarry.metrics()
    lost = sum(value for name, value in page.items()
               if name.startswith("tarry_log_lines_dropped_total"))
    lines = tarry.program.log.count(" event=session ")
    return lines, lines + int(lost)


def one_load_of(contender, size, loads):
    sums = measured_load(contender, size.sessions, AT_ONCE, b=BODY)
    loads[contender.name] += size.sessions
    if isinstance(contender, Tarry):
        # As a monitor would, once in a window.
        contender.metrics()
    return sums


def one_start(where, build, size, tell, is_last):
    """(rounds, {name: calls}, (lines, sessions)) of contenders newly begun."""
    contenders = session_contenders(where, build)
    loads = collections.Counter()
    calls = {}
    with Open(contenders):
        for contender in contenders:
            contender.rig.load(WARM_UP, AT_ONCE, b=BODY)
            loads[contender.name] += WARM_UP
        rounds = take_rounds(contenders, size.start_rounds, tell,
                             lambda one: one_load_of(one, size, loads))
        for contender in contenders:
            if is_last:
                calls[contender.name] = system_calls(contender, size.traced)
                loads[contender.name] += size.traced
            check_messages(contender.rig, loads[contender.name])
        return rounds, calls, log_lines(contenders[0])


def sessions(where, build, size, tell):
    """([{name: sums}] of rounds, {name: calls}, (lines, sessions))

    How a process lies in memory makes it faster or slower by some percent,
    for as long as it lives: so everybody is started anew several times.
    """
    rounds = []
    for start in range(size.starts):
        tell(f"start {start + 1} of {size.starts}")
        more, calls, lines = one_start(where, build, size, tell,
                                       start + 1 == size.starts)
        rounds += more
    with Direct("direct", where, build / "tests/bench") as direct:
        alone = [direct.rig.load(size.sessions, AT_ONCE, b=BODY,
                                 port=direct.rig.plain_port)
                 for _ in range(3)]
    return rounds, calls, lines, alone


def is_traced(pid):
    for one in tree(pid):
        for task in pathlib.Path(f"/proc/{one}/task").iterdir():
            if not re.search(r"^TracerPid:\t[1-9]",
                             (task / "status").read_text(), re.M):
                return False
    return True


def system_calls(contender, count):
    """{call: how often a session} of all threads of a contender."""
    path = contender.rig.where / "calls"
    words = ["strace", "-f", "-c", "-o", str(path)]
    for one in tree(contender.pid):
        words += ["-p", str(one)]
    tracer = subprocess.Popen(words, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: is_traced(contender.pid), "strace")
        contender.rig.load(count, AT_ONCE, b=BODY)
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.wait()
    rows = re.findall(r"^ *[\d.]+ +[\d.]+ +\d+ +(\d+) +(?:\d+ +)?(\w+)$",
                      path.read_text(), re.M)
    return {name: int(calls) / count for calls, name in rows
            if name != "total"}


# From connect to greeting

def greeting(where, build, size, tell):
    """{sessions at a time: [{name: sums}] of rounds}"""
    bench = build / "tests/bench"
    contenders = [Tarry(where, build, slots=1000),
                  Haproxy(PLAIN, where, bench),
                  Nginx("nginx stream", where, bench, "stream")]
    found = {}
    with Open(contenders):
        for contender in contenders:
            contender.rig.load(WARM_UP, AT_ONCE, b=BODY)
        for at_once in GREETING_AT_ONCE:
            tell(f"{at_once} at a time")
            found[at_once] = take_rounds(
                contenders, size.rounds, tell, lambda one:
                measured_load(one, size.greeted, at_once, b=BODY))
    return found


# Bulk

def bulk(where, build, size, tell):
    bench = build / "tests/bench"
    contenders = [
        Tarry(where, build),
        Haproxy(PLAIN, where, bench),
        Haproxy("HAProxy, splice", where, bench, HAPROXY_SPLICE),
        Nginx("nginx stream", where, bench, "stream"),
    ]
    with Open(contenders):
        for contender in contenders:
            contender.rig.load(BULK_AT_ONCE, BULK_AT_ONCE, b=BULK_BODY)
        return take_rounds(
            contenders, size.rounds, tell,
            lambda one: measured_load(one, size.messages, BULK_AT_ONCE,
                                      b=BULK_BODY))


# Memory

def wait_held(contender, base, count):
    """Until the program has taken all of the connections."""
    wait_until(lambda: descriptors(contender.pid) >= base + count,
               f"{contender.name} to take {count} connections", HELD_S / 2)


def hold_more(contender, count, step, descriptors_each):
    """Holds sessions more; returns them when the program has them all."""
    base = settled_descriptors(contender.pid)
    sources = SOURCES_HELD if step == "greeting" else SOURCES
    held = contender.rig.hold(count, step, s=sources)
    try:
        held.wait(count)
        wait_held(contender, base, count * descriptors_each)
    except BaseException:
        held.kill()
        raise
    return held


def bytes_of(contender, count, step, descriptors_each):
    """User memory a session of `count` that are held at a step, beside some
    that are held already: what only the first one costs is not in it."""
    held = []
    with contender:
        try:
            held.append(hold_more(contender, WARM_UP, step,
                                  descriptors_each))
            before = memory_bytes(contender.pid)
            held.append(hold_more(contender, count, step, descriptors_each))
            return (memory_bytes(contender.pid) - before) / count
        finally:
            for group in held:
                group.kill()


def held_contenders(where, build):
    bench = build / "tests/bench"
    return [
        lambda: Tarry(where, build, sidecar=False),
        lambda: Haproxy("HAProxy, inspect-delay", where, bench,
                        HAPROXY_HOLD),
        lambda: Nginx("nginx mail, smtp_greeting_delay", where, bench,
                      "mail", HELD_S),
    ]


def relayed_contenders(where, build):
    bench = build / "tests/bench"
    return [
        lambda: Tarry(where, build, sidecar=False, slots=9000,
                      sessions=9000),
        lambda: Haproxy(PLAIN, where, bench),
        lambda: Nginx("nginx stream", where, bench, "stream"),
    ]


def memory(where, build, size, tell):
    """({name: bytes a held session}, {name: bytes a relayed one}, what
    tarryd says of its own size), the first two in lists."""
    held, relayed, said = {}, {}, ""
    for number in range(size.held_rounds):
        for make in held_contenders(where, build):
            one = make()
            held.setdefault(one.name, []).append(
                bytes_of(one, size.held, "greeting", 1))
            if isinstance(one, Tarry):
                said = re.search(r'msg="(at most .*)"', one.program.log)[1]
        for make in relayed_contenders(where, build):
            one = make()
            relayed.setdefault(one.name, []).append(
                bytes_of(one, size.held, "ehlo", 2))
        tell(f"round {number + 1} of {size.held_rounds}")
    return held, relayed, said


# The price of a session beside few and many that are held

def flat(where, build, size, tell):
    """[{"few" and "many": CPU ns a session}] of rounds."""
    def one(contender, count):
        base = settled_descriptors(contender.pid)
        held = hold_more(contender, count, "greeting", 1)
        try:
            sums = measured_load(contender, size.flat_sessions, AT_ONCE,
                                 b=BODY)
            if held.ask()["failed"] > 0:
                raise BenchError("held sessions were let go meanwhile")
        finally:
            held.kill()
        wait_until(lambda: descriptors(contender.pid) <= base + 1,
                   "the held ones to be gone")
        return sums["cpu_ns"] / size.flat_sessions
    found = []
    with Tarry(where, build, sidecar=False) as tarry:
        tarry.rig.load(WARM_UP, AT_ONCE, b=BODY)
        one(tarry, FLAT["many"])  # touches all memory
        for number in range(size.flat_rounds):
            found.append({name: one(tarry, FLAT[name])
                          for name in rotated(list(FLAT), number)})
            tell(f"round {number + 1} of {size.flat_rounds}")
    return found


# A hundred thousand greetings, dripping

def dripping(where, build, size, tell):
    """{"percent" of a core, "held", "pieces" and "bytes" a second}"""
    each = size.dripping // PROCESSES
    tarries = []
    with Rig(where, build / "tests/bench") as rig:
        for number in range(PROCESSES):
            one = Tarry(where, build, sidecar=False, port=PORT + number,
                        rig=rig)
            one.settings["http"] = ""
            one.begin()
            tarries.append(one)
        bases = [settled_descriptors(one.pid) for one in tarries]
        groups = [rig.hold(each, "greeting", port=PORT + number,
                           s=f"127.6.{number}.1+200")
                  for number in range(PROCESSES)]
        try:
            for group in groups:
                group.wait(each)
            for one, base in zip(tarries, bases):
                wait_held(one, base, each)
            tell(f"{each * PROCESSES} held")
            greeted = rig.sums()["sessions"]
            found = drip_window(tarries, groups, size.drip_window_s)
            if rig.sums()["sessions"] != greeted:
                raise BenchError("the MTA was dialled within the window")
            return found
        finally:
            for group in groups:
                group.kill()


def drip_window(tarries, groups, seconds):
    before = sum(one.cpu_ns() for one in tarries)
    sums = [group.ask() for group in groups]
    window(seconds)
    used = sum(one.cpu_ns() for one in tarries) - before
    later = [group.ask() for group in groups]
    if any(sum_["failed"] for sum_ in later):
        raise BenchError("some were let go within the window")
    heard = {key: sum(now[key] - then[key] for now, then in zip(later, sums))
             for key in ("heard_bytes", "heard_reads")}
    held = sum(now["holding"] for now in later)
    if heard["heard_reads"] * DRIP_MIN < held:
        raise BenchError(
            f"{held} clients heard {heard['heard_reads']} pieces in {seconds}"
            f" s, for {used / NS_PER_S / seconds:.1%} of a core: that is no "
            "drip")
    return {"percent": used / NS_PER_S / seconds * 100,
            "held": held,
            "seconds": seconds,
            "pieces": heard["heard_reads"] / seconds,
            "bytes": heard["heard_bytes"] / seconds}
