#!/usr/bin/env python3
"""`make bench`: Tarry beside those that one would use in its place.

    tests/bench/bench.py [--build DIR] [--quick] [--only NAME,..] [--out FILE]

Prints what it does, then a page of tables; the whole run writes that page to
docs/BENCHMARKS.md, parts of it and --quick only to --out. Exit status 1 if a
bound was not kept; with --quick only the bounds count that do not depend on
what else the machine does. Needs root (network namespaces) and the packages
haproxy, nginx, libnginx-mod-stream, libnginx-mod-mail, strace, iproute2, curl.
"""
import argparse
import os
import pathlib
import re
import shlex
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import handshakes  # noqa: E402
import report  # noqa: E402
import rows  # noqa: E402
from report import Row, number, spread, table  # noqa: E402
from rows import PLAIN  # noqa: E402
from rig import TOP, BenchError, processors  # noqa: E402
from stalled import stalled  # noqa: E402

GREETING_BOUND_AT = 200
SATURATED = 85  # percent of the core, from where a contender is the limit
NEEDED = {"/usr/sbin/haproxy": "haproxy", "/usr/sbin/nginx": "nginx",
          "/usr/lib/nginx/modules/ngx_stream_module.so":
          "libnginx-mod-stream",
          "/usr/lib/nginx/modules/ngx_mail_module.so": "libnginx-mod-mail"}
TOOLS = {"strace": "strace", "ip": "iproute2", "ss": "iproute2",
         "taskset": "util-linux", "curl": "curl", "openssl": "openssl",
         "sysctl": "procps"}
MS_PER_NS = 1e-6

HOW = """\
How it is measured: each contender has a network namespace with loopback and a
sink of its own. The load generator and the sink are one thread each, on one
core together; the contender, Tarry's sidecar too, has the other core for
itself. A session is connect, 220, EHLO, 250, MAIL, 250, RCPT, 250, DATA, 354,
4 KiB of message, 250, QUIT, 221, close: 13 messages; 100 sessions at a time,
each begun when one has ended. CPU is user and system time of all threads of
the contender, from `/proc/PID/task/*/schedstat`; over loopback that includes
the receiver's half of each segment, so that ratios say more than figures.
Contenders take turns, each round begins with another one, and a ratio is
formed within a round. Messages that were answered with 250 are counted again
in the sink.

Tarry runs with everything on: rules that read the signature decide for class
`pass`, the sidecar captures, the kernel's copy of each SYN is read, the MTA
gets a PROXY v2 header, metrics are served, log lines go to a file. The rivals
log nothing; HAProxy and nginx stream send no header but where it is said."""


def column(rounds, name, value):
    return [value(one[name]) for one in rounds]


def ratios(rounds, name, value):
    return [value(one[name]) / value(one[PLAIN]) for one in rounds]


def cpu_each(sums):
    """CPU ms a session: s per 1,000."""
    return sums["cpu_ns"] / sums["sessions"] * MS_PER_NS


def cpu_with_helpers(sums):
    return ((sums["cpu_ns"] + sums["extra_ns"]) / sums["sessions"] *
            MS_PER_NS)


def core_use(sums):
    return sums["cpu_ns"] / sums["ns"] * 100


def session_rows(found):
    rounds, calls, _, _ = found
    total = sum(calls["Tarry"].values())
    return [
        Row("CPU a session of 13 messages, everything on, x HAProxy plain "
            "TCP", "", ratios(rounds, "Tarry", cpu_each), 1.0, 0.9),
        Row("the same with the sidecar's own CPU", "",
            ratios(rounds, "Tarry", cpu_with_helpers)),
        Row("the same without a sidecar", "",
            ratios(rounds, "Tarry, no sidecar", cpu_each)),
        Row("system calls a session of 13 messages", "", [total], 46, 40,
            steady=True),
    ]


