"""The control socket and tarryctl."""
import json
import os
import pwd
import re
import socket
import stat
import subprocess

import pytest

from conftest import BUILD, DEADLINE, Client, send_mail, shipped_config, \
    wait_until
from mta import Postfix, mta, proxy_for  # noqa: F401
from test_doctor import made, pem  # noqa: F401

# tarryd reads its file again as who it became, here below directories that
# are root's own.
STAY_ROOT = ("-u", "root") if os.geteuid() == 0 else ()


def talk(path):
    """A raw client of the control socket."""
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(DEADLINE)
    sock.connect(path)
    return sock


def lines_of(sock, count):
    """So many lines of JSON; fewer if the other side closed."""
    got = b""
    while got.count(b"\n") < count:
        more = sock.recv(65536)
        if not more:
            break
        got += more
    return [json.loads(line) for line in got.splitlines()]


@pytest.fixture
def served(start_tarryd, start_sink, control_path):
    def start(**keys):
        return start_tarryd(start_sink().port, control__socket=control_path(),
                            **keys).wait_ready()
    return start


def test_status_on_one_screen(served):
    tarryd = served()
    with tarryd.connect() as held:
        assert held.line().startswith(b"220-")
        wait_until(lambda: tarryd.ask("status")[0]["sessions"]["held"] == 1,
                   "a held session")
        done = tarryd.ctl("status")
        assert (done.returncode, done.stderr) == (0, "")
        assert re.search(r"^sessions  1 open, 1 of them held; at most \d+$",
                         done.stdout, re.M)
        assert re.search(r"^mta       127\.0\.0\.1:\d+ \(proxy_v2\): ready$",
                         done.stdout, re.M)
        assert re.search(r"^mode      enforce$", done.stdout, re.M)
    status, = tarryd.ask("status")
    assert status["pid"] == tarryd.process.pid
    assert status["state"] == "running"
    assert status["slots"]["limit"] == 80


def test_sessions_of_all_workers(served):
    tarryd = served(tarry__workers="3", class_new__greet="20s",
                    class_new__client_sessions="none")
    # Each worker has found a port of its own.
    ports = re.findall(r'listening on \S*:(\d+)"', tarryd.log)
    assert len(ports) == 3
    clients = [Client(int(ports[i % 3]), f"127.0.0.{i}")
               for i in range(1, 13)]
    for client in clients:
        assert client.line().startswith(b"220-")
    rows = tarryd.ask("sessions")
    assert {row["client"].split(":")[0] for row in rows} == \
        {f"127.0.0.{i}" for i in range(1, 13)}
    assert {(row["class"], row["rule"], row["phase"], row["held"],
             row["mode"]) for row in rows} == \
        {("new", "everyone", "greet", True, "enforce")}
    assert {row["worker"] for row in rows} == {0, 1, 2}
    assert len(tarryd.ask("sessions", "5")) == 5
    shown = tarryd.ctl("sessions").stdout.splitlines()
    assert shown[0].split() == ["id", "client", "class", "rule", "phase",
                                "age", "held"]
    assert len(shown) == 13 and shown[1].endswith(" now")
    for client in clients:
        client.close()
    wait_until(lambda: tarryd.ask("sessions") == [], "none")
    for word in ("0", "2001", "x", "-1"):
        assert tarryd.ctl("--", "sessions", word).returncode == 1


@pytest.mark.parametrize("opaque", [0, 1])
def test_status_says_how_much_is_not_seen(opaque, made, proxy_for,
                                          control_path):
    """One of three sessions is TLS that passes through, or none."""
    behind = made(Postfix).start()
    tarryd = proxy_for(behind.address, behind.port,
                       control__socket=control_path()).wait_ready()
    for number in range(3):
        with tarryd.connect() as client:
            client.reply()
            client.ask("EHLO client.example")
            if opaque and number == 0:
                assert client.ask("STARTTLS").startswith("220")
            else:
                client.ask("QUIT")
    wait_until(lambda: tarryd.ask("status")[0]["ended"]["all"] == 3, "ends")
    said = "learning is blind for 33 % of sessions"
    assert (said in tarryd.ctl("status").stdout) == bool(opaque)
    assert ("blind" in tarryd.ctl("status").stdout) == bool(opaque)


def test_status_says_why_the_mta_is_not_ready(
        start_tarryd, closed_port, control_path):
    tarryd = start_tarryd(closed_port, control__socket=control_path())
    tarryd.wait_log("failed the test session")
    status, = tarryd.ask("status")
    assert status["mta"]["ready"] is False
    assert "connection refused" in status["mta"]["why"]
    assert "NOT READY\n          cannot connect: connection refused" in \
        tarryd.ctl("status").stdout


