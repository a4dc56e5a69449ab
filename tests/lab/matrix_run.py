"""The machinery of the matrix: servers, Tarrys, and runs side by side.

A run is waiting, hardly work, so all go on at once, as many as `jobs` says.
Every run has a host, a client and mailboxes of its own; the four servers are
shared by all, and each class before each server has one Tarry.
"""
import concurrent.futures
import dataclasses
import os
import re
import shutil
import subprocess
import threading
import time

import pytest

from lab import (BUILD, TOP, Program, parse_logfmt, skip_where_impossible,
                 wait_until)
from matrix_client import CLIENTS
from matrix_mail import (MAILS, Outcome, before_tls, bounce_codes,
                         bounce_text, mail_text, replies)
from matrix_mta import SERVERS, make_certificate
from matrix_street import (PORT, Host, Street, inside, read_sessions)

from conftest import shipped_config

DIRECT = "direct"
# Whose TLS it is: the MTA's, without Tarry and through it, or Tarry's, alone
# or with TLS to the MTA too.
TLS = ("its own", "pass", "terminate", "both")
# What is not on the machine, or not to be had: skipped by name.
CANNOT = (FileNotFoundError, pytest.skip.Exception)
QUEUE_SECONDS = 1200  # a queue that is not empty then is left as it is
# Enough for all clients at once: here no one is to wait for a slot.
SLOTS = 1000


def skip_where_no_matrix():
    """Skips, and says why, where no run is possible at all."""
    skip_where_impossible({"ip": "iproute2", "sysctl": "procps",
                           "tcpdump": "tcpdump", "nsenter": "util-linux"},
                          ["tarryd"])


def shipped_classes():
    """Names of the classes in config/tarry.ini, the best one first."""
    return re.findall(r"(?m)^\[class (\S+)\]", shipped_config())


def config_for(class_name, mta_address, has_proxy, listen, **tls):
    """The shipped file with one rule, that puts everybody in a class."""
    text = shipped_config(
        **tls, control__socket="",
        tarry__mode="enforce", tarry__max_sessions="4000",
        listen_smtp__address=f"{listen}:{PORT}",
        mta__address=f"{mta_address}:{PORT}", mta__max_connections=SLOTS,
        mta__client_address="proxy_v2" if has_proxy else "none",
        mta__open_relay_checked="yes", syn__sidecar="",
        syn__labels=TOP / "config/signatures.ini", http__address="")
    parts = re.split(r"(?m)^(?=\[)", text)
    return "".join(part for part in parts if not part.startswith("[rule")) + \
        f"\n[rule everyone]\nclass = {class_name}\n"


@dataclasses.dataclass(frozen=True)
class Pair:
    client: str
    mta: str
    shape: str  # DIRECT or the name of a class
    tls: str = ""  # TLS[0] directly, one of TLS[1:] through Tarry, or none

    def __str__(self):
        return f"{self.client} to {self.mta}, {self.shape}" + \
            (f", TLS {self.tls}" if self.tls else "")

    def directly(self):
        return Pair(self.client, self.mta, DIRECT, TLS[0] if self.tls else "")


@dataclasses.dataclass
class Run:
    number: int
    pair: Pair
    host: str = ""
    exits: dict = dataclasses.field(default_factory=dict)
    left: int = 0
    log: str = ""
    skipped: str = ""
    seconds: float = 0
    outcome: Outcome = None
    held: list = None  # Tarry's lines about its sessions
    is_tls: list = None  # of each session, whether there was a handshake


