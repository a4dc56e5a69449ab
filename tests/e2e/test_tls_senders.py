"""Real MTAs send through TLS that ends in Tarry, and look whose it is.

Postfix encrypts, verifies, resumes its sessions; Exim does within TLS what
only Exim does: QUIT behind the mail, a reply for each recipient, all before
the greeting.
"""
import re
import signal

import pytest

from conftest import wait_until
from mta import Exim, Postfix, mta, proxy_for  # noqa: F401
from test_exim_habits import PRDR, exim_sends_to, journal, notes  # noqa: F401
from test_hello import lines, wait_line
from test_mail import MESSAGE, exim_client, exim_send, send_python
from test_reload import place  # noqa: F401
from test_tls import NAME, ends_tls, own  # noqa: F401

LEVELS = {
    "encrypt": "smtp_tls_security_level = encrypt\n",
    "verify": "smtp_tls_security_level = verify\n"
              f"smtp_tls_verify_cert_match = {NAME}\n",
    "secure": "smtp_tls_security_level = secure\n"
              f"smtp_tls_secure_cert_match = {NAME}\n",
    "another": "smtp_tls_security_level = secure\n"
               "smtp_tls_secure_cert_match = other.example\n"}


def postfix_client(mta, tarryd, level, trusts=True):
    sender = mta(Postfix, main=f"""\
relayhost = [127.0.0.1]:{tarryd.port}
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination
virtual_mailbox_domains = none.example
smtp_tls_loglevel = 1
smtp_tls_session_cache_database = btree:/var/lib/postfix/smtp_scache
{"smtp_tls_CAfile = /etc/ca.pem" if trusts else ""}
""" + LEVELS[level])
    sender.write("etc/ca.pem", tarryd.ca.read_text())
    return sender.start()


def postfix_send(sender, status, count=1):
    send_python(sender.port, MESSAGE.replace(b"\n", b"\r\n"), sender.address)
    wait_until(lambda: sender.log.count(f"status={status}") == count,
               f"{count} mails to be {status}")


@pytest.fixture
def postfix(mta):  # noqa: F811
    return mta(Postfix, proxy=True).start()


@pytest.mark.parametrize("level,trusts,word", [
    ("encrypt", False, "Untrusted"), ("encrypt", True, "Trusted"),
    ("verify", True, "Verified"), ("secure", True, "Verified")])
def test_postfix_sends(level, trusts, word, postfix, mta, ends_tls):  # noqa: F811,E501
    tarryd = ends_tls(postfix.port, postfix.address)
    sender = postfix_client(mta, tarryd, level, trusts)
    postfix_send(sender, "sent")
    assert re.search(rf"{word} TLS connection established to \S+: TLSv1.3 ",
                     sender.log)
    mails = postfix.wait_mail(1)
    assert mails[0].split(b"\n\n", 1)[1] == MESSAGE.split(b"\n\n", 1)[1]
    line = wait_line(tarryd)
    assert (line["reason"], line["messages"]) == ("quit", "1")
    assert line["tls_version"] == "TLSv1.3"


@pytest.mark.parametrize("level,trusts", [
    ("another", True), ("verify", False)])
def test_postfix_keeps_its_mail_from_a_wrong_name(level, trusts, postfix,
                                                  mta, ends_tls):  # noqa: F811,E501
    """Neither lost nor bounced nor delivered: it asks again later."""
    tarryd = ends_tls(postfix.port, postfix.address)
    sender = postfix_client(mta, tarryd, level, trusts)
    postfix_send(sender, "deferred")
    assert "Server certificate not" in sender.log
    line = wait_line(tarryd)
    assert line["messages"] == "0" and line["recipients"] == "0"
    assert sender.queued() > 0 and postfix.mail_count() == 0


