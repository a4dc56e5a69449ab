"""How a client speaks SMTP is told in the log and by tarryctl, and rules judge
by it, in the clear and inside TLS that ends here."""
import re
import smtplib
import time

import pytest

from conftest import DEADLINE, send_mail, wait_until
from mta import mta, proxy_for  # noqa: F401
from test_reload import place  # noqa: F401
from test_tls import Python, ends_tls  # noqa: F401

PLAIN = "EHLO:fqdn:MAIL.FROM<:RCPT.TO<:none:none:wwww:DATA:QUIT:-:crlf"
PYTHON = "ehlo:fqdn:mail.FROM<:rcpt.TO<:size:none:wwww:data:quit:-:crlf"
LATE_S = 0.7
NAMES = """
[label says box <"\x1b">]
dialect = HELO:label:*
[label Python]
dialect = ehlo:*:mail.FROM<:*
[label any]
dialect = *
"""
RULES = f"""
[class late]
reply = {LATE_S * 1000:.0f}ms
[rule python]
dialect = *:mail.FROM<:*
class = late
"""


@pytest.fixture
def serve(start_tarryd, start_sink, control_path, tmp_path):
    def start():
        names = tmp_path / "names.ini"
        names.write_text(NAMES)
        text = (f"[tarry]\nmode = enforce\n[listen smtp]\n"
                f"address = 127.0.0.1:0\n[mta]\naddress = 127.0.0.1:1\n"
                f"[syn]\nsidecar =\nlabels = {names}\n"
                f"[http]\naddress = 127.0.0.1:0\n"
                f"[control]\nsocket = {(where := control_path())}\n{RULES}")
        tarryd = start_tarryd(start_sink().port, text=text)
        tarryd.control = where
        return tarryd.wait_ready()
    return start


def dialects(tarryd, count):
    """Those of that many sessions, as logged."""
    wait_until(lambda: tarryd.log.count(" event=session ") >= count,
               f"{count} lines")
    return [re.search(r' dialect="?([^" ]+)', line)[1]
            for line in tarryd.log.splitlines() if " event=session " in line]


def python_replies(client):
    """Seconds that each command waited."""
    waits = []
    for word, args in (("ehlo", ["c.example"]), ("mail", ["a@b.example"]),
                       ("rcpt", ["c@d.example"]), ("data", ["x\r\n"])):
        began = time.monotonic()
        getattr(client, word)(*args)
        waits.append(time.monotonic() - began)
    client.quit()
    return waits


def test_a_rule_slows_those_who_speak_so(serve):
    tarryd = serve()
    with tarryd.connect() as client:
        began = time.monotonic()
        send_mail(client)
        assert time.monotonic() - began < LATE_S
    waits = python_replies(smtplib.SMTP("127.0.0.1", tarryd.port,
                                        timeout=DEADLINE))
    # MAIL is the first that is known to be written so.
    assert waits[0] < LATE_S <= min(waits[2:])
    assert dialects(tarryd, 2) == [
        PLAIN, PYTHON.replace(":size:", ":none:")]
    assert re.findall(r" dialect_label=(\S+)", tarryd.log) == ["any",
                                                               "Python"]


def test_one_that_is_connected_shows_its_own(serve):
    tarryd = serve()
    with tarryd.connect() as client:
        client.reply()
        client.ask("HELO box")
        assert tarryd.ask("sessions")[0]["dialect"] == \
            "HELO:label:-:-:-:-:----:-:-:-:crlf"
        assert tarryd.ask("sessions")[0]["dialect_label"] == \
            'says box <"\\x1b">'
        said = tarryd.ctl("sessions").stdout
        assert "HELO:label:" in said and 'says box <"\\x1b">' in said
    assert dialects(tarryd, 1) == ["HELO:label:-:-:-:-:----:-:fin:-:crlf"]


def test_inside_tls_that_ends_here(ends_tls, start_sink):  # noqa: F811
    tarryd = ends_tls(start_sink().port)
    client = Python(tarryd)
    client.sendmail("a@b.example", ["c@d.example"], "Subject: x\n\nx\n")
    client.quit()
    # EHLO came twice, once in the clear.
    assert dialects(tarryd, 1) == [PYTHON]
