"""The dashboard for Grafana: its structure, and what its expressions give.

Grafana is not in Debian: its file is checked, and each expression of it is
asked of a Prometheus that scrapes tarryds with traffic."""
import itertools
import json
import math
import re
import smtplib
import ssl
import subprocess
import threading

import pytest

import tls_files
from conftest import BUILD, DEADLINE, TOP, wait_until
from dns_rig import config, rbldnsd, resolver  # noqa: F401, fixtures
from prometheus_rig import start_prometheus  # noqa: F401
from test_outcomes import judge  # noqa: F401, fixture
from window_rig import STACKS, Sender

PATH = TOP / "config/grafana/tarry.json"
DASHBOARD = json.loads(PATH.read_text())
PANELS = DASHBOARD["panels"]
GRAPHS = [panel for panel in PANELS if panel["type"] != "row"]
TYPES = {"timeseries", "stat", "heatmap", "table"}
# Units of Grafana that are used here.
UNITS = {"short", "s", "ops", "cps", "pps", "Bps", "bytes", "percentunit"}
# Families that stay at 0 unless something is wrong, or is not set up here.
ZERO = ("tarry_sidecar_", "tarry_dns_dropped", "_lines_dropped",
        "tarry_mta_connect_errors", "_waiting{")


def cells(panel):
    at = panel["gridPos"]
    assert at["w"] > 0 and at["h"] > 0 and at["x"] >= 0
    assert at["x"] + at["w"] <= 24, panel["title"]
    return set(itertools.product(range(at["x"], at["x"] + at["w"]),
                                 range(at["y"], at["y"] + at["h"])))


def test_panels_do_not_overlap():
    taken = set()
    for panel in PANELS:
        assert not taken & cells(panel), panel["title"]
        taken |= cells(panel)


def test_ids_and_titles_are_unique():
    for key in ("id", "title"):
        found = [panel[key] for panel in PANELS]
        assert len(set(found)) == len(found)
    assert DASHBOARD["id"] is None and DASHBOARD["uid"] == "tarry"


@pytest.mark.parametrize("panel", GRAPHS, ids=lambda panel: panel["title"])
def test_each_panel_is_whole(panel):
    assert panel["type"] in TYPES
    assert panel["description"].endswith(".")
    unit = panel["options"]["yAxis"]["unit"] if panel["type"] == "heatmap" \
        else panel["fieldConfig"]["defaults"]["unit"]
    assert unit in UNITS
    ids = [target["refId"] for target in panel["targets"]]
    assert ids and len(set(ids)) == len(ids)
    for one in (panel, *panel["targets"]):
        assert one["datasource"] == {"type": "prometheus",
                                     "uid": "${datasource}"}
    for target in panel["targets"]:
        assert target["legendFormat"]
        # Of the job and the instances that were chosen, all of it.
        for name in re.findall(r"\b(?:tarry|process)_\w+(.?)",
                               target["expr"]):
            assert name == "{"
        assert target["expr"].count("{job=\"$job\",instance=~\"$instance\"") \
            == len(re.findall(r"\b(?:tarry|process)_\w+", target["expr"]))


def test_variables_are_there_and_used():
    made = {one["name"] for one in DASHBOARD["templating"]["list"]}
    assert made == {"datasource", "job", "instance"}
    used = set(re.findall(r"\$\{?(\w+)", PATH.read_text()))
    assert used - {"__rate_interval", "__range", "__all"} == made


def test_colours_are_the_themes():
    """Light and dark: names of the palette, no colour of our own."""
    text = PATH.read_text()
    assert not re.search(r"rgba?\(|\"#[0-9a-fA-F]{3,8}\"", text)
    assert "style" not in DASHBOARD


def expressions():
    """(title, expression) as they are asked, and those of annotations."""
    found = [(panel["title"], target["expr"])
             for panel in GRAPHS for target in panel["targets"]]
    found += [(one["name"], one["expr"])
              for one in DASHBOARD["annotations"]["list"]]
    words = {"$__rate_interval": "1m", "$__range": "5m", "$job": "tarry",
             "$instance": ".*"}
    for title, text in found:
        for word, value in words.items():
            text = text.replace(word, value)
        assert "$" not in text
        yield title, text


def has_data(prometheus, text):
    values = [float(one["value"][1]) for one in prometheus.query(text)]
    numbers = [value for value in values if math.isfinite(value)]
    may_be_zero = any(name in text for name in ZERO)
    return any(numbers) or (bool(numbers) and may_be_zero)


