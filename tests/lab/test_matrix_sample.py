"""A fixed part of the matrix: 41 pairs with all clients, MTAs and classes.

The whole of it is `make matrix`. That the comparison finds what it must is
shown on outcomes that were tampered with.
"""
import re

import pytest

from matrix import MANNERS, faults_of, run_matrix, sample_pairs
from matrix_client import CLIENTS
from matrix_mail import Outcome, before_tls, mail_text, replies, same
from matrix_mta import SERVERS
from matrix_run import (DIRECT, TLS, Pair, Run, shipped_classes,
                        skip_where_no_matrix)

GREETING = b"220 mta.example ESMTP\r\n"
EHLO = b"250-mta.example\r\n250 8BITMIME\r\n"
SESSION = (GREETING, EHLO, b"250 2.1.0 Ok\r\n", b"250 2.1.5 Ok\r\n",
           b"354 go on\r\n", b"250 2.0.0 Ok: queued as ID\r\n",
           b"221 2.0.0 Bye\r\n")


def outcome(reuses):
    return Outcome({"to.a": [b"Subject: x\n\nhello\nworld\n"],
                    "from.a": [b"550 no such user\n"]},
                   {"a": 0}, 0, [SESSION, SESSION], reuses)


def lose_mail(one):
    del one.boxes["to.a"]


def double_mail(one):
    one.boxes["to.a"] *= 2


def change_byte(one):
    one.boxes["to.a"] = [b"Subject: x\n\nhello\nworlt\n"]


def lose_line(one):
    one.boxes["to.a"] = [b"Subject: x\n\nhello\n"]


def lose_bounce(one):
    del one.boxes["from.a"]


def add_bounce(one):
    one.boxes["from.b"] = [b"550 no such user\n"]


def other_bounce(one):
    one.boxes["from.a"] = [b"554 no such user\n"]


def other_status(one):
    one.exits["a"] = 75


def leave_in_queue(one):
    one.left = 1


def lose_reply(one):
    one.sessions[0] = SESSION[:4] + SESSION[5:]


def add_reply(one):
    one.sessions[0] = SESSION[:3] + SESSION[2:]


def cut_reply(one):
    one.sessions[0] = (GREETING, b"250 8BITMIME\r\n") + SESSION[2:]


def refuse(one):
    one.sessions[0] = (b"421 too busy\r\n",)


def other_greeting(one):
    one.sessions[0] = (b"220 other.example\r\n",) + SESSION[1:]


def miss_in_capture(one):
    one.sessions[0] = None


def add_session(one):
    one.sessions.append(SESSION)


@pytest.mark.parametrize("reuses", [False, True])
@pytest.mark.parametrize("tamper", [
    lose_mail, double_mail, change_byte, lose_line, lose_bounce, add_bounce,
    other_bounce, other_status, leave_in_queue, lose_reply, add_reply,
    cut_reply, refuse, other_greeting, miss_in_capture, add_session])
def test_what_was_tampered_with_differs(tamper, reuses):
    shape = shipped_classes()[0]
    direct = Run(1, Pair("swaks", "Postfix", DIRECT))
    slowed = Run(2, Pair("swaks", "Postfix", shape))
    direct.outcome, slowed.outcome = outcome(reuses), outcome(reuses)
    slowed.held = [{"class": shape}] * 2
    assert list(faults_of(slowed, direct)) == []
    tamper(slowed.outcome)
    assert list(faults_of(slowed, direct)) != []


def test_what_was_not_slowed_shows_nothing():
    best, worst = shipped_classes()[0], shipped_classes()[-1]
    direct = Run(1, Pair("swaks", "Postfix", DIRECT))
    slowed = Run(2, Pair("swaks", "Postfix", worst))
    direct.outcome, slowed.outcome = outcome(False), outcome(False)
    for held in ([], [{"class": best}] * 2, [{"class": worst}]):
        slowed.held = held
        assert list(faults_of(slowed, direct)) != []


