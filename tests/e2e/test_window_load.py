"""Who watches does not stop mail: the time from connect to greeting, beside
as many questions as are answered."""
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import time

import pytest

from conftest import BUILD, TOP, WRAP, Program

ASKED_A_SECOND = 100
ANSWERED_A_SECOND = 50


class Way:
    """How sessions come, so many in a round; how many pairs of rounds with
    each start of tarryd, which keeps the luck of its memory's layout, and more
    starts while those do not agree; and the p99 watched against alone at
    most."""

    def __init__(self, how, sessions, rounds, ratio_max):
        self.how, self.sessions = how, sessions
        self.rounds, self.starts_min, self.starts_max = rounds
        self.ratio_max = ratio_max


WAYS = {
    # One behind the other. Of many, one alone meets what stops all for long.
    "in turn": Way(("-c", "1"), 500, (15, 3, 12), 1.2),
    # So many a second, whatever becomes of those before: each that comes while
    # a lock is held waits. A clock does not step aside for the machine's other
    # work, so the bound is wider; a lock held for 20 ms a page gave 27.
    "by the clock": Way(("-r", "1000"), 1000, (5, 2, 8), 1.5),
}

pytestmark = pytest.mark.skipif(
    bool(WRAP), reason="times of another program than tarryd alone")


@pytest.fixture
def load_sink(tmp_path, running):
    sink = Program(tmp_path / "load_sink.log",
                   [BUILD / "tests/bench/load_sink"])
    running.append(sink)
    return int(sink.wait_log(r"proxy (\d+)")[1])


def banner_p99_us(port, way):
    done = subprocess.run(
        [BUILD / "tests/bench/load", "-t", f"127.0.0.1:{port}", "-q",
         "-n", str(way.sessions), *way.how],
        stdout=subprocess.PIPE, text=True, timeout=60, check=True)
    return float(re.search(r"banner_p99=(\d+)", done.stdout)[1])


def give_way():
    """Who asks is another machine's in life; here it is to have what clients,
    tarryd and MTA leave."""
    os.setpriority(os.PRIO_PROCESS, 0, 19)
    os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def ask_often(port):
    asker = subprocess.Popen(
        [sys.executable, TOP / "tests/bench/ask_often.py", str(port),
         str(ASKED_A_SECOND)], text=True, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, preexec_fn=give_way)
    assert asker.stdout.readline() == "spent\n"
    return asker


def stop_asking(asker):
    return json.loads(asker.communicate(timeout=60)[0])


class Rounds:
    """p99 alone and watched, turn by turn, whichever first."""

    def __init__(self, way):
        self.way, self.starts = way, 0
        self.alone, self.watched, self.ratios = [], [], []
        self.watched_seconds = 0

    def one(self, port, asker, is_watched):
        asker.send_signal(
            signal.SIGCONT if is_watched else signal.SIGSTOP)
        begin = time.monotonic()
        p99 = banner_p99_us(port, self.way)
        if is_watched:
            self.watched_seconds += time.monotonic() - begin
        (self.watched if is_watched else self.alone).append(p99)

    def pair(self, port, asker):
        first = len(self.alone) % 2 == 0
        self.one(port, asker, first)
        self.one(port, asker, not first)
        self.ratios.append(self.watched[-1] / self.alone[-1])

    def ratio(self):
        return statistics.median(self.ratios)

    def are_enough(self):
        return self.starts >= self.way.starts_max or (
            self.starts >= self.way.starts_min and
            self.ratio() <= self.way.ratio_max)

    def say(self):
        print(f"p99 of connect to greeting, medians of {len(self.ratios)} "
              f"rounds of {self.way.sessions}: alone "
              f"{statistics.median(self.alone):.0f} us, watched "
              f"{statistics.median(self.watched):.0f} us; watched against "
              f"alone {self.ratio():.2f} "
              f"{[round(q, 2) for q in statistics.quantiles(self.ratios)]}")


def watch(tarryd, rounds):
    """The rounds of one start. Asserts that it was asked more often than it
    answers: a bucket of one second, and what flows into it."""
    banner_p99_us(tarryd.port, rounds.way)  # warm
    asker = ask_often(tarryd.http_port)
    watched_before = rounds.watched_seconds
    try:
        for _ in range(rounds.way.rounds):
            rounds.pair(tarryd.port, asker)
    finally:
        asker.send_signal(signal.SIGCONT)
        told = stop_asking(asker)
    rounds.starts += 1
    watched = rounds.watched_seconds - watched_before
    print(f"answers: {told}, {watched:.1f} s of them watched")
    assert set(told) == {"200", "429", "seconds"}
    assert told["200"] + told["429"] > ANSWERED_A_SECOND * watched
    assert 0 < told["200"] <= ANSWERED_A_SECOND * (told["seconds"] + 1)


@pytest.mark.parametrize("way", WAYS)
def test_watching_stops_no_greeting(start_tarryd, load_sink, way):
    rounds = Rounds(WAYS[way])
    while not rounds.are_enough():
        tarryd = start_tarryd(load_sink, class_new__greet="0s",
                              class_new__teaser="no").wait_ready()
        watch(tarryd, rounds)
        tarryd.stop()
    rounds.say()
    assert rounds.ratio() <= rounds.way.ratio_max


def schedule(thread):
    return (os.sched_getscheduler(thread),
            os.getpriority(os.PRIO_PROCESS, thread))


def test_the_control_plane_gives_way_to_workers(start_tarryd, start_sink):
    tarryd = start_tarryd(start_sink().port, tarry__workers="2").wait_ready()
    main = tarryd.process.pid
    ours = os.getpriority(os.PRIO_PROCESS, 0)
    threads = [int(name) for name in os.listdir(f"/proc/{main}/task")]
    assert schedule(main) == (os.SCHED_BATCH, min(ours + 5, 19))
    assert [schedule(thread) for thread in threads].count(
        (os.SCHED_OTHER, ours)) == 2
