"""tarryctl doctor, against real MTAs with right and wrong settings.

What it says to type is typed, where that is one line, and the doctor is asked
again.
"""
import json
import os
import re
import socket
import subprocess

import pytest

from conftest import BUILD, DEADLINE, send_mail, wait_until
from mta import Exim, Opensmtpd, Postfix, Sendmail, mta, proxy_for  # noqa: F401,E501

KINDS = [Postfix, Exim, Opensmtpd]
CHECKS = {"reachable", "greeting", "client", "pipelining", "pipeconnect",
          "starttls", "certificate", "name", "relay", "patience",
          "connections"}


class Answer:
    """What the doctor found, by check."""

    def __init__(self, tarryd, *words):
        self.lines = tarryd.ask("doctor", *words)

    def levels(self):
        return {line["check"]: line["level"] for line in self.lines}

    def of(self, check):
        found = [line for line in self.lines if line.get("check") == check]
        assert len(found) == 1, self.lines
        return found[0]

    def error(self, check, pattern):
        """The finding must be an error that says so; returns what to type."""
        line = self.of(check)
        assert line["level"] == "error", line
        assert re.search(pattern, line["text"]), line
        return line["mend"]


@pytest.fixture
def ask(proxy_for, control_path):
    """ask(mta, section__key=value ..) -> a Tarryd before it."""
    def start(behind, **keys):
        keys.setdefault("mta__patience", "1s")
        return proxy_for(behind.address, behind.port,
                         control__socket=control_path(), **keys
                         ).wait_started()
    return start


