"""The files that TLS needs: read again, and those that cannot be used."""
import concurrent.futures
import os
import re
import signal
import ssl
import subprocess
import threading

import pytest

from conftest import BUILD, DEADLINE, wait_until
from test_reload import place  # noqa: F401
from test_tls import QUICK, Python, Wire, certificate, own, start_tls


def serial(tarryd):
    """The certificate that a client gets now."""
    with start_tls(tarryd) as client:
        wire = Wire(client).shake()
        wire.ask("QUIT")
        return wire.tls.getpeercert(True)


def test_certificates_are_read_again_under_load(start_sink, place, running):
    """Sessions all the while; new handshakes get the new one, none fails. A
    bad file changes nothing and says so."""
    sink = start_sink()
    tarryd = own(place, running, sink.port, class_new__client_sessions=None,
                 **QUICK)
    stop = threading.Event()
    body = b"Subject: x\r\n\r\n" + b"x" * 70 + b"\r\n"

    def send():
        sent = 0
        while not stop.is_set():
            with Python(tarryd, ssl._create_unverified_context()) as client:
                client.sendmail("a@b.example", ["c@d.example"], body)
            sent += 1
        return sent

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        senders = [pool.submit(send) for _ in range(4)]
        try:
            for round_ in range(5):
                old = serial(tarryd)
                certificate(place)
                tarryd.send_signal(signal.SIGHUP)
                wait_until(lambda: tarryd.log.count("and is in force") >
                           round_, "a reload")
                wait_until(lambda: serial(tarryd) != old, "the new one")
            now = serial(tarryd)
            (place / "a.crt").write_text("no certificate\n")
            tarryd.send_signal(signal.SIGHUP)
            tarryd.wait_log("the configuration of before stays in force")
            assert re.search(r"tls\.certificate: \S+a\.crt: .*expected a file "
                             r"in PEM form", tarryd.log)
            assert serial(tarryd) == now
        finally:
            stop.set()
        assert sum(sender.result(DEADLINE) for sender in senders) >= 4
    assert "reason=tls_failed" not in tarryd.log


@pytest.mark.parametrize("make", [
    ["openssl", "pkey", "-aes128", "-passout", "pass:x"],
    ["openssl", "genrsa", "1024"]])
def test_a_key_that_cannot_be_used(start_sink, place, running, make):
    """It is named; though there is a terminal, nobody is asked to type."""
    own(place, running, start_sink().port, **QUICK)
    key = place / "a.key"
    key.write_text(subprocess.run(make, input=key.read_text(), check=True,
                                  capture_output=True, text=True).stdout)
    words = [str(BUILD / "tarryd"), "-t", "-c", str(place / "tarry.ini")]
    master, terminal = os.openpty()
    try:
        told = subprocess.run(["setsid", "--ctty", *words], stdin=terminal,
                              capture_output=True, text=True, timeout=DEADLINE)
    finally:
        os.close(terminal)
        os.close(master)
    assert "without a pass phrase" in told.stderr
    assert told.returncode == 1


def test_an_expired_certificate_is_warned_of(start_sink, place, running):
    own(place, running, start_sink().port, **QUICK)
    subprocess.run(
        ["faketime", "2020-01-01", "openssl", "req", "-x509", "-key",
         place / "a.key", "-out", place / "a.crt", "-days", "30", "-subj",
         "/CN=mx.example"], check=True, capture_output=True)
    told = subprocess.run(
        [str(BUILD / "tarryd"), "-t", "-c", str(place / "tarry.ini")],
        capture_output=True, text=True, timeout=DEADLINE)
    assert told.returncode == 0
    assert re.search(r"warning: tls.certificate: \S+a.crt: has expired",
                     told.stderr)
