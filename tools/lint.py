#!/usr/bin/env python3
"""Checks that need no test to run. One line each, `ok NAME` or `not ok NAME`.

    tools/lint.py BUILD
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys

TOP = pathlib.Path(__file__).resolve().parent.parent
ROOMS = ("include", "shaping", "proxy", "tests")
FILE_LINES = 600
FUNCTION_LINES = 60

# What the pure folder may include (design: pure means no world).
PURE_HEADERS = {
    "assert.h", "limits.h", "stdbool.h", "stddef.h", "stdint.h", "string.h",
    "stdatomic.h", "xxhash.h",
}
# Symbols that libshaping.a may leave to others: memory, text, and what the
# compiler puts in.
PURE_SYMBOLS = re.compile(
    r"^(mem(cpy|move|set|cmp|chr|rchr)|str(len|nlen|cmp|ncmp|chr)"
    r"|__(mem(cpy|move|set))_chk|__stack_chk_fail|__assert_fail"
    r"|_GLOBAL_OFFSET_TABLE_)$"
)


def sources(*suffixes, rooms=ROOMS):
    for room in rooms:
        for path in sorted((TOP / room).rglob("*")):
            if path.suffix in suffixes:
                yield path


def name(path):
    return str(path.relative_to(TOP))


def run(*words, **more):
    done = subprocess.run(
        words, cwd=TOP, text=True, errors="replace", stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, **more,
    )
    return done.returncode, done.stdout


def make(*words):
    jobs = f"-j{os.cpu_count() or 1}"
    return run("make", "--no-print-directory", "-s", jobs, *words)


def pure_includes(build):
    """shaping/ and include/ include nothing of the world."""
    wrong = []
    for path in sources(".c", ".h", ".def", rooms=("shaping", "include")):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            found = re.match(r'\s*#\s*include\s*[<"]([^>"]+)[>"]', line)
            if not found:
                continue
            header = found[1]
            ours = header.startswith("tarry/") or (
                path.parent.name == "shaping"
                and (header.startswith("shaping/")
                     or (path.parent / header).exists()))
            if not ours and header not in PURE_HEADERS:
                wrong.append(f"{name(path)}:{number}: {header}")
    return wrong


def pure_symbols(build):
    """libshaping.a needs nothing of the world."""
    code, out = make(f"BUILD={build}", f"{build}/libshaping.a")
    if code != 0:
        return [out]
    code, out = run("nm", "-A", f"{build}/libshaping.a")
    if code != 0:
        return [out]
    defined, wanted = set(), {}
    for line in out.splitlines():
        words = line.split()
        if words[-2] == "U":
            wanted.setdefault(words[-1], line.split(":")[1])
        else:
            defined.add(words[-1])
    return [f"{where}: {symbol}" for symbol, where in sorted(wanted.items())
            if symbol not in defined and not PURE_SYMBOLS.match(symbol)]


def file_lengths(build):
    """Files end before a reader's patience does."""
    wrong = []
    for path in sources(".c", ".h", ".def", ".py"):
        count = len(path.read_text(errors="replace").splitlines())
        if count > FILE_LINES:
            wrong.append(f"{name(path)}: {count} lines, {FILE_LINES} at most")
    return wrong


def function_lengths(build):
    """Functions fit on a screen."""
    wrong = []
    for path in sources(".c", rooms=("shaping", "proxy")):
        start, title = 0, ""
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if line == "{":
                start = number
            elif line == "}" and start:
                count = number - start - 1
                if count > FUNCTION_LINES:
                    wrong.append(f"{name(path)}: {title}: {count} lines, "
                                 f"{FUNCTION_LINES} at most")
                start = 0
            elif not start and re.match(r"[A-Za-z_].*\(", line):
                title = line.split("(")[0]
    return wrong


def layers(build):
    """Arrows point down: proxy -> shaping -> include; uv.h only in proxy/."""
    wrong = []
    libraries = {
        "pcap": ("proxy/sidecar", "proxy/ctl/capture_file"),
        "ini.h": ("proxy/config",),
        "openssl": ("proxy/relay/tls",),
        "sqlite3": ("proxy/memory/state_file",),
        "microhttpd.h": ("proxy/admin", "proxy/daemon"),
        "uv.h": ("proxy/relay", "proxy/evidence", "proxy/admin",
                 "proxy/daemon", "proxy/memory", "proxy/sidecar",
                 "proxy/sink", "tests"),
    }
    for path in sources(".c", ".h", rooms=("include", "shaping", "proxy")):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            found = re.match(r'\s*#\s*include\s*[<"]([^>"]+)[>"]', line)
            if not found:
                continue
            header = found[1]
            for library, rooms in libraries.items():
                if header.split("/")[0] in (library, library + ".h") and \
                        not name(path).startswith(rooms):
                    wrong.append(f"{name(path)}:{number}: {header}")
            if header.startswith("tests/"):
                wrong.append(f"{name(path)}:{number}: {header}")
    return wrong


def clang_format(build):
    """The sources stand as .clang-format wants them."""
    if not shutil.which("clang-format"):
        return None
    files = [name(path) for path in sources(".c", ".h")]
    code, out = run("clang-format", "--dry-run", "-Werror", *files)
    return [line for line in out.splitlines() if "error:" in line] \
        if code else []


