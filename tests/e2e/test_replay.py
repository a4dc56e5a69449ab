"""tarryctl replay: a journal's decisions made again, by the same rules and by
others; the others say what a live run by them says."""
import concurrent.futures
import json
import os
import struct
import subprocess

import pytest

import journal_reader
from conftest import BUILD, DEADLINE, send_mail
from test_journal import ended, journal  # noqa: F401
from test_reload import OK, class_text, place, start  # noqa: F401
from test_signature import syn_bytes

CLASSES = "\n".join([
    class_text("new", greet="300ms", teaser="yes"),
    class_text("slow", greet="500ms", reply="100ms", error="200ms",
               client_sessions=3),
    class_text("worst", greet="600ms", reply="200ms", drip="50ms")])
RULES = """
[score]
early_talker = 2
non_smtp = 3
[rule friend]
network = 127.0.1.0/24
class = pass
[rule many]
session.errors = 2..
class = worst
[rule later]
session.recipients = 2..
mode = shadow
class = worst
[rule odd]
score = 2..
class = slow
[rule here]
listener = smtp
distance = 0
syn = *:64:0:*:*,*:*:*:0
network = 127.0.2.0/24
class = slow
[rule everyone]
class = new
"""
OTHERS = RULES.replace("127.0.1.0", "127.0.3.0") \
    .replace("errors = 2", "errors = 1") \
    .replace("score = 2", "score = 3") \
    .replace("mode = shadow\n", "")


def ctl(*words):
    return subprocess.run(
        [BUILD / "tarryctl", *map(str, words)], text=True, timeout=DEADLINE,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE)


def replay(path, rules, *words):
    done = ctl("--json", "replay", path, "--rules", rules, *words)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    return done, rows


def errors(client, count):
    assert client.reply().startswith("220")
    client.ask("EHLO client.example")
    for _ in range(count):
        assert client.ask("RCPT TO:<a@b.example>").startswith("503")
    client.ask("QUIT")


def recipients(client):
    assert client.reply().startswith("220")
    for text in ("EHLO client.example", "MAIL FROM:<a@b.example>",
                 "RCPT TO:<c@d.example>", "RCPT TO:<e@d.example>",
                 "RCPT TO:<f@d.example>", "DATA"):
        client.ask(text)
    assert client.ask("Subject: x\r\n\r\nhello\r\n.").startswith("250")
    client.ask("QUIT")


def early(client):
    client.send("EHLO client.example\r\n")
    assert client.reply().startswith("220")
    assert client.reply().startswith("250")
    client.ask("QUIT")


def no_smtp(client):
    client.send("GET / HTTP/1.1\r\n")
    client.reply()
    client.reply()
    client.ask("QUIT")


def gives_up(client):
    client.line()


def mail(client):
    assert [reply[:3] for reply in send_mail(client)] == OK


def play(tarryd):
    """Each client has an address of its own; how many there were."""
    plays = [mail, early, no_smtp, recipients, gives_up,
             lambda c: errors(c, 1), lambda c: errors(c, 3)]
    acts = [(f"127.0.{network}.{host + 1}", act) for network in range(4)
            for host, act in enumerate(plays * 2)]

    def one(row):
        with tarryd.connect(row[0]) as client:
            row[1](client)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(one, acts))
    return len(acts)


@pytest.fixture
def run(journal, place):  # noqa: F811
    """run(rules) -> (tarryd, lines), all sessions over."""
    def run_one(rules, **values):
        count = len(list(place.glob("journal*")))
        tarryd = journal(classes=CLASSES, rules=rules,
                         path=place / f"journal{count}", **values)
        lines = ended(tarryd, play(tarryd))
        tarryd.stop()
        return tarryd, lines
    return run_one


def last_plans(lines):
    """client -> (rule, class, mode, rule in shadow) of its last plan."""
    found = {}
    for session in journal_reader.sessions(lines).values():
        plans = [line["plan"] for line in session if line["ev"] == "plan"]
        found[session[0]["client"]] = tuple(
            plans[-1].get(key) for key in ("rule", "class", "mode",
                                           "shadow_rule"))
    return found


