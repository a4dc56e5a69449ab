"""The p0f socket: what p0f's own clients ask, and what they make of it."""
import ctypes
import json
import os
import pathlib
import shutil
import socket
import stat
import struct
import subprocess
import time

import pytest

from conftest import DEADLINE, TOP, Program, wait_until

# Haraka asks nobody about an address that is set aside, for documents too, or
# that an interface has. This one is only ever in a namespace of ours.
FAR = "198.52.0.8"
QUERY, TUPLE = 0x50304601, 0x50305401
OK, NO_MATCH, BAD = 0x10, 0x20, 0
ANSWER = "=9IhBB32s32s32s32s32s32s"
HELD = """
[class held]
greet = 20s
[rule all]
class = held
"""


@pytest.fixture
def site(start_sink, start_tarryd, control_path):
    path = control_path() + ".p0f"
    sink = start_sink()
    text = f"""
[tarry]
mode = enforce
workers = 2
[listen smtp]
address = 127.0.0.1:0
[mta]
address = 127.0.0.1:1
[syn]
labels = {TOP}/config/signatures.ini
[http]
address = 127.0.0.1:0
[p0f]
socket = {path}
"""
    tarryd = start_tarryd(sink.port, text=text + HELD).wait_ready()
    tarryd.p0f = path
    return tarryd


def dial(path):
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(path)  # blocking: it waits in a full queue
    sock.settimeout(DEADLINE)
    return sock


def receive(sock, length):
    got = b""
    while len(got) < length:
        more = sock.recv(length - len(got))
        if not more:
            break
        got += more
    return got


def question(address, magic=QUERY, version=4):
    return struct.pack("=IB16s", magic, version, socket.inet_aton(address))


def ask(sock, address):
    sock.sendall(question(address))
    got = struct.unpack(ANSWER, receive(sock, 232))
    assert got[0] == 0x50304602
    texts = [text.rstrip(b"\0").decode() for text in got[12:]]
    return {"status": got[1], "first": got[2], "last": got[3],
            "connections": got[4], "distance": got[9], "quality": got[11],
            "name": texts[0], "flavor": texts[1]}


def held(tarryd, count):
    wait_until(lambda: tarryd.metric("tarry_connections_held") == count,
               f"{count} held")


def test_a_live_client_is_told_and_none_else(site):
    assert stat.S_IMODE(os.stat(site.p0f).st_mode) == 0o660
    with dial(site.p0f) as sock:
        assert ask(sock, "127.0.0.5")["status"] == NO_MATCH
        with site.connect("127.0.0.5"), site.connect("127.0.0.5"), \
                site.connect("127.0.0.6"):
            held(site, 3)
            told = ask(sock, "127.0.0.5")
            assert (told["status"], told["name"], told["distance"],
                    told["connections"]) == (OK, "Linux", 0, 2)
            assert 0 <= time.time() - told["first"] < DEADLINE
            assert ask(sock, "127.0.0.6")["connections"] == 1
        held(site, 0)
        assert ask(sock, "127.0.0.5")["status"] == NO_MATCH


def test_by_both_ends(site):
    with dial(site.p0f) as sock, site.connect("127.0.0.7") as client:
        held(site, 1)
        near, far = client.socket.getsockname(), client.socket.getpeername()
        for port, status in ((near[1], OK), (near[1] ^ 1, NO_MATCH)):
            sock.sendall(question("127.0.0.7", TUPLE)
                         + struct.pack("=H16sH", port,
                                       socket.inet_aton(far[0]), far[1]))
            got = receive(sock, 744)
            assert struct.unpack("=I", got[4:8])[0] == status
            if status == OK:
                assert got[232:].startswith(b"4:64:0:")
                assert got[616:680].rstrip(b"\0") == b"held"
                assert got[680:].rstrip(b"\0") == b"all"


@pytest.mark.parametrize("said", [
    b"EHLO client.example\r\n....", bytes(21), b"\xff" * 41,
    question("127.0.0.1", version=7), question("127.0.0.1", magic=1)])
def test_what_is_no_question_ends_it(site, said):
    with dial(site.p0f) as sock:
        sock.sendall(said)
        got = receive(sock, 232)
        assert struct.unpack("=II", got[:8]) == (0x50304602, BAD)
        try:
            assert receive(sock, 1) == b""
        except ConnectionResetError:
            pass
    with dial(site.p0f) as sock:
        assert ask(sock, "127.0.0.1")["status"] == NO_MATCH


def test_byte_by_byte_and_many_at_once(site):
    with dial(site.p0f) as sock:
        for byte in question("127.0.0.1"):
            sock.send(bytes([byte]))
        assert len(receive(sock, 232)) == 232
        sock.sendall(question("127.0.0.1") * 50)
        assert len(receive(sock, 232 * 50)) == 232 * 50


def test_clients_without_end_and_a_deaf_one(site):
    deaf = dial(site.p0f)
    deaf.setblocking(False)
    try:
        for _ in range(20000):
            deaf.send(question("127.0.0.1") * 20)
    except OSError:
        pass
    idle = [dial(site.p0f) for _ in range(40)]
    for sock in idle[-5:]:
        assert ask(sock, "127.0.0.1")["status"] == NO_MATCH
    assert site.get("/readyz")[0] == 200
    for sock in idle + [deaf]:
        sock.close()


