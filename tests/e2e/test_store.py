"""What is learned outlives the process: the state file, dump and load.

    TARRY_KILLS  how often tarryd is killed under load, 10 if not set
"""
import json
import os
import pathlib
import random
import shutil
import sqlite3
import stat
import subprocess
import threading
import time

import pytest

from conftest import BUILD, send_mail, wait_until
from small_disk import fill, small_disk  # noqa: F401

KILLS = int(os.environ.get("TARRY_KILLS", "10"))
INTERVAL = 1.0
# Ticks, and a machine that is busy with other tests.
SLACK = 1.5
OPEN = {"tarry__mode": "shadow", "learn__capacity": "4096",
        "tarry__state_interval": "1s"}


@pytest.fixture
def state(control_path):
    return pathlib.Path(control_path()).parent / "state.db"


def rows_of(tarryd, *words):
    done = tarryd.ctl("dump", *words)
    assert done.returncode == 0, done.stderr
    return sorted(json.loads(line)["kind"] + " " + line
                  for line in done.stdout.splitlines())


def mail(tarryd):
    with tarryd.connect() as client:
        assert send_mail(client)[-2].startswith("250")


def kept_sessions(path):
    """Sessions in a copy of the file, which is looked through first."""
    copy = path.parent / "copy.db"
    for end in ("", "-wal"):
        if os.path.exists(f"{path}{end}"):
            shutil.copy(f"{path}{end}", f"{copy}{end}")
    base = sqlite3.connect(copy)
    assert base.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    got = base.execute(
        "SELECT sum(sessions) FROM senders WHERE kind = 'all'").fetchone()
    base.close()
    for end in ("", "-wal", "-shm"):
        pathlib.Path(f"{copy}{end}").unlink(missing_ok=True)
    return got[0] or 0


def test_what_is_learned_is_there_again(start_sink, start_tarryd, state,
                                        control_path):
    sink = start_sink().port
    words = {**OPEN, "tarry__state": state, "control__socket": control_path()}
    tarryd = start_tarryd(sink, **words).wait_ready()
    assert "kept in" in tarryd.ctl("status").stdout
    for _ in range(3):
        mail(tarryd)
    wait_until(lambda: tarryd.metric('tarry_memory_rows{kind="client"}') == 1,
               "a row")
    before = rows_of(tarryd)
    assert len(before) >= 4
    assert tarryd.stop() == 0
    assert stat.S_IMODE(state.stat().st_mode) & ~0o640 == 0

    tarryd = start_tarryd(sink, **words).wait_ready()
    tarryd.wait_log(f"state {state}: {len(before)} rows")
    assert rows_of(tarryd) == before
    assert tarryd.metric("tarry_state_rows_loaded") == len(before)
    wait_until(lambda: tarryd.metric(
        'tarry_state_flushes_total{result="ok"}') > 0, "a flush")
    assert tarryd.stop() == 0


def slowed(tarryd):
    return next(one["shaped"] for one in tarryd.ask("effect")
                if one["kind"] == "all")


def learned(tarryd):
    """What delays did, with every number that is said of it."""
    return tarryd.ask("effect"), tarryd.ask("patience")


def test_what_delays_did_is_there_again(start_sink, start_tarryd, state,
                                        control_path):
    sink = start_sink().port
    words = {"learn__capacity": "4096", "tarry__state_interval": "1s",
             "tarry__state": state, "class_new__greet": "100ms",
             "learn__holdout": "0%", "control__socket": control_path()}
    tarryd = start_tarryd(sink, **words).wait_ready()
    mail(tarryd)
    with tarryd.connect():
        pass  # it leaves, held
    wait_until(lambda: slowed(tarryd) == 2, "both to end")
    before = learned(tarryd)
    kinds = [one["kind"] for one in before[0]]
    assert {"about", "all", "rule", "signature"} <= set(kinds)
    assert any(one["sessions"] for one in before[1] if one["kind"] == "curve")
    flushes = 'tarry_state_flushes_total{result="ok"}'
    was = tarryd.metric(flushes)
    wait_until(lambda: tarryd.metric(flushes) >= was + 2, "two intervals")
    tarryd.process.kill()
    tarryd.process.wait()

    tarryd = start_tarryd(sink, **words).wait_ready()
    assert learned(tarryd) == before
    with tarryd.connect():
        pass
    wait_until(lambda: slowed(tarryd) == 3, "one more")
    after = learned(tarryd)
    assert tarryd.stop() == 0
    tarryd = start_tarryd(sink, **words).wait_ready()
    assert learned(tarryd) == after != before
    assert tarryd.stop() == 0


