"""A hundred reloads while mail flows: nobody is reset, no mail is lost or
doubled, every old configuration is given back."""
import collections
import re
import threading

import pytest

from conftest import BUILD, DEADLINE, send_mail, wait_until
from reload_rig import READ_AGAIN
from test_reload import OK, class_text, place, start  # noqa: F401

RELOADS = 100
SENDERS = 16
ASAN = BUILD.with_name(BUILD.name + "-asan")
BUILDS = [path for path in (BUILD, ASAN) if (path / "tarryd").exists()]
# So many that a hundred of them kept would be seen.
NETWORKS = 20000


class Senders:
    """Threads that send one mail after the other until told to stop."""

    def __init__(self, tarryd):
        self.tarryd, self.over = tarryd, threading.Event()
        self.sent, self.odd = [], []
        self.threads = [threading.Thread(target=self.run, args=(i,))
                        for i in range(SENDERS)]
        for thread in self.threads:
            thread.start()

    def run(self, number):
        count = 0
        while not self.over.is_set():
            count += 1
            name = f"{number}-{count}"
            try:
                with self.tarryd.connect(f"127.0.1.{number}") as client:
                    replies = send_mail(
                        client, f"Subject: id {name}.\r\n\r\nx\r\n")
                if [reply[:3] for reply in replies] == OK:
                    self.sent.append(name)
                else:
                    self.odd.append(replies)
            except OSError as error:
                self.odd.append(repr(error))

    def stop(self):
        self.over.set()
        for thread in self.threads:
            thread.join(DEADLINE)
            assert not thread.is_alive()


def rules(place, number):
    """Other rules, classes and networks each time."""
    nets = place / "nets"
    nets.write_text("".join(f"10.{number}.{i // 256}.{i % 256}\n"
                            for i in range(NETWORKS)))
    greet, reply = ("1s", "0s") if number % 2 else ("50ms", "200ms")
    return {
        "classes": class_text(f"spare{number % 7}") + "\n" + class_text(
            "new", greet=greet, reply=reply, teaser="yes"),
        "rules": f"[rule nets]\nnetwork = @{nets}\nclass = pass\n"
                 f"[rule r{number}]\nclass = new",
        "name": f"mx{number}.example", "drain": f"{number + 1}s"}


def ids(sink):
    found = collections.Counter()
    for path in sink.mail.glob("*.eml"):
        found[re.search(rb"Subject: id (\S+)\.", path.read_bytes())[1]
              .decode()] += 1
    return found


@pytest.mark.parametrize("build", BUILDS, ids=lambda path: path.name)
def test_a_hundred_reloads(start, start_sink, place, build,  # noqa: F811
                           monkeypatch):
    monkeypatch.setenv("ASAN_OPTIONS", "detect_leaks=1")
    sink = start_sink()
    tarryd = start(sink.port, build=build, **rules(place, 0)).wait_ready()
    for i in range(5):
        tarryd.reload(**rules(place, i))
    before = tarryd.metric("process_resident_memory_bytes")
    senders = Senders(tarryd)
    try:
        for i in range(RELOADS):
            tarryd.reload(**rules(place, i))
    finally:
        senders.stop()
    after = tarryd.metric("process_resident_memory_bytes")
    assert senders.odd == [] and len(senders.sent) > RELOADS
    assert tarryd.log.count(READ_AGAIN) == RELOADS + 5
    wait_until(lambda: tarryd.metric("tarry_connections_open") == 0,
               "all sessions to end")
    found = ids(sink)
    assert sorted(found) == sorted(senders.sent)
    assert set(found.values()) == {1}
    if build == BUILD:
        assert after - before < 24e6, "old configurations are kept"
    tarryd.stop()
    assert tarryd.wait() == 0
    assert not re.search("Sanitizer|not given back|reason=bug", tarryd.log)
    print(f"{len(senders.sent)} mails, {RELOADS} reloads, memory "
          f"{before / 1e6:.1f} -> {after / 1e6:.1f} MB")
