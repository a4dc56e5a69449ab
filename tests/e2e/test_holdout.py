"""Some networks are left unshaped, to see what delays do."""
import os
import pathlib
import re
import tempfile

import pytest

from conftest import send_mail, wait_until
from scripted_mta import ScriptedMta

DELAY_MS = 80
NETS = 16
SLOW = {"class_new__greet": f"{DELAY_MS}ms", "class_new__teaser": "no",
        "mta__client_address": "none", "mta__open_relay_checked": "yes",
        "learn__capacity": "0", "syn__kernel": "no",
        "learn__holdout": "50%", "learn__holdout_salt": "correct.horse"}


@pytest.fixture
def mta():
    mta = ScriptedMta()
    yield mta
    mta.close()


def session(tarryd, source):
    """A whole session; returns its line in the log as a dict."""
    before = tarryd.log.count("event=session")
    with tarryd.connect(source) as client:
        send_mail(client)
    wait_until(lambda: tarryd.log.count("event=session") > before,
               "the session's line")
    line = [line for line in tarryd.log.splitlines()
            if "event=session" in line][-1]
    return {k: v.strip('"') for k, v in
            re.findall(r'(\w+)=("[^"]*"|\S+)', line)}


def arms(tarryd):
    """The mode of a session of each network."""
    return [session(tarryd, f"127.3.{n}.1")["mode"] for n in range(NETS)]


def test_held_out_networks_are_not_slowed(start_tarryd, mta):
    tarryd = start_tarryd(mta.port, **SLOW).wait_ready()
    first = []
    for n in range(NETS):
        line = session(tarryd, f"127.3.{n}.1")
        first.append(line["mode"])
        assert line["rule"] == "everyone" and line["class"] == "new"
        if line["mode"] == "holdout":
            assert int(line["greet_ms"]) < DELAY_MS
            assert line["held_ms"] == "0"
            assert int(line["would_ms"]) > DELAY_MS / 2
            assert "(held out: its network is not slowed" in line["why"]
        else:
            assert line["mode"] == "enforce"
            assert int(line["held_ms"]) >= DELAY_MS
    assert set(first) == {"holdout", "enforce"}
    # A retry, and another address of the network, are treated alike.
    again = [session(tarryd, f"127.3.{n}.77")["mode"] for n in range(NETS)]
    assert again == first
    tarryd.stop()
    # So they are behind a restart with the same words; not with others.
    tarryd = start_tarryd(mta.port, **SLOW).wait_ready()
    assert arms(tarryd) == first
    tarryd.stop()
    tarryd = start_tarryd(mta.port, **{
        **SLOW, "learn__holdout_salt": "battery.staple"}).wait_ready()
    assert arms(tarryd) != first


def test_words_are_made_where_none_are_given(start_tarryd, mta):
    words = {**SLOW, "learn__holdout_salt": ""}
    seen = []
    for _ in range(2):
        tarryd = start_tarryd(mta.port, **words).wait_ready()
        seen.append(arms(tarryd))
        tarryd.stop()
    assert seen[0] != seen[1]


@pytest.mark.parametrize("more, mode", [
    ({"learn__holdout": "0%"}, "enforce"),
    ({"tarry__mode": "shadow"}, "shadow"),
])
def test_nobody_is_held_out(start_tarryd, mta, more, mode):
    tarryd = start_tarryd(mta.port, **{**SLOW, **more}).wait_ready()
    assert set(arms(tarryd)) == {mode}


def test_the_journal_says_so(start_tarryd, mta):
    with tempfile.TemporaryDirectory(prefix="tarry-") as place:
        os.chmod(place, 0o777)  # tarryd may run as somebody else
        journal_says_so(start_tarryd, mta, pathlib.Path(place))


def journal_says_so(start_tarryd, mta, place):
    journal = place / "journal"
    tarryd = start_tarryd(mta.port, **{
        **SLOW, "learn__holdout": "50%",
        "journal__path": str(journal)}).wait_ready()
    seen = arms(tarryd)
    tarryd.stop()
    text = journal.read_text()
    for kind in ("plan", "end"):
        modes = [re.search(r'"mode":"(\w+)"', line)[1]
                 for line in text.splitlines() if f'"ev":"{kind}"' in line]
        assert modes.count("holdout") >= seen.count("holdout"), kind
