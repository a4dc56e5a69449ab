"""A sink, tarryd and the load generator together, and what is left behind.

Used by the storm tests and by the figures. Every port is 0 and read from what
the programs say; waits are for a condition, with a deadline.
"""
import collections
import os
import pathlib
import re
import signal
import subprocess
import threading
import time
import urllib.request

TOP = pathlib.Path(__file__).resolve().parents[2]

# By the second octet of the client's address; see mix.c.
CLASSES = """
[class hold]
greet = 250ms

[class teaser]
greet = 300ms
teaser = yes

[class slow]
greet = 120ms
reply = 60ms

[class drip]
greet = 250ms
reply = 80ms
drip = 60ms
teaser = yes

[class late]
greet = 700ms
"""

RULES = """
[rule hold]
network = 127.1.0.0/16
class = hold

[rule teaser]
network = 127.2.0.0/16
class = teaser

[rule slow]
network = 127.3.0.0/16
class = slow

[rule drip]
network = 127.4.0.0/16
class = drip

[rule late]
network = 127.5.0.0/16
class = late
"""

Row = collections.namedtuple(
    "Row", "id leave how cls fault end step told said ms")


def config(mta_port, sessions, slots, reply="2s", patience="100ms",
           classes=CLASSES, rules=RULES):
    return f"""
[tarry]
mode = enforce
max_sessions = {sessions}
drain_timeout = 5s

[listen storm]
address = 127.0.0.1:0

[mta]
address = 127.0.0.1:{mta_port}
client_address = proxy_v2
max_connections = {slots}
connect_timeout = 500ms
patience = {patience}

[syn]
sidecar =
kernel = yes
labels = {TOP}/config/signatures.ini

[budget]
reply = {reply}

[http]
address = 127.0.0.1:0
{classes}{rules}"""


def wait_until(condition, what, seconds=60.0):
    """Waits until condition() is true; returns what it returned."""
    end = time.monotonic() + seconds
    while True:
        got = condition()
        if got:
            return got
        if time.monotonic() >= end:
            raise AssertionError(f"waited {seconds} s for {what}")
        threading.Event().wait(0.02)


def total(page, name):
    return sum(value for key, value in page.items()
               if key.split("{")[0] == name)


