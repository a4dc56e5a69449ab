"""/metrics in both of its forms, as those see it that read it."""
import re

import pytest

from conftest import send_mail, wait_until
from prometheus_rig import start_prometheus  # noqa: F401

OPEN = "application/openmetrics-text; version=1.0.0; charset=utf-8"
TEXT = "text/plain; version=0.0.4; charset=utf-8"
# What Prometheus 2.42 sends.
ACCEPT = ("application/openmetrics-text;version=1.0.0,"
          "application/openmetrics-text;version=0.0.1;q=0.75,"
          "text/plain;version=0.0.4;q=0.5,*/*;q=0.1")


@pytest.fixture
def tarryd(start_tarryd, start_sink):
    """One that a message has gone through."""
    tarryd = start_tarryd(start_sink().port, class_new__greet="0s",
                          class_new__teaser="no").wait_ready()
    with tarryd.connect() as client:
        send_mail(client)
    tarryd.wait_log("event=session")
    return tarryd


@pytest.mark.parametrize("accept, want", [
    (ACCEPT, OPEN), ("application/openmetrics-text", OPEN),
    ("*/*", TEXT), ("text/plain", TEXT), ("text/html,*/*;q=0.8", TEXT),
    ("application/openmetrics-text;q=0.2, text/plain;q=0.3", TEXT),
    ("application/openmetrics-text;version=0.0.1", TEXT),
    pytest.param("\"" * 4000, TEXT, id="quotes"),
])
def test_who_gets_which_form(tarryd, accept, want):
    status, body, headers = tarryd.get("/metrics", {"Accept": accept})
    assert (status, headers["Content-Type"]) == (200, want)
    assert headers["Vary"] == "Accept"
    assert body.endswith("\n# EOF\n") == (want == OPEN)


def samples(families):
    return {(s.name, tuple(sorted(s.labels.items()))): s.value
            for family in families for s in family.samples}


def test_another_parser_reads_the_same_from_both(tarryd):
    parser = pytest.importorskip("prometheus_client.parser")
    from prometheus_client.openmetrics import parser as open_parser
    text = list(parser.text_string_to_metric_families(
        tarryd.get("/metrics")[1]))
    strict = list(open_parser.text_string_to_metric_families(
        tarryd.get("/metrics", {"Accept": ACCEPT})[1]))
    assert samples(text).keys() == samples(strict).keys()
    assert len(samples(strict)) > 300
    kinds = {family.name: (family.type, family.unit) for family in strict}
    assert kinds["tarry_build"] == ("info", "")
    assert kinds["tarry_messages"] == ("counter", "")
    assert kinds["tarry_relayed_bytes"] == ("counter", "bytes")
    assert kinds["tarry_added_delay_seconds"] == ("histogram", "seconds")
    assert all(family.documentation for family in strict)
    key = ("tarry_messages_total", (("outcome", "accepted"),))
    assert samples(text)[key] == samples(strict)[key] == 1


def test_prometheus_asks_for_openmetrics(tarryd, start_prometheus):
    prometheus = start_prometheus(tarryd)
    kinds = {one["metric"]: (one["type"], one["unit"])
             for one in prometheus.api("targets/metadata")}
    # Text 0.0.4 has neither this type nor units.
    assert kinds["tarry_build"] == ("info", "")
    assert kinds["tarry_added_delay_seconds"] == ("histogram", "seconds")
    assert prometheus.value(
        'tarry_messages_total{outcome="accepted"}') == 1
    body = tarryd.get("/metrics", {"Accept": ACCEPT})[1]
    assert prometheus.value("scrape_samples_scraped") == \
        len(re.findall("^[^#]", body, re.M))
    with tarryd.connect() as client:
        send_mail(client)
    wait_until(lambda: prometheus.value(
        'tarry_messages_total{outcome="accepted"}') == 2,
        "the second message in Prometheus")


def test_what_is_wanted_is_told_from_what_is_missing(
        start_tarryd, start_sink, control_path):
    """Alarms about it ask for both."""
    path = control_path()
    mta = start_sink().port
    kinds = ("sidecar", "verdict", "state")
    bare = start_tarryd(mta, tarry__state="").wait_ready()
    assert [bare.metric(f"tarry_{kind}_wanted") for kind in kinds] == [0, 0, 0]
    all_of_it = start_tarryd(
        mta, syn__sidecar=f"{path}.none", verdict__socket=f"{path}.v",
        tarry__state=f"{path}.state", learn__capacity="2000").wait_ready()
    assert [all_of_it.metric(f"tarry_{kind}_wanted")
            for kind in kinds] == [1, 1, 1]
    assert all_of_it.metric("tarry_sidecar_up") == 0
    assert all_of_it.metric("tarry_state_kept") == 1
    # Rows that nobody could keep are not missed in a file.
    forgets = start_tarryd(mta, tarry__state=f"{path}.state").wait_ready()
    assert forgets.metric("tarry_state_wanted") == 0
