"""What became of mail is remembered, and the next session is treated by it."""
import pytest

from conftest import send_mail, wait_until
from scripted_mta import ScriptedMta

SLOW = {"class_new__greet": "20ms", "class_watch__greet": "40ms",
        "class_watch__reply": "10ms", "class_watch__split": "0s",
        "class_slow__greet": "60ms", "class_slow__reply": "10ms",
        "class_slow__error": "10ms", "class_slow__drip": "10ms",
        "mta__client_address": "none", "mta__open_relay_checked": "yes",
        "learn__capacity": "2000", "syn__kernel": "no"}


@pytest.fixture
def spam_filter():
    """An MTA that refuses every message as spam."""
    mta = ScriptedMta(dot=b"554 5.7.1 spam message rejected\r\n")
    yield mta
    mta.close()


@pytest.fixture
def good_mta():
    mta = ScriptedMta()
    yield mta
    mta.close()


def session(tarryd, source):
    """A whole session; returns its line in the log."""
    before = tarryd.log.count("event=session")
    with tarryd.connect(source) as client:
        send_mail(client)
    wait_until(lambda: tarryd.log.count("event=session") > before,
               "the session's line")
    return [line for line in tarryd.log.splitlines()
            if "event=session" in line][-1]


def test_spam_makes_suspect(start_tarryd, spam_filter):
    tarryd = start_tarryd(spam_filter.port, **SLOW).wait_ready()
    first = session(tarryd, "127.0.7.1")
    assert "reputation=unknown reputation_number=50" in first
    assert "class=new" in first
    for _ in range(30):
        last = session(tarryd, "127.0.7.1")
    assert "reputation=suspect" in last
    assert "reputation_level=client" in last
    assert "class=slow" in last
    # Its network is no better; another one is not known, nor hurt.
    assert "reputation=suspect" in session(tarryd, "127.0.7.2")
    other = session(tarryd, "127.1.7.1")
    assert "reputation=unknown reputation_number=50" in other
    assert "class=new" in other
    assert tarryd.metric('tarry_memory_rows{kind="client"}') == 3
    assert tarryd.metric('tarry_memory_rows{kind="network"}') == 2
    assert tarryd.metric('tarry_memory_rows{kind="all"}') == 1
    assert tarryd.metric('tarry_reputations_total{standing="suspect"}') > 1


def test_delivered_mail_proves(start_tarryd, good_mta):
    tarryd = start_tarryd(good_mta.port, **SLOW).wait_ready()
    for _ in range(3):
        line = session(tarryd, "127.0.8.1")
        assert "class=new" in line
    line = session(tarryd, "127.0.8.1")
    assert "rule=proven class=pass" in line
    assert "reputation=good" in line
    assert "proven=yes" in line
    # The sixteenth address of a pool is not slowed; another network is new.
    assert "class=pass" in session(tarryd, "127.0.8.16")
    assert "class=new" in session(tarryd, "127.0.9.1")
    assert tarryd.metric("tarry_proven_total") == 2


def test_nothing_is_remembered_unless_wanted(start_tarryd, good_mta):
    tarryd = start_tarryd(
        good_mta.port, **{**SLOW, "learn__capacity": "0"}).wait_ready()
    for _ in range(4):
        line = session(tarryd, "127.0.8.1")
    assert "class=new" in line
    assert "reputation" not in line
    assert tarryd.metric("tarry_memory_rows_limit") == 0
