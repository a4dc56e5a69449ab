"""Who watches does not stop mail: the time from connect to greeting, beside
as many questions as are answered."""
import json
import re
import signal
import statistics
import subprocess
import sys

import pytest

from conftest import BUILD, TOP, WRAP, Program

SESSIONS = 500
AT_ONCE = 1
ASKED_A_SECOND = 100
ROUNDS = 30
TRIES = 3  # the machine does other things too
# The aim is 1.2. On two processors, which clients, MTA and who asks share with
# tarryd, 0.8 to 1.7 is measured: this bound finds what is grossly wrong.
RATIO_MAX = 3

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


def ask_often(port):
    asker = subprocess.Popen(
        [sys.executable, TOP / "tests/bench/ask_often.py", str(port),
         str(ASKED_A_SECOND)], text=True, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE)
    assert asker.stdout.readline() == "spent\n"
    return asker


def stop_asking(asker):
    return json.loads(asker.communicate(timeout=60)[0])


def measure(tarryd, asker):
    """Medians of the rounds' p99, alone and watched, turn by turn."""
    alone, watched = [], []
    for _ in range(ROUNDS):
        asker.send_signal(signal.SIGSTOP)
        alone.append(banner_p99_us(tarryd.port))
        asker.send_signal(signal.SIGCONT)
        watched.append(banner_p99_us(tarryd.port))
    return statistics.median(alone), statistics.median(watched)


def test_watching_stops_no_greeting(start_tarryd, load_sink):
    tarryd = start_tarryd(load_sink, class_new__greet="0s",
                          class_new__teaser="no").wait_ready()
    banner_p99_us(tarryd.port)  # warm
    asker = ask_often(tarryd.http_port)
    try:
        for _ in range(TRIES):
            alone, watched = measure(tarryd, asker)
            print(f"p99 of connect to greeting: alone {alone:.0f} us, watched "
                  f"{watched:.0f} us")
            if watched <= RATIO_MAX * alone:
                break
    finally:
        asker.send_signal(signal.SIGCONT)
        told = stop_asking(asker)
    print(f"answers: {told}")
    assert watched <= RATIO_MAX * alone
    assert set(told) == {"200", "429", "seconds"}
    # A bucket of one second, and what flows into it.
    assert 0 < told["200"] <= 50 * (told["seconds"] + 1)
