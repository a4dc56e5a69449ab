"""`make run`, as a newcomer calls it."""
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile

import pytest

from conftest import (BUILD, DEADLINE, TOP, Client, Program, send_mail,
                      wait_until)


@pytest.fixture
def readable():
    """A directory that the user who runs Tarry can reach; pytest's is not."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="tarry-test."))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def start_run(tmp_path, readable, running):
    """start_run(NAME=value ..) -> tools/run.sh, in a group of its own."""
    def start(**names):
        words = {"BUILD": BUILD, "TMPDIR": readable, "LISTEN": "127.0.0.1:0",
                 "HTTP": "127.0.0.1:0", **names}
        program = Program(
            tmp_path / f"run{len(running)}.log", [TOP / "tools/run.sh"],
            env={**os.environ, **{k: str(v) for k, v in words.items()}},
            start_new_session=True)
        running.append(program)
        return program
    return start


def members(group):
    """Processes of a group that live."""
    done = subprocess.run(["ps", "-o", "pid=,stat=,args=", "-g", str(group)],
                          text=True, stdout=subprocess.PIPE)
    return [line for line in done.stdout.splitlines()
            if not line.split()[1].startswith("Z")]


def test_mail_ends_in_a_file_and_ctrl_c_ends_all(start_run, readable):
    run = start_run()
    run.wait_log("stop it")
    port = int(run.wait_log(r"listener smtp: listening on \S*:(\d+)")[1])
    with Client(port) as client:
        assert send_mail(client)[5].startswith("250")
    kept = [path.read_bytes()
            for path in readable.glob("tarry-run*/mail/*.eml")]
    assert kept == [b"Subject: x\r\n\r\nhello\r\n"]
    run.wait_log(r'why="rule everyone gave class new: greeting after 3\.')
    # Ctrl-C reaches the whole group.
    group = run.process.pid
    os.killpg(group, signal.SIGINT)
    assert run.wait() == 0
    wait_until(lambda: not members(group), "all programs to end")


def test_the_script_alone_is_ended(start_run):
    """As a service manager does it: TERM to the one process."""
    run = start_run()
    run.wait_log("stop it")
    run.send_signal(signal.SIGTERM)
    assert run.wait() == 0
    wait_until(lambda: not members(run.process.pid), "all programs to end")


def test_an_mta_of_ones_own(start_run, start_sink):
    sink = start_sink()
    run = start_run(MTA=f"127.0.0.1:{sink.port}")
    run.wait_log(f"relays to 127.0.0.1:{sink.port}")
    assert "mail is kept in" not in run.log


def test_unknown_mode_is_refused(start_run):
    run = start_run(MODE="maybe")
    assert run.wait() == 1
    assert "tarry.mode" in run.log and "enforce or shadow" in run.log


def test_wrong_address_is_refused(start_run):
    run = start_run(LISTEN="here")
    assert run.wait() == 1
    assert re.search("listen", run.log) and "refused" in run.log
    assert not members(run.process.pid)


def test_port_in_use_is_said(start_run):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        run = start_run(LISTEN=f"127.0.0.1:{taken.getsockname()[1]}")
        assert run.wait() == 1
    assert "A port is in use" in run.log and "make run LISTEN=" in run.log
    wait_until(lambda: not members(run.process.pid), "all programs to end")
