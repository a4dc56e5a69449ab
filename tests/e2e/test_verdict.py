"""Verdicts: the socket, tarryctl's sender, and the follower of Postfix."""
import json
import os
import re
import smtplib
import socket
import stat
import subprocess

import pytest

import tls_files
from conftest import BUILD, Program, wait_until
from mta import Exim, Mta, Postfix, mta, proxy_for  # noqa: F401, fixtures
from scripted_mta import ScriptedMta
from test_reload import place  # noqa: F401
from test_tls import Python, ends_tls  # noqa: F401

# A short number by default; more by hand.
SESSIONS = int(os.environ.get("TARRY_VERDICT_SESSIONS", "200"))


@pytest.fixture
def path(control_path):
    return control_path() + ".v"


def lines(tarryd, result):
    return tarryd.metric(f'tarry_verdict_lines_total{{result="{result}"}}')


def verdicts(tarryd, verdict, source):
    return tarryd.metric(f'tarry_verdicts_total{{verdict="{verdict}",'
                         f'source="{source}"}}')


def send(path, line):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.sendto(line, path)


def test_lines_are_joined_or_counted(start_tarryd, start_sink, path):
    tarryd = start_tarryd(start_sink().port, verdict__socket=path)
    tarryd.wait_ready()
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o660
    tarryd.wait_log("verdicts: 16384 sessions remembered, .* MiB")
    with tarryd.connect() as client:
        client.line()
        who = "%s:%d" % client.socket.getsockname()
        tell = [BUILD / "tarryctl", "verdict", "spam", who, path]
        assert subprocess.run(tell).returncode == 0
        tarryd.wait_log(r"verdict spam by operator: session \d+, client "
                        r"127\.0\.0\.1, class -, rule -")
        assert subprocess.run(tell).returncode == 0
        send(path, json.dumps({"verdict": "ham", "client": "192.0.2.1:9"})
             .encode())
        send(path, b"\xff{nonsense\nmore\n")
        send(path, b"[" * 9000)
        send(path, json.dumps({"verdict": "ham", "client": who,
                               "time": 4e9}).encode())
        for result, count in (("joined", 1), ("doubled", 1), ("unknown", 1),
                              ("malformed", 3), ("contradicts", 1),
                              ("late", 0)):
            wait_until(lambda: lines(tarryd, result) == count, result)
    assert verdicts(tarryd, "spam", "operator") == 1
    assert tarryd.stop() == 0
    assert not os.path.exists(path)


@pytest.fixture
def naming_mta():
    """An MTA that names queue ids: Q and the number of the command."""
    class Naming(ScriptedMta):
        count = 999

        def answer(self, client, lines, script):
            Naming.count += 1
            named = b"250 2.0.0 Ok: queued as Q%d\r\n" % Naming.count
            return super().answer(client, lines, {**script, "dot": named})
    made = Naming()
    yield made
    made.close()


def queue_ids(smtp, mails):
    """Sends some; returns the ids that the MTA named."""
    ids = []
    for _ in range(mails):
        smtp.mail("a@b.example")
        smtp.rcpt("c@d.example")
        ids.append(re.search(rb"queued as (\w+)", smtp.data("x")[1])[1])
    return ids


@pytest.mark.parametrize("is_tls", (False, True))
def test_queue_ids_are_known_from_the_mta(is_tls, naming_mta, proxy_for,
                                          ends_tls, path):
    # A verdict that is faster than the reply waits for it.
    keys = {"verdict__socket": path, "mta__client_address": "none",
            "mta__open_relay_checked": "yes", "class_new__greet": "0s",
            "class_new__teaser": "no"}
    if is_tls:
        tarryd = ends_tls(naming_mta.port, **keys)
        smtp = Python(tarryd)
    else:
        tarryd = proxy_for("127.0.0.1", naming_mta.port, **keys).wait_ready()
        smtp = smtplib.SMTP("127.0.0.1", tarryd.port, timeout=30)
    with smtp:
        smtp.ehlo("c.example")
        first, second = queue_ids(smtp, 2)
        for name in (first, second, first):
            send(path, b'{"verdict":"spam","source":"rspamd","id":"%s"}'
                 % name)
        wait_until(lambda: lines(tarryd, "joined") == 2, "both")
        wait_until(lambda: lines(tarryd, "doubled") == 1, "the second time")
        early = b"Q%d" % (int(second[1:]) + 3)  # commands later
        send(path, b'{"verdict":"ham","id":"%s"}' % early)
        assert queue_ids(smtp, 1) == [early]
        wait_until(lambda: verdicts(tarryd, "ham", "other") == 1, "the early")
    for wrong in ("unknown", "contradicts", "malformed", "late"):
        assert lines(tarryd, wrong) == 0
    assert len(set(re.findall(r"verdict \w+ by \w+: session (\d+)",
                              tarryd.log))) == 1


