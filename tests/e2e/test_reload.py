"""SIGHUP: the file is read again, and what changed acts on those who are
there; what cannot change is named; a bad file changes nothing."""
import json
import os
import pathlib
import re
import signal
import socket
import tempfile
import time

import pytest

from conftest import send_mail, wait_until
from reload_rig import REFUSED, Reloaded
from test_mail import sink_mail

OK = ["220", "250", "250", "250", "354", "250", "221"]


@pytest.fixture
def place():
    """A directory that everybody may read: tarryd runs as somebody else."""
    with tempfile.TemporaryDirectory(prefix="tarry-") as path:
        os.chmod(path, 0o755)
        yield pathlib.Path(path)


@pytest.fixture
def start(tmp_path, place, running):
    """start(mta_port, key=value ..) -> a Reloaded."""
    def start_one(mta_port, words=(), **values):
        tarryd = Reloaded(tmp_path / f"tarryd{len(running)}.log",
                          place / f"tarry{len(running)}.ini", words,
                          mta=f"127.0.0.1:{mta_port}", **values)
        running.append(tarryd)
        return tarryd
    yield start_one
    for program in running:
        program.stop()
        for word in ("reason=bug", "broken invariant", "runtime error:",
                     "Sanitizer"):
            assert word not in program.log


def mail(tarryd):
    with tarryd.connect() as client:
        assert [reply[:3] for reply in send_mail(client)] == OK


def class_text(name, **keys):
    return "\n".join([f"[class {name}]",
                      *(f"{key} = {value}" for key, value in keys.items())])


def test_a_shorter_class_lets_go_sooner(start, start_sink):
    tarryd = start(start_sink().port,
                   classes=class_text("new", greet="19s")).wait_ready()
    with tarryd.connect() as client:
        wait_until(lambda: tarryd.metric("tarry_connections_held") == 1,
                   "the session to be held")
        begun = time.monotonic()
        tarryd.reload(classes=class_text("new", greet="1s"))
        assert client.reply().startswith("220")
        assert time.monotonic() - begun < 9


def test_a_longer_class_acts_from_the_next_reply(start, start_sink):
    tarryd = start(start_sink().port).wait_ready()
    with tarryd.connect() as client:
        assert client.reply().startswith("220")
        begun = time.monotonic()
        assert client.ask("EHLO client.example").startswith("250")
        assert time.monotonic() - begun < 1
        tarryd.reload(classes=class_text("new", reply="2s"))
        begun = time.monotonic()
        assert client.ask("MAIL FROM:<a@b.example>").startswith("250")
        assert time.monotonic() - begun >= 1.9


def test_a_bad_file_changes_nothing(start, start_sink):
    tarryd = start(start_sink().port).wait_ready()
    good = tarryd.file.read_text()
    tarryd.refuse(good + "[rule late]\nclas = new\n[mat]\n")
    lines = good.count("\n")
    assert re.search(rf"level=error .*{tarryd.file}:{lines + 2}: rule.*clas",
                     tarryd.log)
    assert f"{tarryd.file}:{lines + 3}: " in tarryd.log
    assert tarryd.metric("tarry_config_last_reload_successful") == 0
    assert tarryd.metric('tarry_config_reloads_total{result="refused"}') == 1
    before = tarryd.metric(
        "tarry_config_last_reload_success_timestamp_seconds")
    mail(tarryd)
    assert tarryd.get("/readyz")[0] == 200
    tarryd.reload()
    wait_until(lambda: tarryd.metric("tarry_config_last_reload_successful"),
               "the metric")
    assert tarryd.metric('tarry_config_reloads_total{result="ok"}') == 1
    assert tarryd.metric(
        "tarry_config_last_reload_success_timestamp_seconds") > before


