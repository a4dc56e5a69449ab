#!/usr/bin/env python3
"""What Tarry does, in half a minute, to one shop and three bots.

    python3 tests/lab/demo.py --build build

Each sender is a host of its own, a network namespace with a wire to the mail
host. The shop is a real Postfix. The bots are packets made byte by byte, each
with the TCP stack and the patience that is said; they do what any sender does,
twenty times each. In front of the real MTA stands tarryd, with a rule for each
signature. All figures are measured: when a client was greeted or left, by its
own clock; what reached the MTA, by what lies in its mailbox; classes and
labels, by tarryd's log.

Needs root, or a kernel that lets anybody have namespaces; then tarry-sink
stands for the MTA and Python's smtplib for the shop, and it says so.
"""
import argparse
import collections
import contextlib
import os
import pathlib
import re
import shutil
import smtplib
import subprocess
import sys
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
BOT_SESSIONS = 20
SHOP_MAILS = 5
BEGIN_WITHIN = 1.5  # seconds in which a bot begins all of its sessions
ROOT_TOOLS = {"ip": "iproute2", "sysctl": "procps"}

RULES = """\
[class new]
greet = 3s
teaser = yes
[class slow]
greet = 8s
reply = 2s
[class tarpit]
greet = 12s
reply = 2s
drip = 1s
[rule windows]
family = 128:mss,nop,ws,nop,nop,sok:
class = slow
[rule boxes]
syn = *:64:0:*:65535,9:mss,sok,ts,nop,ws:df,id+:0
class = slow
[rule raw]
syn = *:255:0:*:1024,0:mss:*:0
class = tarpit
[rule everyone]
class = new
"""


def fail(text):
    sys.exit(f"make demo: {text}")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default="build", help="of the programs")
    return parser.parse_args()


def become_root():
    """In namespaces of our own if need be; ends the program if it cannot."""
    for tool, package in ROOT_TOOLS.items():
        if shutil.which(tool, path=os.environ["PATH"] + ":/usr/sbin:/sbin") \
                is None:
            fail(f"there is no {tool}; on Debian: apt-get install {package}")
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    if os.geteuid() == 0:
        return
    unshare = ["unshare", "--user", "--map-root-user", "--net", "--mount"]
    done = subprocess.run([*unshare, "mount", "-t", "tmpfs", "none", "/run"],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, check=False)
    if done.returncode != 0:
        fail("it builds a small network of namespaces, and this machine lets "
             f"only root do that ({done.stdout.strip()}).\n"
             "           Try: sudo make demo")
    os.execvp("unshare", [
        *unshare, "sh", "-c", 'mount -t tmpfs none /run && exec "$@"', "sh",
        sys.executable, *sys.argv])


become_root()
OPTIONS = arguments()
os.environ["TARRY_BUILD"] = OPTIONS.build
sys.path[:0] = [str(HERE), str(HERE.parent / "e2e")]
try:
    import pytest
except ImportError:
    fail("there is no pytest; on Debian: apt-get install python3-pytest")
import lab as laboratory  # noqa: E402
import mta as mtas  # noqa: E402
from crafted import (NOP, SOK, WINDOWS, Peer, Syn, mss, ts,  # noqa: E402
                     ws)


class Postfix(mtas.Postfix):
    """A real Postfix, unpacked from its package, in a namespace."""

    def __init__(self, space, where, proxy, main):
        where.mkdir()
        super().__init__(where, proxy=proxy, main=main)
        self.space = space

    def start(self):
        self.starts += 1
        self.program = mtas.Program(
            self.out.with_suffix(f".{self.starts}"),
            ["ip", "netns", "exec", self.space.name, "chroot", self.root,
             *self.words()], start_new_session=True)
        self.wait_listening()
        return self

    def version(self):
        found = re.search(r"daemon started -- version ([\d.]+)", self.log)
        return f"Postfix {found[1]}" if found else "Postfix"


