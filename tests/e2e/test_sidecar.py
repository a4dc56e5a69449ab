"""tarry-sidecar on real interfaces, and tarryd's reader of its table.

Needs root, for network namespaces of its own; what needs none runs without.
"""
import os
import pathlib
import pwd
import re
import signal
import socket
import stat
import statistics
import struct
import subprocess
import tempfile
import time

import pytest

from conftest import BUILD, DEADLINE, Program, wait_until
from sidecar_rig import (TCP_SAVE_SYN, Liar, Pair, Reader, compile_reader, pcap_file,
                         syn_packet, table_memfd)

SIDECAR = BUILD / "tarry-sidecar"
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
NOBODY = pwd.getpwnam("nobody")


@pytest.fixture(scope="session")
def reader_program(tmp_path_factory):
    return compile_reader(tmp_path_factory.mktemp("reader"))


@pytest.fixture
def path():
    """A socket's path that the user nobody can make and reach; pytest's own
    directories are closed to others."""
    with tempfile.TemporaryDirectory(prefix="tarry-sidecar-") as made:
        os.chmod(made, 0o777)
        yield pathlib.Path(made) / "syn.sock"


@pytest.fixture
def start_reader(reader_program, path):
    readers = []

    def start():
        readers.append(Reader(reader_program, path))
        return readers[-1]
    yield start
    assert [reader.stop() for reader in readers] == [0] * len(readers)


@pytest.fixture
def pair():
    made = Pair()
    yield made
    made.delete()


@pytest.fixture
def start_sidecar(tmp_path, path, running):
    """start_sidecar(host, words ..): runs as nobody once it captures."""
    def start(host, *words):
        words = [SIDECAR, "-s", path, *words]
        if os.geteuid() == 0:
            words += ["-u", "nobody"]
        program = Program(tmp_path / f"sidecar{len(running)}.log",
                          host.words(*words) if host else words)
        running.append(program)
        program.wait_log("entries, ")
        return program
    return start


@pytest.fixture
def capturing(pair, start_sidecar, start_reader):
    """Everything at work: (pair, listener, sidecar, reader)."""
    listener = pair.listen()
    sidecar = start_sidecar(pair.server, "-p", listener.getsockname()[1])
    reader = start_reader()
    reader.wait_state("up")
    yield pair, listener, sidecar, reader
    listener.close()


def run_sidecar(*words, **more):
    """A sidecar that should end by itself: (status, what it printed)."""
    done = subprocess.run([SIDECAR, *map(str, words)], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          timeout=DEADLINE, **more)
    return done.returncode, done.stdout


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


# Capture files

VLAN = bytes(12) + bytes.fromhex("8100000a0800")
LINKS = [
    ("ethernet", 1, bytes(12) + b"\x08\x00"),
    ("vlan", 1, VLAN),
    ("two vlans", 1, bytes(12) + bytes.fromhex("88a8000b8100000a0800")),
    ("raw", 101, b""),
    ("null", 0, struct.pack("=I", 2)),
    ("cooked", 113, bytes(14) + b"\x08\x00"),
    ("cooked 2", 276, b"\x08\x00" + bytes(18)),
]


@pytest.mark.parametrize("link,head", [row[1:] for row in LINKS],
                         ids=[row[0] for row in LINKS])
def test_file_of_any_link(tmp_path, start_sidecar, start_reader, link, head):
    syn = syn_packet()
    start_sidecar(None, "-r", pcap_file(tmp_path / "a.pcap",
                                        [(1000, head + syn)], link))
    reader = start_reader()
    assert reader.wait_entry("192.0.2.9:40000")["raw"] == syn.hex()
    assert reader.status()["state"] == "up"


@pytest.mark.parametrize("link,head", [row[1:] for row in LINKS],
                         ids=[row[0] for row in LINKS])
def test_frames_cut_anywhere(tmp_path, start_sidecar, start_reader, link,
                             head):
    frame = head + syn_packet()
    frames = [(1, frame[:cut]) for cut in range(len(frame))]
    start_sidecar(None, "-r", pcap_file(tmp_path / "a.pcap", frames, link))
    reader = start_reader()
    reader.wait_state("up")
    status = reader.status()
    assert status["received"] == len(frames)
    assert status["malformed"] + status["foreign"] == len(frames)
    assert status["malformed"] >= len(syn_packet()) - 1


