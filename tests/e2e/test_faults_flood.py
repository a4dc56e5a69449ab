"""A flood that fills every cap of a stack in one class is nobody else's.

All clients have one TCP stack, that of this machine, and so one stack
signature. Two thousand of them are of one class and stay for good: its cap is
full, and the rest of them wait. Senders of other classes come meanwhile.
"""
import collections

from faults_rig import FaultLab, percentile, wait_until

FLOOD = 2000
CAP = 20
SLOTS = 120  # half of them for those that are slowed behind their greeting
RATE, SECONDS = 40, 3  # of each class
GREET_BUDGET = 10
# How much later than their class has it, at most: p99, in ms.
LATE_MS = 300

CLASSES = f"""
[class new]
greet = 500ms
stack_sessions = 500
[class watch]
greet = 400ms
reply = 100ms
stack_sessions = 500
[class flooded]
greet = 1s
reply = 1s
stack_sessions = {CAP}
"""

RULES = "".join(f"""
[rule {name}]
network = 127.{number}.0.0/16
class = {name}
""" for number, name in ((1, "new"), (2, "watch"), (6, "flooded")))

# By the names that the storm has for them; what a session lasts.
SENDERS = {"pass": 0, "hold": 500, "teaser": 800}


def send(lab, classes=SENDERS):
    """Senders of each class; returns their rows by class."""
    loads = {cls: lab.start_load(f"complete,fin,{cls},well", rate=RATE,
                                 seconds=SECONDS, b=2000) for cls in classes}
    return {cls: load.finish().rows for cls, load in loads.items()}


def check(rows, what):
    for cls in rows:
        lives = [row.ms for row in rows[cls]]
        print(f"{what}: {cls:6} p50 {percentile(lives, 50)} p99 "
              f"{percentile(lives, 99)} ms of {SENDERS[cls]}")
    for cls in rows:
        assert all(row.told for row in rows[cls]), (what, cls)
        late = percentile([row.ms for row in rows[cls]], 99) - SENDERS[cls]
        assert late < LATE_MS, (what, cls)


def test_others_of_the_same_stack_keep_their_time(tmp_path):
    """Before, while the cap is full, and when the rest of the flood has gone
    on without a place, and stays for good where it got a slot."""
    with FaultLab(tmp_path, slots=SLOTS, reply=f"{GREET_BUDGET}s",
                  classes=CLASSES, rules=RULES) as lab:
        print()
        check(send(lab), "before  ")
        stays = lab.hold(FLOOD, "greeting", k="complete,fin,crowd,well")
        try:
            stays.wait()
            wait_until(lambda: lab.metric("tarry_mta_connections_open") ==
                       CAP, "the cap to be full")
            check(send(lab), "cap full")
            wait_until(lambda: lab.metric("tarry_connections_held") == 0,
                       "the end of their waiting")
            check(send(lab), "flooded ")
        finally:
            stays.kill()
        lab.finish(held=0)
        lab.check()
        stacks = collections.Counter(
            line["syn"] for line in lab.session_lines())
    # A port that was used a moment ago may give a SYN one quirk more.
    assert max(stacks.values()) > 0.95 * sum(stacks.values()), stacks
