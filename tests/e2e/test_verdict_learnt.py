"""What a filter says of mail when it is through is learnt of its sender."""
import json
import re
import smtplib
import socket

import pytest

from conftest import wait_until
from test_memory import SLOW
from test_verdict import naming_mta, path, queue_ids  # noqa: F401, fixtures


@pytest.fixture
def tarryd(start_tarryd, naming_mta, path):  # noqa: F811
    return start_tarryd(naming_mta.port, verdict__socket=path,
                        control__socket=path[:-2], class_tarpit__greet="80ms",
                        class_tarpit__drip="10ms", class_tarpit__reply="10ms",
                        class_tarpit__error="10ms", **SLOW).wait_ready()


def session(tarryd, source, mails=1, early=b""):
    """Returns the queue ids and the session's line in the log."""
    with smtplib.SMTP(timeout=30) as smtp:
        smtp.source_address = (source, 0)
        smtp._host = "127.0.0.1"
        smtp.sock = socket.create_connection(
            ("127.0.0.1", tarryd.port), 30, (source, 0))
        port = smtp.sock.getsockname()[1]
        if early:
            smtp.sock.sendall(early)
        assert smtp.getreply()[0] == 220
        if early:
            assert smtp.getreply()[0] == 250
        smtp.ehlo("c.example")
        names = queue_ids(smtp, mails)
    ended = rf"^.*event=session .*client={source} port={port} .*$"
    wait_until(lambda: re.search(ended, tarryd.log, re.M), "its end")
    return ([name.decode() for name in names],
            re.search(ended, tarryd.log, re.M)[0])


def say(tarryd, path, verdict, name):  # noqa: F811
    """And waits until that was learnt."""
    before = tarryd.metric("tarry_verdicts_learnt_total")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.sendto(json.dumps({"verdict": verdict, "id": name,
                                "source": "rspamd"}).encode(), path)
    wait_until(lambda: tarryd.metric("tarry_verdicts_learnt_total") ==
               before + 1, f"{verdict} of {name} to be learnt")


def row(tarryd, source):
    return next(row for row in tarryd.ask("dump", "client")
                if row["name"] == source)


def test_accepted_spam_makes_suspect(tarryd, path):  # noqa: F811
    for _ in range(20):
        (name,), line = session(tarryd, "127.0.7.1")
        assert "delivered=1" in line
        say(tarryd, path, "spam", name)
    _, line = session(tarryd, "127.0.7.1", 0)
    assert "reputation=suspect" in line and "class=slow" in line
    # With what it does before our eyes there are two witnesses.
    _, line = session(tarryd, "127.0.7.1", 0, b"EHLO early.example\r\n")
    assert "reputation=bad" in line


def test_the_last_word_counts(tarryd, path):  # noqa: F811
    names = [session(tarryd, "127.0.8.1")[0][0] for _ in range(4)]
    _, line = session(tarryd, "127.0.8.1", 0)
    assert "proven=yes" in line and "class=pass" in line
    for name in names:
        say(tarryd, path, "spam", name)
    _, line = session(tarryd, "127.0.8.1", 0)
    assert "proven=yes" not in line and "class=pass" not in line
    for name in names:
        say(tarryd, path, "ham", name)
    _, line = session(tarryd, "127.0.8.1", 0)
    assert "proven=yes" in line and "class=pass" in line


def test_what_was_said_before_teaches_nothing(tarryd, path):  # noqa: F811
    (name,), _ = session(tarryd, "127.0.9.1")
    say(tarryd, path, "spam", name)
    known = row(tarryd, "127.0.9.1")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        for line in ({"verdict": "spam", "id": name},
                     {"verdict": "spam", "client": "127.0.9.1:9"},
                     {"verdict": "spam", "id": name, "time": 4e9}):
            sock.sendto(json.dumps(line).encode(), path)
    for result, count in (("doubled", 1), ("unknown", 1), ("contradicts", 1)):
        wait_until(lambda: tarryd.metric(
            f'tarry_verdict_lines_total{{result="{result}"}}') == count,
            result)
    assert tarryd.metric("tarry_verdicts_learnt_total") == 1
    assert row(tarryd, "127.0.9.1") == known
