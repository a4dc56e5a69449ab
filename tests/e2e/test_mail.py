"""Mail by real clients, through tarryd, into a sink and into real MTAs.

The yardstick is the same mail without Tarry: what is delivered must be equal
byte for byte, and the MTA must log the client's address, not ours.
"""
import re
import shutil
import smtplib
import subprocess
import textwrap

import pytest

from conftest import DEADLINE, wait_until
from mta import (Exim, Opensmtpd, Postfix, base_root, mta,  # noqa: F401
                 proxy_for)

CLIENT = "127.0.0.77"

# What goes wrong in relays: dots, 8-bit, NUL, long lines, blank ends.
BODY = (b"Subject: odd\r\nFrom: a@b.example\r\nTo: c@d.example\r\n"
        b"Message-Id: <1@b.example>\r\nDate: Sun, 22 Nov 2026 10:00:00 +0000"
        b"\r\n\r\n"
        b".one dot\r\n..two dots\r\n...\r\n. \r\n .\r\n.x.\r\n"
        b"\xe4\xf6\xfc \x80\xff latin and not\r\n"
        b"gr\xc3\xbc\xc3\x9fe\r\n" + b"x" * 990 + b"\r\n"
        b"trailing blanks   \r\n\ttab\r\n\r\n\r\n"
        b"MAIL FROM:<x@y.example>\r\nQUIT\r\nDATA\r\n354 go on\r\n"
        b"220 not a greeting\r\n\r\n")


def stuffed(body):
    """As it goes over the wire."""
    return re.sub(rb"(?m)^\.", b"..", body) + b".\r\n"


def sink_mail(sink, count):
    files = wait_until(
        lambda: len(list(sink.mail.glob("*.eml"))) >= count and
        sorted(sink.mail.glob("*.eml"), key=lambda p: int(p.stem)),
        f"{count} mails in the sink")
    return [path.read_bytes() for path in files]


def below_received(mail):
    """What is below the MTA's own headers, up to its own Received."""
    return re.sub(rb"\A(?s:.*?)^Received: [^\n]*\n(?:[ \t][^\n]*\n)*", b"",
                  mail, count=1, flags=re.M)


def send_python(port, body, host="127.0.0.1", source=CLIENT,
                to="c@d.example"):
    with smtplib.SMTP(host, port, timeout=DEADLINE,
                      source_address=(source, 0)) as client:
        client.sendmail("a@b.example", [to], body)