class Process:
    def __init__(self, words, log, **more):
        self.log_path = pathlib.Path(log)
        with open(log, "wb") as out:
            self.process = subprocess.Popen(
                [str(word) for word in words], stdout=out,
                stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, **more)
        self.pid = self.process.pid

    @property
    def log(self):
        return self.log_path.read_text(errors="replace")

    def wait_log(self, pattern, seconds=60.0):
        def look():
            found = re.search(pattern, self.log, re.M)
            if found is None and self.process.poll() is not None:
                raise AssertionError(f"ended without {pattern}:\n{self.log}")
            return found
        return wait_until(look, f"{pattern} in {self.log_path}", seconds)

    def stop(self, seconds=60.0):
        """SIGTERM, and the exit status; by force behind the deadline."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        return self.process.returncode


class Lab:
    """build: directory of the programs; bench: of storm and storm_sink."""

    config = staticmethod(config)

    def __init__(self, where, build, bench=None, wrap=(), window_ms=0,
                 environment=None, log=None, **settings):
        self.where = pathlib.Path(where)
        self.where.chmod(0o755)
        self.build = TOP / build
        self.bench = TOP / (bench or build) / "tests/bench"
        self.next_id = 0
        self.rows = []
        self.page_at = 0.0
        self.taken_path = self.where / "taken"
        self.sink = Process(
            [self.bench / "storm_sink", "-o", self.taken_path, "-w",
             window_ms], self.where / "sink.log")
        mta_port = int(self.sink.wait_log(r"listening on \S*:(\d+)")[1])
        path = self.where / "storm.ini"
        path.write_text(self.config(mta_port, **settings))
        self.tarryd = Process(
            [*wrap, self.build / "tarryd", "-c", path],
            log or self.where / "tarryd.log",
            env={**os.environ, **(environment or {})})
        look = self.tarryd.wait_log
        self.port = int(look(r"listening on \S*:(\d+)\"")[1])
        self.http_port = int(look(r"metrics on http://\S*:(\d+)/")[1])
        look(r"passed the test session")
        self.idle_fds = self.settled_fds()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.tarryd.stop()
        self.sink.stop()

    # The load.

    def storm_words(self, sessions, parallel, **more):
        words = [self.bench / "storm", "-t", f"127.0.0.1:{self.port}", "-n",
                 sessions, "-c", parallel, "-i", self.next_id]
        self.next_id += sessions
        for option, value in more.items():
            words += [f"-{option}", value]
        return [str(word) for word in words if word != ""]

    def storm(self, sessions, parallel, seconds=7200.0, **more):
        """Runs a storm to its end; returns its sum and keeps its rows."""
        results = self.where / f"results{self.next_id}"
        words = self.storm_words(sessions, parallel, r=results, **more)
        done = subprocess.run(words, stdout=subprocess.PIPE, text=True,
                              stdin=subprocess.DEVNULL, timeout=seconds,
                              check=True)
        with open(results, encoding="ascii") as lines:
            self.rows += [read_row(line) for line in lines]
        results.unlink()
        return {key: int(value) for key, value in
                re.findall(r"(\w+)=(\d+)", done.stdout)}

    def hold(self, sessions, step, **more):
        """Starts `sessions` that stay where they are; see Held."""
        return Held(self.storm_words(sessions, sessions, H=step, **more))

    # What tarryd says of itself.

    def metrics(self):
        """A page made after this call: tarryd shows one for 250 ms."""
        age = time.monotonic() - self.page_at
        threading.Event().wait(max(0.0, 0.26 - age))
        self.page_at = time.monotonic()
        url = f"http://127.0.0.1:{self.http_port}/metrics"
        with urllib.request.urlopen(url, timeout=60) as answer:
            text = answer.read().decode()
        found = {}
        for line in text.splitlines():
            if not line.startswith("#"):
                name, value = line.rsplit(" ", 1)
                found[name] = float(value)
        return found

    def metric(self, name):
        """The sum of a metric over its labels."""
        return total(self.metrics(), name)

    def fds(self):
        return len(os.listdir(f"/proc/{self.tarryd.pid}/fd"))

    def settled_fds(self):
        """The count while nothing is going on: the least of some looks,
        because a look at the metrics is a descriptor too."""
        least = [1 << 30]

        def look():
            least.append(min(least[-1], self.fds()))
            return len(least) > 10 and least[-1] == least[-8]
        wait_until(look, "descriptors to settle")
        return least[-1]

    def wait_idle(self, seconds=120.0):
        """Waits until no session is open and no log line on its way."""
        wait_until(lambda: self.metric("tarry_connections_open") == 0,
                   "no open session", seconds)

    def pss_bytes(self):
        text = pathlib.Path(f"/proc/{self.tarryd.pid}/smaps_rollup")
        found = re.search(r"^Pss:\s+(\d+) kB", text.read_text(), re.M)
        return int(found[1]) * 1024

    # What is left behind.

    def taken(self):
        """{id: "ok" or "bad"} of the messages the sink took, and how many
        of them it took twice."""
        found, twice = {}, 0
        for line in self.taken_path.read_text().splitlines():
            number, verdict = line.split()
            twice += int(number) in found
            found[int(number)] = verdict
        return found, twice

    def session_lines(self):
        """The log's lines of sessions, each as a dict."""
        lines = []
        with open(self.tarryd.log_path, errors="replace") as log:
            for line in log:
                if " event=session " in line:
                    lines.append(read_line(line))
        return lines


class Held:
    def __init__(self, words):
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)

    def wait(self):
        """Until all are where they are to stay."""
        guard = threading.Timer(60, self.process.kill)
        guard.start()
        line = self.process.stdout.readline()
        guard.cancel()
        if not line.startswith("holding"):
            raise AssertionError(f"storm said {line!r}")

    def let_go(self):
        self.process.stdin.close()
        rest = self.process.stdout.read()
        self.process.stdout.close()
        self.process.wait()
        return rest

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


def read_row(line):
    words = line.split()
    return Row(int(words[0]), *words[1:7], words[7] == "1", words[8],
               int(words[9]))


def read_line(line):
    return {key: quoted or plain for key, quoted, plain in
            re.findall(r'(\w+)=(?:"((?:[^"\\]|\\.)*)"|(\S*))', line)}