def test_dump_and_load(start_sink, start_tarryd, state, control_path,
                       tmp_path):
    sink = start_sink().port
    one = start_tarryd(sink, control__socket=control_path(),
                       **OPEN).wait_ready()
    for _ in range(2):
        mail(one)
    wait_until(lambda: one.metric('tarry_memory_rows{kind="client"}') == 1,
               "a row")
    odd = json.loads(rows_of(one, "client")[0].split(" ", 1)[1])
    odd["name"] = "\\x00\\xffa\\\\b"
    text = one.ctl("dump").stdout + json.dumps(odd) + "\n"
    path = tmp_path / "dump"
    path.write_text(text)

    two = start_tarryd(sink, control__socket=control_path(),
                       tarry__state=state, **OPEN).wait_ready()
    assert rows_of(two) == []
    count = len(text.splitlines())
    done = two.ctl("load", path, "dry")
    assert done.stdout.startswith(f"{count} new, 0 merged"), done.stderr
    assert rows_of(two) == []
    assert two.ctl("load", path).stdout.startswith(f"{count} new, 0 merged")
    assert sorted(line.split(" ", 1)[1] for line in rows_of(two)) == \
        sorted(json.dumps(json.loads(line), separators=(",", ":"))
               for line in text.splitlines())
    # The same again changes nothing.
    after = rows_of(two)
    done = two.ctl("load", path)
    assert done.returncode == 0
    assert done.stdout.startswith(f"0 new, {count} merged")
    assert rows_of(two) == after
    assert len(rows_of(two, "client", 1)) == 1
    wrong = two.ctl("dump", "moon")
    assert wrong.returncode == 1 and ", pool" in wrong.stderr
    assert two.ctl("dump", "client", "x").returncode == 2
    # What was loaded is kept.
    assert two.stop() == 0
    three = start_tarryd(sink, control__socket=control_path(),
                         tarry__state=state, **OPEN).wait_ready()
    assert rows_of(three) == after


def test_lines_that_are_no_rows(start_sink, start_tarryd, control_path,
                                tmp_path):
    tarryd = start_tarryd(start_sink().port, control__socket=control_path(),
                          **OPEN).wait_ready()
    bad = ["{", "[]", "{}", '{"kind":"client"}', '{"kind":"moon","name":"x"}',
           '{"kind":"client","name":"%s"}' % ("x" * 95),
           '{"kind":"client","name":"\\\\q"}',
           '{"kind":"client","name":"\u00e4"}',
           '{"kind":"client","name":"x","spam":-1}',
           '{"kind":"client","name":"x","spam":1e30}',
           '{"kind":"client","name":"x","spam":"much"}',
           '{"kind":"client","name":"x","seen":1.5}',
           '{"kind":"client","name":"x","proof_sessions":256}',
           '{"kind":"client","name":"x","networks":["1"]}',
           '{"kind":"client","name":"x","pad":"%s"}' % ("p" * 9000)]
    path = tmp_path / "bad"
    path.write_bytes(b"\xff\n" + ("\n".join(bad) + "\n\n" + json.dumps(
        {"kind": "client", "name": "192.0.2.1", "sessions": 2})).encode())
    done = tarryd.ctl("load", path)
    assert done.returncode == 1
    assert done.stdout.startswith("1 new, 0 merged"), done.stdout
    assert f"{len(bad) + 1} not understood" in done.stdout
    for line in range(1, len(bad) + 2):
        assert f"{path}:{line}: " in done.stderr
    assert len(rows_of(tarryd)) == 1
    assert tarryd.ctl("load", tmp_path / "none").returncode == 1
    assert tarryd.ctl("load", path, "wet").returncode == 2


def lock_it(state, start):
    first = start(tarry__state=state).wait_ready()
    assert first.metric("tarry_state_kept") == 1


def no_directory(state, start):
    state.parent.chmod(0o555)


def of_later(state, start):
    with sqlite3.connect(state) as base:
        base.execute("PRAGMA application_id = 1415672441")
        base.execute("PRAGMA user_version = 99")
    state.chmod(0o666)


@pytest.mark.parametrize("make, why", (
    (lock_it, "in use by another tarryd"),
    (no_directory, "Permission denied"),
    (of_later, "written by a later Tarry")))
