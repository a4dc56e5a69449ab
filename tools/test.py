#!/usr/bin/env python3
"""Runs every test there is and sums up: `N passed, N failed`.

    tools/test.py BUILD

Unit and simulation tests run twice, as they are shipped and under ASan and
UBSan; then the end-to-end tests and the lab, beside them the checks of
tools/lint.py; each fuzzer for some seconds.
"""
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys
import time
import xml.etree.ElementTree

TOP = pathlib.Path(__file__).resolve().parent.parent
SECONDS = 300  # for one test program
# Of the 10^6 random sessions and 10^5 random sites.
ASAN_ENV = {"TARRY_RUNS": "50000", "TARRY_SITES": "5000"}
# Tests that measure, or that want the machine for themselves.
ALONE = ["tests/e2e/test_faults_around.py", "tests/e2e/test_faults_clients.py",
         "tests/e2e/test_faults_flood.py", "tests/e2e/test_faults_limits.py",
         "tests/e2e/test_faults_mta.py", "tests/e2e/test_teardown.py",
         "tests/e2e/test_reload_load.py", "tests/e2e/test_window_load.py",
         "tests/lab/test_demo.py", "tests/lab/test_dialects.py"]
# Tests that need a core, or count what does not depend on time.
PAIRS = ["tests/lab/test_witness.py", "tests/lab/test_rules.py",
         "tests/lab/test_upload.py", "tests/e2e/test_bench.py",
         "tests/lab/test_stacks.py", "tests/e2e/test_figures.py",
         "tests/e2e/test_workers.py"]
# Of the others, which mostly wait, so many files run beside each other; the
# longest begin first.
BESIDE = 6
LONGEST = ["tests/lab/test_patience.py", "tests/e2e/test_doctor.py",
           "tests/lab/test_matrix_*.py", "tests/e2e/test_smuggling.py",
           "tests/lab/test_transparent*.py", "tests/e2e/test_odd_replies.py",
           "tests/e2e/test_dns.py", "tests/e2e/test_store.py"]
AGAIN = 4  # failures; more are no accident
SAN = "-fsanitize=address,undefined -fno-sanitize-recover=all"


class Sum:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0
        self.fell = []  # pytest's names of tests that failed

    def add(self, passed, failed, skipped=0):
        self.passed += passed
        self.failed += failed
        self.skipped += skipped


def make(*words):
    jobs = f"-j{os.cpu_count() or 1}"
    return subprocess.run(
        ["make", "--no-print-directory", "-s", jobs, *words], cwd=TOP
    ).returncode


def run_cmocka(program, env):
    """One test program, a crash is one failure more; returns (passed, failed,
    skipped)."""
    start = time.monotonic()
    try:
        done = subprocess.run(
            [program], cwd=TOP, timeout=SECONDS, text=True, errors="replace",
            env={**os.environ, **env},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )
        out, code = done.stdout, done.returncode
    except subprocess.TimeoutExpired as late:
        out = (late.stdout or b"").decode(errors="replace")
        out, code = out + f"\nno end after {SECONDS} s\n", -1
    counts = {}
    for word in ("PASSED", "FAILED", "SKIPPED"):
        found = re.findall(r"\[ *%s *\] (\d+) test" % word, out)
        counts[word] = int(found[-1]) if found else 0
    if code != 0 and counts["FAILED"] == 0 or not sum(counts.values()):
        counts["FAILED"] += 1
    verdict = "not ok" if counts["FAILED"] else "ok"
    print(f"{verdict:6} {program}  {counts['PASSED']} passed, "
          f"{time.monotonic() - start:.1f} s", flush=True)
    if counts["FAILED"]:
        print(out, flush=True)
    return counts["PASSED"], counts["FAILED"], counts["SKIPPED"]


def run_programs(build, total, *flags, env):
    if make(f"BUILD={build}", *flags, "tests") != 0:
        print(f"not ok {build} does not build", flush=True)
        total.add(0, 1)
        return
    sources = sorted(TOP.glob("tests/sim/*_test.c")) + \
        sorted(TOP.glob("tests/unit/*_test.c"))
    programs = [os.path.join(".", build,
                             source.relative_to(TOP).with_suffix(""))
                for source in sources]
    # A program for each processor; those that take long, of sim/, first.
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for counts in pool.map(lambda one: run_cmocka(one, env), programs):
            total.add(*counts)


def run_fuzzers(total):
    """Each fuzzer for some seconds, one a processor; a finding is kept."""
    fuzzers = len(list(TOP.glob("tests/fuzz/*_fuzz.c")))
    done = subprocess.run(
        ["make", "--no-print-directory", "-s", "-k", "-Otarget",
         f"-j{os.cpu_count() or 1}", "fuzz"], cwd=TOP, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, errors="replace",
    )
    passed = re.findall(r"^ok +fuzz/\w+$", done.stdout, re.MULTILINE)
    if done.returncode != 0 or len(passed) != fuzzers:
        print(f"not ok fuzz\n{done.stdout[-8000:]}", flush=True)
    else:
        print("\n".join(sorted(passed)), flush=True)
    total.add(len(passed), max(fuzzers - len(passed), done.returncode != 0))


def files_of(suite):
    """The files of some patterns, in the patterns' order."""
    return [str(path.relative_to(TOP))
            for pattern in suite for path in sorted(TOP.glob(pattern))]


