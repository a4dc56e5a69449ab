"""Situations, and whether `tarryctl explain` names what is really the cause.

Each row stands for a session brought about by a real client; the cause is
known because the situation was made, and nothing else was."""
import contextlib
import json
import re
import signal
import socket
import time

import pytest

from conftest import Client, wait_until
from scripted_mta import ScriptedMta

BASE = """
[tarry]
mode = {mode}
workers = {workers}
[listen smtp]
address = 127.0.0.1:0
[mta]
address = 127.0.0.1:1
client_address = none
open_relay_checked = yes
max_connections = {slots}
reserve = 0%
[budget]
session = {budget}
[http]
address = 127.0.0.1:0
[control]
socket = {socket}
[log]
addresses = {addresses}
[learn]
capacity = {capacity}
"""
SHAPES = """
[class held]
greet = 20s
[class slow]
greet = 100ms
reply = 9s
[class upload]
greet = 0s
data_rate = 1k
[class single]
greet = 0s
client_sessions = 1
"""
DEFAULTS = {"mode": "enforce", "slots": 20, "budget": "2m", "capacity": 0,
            "workers": 1, "addresses": "full"}
EVERYONE = "[rule all]\nclass = {}\n"


class Site:
    def __init__(self, tarryd, mta):
        self.tarryd, self.mta = tarryd, mta

    def explain(self, whom="127.0.0.1"):
        """The answer by kind; rules as a list."""
        told = {"rules": []}
        for line in self.tarryd.ask("explain", whom):
            if "rule" in line:
                told["rules"].append(line)
            else:
                told.update({key: line[key] for key in line})
        return told

    def cause(self, pattern, whom="127.0.0.1"):
        """Waits until that is the cause."""
        def look():
            told = self.explain(whom)
            return told if re.search(pattern, told.get("cause", "")) else None
        try:
            return wait_until(look, pattern)
        except BaseException:
            print(self.explain(whom))
            raise


@pytest.fixture
def site(start_tarryd, control_path):
    """site(rules, script, key=value ..) -> a Site, ready."""
    with contextlib.ExitStack() as stack:
        def start(rules, script=None, **keys):
            mta = ScriptedMta()
            mta.script = {**mta.script, **(script or {})}
            stack.callback(mta.socket.close)
            path = control_path()
            text = BASE.format(**{**DEFAULTS, **keys}, socket=path)
            tarryd = start_tarryd(mta.port, text=text + SHAPES + rules)
            tarryd.control = path
            return Site(tarryd.wait_ready(), mta)
        yield start


def talk(client, *lines):
    """Up to the answer of all but the last line, which is said."""
    client.reply()
    for line in lines[:-1]:
        client.ask(line)
    client.send(lines[-1] + "\r\n")


def test_01_no_rule_decides(site):
    there = site("")
    with there.tarryd.connect() as client:
        client.reply()
        told = there.cause("^no delays: class pass; nothing of it is held")
    assert told["in_force"]["rule"] == "-" and told["rules"] == []


def test_02_a_friend_by_network(site):
    there = site("[rule friends]\nnetwork = 192.0.2.0/24, 127.0.0.0/8\n"
                 "class = pass\n" + EVERYONE.format("held"))
    with there.tarryd.connect() as client:
        client.reply()
        told = there.cause("^no delays: class pass")
    rule, = told["rules"]
    assert rule["decides"] and rule["conditions"] == [
        {"condition": "network = 127.0.0.0/8, 192.0.2.0/24",
         "value": "127.0.0.1", "says": "holds"}]


def test_03_the_greeting_is_held(site):
    there = site("[rule elsewhere]\nnetwork = 192.0.2.0/24\nclass = pass\n"
                 + EVERYONE.format("held"))
    with there.tarryd.connect():
        told = there.cause("^its greeting is held for 20.0 s.* rule all gave "
                           "class held$")
    assert [(r["rule"], r["holds"], r["decides"]) for r in told["rules"]] == \
        [("elsewhere", False, False), ("all", True, True)]
    assert told["rules"][0]["conditions"][0]["says"] == "fails"
    assert told["held"] and told["phase"] == "greet"


def test_04_a_reply_is_held(site):
    there = site(EVERYONE.format("slow"))
    with there.tarryd.connect() as client:
        talk(client, "EHLO client.example")
        told = there.cause("^a reply is held, 9.0 s or less: rule all gave "
                           "class slow$")
    assert told["phase"] == "relay"


def test_05_an_early_talker(site):
    there = site("[rule early]\nearly_talker = yes\nclass = held\n"
                 + EVERYONE.format("slow"))
    with there.tarryd.connect() as client:
        client.send("EHLO early.example\r\n")
        told = there.cause("rule early gave class held$")
    assert told["facts"]["early_talker"] == "yes"


