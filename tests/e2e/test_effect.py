"""What delays did is told from the sessions that had none."""
import json
import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from conftest import send_mail, wait_until
from scripted_mta import ScriptedMta

NETS = 40
GREET_MS, PATIENCE_S = 900, 0.3
KEYS = {"class_new__greet": f"{GREET_MS}ms", "class_new__teaser": "no",
        "class_new__client_sessions": "none",
        "mta__client_address": "none", "mta__open_relay_checked": "yes",
        "learn__holdout": "50%", "learn__holdout_salt": "correct.horse",
        "log__format": "json"}


@pytest.fixture
def mta():
    mta = ScriptedMta()
    yield mta
    mta.close()


def bot(tarryd, source):
    """Leaves unless it is greeted soon."""
    with tarryd.connect(source) as client:
        client.socket.settimeout(PATIENCE_S)
        try:
            client.rest = client.socket.recv(100)
        except socket.timeout:
            return
        client.socket.settimeout(20)
        send_mail(client)


def server(tarryd, source):
    with tarryd.connect(source) as client:
        send_mail(client)


def everybody(who, tarryd):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: who(tarryd, f"127.4.{n}.1"), range(NETS)))


def lines(tarryd, count):
    def look():
        found = [json.loads(line) for line in tarryd.log.splitlines()
                 if '"event":"session"' in line]
        return found if len(found) >= count else None
    return wait_until(look, f"{count} sessions in the log")


@pytest.fixture
def compared(start_tarryd, mta, control_path):
    """A tarryd that has met a bot and a server of each network."""
    tarryd = start_tarryd(mta.port, control__socket=control_path(),
                          **KEYS).wait_ready()
    mta.script["dot"] = b"554 5.7.1 spam message rejected\r\n"
    everybody(bot, tarryd)
    mta.script["dot"] = b"250 2.0.0 taken\r\n"
    everybody(server, tarryd)
    return tarryd, lines(tarryd, 2 * NETS)


def share(sessions, mode, key):
    of = [s for s in sessions if s["mode"] == mode]
    return sum(s[key] > 0 for s in of) / len(of)


def test_effect_is_told_by_the_two_arms(compared):
    tarryd, sessions = compared
    arms = {mode: sum(s["mode"] == mode for s in sessions)
            for mode in ("enforce", "holdout")}
    assert min(arms.values()) > 4, arms
    answer = tarryd.ask("effect")
    about = answer[0]
    assert about["kind"] == "about" and about["holdout"] == 50
    assert about["shaped_blind"] == about["held_out_blind"] == 0
    rows = {(row["kind"], row["name"]): row for row in answer[1:]}
    stack = [name for kind, name in rows if kind == "signature"]
    assert len(stack) == 1, answer
    assert stack[0] != "unknown"
    for name in (("all", "all"), ("rule", "everyone"),
                 ("signature", stack[0])):
        row = rows[name]
        assert row["shaped"] == arms["enforce"], name
        assert row["held_out"] == arms["holdout"], name
        for fact, key in (("spam", "spam"), ("good", "delivered")):
            assert row[fact]["shaped"] == pytest.approx(
                share(sessions, "enforce", key)), (name, fact)
            assert row[fact]["held_out"] == pytest.approx(
                share(sessions, "holdout", key)), (name, fact)
        # No bot waited; all that were not slowed brought their spam.
        assert row["spam"]["shaped"] == 0
        assert row["spam"]["held_out"] == 0.5
        assert row["spam"]["known"] and row["spam"]["high"] < 0
        assert row["late"]["shaped"] == row["good"]["shaped"]
        assert row["late"]["held_out"] == 0
    for arm, mode in (("shaped", "enforce"), ("held_out", "holdout")):
        for what, count in (
                ("any", arms[mode]),
                ("spam", sum(s["spam"] > 0 for s in sessions
                             if s["mode"] == mode)),
                ("good", sum(s["delivered"] > 0 for s in sessions
                             if s["mode"] == mode))):
            assert tarryd.metric(
                f'tarry_compared_total{{arm="{arm}",brought="{what}"}}'
            ) == count
    text = tarryd.ctl("effect", "everyone").stdout
    assert f"rule everyone: {arms['enforce']} slowed" in text
    assert "sessions with spam avoided" in text
    refused = tarryd.ctl("effect", "nobody")
    assert refused.returncode == 1
    assert "no session was slowed first by a rule" in refused.stderr


def test_patience_is_told_by_who_left(compared):
    tarryd, sessions = compared
    slowed = [s for s in sessions if s["mode"] == "enforce"]
    left = [s for s in slowed if s["reason"] == "gave_up"]
    assert len(left) == len(slowed) / 2
    stack = [row["name"] for row in tarryd.ask("effect")
             if row.get("kind") == "signature"][0]
    for words, who in (((), "all"), ((), "unknown"), ((stack,), "signature")):
        curves = {row["by"]: row for row in tarryd.ask("patience", *words)
                  if row.get("who") == who}
        for by, width in (("wait", 250), ("sum", 1000)):
            curve = curves[by]
            assert curve["sessions"] == len(slowed), (who, by)
            gone = [b for b in curve["bins"] if b[2] > 0]
            assert sum(b[2] for b in gone) == len(left)
            assert {b[0] for b in gone} <= {s["gave_up_ms"] // width * width
                                            for s in left}
            assert curve["bins"][-1][3] == pytest.approx(0.5)
    text = tarryd.ctl("patience").stdout
    assert f"all, by the longest wait: {len(slowed)} sessions" in text
    assert "50.00 %" in text
    assert "#" not in text  # nobody looks
    assert "never left" in tarryd.ctl("patience", stack, 90, 100).stdout
    assert "too few were seen to wait so long" in tarryd.ctl(
        "patience", stack, 50, 100).stdout
    for words in (("-", 0), ("-", 101), ("-", 90, 0), ("-", "x"),
                  ("4:64:none",)):
        assert tarryd.ctl("patience", *words).returncode == 1, words


def test_nothing_is_told_of_nothing(start_tarryd, mta, control_path):
    tarryd = start_tarryd(mta.port, control__socket=control_path(),
                          **{**KEYS, "learn__holdout": "0%"}).wait_ready()
    text = tarryd.ctl("effect").stdout
    assert "set learn.holdout" in text
    assert "too few to tell" in text
    assert tarryd.ctl("patience").returncode == 0


def test_who_is_good_is_what_was_known_before(start_tarryd, mta,
                                              control_path):
    """What a session did in it depends on whether its client left."""
    tarryd = start_tarryd(mta.port, control__socket=control_path(), **{
        **KEYS, "learn__holdout": "0%", "class_new__greet": "50ms",
        "learn__capacity": "2000"}).wait_ready()
    server(tarryd, "127.5.1.1")
    assert lines(tarryd, 1)[0]["reputation"] == "good"
    waited = {row["who"]: row["sessions"] for row in tarryd.ask("patience")
              if row.get("by") == "wait" and row["kind"] == "curve"}
    assert waited == {"bad": 0, "unknown": 1, "good": 0, "all": 1}