def test_reload_answers_with_the_mistakes(served, tmp_path):
    tarryd = served(words=STAY_ROOT)
    path = next(tmp_path.glob("tarry*.ini"))
    good = path.read_text()
    path.write_text(good.replace("patience = 9s", "patience = never").replace(
        "[tarry]", "[tarry]\nmoed = x"))
    done = tarryd.ctl("reload")
    assert done.returncode == 1
    assert re.search(r"^mistake: \S+:\d+: mta.patience: ", done.stdout, re.M)
    assert re.search(r"^mistake: \S+:\d+: tarry.moed: ", done.stdout, re.M)
    assert done.stderr == "tarryctl: 2 mistakes; nothing has changed\n"
    assert "THE LAST RELOAD WAS REFUSED" in tarryd.ctl("status").stdout
    *notes, end = tarryd.ask("reload")
    assert [note["kind"] for note in notes] == ["mistake", "mistake"]
    assert end == {"ok": False, "error": "2 mistakes; nothing has changed"}
    path.write_text(good.replace("mode = enforce", "mode = shadow", 1))
    done = tarryd.ctl("reload")
    assert (done.returncode, done.stdout) == \
        (0, "the configuration was read again and is in force\n")
    assert "mode      shadow" in tarryd.ctl("status").stdout
    tarryd.wait_log(r"reload asked for by user id 0, process \d+"
                    if os.geteuid() == 0 else "reload asked for by user id")


def test_drain_ends_it_and_removes_the_socket(served):
    tarryd = served()
    with tarryd.connect() as client:
        assert client.line().startswith(b"220-")
        done = tarryd.ctl("drain")
        assert done.returncode == 0 and "no new clients" in done.stdout
        assert client.line().startswith(b"220 ")
        assert tarryd.ask("status")[0]["state"] == "draining"
        again = tarryd.ctl("drain")
        assert again.returncode == 1 and "already" in again.stderr
        assert tarryd.ctl("reload").returncode == 1
        assert client.ask("QUIT").startswith("221")
    assert tarryd.wait() == 0
    assert not os.path.exists(tarryd.control)


def test_mode_and_what_is_there_already(served, start_tarryd, closed_port,
                                        tmp_path):
    tarryd = served()
    mode = os.stat(tarryd.control).st_mode
    assert stat.S_ISSOCK(mode) and stat.S_IMODE(mode) == 0o660
    # A second one does not take the first one's socket, and runs all the same.
    second = start_tarryd(closed_port, control__socket=tarryd.control)
    second.wait_log("no control socket.*another tarryd serves there")
    second.wait_started()
    assert second.stop() == 0
    assert tarryd.ctl("status").returncode == 0
    # One that was killed leaves its socket; the next replaces it.
    tarryd.process.kill()
    tarryd.wait()
    assert os.path.exists(tarryd.control)
    assert tarryd.ctl("status").returncode == 75
    third = start_tarryd(closed_port, control__socket=tarryd.control)
    third.wait_log(f"control socket {tarryd.control}")
    assert third.ctl("status").returncode == 0
    # A file that is no socket is left alone.
    file = tarryd.control + "-file"
    open(file, "w").close()
    fourth = start_tarryd(closed_port, control__socket=file)
    fourth.wait_log("no control socket.*something else is there")
    assert fourth.stop() == 0 and os.path.exists(file)


def test_a_directory_that_is_missing_stops_nothing(start_tarryd, start_sink):
    tarryd = start_tarryd(start_sink().port,
                          control__socket="/nonexistent/a/control").wait_ready()
    assert re.search(r"level=warning .*no control socket.*/nonexistent",
                     tarryd.log)
    with tarryd.connect() as client:
        assert send_mail(client)[-1].startswith("221")


@pytest.mark.skipif(os.geteuid() != 0, reason="makes it as root alone")
def test_its_directory_is_made_by_root(start_tarryd, start_sink,
                                       control_path):
    path = control_path() + "-made/control"
    tarryd = start_tarryd(start_sink().port, words=("-u", "nobody"),
                          control__socket=path).wait_ready()
    assert "no control socket" not in tarryd.log
    where = os.stat(os.path.dirname(path))
    assert where.st_uid == pwd.getpwnam("nobody").pw_uid
    assert stat.S_IMODE(where.st_mode) == 0o755
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o660
    assert tarryd.ctl("status").returncode == 0


