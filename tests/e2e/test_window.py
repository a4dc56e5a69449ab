"""The dashboard: what it is told, and what a browser makes of it."""
import contextlib
import gzip
import json
import pathlib
import re
import shutil
import sqlite3
import urllib.request

import pytest

from conftest import DEADLINE, wait_until
from test_outcomes import judge  # noqa: F401, fixture
from window_rig import Browser, STACKS, Sender

HOSTILE = '<img src=x onerror="document.title=1">'


def api(tarryd, what):
    status, body, _ = tarryd.get(f"/api/v1/{what}")
    assert status == 200
    return json.loads(body)


@pytest.fixture
def state(control_path):
    return pathlib.Path(control_path()).parent / "state.db"


@pytest.fixture
def tarryd(start_tarryd, judge, tmp_path, state):  # noqa: F811
    """With rules and labels that have hostile names."""
    labels = tmp_path / "labels.ini"
    labels.write_text(f"[label {HOSTILE}]\nfamily = *:*:*\n")
    return start_tarryd(
        judge.port, mta__client_address="none", mta__open_relay_checked="yes",
        syn__labels=labels, class_new__greet="1s", class_new__teaser="no",
        learn__capacity="2000", tarry__workers="2", tarry__state=state,
        tarry__state_interval="1s").wait_ready()


def send_all(tarryd):
    """Traffic of which it is known what becomes of it."""
    senders = [Sender(tarryd.port, STACKS[0], "good", "mail", count=3),
               Sender(tarryd.port, STACKS[1], "good", "pills", count=2),
               Sender(tarryd.port, STACKS[2], "nobody", "mail", count=2),
               Sender(tarryd.port, STACKS[3], "good", "wait"),
               Sender(tarryd.port, STACKS[4], "good", "mail", patience=0.3)]
    for sender in senders:
        sender.join()
    wait_until(lambda: tarryd.metric("tarry_connections_open") == 0,
               "all sessions to end")


def check_numbers(summary, tarryd):
    """The API's numbers are those of /metrics."""
    for name, n in summary["outcomes"].items():
        assert n == tarryd.metric(
            f'tarry_outcomes_total{{outcome="{name}"}}'), name
    for one in summary["classes"]:
        for end, n in one["ends"].items():
            assert n == tarryd.metric(
                f'tarry_connections_closed_total{{class="{one["name"]}",'
                f'end="{end}"}}'), (one["name"], end)
        for name, n in one["outcomes"].items():
            assert n == tarryd.metric(
                f'tarry_class_outcomes_total{{class="{one["name"]}",'
                f'outcome="{name}"}}'), (one["name"], name)
    for rule in summary["rules"]:
        for key, mode in (("matched", "enforce"), ("would_match", "shadow")):
            assert rule[key] == tarryd.metric(
                f'tarry_rule_matches_total{{rule="{rule["name"]}",'
                f'mode="{mode}"}}'), rule["name"]


def test_the_api_says_what_metrics_say(tarryd):
    send_all(tarryd)
    summary = wait_until(
        lambda: (got := api(tarryd, "summary"))["now"]["open"] == 0 and got,
        "a summary that is new")
    check_numbers(summary, tarryd)
    assert summary["outcomes"]["delivered"] == 3
    assert summary["outcomes"]["spam"] == 2
    assert summary["outcomes"]["unknown_users"] == 2
    assert summary["outcomes"]["neutral"] == 1
    assert sum(summary["gave_up"]["counts"]) == 1

    for what, steps in (("1h", 60), ("6h", 72), ("24h", 96), ("30d", 120),
                        ("1y", 122)):
        history = api(tarryd, f"history/{what}")
        assert len(history["held"]) == steps
        for key, n in (("sessions", 9), ("delivered", 3), ("spam", 2),
                       ("unknown_users", 2), ("deferred", 1), ("gave_up", 1)):
            for part in ("classes", "signatures"):
                assert sum(sum(one[key]) for one in history[part]) == n, \
                    (what, part, key)
        assert max(held or 0 for held in history["held"]) >= 1
        assert max(max(one["p99"]) for one in history["classes"]) == 1

    rows = api(tarryd, "signatures")["signatures"]
    assert len(rows) >= 4
    assert sum(row["delivered"] for row in rows) == 3
    assert {row["label"] for row in rows} == {HOSTILE}
    assert all(re.match(r"4:\d+:0:\S+:mss", row["text"]) for row in rows)


