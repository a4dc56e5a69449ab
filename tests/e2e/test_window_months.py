"""Charts of a month and a year: kept by the hour, over restarts.

    TARRY_PICTURES  a directory for pictures of the page, none if not set
"""
import json
import os
import pathlib
import sqlite3
import time

import pytest

from conftest import wait_until
from test_outcomes import judge  # noqa: F401, fixture
from test_window import api
from window_rig import Browser, STACKS, Sender

HOUR = 3600
DAY = 24 * HOUR
FLUSHES = 'tarry_state_flushes_total{result="ok"}'


@pytest.fixture
def browser():
    made = Browser()
    yield made
    made.close()


@pytest.fixture
def state(control_path):
    return pathlib.Path(control_path()).parent / "state.db"


@pytest.fixture
def start(start_tarryd, judge, state):  # noqa: F811
    def started():
        return start_tarryd(
            judge.port, mta__client_address="none",
            mta__open_relay_checked="yes", class_new__greet="100ms",
            class_new__teaser="no", learn__capacity="2000",
            tarry__state=state, tarry__state_interval="1s").wait_ready()
    return started


def send(tarryd, stack, text, count):
    Sender(tarryd.port, STACKS[stack], "good", text, count=count).join()
    wait_until(lambda: tarryd.metric("tarry_connections_open") == 0,
               "all sessions to end")


def sums(tarryd, what):
    """Sessions, mail delivered and spam: of classes, and of signatures."""
    # An answer is a second old at most.
    history = api(tarryd, f"history/{what}")
    return [tuple(sum(sum(one[key]) for one in history[part])
                  for key in ("sessions", "delivered", "spam"))
            for part in ("classes", "signatures")]


def wait_for(tarryd, what, wanted):
    wait_until(lambda: sums(tarryd, what) == wanted, f"{what} to be {wanted}")


def test_hours_outlive_the_process(start, state):
    tarryd = start()
    send(tarryd, 0, "mail", 2)
    send(tarryd, 1, "pills", 1)
    for what in ("24h", "30d", "1y"):
        wait_for(tarryd, what, [(3, 2, 1)] * 2)
    signatures = {one["text"]
                  for one in api(tarryd, "history/30d")["signatures"]}
    was = tarryd.metric(FLUSHES)
    wait_until(lambda: tarryd.metric(FLUSHES) >= was + 2, "two intervals")
    tarryd.process.kill()
    tarryd.process.wait()

    tarryd = start()
    assert sums(tarryd, "24h") == [(0, 0, 0)] * 2
    for what in ("30d", "1y"):
        assert sums(tarryd, what) == [(3, 2, 1)] * 2
    # Each goes on with its line.
    send(tarryd, 1, "pills", 1)
    for what in ("30d", "1y"):
        wait_for(tarryd, what, [(4, 2, 2)] * 2)
        assert {one["text"] for one in
                api(tarryd, f"history/{what}")["signatures"]} == signatures
    assert tarryd.stop() == 0

    tarryd = start()
    for what in ("30d", "1y"):
        assert sums(tarryd, what) == [(4, 2, 2)] * 2
    assert tarryd.stop() == 0


def add_past(base, hour, of, session):
    """As if so many of that session had run then."""
    names, sessions = of
    for kind, name in names.items():
        numbers = [n * sessions for n in session[kind]]
        base.execute("INSERT OR REPLACE INTO notes VALUES(?, ?, 0, ?, ?)",
                     (kind, hour, name,
                      json.dumps(numbers, separators=(",", ":"))))
    base.execute("INSERT OR REPLACE INTO notes VALUES('hour', ?, 0, '', "
                 "'[7]')", (hour,))


@pytest.fixture
def past(start, state):
    """A year of which four hours are known, and one to come."""
    tarryd = start()
    send(tarryd, 0, "mail", 1)
    wait_for(tarryd, "1y", [(1, 1, 0)] * 2)
    assert tarryd.stop() == 0
    now = int(time.time()) // HOUR * HOUR
    names = {"hour of class": "new", "hour of signature": "4:64:0:past"}
    other = {**names, "hour of class": "no class of today"}
    with sqlite3.connect(state) as base:
        session = {kind: json.loads(base.execute(
            "SELECT value FROM notes WHERE kind = ?", (kind,)).fetchone()[0])
            for kind in names}
        for days, of in ((0.5, (names, 10)), (20, (names, 100)),
                         (19, (other, 5)), (40, (names, 1000)),
                         (300, (names, 10000)), (430, (names, 100000)),
                         (-2, (names, 1000000))):
            add_past(base, now - int(days * 24) * HOUR, of, session)
    base.close()
    return start()


def test_each_hour_is_where_it_was(past, state):
    assert sums(past, "24h")[0][0] == 0
    assert sums(past, "30d") == [(116, 116, 0)] * 2
    assert sums(past, "1y") == [(11116, 11116, 0)] * 2
    month = api(past, "history/30d")
    step = (int(time.time()) - 20 * DAY - month["start"]) // month["step"]
    assert sum(sum(one["sessions"][step - 1:step + 2])
               for one in month["classes"]) == 100
    assert month["held"][0] is None and 7 in month["held"]
    # What is older than 13 months leaves the file.
    send(past, 0, "mail", 1)
    assert past.stop() == 0
    with sqlite3.connect(state) as base:
        assert base.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        oldest, = base.execute("SELECT min(at) FROM notes WHERE kind LIKE "
                               "'hour%'").fetchone()
    base.close()
    assert time.time() - 301 * DAY < oldest < time.time() - 299 * DAY


def axis(browser):
    return browser.run("return [...document.querySelectorAll('#holding "
                       ".dygraph-axis-label-x')].map((one) => "
                       "one.textContent)")


def shows(browser, range_):
    """The axis tells hours of days for a month, days alone for a year."""
    texts = axis(browser)
    return len(texts) > 2 and all(
        ":" not in text and text.endswith(" h") == (range_ == "30d")
        for text in texts)


def test_a_browser_shows_a_month_and_a_year(past, browser):
    browser.open(past)
    browser.wait(lambda: browser.count("[data-range]") == 5, "the page")
    for range_ in ("30d", "1y"):
        browser.press(f"[data-range='{range_}']")
        browser.wait(lambda: shows(browser, range_), f"a chart of {range_}")
        assert browser.count(
            f"[data-range='{range_}'][aria-pressed=true]") == 1
        told = browser.run(
            "return [...document.querySelectorAll('#delivers .legend .n')]"
            ".map((one) => Number(one.textContent.replaceAll(/\\D/g, '')))")
        assert sum(told) == sums(past, range_)[0][1]
        if os.environ.get("TARRY_PICTURES"):
            browser.driver.save_screenshot(os.path.join(
                os.environ["TARRY_PICTURES"], f"range-{range_}.png"))
    assert browser.complaints() == []
