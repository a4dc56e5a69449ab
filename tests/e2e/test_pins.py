"""tarryctl set and unset: what the operator says of a sender holds."""
import pytest

from conftest import wait_until
from test_memory import SLOW, good_mta, session, spam_filter  # noqa: F401


@pytest.fixture
def tarryd(start_tarryd, good_mta, control_path):  # noqa: F811
    return start_tarryd(good_mta.port, control__socket=control_path(),
                        **{**SLOW, "syn__kernel": "yes"}).wait_ready()


def pins(tarryd):
    return {one["who"]: one["reputation"] for one in tarryd.ask("set")}


def test_a_pin_holds_until_it_is_taken_back(tarryd):
    assert pins(tarryd) == {}
    assert "class=new" in session(tarryd, "127.0.7.1")
    done = tarryd.ctl("set", "127.0.7.1", "suspect", "1h")
    assert done.returncode == 0, done.stderr
    tarryd.wait_log(r"127\.0\.7\.1 is suspect for 3600 s, says user id \d+")
    line = session(tarryd, "127.0.7.1")
    assert "class=slow" in line and "reputation=suspect" in line
    assert "reputation_level=operator" in line
    assert "class=new" in session(tarryd, "127.0.7.2")
    assert pins(tarryd) == {"127.0.7.1": "suspect"}
    assert "suspect    0h 59m  127.0.7.1" in tarryd.ctl("set").stdout
    assert '"suspect"' in tarryd.ctl("--json", "explain", "127.0.7.1").stdout
    assert "pinned by the operator = suspect" in \
        tarryd.ctl("explain", "127.0.7.1").stdout
    assert tarryd.ctl("unset", "127.0.7.1").returncode == 0
    assert "reputation_level=operator" not in session(tarryd, "127.0.7.1")
    assert tarryd.ctl("unset", "127.0.7.1").returncode == 1


def test_the_smallest_network_wins_over_any_signature(tarryd):
    line = session(tarryd, "127.0.8.1")
    syn = line.split(" syn=")[1].split(" ")[0]
    for who, as_what in ((syn, "bad"), ("127.0.0.0/8", "suspect"),
                         ("127.0.8.0/24", "good")):
        assert tarryd.ctl("set", who, as_what).returncode == 0
    line = session(tarryd, "127.0.8.1")
    assert "rule=proven class=pass" in line and "reputation=good" in line
    assert "reputation=suspect" in session(tarryd, "127.0.9.1")
    assert tarryd.ctl("unset", "127.0.0.0/8").returncode == 0
    assert "reputation=bad" in session(tarryd, "127.0.9.1")
    # Of a session its SYN is known, so what is pinned on that is too.
    with tarryd.connect("127.0.9.1"):
        assert "pinned by the operator = bad" in \
            tarryd.ctl("explain", "127.0.9.1").stdout
    # What is learnt meanwhile is there when the pin is not.
    assert tarryd.ctl("unset", syn).returncode == 0
    assert "reputation_level=operator" not in session(tarryd, "127.0.9.1")


def test_pins_outlive_the_process(start_tarryd, good_mta,  # noqa: F811
                                  control_path):
    path = control_path()
    words = {**SLOW, "control__socket": path, "tarry__state": path + ".db",
             "tarry__state_interval": "1s"}
    first = start_tarryd(good_mta.port, **words).wait_ready()
    for who in ("127.0.7.1", "127.0.7.2", "127.0.7.3"):
        assert first.ctl("set", who, "bad", "for", "2h").returncode == 0
    assert first.ctl("set", "127.0.7.4", "bad", "1s").returncode == 0
    assert first.ctl("unset", "127.0.7.2").returncode == 0
    flushes = 'tarry_state_flushes_total{result="ok"}'
    seen = first.metric(flushes)
    # One that had begun before, and one that had not.
    wait_until(lambda: first.metric(flushes) > seen + 1, "two flushes")
    first.process.kill()
    first.process.wait()
    second = start_tarryd(good_mta.port, **words).wait_ready()
    assert pins(second) == {"127.0.7.1": "bad", "127.0.7.3": "bad"}
    left = [one["left_s"] for one in second.ask("set")]
    assert all(7100 < s <= 7200 for s in left), left
    assert second.ctl("unset", "127.0.7.3").returncode == 0
    assert second.ctl("set", "127.0.7.1", "good").returncode == 0
    second.stop()
    third = start_tarryd(good_mta.port, **words).wait_ready()
    assert pins(third) == {"127.0.7.1": "good"}


def test_time_ends_it(tarryd):
    assert tarryd.ctl("set", "127.0.7.1", "bad", "1s").returncode == 0
    wait_until(lambda: "127.0.7.1" not in pins(tarryd), "the end of it")
    assert "reputation_level=operator" not in session(tarryd, "127.0.7.1")


@pytest.mark.parametrize("words,status,why", (
    (("moon", "bad"), 1, "no address, network or signature"),
    (("127.0.0.1/24", "bad"), 1, "no address, network or signature"),
    (("127.0.0.1", "unknown"), 1, 'good, suspect or bad, not as "unknown"'),
    (("127.0.0.1",), 1, "good, suspect or bad"),
    (("127.0.0.1", "bad", "soon"), 1, "soon: "),
    (("127.0.0.1", "bad", "1y"), 1, "1y: "),
    (("127.0.0.1", "bad", "1h", "2h"), 1, "1h 2h: "),
    (("127.0.0.1", "bad", "for", "ever"), 1, "ever: "),
    (("127.0.0.1", "bad", "for"), 1, "for: "),
    (("127.0.0.1", "bad", "for", "1h", "2h"), 2, "one argument too many")))
def test_mistakes(tarryd, words, status, why):
    done = tarryd.ctl("set", *words)
    assert done.returncode == status and why in done.stderr, done.stderr
    assert pins(tarryd) == {}


def test_there_is_an_end_of_room(tarryd):
    for i in range(256):
        assert tarryd.ctl("set", f"10.0.{i}.0/24", "bad").returncode == 0
    done = tarryd.ctl("set", "127.0.0.1", "bad")
    assert done.returncode == 1 and "256 are pinned already" in done.stderr
    assert tarryd.ctl("set", "10.0.7.0/24", "good").returncode == 0
    assert tarryd.ctl("unset", "10.0.8.0/24").returncode == 0
    assert tarryd.ctl("set", "127.0.0.1", "bad").returncode == 0
