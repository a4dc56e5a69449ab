"""What end-to-end tests share: tarryd, tarry-sink and SMTP clients.

No fixed ports: everything listens on port 0 and says where. Nothing sleeps
for a time; waits are for a condition, with a deadline.

    TARRY_BUILD  where the programs are, `build` if not set
    TARRY_WRAP   a command to run tarryd under, such as valgrind
"""
import fcntl
import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
BUILD = TOP / os.environ.get("TARRY_BUILD", "build")
WRAP = shlex.split(os.environ.get("TARRY_WRAP", ""))
# Waits end with their condition; this only bounds a failure.
DEADLINE = 20 if not WRAP else 120


def wait_until(condition, what, seconds=DEADLINE):
    """Waits until condition() is true; returns what it returned."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        got = condition()
        if got:
            return got
        threading.Event().wait(0.01)
    pytest.fail(f"waited {seconds} s for {what}")


class Program:
    """A program that was started, with all that it prints in a file."""

    def __init__(self, path, words, wrap=(), **more):
        self.log_path = path
        with open(path, "wb") as out:
            self.process = subprocess.Popen(
                [*wrap, *map(str, words)], stdout=out,
                stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, **more)

    @property
    def log(self):
        return self.log_path.read_text(errors="replace")

    def wait_log(self, pattern, seconds=DEADLINE):
        """Waits for a line; returns the match."""
        def look():
            found = re.search(pattern, self.log, re.M)
            if found is None and self.process.poll() is not None:
                found = re.search(pattern, self.log, re.M)
                assert found, f"ended without {pattern!r}:\n{self.log}"
            return found
        return wait_until(look, f"{pattern!r} in {self.log_path}", seconds)

    def send_signal(self, number):
        self.process.send_signal(number)

    def wait(self, seconds=DEADLINE):
        """Waits for the end; returns the exit status."""
        return self.process.wait(seconds)

    def stop(self, number=signal.SIGTERM):
        """Ends it, by force if it must be; returns the exit status."""
        if self.process.poll() is None:
            self.send_signal(number)
            try:
                self.process.wait(DEADLINE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        return self.process.returncode


class Tarryd(Program):
    def __init__(self, path, words, build=BUILD, **more):
        super().__init__(path, [build / "tarryd", *words], WRAP, **more)
        self.port = self.http_port = None
        self.control = None  # path of its control socket

    def wait_started(self):
        """Waits until it listens, and learns the ports."""
        found = self.wait_log(r"listening on \S*:(\d+)\"")
        self.port = int(found[1])
        found = self.wait_log(r"metrics on http://\S*:(\d+)/metrics")
        self.http_port = int(found[1])
        return self

    def wait_ready(self):
        """Waits until the test session with the MTA has passed."""
        self.wait_started()
        self.wait_log("passed the test session")
        wait_until(lambda: self.get("/readyz")[0] == 200, "/readyz")
        return self

    def get(self, path, headers=None, method="GET"):
        """An HTTP request; returns (status, body, headers). Who asks too
        often, as one does who waits for a number, asks again."""
        got = self.get_once(path, headers, method)
        while got[0] == 429:
            threading.Event().wait(0.02)
            got = self.get_once(path, headers, method)
        return got

    def get_once(self, path, headers=None, method="GET"):
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.http_port}{path}",
            headers=headers or {}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=DEADLINE) as answer:
                return answer.status, answer.read().decode(), answer.headers
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode(), error.headers

    def metric(self, name):
        """One sample of /metrics, by its name with labels."""
        for line in self.get("/metrics")[1].splitlines():
            if line.startswith(name + " "):
                return float(line.rsplit(" ", 1)[1])
        return None

    def connect(self, source="127.0.0.1"):
        return Client(self.port, source)

    def ctl(self, *words):
        """Runs tarryctl against it; returns what subprocess.run() does."""
        return subprocess.run(
            [BUILD / "tarryctl", "-s", self.control, *map(str, words)],
            text=True, timeout=DEADLINE * 6, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def ask(self, *words):
        """The same with --json; returns the lines as objects."""
        return [json.loads(line) for line in
                self.ctl("--json", *words).stdout.splitlines()]


class Client:
    """An SMTP client that does as it is told."""

    def __init__(self, port, source="127.0.0.1", host="127.0.0.1"):
        self.socket = socket.create_connection((host, port), DEADLINE,
                                               (source, 0))
        self.rest = b""

    def send(self, data):
        self.socket.sendall(data if isinstance(data, bytes)
                            else data.encode())

    def line(self):
        """One line; b"" at the end."""
        while b"\n" not in self.rest:
            got = self.socket.recv(65536)
            if not got:
                line, self.rest = self.rest, b""
                return line
            self.rest += got
        line, self.rest = self.rest.split(b"\n", 1)
        return line + b"\n"

    def reply(self):
        """A whole reply, as text."""
        lines = []
        while True:
            line = self.line()
            lines.append(line.decode(errors="replace"))
            if len(line) < 4 or line[3:4] != b"-":
                return "".join(lines)

    def ask(self, text):
        self.send(text + "\r\n")
        return self.reply()

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


def shipped_config(**keys):
    """config/tarry.ini in enforce mode, with some keys replaced:
    section__key=value; a value of None removes the line. Nothing is
    remembered, for all tests are one client."""
    keys = {"tarry__mode": "enforce", "control__socket": "",
            "learn__capacity": "0", **keys}
    section, out, left = "", [], dict(keys)
    for line in (TOP / "config/tarry.ini").read_text().splitlines():
        head = re.match(r"\[([^\]]+)\]", line)
        if head:
            section = head[1].replace(" ", "_")
        found = re.match(r"(\w+)\s*=", line)
        if found and f"{section}__{found[1]}" in keys:
            value = left.pop(f"{section}__{found[1]}", None)
            if value is not None:
                out.append(f"{found[1]} = {value}")
            continue
        out.append(line)
    assert not left, f"not in config/tarry.ini: {left}"
    return "\n".join(out) + "\n"


def send_mail(client, body="Subject: x\r\n\r\nhello\r\n"):
    """A whole session, from the greeting to QUIT; returns the replies."""
    replies = [client.reply()]
    for text in ("EHLO client.example", "MAIL FROM:<a@b.example>",
                 "RCPT TO:<c@d.example>", "DATA", body + ".", "QUIT"):
        replies.append(client.ask(text))
    return replies


@pytest.fixture
def running(tmp_path):
    """Programs to be ended after the test."""
    programs = []
    yield programs
    for program in reversed(programs):
        program.stop()


@pytest.fixture
def start_sink(tmp_path, running):
    """start_sink(proxy="v2") -> a tarry-sink; .port, .mail"""
    def start(proxy="v2"):
        mail = tmp_path / f"mail{len(running)}"
        mail.mkdir()
        sink = Program(
            tmp_path / f"sink{len(running)}.log",
            [BUILD / "tarry-sink", "-l", "127.0.0.1:0", "-d", mail,
             "--proxy", proxy])
        running.append(sink)
        sink.mail = mail
        sink.port = int(sink.wait_log(r"listening on \S*:(\d+),")[1])
        return sink
    return start


@pytest.fixture
def control_path():
    """control_path() -> a short path in a directory open to any user: the
    name of a unix socket is 107 bytes at most."""
    made = []

    def path():
        made.append(tempfile.mkdtemp(prefix="tarry-"))
        os.chmod(made[-1], 0o777)
        return made[-1] + "/control"
    yield path
    for where in made:
        shutil.rmtree(where, ignore_errors=True)


@pytest.fixture
def start_tarryd(tmp_path, running):
    """start_tarryd(mta_port, section__key=value ..) -> a Tarryd."""
    def start(mta_port, words=(), text=None, listen="127.0.0.1:0",
              **keys):
        number = len(running)
        keys = {"http__address": "127.0.0.1:0", "syn__sidecar": "",
                "syn__labels": "", **keys}
        path = tmp_path / f"tarry{number}.ini"
        path.write_text(text if text is not None else shipped_config(**keys))
        tmp_path.chmod(0o755)
        tarryd = Tarryd(
            tmp_path / f"tarryd{number}.log",
            ["-c", path, *words, "-l", listen, f"127.0.0.1:{mta_port}"])
        tarryd.control = keys.get("control__socket")
        running.append(tarryd)
        return tarryd
    return start


@pytest.fixture
def closed_port():
    """A port that refuses: bound for as long as the test runs, no listener."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


def of_prometheus(name):
    """A program of Prometheus' package; unpacked, never installed."""
    found = shutil.which(name)
    if found:
        return found
    where = BUILD / "prometheus"
    where.mkdir(parents=True, exist_ok=True)
    with open(where / "lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        program = where / "usr/bin" / name
        if not program.exists():
            got = subprocess.run(
                "apt-get download prometheus && dpkg -x prometheus_*.deb .",
                shell=True, cwd=where, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, text=True)
            if got.returncode != 0:
                pytest.skip(f"{name} is not to be had: {got.stdout[-200:]}")
    return str(program)


@pytest.fixture(scope="session")
def promtool():
    return of_prometheus("promtool")
