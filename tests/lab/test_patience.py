"""The slowest classes and those who wait 30 s for a reply, and no longer.

Every client has all its time limits, where it has such settings, at 30 s.
Then the callbacks: an MTA that asks, before it takes a mail, whether the
sender's address exists. It asks with MAIL FROM:<> and RCPT, and its own
client waits meanwhile; 30 s is what an Exim is commonly given for that.
"""
import concurrent.futures
import smtplib
import time

import pytest

from matrix import expected_boxes
from matrix_client import CLIENTS
from matrix_mail import MAILS, count_of
from matrix_mta import Exim, Postfix, Sender
from matrix_run import (DIRECT, Matrix, Pair, shipped_classes,
                        skip_where_no_matrix)
from matrix_street import PORT, Host

PATIENCE_S = 30
# Enough to go through every stage, with and without a sender, and an upload
# that takes longer than any limit.
PATIENT_MAILS = [mail for mail in MAILS if mail.name in ("two", "big",
                                                         "null")]


def losses(run):
    """What has not been delivered once, and with that the client knows."""
    wanted = dict.fromkeys(
        sorted(expected_boxes(run.pair.client, PATIENT_MAILS)), 1)
    if count_of(run.outcome.boxes) != wanted:
        yield f"mailboxes {count_of(run.outcome.boxes)}"
    if any(run.exits.values()) or run.left:
        yield f"exit statuses {run.exits}, {run.left} in the queue"
    if {line["class"] for line in run.held} != {run.pair.shape}:
        yield "was not in its class"


def test_every_client_delivers(tmp_path):
    skip_where_no_matrix()
    # Two, because the slower upload is not the one that ends later: a client
    # counts from when its own kernel has taken all.
    matrix = Matrix(tmp_path, [Pair(client, "Postfix", shape)
                               for client in CLIENTS
                               for shape in shipped_classes()[-2:]],
                    patience_s=PATIENCE_S, mails=PATIENT_MAILS)
    try:
        matrix.start()
        matrix.go()
    finally:
        matrix.close()
    ran = [run for run in matrix.runs if not run.skipped]
    impatient = [f"{run.pair}: {fault}: {run.log[-1000:]}"
                 for run in ran for fault in losses(run)]
    assert not impatient, "\n".join(impatient)
    print(f"{len(ran)} runs delivered with {PATIENCE_S} s of patience")
    missing = [f"{run.pair.client}: {run.skipped}" for run in matrix.runs
               if run.skipped]
    if missing:
        pytest.skip("; ".join(missing))


class EximCaller(Sender, Exim):
    def configure(self):
        self.put("client.example", [self.address],
                 f"  require verify = sender/callout={PATIENCE_S}s\n  accept",
                 "  driver = manualroute\n  transport = all\n"
                 f"  route_list = * {self.target}\n  self = send",
                 "  driver = smtp\n  hosts_avoid_tls = *",
                 "tls_advertise_hosts =")


class PostfixCaller(Sender, Postfix):
    """Asks its own address verification each second, 30 times at most."""

    def configure(self):
        self.put(f"relayhost = [{self.target}]:{PORT}\n"
                 "myhostname = client.example\n"
                 "mynetworks = 127.0.0.0/8\n"
                 "virtual_mailbox_domains = client.example\n"
                 "address_verify_sender =\n"
                 f"address_verify_poll_count = {PATIENCE_S}\n"
                 "address_verify_poll_delay = 1s\n"
                 "unverified_sender_defer_code = 450\n"
                 "unverified_sender_reject_code = 550\n"
                 "smtpd_relay_restrictions =\n"
                 "smtpd_recipient_restrictions = reject_unverified_sender, "
                 "reject_unauth_destination\n",
                 [f"{self.address}:{PORT} inet n - y - - smtpd"])


CALLERS = {"Exim": EximCaller, "Postfix": PostfixCaller}


def call(matrix, run, name, number, sender):
    """Says MAIL and RCPT to a caller; returns (code, text, seconds, log)."""
    with matrix.ready:
        host = Host(matrix.street, number)
    caller = None
    try:
        caller = CALLERS[name](matrix.where / f"caller{number}", host,
                               matrix.address(run.pair))
        caller.start()
        with host.entered():
            client = smtplib.SMTP(caller.address, PORT, "client.example",
                                  timeout=120)
        with client:
            client.ehlo()
            begin = time.monotonic()
            client.mail(sender)
            code, text = client.rcpt("x@client.example")
            return code, text, time.monotonic() - begin, caller.log
    finally:
        if caller:
            caller.close()
        with matrix.ready:
            host.close()


SHAPES = (DIRECT, *shipped_classes())


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """{(caller, class, whether the address exists): answer}, asked at once
    in all classes before one MTA."""
    skip_where_no_matrix()
    matrix = Matrix(tmp_path_factory.mktemp("callback"), [
        Pair("swaks", "Postfix", shape) for shape in SHAPES])
    try:
        matrix.start()
        with concurrent.futures.ThreadPoolExecutor(32) as pool:
            asked = {}
            for name in CALLERS:
                for run in matrix.runs:
                    for who in ("to.two-a", "nobody.two"):
                        asked[name, run.pair.shape, who[0] == "t"] = \
                            pool.submit(call, matrix, run, name,
                                        100 + len(asked),
                                        f"{who}.{run.number:03d}@d.example")
            yield {key: done.result() for key, done in asked.items()}
    finally:
        matrix.close()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("caller", CALLERS)
def test_callback(answers, caller, shape):
    code, text, seconds, log = answers[caller, shape, True]
    print(f"{caller} asks in class {shape}: {code} after {seconds:.1f} s")
    assert code == 250, f"{text} after {seconds:.1f} s\n{log[-3000:]}"
    assert seconds < PATIENCE_S


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("caller", CALLERS)
def test_callback_for_nobody(answers, caller, shape):
    """A caller that let everybody through would show nothing."""
    code, text, _, log = answers[caller, shape, False]
    assert code == 550, f"{text}\n{log[-3000:]}"
