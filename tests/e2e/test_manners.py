"""How a client behaves, seen through the programs: log, journal, tarryctl,
metrics, and the class that it gets for it."""
import re
import smtplib
import ssl
import subprocess

import pytest

from conftest import DEADLINE, send_mail
from mta import Postfix, mta, proxy_for  # noqa: F401
from test_journal import ended
from test_reload import place  # noqa: F401
from test_tls import ends_tls  # noqa: F401

QUICK = {"class_new__greet": "0s", "class_new__teaser": "no",
         "class_watch__greet": "0s", "class_watch__teaser": "no",
         "class_watch__reply": "300ms", "class_watch__split": "0s"}
MANNERS = ("early_talker", "pipelining", "non_smtp", "bare_newline")


@pytest.fixture
def tarryd(start_tarryd, start_sink, control_path, place):  # noqa: F811
    place.chmod(0o777)
    one = start_tarryd(start_sink().port, control__socket=control_path(),
                       journal__path=place / "journal", **QUICK).wait_ready()
    one.journal = place / "journal"
    return one


def told(tarryd):
    """The manners in the log line of the one session, and its class."""
    line = tarryd.wait_log(r"^.*event=session.*$")[0]
    return {name for name in MANNERS if f" {name}=yes" in line}, \
        re.search(r" class=(\S+)", line)[1]


def hello(client):
    assert client.reply().startswith("220")
    assert client.ask("HELO c.example").startswith("250")


def test_a_client_that_waits(tarryd):
    with tarryd.connect() as client:
        assert send_mail(client)
    assert told(tarryd) == (set(), "new")
    assert tarryd.metric('tarry_odd_manners_total{kind="pipelining"}') == 0


def test_one_that_does_not_wait(tarryd):
    with tarryd.connect() as client:
        hello(client)
        client.send(b"MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\n")
        assert client.reply().startswith("250")
        assert client.reply().startswith("250")
        row, = tarryd.ask("sessions")
        assert row["manners"] == ["pipelining"]
        assert row["class"] == "watch" and row["rule"] == "odd"
        shown = tarryd.ctl("sessions").stdout.splitlines()
        assert " pipelining HELO:" in shown[1]
        assert client.ask("QUIT").startswith("221")
    assert told(tarryd) == ({"pipelining"}, "watch")
    assert tarryd.metric('tarry_odd_manners_total{kind="pipelining"}') == 1


def test_the_journal_has_it(tarryd):
    with tarryd.connect() as client:
        hello(client)
        client.send(b"RSET\n")
        assert client.reply().startswith("250")
        assert client.ask("QUIT").startswith("221")
    lines = ended(tarryd, 1)
    assert lines[-1]["ev"] == "end" and lines[-1]["bare_newline"] is True
    assert "pipelining" not in lines[-1]
    facts = [one["facts"] for one in lines if one["ev"] == "plan"]
    assert "bare_newline" not in facts[0]
    assert facts[-1]["bare_newline"] == 1 and facts[-1]["non_smtp"] == 0
    assert told(tarryd) == ({"bare_newline"}, "new")


def test_curl_takes_it_for_a_web_server(tarryd):
    done = subprocess.run(
        ["curl", "-sS", "--http0.9", "-m", "5",
         f"http://127.0.0.1:{tarryd.port}/"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=DEADLINE)
    assert done.returncode != 2  # it knows its options
    manners, _ = told(tarryd)
    # It speaks as soon as it is connected: who is first is a race.
    assert "non_smtp" in manners


def test_tls_on_a_plain_port(tarryd):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with tarryd.connect() as client:
        assert client.reply().startswith("220")
        with pytest.raises(OSError):
            context.wrap_socket(client.socket)
    assert "non_smtp" in told(tarryd)[0]


def test_http_inside_tls_that_ends_here(start_sink, ends_tls):  # noqa: F811
    tarryd = ends_tls(start_sink().port)
    with smtplib.SMTP("127.0.0.1", tarryd.port, timeout=DEADLINE) as client:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        client.starttls(context=context)
        assert client.docmd("GET", "/ HTTP/1.1")[0] >= 500
    assert told(tarryd)[0] == {"non_smtp"}


def test_postfix_refuses_lines_that_end_in_lf(mta, proxy_for):  # noqa: F811
    """Then they count; in a mail that is taken they do not."""
    for word, want in (("no", set()), ("reject", {"bare_newline"})):
        behind = mta(Postfix, proxy=True,
                     main=f"smtpd_forbid_bare_newline = {word}\n"
                          "smtpd_forbid_bare_newline_exclusions =\n").start()
        tarryd = proxy_for(behind.address, behind.port,
                           **QUICK).wait_ready()
        with tarryd.connect() as client:
            assert client.reply().startswith("220")
            assert "PIPELINING" in client.ask("EHLO c.example")
            # As offered: no odd manners.
            client.send(b"MAIL FROM:<a@b.example>\r\n"
                        b"RCPT TO:<c@d.example>\r\nDATA\r\n")
            assert [client.reply()[:3] for _ in range(3)] == \
                ["250", "250", "354"]
            client.send(b"Subject: x\r\n\r\none\ntwo\r\n.\r\n")
            assert client.reply()[0] == ("5" if want else "2")
        assert told(tarryd)[0] == want