class Matrix:
    def __init__(self, where, pairs, jobs=80, patience_s=0, mails=MAILS):
        self.where, self.jobs, self.mails = where, jobs, mails
        self.patience_s = patience_s
        self.runs = [Run(number, pair) for number, pair in
                     enumerate(pairs, start=1)]
        self.names = list(dict.fromkeys(pair.mta for pair in pairs))
        self.shapes = [DIRECT, *shipped_classes()]
        self.servers, self.tarryds = {}, {}
        self.street = Street(f"tarrymx-{os.getpid()}", where)
        self.ready = threading.Lock()

    def address(self, pair):
        ways = ("", *TLS)
        return f"10.77.{self.names.index(pair.mta) + 1}." \
            f"{10 + 20 * ways.index(pair.tls) + self.shapes.index(pair.shape)}"

    def known(self, name):
        """The local parts that a server is to have mailboxes for."""
        for run in self.runs:
            if run.pair.mta == name:
                for mail in self.mails:
                    for to in (*mail.recipients(run.number),
                               mail.sender(run.number)):
                        if to and not to.startswith("nobody"):
                            yield to.split("@")[0]

    def start_server(self, name):
        direct = self.address(Pair("", name, DIRECT))
        net = direct.rsplit(".", 1)[0]
        addresses = [direct, f"{net}.9",
                     self.address(Pair("", name, DIRECT, TLS[0])),
                     f"{net}.8"]
        for address in addresses:
            self.street.add_address(address)
        self.servers[name] = server = SERVERS[name](
            self.where / f"mx-{name}", self.street.mx, addresses,
            list(self.known(name)))
        server.start()

    def start_tarryd(self, name, shape, tls):
        listen = self.address(Pair("", name, shape, tls))
        self.street.add_address(listen)
        server = self.servers[name]
        path = self.where / f"tarry-{name}-{shape}{tls}.ini"
        keys = {}
        if tls in ("terminate", "both"):
            keys = {"tls__mode": "terminate",
                    "tls__certificate": make_certificate(
                        path.with_suffix(".pem")),
                    "mta__tls": "starttls" if tls == "both" else "none"}
            shutil.chown(keys["tls__certificate"], "nobody")
        path.write_text(config_for(
            shape, server.tls_behind if tls in ("pass", "both")
            else server.behind,
            server.has_proxy, listen, **keys))
        tarryd = Program(path.with_suffix(".log"), [
            *inside(self.street.mx), BUILD / "tarryd", "-c", path, "-u",
            "nobody"])
        self.tarryds[name, shape, tls] = tarryd

    def start(self):
        for name in self.names:
            try:
                self.start_server(name)
            except CANNOT as missing:
                for run in self.runs:
                    if run.pair.mta == name:
                        run.skipped = str(missing)
        for name, shape, tls in dict.fromkeys(
                (run.pair.mta, run.pair.shape, run.pair.tls)
                for run in self.runs if not run.skipped):
            if shape != DIRECT:
                self.start_tarryd(name, shape, tls)
        for tarryd in self.tarryds.values():
            tarryd.wait_log("passed the test session")
        self.street.start_capture()

    def go(self):
        """All runs; the slowest class first, so that it ends with them."""
        order = sorted((run for run in self.runs if not run.skipped),
                       key=lambda run: -self.shapes.index(run.pair.shape))
        with concurrent.futures.ThreadPoolExecutor(self.jobs) as pool:
            waiting = [pool.submit(self.one, run) for run in order]
            for done in concurrent.futures.as_completed(waiting):
                done.result()
        self.wait_servers()
        self.collect()

    def one(self, run):
        begin = time.monotonic()
        with self.ready:
            host = Host(self.street, run.number)
        run.host = host.address
        client = None
        try:
            client = CLIENTS[run.pair.client](
                self.where / f"c{run.number:03d}", host,
                self.address(run.pair), self.patience_s,
                run.pair.tls != "")
            client.start()
            self.send_all(client, run)
            self.wait_done(client, host, run)
            run.log = client.log
        except CANNOT as missing:
            run.skipped = str(missing)
        finally:
            if client:
                client.close()
            with self.ready:
                host.close()
        run.seconds = time.monotonic() - begin

    def send_all(self, client, run):
        mails = [mail for mail in self.mails
                 if mail.name not in client.cannot]
        with concurrent.futures.ThreadPoolExecutor(len(mails)) as pool:
            sent = {mail.name: pool.submit(client.send, mail, run.number)
                    for mail in mails}
        run.exits = {name: done.result() for name, done in sent.items()
                     if done.result() is not None}

    def wait_done(self, client, host, run):
        """Until its queue is empty and it has no connection any more."""
        end = time.monotonic() + QUEUE_SECONDS
        calm = 0
        while calm < 3 and time.monotonic() < end:
            threading.Event().wait(0.5)
            run.left = client.queued()
            calm = calm + 1 if run.left == 0 and not is_talking(host) else 0

    def wait_servers(self):
        for server in self.servers.values():
            wait_until(lambda: server.queued() == 0,
                       f"{server.name} to deliver", 120)

    def collect(self):
        for tarryd in self.tarryds.values():
            assert tarryd.stop() == 0, tarryd.log[-3000:]
            assert "broken invariant" not in tarryd.log
        lost = self.street.stop_capture()
        assert lost == 0, f"tcpdump has missed {lost} packets"
        said = read_sessions(self.where / "said.pcap")
        boxes = {name: server.boxes()
                 for name, server in self.servers.items()}
        lines = {key: [parse_logfmt(line) for line in
                       tarryd.log.splitlines() if " event=session " in line]
                 for key, tarryd in self.tarryds.items()}
        for run in self.runs:
            if not run.skipped:
                self.judge(run, said, boxes[run.pair.mta],
                           lines.get((run.pair.mta, run.pair.shape,
                                      run.pair.tls)))

    def judge(self, run, said, boxes, lines):
        kind = CLIENTS[run.pair.client]
        mark = f".{run.number:03d}"
        mine = {}
        for name, mails in boxes.items():
            if name.endswith(mark):
                text = mail_text if name.startswith("to.") else \
                    bounce_codes if kind.garbles else bounce_text
                mine[name[:-len(mark)]] = sorted(map(text, mails))
        run.outcome = Outcome(
            mine, run.exits, run.left,
            [None if one is None else
             replies(before_tls(one), kind.awaits_quit)
             for one in said[run.host]], kind.reuses)
        run.is_tls = [b"\r\n\x16\x03" in one for one in said[run.host]
                      if one is not None]
        if lines is not None:
            run.held = [line for line in lines
                        if line["client"].split(":")[0].strip("[]") ==
                        run.host]

    def close(self):
        for tarryd in self.tarryds.values():
            tarryd.stop()
        for server in self.servers.values():
            server.close()
        self.street.close()


def is_talking(host):
    """Whether a connection to any server stands."""
    table = subprocess.run([*inside(host), "cat", "/proc/net/tcp"],
                           stdout=subprocess.PIPE, text=True).stdout
    port = f":{PORT:04X}"
    rows = [line.split()[1:4] for line in table.splitlines()[1:]]
    # 0A listens, 06 is over.
    return any(remote.endswith(port)
               and state not in ("0A", "06") and
               not remote.startswith("0100007F")
               for _, remote, state in rows)