def test_06_points_of_two_sources(site):
    there = site("[score]\nearly_talker = 2\n"
                 "[rule here]\nnetwork = 127.0.0.0/8\nadd = 3\n"
                 "[rule worst]\nscore = 5..\nsources = 2..\nclass = held\n"
                 + EVERYONE.format("slow"))
    with there.tarryd.connect() as client:
        client.send("EHLO early.example\r\n")
        told = there.cause("rule worst gave class held$")
    assert (told["plan"]["score"], told["plan"]["sources"]) == (5, 2)
    here, worst = told["rules"]
    assert here["effect"] == "add 3" and not here["decides"]
    assert worst["conditions"] == [
        {"condition": "score = 5..", "value": "5", "says": "holds"},
        {"condition": "sources = 2..", "value": "2", "says": "holds"}]


def test_07_a_rule_in_shadow_is_skipped(site):
    there = site("[rule new_idea]\nnetwork = 127.0.0.0/8\nmode = shadow\n"
                 "class = slow\n" + EVERYONE.format("held"))
    with there.tarryd.connect():
        told = there.cause("rule all gave class held$")
    idea = told["rules"][0]
    assert idea["shadow"] and idea["holds"] and not idea["decides"]
    assert told["plan"]["shadow_rule"] == "new_idea"


def test_08_shadow_mode(site):
    there = site(EVERYONE.format("held"), mode="shadow")
    with there.tarryd.connect() as client:
        client.reply()
        told = there.cause("^shadow mode: nothing is delayed; nothing of it")
    assert told["in_force"]["class"] == "held"
    assert told["in_force"]["mode"] == "shadow"


def test_09_no_free_connection_to_the_mta(site):
    there = site("", slots=1)
    with there.tarryd.connect() as first:
        first.reply()
        with there.tarryd.connect("127.0.0.2"):
            told = there.cause("^no delays: class pass; it waits for a free "
                               "connection to the MTA$", "127.0.0.2")
    assert told["phase"] == "gate"


def test_10_the_cap_of_its_class_is_full(site):
    there = site(EVERYONE.format("single"))
    with there.tarryd.connect() as first:
        first.reply()
        with there.tarryd.connect() as second:
            port = second.socket.getsockname()[1]
            told = there.cause("it waits for a place in its class",
                               f"127.0.0.1:{port}")
    assert told["facts"]["client.sessions"] == "2"


def test_11_released(site):
    there = site(EVERYONE.format("held"))
    with there.tarryd.connect() as client:
        there.cause("^its greeting is held")
        begun = time.monotonic()
        done = there.tarryd.ctl("release", "127.0.0.1")
        assert (done.returncode, done.stdout) == \
            (0, "1 session was released\n")
        assert client.reply().startswith("220 ")
        assert client.ask("EHLO client.example").startswith("250")
        assert time.monotonic() - begun < 1
        there.cause("^its delays were ended: released; nothing of it is held")
    assert there.tarryd.metric("tarry_sessions_released_total") == 1
    assert "was released" in there.tarryd.log


def test_12_shutting_down(site):
    there = site(EVERYONE.format("held"))
    with there.tarryd.connect() as client:
        there.cause("^its greeting is held")
        there.tarryd.send_signal(signal.SIGTERM)
        client.reply()
        there.cause("^tarryd shuts down, so all delays have ended")


def test_13_the_upload_is_slowed(site):
    there = site(EVERYONE.format("upload"))
    with there.tarryd.connect() as client:
        talk(client, "EHLO client.example", "MAIL FROM:<a@b.example>",
             "RCPT TO:<c@d.example>", "DATA")
        client.reply()
        client.send("Subject: x\r\n\r\n" + ("x" * 70 + "\r\n") * 500)
        there.cause("^its upload is read at 1024 bytes a second: rule all "
                    "gave class upload$")


def test_14_tls_passes_through(site):
    there = site("", {"EHLO": b"250-mta.example\r\n250 STARTTLS\r\n",
                      "STAR": b"220 go ahead\r\n"})
    with there.tarryd.connect() as client:
        talk(client, "EHLO client.example", "STARTTLS")
        client.reply()
        client.send(b"\x16\x03\x01\x00\xff")
        there.cause("what it says is not read, as it is TLS")


def test_15_the_mta_is_gone(site):
    there = site("")
    there.mta.socket.shutdown(socket.SHUT_RDWR)
    there.mta.socket.close()
    with there.tarryd.connect():
        told = there.cause("it waits for the MTA to take the connection")
    # Refused at once, so it is mostly seen between two dials.
    assert told["phase"] in ("dial", "greet")


def test_16_the_mta_does_not_greet(site):
    there = site("", {"greeting": b"220-wait\r\n"})
    with there.tarryd.connect():
        there.cause("^no delays: class pass; it waits for the MTA's greeting$")


def test_17_an_address_without_a_session(site):
    there = site("[rule friends]\nnetwork = 192.0.2.0/24\nclass = pass\n"
                 "[rule windows]\nfamily = 128:*:\nclass = slow\n"
                 + EVERYONE.format("held"), capacity=1024)
    told = there.explain("192.0.2.77")
    assert told["what_if"] and told["plan"]["rule"] == "friends"
    told = there.explain("198.51.100.1")
    assert told["plan"]["class"] == "held"
    assert told["rules"][1]["conditions"] == [
        {"condition": "family = 128:*:", "value": None, "says": "absent"}]
    assert told["facts"]["proven"] == "no"
    assert "no session" in told["cause"]