@pytest.mark.parametrize("manner", MANNERS)
def test_a_real_client_told_of_odd_manners_is_a_fault(manner):
    shape = shipped_classes()[0]
    direct = Run(1, Pair("swaks", "Postfix", DIRECT))
    slowed = Run(2, Pair("swaks", "Postfix", shape))
    direct.outcome, slowed.outcome = outcome(False), outcome(False)
    slowed.held = [{"class": shape}, {"class": shape, manner: "yes"}]
    assert list(faults_of(slowed, direct)) == \
        [f"told of a real client: ['{manner}']"]


def test_plain_text_where_tls_should_be_shows_nothing():
    run = Run(1, Pair("swaks", "Postfix", DIRECT, TLS[0]))
    run.outcome = outcome(False)
    run.is_tls = [True, False]
    assert list(faults_of(run, run))[0] == "no TLS in 1 sessions"


def test_of_tls_only_the_greeting_is_compared():
    said = GREETING + EHLO + b"220 go\r\n"
    assert before_tls(said) == said
    assert before_tls(said + b"\x16\x03\x03...") == GREETING
    assert before_tls(b"220-x\r\n" + said + b"\x16\x03\x03...") == \
        b"220-x\r\n" + GREETING


def test_a_client_that_delivers_nothing_is_no_yardstick():
    direct = Run(1, Pair("swaks", "Postfix", DIRECT))
    direct.outcome = outcome(False)
    assert "to.big" in list(faults_of(direct, direct))[0]


def test_only_ids_dates_and_addresses_are_made_the_same():
    said = (b"220-mx.example\r\n220 mta.example; Sun, 22 Nov 2026 10:11:12 "
            b"+0000\r\n250 Hello [10.128.101.2]\r\n"
            b"250 2.0.0 Ok: queued as 4XyZ1\r\n221 Bye\r\n")
    assert replies(said) == (
        b"220 mta.example; DATE\r\n", b"250 Hello [ADDRESS]\r\n",
        b"250 2.0.0 Ok: queued as ID\r\n", b"221 Bye\r\n")
    assert replies(said, awaits_quit=False) == replies(said)[:-1]
    assert replies(b"220 a\r\n250-x\r\n250 y\r\nwhat\r\n25") == (
        b"220 a\r\n", b"250-x\r\n250 y\r\n", b"what\r\n", b"25")
    assert same(b"<to.two-a.017@d.example>") == b"<to.two-a.RUN@d.example>"
    assert mail_text(b"Received: a\n\tb\nDelivered-To: x\nSubject: y\n\n"
                     b"Received: in the body\n") == \
        b"Subject: y\n\nReceived: in the body\n"


def test_the_sample_has_all_in_it():
    pairs = sample_pairs()
    slowed = [pair for pair in pairs if pair.shape != DIRECT]
    with_tls = [pair for pair in slowed if pair.tls]
    assert {(pair.mta, pair.tls) for pair in with_tls} == \
        {(mta, tls) for mta, server in SERVERS.items() for tls in TLS[1:]
         if not server.no_tls}
    assert len(with_tls) == 9 and len(set(slowed)) == len(slowed) == 41
    assert {pair.client for pair in slowed} == set(CLIENTS)
    assert {(pair.mta, pair.shape) for pair in slowed} == \
        {(mta, shape) for mta in SERVERS for shape in shipped_classes()}
    for pair in slowed:
        assert pair.directly() in pairs


def test_sample(tmp_path):
    skip_where_no_matrix()
    report, seconds = run_matrix(tmp_path, sample_pairs(), jobs=80)
    report.print(seconds)
    assert not any(report.faults.values())
    if report.skipped:
        pytest.skip("; ".join(sorted({
            f"{pair.client}: {re.sub(chr(10), ' ', why)}"
            for pair, why in report.skipped.items()})))