class Stage(laboratory.Lab):
    """The mail host with its MTA and tarryd; and the senders."""

    def __init__(self):
        self.mtas = []
        self.mail = None
        self.mta_name = "tarry-sink"
        self.mta_address = "127.0.0.1:2525"
        super().__init__()

    def start_sink(self):
        """The MTA: Postfix if it is to be had."""
        try:
            if "TARRY_DEMO_SINK" in os.environ or not is_real_root():
                raise OSError("no MTA")
            if not (mtas.BASE / "postfix").exists():
                print("  unpacking a Postfix, this once ...", flush=True)
            postfix = Postfix(self.server, self.dir / "mta", True,
                              "virtual_mailbox_domains = mx.example\n"
                              "smtpd_client_connection_count_limit = 0\n")
        except (OSError, subprocess.SubprocessError, pytest.skip.Exception):
            super().start_sink()
            self.mail = self.dir / "mail"
            return
        self.mtas.append(postfix)
        postfix.start()
        self.mta_name = postfix.version()
        self.mta_address = f"{postfix.address}:{postfix.port}"
        self.mail = postfix.box / "new"

    def start_shop(self, client):
        """The shop's own Postfix, or None."""
        if not self.mtas:
            return None
        shop = Postfix(client, self.dir / "shop", False,
                       "myhostname = shop.example\n"
                       "mynetworks = 127.0.0.0/8\n"
                       "virtual_mailbox_domains =\n"
                       "smtpd_relay_restrictions = permit_mynetworks, reject\n"
                       f"relayhost = [{client.to4}]:25\n")
        self.mtas.append(shop)
        return shop.start()

    def start_proxy(self):
        path = self.dir / "demo.ini"
        path.write_text(f"""
[tarry]
mode = enforce
name = mx.example
max_sessions = 2000
[listen smtp]
address = 0.0.0.0:25
[mta]
address = {self.mta_address}
client_address = proxy_v2
[syn]
sidecar =
labels = {laboratory.TOP}/config/signatures.ini
{RULES}""")
        user = "nobody" if is_real_root() else "root"
        self.tarryd = self.start("tarryd", [
            laboratory.BUILD / "tarryd", "-c", path, "-u", user])
        self.tarryd.wait_log("passed the test session")

    def close(self):
        for one in self.mtas:
            one.close()
        super().close()

    def arrived(self):
        """{who: {number}} of the mails at the MTA, and how many came twice."""
        found, twice = collections.defaultdict(set), 0
        for path in self.mail.glob("*"):
            text = ""
            with contextlib.suppress(FileNotFoundError):  # not yet whole
                if path.suffix != ".part":
                    text = path.read_text(errors="replace")
            tag = re.search(r"^X-Demo: (\w+) (\d+)", text, re.M)
            if tag:
                twice += tag[2] in found[tag[1]]
                found[tag[1]].add(tag[2])
        return found, twice


def is_real_root():
    return pathlib.Path("/proc/self/uid_map").read_text().split()[2] != "1"


def message(who, number):
    return (f"From: {who}@{who}.example\r\nTo: you@mx.example\r\n"
            f"Subject: number {number}\r\nX-Demo: {who} {number}\r\n\r\n"
            f"Hello.\r\n")


class Sender:
    """What there is to say of a sender in the end."""

    def __init__(self, who, title, client, patience):
        self.who, self.title, self.client = who, title, client
        self.patience = patience
        self.address = client.ip4
        self.sessions = 0
        self.states = []  # of the picture: one character a session
        self.greeted = []  # seconds from connect
        self.left = []  # seconds from connect, those who gave up
        self.done = []  # seconds from connect, those told 250 and 221


