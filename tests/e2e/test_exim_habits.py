"""What only Exim does, by Exim itself: it pipelines its QUIT behind the mail,
shuts its side before the mail is answered, and takes a reply for each
recipient (PRDR). All of it with delays, into a real MTA."""
import os
import pathlib
import re
import subprocess
import tempfile
import threading

import pytest

import journal_reader
from conftest import wait_until
from mta import Exim, Postfix, mta, proxy_for  # noqa: F401
from test_mail import MESSAGE, exim_client, exim_send

WATCHED = {"rule_everyone__class": "watch", "class_watch__greet": "1s",
           "class_watch__reply": "500ms", "class_watch__split": "250ms"}


@pytest.fixture
def journal():
    with tempfile.TemporaryDirectory(prefix="tarry-") as path:
        os.chmod(path, 0o777)
        yield pathlib.Path(path) / "journal"


def notes(journal):
    """Commands and replies of the one session, as Tarry saw them come:
    ["MAIL", .. "250 to MAIL" ..], and the line of its end."""
    def look():
        lines = journal_reader.read(journal, True) if journal.exists() else []
        return lines if lines and lines[-1]["ev"] == "end" else None
    lines = wait_until(look, "the session's end in the journal")
    return [f"{code} to {verb}" if code else verb
            for line in lines if "notes" in line
            for _, verb, _, code, _ in line["notes"]], lines[-1]


def has_been_shut(port):
    """Whether a client of this local port has shut its side."""
    with open("/proc/net/tcp") as table:
        rows = [row.split() for row in table][1:]
    return any(row[3] == "08" and int(row[1].split(":")[1], 16) == port
               for row in rows)


@pytest.mark.parametrize("how", ["DATA", "BDAT"])
def test_it_leaves_before_the_mail_is_answered(how, mta, proxy_for,  # noqa: F811,E501
                                               journal):
    """QUIT and FIN are there, the reply is not: no abort, and one mail."""
    behind = mta(Postfix, proxy=True,
                 main="smtpd_end_of_data_restrictions = sleep 2\n").start()
    tarryd = proxy_for(behind.address, behind.port, journal__path=journal,
                       **WATCHED).wait_ready()
    more = "" if how == "BDAT" else "  hosts_try_chunking =\n"
    client = exim_client(mta, tarryd.port, more)
    lines = []
    sending = threading.Thread(
        target=lambda: lines.append(exim_send(client, MESSAGE)))
    sending.start()
    wait_until(lambda: has_been_shut(tarryd.port), "Exim to shut its side")
    assert behind.mail_count() == 0 and "status=" not in behind.log
    sending.join()
    assert (" K " in lines[0]) == (how == "BDAT")
    assert re.search(r'C="250 2.0.0 Ok: .*queued', lines[0])
    seen, end = notes(journal)
    last = "BDAT" if how == "BDAT" else "dot"
    assert seen[-4:] == [last, "QUIT", f"250 to {last}", "221 to QUIT"]
    assert (end["reason"], end["messages"]) == ("quit", 1)
    mails = behind.wait_mail(1)
    assert mails[0].split(b"\n\n", 1)[1] == MESSAGE.split(b"\n\n", 1)[1]
    wait_until(lambda: behind.queued() == 0, "an empty queue")
    assert behind.mail_count() == 1


# One recipient likes the mail, another does not: by name.
PRDR = ("hosts_proxy = 127.0.0.1\nprdr_enable = yes\n"
        "acl_smtp_data_prdr = accept local_parts = ! ^refused\n")


def exim_sends_to(client, names):
    """Sends to these at d.example; returns {name: its line in the log}."""
    subprocess.run(["chroot", client.root, "/usr/sbin/exim4", "-odf", "-i",
                    "-f", "", *(f"{name}@d.example" for name in names)],
                   input=MESSAGE, check=True)
    return {name: line for line, name in re.findall(
        r"((?:=>|->|\*\*|==) (\w+)@d\.example.*)", client.log)}


@pytest.mark.parametrize("how", ["DATA", "BDAT"])
@pytest.mark.parametrize("names,taken", [
    (("good", "refused", "other"), 2), (("refused", "good"), 1),
    (("good", "other"), 2), (("refused", "refused2"), 0)],
    ids=["mixed", "last", "all", "none"])
def test_prdr(names, taken, how, mta, proxy_for, journal):  # noqa: F811
    """What follows from it is the same as without Tarry: who has the mail,
    and of whom the sender is told that he has not."""
    more = "  hosts_try_prdr = *\n" + \
        ("" if how == "BDAT" else "  hosts_try_chunking =\n")
    found = []
    for through in (False, True):
        behind = mta(Exim, main=PRDR).start()
        host, port = behind.address, behind.port
        if through:
            host, port = "127.0.0.1", proxy_for(
                behind.address, behind.port, journal__path=journal,
                **WATCHED).wait_ready().port
        client = exim_client(mta, port, more, host)
        lines = exim_sends_to(client, names)
        wait_until(lambda: behind.queued() == 0, "an empty queue")
        assert behind.mail_count() == taken
        found.append({name: re.sub(r"id=[\w-]+|\[?127[.\d]+\]?", "", line)
                      for name, line in lines.items()})
    assert found[0] == found[1]
    if taken > 0:  # else there is one refusal for all
        assert all("PRDR" in line for line in found[1].values())
    assert sum("acceptance" in line for line in found[1].values()) == taken
    seen, end = notes(journal)
    assert seen[-1] == "221 to QUIT" and not end.get("lost")
    assert end["messages"] == (taken > 0)


@pytest.mark.parametrize("offers", [True, False])
def test_pipeconnect_is_no_odd_manner(offers, mta, proxy_for):  # noqa: F811
    """Who was told of PIPECONNECT once speaks before it is greeted the next
    time: that is what was offered, and nothing is made of it."""
    behind = mta(Exim, main="hosts_proxy = 127.0.0.1" + (
        "" if offers else "\npipelining_connect_advertise_hosts =")).start()
    tarryd = proxy_for(behind.address, behind.port, **WATCHED).wait_ready()
    client = exim_client(mta, tarryd.port, "  hosts_pipe_connect = *\n")
    used = [" L* " in exim_send(client, MESSAGE) for _ in range(3)]
    assert used == [False, offers, offers]
    assert len(behind.wait_mail(3)) == 3
    wait_until(lambda: tarryd.log.count(" event=session ") == 3, "the ends")
    for line in re.findall(r"^.* event=session .*$", tarryd.log, re.M):
        assert " messages=1 " in line and " rule=everyone " in line
        for manner in ("early_talker", "pipelining", "non_smtp"):
            assert f" {manner}=" not in line
    assert "sync" not in behind.log