def test_bad_lines_get_an_error(served):
    tarryd = served()
    with talk(tarryd.control) as sock:
        sock.sendall(b"nonsense \x01\xff\nstatus\n\n")
        first, status, ok, empty = lines_of(sock, 4)
        assert first == {"ok": False, "error":
                         'this tarryd knows no verb "nonsense"'}
        assert status["state"] == "running" and ok == {"ok": True}
        assert empty["ok"] is False
    for verb in (b"drain", b"reload", b"status"):
        with talk(tarryd.control) as sock:
            sock.sendall(verb + b" x\nsessions\n")
            first = lines_of(sock, 1)[0]
            assert first["ok"] is False and "stands alone" in first["error"]
    assert "drain asked for" not in tarryd.log
    with talk(tarryd.control) as sock:
        sock.sendall(b"\xff\xfe\n")
        assert lines_of(sock, 1)[0]["ok"] is False
    with talk(tarryd.control) as sock:
        sock.sendall(b"x" * 8192)
        assert lines_of(sock, 2) == [
            {"ok": False, "error": "that line is too long"}]
    with talk(tarryd.control) as sock:
        sock.sendall(b"status\n")
        sock.shutdown(socket.SHUT_WR)
        assert len(lines_of(sock, 3)) == 2


def test_who_reads_nothing_stalls_nobody(served):
    """Questions without end, no answer read: others are served, mail flows,
    and what is kept for the client has a limit."""
    tarryd = served()
    before = tarryd.metric("process_resident_memory_bytes")
    with talk(tarryd.control) as deaf:
        deaf.settimeout(0.2)
        sent = 0  # no more than what the kernel keeps, and a line or two
        with pytest.raises(TimeoutError):
            while sent < 2 << 20:
                sent += deaf.send(b"status\n" * 1000)
        assert tarryd.ctl("status").returncode == 0
        with tarryd.connect() as client:
            assert send_mail(client)[-1].startswith("221")
    grown = tarryd.metric("process_resident_memory_bytes") - before
    assert grown < 8 << 20


def test_more_clients_than_seats_wait(served):
    tarryd = served()
    socks = [talk(tarryd.control) for _ in range(17)]
    for sock in socks[:16]:
        sock.sendall(b"status\n")
        assert len(lines_of(sock, 2)) == 2
    last = socks.pop()
    last.sendall(b"status\n")
    last.settimeout(0.2)
    with pytest.raises(TimeoutError):
        last.recv(1)
    socks.pop().close()
    last.settimeout(DEADLINE)
    assert lines_of(last, 2)[1] == {"ok": True}
    for sock in [*socks, last]:
        sock.close()
    assert tarryd.stop() == 0


def run(*words):
    return subprocess.run([BUILD / "tarryctl", *words], text=True,
                          timeout=DEADLINE, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE)


def test_help_and_version():
    usage = run("--help")
    assert usage.returncode == 0
    for word in ("usage: tarryctl", "status", "--json", "Exit: 0 fine"):
        assert word in usage.stdout
    one = run("reload", "--help")
    assert one.returncode == 0 and "mistakes" in one.stdout
    assert re.match(r"tarryctl \d+\.\d+\.\d+\njansson 2", run("-V").stdout)


@pytest.mark.parametrize("words, why", [
    ((), "a verb is missing"), (("statsu",), 'no verb "statsu"'),
    (("status", "x"), "one argument too many"), (("-x", "status"), "-x"),
    (("-s",), "-s needs a value")])
def test_wrong_command_line_is_status_2(words, why):
    done = run(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert why in done.stderr and "tarryctl --help" in done.stderr


def test_no_tarryd_is_status_75(tmp_path):
    done = run("-s", str(tmp_path / "none"), "status")
    assert done.returncode == 75
    assert "is tarryd running?" in done.stderr
    done = run("-s", "x" * 200, "status")
    assert done.returncode == 75 and "too long" in done.stderr


def test_the_socket_needs_a_restart(served, tmp_path):
    tarryd = served(words=STAY_ROOT)
    path = next(tmp_path.glob("tarry*.ini"))
    path.write_text(shipped_config(
        http__address="127.0.0.1:0", syn__sidecar="", syn__labels=""))
    done = tarryd.ctl("reload")
    assert done.returncode == 0
    assert re.search(r"warning: .*control\.socket.*needs a restart",
                     done.stdout)
