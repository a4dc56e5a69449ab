"""tarryctl simulate: no daemon, a scenario and rules."""
import json
import random
import subprocess

import pytest

from conftest import BUILD, DEADLINE, TOP, shipped_config

KIND = "[kind k]\nper_minute = 60\nnetwork = 192.0.2.0/24\nclients = 200\n"


def ctl(*words):
    return subprocess.run(
        [BUILD / "tarryctl", *map(str, words)], text=True,
        timeout=DEADLINE * 3, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.fixture
def simulate(tmp_path):
    """simulate(scenario, section__key=value ..) -> the object."""
    def run(scenario, **keys):
        rules, path = tmp_path / "rules.ini", tmp_path / "scenario.ini"
        rules.write_text(shipped_config(**keys))
        path.write_text(scenario)
        done = ctl("--json", "--rules", rules, "simulate", path)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)
    return run


def kinds(got):
    return {kind["kind"]: kind for kind in got["kinds"]}


def test_the_example_is_played():
    done = ctl("simulate", TOP / "config/scenario.ini")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    for word in ("providers", "strangers", "zombies", "listed", "storm",
                 "held", "MTA connections", "sessions a minute"):
        assert word in done.stdout


def test_it_is_the_same_each_time_and_another_with_another_seed():
    def play(text):
        done = subprocess.run(
            [BUILD / "tarryctl", "--json", "simulate", "-"], text=True,
            input=text, stdout=subprocess.PIPE, timeout=DEADLINE, check=True)
        got = json.loads(done.stdout)
        del got["wall_s"], got["sessions_a_minute"]
        return got
    text = (TOP / "config/scenario.ini").read_text()
    assert play(text) == play(text)
    assert play(text) != play(text.replace("seed = 1", "seed = 2"))


def test_what_is_held_over_time_is_its_mean():
    got = json.loads(ctl("--json", "simulate",
                         TOP / "config/scenario.ini").stdout)
    held = got["held"]["steps"]
    assert sum(held) / len(held) == pytest.approx(got["held"]["mean"])
    assert sum(kind["held_mean"] for kind in got["kinds"]) == \
        pytest.approx(got["held"]["mean"], rel=0.01)


def a_scenario(dice):
    """Anything that may stand there."""
    def span(low, high, unit):
        a, b = sorted(dice.randint(low, high) for _ in "ab")
        return f"{a}{unit}..{b}{unit}"
    lines = [
        "[scenario]", f"for = {dice.randint(5, 300)}s",
        f"max_sessions = {dice.choice([1, 5, 40, 500, 5000])}", "[mta]",
        f"greeting = {span(0, dice.choice([5, 500, 9000]), 'ms')}",
        f"reply = {span(0, dice.choice([5, 900]), 'ms')}",
        f"dot = {span(0, 3000, 'ms')}",
        f"max_connections = {dice.choice([1, 3, 20, 200])}"]
    for number in range(dice.randint(1, 5)):
        lines += [
            f"[kind k{number}]",
            f"per_minute = {dice.choice([1, 20, 300, 3000])}",
            f"network = {dice.choice(['10.0.0.0/8', '2001:db8::/32'])}",
            f"clients = {dice.choice([1, 100, 70000])}",
            f"patience = {span(0, dice.choice([3, 20, 300]), 's')}",
            f"rtt = {span(0, 300, 'ms')}", f"messages = {span(0, 4, '')}",
            f"recipients = {span(1, 8, '')}",
            f"size = {span(1, dice.choice([100, 90000]), '')}",
            f"total = {dice.choice(['0', '30s'])}",
            f"pause = {dice.choice(['0', '1s'])}",
            f"tries = {dice.randint(1, 5)}"]
        lines += [f"{key} = {dice.choice([0, 50, 100])}%" for key in
                  ("early", "tls", "unknown", "deferred", "refused")]
        lines += [f"{key} = {dice.choice(words.split())}" for key, words in (
            ("pipelining", "yes no"), ("arrivals", "random even"),
            ("reputation", "good unknown suspect bad"),
            ("dnsbl", "0 2"), ("retry", "0 10s 2m"))]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("seed", range(30))
def test_whatever_is_played_adds_up(simulate, seed):
    got = simulate(a_scenario(random.Random(seed)))
    for kind in got["kinds"]:
        assert kind["messages"] == kind["taken"] + kind["refused"] + \
            kind["lost"] + kind["waiting"], kind
        assert sum(kind["classes"].values()) == kind["sessions"]
        assert sum(kind["ended"].values()) == kind["sessions"]
        assert "bug" not in kind["ended"]
    assert sum(k["sessions"] + k["no_room"] for k in got["kinds"]) == \
        got["sessions"]
    assert got["mta_connections"]["max"] <= got["max_connections"]
    assert got["held"]["max"] <= got["open"]["max"]
    # The budget, the longest patience with the MTA, and lingering.
    assert got["over_s"] <= got["for_s"] + 900


