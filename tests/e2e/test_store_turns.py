"""A tarryd with very many rows, some of which change: its loops' turns.

    TARRY_ROWS     rows, 20000 if not set
    TARRY_CHANGED  of them change, 3000 if not set

`make bench-memory` has a million, and 150,000 of them.
"""
import json
import os
import pathlib
import struct
import subprocess
import threading
import time

import pytest

import conftest
from conftest import BUILD, send_mail, wait_until

ROWS = int(os.environ.get("TARRY_ROWS", "20000"))
CHANGED = int(os.environ.get("TARRY_CHANGED", "3000"))
TURN_MAX_US = 5000
LONG = 240
LINE = struct.Struct("QQQQ")


def make_rows(path, count, sessions):
    now = int(time.time())
    with open(path, "w") as out:
        for i in range(count):
            name = f"{10 + (i >> 24)}.{i >> 16 & 255}.{i >> 8 & 255}.{i & 255}"
            out.write(json.dumps({"kind": "client", "name": name,
                                  "sessions": sessions, "seen": now}) + "\n")


def turns(path):
    """Of each loop: turns, longest in us on the wall and of the processor,
    whether it is that of the main thread."""
    data = path.read_bytes()
    return [line for line in LINE.iter_unpack(data) if line[0] > 0]


class Load(threading.Thread):
    """Mail, one after the other, until it is told to end."""

    def __init__(self, tarryd):
        super().__init__(daemon=True)
        self.tarryd, self.ends, self.sent = tarryd, threading.Event(), 0
        self.start()

    def run(self):
        while not self.ends.is_set():
            with self.tarryd.connect() as client:
                assert send_mail(client)[-2].startswith("250")
            self.sent += 1


@pytest.fixture
def lines(control_path, monkeypatch):
    path = pathlib.Path(control_path()).parent / "turns"
    path.write_bytes(bytes(32 * LINE.size))
    path.chmod(0o666)
    monkeypatch.setattr(conftest, "WRAP", [
        *conftest.WRAP, "env", f"LD_PRELOAD={BUILD / 'tests/bench/turns.so'}",
        f"TARRY_TURNS={path}"])
    return path


def test_no_turn_is_long(start_sink, start_tarryd, control_path, tmp_path,
                         lines):
    socket = control_path()
    tarryd = start_tarryd(
        start_sink().port, tarry__mode="shadow", tarry__workers="2",
        learn__capacity=str(2 * ROWS), control__socket=socket,
        tarry__state=pathlib.Path(socket).parent / "state.db",
        tarry__state_interval="1s").wait_ready()
    assert tarryd.metric("tarry_state_kept") == 1
    make_rows(tmp_path / "rows", ROWS, 2)
    make_rows(tmp_path / "more", CHANGED, 3)
    load = Load(tarryd)
    written = []
    for name in ("rows", "more"):
        began = time.monotonic()
        subprocess.run([BUILD / "tarryctl", "-s", tarryd.control, "load",
                        tmp_path / name], check=True, timeout=LONG)
        # Not none: the client that sends mail changes all the time.
        wait_until(lambda: tarryd.metric("tarry_memory_rows_changed") < 100,
                   f"{name} to be written", LONG)
        written.append(time.monotonic() - began)
    load.ends.set()
    load.join()
    found = turns(lines)
    assert len(found) >= 3, "the main thread and two workers"
    assert sum(is_main for *_, is_main in found) == 1
    print(f"{ROWS} rows loaded and written in {written[0]:.1f} s, {CHANGED} "
          f"changed in {written[1]:.1f} s, {load.sent} mails meanwhile")
    for count, wall, cpu, is_main in found:
        print(f"{count} turns of {'the main loop' if is_main else 'a worker'},"
              f" the longest {wall / 1000:.2f} ms on the wall, "
              f"{cpu / 1000:.2f} ms of the processor")
    # Of half full sets one in a hundred runs over.
    assert tarryd.metric('tarry_memory_rows{kind="client"}') >= ROWS * 0.97
    assert tarryd.metric("tarry_state_rows_written_total") >= ROWS * 0.97
    assert load.sent > 0
    assert max(cpu for _, _, cpu, _ in found) < TURN_MAX_US
    assert tarryd.stop() == 0