@pytest.mark.parametrize("words", (
    ("great", "192.0.2.1:1"), ("spam", "192.0.2.1:0"), ("spam", "192.0.2.1"),
    ("spam", 'a"b')))
def test_words_that_are_none(words):
    done = subprocess.run([BUILD / "tarryctl", "verdict", *words],
                          capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.startswith("tarryctl: ")


def test_nobody_takes_verdicts(tmp_path):
    done = subprocess.run(
        [BUILD / "tarryctl", "verdict", "spam", "192.0.2.1:1",
         tmp_path / "none"], capture_output=True, text=True)
    assert done.returncode == 75
    assert "is tarryd running" in done.stderr


@pytest.fixture
def postfix(mta, tmp_path):
    made = mta(Postfix, proxy=True, main="""\
smtpd_client_port_logging = yes
smtpd_tls_security_level = may
smtpd_tls_chain_files = /etc/postfix/tls.pem
smtpd_recipient_restrictions =
  check_recipient_access inline:{nobody@d.example=REJECT}
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
""".replace("\n  ", " "))
    pem = tmp_path / "tls.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days",
         "9", "-subj", "/CN=mta.example", "-keyout", pem, "-out",
         tmp_path / "cert"], check=True, capture_output=True)
    made.write("etc/postfix/tls.pem",
               pem.read_text() + (tmp_path / "cert").read_text())
    return made.start()


def mail(port, to):
    """One session in TLS; returns whom its client was, for the MTA too."""
    with smtplib.SMTP("127.0.0.1", port, timeout=30) as smtp:
        who = "%s:%d" % smtp.sock.getsockname()
        smtp.starttls()
        try:
            smtp.sendmail("a@client.example", [to], "Subject: x\r\n\r\nx\r\n")
        except smtplib.SMTPRecipientsRefused:
            pass
    return who


def test_postfix_tells_what_tls_hides(proxy_for, postfix, path, tmp_path):
    tarryd = proxy_for(postfix.address, postfix.port, verdict__socket=path,
                       control__socket=path[:-2], class_new__greet="0",
                       learn__capacity="2000")
    tarryd.wait_ready()
    log = postfix.root / postfix.log_file
    follower = Program(tmp_path / "follow.log",
                       [BUILD / "tarryctl", "follow", "postfix", log, path])
    follower.wait_log("following")
    good = refused = 0
    for i in range(SESSIONS):
        if i == SESSIONS // 2:  # the log is rotated, as copytruncate does
            wait_until(lambda: lines(tarryd, "joined") == i, "the first half")
            os.truncate(log, 0)
        if i % 3 == 2:
            mail(tarryd.port, "nobody@d.example")
            refused += 1
        else:
            mail(tarryd.port, "box@d.example")
            good += 1
    wait_until(lambda: verdicts(tarryd, "delivered", "postfix") == good,
               "all deliveries")
    wait_until(lambda: verdicts(tarryd, "rejected", "postfix") == refused,
               "all refusals")
    assert lines(tarryd, "joined") == SESSIONS
    for wrong in ("doubled", "unknown", "contradicts", "malformed", "late"):
        assert lines(tarryd, wrong) == 0
    # And each was learnt, of a refusal that it was one.
    wait_until(lambda: tarryd.metric("tarry_verdicts_learnt_total") ==
               SESSIONS, "all to be learnt")
    counts = tarryd.ask("dump", "client")[0]
    assert round(counts["sessions"]) == SESSIONS
    assert round(counts["delivered"]) == round(counts["good"]) == good
    # Nothing was seen of them, and all were told.
    ended = wait_until(
        lambda: (now := tarryd.ask("status")[0]["ended"])["all"] == SESSIONS
        and now, "the ends")
    assert ended == {"all": SESSIONS, "opaque": SESSIONS, "told": SESSIONS}
    assert "blind" not in tarryd.ctl("status").stdout
    with smtplib.SMTP("127.0.0.1", tarryd.port, timeout=30) as smtp:
        smtp.starttls()
        smtp.noop()
    wait_until(lambda: tarryd.ask("status")[0]["ended"]["all"] > SESSIONS,
               "one more")
    if SESSIONS < 100:
        assert "learning is blind for" in tarryd.ctl("status").stdout
    follower.stop()


@pytest.fixture
def follow(tmp_path, running):
    """follow(program, file, socket) -> a follower at work."""
    def start(program, log, path):
        follower = Program(tmp_path / "follow.log",
                           [BUILD / "tarryctl", "follow", program, log, path])
        running.append(follower)
        follower.wait_log("following")
        return follower
    return start


