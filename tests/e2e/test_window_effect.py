"""What delays did, on the dashboard: the same as tarryctl says."""
import json

import pytest

from test_effect import compared, mta  # noqa: F401, fixtures
from window_rig import Browser


@pytest.fixture
def browser():
    made = Browser()
    yield made
    made.close()


def test_effect_is_shown_as_it_is_told(compared, browser):  # noqa: F811
    compared = compared[0]
    said, = [one for one in compared.ask("effect") if one["kind"] == "all"]
    got = json.loads(compared.get("/api/v1/effect")[1])
    for key in ("shaped", "held_out", "spam", "good", "late"):
        assert got["all"][key] == said[key], key
    assert got["holdout"] == 50 and got["all"]["shaped"] > 0
    assert [rule["name"] for rule in got["rules"]] == [
        one["name"] for one in compared.ask("effect")
        if one["kind"] == "rule"]
    curves = {one["who"]: one for one in compared.ask("patience")
              if one["kind"] == "curve" and one["by"] == "sum"}
    for sort in ("bad", "unknown", "good"):
        assert got[sort]["sessions"] == curves[sort]["sessions"], sort
        for ms, _, _, gone in curves[sort]["bins"]:
            assert got[sort]["gone"][ms // got["width_ms"]] == \
                pytest.approx(gone), (sort, ms)

    browser.open(compared)
    browser.wait(lambda: browser.count("#avoided tr[data-shaped]") == 3,
                 "the effect to be shown")
    shown = browser.run("return [...document.querySelectorAll('#avoided "
                        "tr[data-shaped]')].map((one) => "
                        "Number(one.dataset.shaped))")
    assert shown == pytest.approx([said[key]["shaped"]
                                   for key in ("spam", "good", "late")])
    browser.wait(lambda: browser.count("#curves canvas") >= 2, "the curves")
    assert f"{got['unknown']['sessions']} held" in \
        browser.text("#curves .legend")
    assert browser.complaints() == []
