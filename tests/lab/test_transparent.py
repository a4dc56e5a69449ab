"""Nobody knows that Tarry is there: neither the clients nor the mail server.

    TARRY_SESSIONS  how many sessions are counted in and out, each way; 300
"""
import collections
import os
import re
import signal
import socket
import subprocess
import time

import pytest

from gateway import CLIENT, MX, ROUTER, Recipe, street  # noqa: F401
from lab import BUILD, wait_until

SESSIONS = int(os.environ.get("TARRY_SESSIONS", "300"))
IP_TRANSPARENT = 19
TURNED = 0x8000
PASS = "[http]\naddress = 127.0.0.1:9925\n[rule everyone]\nclass = pass\n"
IMPATIENT = "[budget]\nreply = 1s\n" + PASS
VERSIONS = pytest.mark.parametrize("version", [4, 6])


@pytest.fixture(scope="module")
def sidecars(street):
    return {space.name: street.start_sidecar(space)
            for space in (street.router, street.mx)}


class Place:
    """Where Tarry stands, and what is expected of it there."""

    def __init__(self, street, sidecars, recipe, space):
        self.street, self.space = street, space
        self.name, self.recipe = recipe, Recipe(recipe)
        self.sidecar = sidecars[space.name]
        self.is_here = space is street.mx

    def start(self, more=PASS, sidecar=True, workers=1):
        return self.street.start_tarryd(
            self.space, self.recipe.ini, self.sidecar if sidecar else "",
            more, workers)

    def port_at_mx(self, port):
        """The port that the mail server sees of a client's."""
        return port ^ TURNED if self.is_here else port


@pytest.fixture(scope="module", params=["gateway.nft", "local.nft"])
def place(request, street, sidecars):
    made = Place(street, sidecars, request.param,
                 street.router if request.param == "gateway.nft"
                 else street.mx)
    made.recipe.type(made.space, made.recipe.up)
    yield made
    street.stop_tarryd()
    made.recipe.type(made.space, made.recipe.down)
    left = made.space.ip("rule", "show") + made.space.exec(
        "nft", "list", "ruleset")
    assert "fwmark" not in left and "tarry" not in left


@VERSIONS
def test_the_mail_server_sees_the_client(place, street, version):
    place.start()
    before = street.postfix.mail_count()
    port = street.send_mail(version)
    line = street.wait_session(port)
    seen = (CLIENT[version], place.port_at_mx(port))
    wait_until(lambda: seen in street.postfix.peers(),
               f"{seen} in the log:\n{street.postfix.log[-2000:]}")
    assert line["client"] == CLIENT[version]
    assert line["mta_port"] == str(seen[1])
    assert line["messages"] == "1" and line["reason"] == "quit", line
    street.postfix.wait_mail(before + 1)
    street.wait_metric('tarry_messages_total{outcome="accepted"}', 1)
    assert street.metric("tarry_mta_port_clashes_total") == 0
    assert street.metric('tarry_own_words_total{what="proxy_header"}') == 0


@VERSIONS
def test_both_witnesses_saw_the_clients_own_syn(place, street, version):
    found = {}

    def ask():
        # A machine that is busy may have the SYN in the table too late.
        line = street.wait_session(street.send_mail(version))
        found[line["syn_source"]] = line["syn"].replace("id+", "").replace(
            "df,:", "df:")
        return place.wanted in found
    for is_asked, place.wanted in ((True, "sidecar"), (False, "kernel")):
        place.start(sidecar=is_asked)
        wait_until(ask, f"a session with the SYN of the {place.wanted}")
        street.wait_metric("tarry_connections_open", 0)
        # On the MTA's own host the capture has our dials too, and a client
        # may use the port of an earlier one.
        assert place.is_here or \
            street.metric("tarry_signature_conflicts_total") == 0
    assert found["sidecar"] == found["kernel"]
    assert found["kernel"].startswith(f"{version}:64:0:1440" if version == 6
                                      else "4:64:0:1460"), found