def test_frames_for_other_hosts(tmp_path, start_sidecar, start_reader):
    """A cooked capture says for whom a frame was; the kernel drops others."""
    frames = [(1, b"\x08\x00" + bytes(8) + bytes([kind]) + bytes(9) +
               syn_packet(port=100 + kind)) for kind in range(5)]
    start_sidecar(None, "-r", pcap_file(tmp_path / "a.pcap", frames, 276))
    reader = start_reader()
    reader.wait_state("up")
    assert set(reader.entries()) == {"192.0.2.9:100", "192.0.2.9:104"}


def test_file_keeps_the_spacing(tmp_path, start_sidecar, start_reader):
    """Times of years ago: the last packet is now, the others before it."""
    frames = [(1000, syn_packet(isn=5)), (1001.25, syn_packet(isn=5, ip_id=8)),
              (1003.5, syn_packet(isn=5)), (1003.5, syn_packet(flags=18)),
              (1003.5, syn_packet(port=2)), (1003.5, syn_packet(to_port=26)),
              (1003.5, syn_packet()[:30])]
    start_sidecar(None, "-r", pcap_file(tmp_path / "a.pcap", frames, 101))
    reader = start_reader()
    entry = reader.wait_entry("192.0.2.9:40000")
    assert (entry["retransmits"], entry["gap_ms"]) == (2, 1250)
    assert entry["raw"] == syn_packet(isn=5).hex()
    assert 3500 <= entry["age_ms"] < 3500 + DEADLINE * 1000
    assert set(reader.entries()) == {"192.0.2.9:40000", "192.0.2.9:2"}
    status = reader.status()
    assert (status["received"], status["inserted"], status["retransmitted"],
            status["foreign"], status["malformed"]) == (7, 2, 2, 2, 1)


def test_broken_file_is_served_as_far_as_it_goes(tmp_path, start_sidecar,
                                                 start_reader):
    file = pcap_file(tmp_path / "a.pcap",
                     [(1, syn_packet()), (1, syn_packet(port=2))], 101, cut=5)
    sidecar = start_sidecar(None, "-r", file)
    assert "serving what could be read" in sidecar.log
    assert set(start_reader().wait_entry("192.0.2.9:40000"))


def test_new_isn_overwrites(tmp_path, start_sidecar, start_reader):
    start_sidecar(None, "-r", pcap_file(
        tmp_path / "a.pcap",
        [(1, syn_packet(isn=5)), (1.5, syn_packet(isn=6))], 101))
    reader = start_reader()
    assert reader.wait_entry("192.0.2.9:40000")["isn"] == 6
    assert len(reader.entries()) == 1


# Mistakes


@pytest.mark.parametrize("words,want", [
    (["-x"], "-x: no such option"),
    (["25"], "25: no such option"),
    (["-p"], "-p: its value is missing"),
    (["-p", "0"], "0: a port is a number"),
    (["-p", "65536"], "a port is a number"),
    (["-p", "25,"], "a port is a number"),
    (["-p", "25 26"], "separated by commas"),
    (["-p", ",".join(map(str, range(1, 18)))], "no more than 16"),
    (["-n", "0"], "the number of entries"),
    (["-n", "16777217"], "the number of entries"),
    (["-n", "1k"], "the number of entries"),
    (["-i", ""], "an interface has a name"),
    (["-r", ""], "a capture file has a name"),
    (["-s", ""], "the socket needs a path"),
    (["-u", ""], "a user has a name"),
])
def test_wrong_options(words, want):
    status, text = run_sidecar(*words)
    assert status == 2
    assert want in text and "--help" in text


@pytest.mark.parametrize("word", ["-h", "--help"])
def test_help_teaches(word):
    status, text = run_sidecar(word)
    assert status == 0
    for need in ("-p PORT", "-r FILE", "CAP_NET_RAW", "TERM",
                 "tarry-sidecar -p 25,587 -i eth0"):
        assert need in text


def test_version():
    status, text = run_sidecar("-V")
    assert status == 0
    assert re.fullmatch(r"tarry-sidecar \d+\.\d+\.\d+\n", text)


