#!/usr/bin/env python3
"""Traffic to look at, and pictures of the dashboard with it.

    dashboard.py [--build BUILD] [--minutes N] [--speed N] OUT

Good senders and bots whose stacks differ (by what sockets may choose: TTL
and window), from addresses in 127/8, against a scripted MTA; then the page in
headless Chromium: light, dark and as wide as a phone. Needs no root.

With --speed 60 a day passes in 24 minutes: tarryd runs under libfaketime, its
clocks and its waits are that much faster, and so is the patience of senders.
"""
import argparse
import functools
import math
import os
import pathlib
import random
import socket
import sys
import tempfile
import threading
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "tests/e2e"))

# TTL, receive buffer, how many of them, share of bad, in the rush too.
KINDS = ((64, 0, 10, .02, 1), (64, 4096, 5, .05, 1), (64, 262144, 4, .08, 1),
         (128, 0, 7, .93, 3), (128, 65536, 4, .85, 3),
         (128, 1048576, 2, .97, 3), (255, 0, 1, .1, 1),
         (64, 1048576, 2, .5, 1), (64, 65536, 2, .2, 1))
RULES = """[rule botnet]
family = 128:*:*
class = slow
[rule printers]
family = 255:*:*
mode = shadow
class = tarpit
"""


FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1"


def make_sender(rig, speed, port, kind):
    """One connection of that kind."""
    ttl, buffer, _, share, _ = KINDS[kind]
    is_bad = random.random() < share
    good = ttl == 64

    class Stack(rig.Sender):
        def connect(self):
            sock = socket.socket()
            sock.settimeout(self.patience or 40)
            sock.setsockopt(socket.SOL_IP, socket.IP_TTL, ttl)
            if buffer:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
            sock.bind((f"127.{10 + kind}.{random.randrange(1 if good else 40)}"
                       f".{1 + random.randrange(5 if good else 250)}", 0))
            sock.connect(("127.0.0.1", self.port))
            return sock

        def run(self):
            try:
                super().run()
            except OSError:
                pass  # it is over
    if not is_bad:
        return Stack(port, 0, "good", random.choice(["mail"] * 12 + ["wait"]))
    return Stack(port, 0, random.choice(["good", "nobody", "foreign"]),
                 "pills", patience=random.choice(
                     [None, *(s / speed for s in (3, 6, 8, 12))]))


def play(make, port, minutes, per_second):
    begin = time.monotonic()
    while (age := (time.monotonic() - begin) / 60) < minutes:
        is_rush = 0.4 < age / minutes < 0.7
        weights = [many * (1 + .5 * math.sin(age / 1.7 + i)) *
                   (rush if is_rush else 1)
                   for i, (_, _, many, _, rush) in enumerate(KINDS)]
        make(port, random.choices(range(len(KINDS)), weights)[0])
        time.sleep(random.expovariate(
            per_second * (1 + .6 * math.sin(age))))


# Each view of the page: what it is called, and the part of the page.
VIEWS = ("figures", "delivery", "delay", "leaving", "effect", "signatures",
         "held", "rules", "health")
RANGES = (("1h", "1 h"), ("6h", "6 h"), ("24h", "24 h"), ("30d", "Month"),
          ("1y", "Year"))


def choose(browser, span):
    """A range of the charts, and waits until they show it."""
    browser.press(f'[data-range="{span}"]')
    browser.wait(lambda: browser.text("[aria-pressed=true]") ==
                 dict(RANGES)[span] and
                 browser.count(".chart canvas") >= 10, f"the last {span}")


def shoot_views(browser, out):
    """Each in a window that it fits in whole."""
    browser.shoot(out / "dashboard.png")
    height = browser.run("return document.documentElement.scrollHeight")
    browser.driver.set_window_size(1280, height + 500)
    for view in VIEWS:
        part = browser.driver.find_element("css selector", f"#{view}")
        part.screenshot(str(out / f"dashboard-{view}.png"))


def shoot(rig, tarryd, out, speed):
    browser = rig.Browser()
    try:
        browser.open(tarryd)
        browser.wait(lambda: browser.count(".chart canvas") >= 10 and
                     browser.count("#held tbody tr") > 1, "the page")
        if speed > 1:
            choose(browser, "24h")
        shoot_views(browser, out)
        browser.shoot(out / "dashboard-phone.png", 390)
        browser.driver.set_window_size(1280, 1200)
        for span, _ in RANGES:
            choose(browser, span)
            part = browser.driver.find_element("css selector", "#delivery")
            part.screenshot(str(out / f"dashboard-delivery-{span}.png"))
        choose(browser, "24h" if speed > 1 else "1h")
        browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {
            "features": [{"name": "prefers-color-scheme", "value": "dark"}]})
        browser.shoot(out / "dashboard-dark.png")
        print(browser.complaints() or "the browser has no complaints")
    finally:
        browser.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default="build")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--speed", type=int, default=1)
    parser.add_argument("out", type=pathlib.Path)
    args = parser.parse_args()
    os.environ["TARRY_BUILD"] = str(pathlib.Path(args.build).resolve())
    if args.speed > 1:
        os.environ["TARRY_WRAP"] = \
            f"env LD_PRELOAD={FAKETIME} 'FAKETIME=+0 x{args.speed}'"
    import conftest
    import test_outcomes
    import window_rig
    judge = test_outcomes.Judge()
    text = conftest.shipped_config(
        http__address="127.0.0.1:0", syn__sidecar="",
        syn__labels=TOP / "config/signatures.ini", learn__capacity="20000",
        learn__holdout="20%", mta__client_address="none",
        mta__open_relay_checked="yes")
    where = pathlib.Path(tempfile.mkdtemp())
    where.chmod(0o755)
    first = text.index("[rule ")
    (where / "tarry.ini").write_text(text[:first] + RULES + text[first:])
    tarryd = conftest.Tarryd(
        where / "log", ["-c", where / "tarry.ini", "-l", "127.0.0.1:0",
                        f"127.0.0.1:{judge.port}"])
    try:
        tarryd.wait_ready()
        player = threading.Thread(
            target=play, daemon=True,
            args=(functools.partial(make_sender, window_rig, args.speed),
                  tarryd.port, args.minutes + .5, 7 * args.speed ** .3))
        player.start()
        player.join(args.minutes * 60)
        shoot(window_rig, tarryd, args.out, args.speed)
    finally:
        tarryd.stop()


if __name__ == "__main__":
    main()