def test_who_is_given_a_class_waits_as_it_says(simulate):
    """A greet of 3 s, no more: all of it is the delay."""
    kind = kinds(simulate(KIND))["k"]
    assert kind["classes"] == {"new": kind["sessions"]}
    assert kind["delay"]["p50_s"] == pytest.approx(3, abs=0.05)
    assert kind["delay"]["p99_s"] == pytest.approx(3, abs=0.05)
    assert kind["taken"] == kind["messages"] == kind["sessions"]


@pytest.mark.parametrize("fact, class_name", [
    ("proven = yes", "pass"), ("dnsbl = 2", "watch"),
    ("reputation = bad", "slow"), ("reputation = bad\ndnsbl = 3", "tarpit"),
    ("reputation = suspect", "slow"), ("early = 100%", "watch")])
def test_facts_of_a_kind_are_what_rules_see(simulate, fact, class_name):
    kind = kinds(simulate(KIND + "patience = 0\n" + fact + "\n"))["k"]
    assert kind["classes"] == {class_name: kind["sessions"]}


def test_rules_see_network_and_syn(tmp_path):
    syn = "4:64:0:1460:mss*44,7:mss,sok,ts,nop,ws:df,id+:0"
    rules = tmp_path / "rules.ini"
    rules.write_text(shipped_config().replace("[rule worst]", f"""\
[rule one]
network = 192.0.2.0/25
class = slow
[rule other]
syn = {syn}
client.sessions = 1
class = watch
[rule worst]"""))
    path = tmp_path / "s.ini"
    path.write_text(f"""\
[kind one]
per_minute = 3
network = 192.0.2.64/26
clients = 1
[kind other]
per_minute = 60
network = 198.51.100.0/24
clients = 250
syn = {syn}
[kind neither]
per_minute = 60
network = 203.0.113.0/24
clients = 250
""")
    done = ctl("--json", "--rules", rules, "simulate", path)
    got = kinds(json.loads(done.stdout))
    assert set(got["one"]["classes"]) == {"slow"}
    assert set(got["other"]["classes"]) >= {"watch"}
    assert set(got["neither"]["classes"]) == {"new"}


def test_the_impatient_leave_when_their_patience_ends(simulate):
    kind = kinds(simulate(KIND + "patience = 2s\nretry = 1m\ntries = 3\n"))["k"]
    assert kind["gave_up"] == kind["sessions"] > 0
    assert kind["gave_up_after"]["p50_s"] == pytest.approx(2, abs=0.05)
    assert kind["retries"] > 0 and kind["taken"] == 0
    assert kind["lost"] > 0 and kind["waiting"] > 0


def test_a_million_sessions_are_played_in_a_minute(simulate):
    """Of so few slots that most wait, and of too few sessions: what finds
    no place hears 421, and comes and goes as real clients do."""
    got = simulate("[scenario]\nfor = 10m\nmax_sessions = 20000\n" + KIND
                   .replace("per_minute = 60", "per_minute = 100000")
                   .replace("192.0.2.0/24", "10.0.0.0/8")
                   .replace("clients = 200", "clients = 1000000"),
                   mta__max_connections="500")
    assert got["sessions"] == pytest.approx(1000000, rel=0.01)
    print(f"\n{got['sessions']} sessions in {got['wall_s']:.1f} s, "
          f"{got['sessions_a_minute']:.0f} a minute")
    assert got["sessions_a_minute"] > 1000000
    kind = kinds(got)["k"]
    assert kind["no_room"] < 0.01 * got["sessions"]
    assert kind["taken"] > 0.7 * got["sessions"]
    assert kind["taken"] + kind["told_421"] + kind["no_room"] == \
        got["sessions"]


def test_mistakes_are_told_with_their_place(tmp_path):
    path = tmp_path / "s.ini"
    path.write_text(KIND + "patiense = 5s\nlistener = two\n")
    done = ctl("simulate", path)
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr == (f"{path}:5: k.patiense: unknown key, did you mean "
                           "\"patience\"?\n")
    path.write_text(KIND + "listener = two\n")
    done = ctl("simulate", path)
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr == (
        f"{path}:1: k.listener: the rules have no [listen two], expected the "
        "name of one\n")
    done = ctl("simulate", tmp_path / "none.ini")
    assert done.returncode == 1
    assert "none.ini: No such file" in done.stderr
    assert ctl("simulate").returncode == 2