def test_what_needs_a_restart_is_named_and_stays(start, start_sink):
    tarryd = start(start_sink().port, slots="7", sessions="50").wait_ready()
    tarryd.reload(slots="9", sessions="60", kernel="no",
                  listen="127.0.0.1:1", http="127.0.0.1:2", sidecar="/x")
    named = re.findall(r'level=warning msg="(\S+): warning: (\S+): '
                       r"`([^`]+)` needs a restart; until then it is `([^`]+)`",
                       tarryd.log)
    assert [row[1:] for row in named] == [
        ("tarry.max_sessions", "60", "50"),
        ("listen.address", "smtp: 127.0.0.1:1", "smtp: 127.0.0.1:0"),
        ("mta.max_connections", "9", "7"), ("syn.kernel", "no", "yes"),
        ("http.address", "127.0.0.1:2", "127.0.0.1:0")]
    text = tarryd.file.read_text().splitlines()
    for where, _, value, _ in named:
        path, line = where.rsplit(":", 1)
        assert path == str(tarryd.file)
        value = value.removeprefix("smtp: ")
        assert text[int(line) - 1].endswith(f"= {value}")
    tarryd.hang_up()  # they are still other than what runs
    for words in ("mta.max_connections: `9` needs a restart; until then it "
                  "is `7`", "listen.address: `smtp: 127.0.0.1:1` needs a "
                  "restart; until then it is `smtp: 127.0.0.1:0`"):
        assert tarryd.log.count(words) == 2
    assert tarryd.metric("tarry_mta_connections_limit") == 7
    assert tarryd.metric("tarry_connections_limit") == 50
    mail(tarryd)
    wait_until(lambda: "syn_source=kernel" in tarryd.log, "the session's line")


@pytest.mark.parametrize("section, said, now, was", [
    ("[listen other]", "address = 127.0.0.1:0", "other: 127.0.0.1:0",
     "smtp: 127.0.0.1:0"),
    ("[listen late]\naddress = 127.0.0.1:1\n[listen smtp]",
     "address = 127.0.0.1:1", "late: 127.0.0.1:1; smtp: 127.0.0.1:0",
     "smtp: 127.0.0.1:0")])
def test_listeners_are_told_by_their_names(start, start_sink, section, said,
                                           now, was):
    tarryd = start(start_sink().port).wait_ready()
    text = tarryd.file.read_text().replace("[listen smtp]", section)
    tarryd.file.write_text(text)
    tarryd.hang_up()
    told = re.search(r":(\d+): warning: listen\.\w+: `([^`]+)` needs a "
                     r"restart; until then it is `([^`]+)`", tarryd.log)
    assert told[2] == now and told[3] == was
    assert text.splitlines()[int(told[1]) - 1] == said


def test_another_mta_is_tested_and_then_used(start, start_sink):
    old, new = start_sink(), start_sink(proxy="v1")
    tarryd = start(old.port).wait_ready()
    with tarryd.connect() as early:
        assert early.reply().startswith("220")
        tarryd.reload(mta=f"127.0.0.1:{new.port}", how="proxy_v1")
        mail(tarryd)  # waits for the test session
        assert early.ask("EHLO client.example").startswith("250")
        for text in ("MAIL FROM:<a@b.example>", "RCPT TO:<c@d.example>",
                     "DATA", "Subject: x\r\n\r\nx\r\n.", "QUIT"):
            assert early.ask(text)[:1] in "23"
    assert len(sink_mail(new, 1)) == 1 and len(sink_mail(old, 1)) == 1
    assert tarryd.log.count("passed the test session") == 2


def test_who_dials_the_old_mta_is_sent_to_the_new_one(start, start_sink):
    """And never says to one what the other expects."""
    old, new = start_sink(), start_sink(proxy="v1")
    tarryd = start(old.port, connect="20s").wait_ready()
    # The old MTA's queue is full: dials hang.
    old.send_signal(signal.SIGSTOP)
    stuck = []
    try:
        while len(stuck) < 3000:
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.1", old.port))
            stuck.append(sock)
            if len(stuck) % 50 == 0 and is_stuck(stuck[-1]):
                break
        assert is_stuck(stuck[-1])
        with tarryd.connect() as client:
            wait_until(lambda: tarryd.metric("tarry_mta_connections_open"),
                       "the dial")
            tarryd.reload(mta=f"127.0.0.1:{new.port}", how="proxy_v1")
            assert [r[:3] for r in send_mail(client)] == OK
    finally:
        for sock in stuck:
            sock.close()
        old.send_signal(signal.SIGCONT)
    assert len(sink_mail(new, 1)) == 1
    assert not list(old.mail.glob("*.eml"))


def is_stuck(sock):
    """True if its SYN has found no room for a while."""
    end = time.monotonic() + 0.3
    while time.monotonic() < end:
        if sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1) == b"\x01":
            return False
    return True