def test_exim_tells_what_tls_hides(proxy_for, mta, path, tmp_path, follow):
    exim = mta(Exim)
    exim.write("etc/tls.pem", tls_files.make(tmp_path))
    exim.set_main(tls_files.EXIM + """\
hosts_proxy = *
log_selector = +incoming_port
acl_smtp_data = ${if match{$message_body}{pills}{spam}{data}}
""")
    conf = exim.root / "etc/exim4/exim4.conf"
    exim.write("etc/exim4/exim4.conf", conf.read_text().replace(
        "begin acl\nrcpt:\n", "begin acl\nspam:\n  deny message = This is "
        "spam\nrcpt:\n  deny local_parts = nobody\n       message = User "
        "unknown\n"))
    exim.start()
    tarryd = proxy_for(exim.address, exim.port, verdict__socket=path,
                       class_new__greet="0")
    tarryd.wait_ready()
    follow("exim", exim.root / exim.log_file, path)
    want = {"delivered": 0, "unknown_user": 0, "spam": 0}
    for i in range(15):
        verdict = list(want)[i % 3]
        want[verdict] += 1
        with smtplib.SMTP("127.0.0.1", tarryd.port, timeout=30) as smtp:
            smtp.starttls()
            smtp.ehlo("[192.0.2.9]")
            try:
                smtp.sendmail(
                    "a@client.example", [
                        "nobody@d.example" if verdict == "unknown_user"
                        else "box@d.example"],
                    "Subject: x\r\n\r\n"
                    + ("pills" if verdict == "spam" else "x"))
            except (smtplib.SMTPRecipientsRefused, smtplib.SMTPDataError):
                assert verdict != "delivered"
    for verdict, count in want.items():
        wait_until(lambda: verdicts(tarryd, verdict, "exim") == count,
                   f"{verdict}: {count}")
    for wrong in ("doubled", "unknown", "contradicts", "malformed", "late"):
        assert lines(tarryd, wrong) == 0


REFUSED = ("Nov 23 02:00:00 mta postfix/smtpd[1]: NOQUEUE: reject: RCPT from "
           "x[192.0.2.1]:%d: 550 5.1.1 <n@d>: no; from=<> to=<n@d>\n")


@pytest.fixture
def heard(path):
    """heard() -> the client's port of the next verdict."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(path)
        sock.settimeout(20)
        yield lambda: int(json.loads(sock.recv(4096))["client"].split(":")[1])


def test_a_log_that_is_put_aside(tmp_path, path, heard, follow):
    """Late lines of the old file are read, then those of the new one."""
    log = tmp_path / "log"
    log.write_text(REFUSED % 1)  # from its end on
    follow("postfix", log, path)
    with open(log, "a") as old:
        print(REFUSED % 2, end="", file=old, flush=True)
        assert heard() == 2
        log.rename(tmp_path / "log.1")
        print(REFUSED % 3, end="", file=old, flush=True)
        log.write_text(REFUSED % 4)
        print((REFUSED % 5)[:60], end="", file=old, flush=True)
        assert heard() == 3
        print((REFUSED % 5)[60:], end="", file=old, flush=True)
        assert heard() == 5
        assert heard() == 4
    with open(log, "a") as new:
        print(REFUSED % 6, end="", file=new, flush=True)
        assert heard() == 6


def test_a_log_that_is_cut(tmp_path, path, heard, follow):
    """Shorter, as long and longer than before by the next look: whether it
    is another one is known by what stands in front of the place."""
    log = tmp_path / "log"
    log.write_text(REFUSED % 1)
    follow("postfix", log, path)
    with open(log, "a") as new:
        print(REFUSED % 2, end="", file=new, flush=True)
    assert heard() == 2
    log.write_text(REFUSED % 3)
    assert heard() == 3
    log.write_text(REFUSED % 4)
    assert heard() == 4
    log.write_text("".join(REFUSED % number for number in (5, 6, 7)))
    assert [heard(), heard(), heard()] == [5, 6, 7]
    with open(log, "a") as new:
        print(REFUSED % 8, end="", file=new, flush=True)
    assert heard() == 8


def test_a_directory_is_no_log(tmp_path, path):
    done = subprocess.run([BUILD / "tarryctl", "follow", "postfix", tmp_path,
                           path], capture_output=True, text=True, timeout=20)
    assert done.returncode == 2
    assert "is a directory, expected the file of a log" in done.stderr


def test_lines_of_a_log_that_are_none(tmp_path, path, heard):
    """A NUL, a line without end, bytes that are no text; then a good one."""
    nul = (REFUSED % 1).replace("550", "\0 550")
    data = (nul.encode() + b"x" * 100000 + (REFUSED % 2).encode()
            + b"\xff\xfe\n\n" + (REFUSED % 3).encode() + b"cut")
    subprocess.run([BUILD / "tarryctl", "follow", "postfix", "-", path],
                   input=data, check=True, timeout=20)
    assert heard() == 3


RSPAMD = """\
options {
  filters = "";
  url_tld = "/etc/rspamd/tld";
  hs_cache_dir = "/tmp";
  dns { nameserver = ["127.0.0.1:1"]; timeout = 0.1s; }
}
logging { type = "console"; level = "info"; }
worker "rspamd_proxy" {
  bind_socket = "%s:%d";
  count = 1;
  milter = yes;
  upstream "local" { default = yes; self_scan = yes; }
}
actions { reject = 15; }
lua = "/etc/rspamd/pills.lua";
modules { path = "/usr/share/rspamd/plugins/metadata_exporter.lua"; }
metadata_exporter {
  rules {
    TARRY {
      backend = "http";
      url = "http://127.0.0.1:%d/";
      selector = "default";
      formatter = "json";
    }
  }
}
"""
PILLS = """\
rspamd_config:register_symbol({name = 'PILLS', score = 20.0, group = 'x',
  callback = function(task) return task:get_header('Subject') == 'pills' end})