def session_page(found):
    rounds, calls, (lines, served), alone = found
    body = []
    for name in rounds[0]:
        body.append((
            name, spread(column(rounds, name, cpu_each)),
            spread(ratios(rounds, name, cpu_each)),
            number(statistics.median(column(
                rounds, name, lambda sums: sums["sessions"] / sums["ns"] *
                1e9))),
            number(statistics.median(column(rounds, name, core_use))) + " %",
            spread(column(rounds, name,
                          lambda sums: sums["banner_p50"] / 1e3)),
            number(statistics.median(column(
                rounds, name, lambda sums: sums["banner_p99"] / 1e3))),
            spread(column(rounds, name,
                          lambda sums: sums["session_p50"] / 1e3)),
            f"{sum(calls[name].values()):.1f}"))
    rate = statistics.median(one["sessions"] / one["ns"] * 1e9
                             for one in alone)
    each = ", ".join(f"{name} {count:.2f}" for name, count in sorted(
        calls["Tarry"].items(), key=lambda row: -row[1]) if count >= 0.01)
    helper = statistics.median(column(
        rounds, "Tarry",
        lambda sums: sums["extra_ns"] / sums["sessions"] * MS_PER_NS))
    return "\n".join([
        "## Sessions", "",
        table(("contender", "CPU s/1,000 sessions", "x HAProxy",
               "sessions/s", "its core in use", "greeting p50, ms", "p99",
               "session p50, ms", "system calls a session"), body), "",
        f"Load generator and sink on their one core with nothing in between: "
        f"{number(rate)} sessions/s. The sidecar's own CPU: "
        f"{number(helper)} s/1,000 sessions. Tarry's log had a line of its "
        f"own for {lines:,} of {served:,} sessions; the rest it drops by "
        "design, and counts, where nobody waited. nginx mail speaks SMTP "
        "itself and asks an HTTP server, itself, where to connect: other "
        "work than relaying.", "",
        f"Tarry's system calls a session: {each}.", ""])


def core_use_all(sums):
    return (sums["cpu_ns"] + sums["extra_ns"]) / sums["ns"] * 100


def greeting_ms(sums):
    return sums["banner_p50"] / 1e3


def not_saturated(rounds):
    """Why the figures are none of a saturated core, or nothing."""
    idle = [name for name in ("Tarry", PLAIN) if statistics.median(
        column(rounds, name, core_use_all)) < SATURATED]
    return f"the core of {' and '.join(idle)} was not saturated" if idle \
        else ""


def greeting_rows(found):
    return [Row(f"connect to greeting, p50, one core saturated by {at_once} "
                "sessions at a time, x HAProxy", "",
                ratios(rounds, "Tarry", greeting_ms),
                0.5 if at_once == GREETING_BOUND_AT else None,
                why=not_saturated(rounds))
            for at_once, rounds in found.items()]


def greeting_page(found):
    body = [(str(at_once), name, spread(column(rounds, name, greeting_ms)),
             number(statistics.median(column(
                 rounds, name, lambda sums: sums["banner_p99"] / 1e3))),
             spread(ratios(rounds, name, greeting_ms)),
             number(statistics.median(column(rounds, name, core_use_all))) +
             " %")
            for at_once, rounds in found.items() for name in rounds[0]]
    return "\n".join([
        "## From connect to greeting", "",
        table(("sessions at a time", "contender", "p50, ms", "p99, ms",
               "p50 x HAProxy", "its core in use"), body), ""])


def bulk_rows(found):
    return [Row("bulk: CPU a GiB in messages of 25 MiB, x HAProxy", "",
                ratios(found, "Tarry", gib_cpu), 0.85)]


def gib_cpu(sums):
    return sums["cpu_ns"] / 1e9 / (sums["said_bytes"] / rows.GIB)


def bulk_page(found):
    body = [(name, spread(column(found, name, gib_cpu)),
             spread(ratios(found, name, gib_cpu)),
             number(statistics.median(column(
                 found, name,
                 lambda sums: sums["said_bytes"] / sums["ns"] * 1e3))),
             number(statistics.median(column(found, name, core_use))) + " %")
            for name in found[0]]
    return "\n".join([
        "## Bulk", "", "Messages of 25 MiB, four at a time.", "",
        table(("contender", "CPU s/GiB", "x HAProxy", "MB/s",
               "its core in use"), body), ""])


def memory_rows(found):
    held, relayed, _ = found
    return [Row("user memory a session held in its greeting", "B",
                held["Tarry"], 768, 400, steady=True),
            Row("user memory a relayed idle session", "B", relayed["Tarry"],
                1200, steady=True)]


def memory_page(found):
    body = [(name, where, spread(samples))
            for where, group in zip(("held before the MTA is dialled",
                                     "relayed, idle"), found[:2])
            for name, samples in group.items()]
    return "\n".join([
        "## Memory", "",
        "Growth of the proportional set size while clients are held, "
        "divided by them.", "",
        table(("contender", "sessions", "B each"), body), "",
        f"tarryd says when it starts: \"{found[2]}\"", ""])