def test_held_sessions_are_seen(start_tarryd, start_sink, control_path):
    tarryd = start_tarryd(start_sink().port, class_new__greet="20s",
                          control__socket=control_path()).wait_ready()
    with tarryd.connect() as client:
        client.line()
        found = wait_until(lambda: api(tarryd, "sessions")["sessions"],
                           "the session to be shown")
        assert [one["client"] for one in found] == ["127.0.0.1"]
        assert (found[0]["rule"], found[0]["phase"]) == ("everyone", "greet")
        # The control socket is answered all the while.
        for _ in range(20):
            api(tarryd, "sessions")
            assert len(tarryd.ask("sessions")) >= 1
    wait_until(lambda: not api(tarryd, "sessions")["sessions"],
               "the session to be gone")


def test_what_it_is_made_of(tarryd):
    for path, kind in (("/", "text/html"), ("/tarry.css", "text/css"),
                       ("/page.js", "text/javascript"),
                       ("/charts.js", "text/javascript"),
                       ("/tables.js", "text/javascript"),
                       ("/dygraph.js", "text/javascript"),
                       ("/dygraph.css", "text/css")):
        request = urllib.request.Request(
            f"http://127.0.0.1:{tarryd.http_port}{path}",
            headers={"Accept-Encoding": "gzip"})
        with urllib.request.urlopen(request, timeout=DEADLINE) as answer:
            body = gzip.decompress(answer.read()).decode()
            policy = answer.headers["Content-Security-Policy"]
            assert answer.headers["Content-Type"].startswith(kind)
        assert "default-src 'none'" in policy and "unsafe" not in policy
        assert body
        if path in ("/", "/page.js", "/charts.js", "/tables.js"):
            # No code or style in the markup, no word of another server.
            assert not re.search(r"https?://|<style|style=|onclick", body)
    # Who cannot unpack it gets the links.
    assert "href=/metrics" in tarryd.get("/")[1]
    assert tarryd.get("/page.js")[0] == 406
    assert tarryd.get("/api/v1/nothing")[0] == 404


def test_who_asks_too_often_is_told(tarryd):
    wait_until(lambda: tarryd.get_once("/metrics")[0] == 200, "an answer")
    told = [tarryd.get_once("/api/v1/summary" if i % 2 else "/metrics")
            for i in range(400)]
    late = [headers for status, _, headers in told if status == 429]
    assert {status for status, _, _ in told} == {200, 429}
    assert late[0]["Retry-After"] == "1"
    assert tarryd.get_once("/healthz")[0] == 200
    assert tarryd.get_once("/readyz")[0] == 200
    sender = Sender(tarryd.port, 0, "good", "mail")
    sender.join()
    wait_until(lambda: tarryd.metric(
        'tarry_outcomes_total{outcome="delivered"}') == 1, "the mail")


def kept_in(path):
    """What the state file says of each stack signature, as the page's
    columns are."""
    copy = path.parent / "copy.db"
    for end in ("", "-wal"):
        if pathlib.Path(f"{path}{end}").exists():
            shutil.copy(f"{path}{end}", f"{copy}{end}")
    with contextlib.closing(sqlite3.connect(copy)) as base:
        return {name: figures for name, *figures in base.execute(
            "SELECT name, round(sessions), round(delivered), "
            "round(spam + unknown_users), round(deferred), round(gave_up) "
            "FROM senders WHERE kind = 'stack'")}