class Bot(Sender, threading.Thread):
    """One peer of crafted packets with many sessions at a time."""

    def __init__(self, who, title, client, patience, syn):
        Sender.__init__(self, who, title, client, patience)
        threading.Thread.__init__(self, daemon=True)
        self.peer = Peer(client)
        self.address = self.peer.ip4
        self.syn = syn
        self.talks = []

    def lines(self, number):
        return [f"EHLO {self.who}.example\r\n",
                f"MAIL FROM:<{self.who}@{self.who}.example>\r\n",
                "RCPT TO:<you@mx.example>\r\n", "DATA\r\n",
                message(self.who, number) + ".\r\n", "QUIT\r\n"]

    def run(self):
        start = time.monotonic()
        while self.sessions < BOT_SESSIONS or self.talks:
            due = (time.monotonic() - start) / BEGIN_WITHIN * BOT_SESSIONS
            while self.sessions < min(due, BOT_SESSIONS):
                self.begin()
            with contextlib.suppress(TimeoutError):
                self.peer.receive(0.02)
            self.talks = [talk for talk in self.talks if self.drive(talk)]
        self.peer.close()

    def begin(self):
        talk = self.peer.open(4, self.syn, 20000 + self.sessions)
        talk.begun = time.monotonic()
        talk.number = self.sessions
        talk.to_say = self.lines(self.sessions)
        talk.read = 0
        self.sessions += 1
        self.states.append(".")
        self.talks.append(talk)

    def drive(self, talk):
        """One step of a session; False at its end."""
        age = time.monotonic() - talk.begun
        reply = re.match(rb"(?:\d{3}-.*\r\n)*(\d{3}) .*\r\n",
                         talk.data[talk.read:])
        if reply:
            return self.heard(talk, reply, age)
        if age < self.patience:
            return True
        self.left.append(age)
        return self.end(talk, "x")

    def heard(self, talk, reply, age):
        if talk.read == 0:
            self.greeted.append(age)
            self.states[talk.number] = "-"
        talk.read += reply.end()
        if talk.to_say:
            talk.send(0x18, talk.to_say.pop(0).encode())
            return True
        self.done.append(age)
        return self.end(talk, "+")

    def end(self, talk, state):
        self.states[talk.number] = state
        talk.reset()
        # What still comes is for nobody.
        del self.peer.talks[talk.source, talk.port]
        return False


class Shop(Sender):
    """A real Postfix with some mail to send; without one, smtplib."""

    def __init__(self, stage, client):
        self.postfix = stage.start_shop(client)
        title = f"a real {self.postfix.version()}" if self.postfix else \
            "Python's smtplib"
        super().__init__("shop", title, client, None)
        self.stage = stage
        self.sessions = SHOP_MAILS
        self.states = ["."] * SHOP_MAILS

    def start(self):
        for number in range(SHOP_MAILS):
            threading.Thread(target=self.send, args=(number,),
                             daemon=True).start()

    def send(self, number):
        """Into its Postfix, which has the rest to do; or to Tarry."""
        to = (self.postfix.address, self.postfix.port) if self.postfix else \
            (self.client.to4, 25)
        begun = time.monotonic()
        with self.client.entered():
            smtp = smtplib.SMTP(*to, local_hostname="shop.example",
                                timeout=30)
        smtp.sendmail("shop@shop.example", ["you@mx.example"],
                      message("shop", number))
        smtp.quit()
        if not self.postfix:
            self.done.append(time.monotonic() - begun)

    def look(self, arrived, age):
        """Its picture; arrived: what is at the MTA."""
        for number in arrived["shop"]:
            if self.states[int(number)] == ".":
                self.states[int(number)] = "+"
                if self.postfix:
                    self.done.append(age)


class Picture:
    """Redrawn in place while it runs; nothing where no terminal is."""

    def __init__(self, senders):
        self.senders = senders
        self.is_drawn = False
        self.is_terminal = sys.stdout.isatty()

    def draw(self, age):
        if not self.is_terminal:
            return
        if self.is_drawn:
            print(f"\x1b[{len(self.senders) + 1}F", end="")
        self.is_drawn = True
        print(f"  {age:4.1f} s    . waits   - is greeted   x gave up   "
              "+ delivered")
        for sender in self.senders:
            print(f"  {sender.who:8}  {''.join(sender.states):20}\x1b[K",
                  flush=True)

    def end(self):
        if self.is_drawn:
            print(f"\x1b[{len(self.senders) + 1}F\x1b[J", end="")


def perform(stage, senders):
    """All begin at once; returns the seconds it took."""
    picture = Picture(senders)
    shop, bots = senders[0], senders[1:]
    start = time.monotonic()
    for sender in senders:
        sender.start()
    while any(bot.is_alive() for bot in bots) or "." in shop.states:
        age = time.monotonic() - start
        shop.look(stage.arrived()[0], age)
        picture.draw(age)
        if age > 40:
            fail(f"no end after {age:.0f} s; see {stage.dir}")
        threading.Event().wait(0.05)
    picture.end()
    return time.monotonic() - start