def test_18_what_is_not_known_does_not_hold(site):
    there = site("[rule nameless]\nnot.ptr = confirmed\nclass = slow\n"
                 + EVERYONE.format("held"))
    with there.tarryd.connect():
        told = there.cause("rule all gave class held$")
    assert told["rules"][0]["conditions"] == [
        {"condition": "not.ptr = confirmed", "value": None, "says": "absent"}]


def test_19_the_budget_cuts_the_plan(site):
    there = site("[class long]\ngreet = 25s\nreply = 15s\n"
                 + EVERYONE.format("long"))
    with there.tarryd.connect():
        told = there.cause("^its greeting is held for 20.0 s")
    assert told["plan"]["cut_greet_ms"] == 5000
    assert told["plan"]["cut_reply_ms"] == 6000
    said = there.tarryd.ctl("explain", "127.0.0.1").stdout
    with there.tarryd.connect("127.0.0.3"):
        said = there.tarryd.ctl("explain", "127.0.0.3").stdout
    assert "the budget took 5.0s off the greeting's delay" in said


def test_20_the_budget_is_used_up(site):
    there = site("[class brief]\ngreet = 1s\nreply = 1s\n"
                 + EVERYONE.format("brief"), budget="1s")
    with there.tarryd.connect() as client:
        talk(client, "EHLO client.example", "NOOP")
        there.cause("^the budget of delay is used up")


def test_21_errors_of_the_session(site):
    there = site("[rule guesser]\nsession.unknown_users = 2..\n"
                 "class = slow\n", {"RCPT": b"550 5.1.1 unknown\r\n"})
    with there.tarryd.connect() as client:
        talk(client, "EHLO client.example", "MAIL FROM:<a@b.example>",
             "RCPT TO:<1@d.example>", "RCPT TO:<2@d.example>",
             "RCPT TO:<3@d.example>")
        told = there.cause("rule guesser gave class slow$")
    assert told["rules"][0]["conditions"][0]["value"] in ("2", "3")


def test_the_syn_and_the_listener_are_told(site):
    there = site("[rule lo]\nlistener = smtp\nstack = *:*:*:*,*:*:*:*\n"
                 "class = held\n")
    with there.tarryd.connect():
        told = there.cause("rule lo gave class held$")
    facts = told["facts"]
    assert facts["listener"] == "smtp" and facts["distance"] == "0"
    assert facts["network"] == "127.0.0.1"
    assert re.match(r"4:64:0:\d+:.*:mss,", facts["syn"])
    assert {c["says"] for c in told["rules"][0]["conditions"]} == {"holds"}


def test_by_id_by_port_and_the_latest_of_a_client(site):
    there = site(EVERYONE.format("held"))
    clients = [there.tarryd.connect() for _ in range(3)]
    ports = [client.socket.getsockname()[1] for client in clients]
    wait_until(lambda: len(there.tarryd.ask("sessions")) == 3, "three")
    rows = {row["client"]: row["id"] for row in there.tarryd.ask("sessions")}
    for client, number in rows.items():
        told = there.explain(str(number))
        assert told["session"] == number and told["client"] == client
    told = there.explain(f"127.0.0.1:{ports[0]}")
    assert told["session"] == rows[f"127.0.0.1:{ports[0]}"] \
        if f"127.0.0.1:{ports[0]}" in rows else told["session"]
    assert there.explain()["session"] == max(rows.values())
    done = there.tarryd.ctl("release", f"127.0.0.1:{ports[1]}")
    assert done.returncode == 0
    assert clients[1].reply().startswith("220 ")
    assert there.tarryd.ask("release", "127.0.0.1")[0]["released"] == 3
    for client in clients:
        client.close()


@pytest.mark.parametrize("verb", ["explain", "release"])
@pytest.mark.parametrize("whom, said", [
    ("999999", "there is no such session"),
    ("192.0.2.1:25", "there is no such session"),
    ("0", "expected a client's address"),
    ("nonsense", "expected a client's address"),
    ("192.0.2.1/24", "expected a client's address")])
def test_nobody_there(site, verb, whom, said):
    there = site("")
    done = there.tarryd.ctl(verb, whom)
    assert done.returncode == 1 and said in done.stderr


def test_many_sessions_of_several_workers(site):
    there = site(EVERYONE.format("held"), workers=3)
    ports = [int(port) for port in
             re.findall(r'listening on \S*:(\d+)"', there.tarryd.log)]
    clients = [Client(port, f"127.0.1.{i}") for i in range(1, 9)
               for port in ports]
    wait_until(lambda: there.tarryd.metric("tarry_connections_held") ==
               len(clients), "all of them")
    there.cause("^its greeting is held", "127.0.1.8")
    done = there.tarryd.ask("release", "127.0.1.5")
    assert done[0] == {"released": len(ports)}
    for client in clients:
        client.close()


def test_log_addresses_is_kept_to(site):
    there = site(EVERYONE.format("held"), addresses="network")
    with there.tarryd.connect():
        there.cause("^its greeting is held")
        done = there.tarryd.ask("explain", "127.0.0.1")
    assert "127.0.0.1" not in json.dumps(done)
