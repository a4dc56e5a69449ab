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

SESSIONS = 500
AT_ONCE = 1
ASKED_A_SECOND = 100
ANSWERED_A_SECOND = 50
# A round is short, and the machine does other things too: so many pairs of
# them, and more while those do not agree.
ROUNDS_MIN, ROUNDS_MAX = 40, 160
RATIO_MAX = 1.2

pytestmark = pytest.mark.skipif(
    bool(WRAP), reason="times of another program than tarryd alone")


@pytest.fixture
def load_sink(tmp_path, running):
    sink = Program(tmp_path / "load_sink.log",
                   [BUILD / "tests/bench/load_sink"])
    running.append(sink)
    return int(sink.wait_log(r"proxy (\d+)")[1])


def banner_p99_us(port):
    done = subprocess.run(
        [BUILD / "tests/bench/load", "-t", f"127.0.0.1:{port}", "-q",
         "-n", str(SESSIONS), "-c", str(AT_ONCE)],
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

    def __init__(self, port, asker):
        self.port, self.asker = port, asker
        self.alone, self.watched, self.ratios = [], [], []
        self.watched_seconds = 0

    def one(self, is_watched):
        self.asker.send_signal(
            signal.SIGCONT if is_watched else signal.SIGSTOP)
        begin = time.monotonic()
        p99 = banner_p99_us(self.port)
        if is_watched:
            self.watched_seconds += time.monotonic() - begin
        (self.watched if is_watched else self.alone).append(p99)

    def pair(self):
        first = len(self.alone) % 2 == 0
        self.one(first)
        self.one(not first)
        self.ratios.append(self.watched[-1] / self.alone[-1])

    def ratio(self):
        return statistics.median(self.ratios)

    def say(self):
        print(f"p99 of connect to greeting, medians of {len(self.ratios)} "
              f"rounds of {SESSIONS}: alone "
              f"{statistics.median(self.alone):.0f} us, watched "
              f"{statistics.median(self.watched):.0f} us; watched against "
              f"alone {self.ratio():.2f} "
              f"{[round(q, 2) for q in statistics.quantiles(self.ratios)]}")


def test_watching_stops_no_greeting(start_tarryd, load_sink):
    tarryd = start_tarryd(load_sink, class_new__greet="0s",
                          class_new__teaser="no").wait_ready()
    banner_p99_us(tarryd.port)  # warm
    asker = ask_often(tarryd.http_port)
    rounds = Rounds(tarryd.port, asker)
    try:
        while len(rounds.ratios) < ROUNDS_MIN or (
                rounds.ratio() > RATIO_MAX and
                len(rounds.ratios) < ROUNDS_MAX):
            rounds.pair()
    finally:
        asker.send_signal(signal.SIGCONT)
        told = stop_asking(asker)
    rounds.say()
    print(f"answers: {told}, {rounds.watched_seconds:.1f} s of them watched")
    assert rounds.ratio() <= RATIO_MAX
    assert set(told) == {"200", "429", "seconds"}
    # It asked, and more often than is answered: a bucket of one second, and
    # what flows into it.
    assert told["200"] + told["429"] > \
        ANSWERED_A_SECOND * rounds.watched_seconds
    assert 0 < told["200"] <= ANSWERED_A_SECOND * (told["seconds"] + 1)


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
