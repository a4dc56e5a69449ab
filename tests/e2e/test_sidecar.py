"""tarry-sidecar on real interfaces, and tarryd's reader of its table.

Needs root, for network namespaces of its own; what needs none runs without.
"""
import os
import signal
import socket
import stat
import statistics
import subprocess
import time

import pytest

from conftest import (DEADLINE, Program, wait_until)
from sidecar_fixtures import (SIDECAR, needs_root, NOBODY, run_sidecar, path,
    start_reader, pair, start_sidecar, capturing, reader_program)
from sidecar_rig import (TCP_SAVE_SYN, Pair, pcap_file, syn_packet)


# Capturing


@needs_root
@pytest.mark.parametrize("device", ["any", "wire0"])
@pytest.mark.parametrize("address", [Pair.SERVER4, Pair.SERVER6])
def test_same_bytes_as_the_kernels_copy(pair, start_sidecar, start_reader,
                                        device, address):
    with pair.listen(address) as listener, pair.listen(address) as other:
        start_sidecar(pair.server, "-i", device, "-p",
                      listener.getsockname()[1])
        reader = start_reader()
        reader.wait_state("up")
        pair.connect(other)
        client, kernel = pair.connect(listener)
        entry = reader.wait_entry(client)
        assert entry["raw"] == kernel
        assert entry["retransmits"] == 0
        assert entry["age_ms"] < DEADLINE * 1000
        assert list(reader.entries()) == [client]
        status = reader.status()
        assert (status["inserted"], status["malformed"]) == (1, 0)


@needs_root
def test_syns_are_there_at_once(capturing):
    """Without immediate mode each waits for the capture's 100 ms."""
    pair, listener, sidecar, reader = capturing
    assert "on any (LINUX_SLL2)" in sidecar.log
    waits = []
    for _ in range(11):
        client, _ = pair.connect(listener)
        start = time.monotonic()
        reader.wait_entry(client)
        waits.append(time.monotonic() - start)
    assert statistics.median(waits) < 0.05


@needs_root
def test_syn_cookies_empty_the_kernels_copy_alone(capturing):
    pair, listener, _, reader = capturing
    subprocess.run(pair.server.words("sysctl", "-qw",
                                     "net.ipv4.tcp_syncookies=2"), check=True)
    client, kernel = pair.connect(listener)
    assert kernel == ""
    assert reader.wait_entry(client)["raw"].startswith("45")


@needs_root
def test_own_connections_are_not_taken(pair, start_sidecar, start_reader):
    """SYNs that this host sends, to the same port elsewhere."""
    with pair.client.inside():
        there = socket.create_server((pair.CLIENT4, 0))
    port = there.getsockname()[1]
    with pair.server.inside():
        here = socket.create_server((pair.SERVER4, port))
        ours = socket.socket()
    with there, here, ours:
        here.setsockopt(socket.IPPROTO_TCP, TCP_SAVE_SYN, 1)
        start_sidecar(pair.server, "-i", "wire0", "-p", port)
        reader = start_reader()
        reader.wait_state("up")
        ours.settimeout(DEADLINE)
        ours.connect(there.getsockname())
        client, _ = pair.connect(here)
        reader.wait_entry(client)
        assert list(reader.entries()) == [client]


@needs_root
def test_several_ports(pair, start_sidecar, start_reader):
    with pair.listen() as one, pair.listen(Pair.SERVER6) as two:
        start_sidecar(pair.server, "-p",
                      f"{one.getsockname()[1]},{two.getsockname()[1]}")
        reader = start_reader()
        reader.wait_state("up")
        for listener in (one, two):
            client, kernel = pair.connect(listener)
            assert reader.wait_entry(client)["raw"] == kernel


@needs_root
def test_syn_behind_ipv6_extension_headers(pair, start_sidecar, start_reader):
    def add_destination_options(sock):
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_DSTOPTS,
                        bytes([0, 0, 1, 4, 0, 0, 0, 0]))

    with pair.listen(Pair.SERVER6) as listener:
        start_sidecar(pair.server, "-p", listener.getsockname()[1])
        reader = start_reader()
        reader.wait_state("up")
        client, kernel = pair.connect(listener, add_destination_options)
        entry = reader.wait_entry(client)
        assert entry["raw"] == kernel
        assert entry["raw"][12:14] == "3c"
        # The ACK came through the filter too, and was no SYN.
        wait_until(lambda: reader.status()["foreign"] > 0, "the ACK")
        assert reader.status()["malformed"] == 0


