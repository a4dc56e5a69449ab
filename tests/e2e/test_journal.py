"""The journal, written by tarryd and read by somebody else."""
import os
import re
import signal
import stat

import pytest

import journal_reader
from conftest import send_mail, wait_until
from small_disk import fill, small_disk  # noqa: F401
from test_reload import OK, class_text, place, start  # noqa: F401

VERBS = ["greeting", "EHLO", "MAIL", "RCPT", "DATA", "dot", "QUIT"]
SECRETS = ("a@b.example", "c@d.example", "client.example", "hello", "Subject")


@pytest.fixture
def journal(start, start_sink, place):  # noqa: F811
    """journal(key=value ..) -> a tarryd with one; .journal is its path."""
    def start_one(size="64M", files=4, path=None, **values):
        place.chmod(0o777)
        path = path or place / "journal"
        values = {"classes": class_text("new", greet="200ms", reply="100ms"),
                  **values}
        rules = values.pop("rules", "[rule everyone]\nclass = new")
        tarryd = start(start_sink().port, rules=f"{rules}\n[journal]\n"
                       f"path = {path}\nsize = {size}\nfiles = {files}\n",
                       **values).wait_ready()
        tarryd.journal = path
        return tarryd
    return start_one


def mail(tarryd, source="127.0.0.1"):
    with tarryd.connect(source) as client:
        assert [reply[:3] for reply in send_mail(client)] == OK


def ended(tarryd, count):
    """Waits for so many ends in the journal; returns all lines."""
    def look():
        lines = journal_reader.read(tarryd.journal, True)
        ends = [line for line in lines if line["ev"] == "end"]
        return lines if len(ends) >= count else None
    return wait_until(look, f"{count} sessions in the journal")


def test_a_session_can_be_replayed(journal):
    tarryd = journal()
    mail(tarryd)
    lines = ended(tarryd, 1)
    assert journal_reader.missing(lines) == 0
    session = journal_reader.sessions(lines)[1]
    answers = journal_reader.replay(session)
    assert [(verb, str(code)) for verb, code, *_ in answers] == \
        list(zip(VERBS, OK))
    assert 200 <= answers[0][4] <= 210  # since the accept
    for verb, _code, _asked, answered, due in answers[1:]:
        assert due - answered == {"dot": 0, "QUIT": 0}.get(verb, 100), verb
    opened, plan, end = session[0], session[1], session[-1]
    assert opened["client"] == opened["server"] == "127.0.0.1"
    assert (opened["listener"], opened["server_port"]) == ("smtp", tarryd.port)
    raw = bytes.fromhex(opened["syn"])
    assert raw[0] == 0x45 and raw[12:20] == bytes([127, 0, 0, 1]) * 2
    assert plan["facts"]["network"] == "127.0.0.1"
    assert re.fullmatch(r"4:64:0:\d+:.*", plan["facts"]["syn"])
    assert plan["facts"]["client.sessions"] == 1
    assert (plan["plan"]["rule"], plan["plan"]["class"],
            plan["plan"]["greet_ms"]) == ("everyone", "new", 200)
    assert (end["reason"], end["messages"], end["greeted"]) == \
        ("quit", 1, True)
    assert stat.S_IMODE(os.stat(tarryd.journal).st_mode) == 0o640
    text = tarryd.journal.read_text()
    for secret in SECRETS:
        assert secret not in text


def test_many_sessions_at_once(journal):
    tarryd = journal(classes=class_text("new", greet="100ms"))
    clients = [tarryd.connect(f"127.0.0.{i + 1}") for i in range(40)]
    for client in clients:
        assert [reply[:3] for reply in send_mail(client)] == OK
        client.close()
    lines = ended(tarryd, 40)
    assert journal_reader.missing(lines) == 0
    found = journal_reader.sessions(lines)
    assert len(found) == 40
    for session in found.values():
        assert [row[0] for row in journal_reader.replay(session)] == VERBS
    tarryd.stop()
    assert journal_reader.read(tarryd.journal)[:len(lines)] == lines