@VERSIONS
def test_with_syn_cookies_the_sidecar_alone_saw_it(place, street, version):
    """The socket says where the client was going; the table, the same."""
    def ask():
        line = street.wait_session(street.send_mail(version))
        lines.append(line)
        return line["syn_source"] == "sidecar"
    lines = []
    place.space.sysctl(tcp_syncookies=2)
    try:
        place.start()
        wait_until(ask, "a session with the SYN of the sidecar")
    finally:
        place.space.sysctl(tcp_syncookies=1)
    assert "kernel" not in {line["syn_source"] for line in lines}
    for line in lines:
        seen = (CLIENT[version], place.port_at_mx(int(line["port"])))
        assert line["mta_port"] == str(seen[1])
        wait_until(lambda: seen in street.postfix.peers(), f"{seen}")


@VERSIONS
def test_none_is_lost(place, street, version):
    """Counted at the client, in Tarry, in the mail server and its boxes."""
    place.start(workers=2)
    mails, peers = street.postfix.mail_count(), len(street.postfix.peers())
    start = time.monotonic()
    ports = street.send_many(SESSIONS, version)
    seconds = time.monotonic() - start
    street.postfix.wait_mail(mails + SESSIONS)
    family = f'tarry_connections_accepted_total{{ip_family="ipv{version}"}}'
    street.wait_metric('tarry_messages_total{outcome="accepted"}', SESSIONS)
    street.wait_metric("tarry_connections_open", 0)
    clashes = street.metric("tarry_mta_port_clashes_total")
    seen = collections.Counter(street.postfix.peers()[peers:])
    want = collections.Counter((CLIENT[version], place.port_at_mx(port))
                               for port in ports)
    print(f"\n{place.name}, IPv{version}: {len(ports)} sessions in {seconds:.1f} s, "
          f"{sum(seen.values())} seen by the mail server, "
          f"{sum((want & seen).values())} with the port that was wanted, "
          f"{clashes:.0f} clashes")
    assert len(ports) == street.metric(family) == SESSIONS
    assert street.metric("tarry_mta_connections_total") == SESSIONS
    assert street.postfix.mail_count() == mails + SESSIONS
    assert {address for address, _ in seen} == {CLIENT[version]}
    assert sum(seen.values()) == SESSIONS
    assert sum((want - seen).values()) == clashes


def test_a_port_that_is_taken_gives_way(place, street):
    """By a listener of this host: it is known at bind."""
    place.start()
    port = place.port_at_mx(2500)
    assert street.send_mail(4, port) == port
    line = street.wait_session(port)
    street.wait_metric("tarry_mta_port_clashes_total", 1)
    assert line["messages"] == "1"
    assert line["mta_port"] not in ("2500", str(port))
    wait_until(lambda: (CLIENT[4], int(line["mta_port"])) in
               street.postfix.peers(), "the other port in the log")


@VERSIONS
def test_an_end_that_is_taken_gives_way(place, street, version):
    """By a connection of the same ends: it is known at connect."""
    place.start()
    level, option = (socket.SOL_IP, IP_TRANSPARENT) if version == 4 else \
        (socket.IPPROTO_IPV6, 75)
    with street.connect(version) as probe:
        port = probe.getsockname()[1]
    with place.space.entered():
        held = socket.socket(socket.AF_INET if version == 4
                             else socket.AF_INET6)
    with held:
        held.setsockopt(level, option, 1)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        own = place.port_at_mx(port + 1)
        held.bind((CLIENT[version], own))
        held.connect((MX[version], 25))
        assert street.send_mail(version, port + 1) == port + 1
        line = street.wait_session(port + 1)
        street.wait_metric("tarry_mta_port_clashes_total", 1)
        assert line["messages"] == "1" and line["mta_port"] != str(own)


