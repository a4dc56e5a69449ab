"""The HTTP server: what it serves, to whom, and whom it can not hurt."""
import socket
import subprocess
import time

import pytest

from conftest import DEADLINE, send_mail, wait_until


@pytest.fixture
def tarryd(start_tarryd, start_sink):
    return start_tarryd(start_sink().port, class_new__greet="0s",
                        class_new__teaser="no").wait_ready()


def raw(port, data, shut=True):
    """Sends bytes as they are; returns all that comes back."""
    with socket.create_connection(("127.0.0.1", port), DEADLINE) as sock:
        sock.sendall(data)
        if shut:
            sock.shutdown(socket.SHUT_WR)
        got = b""
        while True:
            more = sock.recv(65536)
            if not more:
                return got
            got += more


def test_pages(tarryd):
    status, body, headers = tarryd.get("/")
    assert status == 200 and "text/html" in headers["Content-Type"]
    for path in ("/metrics", "/healthz", "/readyz"):
        assert f"href={path}" in body
        assert tarryd.get(path)[0] == 200
    assert tarryd.get("/nothing")[0] == 404
    assert tarryd.get("/healthz")[1] == "ok\n"
    assert tarryd.get("/readyz")[1] == "ready\n"


def test_metrics_are_text_0_0_4(tarryd):
    headers = tarryd.get("/metrics")[2]
    assert headers["Content-Type"] == \
        "text/plain; version=0.0.4; charset=utf-8"


def test_promtool_has_nothing_to_say(tarryd, promtool):
    with tarryd.connect() as client:
        send_mail(client)
    tarryd.wait_log("event=session")
    done = subprocess.run(
        [promtool, "check", "metrics"], input=tarryd.get("/metrics")[1],
        text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert (done.returncode, done.stdout) == (0, "")


def test_metrics_count_a_message(tarryd):
    with tarryd.connect() as client:
        send_mail(client)
    wait_until(
        lambda: tarryd.metric('tarry_messages_total{outcome="accepted"}') == 1,
        "the message to be counted")
    for name, want in {
        'tarry_connections_accepted_total{ip_family="ipv4"}': 1,
        'tarry_connections_closed_total{class="new",end="quit"}': 1,
        'tarry_recipients_total{outcome="accepted"}': 1,
        'tarry_rule_matches_total{rule="everyone",mode="enforce"}': 1,
        'tarry_connection_duration_seconds_count{class="new"}': 1,
        "tarry_mta_up": 1, "tarry_mta_connections_total": 1,
        "tarry_shadow_mode": 0, "tarry_sidecar_up": 0,
    }.items():
        assert tarryd.metric(name) == want, name
    assert tarryd.metric(
        'tarry_relayed_bytes_total{direction="to_mta"}') > 50


def test_open_and_held_are_gauges(start_tarryd, start_sink):
    tarryd = start_tarryd(start_sink().port).wait_ready()
    with tarryd.connect() as client:
        client.line()
        wait_until(lambda: tarryd.metric("tarry_connections_held") == 1,
                   "the session to be held")
        assert tarryd.metric("tarry_connections_open") == 1
        client.reply()
        wait_until(lambda: tarryd.metric("tarry_connections_held") == 0,
                   "the hold to end")
        assert tarryd.metric("tarry_connections_open") == 1
    wait_until(lambda: tarryd.metric("tarry_connections_open") == 0,
               "the session to end")


def test_not_ready_says_why(start_tarryd, closed_port):
    tarryd = start_tarryd(closed_port).wait_started()
    tarryd.wait_log("failed the test session")
    status, body, _ = tarryd.get("/readyz")
    assert status == 503
    assert "the MTA" in body and "connection refused" in body
    assert tarryd.get("/healthz")[0] == 200
    assert tarryd.metric("tarry_mta_up") == 0


def test_ready_once_the_mta_is_there(start_tarryd, start_sink, closed_port):
    """An MTA that answers the PROXY header as a command fails the test."""
    tarryd = start_tarryd(start_sink(proxy="none").port).wait_started()
    tarryd.wait_log("failed the test session")
    assert tarryd.get("/readyz")[0] == 503


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_only_get_and_head(tarryd, method):
    status, _, headers = tarryd.get("/metrics", method=method)
    assert (status, headers["Allow"]) == (405, "GET, HEAD")


def test_head_has_no_body(tarryd):
    assert tarryd.get("/healthz", method="HEAD")[:2] == (200, "")


@pytest.mark.parametrize("host, status", [
    ("127.0.0.1", 200), ("127.0.0.1:9925", 200), ("localhost", 200),
    ("localhost:9925", 200), ("[::1]:9925", 200), ("192.0.2.1", 200),
    ("evil.example", 403), ("evil.example:9925", 403),
    ("127.0.0.1.evil.example", 403), ("localhost.evil.example", 403),
    ("[::1].evil.example", 403), ("", 403),
])
def test_names_of_others_are_refused(tarryd, host, status):
    """DNS rebinding: a hostile page asks by a name that it controls."""
    answer = raw(tarryd.http_port,
                 f"GET /metrics HTTP/1.1\r\nHost: {host}\r\n"
                 "Connection: close\r\n\r\n".encode(), shut=False)
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())


GARBAGE = {
    "zeros": b"\x00" * 4096,
    "half a line": b"GET",
    "version": b"GET / HTTP/9.9\r\n\r\n",
    "long path": b"GET /" + b"a" * 40000 + b" HTTP/1.1\r\n\r\n",
    "many headers": b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 5000 + b"\r\n",
    "negative": b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
    "bracket": b"GET / HTTP/1.1\r\nHost: [\r\n\r\n",
    "short body":
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nabc",
}


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_hurts_nobody(tarryd, name):
    with socket.create_connection(
            ("127.0.0.1", tarryd.http_port), DEADLINE) as sock:
        try:
            sock.sendall(GARBAGE[name])
        except ConnectionError:
            pass  # it had seen enough
        assert tarryd.get("/healthz")[0] == 200
    assert tarryd.get("/healthz")[0] == 200


def test_silent_http_clients_stop_no_mail(tarryd):
    """All places taken by clients that say nothing: mail is as fast."""
    silent = []
    try:
        for _ in range(80):
            silent.append(socket.create_connection(
                ("127.0.0.1", tarryd.http_port), DEADLINE))
            silent[-1].sendall(b"GET /metr")
        begin = time.monotonic()
        with tarryd.connect() as client:
            assert send_mail(client)[-1].startswith("221")
        assert time.monotonic() - begin < 2
    finally:
        for sock in silent:
            sock.close()
    wait_until(lambda: tarryd.get("/healthz")[0] == 200, "places to be free")


def test_clients_that_read_nothing_stop_no_mail(tarryd):
    """Answers pile up in the kernel, and no further."""
    deaf = []
    try:
        for _ in range(20):
            sock = socket.socket()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            sock.connect(("127.0.0.1", tarryd.http_port))
            sock.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"
                         * 20)
            deaf.append(sock)
        with tarryd.connect() as client:
            assert send_mail(client)[-1].startswith("221")
        assert tarryd.get("/healthz")[0] == 200
    finally:
        for sock in deaf:
            sock.close()
