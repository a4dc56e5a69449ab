"""tarryctl signatures, and top on a terminal."""
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time

import pytest

from conftest import BUILD, DEADLINE, wait_until
from test_outcomes import judge  # noqa: F401, fixture
from window_rig import STACKS, Sender

EVIL = "\x1b]0;pwned\x07<b>\xe9"
LEAVES = "\x1b[?1049l"  # xterm's way out of the other screen


class Terminal:
    """tarryctl on a terminal of its own, and what it drew there."""

    def __init__(self, tarryd, *words, rows=40, term="xterm"):
        self.main, side = pty.openpty()
        fcntl.ioctl(side, termios.TIOCSWINSZ,
                    struct.pack("HHHH", rows, 160, 0, 0))
        self.process = subprocess.Popen(
            [BUILD / "tarryctl", "-s", tarryd.control, *words], stdin=side,
            stdout=side, stderr=side, start_new_session=True,
            env={**os.environ, "TERM": term})
        os.close(side)
        self.drawn = ""

    def read(self):
        """All that is there; False at the end."""
        while select.select([self.main], [], [], 0.02)[0]:
            try:
                self.drawn += os.read(self.main, 65536).decode("latin-1")
            except OSError:
                return False
        return True

    def wait(self, pattern):
        """Until it has drawn that, once its way to do so is left out."""
        def look():
            self.read()
            return re.search(pattern, self.text())
        return wait_until(look, f"{pattern} on the terminal")

    def text(self):
        return re.sub(r"\x1b(\[[0-9;?]*[A-Za-z]|[()][A-Z0-9]|[=>])", " ",
                      self.drawn)

    def type(self, keys):
        os.write(self.main, keys.encode())

    def end(self):
        """Its exit status."""
        end = time.monotonic() + DEADLINE
        while self.process.poll() is None and time.monotonic() < end:
            self.read()
        return self.process.wait(1)

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.main)


@pytest.fixture
def terminal():
    there = []

    def start(*words, **more):
        there.append(Terminal(*words, **more))
        return there[-1]
    yield start
    for one in there:
        one.close()


@pytest.fixture
def tarryd(start_tarryd, judge, control_path, tmp_path):  # noqa: F811
    labels = tmp_path / "labels.ini"
    labels.write_text(f"[label {EVIL}]\nfamily = *:*:*\n", encoding="latin-1")
    return start_tarryd(
        judge.port, mta__client_address="none", mta__open_relay_checked="yes",
        syn__labels=labels, class_new__greet="20s", class_new__teaser="no",
        control__socket=control_path()).wait_ready()


def leave_early(tarryd, count):
    """Senders that are gone before their greeting."""
    senders = [Sender(tarryd.port, STACKS[0], "good", "mail", patience=0.1)
               for _ in range(count)]
    for sender in senders:
        sender.join()
    wait_until(lambda: tarryd.metric("tarry_connections_open") == 0, "ends")


def test_signatures_are_those_of_the_dashboard(tarryd):
    assert tarryd.ask("signatures") == []
    leave_early(tarryd, 3)
    row, = tarryd.ask("signatures")
    assert (row["sessions"], row["gave_up"], row["delivered"]) == (3, 3, 0)
    assert row["text"].startswith("4:64:0:")
    shown = tarryd.ctl("signatures", "1")
    head, line = shown.stdout.splitlines()
    assert head.split()[:2] == ["SESSIONS", "DELIVERED"]
    assert line.split()[:5] == ["3", "0", "0", "0", "3"]
    assert line.endswith(row["text"])
    assert all(" " <= letter <= "~" for letter in line)
    for word in ("0", "257", "x"):
        refused = tarryd.ctl("--", "signatures", word)
        assert refused.returncode == 1
        assert "1 to 256" in refused.stderr


def test_without_a_dashboard_nobody_counts(start_tarryd, start_sink,
                                           control_path):
    tarryd = start_tarryd(start_sink().port, http__address="",
                          control__socket=control_path())
    tarryd.wait_log("passed the test session")
    refused = tarryd.ctl("signatures")
    assert refused.returncode == 1 and "http.address" in refused.stderr
    assert "SESSIONS" in tarryd.ctl("top", "once").stdout