@needs_root
def test_syn_sent_again_is_counted(capturing):
    pair, listener, _, reader = capturing
    # Nothing goes back to the client: it sends its SYN again after 1 s.
    pair.server.ip("route", "add", "blackhole", Pair.CLIENT4 + "/32")
    with pair.client.inside():
        sock = socket.socket()
    with sock:
        sock.setblocking(False)
        sock.connect_ex(listener.getsockname())
        client = "%s:%d" % sock.getsockname()
        first = reader.wait_entry(client)
        assert first["retransmits"] == 0
        entry = wait_until(
            lambda: next((e for e in [reader.entries()[client]]
                          if e["retransmits"]), None), "a SYN sent again")
    assert entry["raw"] == first["raw"]
    assert 900 <= entry["gap_ms"] <= 1500
    assert reader.status()["retransmitted"] >= 1


@needs_root
def test_interface_down_and_up(pair, start_sidecar, start_reader):
    with pair.listen() as listener:
        sidecar = start_sidecar(pair.server, "-i", "wire0", "-p",
                                listener.getsockname()[1])
        reader = start_reader()
        reader.wait_state("up")
        client, _ = pair.connect(listener)
        reader.wait_entry(client)
        for flap in range(1, 3):
            pair.server.ip("link", "set", "wire0", "down")
            wait_until(lambda: sidecar.log.count("went down") == flap,
                       "word of the interface")
            pair.server.ip("link", "set", "wire0", "up")
            client, kernel = pair.connect(listener)
            assert reader.wait_entry(client)["raw"] == kernel
        # Nothing spins: down is said once a time, and the heart beats.
        assert reader.status()["state"] == "up"
        assert "packets again" in sidecar.log


@needs_root
@pytest.mark.parametrize("is_down_first", [False, True])
def test_interface_deleted_ends_it(pair, start_sidecar, start_reader, path,
                                   is_down_first):
    sidecar = start_sidecar(pair.server, "-i", "wire0")
    reader = start_reader()
    reader.wait_state("up")
    if is_down_first:
        pair.server.ip("link", "set", "wire0", "down")
        sidecar.wait_log("went down")
    pair.server.ip("link", "del", "wire0")
    assert sidecar.wait() == 1
    assert "the capture on wire0" in sidecar.log
    assert not path.exists()
    reader.wait_state("absent")


@needs_root
def test_any_survives_a_deleted_interface(capturing):
    pair, listener, _, reader = capturing
    pair.server.ip("link", "del", "wire0")
    pair.cable()
    client, kernel = pair.connect(listener)
    assert reader.wait_entry(client)["raw"] == kernel


# Life and death


@needs_root
def test_term_ends_it_in_order(capturing, path):
    _, _, sidecar, reader = capturing
    assert sidecar.stop() == 0
    assert "signal 15: ending" in sidecar.log
    assert not path.exists()
    reader.wait_state("absent")
    reader.wait_said("is gone")
    assert reader.mappings() == 0


@needs_root
def test_killed_and_started_anew(capturing, start_sidecar):
    pair, listener, sidecar, reader = capturing
    assert reader.ask("hold", "held") == ["held 1"]
    sidecar.stop(signal.SIGKILL)
    reader.wait_state("absent")
    # A worker holds the table of the dead one: it stays mapped.
    start_sidecar(pair.server, "-p", listener.getsockname()[1])
    reader.wait_state("up")
    assert reader.status()["maps"] == 2
    assert reader.mappings() == 2
    reader.ask("release", "released")
    wait_until(lambda: reader.mappings() == 1, "the old table to be unmapped")
    client, kernel = pair.connect(listener)
    assert reader.wait_entry(client)["raw"] == kernel