def test_without_a_file_mail_flows(start_sink, start_tarryd, state,
                                   control_path, make, why):
    sink = start_sink().port

    def start(**more):
        return start_tarryd(sink, control__socket=control_path(), **OPEN,
                            **more)
    make(state, start)
    tarryd = start(tarry__state=state)
    tarryd.wait_log(why + ".*mail flows")
    tarryd.wait_ready()
    mail(tarryd)
    assert tarryd.metric("tarry_state_kept") == 0
    assert "NOT KEPT: " in tarryd.ctl("status").stdout
    assert why in tarryd.ctl("status").stdout
    assert tarryd.stop() == 0
    state.parent.chmod(0o777)


def test_a_damaged_file_is_set_aside(start_sink, start_tarryd, state):
    state.write_bytes(b"not a database" * 1000)
    state.chmod(0o666)
    tarryd = start_tarryd(start_sink().port, tarry__state=state, **OPEN)
    tarryd.wait_log("damaged and was set aside as .*damaged-")
    tarryd.wait_ready()
    mail(tarryd)
    assert tarryd.metric("tarry_state_kept") == 1
    assert tarryd.stop() == 0
    assert kept_sessions(state) == 1
    assert len(list(state.parent.glob("state.db.damaged-*"))) == 1


def test_a_full_disk_stops_no_mail(start_sink, start_tarryd,
                                   small_disk):  # noqa: F811
    state = small_disk / "state.db"
    tarryd = start_tarryd(start_sink().port, tarry__state=state,
                          **OPEN).wait_ready()
    failed = 'tarry_state_flushes_total{result="failed"}'
    filler = fill(small_disk)
    mail(tarryd)
    wait_until(lambda: tarryd.metric(failed) > 0, "a failure")
    tarryd.wait_log("in memory alone, until it can be written")
    mail(tarryd)
    filler.unlink()
    tarryd.wait_log("what is learned is written again")
    wait_until(lambda: tarryd.metric("tarry_memory_rows_changed") == 0,
               "all written")
    assert kept_sessions(state) == 2
    assert tarryd.stop() == 0


class Load(threading.Thread):
    """Sessions one after the other, and when each began and was over."""

    def __init__(self, tarryd, ends):
        super().__init__(daemon=True)
        self.tarryd, self.ends = tarryd, ends
        self.begun, self.over = 0, []

    def run(self):
        while not self.ends.is_set():
            self.begun += 1
            try:
                mail(self.tarryd)
            except (OSError, AssertionError, EOFError, IndexError):
                return  # it was killed
            self.over.append(time.monotonic())


def run_until_killed(tarryd, seconds):
    """Returns sessions that must be kept at least, and at most."""
    ends = threading.Event()
    loads = [Load(tarryd, ends) for _ in range(4)]
    for load in loads:
        load.start()
    threading.Event().wait(seconds)
    killed = time.monotonic()
    tarryd.process.kill()
    tarryd.process.wait()
    ends.set()
    for load in loads:
        load.join()
    safe = killed - INTERVAL - SLACK
    return (sum(at < safe for load in loads for at in load.over),
            sum(load.begun for load in loads))


def test_killed_under_load(start_sink, start_tarryd, state):
    """At most one interval of learning is lost, and never the file."""
    sink = start_sink().port
    dice = random.Random(KILLS)
    kept = least = most = 0
    for kill in range(KILLS):
        tarryd = start_tarryd(sink, tarry__state=state, **OPEN).wait_ready()
        if kill > 0:
            tarryd.wait_log(r"state \S+: \d+ rows in .* 0 not understood")
        low, high = run_until_killed(
            tarryd, 6 if kill == 0 else dice.uniform(0.1, 5))
        before, kept = kept, kept_sessions(state)
        # The last digits of what decays in a minute are not looked at.
        assert kept >= (before + low) * 0.999 - 0.5, f"kill {kill}"
        assert kept <= before + high + 0.5, f"kill {kill}"
        least, most = least + low, most + high
        assert not list(state.parent.glob("*damaged*"))
    print(f"{KILLS} kills: {kept:.0f} sessions kept of {most} begun, "
          f"{least} of them over {INTERVAL + SLACK} s before a kill")
    assert least > 0


def test_the_bench_of_memory():
    """Short; `make bench-memory` is the long one."""
    done = subprocess.run([BUILD / "tests/bench/memory", "50000", "10000"],
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    for told in ("bytes a row", "median", "of the processor"):
        assert told in done.stdout
