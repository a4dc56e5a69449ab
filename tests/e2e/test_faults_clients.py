"""Clients that misbehave by the hundred, while others want to be served."""
import pytest

from faults_rig import FaultLab

GOOD = "complete,fin,*,well"
# What they do: the cells of the storm (tests/bench/mix.h), and the reasons
# of which some must be in the log, or it did not happen.
STORMS = {
    "leave-in-each-phase": (
        "at-once+in-greet+first-byte+greeted+ehlo-sent+ehlo-later+"
        "ehlo-answered+mail-half+mail-later+rcpt-begun+data-sent+mid-data+"
        "dot-sent+dot-later+dot-answered+quit-sent,*,*,well", 150,
        {"client_closed", "client_reset", "gave_up"}),
    "talk-early-and-nonsense": (
        "early+early-gone+early-later+garbage+garbage-sent+starttls-sent+"
        "opaque-half+opaque-later+opaque-done,*,*,well", 150,
        {"gave_up", "client_closed", "client_reset"}),
    "pipeline-and-read-slowly": (
        "pipeline+pipeline-sent+pipeline-half+deaf+deaf-later,*,*,well", 30,
        {"client_closed", "client_reset"}),
}


@pytest.mark.parametrize("name", STORMS)
def test_storm(tmp_path, name):
    cell, rate, reasons = STORMS[name]
    with FaultLab(tmp_path) as lab:
        lab.start_crowd()
        good = lab.start_load(GOOD, rate=500 - rate)
        ill = lab.start_load(cell, rate=rate, b=20000)
        lab.finish(good, ill)
        lab.check()
        seen = {line["reason"] for line in lab.session_lines()}
    assert reasons <= seen
    ways = {row.leave for row in ill.rows}
    assert ways == set(cell.split(",")[0].split("+"))
    assert all(row.told for row in good.rows)
    # Who has shut its side behind the dot still hears of its message.
    assert all(row.told for row in ill.rows if row.how == "half"
               and row.leave in ("dot-sent", "dot-later"))


def test_thousands_come_at_once_and_leave(tmp_path):
    """As many as there are seats, all at a time, and again."""
    with FaultLab(tmp_path, sessions=6000) as lab:
        lab.start_crowd()
        load = lab.start_load(GOOD)
        flood = [lab.start_load("at-once+in-greet,*,hold+teaser,well",
                                rate=4000, seconds=1.0) for _ in range(2)]
        lab.finish(load)
        lab.check()
    assert sum(len(storm.rows) for storm in flood) == 8000
    assert all(row.told for row in load.rows)
