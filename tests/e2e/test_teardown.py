"""Whoever dies, however, whenever: nothing is left behind.

Clients leave and MTAs fail in every phase, by FIN, by RST and by half (the
cells are in tests/bench/mix.c), many at a time. Afterwards tarryd must be as
it was before: no session, no MTA slot, no descriptor, no seat; one log line a
session; and each message of which a client was told 250 is at the MTA, once.

    TARRY_STORM  sessions of a storm; without it a short one
"""
import collections
import os
import re
import shutil
import sys

import pytest

from conftest import BUILD, TOP

sys.path.insert(0, str(TOP / "tests/bench"))
from storm_lab import Lab, total, wait_until  # noqa: E402

STORM = int(os.environ.get("TARRY_STORM", "0"))
CLEAN = "complete,fin,pass,well"
VALGRIND = ("valgrind", "--error-exitcode=99", "--leak-check=full",
            "--errors-for-leak-kinds=definite,indirect", "--num-callers=30")
SANITIZERS = {"ASAN_OPTIONS": "detect_leaks=1:detect_stack_use_after_return=1",
              "UBSAN_OPTIONS": "print_stacktrace=1"}
COMPLAINTS = (r"AddressSanitizer|LeakSanitizer|runtime error:|"
              r"ERROR SUMMARY: [1-9]|definitely lost: [1-9]|"
              r"indirectly lost: [1-9]|Assertion|not given back")

# What becomes of a client that does all it should: how its session ends, and
# whether it is told 250. None: either, or by class.
FATES = {
    "well": ("complete", True),
    "greet-no-smtp": (None, False),
    "greet-slow": ("complete", True),
    "greet-stall": ("timeout", False),
    "mail-half": ("closed", False),
    "rcpt-450": ("complete", False),
    "body-pause": ("complete", True),
    "body-stall": ("timeout", False),
    "dot-451": ("complete", False),
    "dot-stall": ("timeout", False),
    "dot-250-fin": ("closed", True),
    "dot-250-rst": ("closed", None),
    "quit-rst": ("closed", True),
    "quit-fin": ("closed", True),
    "starttls-rst": ("complete", True),
    "opaque-rst": ("complete", True),
    "opaque-half": ("complete", True),
    "mail-421": ("refused", False),
    "quit-stall": ("timeout", True),
    "quit-cut": ("closed", True),
    **dict.fromkeys(("ehlo-stall", "mail-stall", "rcpt-stall", "data-stall"),
                    ("timeout", False)),
    **dict.fromkeys(("mail-cut", "data-cut"), ("closed", False)),
    **dict.fromkeys(("ehlo-slow", "mail-slow", "rcpt-slow", "data-slow",
                     "dot-slow", "quit-slow"), ("complete", True)),
    **dict.fromkeys(("greet-fin", "greet-rst", "greet-cut", "greet-554",
                     "greet-421", "rcpt-450-fin"), ("refused", False)),
    **dict.fromkeys(("ehlo-rst", "ehlo-cut", "mail-rst", "rcpt-cut",
                     "data-rst", "body-rst", "body-fin", "dot-rst",
                     "dot-fin", "dot-cut"), ("closed", False)),
}


def explains_unheard(row):
    """Could the MTA have taken its message without the client being told?"""
    left_first = row.end in ("left", "timeout") and row.step == "body"
    return left_first or row.fault == "dot-250-rst"


def check_messages(lab):
    taken, twice = lab.taken()
    told = {row.id for row in lab.rows if row.told}
    bad = [number for number, verdict in taken.items() if verdict != "ok"]
    lost = told - set(taken)
    unheard = [row for row in lab.rows
               if row.id in taken and not row.told
               and not explains_unheard(row)]
    assert told
    other = [row for row in lab.rows if row.said == "other"]
    assert (twice, bad, lost, unheard, other) == (0, [], set(), [], [])


def check_log(lab):
    """One line a session, none of it for a fault of ours."""
    page = lab.metrics()
    accepted = total(page, "tarry_connections_accepted_total")
    closed = total(page, "tarry_connections_closed_total")
    dropped = total(page, "tarry_log_lines_dropped_total")
    wait_until(lambda: len(lab.session_lines()) + dropped >= accepted,
               "the last log line")
    lines = lab.session_lines()
    numbers = collections.Counter(line["session"] for line in lines)
    assert accepted == closed == len(lines) + dropped == len(numbers) + dropped
    assert accepted == len(lab.rows)
    assert not [line for line in lines if line["reason"] == "bug"]
    return lines, dropped


