"""The test session with the MTA (an MTA must see the real client or nobody).

Each wrong pair of settings is made with real MTAs. While it stands no client
gets through; the log says what was seen and what to write; what it says is
then typed into the MTA's file as it stands there, and mail flows without a
restart of tarryd, that of clients who waited all along included.
"""
import re
import smtplib
import subprocess

import pytest

from conftest import BUILD, DEADLINE, WRAP, send_mail, shipped_config
from mta import Exim, Opensmtpd, Postfix, mta, proxy_for  # noqa: F401

CLIENT = "127.0.0.77"
OK = ["220", "250", "250", "250", "354", "250", "221"]


def codes(replies):
    return [reply[:3] for reply in replies]


def logged(tarryd, pattern):
    """The first group, found in what a line of the log says."""
    return tarryd.wait_log(pattern)[1].replace('\\"', '"')


# Kind of MTA, how its line is found in the message, how it is typed in.
LINES = {
    "postfix": (Postfix, r'Postfix, master.cf: ([^"]*)"', "set_line"),
    "exim": (Exim, r'Exim .*main section: ([^"]*)"', "set_main"),
    "opensmtpd": (Opensmtpd, r'OpenSMTPD, smtpd.conf: ([^"]*)"',
                  "set_listen"),
}


def address_is_logged(behind):
    return f"[{CLIENT}]" in behind.log or f"address={CLIENT}" in behind.log


@pytest.mark.parametrize("name", LINES)
def test_an_mta_without_proxy_gets_no_client_until_it_is_told(
        name, mta, proxy_for):
    kind, pattern, type_in = LINES[name]
    behind = mta(kind).start()
    tarryd = proxy_for(behind.address, behind.port).wait_started()
    with tarryd.connect(CLIENT) as waiting:
        seen = logged(tarryd, r"failed the test session: (.*)\. Clients")
        assert "it said more than it was asked for: 500" in seen
        status, body, _ = tarryd.get("/readyz")
        assert (status, seen in body) == (503, True)
        line = logged(tarryd, pattern)
        assert not address_is_logged(behind)
        behind.stop()
        getattr(behind, type_in)(line)
        behind.start()
        assert codes(send_mail(waiting)) == OK
    assert tarryd.get("/readyz")[0] == 200
    behind.wait_mail(1)
    assert address_is_logged(behind)


def test_no_client_gets_through_while_the_setting_is_wrong(mta, proxy_for):
    behind = mta(Postfix).start()
    tarryd = proxy_for(behind.address, behind.port, budget__reply="2s",
                       ).wait_started()
    tarryd.wait_log("failed the test session")
    with tarryd.connect(CLIENT) as client:
        assert re.fullmatch(r"220-\S+ .*\r\n220 \S+.*\r\n", client.reply())
        assert client.ask("EHLO client.example").startswith("421 ")
        assert client.line() == b""
    assert tarryd.get("/readyz")[0] == 503
    assert CLIENT not in behind.log and "MAIL" not in behind.log


def test_an_mta_that_waits_for_a_header_that_is_not_sent(mta, proxy_for):
    behind = mta(Postfix, proxy=True).start()
    tarryd = proxy_for(behind.address, behind.port,
                       mta__client_address="none",
                       mta__open_relay_checked="yes").wait_started()
    # Postfix gives up waiting for the header after 5 s.
    seen = logged(tarryd, r"failed the test session: (.*)\. Clients")
    assert "421" in seen or "closed" in seen
    tarryd.wait_log("mta.client_address is none: .*set proxy_v2")
    assert seen in tarryd.get("/readyz")[1]


def test_version_1_for_an_mta_that_knows_only_2(mta, proxy_for):
    behind = mta(Opensmtpd)
    behind.set_listen(
        f"listen on {behind.address} port {behind.port} proxy-v2")
    behind.start()
    tarryd = proxy_for(behind.address, behind.port, budget__reply="2s",
                       mta__client_address="proxy_v1").wait_started()
    tarryd.wait_log("failed the test session: ")
    with tarryd.connect(CLIENT) as client:
        assert client.reply().startswith("220")
        assert client.ask("EHLO client.example").startswith("421 ")
    assert tarryd.get("/readyz")[0] == 503
    assert behind.mail_count() == 0


def test_version_2_for_a_sink_that_knows_only_1(start_sink, proxy_for):
    sink = start_sink("v1")
    tarryd = proxy_for("127.0.0.1", sink.port).wait_started()
    tarryd.wait_log("failed the test session: ")
    assert tarryd.get("/readyz")[0] == 503


def test_an_mta_that_starts_later_only_delays(mta, proxy_for):
    behind = mta(Postfix, proxy=True)
    tarryd = proxy_for(behind.address, behind.port).wait_started()
    seen = logged(tarryd, r"failed the test session: (.*)\. Clients")
    assert "connection refused" in seen
    assert "connection refused" in tarryd.get("/readyz")[1]
    # Nothing was reached, so nothing is said about settings.
    assert "master.cf" not in tarryd.log
    with tarryd.connect(CLIENT) as waiting:
        assert waiting.line().startswith(b"220-")
        behind.start()
        assert codes(send_mail(waiting)) == OK
    behind.wait_mail(1)
    assert f"client=unknown[{CLIENT}]" in behind.log


def test_none_must_have_been_checked(tmp_path):
    config = tmp_path / "tarry.ini"
    config.write_text(shipped_config(mta__client_address="none"))
    done = subprocess.run(
        [*WRAP, BUILD / "tarryd", "-c", config, "-l", "127.0.0.1:0",
         "127.0.0.1:25"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, timeout=DEADLINE)
    assert done.returncode != 0
    assert "mta.client_address" in done.stdout
    assert "open_relay_checked" in done.stdout
    assert "listening" not in done.stdout


@pytest.mark.parametrize("header, relays", [("proxy_v2", False),
                                            ("proxy_v1", False),
                                            ("none", True)])
def test_an_mta_that_trusts_us_is_no_relay_for_clients(
        header, relays, mta, proxy_for):
    """With `none` it is one: what the setting must have been checked for."""
    behind = mta(Postfix, proxy=header != "none",
                 main="mynetworks = 127.0.0.1/32\n"
                      "smtpd_relay_restrictions = permit_mynetworks, "
                      "reject_unauth_destination\n").start()
    tarryd = proxy_for(behind.address, behind.port,
                       mta__client_address=header,
                       mta__open_relay_checked="yes").wait_ready()
    with smtplib.SMTP("127.0.0.1", tarryd.port,
                      source_address=(CLIENT, 0)) as client:
        client.ehlo()
        client.mail("a@b.example")
        code = client.rcpt("x@elsewhere.example")[0]
    assert code == (250 if relays else 554)