@pytest.fixture
def browser():
    made = Browser()
    yield made
    made.close()


def test_a_browser_shows_it(tarryd, browser, state):
    send_all(tarryd)
    browser.open(tarryd)
    browser.wait(lambda: browser.value("open") == 0 and
                 browser.count("#signatures tr[data-signature]") >= 4,
                 "the page to be filled")

    # Those of each signature are the state file's, once it is written.
    shown = {text: [float(n) for n in figures] for text, *figures in
             browser.run(
                 "return [...document.querySelectorAll("
                 "'#signatures tr[data-signature]')].map((row) => ["
                 "row.dataset.signature, ...[...row.querySelectorAll('td.n')]"
                 ".map((cell) => cell.textContent)])")}
    assert sum(sessions for sessions, *_ in shown.values()) == 9
    wait_until(lambda: kept_in(state) == shown, f"{state} to say {shown}")

    # Numbers on the page are those of /metrics.
    ends = tarryd.get("/metrics")[1]
    gave_up = sum(float(n) for n in re.findall(
        r'tarry_connections_closed_total\{[^}]*end="gave_up"\} (\S+)', ends))
    for name, metric in (("delivered", "delivered"), ("spam", "spam"),
                         ("deferred", "neutral")):
        assert browser.value(name) == tarryd.metric(
            f'tarry_outcomes_total{{outcome="{metric}"}}'), name
    assert browser.value("gave_up") == gave_up == 1
    assert browser.value("accepted") == tarryd.metric(
        'tarry_connections_accepted_total{ip_family="ipv4"}')
    for rule in ("proven", "everyone"):
        got = browser.run(
            "return document.querySelector(`#rules tr[data-rule=${arguments[0]"
            "}]`).dataset.matched", rule)
        assert float(got) == tarryd.metric(
            f'tarry_rule_matches_total{{rule="{rule}",mode="enforce"}}')
    assert browser.count("#sources li[data-state=good]") >= 2
    assert browser.text("#slots dd:last-of-type") == "0"

    # Charts are drawn, and every control does what it says.
    browser.wait(lambda: browser.count(".chart canvas") >= 8, "the charts")
    assert sum(int(n) for n in re.findall(
        r"(\d+)$", "\n".join(browser.run(
            "return [...document.querySelectorAll('#delivers .legend .n')]"
            ".map((one) => one.textContent)")), re.M)) == 3
    for range_ in ("6h", "24h", "30d", "1y", "1h"):
        browser.press(f"[data-range='{range_}']")
        assert browser.count(
            f"[data-range='{range_}'][aria-pressed=true]") == 1
    for figure in ("delivers", "refused", "added", "holding", "leavers"):
        browser.press(f"#{figure} .legend button")
        assert browser.count(f"#{figure} [aria-pressed=false]") == 1
        browser.press(f"#{figure} .legend button")
        browser.press(f"#{figure} summary")
        assert browser.count(f"#{figure} details[open] td") >= 2
    for link in ("delay", "leaving", "signatures", "held", "rules", "health"):
        browser.press(f"nav a[href='#{link}']")

    # A hostile name is text. Nothing comes from elsewhere; nothing went
    # wrong.
    assert HOSTILE in browser.text("#signatures")
    assert browser.count("img") == 0
    assert browser.count("script") == 2
    assert browser.driver.title == "Tarry"
    here = f"http://127.0.0.1:{tarryd.http_port}/"
    asked = browser.asked_for()
    assert len(asked) > 10
    assert [url for url in asked
            if not url.startswith((here, "data:"))] == []
    assert browser.complaints() == []


def test_a_browser_says_when_it_is_alone(tarryd, browser):
    browser.open(tarryd)
    browser.wait(lambda: browser.value("open") == 0, "the page to be filled")
    tarryd.stop()
    browser.wait(lambda: "does not answer" in browser.text("#trouble"),
                 "the trouble to be told")
