"""What Tarry leans on fails under load: the sidecar, the disk, the clock."""
import contextlib
import datetime
import os
import pathlib
import re
import signal
import subprocess
import tempfile
import threading
import time

import pytest

from conftest import BUILD
from faults_rig import FaultLab, Process, wait_until

GOOD = "complete,fin,*,well"
PROMPT = "complete,fin,pass,well"
FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1"

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def pause(seconds):
    threading.Event().wait(seconds)


def prompt_ms(load):
    """The median life of a session that is not delayed."""
    lives = sorted(row.ms for row in load.rows)
    return lives[len(lives) // 2]


@contextlib.contextmanager
def public_directory():
    """For programs that have given up their rights."""
    with tempfile.TemporaryDirectory(prefix="tarry-") as name:
        path = pathlib.Path(name)
        path.chmod(0o777)
        yield path


class Sidecar(Process):
    def __init__(self, lab, run, number):
        super().__init__(
            [BUILD / "tarry-sidecar", "-p", lab.port, "-u", "nobody", "-s",
             run / "syn.sock"], lab.where / f"sidecar{number}.log")
        self.wait_log("serving")


@needs_root
def test_sidecar_dies_and_stops_and_comes_back(tmp_path):
    """Nobody waits for it."""
    def wait_up(lab, value):
        wait_until(lambda: lab.watch.values("tarry_sidecar_up")[-1] == value,
                   "it to be missed" if value == 0 else "it to be back")

    with public_directory() as run, \
            FaultLab(tmp_path, sidecar=run / "syn.sock") as lab:
        sidecar = Sidecar(lab, run, 1)
        try:
            wait_until(lambda: lab.metric("tarry_sidecar_up") == 1, "its map")
            lab.idle_fds = lab.settled_fds()
            lab.start_crowd()
            load = lab.start_load(GOOD, rate=400)
            prompt = lab.start_load(PROMPT, rate=100, seconds=6)
            lab.end = lab.begin + 3
            lab.wait_dials(200)
            sidecar.process.kill()
            sidecar.process.wait()
            wait_up(lab, 0)
            sidecar = Sidecar(lab, run, 2)
            wait_up(lab, 1)
            sidecar.process.send_signal(signal.SIGSTOP)
            wait_up(lab, 0)
            sidecar.process.send_signal(signal.SIGCONT)
            wait_up(lab, 1)
            lab.finish(load, prompt)
            sources = {line["syn_source"] for line in lab.session_lines()}
            lab.check()
        finally:
            sidecar.stop()
    assert {"sidecar", "kernel"} <= sources
    assert prompt_ms(prompt) < 100
    assert all(row.told for row in load.rows + prompt.rows)


@contextlib.contextmanager
def small_disk(where):
    where.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", where],
                   check=True)
    try:
        yield where
    finally:
        subprocess.run(["umount", "-l", where], check=True)


def fill(path):
    """Writes until there is no room left."""
    with open(path, "wb", buffering=0) as out:
        with contextlib.suppress(OSError):
            while True:
                out.write(b"x" * 512)


@needs_root
def test_disk_full_for_the_log(tmp_path):
    """Lines are lost and counted, mail is not; with room they come again."""
    with small_disk(tmp_path / "disk") as disk, \
            FaultLab(tmp_path, log=disk / "log") as lab:
        lab.start_crowd()
        fill(disk / "filler")
        load = lab.start_load(GOOD, rate=400)
        prompt = lab.start_load(PROMPT, rate=100)
        wait_until(load.is_over, "the load to end")
        size = (disk / "log").stat().st_size
        dropped = lab.metric("tarry_log_lines_dropped_total")
        (disk / "filler").unlink()
        lab.finish(load, prompt)
        lab.wait_idle()
        lab.check_messages()
        wait_until(lambda: (disk / "log").stat().st_size > size,
                   "lines to be written again")
        lab.check_idle()
        lab.check_end()
        reasons = [line.get("reason") for line in lab.session_lines()]
    assert dropped > 100
    assert "quit" in reasons and "bug" not in reasons
    assert prompt_ms(prompt) < 100
    print(f"\n{dropped:.0f} lines were lost with the disk full, "
          f"{len(reasons)} are there")