@needs_root
@pytest.mark.parametrize("words,want", [
    (["-i", "nonesuch0", "-u", "nobody"], "no such interface"),
    (["-u", "nonesuch"], "there is no user nonesuch"),
    (["-r", "/nonesuch.pcap", "-u", "nobody"], "/nonesuch.pcap"),
    (["-i", "lo", "-u", "nobody", "-s", "/nonesuch/a/b"],
     "its directory must exist"),
    (["-i", "lo", "-u", "nobody", "-s", "/tmp/" + "x" * 108], "longer than"),
    (["-i", "lo", "-u", "nobody", "-s", "/etc/passwd"], "something else"),
])
def test_start_that_fails_says_why(words, want):
    status, text = run_sidecar(*words)
    assert status == 1
    assert want in text


def test_file_that_is_none(tmp_path):
    file = tmp_path / "a.pcap"
    file.write_bytes(b"no capture at all, just some text")
    words = ["-u", "nobody"] if os.geteuid() == 0 else []
    status, text = run_sidecar("-r", file, *words)
    assert status == 1
    assert f"cannot read the capture file {file}" in text


@needs_root
def test_second_one_on_the_same_socket(capturing, path):
    _, _, _, reader = capturing
    status, text = run_sidecar("-i", "lo", "-s", path, "-u", "nobody")
    assert status == 1
    assert "another tarry-sidecar serves there" in text
    assert path.exists()
    assert reader.status()["state"] == "up"


# A reader among liars


def regular_file(tmp_path):
    with open(tmp_path / "file", "wb") as out:
        out.truncate(4096 + 8 * 192)
    return os.open(tmp_path / "file", os.O_RDWR)


LIES = [
    ("not sealed", lambda _: [table_memfd(seals=0)],
     "not sealed against shrinking"),
    ("sealed against growing alone", lambda _: [table_memfd(seals=4)],
     "not sealed against shrinking"),
    ("a file", lambda tmp_path: [regular_file(tmp_path)], "not a memfd"),
    ("a pipe", lambda _: [os.pipe()[0]], "not a memfd"),
    ("nothing in it", lambda _: [table_memfd(size=0)], ""),
    ("a stump", lambda _: [table_memfd(size=100)], "shorter than a head"),
    ("another magic", lambda _: [table_memfd(magic=b"TARRYSYM")],
     "not a SYN table"),
    ("another version", lambda _: [table_memfd(version=2)],
     "another version"),
    ("another entry", lambda _: [table_memfd(entry=128)], "another size"),
    ("no sets", lambda _: [table_memfd(sets=0)], "impossible"),
    ("cut off", lambda _: [table_memfd(sets=2)], "does not fit"),
    ("sets that wrap", lambda _: [table_memfd(sets=0xffffffff)],
     "impossible"),
    ("no descriptor", lambda _: [], "not sent along"),
]


@pytest.mark.parametrize("make,want", [row[1:] for row in LIES],
                         ids=[row[0] for row in LIES])
def test_lies_are_refused(tmp_path, path, start_sidecar, start_reader, make,
                          want):
    liar = Liar(path, make(tmp_path))
    reader = start_reader()
    reader.wait_said(want)
    # Tried again every second, said once.
    wait_until(lambda: reader.status()["refused"] >= 2, "a second try")
    assert reader.status()["state"] == "absent"
    assert sum("refused" in text for text in reader.said) == 1
    assert reader.mappings() == 0
    liar.stop()
    path.unlink()
    start_sidecar(None, "-r", pcap_file(tmp_path / "a.pcap",
                                        [(1, syn_packet())], 101))
    reader.wait_state("up")


def test_silence_is_refused(path, start_reader):
    liar = Liar(path, [], data=None)
    reader = start_reader()
    reader.wait_said("none came within 2 s")
    liar.stop()


def test_two_tables_are_refused(path, start_reader):
    """Descriptors beyond the first are closed; a second message ends it."""
    liar = Liar(path, [table_memfd(), table_memfd()])
    reader = start_reader()
    reader.wait_state("stopped")
    assert reader.mappings() == 1
    fds = f"/proc/{reader.pid}/fd"
    assert not [fd for fd in os.listdir(fds)
                if "memfd" in os.readlink(f"{fds}/{fd}")]
    socket.send_fds(liar.taken[0], [b"\1"], liar.fds[:1])
    reader.wait_said("a second one was sent")
    liar.stop()
