"""Each real client has one dialect, and another one than who speaks otherwise.

    TARRY_DIALECT_SESSIONS  of each client, 3 if not set

With 100 or more those that are slowed are so in the slowest class, and not
in the second best one. `make dialects` writes docs/DIALECTS.md.
"""
import os
import time

import pytest

from dialect_heard import Session
from dialects import (PASS, SLOWED, first_of_each, listen, report,
                      shared)
from matrix_client import CLIENTS
from matrix_run import shipped_classes, skip_where_no_matrix

SESSIONS = int(os.environ.get("TARRY_DIALECT_SESSIONS", "3"))
SHAPE = shipped_classes()[-1 if SESSIONS >= 100 else 1]


@pytest.fixture(scope="module")
def heard(tmp_path_factory):
    skip_where_no_matrix()
    begin = time.monotonic()
    where = tmp_path_factory.mktemp("dialects")
    all_heard = listen(where, CLIENTS, SESSIONS, SESSIONS // 10 or 1, SHAPE)
    print()
    for line in report(all_heard, time.monotonic() - begin):
        print(line)
    return all_heard


def skip_if_missing(heard):
    missing = sorted({f"{one.client}: {one.skipped}" for one in heard
                      if one.skipped})
    if missing:
        pytest.skip("; ".join(missing))


def test_each_client_has_one_dialect(heard):
    for one in heard:
        if not one.skipped:
            assert len(one.texts) == 1, (one.client, one.shape, one.texts)
            count = SESSIONS if one.shape == PASS else SESSIONS // 10 or 1
            assert sum(one.texts.values()) >= count
    skip_if_missing(heard)


def test_it_is_what_a_capture_says(heard):
    assert [fault for one in heard for fault in one.faults] == []
    skip_if_missing(heard)


def test_a_slow_class_changes_nothing(heard):
    texts = {(one.client, one.shape): set(one.texts) for one in heard
             if not one.skipped}
    for client in SLOWED:
        assert texts.get((client, SHAPE)) == texts.get((client, PASS))
    skip_if_missing(heard)


def test_who_speaks_otherwise_has_another_one(heard):
    for text, group in shared(heard).items():
        said = {first_of_each(lines) for one in group for lines in one.lines}
        assert len(said) == 1, (text, said)
    assert len(shared(heard)) >= 10 or any(one.skipped for one in heard)
    skip_if_missing(heard)


def test_its_name_is_in_the_label(heard):
    for one in heard:
        if one.skipped:
            continue
        assert len(one.labels) == 1 and None not in one.labels, \
            (one.client, one.labels)
        assert one.client in next(iter(one.labels))
    skip_if_missing(heard)


def spoken(*turns):
    """A session in which each turn is what one side says in one piece."""
    session = Session()
    for is_client in (True, False):
        session.packet(is_client, 0xffffffff, 2, b"")
    at = {True: 0, False: 0}
    for turn in turns:
        is_client = not turn[:1].isdigit()
        session.packet(is_client, at[is_client], 16, turn)
        at[is_client] += len(turn)
    return session


GREETED = (b"220 a\r\n", b"EHLO c.example\r\n", b"250-a\r\n250 b\r\n")


@pytest.mark.parametrize("turns, text", [
    ((b"220 a\r\n", b"helo c\n", b"250 a\r\n"),
     "helo:label:-:-:-:-:----:-:fin:-:lf"),
    ((*GREETED, b"MAIL FROM:<a@b> SIZE=9 body=8bitmime\r\n",
      b"250 ok\r\n", b"RCPT TO: <c@d>\r\nDATA\r\n", b"250 ok\r\n",
      b"354 go\r\n", b"QUIT\r\n.\r\nQUIT\r\n", b"250 ok\r\n221 bye\r\n"),
     "EHLO:fqdn:MAIL.FROM<:RCPT.TO_<:SIZE+body:none:wRDQ:DATA:QUIT:-:crlf"),
    ((*GREETED, b"MAIL From:a@b\r\nRCPT To:<c@d> ORCPT=rfc822;c@d x=1\r\n"
      b"BDAT 6 LAST\r\nRSET\r\nQUIT\r\n"),
     "EHLO:fqdn:MAIL.From:RCPT.To<:none:ORCPT+x:wRDQ:BDAT:QUIT:-:crlf"),
    ((*GREETED, b"RSET\r\n", b"250 ok\r\n", b"QUIT \r\n"),
     "EHLO:fqdn:-:-:-:-:---w:-:QUIT:RSET:crlf"),
])
def test_the_second_opinion_is_right(turns, text):
    assert spoken(*turns).text() == text
    letters = [bytes([byte]) for byte in turns[1]]
    assert spoken(turns[0], *letters, *turns[2:]).text() == text


def test_the_second_opinion_tells_apart():
    ask = b"MAIL FROM:<a@b>\r\n"
    waits = spoken(*GREETED, ask, b"250 ok\r\n", b"RCPT TO:<c@d>\r\n")
    groups = spoken(*GREETED, ask + b"RCPT TO:<c@d>\r\n", b"250 ok\r\n")
    assert waits.lines() != groups.lines()
    again = b"RCPT TO:<e@f>\r\n"
    twice = spoken(*GREETED, ask, b"250 ok\r\n", b"RCPT TO:<c@d>\r\n",
                   b"250 ok\r\n", again)
    assert waits.lines() != twice.lines()
    assert first_of_each(waits.lines()) == first_of_each(twice.lines())