def clock_jump(tmp_path, jump, environment, **more):
    """jump(lab) in the middle of the load; all is served nevertheless."""
    with FaultLab(tmp_path, environment=environment, **more) as lab:
        crowd = lab.start_crowd()
        load = lab.start_load(GOOD)
        lab.wait_dials(300)
        jump(lab)
        lab.finish(load, held=0)
        lab.check()
    assert all(row.told for row in load.rows + crowd.rows)
    return load, crowd


def faked(tmp_path, *offsets, **environment):
    """tarryd's clocks jump, from one offset to the next."""
    if not os.path.exists(FAKETIME):
        pytest.skip(f"there is no {FAKETIME}: apt-get install libfaketime")
    with public_directory() as where:
        clock = where / "clock"
        clock.write_text("+0")

        def jump(lab):
            for offset in offsets:
                new = where / "clock.new"
                new.write_text(offset)
                new.rename(clock)
                # It looks at the file once a second, and says the time.
                wanted = time.time() + days(offset) * 86400
                wait_until(lambda: abs(last_stamp(lab) - wanted) < 30,
                           f"its clock to be {offset}")
        return clock_jump(tmp_path, jump, {
            "LD_PRELOAD": FAKETIME, "FAKETIME_TIMESTAMP_FILE": str(clock),
            "FAKETIME_CACHE_DURATION": "1", **environment})


def days(offset):
    return int(offset[:-1]) * {"d": 1, "m": 1 / 1440}[offset[-1]]


def last_stamp(lab):
    """The time of the last line of the log."""
    found = re.findall(r"^ts=(\S+)Z ", lab.tarryd.log, re.M)
    return datetime.datetime.fromisoformat(found[-1] + "+00:00").timestamp()


def test_wall_clock_is_set(tmp_path):
    """Back and far forth: time of day is for the log alone."""
    _, crowd = faked(tmp_path, "-3d", "+400d", DONT_FAKE_MONOTONIC="1")
    assert min(row.ms for row in crowd.rows) > 4500


def test_machine_was_asleep(tmp_path):
    """The steady clock is ten minutes on at once: delays end, no session."""
    _, crowd = faked(tmp_path, "+10m")
    assert min(row.ms for row in crowd.rows) < 4500


def test_stopped_for_seconds(tmp_path):
    """As by a debugger or a busy host; clients do not see a reset."""
    def jump(lab):
        lab.tarryd.process.send_signal(signal.SIGSTOP)
        pause(3)
        lab.tarryd.process.send_signal(signal.SIGCONT)
    load, _ = clock_jump(tmp_path, jump, {})
    assert max(row.ms for row in load.rows) > 2500


def test_clock_passes_its_32_bits(tmp_path):
    """Up for 49 days: a count of milliseconds passes 2^32 meanwhile."""
    uptime = float(pathlib.Path("/proc/uptime").read_text().split()[0])
    now = time.clock_gettime(time.CLOCK_MONOTONIC)
    assert uptime < 49 * 86400
    start = 2**32 / 1000 - 5 - now  # it passes in the middle of the test
    wrap = ("unshare", "--time", "--monotonic", str(int(start)))
    done = subprocess.run(
        [*wrap, "cat", "/proc/self/timens_offsets"], text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        pytest.skip(f"no time namespace is to be had: {done.stdout}")
    with FaultLab(tmp_path, wrap=wrap) as lab:
        if os.readlink(f"/proc/{lab.tarryd.pid}/ns/time") == \
                os.readlink("/proc/self/ns/time"):
            pytest.skip("this kernel changes time namespaces at fork alone")
        lab.start_crowd()
        load = lab.start_load(GOOD)
        lab.finish(load)
        lab.check()
        there = time.clock_gettime(time.CLOCK_MONOTONIC) + int(start)
    assert there * 1000 > 2**32
    assert all(row.told for row in load.rows)