@pytest.fixture
def pair(start_tarryd, judge, tmp_path, control_path):  # noqa: F811
    """One that slows, ends TLS and hears verdicts; one in shadow mode, which
    is started again."""
    tls_files.make(tmp_path)
    path = control_path()
    common = {"mta__client_address": "none", "mta__open_relay_checked": "yes",
              "class_new__greet": "300ms", "class_new__teaser": "no",
              "learn__capacity": "2000", "tarry__state": ""}
    kept = {"tarry__state": f"{path}.state", "tarry__state_interval": "1s"}
    slow = start_tarryd(judge.port, **{**common, **kept},
                        tls__mode="terminate",
                        tls__certificate=tmp_path / "tls.crt",
                        tls__key=tmp_path / "tls.key",
                        verdict__socket=path).wait_ready()
    slow.verdicts = path
    shadow = {**common, "tarry__mode": "shadow"}
    other = start_tarryd(judge.port, **shadow).wait_ready()

    def again():
        port = other.http_port
        assert other.stop() == 0
        return start_tarryd(judge.port, **shadow,
                            http__address=f"127.0.0.1:{port}").wait_ready()
    return slow, other, again


@pytest.fixture
def asking(start_tarryd, start_sink, resolver):  # noqa: F811
    """One that asks the DNS."""
    mta = start_sink().port
    return start_tarryd(
        mta, text=config(mta, resolver.port)).wait_ready()


def send_some(tarryd):
    """Each fate that mail and senders have here, once."""
    senders = [Sender(tarryd.port, STACKS[0], "good", "mail"),
               Sender(tarryd.port, STACKS[1], "good", "pills"),
               Sender(tarryd.port, STACKS[2], "nobody", "mail"),
               Sender(tarryd.port, STACKS[3], "good", "wait"),
               Sender(tarryd.port, STACKS[4], "good", "mail", patience=0.1)]
    for sender in senders:
        sender.join()


def be_odd(tarryd):
    """Speaks before the greeting, and no SMTP."""
    with tarryd.connect() as client:
        client.send("GET / HTTP/1.0\r\nQUIT\r\n")
        while client.line():
            pass


def begin_tls(tarryd):
    with smtplib.SMTP("127.0.0.1", tarryd.port, timeout=DEADLINE) as smtp:
        smtp.starttls(context=ssl._create_unverified_context())


def say_spam(tarryd):
    """A verdict on a session that is under way."""
    with tarryd.connect() as client:
        client.line()
        who = "%s:%d" % client.socket.getsockname()
        subprocess.run([BUILD / "tarryctl", "verdict", "spam", who,
                        tarryd.verdicts], check=True)
        tarryd.wait_log("verdict spam by operator")


def ask_dns(tarryd, numbers=itertools.count()):
    """By a client that was not there before: answers are kept."""
    with tarryd.connect(f"127.0.1.{1 + next(numbers) % 250}") as client:
        client.line()
        client.ask("QUIT")


def test_each_expression_gives_data(pair, asking, start_prometheus, tmp_path):
    slow, other, again = pair
    # The dashboard shows alarms: one that is sure to fire.
    rules = tmp_path / "rules.yml"
    rules.write_text("groups: [{name: a, rules: [{alert: TarryTest, "
                     "expr: 'up == 1'}]}]\n")
    prometheus = start_prometheus(slow, other, asking, rules=[rules])
    asked = list(expressions())
    left = [one for one in asked if one[0] != "Restarts"]
    stop = threading.Event()

    def traffic():
        while not stop.is_set():
            for tarryd in (slow, other):
                send_some(tarryd)
            be_odd(slow)
            begin_tls(slow)
            ask_dns(asking)

    sending = threading.Thread(target=traffic, daemon=True)
    sending.start()
    try:
        say_spam(slow)

        def all_gave_data():
            left[:] = [one for one in left if not has_data(prometheus, one[1])]
            return not left
        try:
            wait_until(all_gave_data, "data of all expressions", seconds=60)
        except pytest.fail.Exception:
            pytest.fail("no data of:\n" + "\n".join(map(str, left)))
    finally:
        stop.set()
        sending.join()
    again()
    restarts = [one for one in asked if one[0] == "Restarts"]
    assert len(restarts) == 1
    wait_until(lambda: has_data(prometheus, restarts[0][1]), "the restart")
    assert len(asked) > 50