def man_pages(build):
    """mandoc finds nothing to say about the manual pages."""
    if not shutil.which("mandoc"):
        return None
    pages = [name(path) for path in sorted((TOP / "docs").glob("*.[58]"))]
    code, out = run("mandoc", "-T", "lint", "-W", "warning", *pages)
    return out.splitlines() if code or out else []


def key_table(build):
    """tarry.ini(5) has every key of keys.def, and no other."""
    page = TOP / "docs" / "tarry.ini.5"
    if not page.exists():
        return ["docs/tarry.ini.5 is missing"]
    text = (TOP / "include/tarry/keys.def").read_text()
    keys = set(re.findall(r'^(?:KEY|CONDITION)\(\w+, "(\w+)"', text, re.M))
    page_text = page.read_text()
    shown = set(re.findall(r"^\.It (?:Ic|Cm|Va|Li) (\w+)", page_text, re.M))
    wrong = [f"no entry for the key {key}" for key in sorted(keys - shown)]
    named = set(re.findall(r"\w+", text))
    return wrong + [f"an entry for {key}, which is no key"
                    for key in sorted(shown - named)]


def help_page(build):
    """The manual pages name the options, verbs and keys that there are."""
    wrong = []
    for source, page, row, shown in (
            ("daemon/options.c", "tarryd.8", r'\{OPTION_\w+, "([\w-]+)"',
             r"Fl -([a-z-]+)"),
            ("ctl/command_line.c", "tarryctl.8",
             r"^\t\{(?:'\w'|OPTION_\w+), \"([\w-]+)\"", r"Fl -([a-z-]+)"),
            ("ctl/verbs.c", "tarryctl.8", r'^\t\{"([\w-]+)"',
             r"^\.It Ic ([a-z-]+)"),
            ("simulate/scenario.def", "tarryctl.8",
             r'^(?:ONE|RANGE)\(\w+, "(\w+)"', r"^\.It Va (\w+)")):
        text = (TOP / "proxy" / source).read_text()
        names = set(re.findall(row, text, re.M))
        text = (TOP / "docs" / page).read_text().replace("\\-", "-")
        wrong += [f"{page}: {name}: only in one of the two" for name in
                  sorted(names ^ set(re.findall(shown, text, re.M)))]
    return wrong


def clang_build(build):
    """clang has no warning."""
    if not shutil.which("clang"):
        return None
    code, out = make(f"BUILD={build}-clang", "CC=clang", "CI=1", "tests")
    return [out] if code else []


def analyzer(build):
    """gcc -fanalyzer has no warning."""
    # gcc 12 takes memory behind a pointer in a struct for leaked; leaks are
    # found by ASan in the tests.
    code, out = make(f"BUILD={build}-lint", "CI=1",
                     "OPT=-O2 -fanalyzer -Wno-analyzer-malloc-leak", "all")
    return [out] if code else []


def cppcheck(build):
    """cppcheck has no warning."""
    if not shutil.which("cppcheck"):
        return None
    code, out = run(
        "cppcheck", "--quiet", "--error-exitcode=1", "--std=c11",
        "--enable=warning,portability", "--inline-suppr", "-Iinclude", "-I.",
        "-DTARRY_VERSION=\"0\"", "--suppress=missingIncludeSystem",
        "--suppress=preprocessorErrorDirective",
        f"-j{os.cpu_count() or 1}", "shaping", "proxy",
    )
    return out.splitlines() if code else []


def shellcheck(build):
    """shellcheck has no warning."""
    if not shutil.which("shellcheck"):
        return None
    scripts = [name(p) for p in sorted(TOP.glob("tools/*.sh"))]
    scripts += [name(p) for p in sorted(TOP.glob("tests/**/*.sh"))]
    code, out = run("shellcheck", "-S", "warning", *scripts, ".ci/run")
    return [out] if code else []


def own_words(build):
    """Nothing unfinished, no path of one machine."""
    wrong = []
    words = re.compile(r"\b(TODO|FIXME|XXX|not implemented)\b|/(home|root)/")
    for path in list(sources(".c", ".h", ".def", ".py", ".sh")) + \
            sorted((TOP / "docs").glob("*")) + \
            sorted((TOP / "web").glob("*")) + [TOP / "README.md"]:
        if not path.is_file() or path.suffix == ".png":
            continue
        for number, line in enumerate(
                path.read_text(errors="replace").splitlines(), 1):
            if words.search(line):
                wrong.append(f"{name(path)}:{number}: {line.strip()}")
    return wrong


CHECKS = (
    pure_includes, pure_symbols, layers, file_lengths, function_lengths,
    own_words, clang_format, man_pages, key_table, help_page, shellcheck,
    clang_build, analyzer, cppcheck,
)


def main():
    build = sys.argv[1] if len(sys.argv) > 1 else "build"
    wanted = sys.argv[2:]
    failed = 0
    for check in CHECKS:
        if wanted and check.__name__ not in wanted:
            continue
        wrong = check(build)
        title = f"lint/{check.__name__}: {check.__doc__}"
        if wrong is None:
            print(f"skipped {title} (the tool is not installed)")
            continue
        print(f"{'not ok' if wrong else 'ok'} {title}", flush=True)
        for line in wrong[:40]:
            print(f"    {line}", flush=True)
        failed += bool(wrong)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
