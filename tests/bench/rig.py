"""A network namespace with a sink and one program between it and the clients.

Each contender has a namespace of its own, so that what watches one (the
sidecar's capture) costs the others nothing. Within it all goes over loopback,
or over a pair of wires where a path's MTU matters. The program that is
measured is pinned to one processor, clients and sink to another.

Nothing sleeps for a time but the windows that are measured; waits are for a
condition, with a deadline. What was started is ended by its process id.
"""
import os
import pathlib
import re
import signal
import subprocess
import threading
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
PORT = 2525  # in a namespace of our own it is always free
SETTINGS = {"net.core.somaxconn": "65535",
            "net.ipv4.tcp_max_syn_backlog": "65535",
            "net.ipv4.ip_local_port_range": "10000 65000"}
LOAD_SECONDS = 120
NS_PER_S = 1000000000


class BenchError(Exception):
    """Something could not be measured; the text says why."""


def processors():
    """(of what is measured, of clients and sink)."""
    usable = sorted(os.sched_getaffinity(0))
    return usable[-1], usable[0]


def wait_until(condition, what, seconds=60.0):
    """Waits until condition() is true; returns what it returned."""
    end = time.monotonic() + seconds
    while True:
        got = condition()
        if got:
            return got
        if time.monotonic() >= end:
            raise BenchError(f"waited {seconds:.0f} s for {what}")
        threading.Event().wait(0.02)


def window(seconds):
    """The length of something that is measured over time."""
    threading.Event().wait(seconds)