def test_two_mail_servers_may_see_the_same_port(place, street):
    """A client may use it for both at a time; each is where it was going."""
    if place.is_here:
        pytest.skip("one host has one mail server")
    other = "192.0.2.26"
    street.mx.ip("addr", "add", f"{other}/24", "dev", "eth0")
    place.space.exec("nft", "add", "element", "inet", "tarry", "mta4",
                     f"{{ {other} }}")
    place.start()
    with street.connect(4) as one:
        port = one.getsockname()[1]
        assert one.recv(100).startswith(b"220 ")
        with street.connect(4, port, to=(other, 25)) as two:
            assert two.recv(100).startswith(b"220 ")
    wait_until(lambda: len(street.sessions()) == 2, "both lines")
    assert [line["mta_port"] for line in street.sessions()] == [str(port)] * 2
    street.wait_metric("tarry_connections_open", 0)
    assert street.metric("tarry_mta_port_clashes_total") == 0


def test_without_tarryd_the_mail_flows(place, street):
    street.stop_tarryd()
    port = street.send_mail(4)
    wait_until(lambda: (CLIENT[4], port) in street.postfix.peers(),
               "the client's own port in the log")


def test_a_mail_server_that_is_down_refuses(place, street):
    """And is known to be, at once: its answer comes back here as well."""
    place.start(more=IMPATIENT)
    street.postfix.stop()
    try:
        start = time.monotonic()
        with street.connect(4) as sock:
            assert sock.recv(100).startswith(b"421 ")
        assert time.monotonic() - start < 5
        errors = "tarry_mta_connect_errors_total{reason=\"%s\"}"
        wait_until(lambda: street.metric(errors % "refused") > 0,
                   "a dial that was refused")
        assert street.metric(errors % "timeout") == 0
    finally:
        street.postfix.start()
    street.send_mail(4)


def test_whoever_comes_to_tarry_itself_goes_nowhere(place, street):
    """It would be dialled again and again, by itself."""
    place.start(more=IMPATIENT)
    own = (MX if place.is_here else ROUTER)[4]
    with street.connect(4, to=(own, 2500)) as sock:
        assert sock.recv(100).startswith(b"421 ")
    assert "came to its own port" in street.tarryd.log
    assert street.metric("tarry_mta_connections_total") == 0
    street.send_mail(4)
    assert "200 OK" in street.http("/readyz")


def capabilities(pid):
    with open(f"/proc/{pid}/status") as status:
        return {int(value, 16) for value in re.findall(
            r"(?m)^Cap(?:Prm|Eff):\s*([0-9a-f]+)", status.read())}


def tarryd_pid(program):
    """`ip netns exec` becomes the program; the same process."""
    return program.process.pid


def test_no_right_is_kept_but_two(place, street):
    """To bind ports below 1024 (bit 10), and to be transparent (13)."""
    place.start()
    assert capabilities(tarryd_pid(street.tarryd)) == {1 << 10 | 1 << 13}


def test_one_right_is_kept_where_one_is_enough(street):
    street.start_tarryd(street.mx, """[listen smtp]
address = 0.0.0.0:2525
[mta]
address = 127.0.0.1:25
client_address = none
open_relay_checked = yes
""", more=PASS)
    assert capabilities(tarryd_pid(street.tarryd)) == {1 << 10}
    was = street.path.read_text()
    street.path.write_text(was.replace("= none", "= transparent"))
    street.path.chmod(0o644)
    street.tarryd.kill(signal.SIGHUP)
    street.tarryd.wait_log("given up at the start: restart")
    street.tarryd.wait_log("reload: 1 mistake; nothing has changed")
    street.stop_tarryd()


def test_without_the_right_it_says_so(tmp_path):
    path = tmp_path / "tarry.ini"
    path.write_text("[listen smtp]\naddress = 127.0.0.1:0\n"
                    "transparent = yes\n[http]\naddress =\n")
    tmp_path.chmod(0o755)
    done = subprocess.run(
        ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
         "--inh-caps=-all", BUILD / "tarryd", "-c", "/dev/stdin"],
        stdin=open(path), text=True, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, timeout=20)
    assert done.returncode == 75, done.stdout
    assert "need CAP_NET_RAW: start as root" in done.stdout