def test_the_same_rules_decide_the_same_and_others_as_a_live_run(run, place):  # noqa: F811,E501
    tarryd, lines = run(RULES)
    done, rows = replay(tarryd.journal, tarryd.file)
    plans = sum(line["ev"] == "plan" for line in lines)
    assert done.returncode == 0, done.stderr
    assert rows[0]["decisions"] == rows[0]["same_rules"] == plans > 100
    assert rows[0]["not_reproduced"] == rows[0]["sessions_otherwise"] == 0
    assert {plan[0] for plan in last_plans(lines).values()} == \
        {"friend", "many", "odd", "here", "everyone"}

    other, others = run(OTHERS)
    done, rows = replay(tarryd.journal, other.file, "--against", tarryd.file)
    assert done.returncode == 0, done.stderr
    assert (rows[0]["same_rules"], rows[0]["other_rules"]) == (plans, 0)
    foreseen = last_plans(lines)
    for row in rows:
        if "session" in row:
            foreseen[row["client"]] = tuple(
                row["last"].get(key) for key in ("rule", "class", "mode",
                                                 "shadow_rule"))
    live = last_plans(others)
    assert foreseen == live
    assert foreseen != last_plans(lines)
    assert rows[1]["good_mail_sessions"] > 0
    for who in ("leaving", "leaving_good"):
        assert 0 <= rows[1][who]["least"] <= rows[1][who]["most"] \
            <= rows[1][who]["of"]

    # Rules that did not make them are told from those that did.
    done, rows = replay(tarryd.journal, tarryd.file, "--against", other.file)
    assert done.returncode == 1
    assert rows[0]["not_reproduced"] > 0
    assert "did not come out as they were made" in done.stderr
    assert "made by other rules" in done.stderr
    done, rows = replay(tarryd.journal, other.file)
    assert done.returncode == 0 and rows[0]["same_rules"] == 0


def test_a_decision_that_is_not_made_again_is_named(run, place):  # noqa: F811
    tarryd, _lines = run(RULES)
    text = tarryd.journal.read_text()
    forged = place / "forged"
    forged.write_text(text.replace('"class":"slow"', '"class":"new"', 1))
    done, rows = replay(forged, tarryd.file)
    assert done.returncode == 1
    assert rows[0]["not_reproduced"] == 1
    assert "decide otherwise: class new -> slow" in done.stderr


GOOD = {"t": 1, "w": 0, "n": 0, "ev": "open", "id": 1, "client": "192.0.2.1"}
PLAN = {"t": 1, "w": 0, "n": 1, "ev": "plan", "id": 1, "at": 0,
        "plan": {"rule": "everyone", "class": "new", "mode": "enforce"},
        "facts": {"network": "192.0.2.1"}}


def other_plan(**values):
    return json.dumps({**PLAN, **values})


@pytest.mark.parametrize("line,why", [
    ("{", "skipped"), ("", "skipped"), ("\0\0\xff", "skipped"),
    ("[1]", 'no "ev"'), ("7", "skipped"), ('{"ev":7}', 'no "ev"'),
    ('{"ev":"plan"', "skipped"), ("[" * 5000, "skipped"),
    ('{"ev":"new"}', "a kind that is not known"),
    ('{"ev":"plan","id":99}', "beginning is not there"),
    ('{"ev":"plan","id":-1}', "a kind that is not known"),
    (other_plan(plan=None), "not an object"),
    (other_plan(plan={}), "no rule or class"),
    (other_plan(plan={"rule": 7}), "not known, or of another type"),
    (other_plan(plan={"greet_ms": -1}), "not known, or of another type"),
    (other_plan(plan={"greet_ms": 2 ** 40}), "not known, or of another type"),
    (other_plan(plan={"later": 1}), "not known, or of another type"),
    (other_plan(facts=None), "no facts"), (other_plan(facts=[]), "no facts"),
    (other_plan(facts={"syn": "x"}), "SYN is not understood"),
    (other_plan(facts={"syn": ":" * 5000}), "SYN is not understood"),
    (other_plan(facts={"network": "300.1.1.1"}), "not understood"),
    (other_plan(facts={"label": "x" * 70000}), "not understood"),
    (other_plan(facts={"client.rate": 2 ** 33}), "not understood"),
    (other_plan(facts={"ptr": "perhaps"}), "not understood"),
    (other_plan(facts={"mood": 1}), "facts that are not known here"),
    (other_plan(facts={"lists": ",,:,a:1,:"}), ""),
    (other_plan(facts={"network": "-"}), "whole address"),
    (other_plan(n=9), "7 lines are missing"),
    (other_plan(ev="notes", notes=[[], 7, [1, "QUIT", 9 ** 9, 1, 1],
                                   [0, "greeting", 0, 10 ** 9, 1],
                                   {"a": 1}]), ""),
    (other_plan(ev="syn", syn="zz"), ""),
    (other_plan(ev="syn", syn="45" * 4000), ""),
    (other_plan(ev="end", held_ms=10 ** 18, delivered=-3), ""),
    (other_plan(ev="verdict", verdict=[1]), "")])