def test_log_and_names_and_sidecar(start, start_sink, place):
    tarryd = start(start_sink().port).wait_ready()
    mail(tarryd)
    tarryd.wait_log("event=session .*client=127.0.0.1 ")
    labels = place / "labels.ini"
    labels.write_text("[label everyone]\nsyn = *:*:*:*:*,*:*:*:*\n")
    tarryd.reload(format="json", addresses="none", labels=labels,
                  sidecar=place / "no.sock")
    mail(tarryd)
    tarryd.wait_log('"event":"session"')
    line = [json.loads(line) for line in tarryd.log.splitlines()
            if '"event":"session"' in line][-1]
    assert (line["client"], line["label"]) == ("-", "everyone")
    tarryd.wait_log(f"no sidecar on {place}/no.sock")
    tarryd.reload(sidecar=place / "other.sock")
    tarryd.wait_log(f"no sidecar on {place}/other.sock")


def test_names_of_dialects(start, start_sink, place):
    """A session that was begun under the old names ends under the new."""
    names = place / "labels.ini"
    names.write_text("[label any]\ndialect = *\n")
    tarryd = start(start_sink().port).wait_ready()
    tarryd.reload(labels=names)
    with tarryd.connect() as client:
        client.reply()
        client.ask("EHLO client.example")
        names.write_text("[label full name]\ndialect = EHLO:fqdn:*\n"
                         "[label any]\ndialect = *\n"
                         "[label none]\ndialect = EHLO fqdn\n")
        tarryd.reload()
        client.ask("QUIT")
    mail(tarryd)
    assert re.search(r"skipped: .*labels\.ini:6: EHLO fqdn: no dialect, "
                     "expected a text such as EHLO:", tarryd.log)
    tarryd.wait_log(' dialect=EHLO:fqdn:-:.* dialect_label="full name"')


def test_drain_timeout(start, start_sink):
    tarryd = start(start_sink().port).wait_ready()
    tarryd.reload(drain="1s")
    with tarryd.connect() as client:
        assert client.reply().startswith("220")
        tarryd.send_signal(signal.SIGTERM)
        assert tarryd.wait() == 0


def test_counts_keep_their_names(start, start_sink):
    """Classes and rules in another order are still the same ones."""
    tarryd = start(start_sink().port).wait_ready()
    mail(tarryd)
    tarryd.wait_log("rule=everyone class=new")
    tarryd.reload(
        classes=class_text("best", greet="0s") + "\n" + class_text("new"),
        rules="[rule nobody]\nnetwork = 192.0.2.0/24\nclass = best\n"
              "[rule everyone]\nclass = new")
    mail(tarryd)
    wait_until(lambda: tarryd.log.count("rule=everyone class=new") == 2,
               "the second session's line")
    for name, want in {
        'tarry_connections_closed_total{class="new",end="quit"}': 2,
        'tarry_connections_closed_total{class="best",end="quit"}': 0,
        'tarry_rule_matches_total{rule="everyone",mode="enforce"}': 2,
        'tarry_rule_matches_total{rule="nobody",mode="enforce"}': 0,
    }.items():
        wait_until(lambda: tarryd.metric(name) == want, f"{name} {want}")
    tarryd.reload(classes=class_text("best"),
                  rules="[rule all]\nclass = best")
    mail(tarryd)
    name = 'tarry_connections_closed_total{class="%s",end="quit"}'
    wait_until(lambda: tarryd.metric(name % "best") == 1, "the third")
    assert tarryd.metric(name % "new") == 2


@pytest.mark.skipif(os.geteuid() != 0, reason="only root drops rights")
def test_a_file_that_only_root_can_read(start, start_sink):
    tarryd = start(start_sink().port).wait_ready()
    tarryd.file.chmod(0o600)
    tarryd.hang_up(REFUSED)
    assert "cannot be opened: Permission denied" in tarryd.log
    assert re.search("user id [1-9][0-9]* must be able to read the file",
                     tarryd.log)
    mail(tarryd)


def test_a_signal_during_a_reload_is_not_lost(start, start_sink, place):
    """What was written before it is read."""
    nets = place / "nets"
    nets.write_text("".join(f"10.{i // 65536}.{i // 256 % 256}.{i % 256}\n"
                            for i in range(100000)))
    text = f"[rule r%d]\nnetwork = @{nets}\nclass = new\n"
    tarryd = start(start_sink().port).wait_ready()
    for i in range(0, 20, 2):
        for number in (i, i + 1):
            tarryd.write(rules=text % number)
            tarryd.send_signal(signal.SIGHUP)
        name = f'tarry_rule_matches_total{{rule="r{i + 1}",mode="enforce"}}'
        wait_until(lambda: tarryd.metric(name) is not None, name)
    assert REFUSED not in tarryd.log
    mail(tarryd)
