"""tarryctl shadow: the mode of a rule, or of all, while tarryd runs."""
import pytest

from conftest import Tarryd, wait_until
from test_reload import place  # noqa: F401

RULES = """
[tarry]
mode = {mode}
[listen smtp]
address = 127.0.0.1:0
[mta]
address = 127.0.0.1:1
client_address = none
open_relay_checked = yes
[syn]
sidecar =
[http]
address = 127.0.0.1:0
[control]
socket = {socket}
[class held]
greet = 60s
[rule first]
network = 127.0.0.8
class = held
[rule second]
network = 127.0.0.9
class = held
"""


@pytest.fixture
def start(place, start_sink, control_path, tmp_path, running):  # noqa: F811
    def start_one(mode="enforce"):
        path = control_path()
        file = place / "tarry.ini"  # read again as somebody else
        file.write_text(RULES.format(mode=mode, socket=path))
        tarryd = Tarryd(tmp_path / "tarryd.log",
                        ["-c", file, "-l", "127.0.0.1:0",
                         f"127.0.0.1:{start_sink('none').port}"])
        tarryd.control, tarryd.file = path, file
        running.append(tarryd)
        return tarryd.wait_ready()
    return start_one


def modes(tarryd):
    said, = tarryd.ask("shadow")
    return said["mode"], {one["rule"]: one["mode"] for one in said["set"]}


def is_held(tarryd, source):
    """How the plan of a new session is, by the session's line."""
    before = tarryd.log.count("event=session")
    with tarryd.connect(source) as client:
        try:
            client.socket.settimeout(0.3)
            return not client.line()
        except TimeoutError:
            return True
        finally:
            client.close()
            wait_until(lambda: tarryd.log.count("event=session") > before,
                       "its end")


def test_one_rule_lets_go_and_holds_again(start):
    tarryd = start()
    assert modes(tarryd) == ("enforce", {})
    with tarryd.connect("127.0.0.8") as held, \
            tarryd.connect("127.0.0.9") as other:
        wait_until(lambda: tarryd.metric("tarry_connections_held") == 2,
                   "both")
        done = tarryd.ctl("shadow", "on", "first")
        assert done.returncode == 0, done.stderr
        assert "rule first: shadow, until the next reload" in done.stdout
        assert held.line().startswith(b"220")  # who was there is let go
        wait_until(lambda: tarryd.metric("tarry_connections_held") == 1,
                   "the other alone")
        tarryd.wait_log(r"shadow on for rule first by user id \d+, process "
                        r"\d+, until the next reload")
        other.close()
    assert modes(tarryd) == ("enforce", {"first": "shadow"})
    assert not is_held(tarryd, "127.0.0.8") and is_held(tarryd, "127.0.0.9")
    assert "modes were set by hand" in tarryd.ctl("status").stdout
    assert tarryd.ctl("shadow", "off", "first").returncode == 0
    assert is_held(tarryd, "127.0.0.8")
    assert modes(tarryd) == ("enforce", {"first": "enforce"})


def test_all_of_it(start):
    tarryd = start("shadow")
    assert not is_held(tarryd, "127.0.0.8")
    assert tarryd.ctl("shadow", "off").returncode == 0
    wait_until(lambda: tarryd.metric("tarry_shadow_mode") == 0, "enforce")
    assert is_held(tarryd, "127.0.0.8")
    assert modes(tarryd) == ("enforce", {None: "enforce"})
    assert tarryd.ctl("shadow", "on", "second").returncode == 0
    assert not is_held(tarryd, "127.0.0.9")
    # What the file says holds again.
    assert tarryd.ctl("reload").returncode == 0
    assert modes(tarryd) == ("shadow", {})
    assert not is_held(tarryd, "127.0.0.8")


def test_mistakes_change_nothing(start):
    tarryd = start()
    for words, status, why in (
            (("on", "frist"), 1, "there is no rule frist; is it first?"),
            (("on", "zebra"), 1, "there is no rule zebra: first, second"),
            (("maybe",), 1, "neither on nor off"),
            (("on", "first", "more"), 2, "")):
        done = tarryd.ctl("shadow", *words)
        assert done.returncode == status and why in done.stderr, done.stderr
    assert modes(tarryd) == ("enforce", {})
    # A file that was edited meanwhile is not read by the way.
    with open(tarryd.file, "a", encoding="ascii") as file:
        file.write("[rule third]\nclass = held\n")
    done = tarryd.ctl("shadow", "on", "first")
    assert done.returncode == 1 and "tarryctl reload" in done.stderr
    assert not is_held(tarryd, "127.0.0.1")
    assert tarryd.ctl("reload").returncode == 0
    assert is_held(tarryd, "127.0.0.1")
    assert tarryd.ctl("shadow", "on", "third").returncode == 0
    assert not is_held(tarryd, "127.0.0.1")
