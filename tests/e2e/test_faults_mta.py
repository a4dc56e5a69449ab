"""An MTA that fails under load, while a thousand clients are held: delay only.

500 sessions a second, most of them with an MTA that does as it should; what
goes wrong goes wrong with the others, or with all. See faults_rig.py for the
account.
"""
import signal
import threading

from faults_rig import FaultLab

# What the sink does at a signal.
REFUSE, HANG, OPEN = signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP
GOOD = "complete,fin,*,well"


def sink_fault(tmp_path, faults, **settings):
    """A fifth of the load has one of these faults; returns its rows."""
    # A greeting that breaks off is asked for again within this budget.
    with FaultLab(tmp_path, reply="6s", **settings) as lab:
        lab.start_crowd()
        good = lab.start_load(GOOD, rate=400)
        ill = lab.start_load("complete,*,*," + "+".join(faults), rate=100,
                             b=2000)
        lab.finish(good, ill)
        did = lab.check(may_421=lambda row: row.fault.startswith("greet-")
                        and row.fault != "greet-slow")
        rows = {fault: [row for row in ill.rows if row.fault == fault]
                for fault in faults}
    assert min(did.get(fault, 0) for fault in faults) >= 3, did
    return rows


def test_hangs_in_each_phase(tmp_path):
    """Clients have their patience; nobody else waits for theirs."""
    rows = sink_fault(tmp_path, [
        "greet-stall", "ehlo-stall", "mail-stall", "rcpt-stall", "data-stall",
        "body-stall", "dot-stall", "quit-stall"])
    for fault, some in rows.items():
        # Asked to wait by the MTA, not by us: nobody is told anything else.
        assert {row.end for row in some} == {"timeout"}, fault
        assert {row.said for row in some} == {"exact"}, fault
    assert all(row.told for row in rows["quit-stall"])


def test_dies_in_each_phase(tmp_path):
    rows = sink_fault(tmp_path, [
        "greet-fin", "greet-rst", "greet-cut", "ehlo-rst", "ehlo-cut",
        "mail-rst", "mail-cut", "rcpt-cut", "data-rst", "data-cut",
        "body-rst", "body-fin", "dot-rst", "dot-fin", "dot-cut", "quit-rst",
        "quit-cut", "dot-250-fin"])
    for fault, some in rows.items():
        if fault.startswith("greet-"):
            # P1: it closed before its greeting was complete.
            assert {(row.said, row.end) for row in some} == {
                ("421", "refused")}, fault
        else:
            assert {row.said for row in some} == {"exact"}, fault
            assert {row.end for row in some} == {"closed"}, fault
    for fault in ("quit-rst", "quit-cut", "dot-250-fin"):
        assert all(row.told for row in rows[fault]), fault


def test_refuses_and_is_slow_in_each_phase(tmp_path):
    """Its own words reach the client as they are, behind a teaser too."""
    no = ["greet-554", "greet-421", "mail-421", "rcpt-450", "rcpt-450-fin",
          "dot-451"]
    late = ["greet-slow", "ehlo-slow", "mail-slow", "rcpt-slow", "data-slow",
            "dot-slow", "quit-slow"]
    rows = sink_fault(tmp_path, no + late)
    for fault in no:
        assert {row.said for row in rows[fault]} == {"exact"}, fault
        assert not any(row.told for row in rows[fault]), fault
    for fault in late:
        assert all(row.told and row.ms >= 300 for row in rows[fault]), fault


def test_refuses_connections_then_hangs_then_is_back(tmp_path):
    """Within the greet budget nobody hears of it."""
    with FaultLab(tmp_path) as lab:
        lab.start_crowd()
        load = lab.start_load(GOOD)
        lab.wait_dials(200)
        failed = []
        for trouble in (REFUSE, HANG):
            lab.sink.process.send_signal(trouble)
            threading.Event().wait(1)
            failed.append(lab.metric("tarry_mta_connect_errors_total"))
        lab.sink.process.send_signal(OPEN)
        lab.finish(load)
        lab.check()
    assert failed[0] >= 5 and failed[1] > failed[0] + 5
    slowest = max(row.ms for row in load.rows)
    assert slowest >= 1000
    print(f"{failed} dials failed, the slowest of the load took {slowest} ms")


def test_is_gone_for_longer_than_the_greet_budget(tmp_path):
    """421, whole and alone, or behind a greeting: and then service again."""
    with FaultLab(tmp_path, reply="3s") as lab:
        crowd = lab.start_crowd()
        load = lab.start_load(GOOD, seconds=6)
        lab.end = lab.begin + 2
        lab.wait_dials(200)
        lab.sink.process.send_signal(REFUSE)
        threading.Event().wait(4)
        lab.sink.process.send_signal(OPEN)
        lab.finish(load)
        # A dial a second: the last one that fits may be a second early.
        lab.check(may_421=lambda row: row.ms >= 1900)
    refused = [row for row in load.rows + crowd.rows if row.said == "421"]
    assert len(refused) > 500
    assert {(row.end, row.told) for row in refused} == {("refused", False)}
    assert max(row.ms for row in refused) < 5000
    # Who came late enough waited, and was served.
    last = load.rows[-1].id - 500
    assert all(row.told for row in load.rows if row.id > last)


def test_is_killed_and_comes_back(tmp_path):
    """Each of its connections is reset at a time; the others wait for it."""
    with FaultLab(tmp_path) as lab:
        crowd = lab.start_crowd()
        load = lab.start_load(GOOD)
        lab.wait_dials(300)
        lab.sink.process.kill()
        lab.sink.process.wait()
        before = lab.metric("tarry_mta_connect_errors_total")
        threading.Event().wait(0.7)
        lab.restart_sink()
        lab.finish(load)
        failed = lab.metric("tarry_mta_connect_errors_total") - before
        lab.check(may_repeat=True)
    assert failed >= 5
    # Those in the middle of a session lost it, and nobody else did.
    lost = [row for row in load.rows + crowd.rows if row.end != "complete"]
    assert {row.end for row in lost} <= {"closed"}
    assert len(lost) <= 400 and not any(row.cls == "crowd" for row in lost)
    print(f"{len(lost)} sessions were cut, {failed:.0f} dials failed")