"""


class Rspamd(Mta):
    """A milter that tells a follower of each mail."""
    name = "rspamd"

    def __init__(self, where, told_port):
        super().__init__(where)
        self.write("etc/rspamd/tld", "com\nexample\n")
        self.write("etc/rspamd/pills.lua", PILLS)
        self.write("etc/rspamd/tarry.conf",
                   RSPAMD % (self.address, self.port, told_port))

    def words(self):
        return ["/usr/bin/rspamd", "-f", "-i", "-c",
                "/etc/rspamd/tarry.conf"]


def test_rspamd_tells_before_the_mta_answers(proxy_for, mta, path, follow,
                                             tmp_path):
    """In the clear: the queue id is known from the MTA's reply, later."""
    follower = follow("rspamd", "127.0.0.1:0", path)
    port = int(follower.wait_log(r"sent to port (\d+)")[1])
    milter = mta(Rspamd, told_port=port).start()
    postfix = mta(Postfix, proxy=True, main=f"""\
smtpd_milters = inet:{milter.address}:{milter.port}
milter_default_action = tempfail
""").start()
    tarryd = proxy_for(postfix.address, postfix.port, verdict__socket=path,
                       class_new__greet="0")
    tarryd.wait_ready()
    for i in range(6):
        with smtplib.SMTP("127.0.0.1", tarryd.port, timeout=30) as smtp:
            smtp.sendmail("a@client.example", ["box@d.example"],
                          "Subject: x\r\n\r\nx\r\n")
    wait_until(lambda: verdicts(tarryd, "ham", "rspamd") == 6, "ham")
    # The MTA refuses it and names no id: nobody can be told of it, and the
    # refusal was seen anyway.
    with smtplib.SMTP("127.0.0.1", tarryd.port, timeout=30) as smtp:
        with pytest.raises(smtplib.SMTPDataError):
            smtp.sendmail("a@client.example", ["box@d.example"],
                          "Subject: pills\r\n\r\nx\r\n")
    tarryd.wait_log(r"\bspam=1\b")
    for wrong in ("doubled", "unknown", "contradicts", "malformed", "late"):
        assert lines(tarryd, wrong) == 0


def post(port, data):
    with socket.create_connection(("127.0.0.1", port), 20) as sock:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        return sock.recv(100).split(b"\r\n")[0]


def test_posts_that_are_none(path, follow):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(path)
        sock.settimeout(20)
        follower = follow("rspamd", "127.0.0.1:0", path)
        port = int(follower.wait_log(r"sent to port (\d+)")[1])
        body = b'{"qid":"4XyZ12","action":"reject"}'
        head = b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n"
        for wrong in (b"", b"GET / HTTP/1.1\r\n\r\n", b"x" * 16384,
                      b"POST / HTTP/1.1\r\n\r\n" + body,
                      head % 99 + body, head % (1 << 21) + body,
                      head % -1 + body, head % (1 << 70) + body):
            assert post(port, wrong) == b"HTTP/1.1 400 Bad Request"
        assert post(port, head % len(body) + body) == b"HTTP/1.1 200 OK"
        assert json.loads(sock.recv(4096)) == {
            "verdict": "spam", "id": "4XyZ12", "source": "rspamd"}
        sock.setblocking(False)
        with pytest.raises(BlockingIOError):
            sock.recv(4096)


def test_only_this_host_may_tell(path):
    done = subprocess.run(
        [BUILD / "tarryctl", "follow", "rspamd", "192.0.2.1:8123", path],
        capture_output=True, text=True, timeout=20)
    assert done.returncode == 2 and "would be believed" in done.stderr