def flat_rows(found):
    return [Row(f"CPU a session with {rows.FLAT['many']:,} held before the "
                f"dial, x with {rows.FLAT['few']}", "",
                [one["many"] / one["few"] for one in found], 1.1)]


def dripping_rows(found):
    held = found["held"]
    return [Row(f"{held:,} held in their greeting with the teaser dripping, "
                f"{rows.PROCESSES} processes, {found['seconds']} s: CPU of "
                "one core in sum", "%", [found["percent"]],
                10 if held > 99000 else None)]


def dripping_page(found):
    return "\n".join([
        "## Dripping", "",
        f"{found['held']:,} clients heard {number(found['pieces'])} pieces "
        f"and {number(found['bytes'])} bytes a second, for "
        f"{found['percent']:.2f} % of one core.", ""])


def stalled_rows(found):
    return [Row("kernel memory for what a slowed uploader has sent", "B",
                [found], 8192)]


def decision(where, build, size, tell):
    """ns a decision: median and quartiles, as the program says."""
    program = build / "tests/bench/decision"
    if not program.exists():
        raise BenchError("tests/bench/decision is not built")
    done = subprocess.run([program, "1000", "100000"], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    tell(done.stdout.strip())
    found = re.search(r"^compiled +([\d.]+) ns .*quartiles ([\d.]+) "
                      r"([\d.]+)", done.stdout, re.M)
    if done.returncode != 0 or not found:
        raise BenchError(f"tests/bench/decision said: {done.stdout.strip()}")
    return sorted(float(value) for value in found.groups())


def decision_rows(found):
    return [Row("a decision with 1,000 rules and 100,000 networks", "ns",
                found, 2000)]


def no_page(_found):
    return ""


# name: (what is measured, rows, page, what the rows are if it fails)
PARTS = {
    "sessions": (rows.sessions, session_rows, session_page),
    "greeting": (rows.greeting, greeting_rows, greeting_page),
    "bulk": (rows.bulk, bulk_rows, bulk_page),
    "memory": (rows.memory, memory_rows, memory_page),
    "flat": (rows.flat, flat_rows, no_page),
    "tls": (handshakes.take, handshakes.rows, handshakes.page),
    "dripping": (rows.dripping, dripping_rows, dripping_page),
    "stalled": (stalled, stalled_rows, no_page),
    "decision": (decision, decision_rows, no_page),
}


def missing():
    found = [package for path, package in NEEDED.items()
             if not os.path.exists(path)]
    return found + [package for tool, package in TOOLS.items()
                    if shutil.which(tool) is None]


def measure(name, where, build, size):
    """(rows, page) of a part; where it cannot be measured a row says why."""
    def tell(text):
        print(f"{name}: {text}", flush=True)
    take, make_rows, make_page = PARTS[name]
    try:
        found = take(where, build, size, tell)
    except BenchError as error:
        print(f"{name}: {error}", file=sys.stderr, flush=True)
        why = str(error).splitlines()[-1]
        return [Row(f"`{name}`", "", [], why=why, steady=True)], ""
    return make_rows(found), make_page(found)


def options():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--build", default="build")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", default=",".join(PARTS))
    parser.add_argument("--out")
    return parser.parse_args()


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    chosen = options()
    names = chosen.only.split(",")
    build = (TOP / chosen.build).resolve()
    out = chosen.out
    if out is None and not chosen.quick and names == list(PARTS):
        out = TOP / "docs/BENCHMARKS.md"
    if os.geteuid() != 0:
        sys.exit("bench.py: network namespaces need root")
    if missing():
        sys.exit(f"bench.py: apt-get install {' '.join(missing())}")
    started = report.now()
    found, pages = [], []
    with tempfile.TemporaryDirectory(prefix="tarry-bench-") as where:
        pathlib.Path(where).chmod(0o777)
        for name in names:
            more, page = measure(name, pathlib.Path(where), build,
                                 rows.Size(chosen.quick))
            found += more
            pages.append(page)
    command = "make bench" if out and not chosen.out else \
        shlex.join(["tests/bench/bench.py", *sys.argv[1:]])
    text = "\n".join([
        "# Benchmarks", "", "Written by the command below, not by hand.", "",
        report.conditions(build, command, processors(), started,
                          report.now()), "",
        "## Bounds", "", report.verdicts(found), "", *filter(None, pages),
        HOW, ""])
    print(text)
    if out:
        pathlib.Path(out).write_text(text)
    failed = [row for row in found if not row.passes and
              (row.steady or not chosen.quick)]
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