@pytest.fixture
def pem(tmp_path):
    """pem(name, start, days) -> key and certificate as one text."""
    def make(name="mta.example", start=None, days=90):
        key, crt = tmp_path / "key.pem", tmp_path / "crt.pem"
        subprocess.run(
            [*(("faketime", start) if start else ()), "openssl", "req",
             "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out",
             crt, "-days", str(days), "-subj", f"/CN={name}", "-addext",
             f"subjectAltName=DNS:{name}"],
            check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return key.read_text(), crt.read_text()
    return make


@pytest.fixture
def made(mta, pem):
    """made(kind, proxy, tls, main) -> an MTA that is set so, not started."""
    def make(kind, proxy=True, tls=None, main=""):
        tls = tls or pem()
        if kind is Postfix:
            behind = mta(kind, proxy=proxy, main=main +
                         "smtpd_tls_security_level = may\n"
                         "smtpd_tls_chain_files = /etc/key.pem, "
                         "/etc/crt.pem\n")
        elif kind is Exim:
            behind = mta(kind)
            lines = ("hosts_proxy = 127.0.0.0/8\n" if proxy else "") + \
                "tls_advertise_hosts = *\ntls_privatekey = /etc/key.pem\n" \
                "tls_certificate = /etc/crt.pem\n" + main
            behind.set_main("")
            path = behind.root / "etc/exim4/exim4.conf"
            names = {line.split(" ")[0] for line in lines.splitlines()}
            behind.write("etc/exim4/exim4.conf", lines + "".join(
                line for line in path.read_text().splitlines(keepends=True)
                if line.split(" ")[0] not in names))
        else:
            behind = mta(kind)
            # Debian 12's own cannot sign in a handshake: "EVP lib".
            behind.set_listen(
                f"listen on {behind.address} port {behind.port}"
                f"{' proxy-v2' if proxy else ''}")
        behind.write("etc/key.pem", tls[0])
        behind.write("etc/crt.pem", tls[1])
        (behind.root / "etc/key.pem").chmod(
            0o644 if kind is Exim else 0o600)
        return behind
    return make


@pytest.mark.parametrize("kind", KINDS)
def test_all_is_well(kind, made, ask):
    behind = made(kind).start()
    tarryd = ask(behind)
    done = tarryd.ctl("doctor", "5")
    found = Answer(tarryd, "5")
    if kind is Opensmtpd:
        assert done.returncode == 3, done.stdout
        assert found.levels() == {
            **dict.fromkeys(CHECKS - {"certificate", "name"}, "ok"),
            "starttls": "warning"}
    else:
        assert done.returncode == 0, done.stdout
        assert done.stdout.endswith("0 errors, 0 warnings\n")
        assert found.levels() == dict.fromkeys(CHECKS, "ok")
        assert re.search(r"in (89|90) days: CN=mta.example, self-signed",
                         found.of("certificate")["text"])
    assert "5 sessions at a time" in found.of("connections")["text"]
    if kind is not Postfix:  # it does not call its client by any name
        assert "client's address, 192.0.2.1" in found.of("client")["text"]
    assert "[192.0.2.1]" in behind.log or "address=192.0.2.1" in behind.log
    assert behind.mail_count() == 0


def test_an_mta_that_is_down(closed_port, start_tarryd, control_path):
    tarryd = start_tarryd(closed_port,
                          control__socket=control_path()).wait_started()
    found = Answer(tarryd)
    assert set(found.levels()) == {"reachable"}
    mend = found.error("reachable", "refuses connections")
    assert f"ss -ltnp 'sport = :{closed_port}'" in mend[1]
    assert tarryd.ctl("doctor").returncode == 1


def test_an_mta_that_does_not_answer(start_tarryd, control_path):
    """A full accept queue answers no more SYNs."""
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        port = deaf.getsockname()[1]
        fill = [socket.socket() for _ in range(3)]
        for one in fill:
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
        tarryd = start_tarryd(port, mta__connect_timeout="300ms",
                              control__socket=control_path()).wait_started()
        Answer(tarryd).error("reachable", "no connection within 300 ms")
        for one in fill:
            one.close()


# How its line is found in what to type, and how it is typed in.
LINES = {Postfix: (r"Postfix, master.cf: (.*)", "set_line"),
         Exim: (r"Exim .*main section: (.*)", "set_main"),
         Opensmtpd: (r"OpenSMTPD, smtpd.conf: (.*)", "set_listen")}


@pytest.mark.parametrize("kind", KINDS)
def test_an_mta_that_expects_no_header(kind, mta, ask):
    behind = mta(kind).start()
    tarryd = ask(behind)
    found = Answer(tarryd)
    found.error("client", "takes the PROXY header for commands.*: 5")
    mend = "\n".join(found.error("header", "expects no PROXY header"))
    pattern, type_in = LINES[kind]
    behind.stop()
    getattr(behind, type_in)(re.search(pattern, mend)[1])
    behind.start()
    assert Answer(tarryd, "0").of("client")["level"] == "ok"


def test_sendmail(mta, pem, ask):
    """It knows no header: what is advised is another way. What to type for
    TLS is typed."""
    behind = mta(Sendmail).set_box().start()
    mend = Answer(ask(behind), "0").error("header", "expects no PROXY header")
    assert len(mend) == 1 and "client_address = transparent" in mend[0]
    tarryd = ask(behind, mta__client_address="none",
                 mta__open_relay_checked="yes")
    found = Answer(tarryd, "0")
    mend = found.error("relay", "OPEN RELAY.*takes the client for us: 250")
    assert "client_address = transparent" in "".join(mend)
    assert all("Postfix, " not in line for line in mend)
    behind.stop()
    for name, text in zip(("KEY.pem", "CERTIFICATES.pem"), pem()):
        behind.write(name, text)
        (behind.root / name).chmod(0o600)
    typed = re.search(r"sendmail.mc: (.*)", found.of("starttls")["mend"][0])[1]
    behind.set_box(re.sub(r"`(\w+\.pem)", r"`/\1", typed)).start()
    found = Answer(tarryd, "0")
    assert found.of("starttls")["level"] == "ok"
    assert found.of("certificate")["level"] == "ok"


@pytest.mark.parametrize("kind", KINDS)
def test_an_mta_that_waits_for_a_header_that_is_not_sent(kind, made, ask):
    tarryd = ask(made(kind).start(), mta__client_address="none",
                 mta__open_relay_checked="yes")
    found = Answer(tarryd)
    # Exim greets first and refuses every command then.
    check = "client" if kind is Exim else "greeting"
    assert found.of(check)["level"] == "error"
    assert found.error("header", "expects the header of proxy_v2") == \
        ["tarry.ini: [mta] client_address = proxy_v2"]


def test_version_1_for_an_mta_that_knows_only_2(made, ask):
    tarryd = ask(made(Opensmtpd).start(), mta__client_address="proxy_v1")
    found = Answer(tarryd)
    assert found.error("header", "expects the header of proxy_v2")


@pytest.mark.parametrize("kind, header, keys, main, mend", [
    (Postfix, "proxy_v2", {}, "mynetworks = 0.0.0.0/0\n"
     "smtpd_relay_restrictions = permit_mynetworks, "
     "reject_unauth_destination\n", "smtpd_relay_restrictions"),
    (Postfix, "none", {"mta__open_relay_checked": "yes"},
     "mynetworks = 127.0.0.0/8\nsmtpd_relay_restrictions = "
     "permit_mynetworks, reject_unauth_destination\n", "mynetworks"),
    (Exim, "proxy_v2", {}, "acl_smtp_rcpt = accept\n", "acl_smtp_rcpt"),
])
def test_an_open_relay(kind, header, keys, main, mend, made, ask):
    behind = made(kind, proxy=header != "none", main=main).start()
    tarryd = ask(behind, mta__client_address=header, **keys)
    found = Answer(tarryd, "0")
    assert mend in "\n".join(
        found.error("relay", "OPEN RELAY.*: 250"))
    done = tarryd.ctl("doctor", "0")
    assert done.returncode == 1 and "OPEN RELAY" in done.stdout
    # And nothing was sent.
    assert behind.mail_count() == 0
    assert "example.net" not in behind.log


@pytest.mark.parametrize("kind, start, days, level, text", [
    (Postfix, "2020-01-01", 30, "error", "expired on 2020-01-31"),
    (Exim, "2020-01-01", 30, "error", "expired on 2020-01-31"),
    (Postfix, None, 10, "warning", r"in (9|10) days"),
    (Postfix, "2100-01-01", 30, "error", "not valid before 2100-01-01"),
])
def test_the_certificates_end(kind, start, days, level, text, made, pem, ask):
    tarryd = ask(made(kind, tls=pem("mta.example", start, days)).start())
    found = Answer(tarryd, "0").of("certificate")
    assert found["level"] == level
    assert re.search(text, found["text"])
    assert found["mend"]


def test_a_certificate_for_another_name(made, pem, ask):
    tarryd = ask(made(Postfix, tls=pem("other.example")).start())
    found = Answer(tarryd, "0").of("name")
    assert found["level"] == "warning"
    assert "not for mta.example" in found["text"]
    assert tarryd.ctl("doctor", "0").returncode == 3


def test_no_starttls_is_a_warning(mta, ask):
    tarryd = ask(mta(Postfix, proxy=True).start())
    found = Answer(tarryd, "0").of("starttls")
    assert found["level"] == "warning"
    assert any("smtpd_tls_chain_files" in line for line in found["mend"])


def few_processes(made):
    behind = made(Postfix)
    behind.set_line(f"{behind.address}:{behind.port} inet n - y - 3 smtpd "
                    "-o smtpd_upstream_proxy_protocol=haproxy")
    return behind


def test_too_few_connections_in_postfix(made, ask):
    found = Answer(ask(few_processes(made).start()), "8")
    mend = found.error("connections",
                       "of 8 sessions at a time it greeted 3; 5 heard nothing")
    assert "max_connections = 2," in mend[0]
    assert any("maxproc" in line for line in mend)


def test_too_few_connections_in_exim(made, ask):
    behind = made(Exim, main="smtp_accept_max = 4\n")
    found = Answer(ask(behind.start()), "8")
    mend = found.error("connections", r"greeted 4; 0 heard nothing .* "
                       r"4 were refused: 421 ")
    assert mend[1].startswith("Exim, main section: smtp_accept_max")


def test_all_that_max_connections_allows(made, ask):
    tarryd = ask(made(Postfix).start(), mta__max_connections="4")
    # Half of the free ones, and not more.
    text = Answer(tarryd).of("connections")["text"]
    assert "greeted 2 sessions at a time; whether it takes the 4" in text


def test_an_mta_less_patient_than_we_think(made, ask):
    behind = made(Postfix, main="smtpd_timeout = 3s\n")
    mend = Answer(ask(behind.start(), mta__patience="9s"), "0").error(
        "patience", r"gave up after [3-5]\.\d s without a command")
    assert re.match(r"tarry.ini: \[mta\] patience = [234]s", mend[0])


def doctor_lines(tarryd, *words):
    """A doctor at work: the process, its lines as they come."""
    return subprocess.Popen(
        [BUILD / "tarryctl", "-s", tarryd.control, "--json", "doctor",
         *words], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_clients_come_first(made, ask):
    """Sessions of the doctor hang up when a client waits for a slot."""
    behind = few_processes(made).start()
    tarryd = ask(behind, mta__max_connections="10",
                 class_new__greet="0s").wait_ready()
    doctor = doctor_lines(tarryd)
    # Client number 1 is only named when it comes to the limits.
    wait_until(lambda: "[192.0.2.2]" in behind.log, "its sessions")
    clients = [tarryd.connect(f"127.0.0.{i}") for i in range(2, 13)]
    lines = doctor.communicate(timeout=DEADLINE)[0].splitlines()
    last = json.loads(lines[-1])
    assert last["check"] == "connections" and last["level"] == "warning"
    assert "clients wanted the connections" in last["text"]
    for client in clients:
        client.close()


def test_one_doctor_at_a_time(made, ask):
    tarryd = ask(made(Postfix).start(), mta__patience="5s")
    doctor = doctor_lines(tarryd, "0")
    doctor.stdout.readline()
    second = tarryd.ctl("doctor")
    assert second.returncode == 1 and "another doctor" in second.stderr
    # Everything else is answered meanwhile, and mail flows.
    assert tarryd.ctl("status").returncode == 0
    with tarryd.connect() as client:
        assert send_mail(client)[-1].startswith("221")
    assert doctor.wait(DEADLINE) == 0
    doctor.communicate()


def test_who_leaves_and_an_end_in_between(made, ask):
    tarryd = ask(made(Postfix).start(), mta__patience="5s")
    doctor = doctor_lines(tarryd)
    doctor.stdout.readline()
    doctor.kill()
    doctor.communicate()
    wait_until(lambda: tarryd.ctl("doctor", "0").returncode == 0, "an answer",
               2 * DEADLINE)
    doctor = doctor_lines(tarryd)
    doctor.stdout.readline()
    assert tarryd.stop() == 0
    assert "broken off: tarryd exits" in doctor.communicate(
        timeout=DEADLINE)[1]
    assert doctor.returncode == 1


@pytest.mark.parametrize("word", ["-1", "x", "1001", "1 2"])
def test_a_number_that_is_none(word, start_tarryd, closed_port, control_path):
    tarryd = start_tarryd(closed_port,
                          control__socket=control_path()).wait_started()
    done = tarryd.ctl("--", "doctor", word)
    assert done.returncode == 1 and "0 to 1000" in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may be transparent")
def test_clients_that_come_from_their_own_addresses(made, ask):
    tarryd = ask(made(Exim, proxy=False).start(),
                 mta__client_address="transparent")
    found = Answer(tarryd, "2")
    assert found.levels() == dict.fromkeys(CHECKS, "ok")
    assert "their own addresses" in found.of("client")["text"]
    assert "not tried from here" in found.of("relay")["text"]