def test_what_is_broken_is_counted_and_the_rest_is_read(place, line, why):  # noqa: F811,E501
    path = place / "journal"
    path.write_text("\n".join([json.dumps(GOOD), other_plan(), line,
                               json.dumps({**GOOD, "id": 2, "n": 2}),
                               other_plan(id=2, n=3), '{"t":1,"w":0']))
    done = ctl("--json", "replay", path)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(text) for text in done.stdout.splitlines()]
    assert rows[0]["decisions"] >= 2 and rows[0]["sessions"] == 2
    assert why in done.stderr
    assert rows[0]["bad_lines"] >= 1  # the half one at the end
    assert ctl("replay", path).returncode == 0


def test_files_without_a_decision_are_refused(place):  # noqa: F811
    empty = place / "empty"
    empty.write_text("")
    noise = place / "noise"
    noise.write_bytes(os.urandom(100000))
    for path in (empty, noise, place / "none", place):
        done = ctl("replay", path)
        assert (done.returncode, done.stdout.count("\n") < 4) == (1, True)
        assert str(path) in done.stderr
    assert ctl("replay", empty, "--rules", place / "none").returncode == 1


def test_a_capture_tells_the_first_plan_of_each_syn(place):  # noqa: F811
    rules = place / "rules.ini"
    rules.write_text("[listen smtp]\naddress = 127.0.0.1:0\n[class a]\ngreet = 1s\n[class b]\ngreet = 2s\n"
                     "[rule far]\ndistance = 5..\nclass = b\n"
                     "[rule everyone]\nclass = a\n")
    packets = [syn_bytes(port=1), syn_bytes(port=2), syn_bytes(port=2),
               syn_bytes(ttl=50, port=3), b"\x45junk"]
    path = place / "x.pcap"
    path.write_bytes(struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535,
                                 101) +
                     b"".join(struct.pack("<IIII", 1, 0, len(p), len(p)) + p
                              for p in packets))
    done, rows = replay(path, rules)
    assert done.returncode == 0, done.stderr
    assert {(row["class"], row["rule"]): row["syns"] for row in rows} == \
        {("a", "everyone"): 2, ("b", "far"): 1}
    assert "1 SYNs were sent again" in done.stderr
    assert "only the SYN is known" in ctl("replay", path, "--rules",
                                          rules).stdout
    done, rows = replay(path, rules, "--against", rules)
    assert rows[0]["against"]["class"] == rows[0]["class"]


def test_lint_tells_of_rules_that_do_nothing(place):  # noqa: F811
    assert (ctl("lint").returncode, ctl("lint").stdout) == (0, "")
    rules = place / "rules.ini"
    rules.write_text("[listen smtp]\naddress = 127.0.0.1:0\n"
                     "[rule a]\nmss = 1000..1500\nclass = pass\n"
                     "[rule b]\nmss = 1200\nclass = pass\n")
    done = ctl("lint", rules)
    assert (done.returncode, done.stdout) == (
        3, f"{rules}:6: warning: [rule b]: is never reached, [rule a] in "
        "line 3 decides whenever it holds; put it in front\n")
    note = json.loads(ctl("--json", "lint", rules).stdout)
    assert (note["kind"], note["line"]) == ("warning", 6)
    rules.write_text("[rule]\n")
    assert ctl("lint", rules).returncode == 1