def run(*words):
    done = subprocess.run([str(word) for word in words], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        raise BenchError(f"{' '.join(map(str, words))}: {done.stdout}")
    return done.stdout


def numbers(text):
    """{key: number} of a line of key=number."""
    return {key: int(value) for key, value in
            re.findall(r"(\w+)=(\d+)", text)}


def children(pid):
    try:
        tasks = os.listdir(f"/proc/{pid}/task")
        found = []
        for task in tasks:
            path = pathlib.Path(f"/proc/{pid}/task/{task}/children")
            found += [int(word) for word in path.read_text().split()]
        return found
    except FileNotFoundError:
        return []


def tree(pid):
    """The process and all below it."""
    found = [pid]
    for child in children(pid):
        found += tree(child)
    return found


def cpu_ns(pid):
    """User and system time of all threads of the process and those below."""
    total = 0
    for one in tree(pid):
        for task in pathlib.Path(f"/proc/{one}/task").iterdir():
            total += int((task / "schedstat").read_text().split()[0])
    return total


def softirq_thread_ns(processor):
    """What the kernel's own thread of a processor used: work that is done
    for somebody and charged to nobody."""
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if (entry / "comm").read_text() == f"ksoftirqd/{processor}\n":
                return int((entry / "schedstat").read_text().split()[0])
        except FileNotFoundError:
            continue
    return 0


def memory_bytes(pid):
    """Proportional set size: what is shared is counted once."""
    total = 0
    for one in tree(pid):
        text = pathlib.Path(f"/proc/{one}/smaps_rollup").read_text()
        total += int(re.search(r"^Pss:\s+(\d+) kB", text, re.M)[1]) * 1024
    return total


def descriptors(pid):
    return sum(len(os.listdir(f"/proc/{one}/fd")) for one in tree(pid))


def settled_descriptors(pid):
    """Their number once it stays the same: closing takes its time."""
    seen = []

    def look():
        seen.append(descriptors(pid))
        return len(seen) > 5 and len(set(seen[-5:])) == 1
    wait_until(look, "descriptors to settle")
    return seen[-1]


class Program:
    """A program that was started, with all that it prints in a file."""

    def __init__(self, words, log, **more):
        self.path = pathlib.Path(log)
        with open(log, "wb") as out:
            self.process = subprocess.Popen(
                [str(word) for word in words], stdout=out,
                stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, **more)
        self.pid = self.process.pid

    @property
    def log(self):
        return self.path.read_text(errors="replace")

    def wait_log(self, pattern, seconds=60.0):
        def look():
            found = re.search(pattern, self.log, re.M)
            if found is None and self.process.poll() is not None:
                raise BenchError(f"ended without {pattern}:\n{self.log}")
            return found
        return wait_until(look, f"{pattern} in {self.path}", seconds)

    def stop(self, seconds=30.0):
        """SIGTERM; by force behind the deadline."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class Namespace:
    count = 0

    def __init__(self):
        Namespace.count += 1
        self.name = f"tarry-bench-{os.getpid()}-{Namespace.count}"
        run("ip", "netns", "add", self.name)
        run("ip", "-n", self.name, "link", "set", "lo", "up")
        run(*self.words("sysctl", "-qw", *[
            f"{key}={value}" for key, value in SETTINGS.items()]))

    def words(self, *words, processor=None):
        pin = [] if processor is None else ["taskset", "-c", processor]
        return ["ip", "netns", "exec", self.name, *pin, *words]

    def delete(self):
        """Idempotent."""
        if self.name is not None:
            run("ip", "netns", "del", self.name)
        self.name = None


class Held:
    """Sessions that stay where they are until let_go()."""

    def __init__(self, words):
        self.process = subprocess.Popen(
            [str(word) for word in words], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True)

    def wait(self, count, seconds=60):
        """Until all are where they are to stay."""
        guard = threading.Timer(seconds, self.process.kill)
        guard.start()
        line = self.process.stdout.readline()
        guard.cancel()
        if line != f"holding {count}\n":
            raise BenchError(f"{count} sessions are to be held, but the load "
                             f"generator says {line!r}")

    def ask(self):
        """The sums so far."""
        self.process.stdin.write("tell\n")
        self.process.stdin.flush()
        return numbers(self.process.stdout.readline())

    def let_go(self):
        self.process.stdin.close()
        rest = self.process.stdout.read()
        self.process.stdout.close()
        self.process.wait()
        return numbers(rest)

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


class Rig:
    """A namespace with a sink. Programs are added by start()."""

    def __init__(self, where, bench):
        self.where = pathlib.Path(where)
        self.bench = pathlib.Path(bench)
        self.namespace = Namespace()
        self.measured, self.others = processors()
        self.programs = []
        self.sink = self.start("sink", self.bench / "load_sink",
                               processor=self.others)
        found = self.sink.wait_log(r"plain (\d+) proxy (\d+)")
        self.plain_port, self.proxy_port = int(found[1]), int(found[2])

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self):
        """Idempotent."""
        while self.programs:
            self.programs.pop().stop()
        self.namespace.delete()

    def start(self, name, *words, processor=None):
        program = Program(
            self.namespace.words(*words, processor=processor),
            self.where / f"{self.namespace.name}-{name}.log", cwd=self.where)
        self.programs.append(program)
        return program

    def write(self, name, text):
        path = self.where / f"{self.namespace.name}-{name}"
        path.write_text(text)
        return path

    def load_words(self, sessions, port=PORT, to="127.0.0.1", **more):
        """Clients from 200 addresses, unless `s` says which."""
        more = {"s": "127.1.0.1+200", **more}
        words = [self.bench / "load", "-t", f"{to}:{port}", "-n", sessions]
        for option, value in more.items():
            words += [f"-{option}"] if value is True else \
                [f"-{option}", value]
        return self.namespace.words(*words, processor=self.others)

    def load(self, sessions, at_once, **more):
        """Runs sessions to their end; returns their sums. All must be
        complete."""
        words = self.load_words(sessions, c=at_once, **more)
        try:
            done = subprocess.run([str(word) for word in words], text=True,
                                  stdout=subprocess.PIPE,
                                  stdin=subprocess.DEVNULL,
                                  timeout=LOAD_SECONDS)
        except subprocess.TimeoutExpired:
            raise BenchError(f"{sessions} sessions had no end after "
                             f"{LOAD_SECONDS} s") from None
        sums = numbers(done.stdout)
        if sums.get("complete") != sessions:
            raise BenchError(f"not all sessions were served: {done.stdout}")
        return sums

    def hold(self, sessions, step, **more):
        return Held(self.load_words(sessions, H=step, **more))

    def sums(self):
        """What the sink has seen so far: sessions, messages, bytes."""
        seen = len(self.sink.log)
        self.sink.process.send_signal(signal.SIGUSR1)

        def look():
            return re.search(r"sessions=.*\n", self.sink.log[seen:])
        return numbers(wait_until(look, "the sink's sums")[0])
