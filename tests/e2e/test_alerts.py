"""The alarms of config/prometheus: their unit tests, and a real Prometheus."""
import re
import subprocess

import pytest

from conftest import TOP, wait_until
from prometheus_rig import start_prometheus  # noqa: F401

yaml = pytest.importorskip("yaml")
RULES = TOP / "config/prometheus/tarry.rules.yml"
CASES = sorted(TOP.glob("tests/prometheus/*_test.yml"))


def alarms():
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def promtool_says(promtool, *words):
    done = subprocess.run([promtool, *words], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_promtool_takes_the_rules(promtool):
    said = promtool_says(promtool, "check", "rules", "--lint-fatal", RULES)
    assert f"{len(alarms())} rules found" in said


def test_cases_of_promtool(promtool):
    assert "SUCCESS" in promtool_says(promtool, "test", "rules", *CASES)


def test_each_alarm_fires_in_a_case_and_not_in_another():
    fires, quiet = set(), set()
    cases = [case for path in CASES
             for case in yaml.safe_load(path.read_text())["tests"]]
    for case in cases:
        for one in case["alert_rule_test"]:
            (fires if one.get("exp_alerts") else quiet).add(one["alertname"])
    names = {rule["alert"] for rule in alarms()}
    assert fires == names
    assert quiet == names


@pytest.mark.parametrize("expression", [
    "vector(0) > 1", "vector(1) unless absent(up) > 2"],
    ids=["never", "always"])
def test_the_cases_notice_wrong_alarms(promtool, tmp_path, expression):
    """With alarms that never fire, or always do: each is missed."""
    rules = yaml.safe_load(RULES.read_text())
    for rule in rules["groups"][0]["rules"]:
        rule["expr"] = expression
        rule.pop("for", None)
    (tmp_path / "rules.yml").write_text(yaml.safe_dump(rules))
    paths = []
    for path in CASES:
        cases = yaml.safe_load(path.read_text())
        cases["rule_files"] = ["rules.yml"]
        paths.append(tmp_path / path.name)
        paths[-1].write_text(yaml.safe_dump(cases))
    done = subprocess.run([promtool, "test", "rules", *paths], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode != 0
    missed = set(re.findall(r"alertname: ?(\w+)", done.stdout))
    assert missed == {rule["alert"] for rule in rules["groups"][0]["rules"]}


def test_every_family_of_an_alarm_is_there(start_tarryd, start_sink):
    body = start_tarryd(start_sink().port).wait_ready().get("/metrics")[1]
    families = set(re.findall(r"^([a-z_]+)", body, re.M))
    for rule in alarms():
        for name in re.findall(r"\btarry_\w+", rule["expr"]):
            assert name in families, f"{rule['alert']}: {name}"


def alarm_states(prometheus):
    """What each alarm is, and that Prometheus could ask what it asks."""
    rules = [rule for group in prometheus.api("rules")["groups"]
             for rule in group["rules"]]
    assert all(rule["health"] in ("ok", "unknown") for rule in rules), rules
    return {rule["name"]: rule["state"] for rule in rules
            if rule["health"] == "ok"}


def test_prometheus_sees_the_mta_go(start_tarryd, start_sink,
                                    start_prometheus):
    sink = start_sink()
    tarryd = start_tarryd(sink.port, tarry__mode="shadow").wait_ready()
    prometheus = start_prometheus(tarryd, rules=[RULES])
    names = {rule["alert"] for rule in alarms()}
    states = wait_until(
        lambda: (got := alarm_states(prometheus)).keys() == names and got,
        "all alarms to be looked at")
    assert {name for name, state in states.items() if state != "inactive"} \
        <= {"TarryShadowForgotten"}
    sink.stop()
    with tarryd.connect():
        wait_until(lambda: alarm_states(prometheus)["TarryMtaGone"] ==
                   "pending", "the alarm", seconds=60)
    wait_until(lambda: alarm_states(prometheus)["TarryShadowForgotten"] ==
               "pending", "the alarm of a week in shadow")