def test_workers_read_while_tables_change(tmp_path, start_sidecar,
                                          start_reader):
    file = pcap_file(tmp_path / "a.pcap", [(1, syn_packet())], 101)
    reader = start_reader()
    assert reader.ask("spin", "spinning")
    for round in range(1, 5):
        sidecar = start_sidecar(None, "-r", file)
        wait_until(lambda: reader.status()["maps"] == round, "a new table")
        sidecar.stop(signal.SIGKILL)
        reader.wait_state("absent")
    wait_until(lambda: reader.mappings() == 0, "all tables to be unmapped")
    assert reader.poll() is None


@needs_root
def test_stopped_and_continued(capturing):
    _, _, sidecar, reader = capturing
    sidecar.send_signal(signal.SIGSTOP)
    try:
        reader.wait_state("stopped")
        reader.wait_said("no heartbeat")
        assert reader.mappings() == 1
    finally:
        sidecar.send_signal(signal.SIGCONT)
    reader.wait_state("up")


@needs_root
def test_reader_may_come_first(pair, start_sidecar, start_reader):
    reader = start_reader()
    reader.wait_said("no sidecar on")
    assert reader.status()["state"] == "absent"
    start_sidecar(pair.server)
    reader.wait_state("up")
    assert reader.status()["port"] == 25
    assert len([text for text in reader.said if "no sidecar" in text]) == 1


@needs_root
def test_more_readers_than_places(capturing, start_reader, path):
    """Those beyond get no table; the others keep theirs."""
    _, _, sidecar, reader = capturing
    socks, fds = [], []
    for _ in range(20):
        socks.append(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
        socks[-1].settimeout(DEADLINE)
        socks[-1].connect(str(path))
        fds += socket.recv_fds(socks[-1], 16, 1)[1]
    assert len(fds) == 15
    for fd in fds:
        os.close(fd)
    assert reader.status()["state"] == "up"
    fds_dir = f"/proc/{sidecar.process.pid}/fd"
    used = len(os.listdir(fds_dir))
    for sock in socks:
        sock.close()
    wait_until(lambda: len(os.listdir(fds_dir)) == used - 15,
               "their descriptors to be closed")
    late = start_reader()
    late.wait_state("up")


# Privileges


@needs_root
def test_privileges_are_gone(capturing):
    _, _, sidecar, _ = capturing
    with open(f"/proc/{sidecar.process.pid}/status") as status:
        have = dict(line.rstrip("\n").split(":\t", 1) for line in status
                    if ":\t" in line)
    uid, gid = str(NOBODY.pw_uid), str(NOBODY.pw_gid)
    assert have["Uid"].split() == [uid] * 4
    assert have["Gid"].split() == [gid] * 4
    assert have["Groups"].split() == [gid]
    for which in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(have[which], 16) == 0, which
    assert have["NoNewPrivs"] == "1"
    assert "user nobody, no capabilities, no new privileges" in sidecar.log


@needs_root
def test_socket_is_for_the_group(capturing, path):
    status = path.stat()
    assert stat.S_IMODE(status.st_mode) == 0o660
    assert (status.st_uid, status.st_gid) == (NOBODY.pw_uid, NOBODY.pw_gid)


@needs_root
def test_table_cannot_be_written_by_readers(capturing, path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
        sock.settimeout(DEADLINE)
        sock.connect(str(path))
        fd = socket.recv_fds(sock, 16, 1)[1][0]
    with pytest.raises(PermissionError):
        os.pwrite(fd, b"x", 0)
    with pytest.raises(PermissionError):
        os.ftruncate(fd, 0)
    os.close(fd)


def as_nobody():
    os.setgroups([])
    os.setgid(NOBODY.pw_gid)
    os.setuid(NOBODY.pw_uid)


def test_without_privileges_it_says_what_to_do(path):
    status, text = run_sidecar(
        "-s", path, preexec_fn=as_nobody if os.geteuid() == 0 else None)
    assert status == 1
    assert "cannot capture on any: not permitted" in text
    assert "CAP_NET_RAW" in text and "setcap" in text
    assert len(text.splitlines()) == 1


@needs_root
def test_makes_its_directory(pair, path, running, tmp_path):
    below = path.parent / "made" / "syn.sock"
    sidecar = Program(tmp_path / "log", pair.server.words(
        SIDECAR, "-s", below, "-u", "nobody"))
    running.append(sidecar)
    sidecar.wait_log("serving")
    assert below.parent.stat().st_uid == NOBODY.pw_uid
