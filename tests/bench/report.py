"""Rows, their verdicts, and the page they are written to."""
import dataclasses
import datetime
import pathlib
import platform
import re
import statistics
import subprocess

from rig import TOP


@dataclasses.dataclass
class Row:
    """What was measured, and what it must not be above. No limit: told for
    comparison. why: it could not be measured."""
    what: str
    unit: str
    samples: list
    limit: float = None
    goal: float = None
    steady: bool = False  # does not depend on what else the machine does
    why: str = ""

    @property
    def passes(self):
        if self.why:
            return False
        return self.limit is None or \
            statistics.median(self.samples) <= self.limit

    @property
    def verdict(self):
        if self.why:
            return "**not measured**"
        if self.limit is None:
            return ""
        return "pass" if self.passes else "**FAIL**"


def number(value):
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 10 else f"{value:.1f}"


def spread(samples):
    """The median, and the quartiles where there are some."""
    text = number(statistics.median(samples))
    if len(samples) < 3:
        return text
    low, _, high = statistics.quantiles(samples, n=4, method="inclusive")
    return f"{text} [{number(low)}–{number(high)}]"


def bound_of(row):
    if row.limit is None:
        return ""
    goal = f" (goal {number(row.goal)})" if row.goal is not None else ""
    return f"≤ {number(row.limit)}{goal}"


def table(head, lines):
    rule = "|" + "---|" * len(head)
    return "\n".join(["| " + " | ".join(head) + " |", rule] +
                     ["| " + " | ".join(line) + " |" for line in lines])


def verdicts(rows):
    return table(
        ("what", "bound", "measured: median [quartiles]", "samples",
         "verdict"),
        [(row.what, bound_of(row),
          row.why or f"{spread(row.samples)} {row.unit}".strip(),
          "" if row.why else str(len(row.samples)), row.verdict)
         for row in rows])


def first_line(*words):
    try:
        done = subprocess.run(words, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True)
        return (done.stdout.splitlines() or ["?"])[0]
    except FileNotFoundError:
        return "not there"


def debian_version(package):
    return first_line("dpkg-query", "-W", "-f", "${Package} ${Version}",
                      package)


def cpu_model():
    found = re.search(r"^model name\s*: (.*)$",
                      pathlib.Path("/proc/cpuinfo").read_text(), re.M)
    return found[1] if found else platform.machine()


def conditions(build, command, processors, started, ended):
    measured, others = processors
    commit = first_line("git", "-C", str(TOP), "describe", "--always",
                        "--dirty")
    cores = len([line for line in pathlib.Path("/proc/cpuinfo").read_text()
                 .splitlines() if line.startswith("processor")])
    return table(("", ""), [
        ("command", f"`{command}`"),
        ("begun, ended", f"{started:%Y-%m-%d %H:%M}, {ended:%H:%M}"),
        ("Tarry", f"{first_line(str(build / 'tarryd'), '-V')}, {commit}"),
        ("rivals", ", ".join(map(debian_version, (
            "haproxy", "nginx", "libnginx-mod-stream",
            "libnginx-mod-mail")))),
        ("libuv", debian_version("libuv1")),
        ("kernel", platform.release()),
        ("processor", f"{cpu_model()}, {cores} cores; what is measured runs "
         f"on core {measured}, clients and sink on core {others}"),
        ("load of the machine at the end", first_line("cat",
                                                      "/proc/loadavg")),
    ])


def now():
    return datetime.datetime.now()