def send_swaks(port, body, path, host="127.0.0.1"):
    swaks = shutil.which("swaks")
    if swaks is None:
        pytest.skip("swaks is not there")
    path.write_bytes(body)
    done = subprocess.run(
        [swaks, "--server", host, "--port", str(port), "--from",
         "a@b.example", "--to", "c@d.example", "--ehlo", "client.example",
         "--local-interface", CLIENT, "--data", f"@{path}"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout.decode(errors="replace")


def megabyte():
    lines = [b"%07d " % i + bytes(33 + (i * 7 + j) % 90
                                  for j in range(60)) + b"\r\n"
             for i in range(15000)]
    return b"Subject: long\r\n\r\n" + b"".join(lines)


def test_swaks_into_the_sink(start_sink, proxy_for, tmp_path):
    sink = start_sink()
    tarryd = proxy_for("127.0.0.1", sink.port,
                       class_new__greet="1s").wait_ready()
    send_swaks(tarryd.port, BODY, tmp_path / "body")
    # The same without Tarry, because swaks adds a line end of its own.
    direct = start_sink("none")
    send_swaks(direct.port, BODY, tmp_path / "body")
    assert sink_mail(sink, 1) == sink_mail(direct, 1)
    assert BODY.rstrip() in sink_mail(sink, 1)[0]
    line = tarryd.wait_log(r"^.*event=session.*$")[0]
    assert re.search(r" greet_ms=1\d\d\d ", line)


def test_smtplib_into_the_sink_is_the_same_megabyte(start_sink, proxy_for):
    sink = start_sink()
    tarryd = proxy_for("127.0.0.1", sink.port).wait_ready()
    send_python(tarryd.port, megabyte())
    assert sink_mail(sink, 1) == [megabyte()]


@pytest.mark.parametrize("header", ["proxy_v1", "proxy_v2"])
def test_postfix_gets_the_same_mail_and_the_address(mta, proxy_for, header,
                                                    tmp_path):
    behind = mta(Postfix, proxy=True).start()
    direct = mta(Postfix).start()
    tarryd = proxy_for(behind.address, behind.port, class_new__greet="1s",
                       mta__client_address=header).wait_ready()
    for body in (BODY, megabyte()):
        send_python(tarryd.port, body)
        send_python(direct.port, body, direct.address)
    send_swaks(tarryd.port, BODY, tmp_path / "body")
    send_swaks(direct.port, BODY, tmp_path / "body", direct.address)
    got = sorted(map(below_received, behind.wait_mail(3)))
    want = sorted(map(below_received, direct.wait_mail(3)))
    assert got == want
    assert b"\n.one dot\n..two dots\n...\n. \n" in got[-1] + got[-2]
    assert behind.log.count(f"client=unknown[{CLIENT}]") == 3
    assert "warning" not in behind.log


# Real programs as senders, each as it comes: Exim says all in one segment and
# shuts its side before the dot is answered, Postfix pipelines, OpenSMTPD and
# curl do not, msmtp pipelines half.
MESSAGE = (b"From: a@b.example\nTo: c@d.example\nSubject: from %s\n"
           b"Message-Id: <1@b.example>\n"
           b"Date: Sun, 22 Nov 2026 10:00:00 +0000\n\n"
           b".dot\n..\n.\nFrom here\n\ngr\xc3\xbc\xc3\x9fe\n"
           + b"".join(b"%05d line\n" % i for i in range(3000)) + b"end\n")


def chroot(root, words, message):
    done = subprocess.run(["chroot", root, *map(str, words)], input=message,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout.decode(errors="replace")
    return done.stdout.decode(errors="replace")


def exim_client(mta, port, more="", host="127.0.0.1"):
    """An Exim that hands all that it is given to a port."""
    client = mta(Exim)
    client.write("etc/exim4/exim4.conf", textwrap.dedent(f"""\
        primary_hostname = client.example
        qualify_domain = b.example
        spool_directory = /var/spool/exim4
        log_file_path = /var/log/exim-%s
        log_selector = +pipelining
        keep_environment =
        begin routers
        all:
          driver = manualroute
          transport = out
          route_list = * {host}
          self = send
        begin transports
        out:
          driver = smtp
          port = {port}
          interface = {CLIENT}
          hosts_avoid_tls = *
        """) + more)
    return client


def exim_send(client, message):
    """Returns Exim's line about the delivery."""
    chroot(client.root, ["/usr/sbin/exim4", "-odf", "-i", "-f", "a@b.example",
                         "c@d.example"], message)
    lines = re.findall(r"^.* => c@d.example .*$", client.log, re.M)
    assert client.log.count("Completed") == len(lines)
    return lines[-1]


def exim_sends(mta, port, message, tmp_path):
    line = exim_send(exim_client(mta, port, "  hosts_try_chunking =\n"),
                     message)
    assert " L " in line and " K " not in line  # pipelined, no chunks


def exim_sends_chunks(mta, port, message, tmp_path):
    assert " K " in exim_send(exim_client(mta, port), message)


def postfix_sends(mta, port, message, tmp_path):
    sender = mta(Postfix, main=f"""\
relayhost = [127.0.0.1]:{port}
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination
virtual_mailbox_domains = none.example
smtp_bind_address = {CLIENT}
""")
    sender.start()
    send_python(sender.port, message.replace(b"\n", b"\r\n"), sender.address)
    wait_until(lambda: "status=sent (250" in sender.log, "Postfix to send")


def opensmtpd_sends(mta, port, message, tmp_path):
    sender = mta(Opensmtpd)
    sender.write("etc/smtpd.conf", f"""\
listen on {sender.address} port {sender.port}
action "out" relay host smtp://127.0.0.1:{port} src {CLIENT}
match from any for any action "out"
""")
    sender.start()
    send_python(sender.port, message.replace(b"\n", b"\r\n"), sender.address)
    wait_until(lambda: 'result="Ok"' in sender.log, "OpenSMTPD to send")
    sender.stop()  # it would keep the session for 10 s more


def msmtp_sends(mta, port, message, tmp_path):
    chroot(base_root("msmtp"),
           ["/usr/bin/msmtp", "--host=127.0.0.1", f"--port={port}",
            f"--source-ip={CLIENT}", "--from=a@b.example",
            "--domain=client.example", "--tls=off", "--auth=off",
            "c@d.example"], message)


def curl_sends(mta, port, message, tmp_path):
    if shutil.which("curl") is None:
        pytest.skip("curl is not there")
    (tmp_path / "message").write_bytes(message.replace(b"\n", b"\r\n"))
    done = subprocess.run(
        ["curl", "-sS", "--interface", CLIENT, "--mail-from", "a@b.example",
         "--mail-rcpt", "c@d.example", "--upload-file", tmp_path / "message",
         f"smtp://127.0.0.1:{port}/client.example"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout


SENDERS = {"exim": exim_sends, "exim by BDAT": exim_sends_chunks,
           "postfix": postfix_sends, "opensmtpd": opensmtpd_sends,
           "msmtp": msmtp_sends, "curl": curl_sends}


@pytest.mark.parametrize("name", SENDERS)
def test_real_senders(name, mta, proxy_for, tmp_path):
    behind = mta(Postfix, proxy=True).start()
    tarryd = proxy_for(behind.address, behind.port).wait_ready()
    message = MESSAGE.replace(b"%s", name.encode())
    SENDERS[name](mta, tarryd.port, message, tmp_path)
    mails = behind.wait_mail(1)
    assert len(mails) == 1  # once, not twice
    assert mails[0].split(b"\n\n", 1)[1] == message.split(b"\n\n", 1)[1]
    assert behind.log.count(f"client=unknown[{CLIENT}]") == 1
    line = tarryd.wait_log(r"^.*event=session.*$")[0]
    assert "messages=1 " in line and "rule=everyone" in line


def test_exim_that_speaks_before_it_is_greeted(mta, proxy_for):
    """By PIPECONNECT, which the Exim behind offers: no early talker."""
    behind = mta(Exim, main="hosts_proxy = 127.0.0.1").start()
    tarryd = proxy_for(behind.address, behind.port).wait_ready()
    assert "offers PIPECONNECT" in tarryd.log
    client = exim_client(mta, tarryd.port, "  hosts_pipe_connect = *\n")
    # The first time it learns that it may.
    assert " L* " not in exim_send(client, MESSAGE)
    assert " L* " in exim_send(client, MESSAGE)
    mails = behind.wait_mail(2)
    assert [mail.split(b"\n\n", 1)[1] for mail in mails] == \
        [MESSAGE.split(b"\n\n", 1)[1]] * 2
    wait_until(lambda: tarryd.log.count("event=session") == 2, "two sessions")
    assert "rule=odd" not in tarryd.log
    assert tarryd.log.count("messages=1 ") == 2
    assert "sync" not in behind.log
