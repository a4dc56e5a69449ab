"""tarryctl signature: no daemon, three kinds of input."""
import json
import pathlib
import struct
import subprocess

import pytest

from conftest import BUILD, DEADLINE, TOP

LINUX = "4:64:0:1460:mss*44,7:mss,sok,ts,nop,ws:df,id+:0"
RULES = f"""
[listen smtp]
address = 127.0.0.1:0
[syn]
labels = {TOP}/config/signatures.ini
[class slow]
greet = 10s
[rule add]
family = 64:mss,sok,ts,nop,ws:
not.ptr = confirmed
add = 2
[rule windows]
family = 128:mss,nop,ws,nop,nop,sok:
class = slow
[rule named]
label = Linux 4.20 or newer
mss = 1400..1460
mode = shadow
class = slow
[rule far]
stack = *:64:*:M,*:mss,sok,ts,nop,ws:*:0
distance = 5..
class = slow
[rule here]
network = 192.0.2.0/24
syn = {LINUX}
class = pass
[rule unasked]
score = 2..
class = slow
"""


def syn_bytes(ttl=64, source=(192, 0, 2, 7), port=40000):
    """A Linux SYN, from its IP header on."""
    options = bytes.fromhex("020405b40402080a00000001000000000103" "0307")
    tcp = struct.pack("!HHIIBBHHH", port, 25, 1, 0, (20 + len(options)) << 2,
                      2, 64240, 0, 0) + options
    return struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(tcp), 7, 0x4000,
                       ttl, 6, 0, bytes(source), bytes([198, 51, 100, 1])
                       ) + tcp


def ctl(*words, **more):
    return subprocess.run([BUILD / "tarryctl", *map(str, words)],
                          timeout=DEADLINE, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, **more)


@pytest.fixture
def told(tmp_path):
    (tmp_path / "rules.ini").write_text(RULES)

    def run(what, **more):
        done = ctl("--json", "-c", tmp_path / "rules.ini", "signature", what,
                   **more)
        assert (done.returncode, done.stderr) == (0, b"")
        return [json.loads(line) for line in done.stdout.splitlines()]
    return run


def rules_of(row):
    return {rule["rule"]: rule["if"] for rule in row["rules"]}


def test_hex_is_told_with_its_rules(told):
    row, = told(syn_bytes(ttl=58).hex(" "))
    assert row["client"] == "192.0.2.7:40000" and row["distance"] == 6
    assert row["syn"] == LINUX
    assert row["stack"] == "4:64:0:M,7:mss,sok,ts,nop,ws:df,id+:0"
    assert row["family"] == "64:mss,sok,ts,nop,ws:"
    assert (row["label"], row["label_quality"]) == \
        ("Linux 4.20 or newer", "exact")
    assert rules_of(row) == {"add": ["not.ptr = confirmed"], "named": [],
                             "far": [], "here": []}
    assert [(rule.get("class"), rule.get("add"), rule["shadow"])
            for rule in row["rules"]] == \
        [(None, 2, False), ("slow", None, True), ("slow", None, False),
         ("pass", None, False)]


def test_of_another_network_and_near(told):
    row, = told(syn_bytes(source=(203, 0, 113, 1)).hex())
    assert set(rules_of(row)) == {"add", "named"}


def test_text_is_told_but_for_the_path(told):
    row, = told(LINUX)
    assert row["stack"] == "4:64:0:M,7:mss,sok,ts,nop,ws:df,id+:0"
    assert row["label"] == "Linux 4.20 or newer"
    assert rules_of(row) == {
        "add": ["not.ptr = confirmed"], "named": [],
        "far": ["distance = 5.."], "here": ["network = 192.0.2.0/24"]}


@pytest.mark.parametrize("text, level", [
    ("*:64:0:*:M,7:mss,sok,ts,nop,ws:df,id+:0", "syn"),
    ("4:64:0:M,7:mss,sok,ts,nop,ws:df,id+:0", "stack"),
    ("64:mss,sok,ts,nop,ws:", "family")])
def test_a_pattern_has_its_form_alone(told, text, level):
    assert told(text) == [{level: text, "pattern": True}]


@pytest.mark.parametrize("link, head", [
    (1, bytes(12) + b"\x08\x00"), (101, b""),
    (1, bytes(12) + b"\x81\x00\x00\x07\x08\x00"),
    (113, bytes(14) + b"\x08\x00")])
@pytest.mark.parametrize("is_piped", [False, True])
def test_capture_files(told, tmp_path, link, head, is_piped):
    frames = [syn_bytes(port=port) for port in (1001, 1002)]
    frames.insert(1, frames[0][:33] + b"\x10" + frames[0][34:])  # no SYN
    capture = struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, link)
    for frame in frames:
        capture += struct.pack("<IIII", 0, 0, len(head + frame),
                               len(head + frame)) + head + frame
    path = tmp_path / "some.pcap"
    path.write_bytes(capture)
    rows = told("-", input=capture) if is_piped else told(path)
    assert [(row["client"], row["syn"]) for row in rows] == \
        [("192.0.2.7:1001", LINUX), ("192.0.2.7:1002", LINUX)]


def test_text_for_a_person(tmp_path):
    (tmp_path / "rules.ini").write_text(RULES)
    done = ctl("signature", "-c", tmp_path / "rules.ini", LINUX)
    assert done.returncode == 0
    assert done.stdout.decode().splitlines()[3:] == [
        "  label   Linux 4.20 or newer (exact)",
        "  rule    add: add 2, if not.ptr = confirmed",
        "  rule    named: class slow (shadow)",
        "  rule    far: class slow, if distance = 5..",
        "  rule    here: class pass, if network = 192.0.2.0/24"]


@pytest.mark.parametrize("what, said", [
    ("4:64:0:x", "byte 8: expected a window"),
    ("nonsense", "neither a file nor"),
    ("45" + "00" * 45, "are no SYN: "),
    (str(TOP / "README.md"), "unknown file format")])
def test_what_is_none_is_refused(what, said):
    done = ctl("signature", what)
    assert done.returncode == 1 and said in done.stderr.decode()
    assert done.stdout == b""


def test_a_bad_file_is_refused_with_each_mistake(tmp_path):
    path = pathlib.Path(tmp_path / "bad.ini")
    path.write_text("[rule x]\nsyn = nonsense\n")
    done = ctl("-c", path, "signature", LINUX)
    assert done.returncode == 1 and f"{path}:2: " in done.stderr.decode()