def test_postfix_resumes_and_survives_a_reload(postfix, mta, place,  # noqa: F811,E501
                                               running):
    """Its ticket is of the old keys then: a whole handshake, and the mail."""
    tarryd = own(place, running, postfix.port, class_new__greet="0s",
                 mta__address=f"{postfix.address}:{postfix.port}")
    sender = postfix_client(mta, tarryd, "verify")

    def send(count):
        postfix_send(sender, "sent", count)
        wait_line(tarryd, count)
        return lines(tarryd)[count - 1].get("tls_resumed") == "yes"
    assert [send(1), send(2)] == [False, True]
    tarryd.send_signal(signal.SIGHUP)
    tarryd.wait_log("and is in force")
    send(3)
    assert send(4)
    assert sender.log.count("Verified TLS connection established") == 4
    assert len(postfix.wait_mail(4)) == 4
    assert all((line["reason"], line["messages"]) == ("quit", "1")
               for line in lines(tarryd))


def exim_tls(mta, tarryd, more=""):
    """An Exim that verifies who signed, and sends no other way."""
    client = exim_client(mta, tarryd.port, more)
    path = client.root / "etc/exim4/exim4.conf"
    client.write("etc/ca.pem", tarryd.ca.read_text())
    client.write("etc/exim4/exim4.conf", path.read_text().replace(
        "hosts_avoid_tls = *", "hosts_require_tls = *\n"
        "  tls_verify_certificates = /etc/ca.pem\n  tls_verify_hosts = *\n"
        "  tls_verify_cert_hostnames =\n"
        "  tls_sni = " + NAME).replace(
            "log_selector = +pipelining",
            "log_selector = +pipelining +tls_certificate_verified"))
    return client


@pytest.mark.parametrize("how", ["DATA", "BDAT"])
def test_exim_says_quit_behind_its_mail(how, postfix, mta, ends_tls,  # noqa: F811,E501
                                        journal):  # noqa: F811
    tarryd = ends_tls(postfix.port, postfix.address, journal__path=journal)
    client = exim_tls(
        mta, tarryd, "" if how == "BDAT" else "  hosts_try_chunking =\n")
    line = exim_send(client, MESSAGE)
    assert "CV=yes" in line and (" K " in line) == (how == "BDAT")
    last = "BDAT" if how == "BDAT" else "dot"
    seen, end = notes(journal)
    assert seen[-4:] == [last, "QUIT", f"250 to {last}", "221 to QUIT"]
    assert (end["reason"], end["messages"]) == ("quit", 1)
    mails = postfix.wait_mail(1)
    assert mails[0].split(b"\n\n", 1)[1] == MESSAGE.split(b"\n\n", 1)[1]
    wait_until(lambda: postfix.queued() == 0, "an empty queue")
    assert postfix.mail_count() == 1


@pytest.mark.parametrize("how", ["DATA", "BDAT"])
def test_prdr_within_tls(how, mta, ends_tls, journal):  # noqa: F811
    """One likes the mail, another does not."""
    behind = mta(Exim, main=PRDR).start()
    tarryd = ends_tls(behind.port, behind.address, journal__path=journal)
    client = exim_tls(mta, tarryd, "  hosts_try_prdr = *\n" + (
        "" if how == "BDAT" else "  hosts_try_chunking =\n"))
    said = exim_sends_to(client, ("good", "refused", "other"))
    wait_until(lambda: behind.queued() == 0, "an empty queue")
    assert behind.mail_count() == 2
    assert {name: "acceptance" in line for name, line in said.items()} == \
        {"good": True, "refused": False, "other": True}
    assert all("PRDR" in line and "CV=yes" in line for line in said.values())
    seen, end = notes(journal)
    assert seen[-1] == "221 to QUIT" and not end.get("lost")
    assert end["messages"] == 1


def test_pipeconnect_before_tls(mta, ends_tls):  # noqa: F811
    """EHLO and STARTTLS before the greeting: no early talker."""
    behind = mta(Exim, main="hosts_proxy = 127.0.0.1").start()
    tarryd = ends_tls(behind.port, behind.address)
    client = exim_tls(mta, tarryd, "  hosts_pipe_connect = *\n")
    first, second = (exim_send(client, MESSAGE) for _ in range(2))
    print(first, second, sep="\n")
    assert " L* " not in first and " L* " in second and "CV=yes" in second
    assert len(behind.wait_mail(2)) == 2
    wait_line(tarryd, 2)
    assert [(line["rule"], line["messages"], line["reason"])
            for line in lines(tarryd)] == [("everyone", "1", "quit")] * 2
    assert "sync" not in behind.log
