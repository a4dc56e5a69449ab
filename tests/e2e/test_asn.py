"""The number of a client's network, from a database that the operator has."""
import os
import pathlib
import signal
import tempfile

import pytest

from conftest import Client, Tarryd, wait_until
from mmdb import mmdb

NETWORKS = {"127.0.2.0/24": 64500, "127.0.3.0/25": 4200000001,
            "127.0.4.4/32": 64510, "::1/128": 64501}

CONFIG = """
[tarry]
mode = enforce
[listen smtp]
address = 127.0.0.1:0
[mta]
address = 127.0.0.1:{mta}
[syn]
sidecar =
labels =
[http]
address = 127.0.0.1:0
[control]
socket =
[asn]
database = {path}
[class new]
greet = 20ms
[rule some]
asn = 64500..64501, 4200000001
class = new
[rule none]
asn = unknown
class = new
[rule others]
not.asn = 1..9
class = new
"""


@pytest.fixture
def place():
    """A folder that tarryd can read, as whom it is started."""
    with tempfile.TemporaryDirectory(prefix="tarry-") as path:
        os.chmod(path, 0o755)
        yield pathlib.Path(path)


@pytest.fixture
def start(place, start_sink, running, tmp_path):
    """start(bytes of the database) -> a tarryd."""
    def begin(database, listen="127.0.0.1:0"):
        (place / "asn.mmdb").write_bytes(database)
        sink = start_sink()
        (place / "tarry.ini").write_text(
            CONFIG.format(mta=sink.port, path=place / "asn.mmdb"))
        tarryd = Tarryd(tmp_path / f"tarryd{len(running)}.log",
                        ["-c", place / "tarry.ini", "-l", listen,
                         f"127.0.0.1:{sink.port}"])
        running.append(tarryd)
        return tarryd.wait_ready()
    return begin


def visit(tarryd, source):
    """One session; its log line."""
    host = "::1" if ":" in source else "127.0.0.1"
    with Client(tarryd.port, source, host) as client:
        port = client.socket.getsockname()[1]
        assert client.line().startswith(b"220")
        client.ask("QUIT")
    return tarryd.wait_log(
        rf" event=session .*client={source} port={port} .*").group(0)


def test_numbers_choose_rules(start):
    tarryd = start(mmdb(NETWORKS))
    for source, asn, rule in (("127.0.2.9", 64500, "some"),
                              ("127.0.3.127", 4200000001, "some"),
                              ("127.0.4.4", 64510, "others")):
        line = visit(tarryd, source)
        assert f" asn={asn} " in line and f" rule={rule} " in line
    for source in ("127.0.3.128", "127.0.4.5"):
        line = visit(tarryd, source)
        assert " asn=" not in line and " rule=none " in line


def test_over_ipv6_too(start):
    tarryd = start(mmdb(NETWORKS), "[::1]:0")
    line = visit(tarryd, "::1")
    assert " asn=64501 " in line and " rule=some " in line


@pytest.mark.parametrize("database", (
    b"", b"no database", mmdb(NETWORKS)[:-40]))
def test_what_is_no_database_stops_nobody(start, place, database):
    tarryd = start(database)
    assert " rule=none " in visit(tarryd, "127.0.2.9")
    assert f"asn.database: {place}/asn.mmdb: " in tarryd.log
    assert "no network has a number" in tarryd.log


def test_links_that_lead_nowhere(start):
    """A tree whose every link of a network points behind the data."""
    whole = mmdb(NETWORKS)
    nodes = whole.index(bytes(16)) // 6
    broken = bytearray(whole)
    for at in range(0, nodes * 6, 3):
        if int.from_bytes(broken[at:at + 3], "big") > nodes:
            broken[at:at + 3] = b"\x7f\xff\xff"
    assert bytes(broken) != whole
    tarryd = start(bytes(broken))
    assert " rule=none " in visit(tarryd, "127.0.2.9")


def test_the_file_is_cut_and_replaced(start, place):
    tarryd = start(mmdb(NETWORKS))
    with open(place / "asn.mmdb", "r+b") as file:
        file.truncate(0)
    assert " asn=64500 " in visit(tarryd, "127.0.2.9")
    (place / "asn.mmdb").write_bytes(mmdb({"127.0.2.0/24": 64510}))
    tarryd.send_signal(signal.SIGHUP)
    tarryd.wait_log("the configuration was read again")
    wait_until(lambda: " asn=64510 " in visit(tarryd, "127.0.2.9"),
               "the other number")