def have_rspamd():
    return shutil.which("rspamd") and shutil.which("rspamc")


RSPAMD = """
options {{
  pidfile = "{top}/rspamd.pid";
  control_socket = "{top}/control mode=0600";
  filters = "";
  url_tld = "/usr/share/rspamd/effective_tld_names.dat";
  dynamic_conf = "{top}/dynamic";
  dns {{ nameserver = ["127.0.0.1:1"]; timeout = 0.1s; }}
}}
logging {{ type = "console"; level = "info"; }}
worker "normal" {{
  bind_socket = "127.0.0.1:{port}";
  count = 1;
}}
lua = "/usr/share/rspamd/rules/rspamd.lua";
metric {{ name = "default"; actions {{ reject = 1000; }} }}
modules {{ path = "/usr/share/rspamd/plugins/"; }}
p0f {{ enabled = true; socket = "{p0f}"; timeout = 5s; symbol = "P0F";
  patterns {{ IS_LINUX = "^Linux.*"; }} }}
"""


@pytest.fixture
def own_net():
    """A network of its own, with an address that is not a loopback's: rspamd
    asks nothing about those."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/thread-self/ns/net", "rb") as before:
        if libc.unshare(0x40000000) != 0:  # CLONE_NEWNET
            pytest.skip("a network namespace needs root")
        try:
            for words in ("link set lo up", "addr add 198.51.100.8/32 dev lo",
                          f"route add local {FAR}/32 dev lo"):
                subprocess.run(["ip", *words.split()], check=True)
            yield "198.51.100.8"
        finally:
            assert libc.setns(before.fileno(), 0) == 0


def test_rspamd_unmodified_gets_the_label(own_net, site, tmp_path, running):
    if not have_rspamd():
        pytest.skip("rspamd is not installed: make deps-test")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (tmp_path / "rspamd.conf").write_text(
        RSPAMD.format(top=tmp_path, port=port, p0f=site.p0f))
    os.chmod(site.p0f, 0o666)  # rspamd's user is another one here
    os.chmod(tmp_path, 0o777)
    rspamd = Program(tmp_path / "rspamd.log",
                     ["rspamd", "-f", "-i" if os.geteuid() == 0 else "-f",
                      "-c", tmp_path / "rspamd.conf"])
    running.append(rspamd)

    def scan():
        done = subprocess.run(
            ["rspamc", "-h", f"127.0.0.1:{port}", "-i", own_net],
            input="Subject: x\n\nhello\n", text=True, timeout=DEADLINE,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        return done.stdout if "Symbol" in done.stdout else None
    with site.connect(own_net):
        held(site, 1)
        said = wait_until(scan, f"rspamd:\n{rspamd.log}")
    assert "Symbol: P0F" in said, f"{said}\n{rspamd.log}"
    assert "Linux" in said and "distance=0" in said


def haraka_files(program, where, port, p0f):
    """A Haraka that asks p0f of each client, which PROXY tells."""
    subprocess.run([*program, "-i", where], check=True, timeout=DEADLINE,
                   stdout=subprocess.DEVNULL)
    shipped = (where / "config/connection.ini").read_text()
    for name, text in (
            ("smtp.ini", f"listen=127.0.0.1:{port}\nnodes=0\n"),
            ("connection.ini", shipped.replace("\nhosts[] =\n",
                                               "\nhosts[] = 127.0.0.1\n")),
            ("p0f.ini", f"[main]\nsocket_path={p0f}\n"),
            ("log.ini", "level=info\n"), ("me", "mta.example\n"),
            ("plugins", "p0f\nqueue/discard\n")):
        (where / "config" / name).write_text(text)


def test_haraka_unmodified_gets_the_label(own_net, start_tarryd,
                                          control_path, tmp_path, running):
    """HARAKA names the directory in which `make haraka-install` was done."""
    haraka = os.environ.get("HARAKA", "")
    if not (pathlib.Path(haraka) / "node_modules/.bin/haraka").exists():
        pytest.skip("HARAKA does not say where Haraka is: make haraka")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    path = control_path() + ".p0f"
    program = ["node", pathlib.Path(haraka) / "node_modules/.bin/haraka"]
    haraka_files(program, tmp_path / "haraka", port, path)
    tarryd = start_tarryd(
        port, mta__client_address="proxy_v1", p0f__socket=path,
        mta__open_relay_checked="yes",
        syn__labels=TOP / "config/signatures.ini")
    tarryd.wait_started()  # Haraka looks for the socket each 5 s
    server = Program(tmp_path / "haraka.log",
                     [*program, "-c", tmp_path / "haraka"])
    running.append(server)
    tarryd.wait_ready()
    with tarryd.connect(FAR) as client:
        assert "Haraka" in client.reply()
        server.wait_log(r'\[p0f\] +os="Linux [^"]*" total_conn=1')