def start_pytest(build, name, files):
    """Begins to run test files; its output goes to a file of its own."""
    report = TOP / build / f"{name}.xml"
    report.unlink(missing_ok=True)
    out = open(TOP / build / f"{name}.out", "w+", encoding="utf-8",
               errors="replace")
    print(f"run    pytest {' '.join(files) if len(files) == 1 else name}",
          flush=True)
    return report, out, subprocess.Popen(
        [sys.executable, "-m", "pytest", "-q", "-rfEs", "--tb=short",
         "-o", "junit_family=xunit1", f"--junitxml={report}", *files],
        cwd=TOP, env={**os.environ, "TARRY_BUILD": build}, stdout=out,
        stderr=subprocess.STDOUT,
    )


def finish_pytest(total, report, out, process):
    process.wait()
    out.seek(0)
    print(out.read(), end="", flush=True)
    out.close()
    try:
        suite = xml.etree.ElementTree.parse(report).getroot().find("testsuite")
    except (OSError, xml.etree.ElementTree.ParseError):
        print("not ok pytest wrote no report", flush=True)
        total.add(0, 1)
        return
    count = {key: int(suite.get(key, 0))
             for key in ("tests", "failures", "errors", "skipped")}
    failed = count["failures"] + count["errors"]
    total.add(count["tests"] - failed - count["skipped"], failed,
              count["skipped"])
    total.fell += [name_of(case) for case in suite.iter("testcase")
                   if case.find("failure") is not None
                   or case.find("error") is not None]


def name_of(case):
    """As pytest wants it on its command line."""
    return f"{case.get('file')}::{case.get('name')}"


def try_again(build, total):
    """Few that failed are asked once more, with the machine for themselves:
    what measures time may fail on one that others use too. What passes then
    is named, for it is a defect still, of the test or of what it tests."""
    if not 0 < len(total.fell) <= AGAIN:
        return
    second = Sum()
    finish_pytest(second, *start_pytest(build, "again", total.fell))
    total.failed -= second.passed
    total.passed += second.passed
    for name in total.fell:
        if second.passed and name not in second.fell:
            print(f"shaky  {name}: failed once, passed alone", flush=True)


def run_beside(build, total, files, count):
    """One process a file, so many at a time; what is said comes when it
    ends."""
    running = []
    while files or running:
        while files and len(running) < count:
            file = files.pop(0)
            name = file.replace("/", "-").removesuffix(".py")
            running.append(start_pytest(build, name, [file]))
        ended = [run for run in running if run[2].poll() is not None]
        running = [run for run in running if run not in ended]
        for run in ended:
            finish_pytest(total, *run)
        if not ended:
            time.sleep(0.1)


def start_checks(build):
    """Begins what only compiles, with what the processors have to spare."""
    out = open(TOP / build / "lint.out", "w+", encoding="utf-8",
               errors="replace")
    print("run    lint, and fuzzers are built", flush=True)
    return out, subprocess.Popen(
        ["nice", "-n", "19", "sh", "-c", "make -s -j2 fuzz-build >&2;"
         f"exec {sys.executable} tools/lint.py {build}"],
        cwd=TOP, stdout=out, stderr=subprocess.STDOUT)


def finish_checks(total, out, process):
    process.wait()
    out.seek(0)
    said = out.read()
    out.close()
    print(said, end="", flush=True)
    lines = said.splitlines()
    passed = sum(line.startswith("ok ") for line in lines)
    failed = sum(line.startswith("not ok ") for line in lines)
    if process.returncode != 0 and failed == 0 or passed + failed == 0:
        failed += 1
    total.add(passed, failed,
              sum(line.startswith("skipped ") for line in lines))


class Progress:
    """How long each part took, and how busy the processors were with it."""

    def __init__(self):
        self.start = time.monotonic()
        self.last = self.start, self.ticks()

    @staticmethod
    def ticks():
        words = pathlib.Path("/proc/stat").read_text().split("\n")[0].split()
        return sum(map(int, words[1:9])), int(words[4]) + int(words[5])

    def say(self, what):
        now = time.monotonic(), self.ticks()
        (then, (all_then, idle_then)), self.last = self.last, now
        busy = 1 - (now[1][1] - idle_then) / max(now[1][0] - all_then, 1)
        print(f"time   {what}: {now[0] - then:.0f} s, processors {busy:.0%} "
              f"busy; {now[0] - self.start:.0f} s in all", flush=True)


def main():
    build = sys.argv[1] if len(sys.argv) > 1 else "build"
    total, progress = Sum(), Progress()
    run_programs(build, total, env={})
    progress.say("unit and sim")
    run_programs(f"{build}-asan", total, f"SAN={SAN}", "OPT=-O1",
                 env=ASAN_ENV)
    progress.say("the same under ASan and UBSan")
    alone, pairs = files_of(ALONE), files_of(PAIRS)
    first = files_of(LONGEST)
    others = [file for file in files_of(["tests/*/test_*.py"])
              if file not in alone + pairs + first]
    checks = start_checks(build)
    run_beside(build, total, first + others, BESIDE)
    progress.say("end to end and lab")
    finish_checks(total, *checks)
    progress.say("lint")
    run_beside(build, total, pairs, 2)
    progress.say("what needs a processor")
    finish_pytest(total, *start_pytest(build, "alone", alone))
    progress.say("what needs all")
    try_again(build, total)
    run_fuzzers(total)
    progress.say("fuzz")
    skipped = f", {total.skipped} skipped" if total.skipped else ""
    print(f"{total.passed} passed, {total.failed} failed{skipped}")
    return 1 if total.failed else 0


if __name__ == "__main__":
    sys.exit(main())
