"""The measured figures: how, and how much.

    python3 tests/bench/figures.py BUILD    prints them as a Markdown table

System calls: strace counts every call of every thread of tarryd while 2,000
sessions of 13 messages run, 100 at a time (connect, 220, EHLO, 250, MAIL,
250, RCPT, 250, DATA, 354, a body of 4 KiB, 250, QUIT and 221), with a PROXY v2
header to the MTA, the kernel's copy of each SYN read, and a log line a
session. The count is divided by the sessions; what tarryd does on its own
time meanwhile (its clock, ten times a second) is in it.

Memory: the proportional set size of tarryd while 8,000 clients wait for their
greeting and no MTA was dialled, less the same after a warm-up of 200 sessions
with none open, divided by 8,000. The warm-up touches what any session
touches; it is small, so that it does not touch the seats that are measured.
"""
import pathlib
import re
import signal
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from storm_lab import Lab, total, wait_until  # noqa: E402

SESSIONS = 2000
AT_ONCE = 100
HELD = 8000
WARM_UP = 200
BODY = 4096
CLEAN = "complete,fin,pass,well"

HOLD_ALL = """
[class held]
greet = 20s

[rule held]
network = 127.5.0.0/16
class = held
"""


def count_calls(lab, run):
    """{call: count} of all threads of tarryd while run() runs."""
    path = lab.where / "calls"
    tracer = subprocess.Popen(
        ["strace", "-f", "-c", "-o", str(path), "-p", str(lab.tarryd.pid)],
        stderr=subprocess.PIPE, text=True)
    try:
        line = tracer.stderr.readline()
        if "attached" not in line:
            raise AssertionError(f"strace: {line}")
        threads = pathlib.Path(f"/proc/{lab.tarryd.pid}/task")
        wait_until(lambda: all(
            re.search(r"^TracerPid:\t[1-9]", (task / "status").read_text(),
                      re.M) for task in threads.iterdir()),
            "strace to hold every thread")
        run()
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.wait()
        tracer.stderr.close()
    rows = re.findall(r"^ *[\d.]+ +[\d.]+ +\d+ +(\d+) +(?:\d+ +)?(\w+)$",
                      path.read_text(), re.M)
    calls = {name: int(count) for count, name in rows}
    calls.pop("total", None)
    return calls


def system_calls(where, build):
    """Calls a session, and {call: calls a session}."""
    with Lab(where, build, sessions=1000, slots=2 * AT_ONCE, reply="20s",
             patience="9s", classes="", rules="") as lab:
        lab.storm(3 * AT_ONCE, AT_ONCE, k=CLEAN, b=BODY)
        lab.wait_idle()

        def run():
            done = lab.storm(SESSIONS, AT_ONCE, k=CLEAN, b=BODY)
            if done["told"] != SESSIONS or done["complete"] != SESSIONS:
                raise AssertionError(f"not all were served: {done}")
            # Asking tarryd itself would count.
            wait_until(lambda: lab.fds() <= lab.idle_fds, "the last close")
        before = lab.metric("tarry_log_lines_dropped_total")
        calls = count_calls(lab, run)
        page = lab.metrics()
        kernel = [value for name, value in page.items()
                  if 'source="saved_syn"' in name]
        if sum(kernel) < SESSIONS:
            raise AssertionError("the SYN was not read")
        lines = SESSIONS - (total(page, "tarry_log_lines_dropped_total") -
                            before)
    calls = {name: count / SESSIONS for name, count in calls.items()}
    return sum(calls.values()), calls, int(lines)


def held_bytes(where, build):
    """Bytes of user space a held session."""
    # Fewer than nine seats of ten are taken, or sessions were let go early.
    with Lab(where, build, sessions=HELD * 5 // 4, slots=AT_ONCE, reply="20s",
             patience="9s", classes=HOLD_ALL, rules="") as lab:
        lab.storm(WARM_UP, AT_ONCE, k=CLEAN, b=BODY)
        lab.wait_idle()
        before = lab.pss_bytes()
        held = lab.hold(HELD, "greeting", k="complete,fin,late,well")
        try:
            held.wait()
            page = {}

            def all_are_held():
                page.update(lab.metrics())
                return total(page, "tarry_connections_held") == HELD
            wait_until(all_are_held, f"{HELD} held sessions", 15)
            after = lab.pss_bytes()
            if total(lab.metrics(), "tarry_mta_connections_open") != 0:
                raise AssertionError("the MTA was dialled")
        finally:
            held.kill()
    return (after - before) / HELD


def main():
    build = sys.argv[1] if len(sys.argv) > 1 else "build"
    with tempfile.TemporaryDirectory() as where:
        calls, each, lines = system_calls(where, build)
    with tempfile.TemporaryDirectory() as where:
        held = held_bytes(where, build)
    print("| what | measured | bound | HAProxy 2.6 | command |\n"
          "|---|---|---|---|---|\n"
          f"| system calls a session of 13 messages | {calls:.1f} | 46 | 42 "
          "| `make figures` |\n"
          "| user-space bytes a session held before the MTA is dialled | "
          f"{held:.0f} | 768 | 2478 | `make figures` |")
    print(f"\nOf the calls, {lines} log lines for {SESSIONS} sessions "
          "included: " + ", ".join(
              f"{name} {count:.2f}" for name, count in
              sorted(each.items(), key=lambda row: -row[1])
              if count >= 0.05) + ".")


if __name__ == "__main__":
    main()