def check_idle(lab, slots, seats):
    """As before; and every slot and every seat can be had again."""
    page = lab.metrics()
    assert total(page, "tarry_connections_open") == 0
    assert total(page, "tarry_mta_connections_open") == 0
    assert total(page, "tarry_mta_connections_waiting") == 0
    assert total(page, "tarry_connections_held") == 0
    wait_until(lambda: lab.fds() <= lab.idle_fds, "the last descriptor")
    held = lab.hold(slots, "ehlo", k=CLEAN)
    try:
        held.wait()
        assert lab.metric("tarry_mta_connections_open") == slots
    finally:
        held.process.stdin.close()
        held.process.wait()
    lab.wait_idle()
    served = lab.storm(seats, seats, k=CLEAN, b=500)
    assert served["told"] == served["complete"] == seats
    lab.wait_idle()


def check_end(lab):
    """It ends by itself and nobody complains: not the gate, which asserts
    that all slots are back, no sanitizer, no valgrind."""
    status = lab.tarryd.stop(seconds=120)
    complaints = re.findall(COMPLAINTS, lab.tarryd.log)
    assert (status, complaints) == (0, []), lab.tarryd.log[-5000:]


def run_storm(where, sessions, parallel, build, wrap=()):
    slots, seats = parallel // 5, parallel * 3 // 2
    with Lab(where, build, bench=BUILD, wrap=wrap, window_ms=1500,
             environment=SANITIZERS, sessions=seats, slots=slots) as lab:
        ends = lab.storm(sessions, parallel)
        rows = len(lab.rows)
        lab.wait_idle()
        check_messages(lab)
        lines, _ = check_log(lab)
        check_idle(lab, slots, seats)
        check_end(lab)
    assert rows == ends["sessions"] == sessions
    assert ends["unreachable"] == 0
    print(f"\n{build}{' under valgrind' if wrap else ''}: {ends}")
    found = collections.Counter((line["phase"], line["reason"])
                                for line in lines)
    print(" ".join(f"{phase}/{reason}={count}" for (phase, reason), count
                   in sorted(found.items())))
    return lines


def test_matrix(tmp_path):
    """Each way to leave and each fault in each class."""
    with Lab(tmp_path, BUILD, sessions=300, slots=150) as lab:
        lab.next_id += lab.storm(0, 150, m="")["sessions"]
        lab.wait_idle()
        check_messages(lab)
        lines, dropped = check_log(lab)
        cells = list(lab.rows)
        check_idle(lab, 150, 300)
        check_end(lab)
    assert dropped == 0
    assert {row.fault for row in cells} == set(FATES)
    for row in cells:
        if row.leave in ("complete", "early"):
            end, told = FATES[row.fault]
            assert end in (None, row.end), row
            assert told in (None, row.told), row
        elif row.how == "half" and row.leave in ("dot-sent", "dot-later"):
            assert row.told, row
    phases = {line["phase"] for line in lines}
    assert phases >= {"greet", "banner", "relay", "blind", "refused"}


def test_refused_clients_hold_no_slot(tmp_path):
    """Clients that were told of no MTA and linger are not in others' way."""
    slots = 20
    with Lab(tmp_path, BUILD, sessions=100, slots=slots) as lab:
        lingering = lab.hold(slots, "greeting", k="complete,fin,teaser,"
                             "greet-fin")
        lab.next_id += slots
        served = lab.hold(slots, "ehlo", k=CLEAN)
        try:
            lingering.wait()
            wait_until(lambda: lab.metric("tarry_connections_held") == 0,
                       "the end of their delays")
            wait_until(
                lambda: lab.metric("tarry_mta_connections_open") == slots,
                "all slots to be the others'")
            served.wait()
            assert lab.metric("tarry_connections_open") == 2 * slots
        finally:
            served.kill()
            lingering.kill()
        lab.wait_idle()
        check_end(lab)


def test_storm(tmp_path):
    lines = run_storm(tmp_path, STORM or 3000, 400, BUILD)
    phases = {line["phase"] for line in lines}
    assert phases >= {"greet", "gate", "banner", "relay", "blind", "refused"}
    # To dial on the same host takes no time: a few in a long storm end in it.
    assert not STORM or "dial" in phases
    reasons = {line["reason"] for line in lines}
    assert reasons >= {
        "quit", "client_closed", "client_reset", "gave_up", "mta_closed",
        "mta_reset", "mta_refused", "mta_unreachable"}


def test_storm_under_sanitizers(tmp_path):
    build = TOP / f"{BUILD}-asan"
    if not (build / "tarryd").exists():
        pytest.skip(f"no {build}/tarryd")
    run_storm(tmp_path, STORM or 3000, 200, build)


def test_storm_under_valgrind(tmp_path):
    if shutil.which("valgrind") is None:
        pytest.skip("no valgrind")
    sessions, parallel = (STORM, 200) if STORM else (300, 60)
    run_storm(tmp_path, sessions, parallel, BUILD, VALGRIND)
