"""tarryd's command line, configuration mistakes, signals and rights."""
import json
import os
import re
import signal
import subprocess

import pytest

from conftest import BUILD, DEADLINE, WRAP, send_mail, wait_until

KEPT = 1 << 10  # CAP_NET_BIND_SERVICE


def run(*words):
    return subprocess.run(
        [*WRAP, BUILD / "tarryd", *words], text=True, timeout=DEADLINE,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_version_and_help():
    version = run("-V")
    assert version.returncode == 0
    assert re.match(r"tarryd \d+\.\d+\.\d+\nlibuv \d", version.stdout)
    usage = run("--help")
    assert usage.returncode == 0 and "usage: tarryd" in usage.stdout


@pytest.mark.parametrize("words, status, text", [
    (["--help"], 0, "usage: tarry-sink"), (["-l", "here:25"], 2, "here:25 is"),
    (["--proxy", "v3"], 2, "v3 is no"), (["-x"], 2, "usage: tarry-sink")])
def test_the_sinks_command_line(words, status, text):
    done = subprocess.run([*WRAP, BUILD / "tarry-sink", *words], text=True,
                          timeout=DEADLINE, capture_output=True)
    assert done.returncode == status
    assert text in (done.stderr if status else done.stdout)


@pytest.mark.parametrize("words", [
    ("-x",), ("-c",), ("-l", "127.0.0.1:0"), ("surplus",)])
def test_wrong_command_line_is_status_2(words):
    done = run(*words)
    assert done.returncode == 2
    assert "tarryd --help" in done.stderr and done.stdout == ""


def test_check_of_the_compiled_in_file():
    done = run("-t")
    assert (done.returncode, done.stdout) == (0, "the configuration is fine\n")


def test_print_can_be_read_again(tmp_path):
    first = run("-T", "-l", "127.0.0.1:26", "127.0.0.1:27")
    assert first.returncode == 0 and "command line" in first.stdout
    path = tmp_path / "printed.ini"
    path.write_text(first.stdout)
    assert run("-t", "-c", path).returncode == 0
    second = run("-T", "-c", path)

    def values(text):
        return [line.split(";")[0].strip() for line in text.splitlines()
                if line.split(";")[0].strip()]
    assert values(second.stdout) == values(first.stdout)


def test_every_mistake_in_one_run(tmp_path):
    path = tmp_path / "bad.ini"
    path.write_text("[tarry]\nworkers = none\nmoed = enforce\n"
                    "[mta]\naddress = nowhere\n"
                    "[listen smtp]\naddress = 127.0.0.1:0\n")
    done = run("-t", "-c", path)
    assert done.returncode == 1
    for line in ("2", "3", "5"):
        assert f"{path}:{line}: " in done.stderr
    assert "3 mistakes" in done.stderr


def test_what_is_not_built_is_refused_by_name(tmp_path):
    path = tmp_path / "two.ini"
    path.write_text("[mta]\nlistener = smtp\n")
    done = run("-t", "-c", path)
    assert done.returncode == 1
    assert f"{path}:2: mta.listener: " in done.stderr and \
        "not built" in done.stderr


def test_a_label_that_nothing_has_is_warned_of(tmp_path):
    """The rule would wait in vain and, negated, hold for everybody."""
    labels = tmp_path / "labels.ini"
    labels.write_text("[label Linux 4.20 or newer]\n"
                      "family = 64:mss,sok,ts,nop,ws:\n")
    path = tmp_path / "tarry.ini"
    path.write_text(f"[syn]\nlabels = {labels}\n[listen smtp]\n"
                    "address = 127.0.0.1:0\n[class slow]\ngreet = 1s\n"
                    "[rule a]\nlabel = linux 4.20 OR newer, Linux 4.2\n"
                    "class = slow\n[rule b]\nnot.label = Windows\nadd = 1\n"
                    "[rule c]\nlabel = unknown\nclass = slow\n")
    done = run("-t", "-c", path)
    assert done.returncode == 0
    assert re.findall(r":(\d+): warning: rule (\S+): no signature is called "
                      r'"(.*?)"', done.stderr) == \
        [("8", "a.label", "Linux 4.2"), ("11", "b.not.label", "Windows")]


def test_file_that_is_not_there():
    done = run("-c", "/nonexistent.ini")
    assert done.returncode == 1 and "/nonexistent.ini" in done.stderr


def test_port_in_use_is_status_75(start_tarryd, closed_port):
    first = start_tarryd(closed_port).wait_started()
    second = start_tarryd(
        closed_port, http__address=f"127.0.0.1:{first.http_port}")
    assert second.wait() == 75
    assert re.search(r"http.address 127.0.0.1:\d+: address already in use",
                     second.log)


@pytest.mark.parametrize("workers", (1, 3))
def test_two_of_one_port_do_not_share_it(start_tarryd, closed_port, workers):
    """Workers of one process do, so the kernel alone would not mind."""
    first = start_tarryd(closed_port, tarry__workers=workers).wait_started()
    second = start_tarryd(closed_port, listen=f"127.0.0.1:{first.port}",
                          tarry__workers=workers)
    assert second.wait() == 75
    assert re.search(r"cannot listen on 127.0.0.1:\d+: address already in use",
                     second.log)
    with first.connect() as client:
        assert client.line().startswith(b"220-")


def test_term_drains_and_exits_0(start_tarryd, start_sink):
    """A session in flight ends by itself; its delay ends at once."""
    tarryd = start_tarryd(start_sink().port).wait_ready()
    with tarryd.connect() as client:
        assert client.line().startswith(b"220-")  # the rest comes after 3 s
        tarryd.send_signal(signal.SIGTERM)
        tarryd.wait_log("SIGTERM: no new clients")
        assert client.line().startswith(b"220 ")
        assert tarryd.process.poll() is None
        assert tarryd.get("/readyz")[:2] == (503, "shutting down\n")
        assert client.ask("QUIT").startswith("221")
    assert tarryd.wait() == 0
    assert "reason=quit" in tarryd.log


def test_drain_is_cut_after_its_time(start_tarryd, start_sink):
    tarryd = start_tarryd(
        start_sink().port, tarry__drain_timeout="100ms").wait_ready()
    with tarryd.connect() as client:
        client.line()
        tarryd.send_signal(signal.SIGTERM)
        assert tarryd.wait() == 0
        assert "drain_timeout is over" in tarryd.log
        assert "reason=drained" in tarryd.log


def test_second_signal_exits_now(start_tarryd, start_sink):
    tarryd = start_tarryd(start_sink().port).wait_ready()
    with tarryd.connect() as client:
        client.line()
        tarryd.send_signal(signal.SIGINT)
        tarryd.wait_log("SIGINT: no new clients")
        tarryd.send_signal(signal.SIGINT)
        assert tarryd.wait() == 0
        assert "second signal" in tarryd.log


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to drop from")
@pytest.mark.skipif(bool(WRAP), reason="the process is the wrapper's")
def test_rights_are_dropped_in_every_thread(start_tarryd, start_sink):
    tarryd = start_tarryd(
        start_sink().port, words=("-u", "nobody")).wait_ready()
    tasks = os.listdir(f"/proc/{tarryd.process.pid}/task")
    assert len(tasks) >= 2
    for task in tasks:
        with open(f"/proc/{tarryd.process.pid}/task/{task}/status") as file:
            status = dict(line.split(":\t", 1) for line in file
                          if ":\t" in line)
        assert "0" not in status["Uid"].split()
        assert "0" not in status["Gid"].split()
        assert status["Groups"].strip() == ""
        for name in ("CapPrm", "CapEff"):
            assert int(status[name], 16) & ~KEPT == 0
        assert int(status["CapInh"], 16) == 0
        assert int(status["CapAmb"], 16) == 0
        assert status["NoNewPrivs"].strip() == "1"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to drop from")
def test_unknown_user_stops_the_start(start_tarryd, closed_port):
    tarryd = start_tarryd(closed_port, words=("-u", "no-such-user"))
    assert tarryd.wait() == 75
    assert r"there is no user \"no-such-user\"" in tarryd.log


def test_totals_are_said_at_the_start(start_tarryd, closed_port):
    tarryd = start_tarryd(closed_port, tarry__max_sessions="500")
    tarryd.wait_started()
    assert "at most 500 sessions, 80 connections to the MTA" in tarryd.log
    assert tarryd.metric("tarry_connections_limit") == 500


def test_log_is_json_if_wanted(start_tarryd, start_sink):
    tarryd = start_tarryd(start_sink().port, log__format="json",
                          log__addresses="network").wait_ready()
    with tarryd.connect() as client:
        send_mail(client)
    tarryd.wait_log('"event":"session"')
    assert tarryd.stop() == 0
    lines = [json.loads(line) for line in tarryd.log.splitlines()]
    session = [line for line in lines if line.get("event") == "session"][0]
    assert session["client"] == "127.0.0.0/24" and "port" not in session
    assert session["why"].startswith(
        "rule everyone gave class new: greeting after 3.")
    assert session["reason"] == "quit" and session["messages"] == 1


def test_log_that_nobody_reads_stops_no_mail(tmp_path, running, start_sink):
    """Standard error is a full pipe: mail flows, lines are counted."""
    from conftest import Tarryd, shipped_config
    sink = start_sink()
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    try:
        while True:
            os.write(write_end, b"x" * 65536)
    except BlockingIOError:
        os.set_blocking(write_end, True)
    # Ports can not be read from the log here: let the kernel choose them,
    # and find them by the process.
    path = tmp_path / "tarry.ini"
    path.write_text(shipped_config(
        http__address="", syn__sidecar="", syn__labels="",
        class_new__greet="0s", class_new__teaser="no"))
    tmp_path.chmod(0o755)
    process = subprocess.Popen(
        [BUILD / "tarryd", "-c", path, "-l", "127.0.0.1:0",
         f"127.0.0.1:{sink.port}"], stderr=write_end)
    os.close(write_end)
    try:
        port = wait_until(lambda: listening_port(process.pid), "a listener")
        from conftest import Client

        def mail():
            with Client(port) as client:
                return send_mail(client)[5].startswith("250")
        wait_until(mail, "mail through")
    finally:
        process.terminate()
        assert process.wait(DEADLINE) == 0
        os.close(read_end)


def listening_port(pid):
    """The TCP port that a process listens on, by its descriptors."""
    inodes = set()
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            target = os.readlink(f"/proc/{pid}/fd/{name}")
        except FileNotFoundError:
            continue
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    with open("/proc/net/tcp") as table:
        for line in list(table)[1:]:
            words = line.split()
            if words[3] == "0A" and words[9] in inodes:
                return int(words[1].split(":")[1], 16)
    return None