def test_the_last_line_is_written_before_the_end(journal):
    tarryd = journal(classes=class_text("new"))
    with tarryd.connect() as client:
        assert client.reply().startswith("220")
        tarryd.send_signal(signal.SIGTERM)
        tarryd.wait_log("SIGTERM: no new clients")
        tarryd.send_signal(signal.SIGTERM)
        tarryd.wait()
    lines = journal_reader.read(tarryd.journal)
    assert (lines[-1]["ev"], lines[-1]["reason"]) == ("end", "drained")
    assert journal_reader.missing(lines) == 0


@pytest.mark.parametrize("how,shown,octets", [
    ("none", "-", [0, 0, 0, 0]), ("network", "127.9.8.0/24", [127, 9, 8, 0])])
def test_addresses_are_hidden_in_the_syn_too(journal, how, shown, octets):
    tarryd = journal(addresses=how)
    mail(tarryd, "127.9.8.7")
    session = journal_reader.sessions(ended(tarryd, 1))[1]
    raw = bytes.fromhex(session[0]["syn"])
    assert session[0]["client"] == session[1]["facts"]["network"] == shown
    assert list(raw[12:16]) == octets
    # Both checksums: they would tell the rest.
    assert raw[10:12] == b"\0\0" and raw[36:38] == b"\0\0"
    assert "127.9.8.7" not in tarryd.journal.read_text()
    assert bytes([127, 9, 8, 7]).hex() not in tarryd.journal.read_text()


def test_each_policy_has_its_line(journal):
    tarryd = journal()
    mail(tarryd)
    ended(tarryd, 1)
    tarryd.reload()
    tarryd.reload(classes=class_text("new", greet="100ms"))
    mail(tarryd)
    lines = ended(tarryd, 2)
    policies = [line for line in lines if line["ev"] == "policy"]
    assert [line["cause"] for line in policies] == \
        ["start", "reload", "reload"]
    assert policies[0]["hash"] == policies[1]["hash"] != policies[2]["hash"]
    assert {line["file"] for line in policies} == {str(tarryd.file)}
    replanned = journal_reader.sessions(lines)[2]
    assert replanned[1]["plan"]["greet_ms"] == 100


def test_what_an_at_file_says_is_in_the_hash(journal, place):  # noqa: F811
    nets = place / "nets"
    nets.write_text("192.0.2.0/24\n")
    tarryd = journal(rules=f"[rule few]\nnetwork = @{nets}\nclass = pass\n"
                     "[rule everyone]\nclass = new")
    nets.write_text("198.51.100.0/24\n")
    tarryd.hang_up()
    mail(tarryd)
    lines = ended(tarryd, 1)
    assert len({line["hash"] for line in lines
                if line["ev"] == "policy"}) == 2


def test_files_rotate(journal):
    tarryd = journal(size="64k", files=3, classes=class_text("new"))
    for _ in range(60):
        with tarryd.connect() as client:
            assert client.line()
    tarryd.stop()
    names = sorted(path.name for path in
                   tarryd.journal.parent.glob("journal*"))
    assert "journal" in names and "journal.3" not in names
    for name in names:
        assert (tarryd.journal.parent / name).stat().st_size <= 65536
    assert journal_reader.missing(journal_reader.read(tarryd.journal)) == 0


def test_a_full_disk_stops_no_mail(journal, small_disk):  # noqa: F811
    tarryd = journal(path=small_disk / "journal",
                     classes=class_text("new"))
    mail(tarryd)
    ended(tarryd, 1)
    filler = fill(small_disk)
    for _ in range(8):
        mail(tarryd)
    name = "tarry_journal_lines_dropped_total"
    wait_until(lambda: tarryd.metric(name) > 0, "lines to be lost")
    tarryd.wait_log(r"lines of the journal .* were lost: no space left")
    filler.unlink()
    before = len(journal_reader.read(tarryd.journal))
    mail(tarryd)
    wait_until(lambda: len(journal_reader.read(tarryd.journal, True)) >
               before + 10, "the journal to go on")
    lines = journal_reader.read(tarryd.journal)
    assert journal_reader.missing(lines) > 0
    assert tarryd.log.count("lines of the journal") == 1
    mail(tarryd)