def test_top_once(tarryd):
    leave_early(tarryd, 2)
    with tarryd.connect(), tarryd.connect():
        wait_until(lambda: len(tarryd.ask("sessions")) == 2, "two sessions")
        done = tarryd.ctl("top", "once")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].startswith("tarryd 0.1.0, running, mode enforce, up ")
    assert lines[1].startswith("2 sessions, 2 of them held, at most ")
    assert lines[2].endswith(": ready")
    assert lines[5].split()[:5] == ["2", "0", "0", "0", "2"]
    first, second = lines[-2:]
    assert float(first.split()[1][:-1]) >= float(second.split()[1][:-1])
    assert first.split()[2:6] == ["now", "127.0.0.1", "new", "everyone"]
    # No terminal: the same without being asked.
    wait_until(lambda: tarryd.ask("sessions") == [], "none")
    assert tarryd.ctl("top").stdout.splitlines()[6:] == lines[6:8]


def test_top_refuses_what_it_cannot_do(tarryd, terminal):
    assert tarryd.ctl("top", "twice").returncode == 2
    assert tarryd.ctl("--json", "top").returncode == 2
    unknown = terminal(tarryd, "top", term="no-such-terminal")
    assert unknown.end() == 2
    unknown.read()
    assert "TERM" in unknown.drawn


def test_top_lives(tarryd, terminal):
    leave_early(tarryd, 2)
    screen = terminal(tarryd, "top")
    screen.wait(r"0 sessions, 0 of them held")
    with tarryd.connect() as first:
        wait_until(lambda: len(tarryd.ask("sessions")) == 1, "a session")
        screen.type(" ")
        screen.wait(r"now +127\.0\.0\.1 +new +everyone +greet")
        # The key acts on the session that is shown.
        screen.type("r")
        screen.wait(r"session \d+ was released")
        assert first.reply().startswith("220")
    wait_until(lambda: tarryd.metric("tarry_sessions_released_total") == 1,
               "the release to be counted")
    screen.type("q")
    assert screen.end() == 0
    screen.read()
    assert LEAVES in screen.drawn
    # The label is shown, and orders the terminal to do nothing.
    assert "pwned" in screen.drawn and "\x1b]" not in screen.drawn
    assert "\x07" not in screen.drawn and "\xe9" not in screen.drawn


def come(tarryd, count):
    """Clients that are held, the oldest first."""
    clients = []
    for n in range(count):
        clients.append(tarryd.connect())
        wait_until(lambda: len(rows := tarryd.ask("sessions")) == n + 1 and
                   min(row["age_ms"] for row in rows) > 1, "its session")
    return clients


def test_the_choice_stays_with_its_session(tarryd, terminal):
    """Whoever goes away above it: `r` releases who was chosen."""
    clients = come(tarryd, 3)
    screen = terminal(tarryd, "top")
    screen.wait("3 sessions, 3 of them held")
    screen.type("j")
    clients[0].close()
    wait_until(lambda: len(tarryd.ask("sessions")) == 2, "one less")
    screen.type(" r")
    screen.wait(r"session \d+ was released")
    assert clients[1].reply().startswith("220")
    assert sum(row["held"] for row in tarryd.ask("sessions")) == 1
    for client in clients[1:]:
        client.close()


def test_top_on_a_small_terminal(tarryd, terminal):
    with tarryd.connect():
        screen = terminal(tarryd, "top", rows=5)
        screen.wait("tarryd 0.1.0")
        screen.type("jjk")
        screen.type("q")
        assert screen.end() == 0


def test_top_says_why_it_ends(tarryd, terminal):
    screen = terminal(tarryd, "top")
    screen.wait("tarryd 0.1.0")
    tarryd.send_signal(signal.SIGTERM)
    tarryd.process.wait(DEADLINE)
    screen.type(" ")
    assert screen.end() == 75
    screen.read()
    assert "is tarryd running?" in screen.drawn.split(LEAVES)[-1]