def read_log(stage, senders):
    """tarryd's log lines of each sender's sessions."""
    laboratory.wait_until(
        lambda: stage.metric("tarry_connections_open") == 0, "the last end")
    expected = sum(sender.sessions for sender in senders[1:])

    def look():
        found = {sender.who: [line for line in stage.sessions()
                              if line["client"] == sender.address]
                 for sender in senders}
        bots = sum(len(lines) for lines in found.values()) - \
            len(found["shop"])
        return found if found["shop"] and bots >= expected else None
    return laboratory.wait_until(look, "tarryd's log")


def median(values):
    return sorted(values)[len(values) // 2]


def introduce(senders, mta):
    print(f"""
  A shop and three bots send mail to mx.example, all at the same time.
  Tarry stands there, in front of a real {mta}.
""" if "sink" not in mta else """
  A shop and three bots send mail to mx.example, all at the same time.
  Tarry stands there, in front of tarry-sink, which takes everything.
""")
    for sender in senders:
        if sender.patience is None:
            print(f"  {sender.who:5} {sender.title}, {SHOP_MAILS} messages")
            continue
        patience = f"leaves after {sender.patience} s" \
            if sender.patience < 60 else "waits as long as it takes"
        print(f"  {sender.who:5} {BOT_SESSIONS} sessions, {sender.title}; "
              f"{patience}")
    print(flush=True)


def table(senders, logs, arrived):
    print("  sender  class   sessions  greeted     gave up        "
          "mail at the MTA")
    for sender in senders:
        lines = logs[sender.who]
        greeted = sender.greeted or [
            int(line["held_ms"]) / 1000 for line in lines
            if line["reason"] == "quit"]
        at = f"at {median(greeted):.1f} s" if greeted else "-"
        gone = f"{len(sender.left)}, at {median(sender.left):.1f} s" \
            if sender.left else "-"
        came = f"{len(arrived[sender.who])} of {len(sender.states)}"
        when = f", in {max(sender.done):.1f} s" if sender.done else ""
        print(f"  {sender.who:7} {lines[0]['class']:7} {len(lines):8}  "
              f"{at:11} {gone:14} {came}{when}")
    print("\n  Tarry knew them by the first packet of each connection:\n")
    for sender in senders:
        line = logs[sender.who][0]
        print(f"  {sender.who:7} {line['syn']}\n"
              f"  {'':7} rule {line['rule']}; by its label "
              f"{line['label'] or 'unknown'}")
    print()


def main():
    began = time.monotonic()
    for program in ("tarryd", "tarry-sink"):
        if not (laboratory.BUILD / program).exists():
            fail(f"{laboratory.BUILD / program} is not built")
    stage = Stage()
    try:
        stage.start_proxy()
        client = [stage.client() for _ in range(4)]
        senders = [
            Shop(stage, client[0]),
            Bot("pc", "a TCP stack like Windows", client[1], 5,
                Syn(64240, WINDOWS, ttl=116)),
            Bot("box", "a TCP stack like Android", client[2], 10,
                Syn(65535, mss(1460) + SOK + ts(1) + NOP + ws(9), ttl=52)),
            Bot("raw", "packets of its own making", client[3], 60,
                Syn(1024, mss(1460), ttl=243)),
        ]
        introduce(senders, stage.mta_name)
        before = stage.metrics()
        took = perform(stage, senders)
        logs = read_log(stage, senders)
        metrics = stage.metrics()
        arrived, twice = stage.arrived()
        table(senders, logs, arrived)
        dials = "tarry_mta_connections_total"
        came = sum(len(lines) for lines in logs.values())
        asked = metrics[dials] - before[dials]
        refused = metrics['tarry_own_words_total{what="421"}'] - \
            before['tarry_own_words_total{what="421"}']
        print(f"  {came} sessions came, {asked:.0f} reached the MTA. Refused: "
              f"{refused:.0f}. Lost: {lost(senders, arrived)}. "
              f"Twice: {twice}.\n"
              "  It is only delay: who waits is served. "
              f"{time.monotonic() - began:.0f} s, {took:.0f} of them of "
              "mail.\n")
        stage.stop_tarryd()
    finally:
        stage.close()
    return 1 if lost(senders, arrived) or twice else 0


def lost(senders, arrived):
    """Mails of which the sender was told that they are there."""
    return sum(max(0, len(sender.done) - len(arrived[sender.who]))
               for sender in senders)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
    except (AssertionError, OSError, subprocess.SubprocessError,
            pytest.fail.Exception) as error:
        fail(str(error))
