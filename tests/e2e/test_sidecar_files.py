"""tarry-sidecar on capture files, its command line, and lies to its readers.

Needs root where it captures; what needs none runs without.
"""
import os
import re
import socket
import struct

import pytest

from conftest import (DEADLINE, wait_until)
from sidecar_fixtures import (needs_root, run_sidecar, path, start_reader,
    start_sidecar, capturing, reader_program, pair)
from sidecar_rig import (HEAD, SET, Liar, pcap_file, syn_packet, table_memfd)


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
        out.truncate(HEAD + SET)
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
    ("another version", lambda _: [table_memfd(version=1)],
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
