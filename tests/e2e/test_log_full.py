"""A log that cannot be written: mail goes on, what is lost is counted."""
import re

from conftest import Tarryd, send_mail, shipped_config, wait_until
from small_disk import fill, small_disk  # noqa: F401
from test_drain import OK
from test_mail import sink_mail

DROPPED = "tarry_log_lines_dropped_total"


def start(log, sink, tmp_path, running):
    """A tarryd that writes its log there."""
    config = tmp_path / "tarry.ini"
    config.write_text(shipped_config(
        http__address="127.0.0.1:0", syn__sidecar="", syn__labels="",
        class_new__greet="20ms"))
    tarryd = Tarryd(log, ["-c", config, "-l", "127.0.0.1:0",
                          f"127.0.0.1:{sink.port}"])
    running.append(tarryd)
    return tarryd.wait_ready()


def mail(tarryd, count):
    for _ in range(count):
        with tarryd.connect() as client:
            assert [reply[:3] for reply in send_mail(client)] == OK


def test_a_full_disk_stops_no_mail(start_sink, small_disk,  # noqa: F811
                                   tmp_path, running):
    sink = start_sink()
    tarryd = start(small_disk / "log", sink, tmp_path, running)
    mail(tarryd, 3)
    filler = fill(small_disk)
    mail(tarryd, 12)
    wait_until(lambda: tarryd.metric(DROPPED) >= 1, "lines to be dropped")
    lost = tarryd.log.count("event=session")
    assert lost < 15
    filler.unlink()
    mail(tarryd, 3)
    tarryd.wait_log("[0-9]+ log lines were dropped")
    wait_until(lambda: tarryd.log.count("event=session") >= lost + 3,
               "the log to go on")
    assert len(sink_mail(sink, 18)) == 18
    # A line that was cut stands by itself.
    assert all(line.startswith("ts=20") for line in tarryd.log.splitlines())
    assert not re.search("ts=20.*ts=20", tarryd.log)
