"""TLS that ends in the proxy: what a handshake costs, and a held session.

HAProxy and Tarry have the same certificate on an implicit TLS port, and the
same clients: TLS 1.3, nothing is resumed, and the mail server is spoken to in the
clear. In between there is a greeting and a QUIT, so that the handshake is
most of it. HAProxy sends two session tickets for each handshake, as OpenSSL
does by itself.
"""
import statistics
import subprocess

from report import Row, number, spread, table
from rig import NS_PER_S, memory_bytes, settled_descriptors
from rivals import Haproxy, Tarry
from rows import (AT_ONCE, PLAIN, SOURCES, SOURCES_HELD, Open, measured_load,
                  take_rounds, wait_held)

PORT = 2526
HELD_MAX = 24 * 1024
PLAIN_MAX = 768
RELAYED_MAX = 1200
RELAYED_SEATS = 9400  # with their MTA's ends, what the descriptors allow
WARM_UP = 300

TARRY = """
[listen tls]
address = 127.0.0.1:{port}
tls = implicit

[tls]
mode = terminate
certificate = {pem}
max_sessions = 9000
"""
HAPROXY = """\
    bind 127.0.0.1:{port} ssl crt {pem} backlog 16384
    server sink 127.0.0.1:{{plain_port}}
"""


def make_certificate(where):
    """A P-256 key and its certificate in one file."""
    key, certificate = where / "key.pem", where / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
         "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj",
         "/CN=mail.example", "-keyout", key, "-out", certificate],
        check=True, capture_output=True)
    both = where / "tls.pem"
    both.write_text(key.read_text() + certificate.read_text())
    both.chmod(0o644)
    return both


def tarry(where, build, pem, **more):
    return Tarry(where, build, sidecar=False,
                 classes=TARRY.format(port=PORT, pem=pem),
                 **{"sessions": 12000, **more})


def shake(contender, size):
    return measured_load(contender, size.handshakes, AT_ONCE, port=PORT,
                         T=True, q=True)


def shakes(where, build, size, pem, tell):
    contenders = [tarry(where, build, pem),
                  Haproxy(PLAIN, where, build / "tests/bench",
                          HAPROXY.format(port=PORT, pem=pem))]
    with Open(contenders):
        for contender in contenders:
            contender.rig.load(WARM_UP, AT_ONCE, port=PORT, T=True, q=True)
        return take_rounds(contenders, size.rounds, tell,
                           lambda one: shake(one, size))


def hold(contender, groups, count, step, **more):
    """Bytes a session of `count` more, held in their greeting or, with an
    end towards the MTA each, behind the answer to EHLO."""
    sources = SOURCES_HELD if step == "greeting" else SOURCES
    before = memory_bytes(contender.pid)
    base = settled_descriptors(contender.pid)
    groups.append(contender.rig.hold(count, step, s=sources, **more))
    groups[-1].wait(count)
    wait_held(contender, base, count)
    return (memory_bytes(contender.pid) - before) / count


def tls_and_plain(one, step, tls_count, plain_count):
    """(bytes a TLS session, bytes a plain one beside those)"""
    groups = []
    with one:
        try:
            one.rig.load(WARM_UP, AT_ONCE, port=PORT, T=True, q=True,
                         s=SOURCES)
            hold(one, groups, WARM_UP, step)
            hold(one, groups, WARM_UP, step, port=PORT, T=True)
            tls = hold(one, groups, tls_count, step, port=PORT, T=True)
            return tls, hold(one, groups, plain_count, step)
        finally:
            for group in groups:
                group.kill()


def held(where, build, size, pem):
    return tls_and_plain(tarry(where, build, pem), "greeting", size.held_tls,
                         size.held_tls)


def relayed(where, build, size, pem):
    return tls_and_plain(
        tarry(where, build, pem, sessions=RELAYED_SEATS, slots=RELAYED_SEATS),
        "ehlo", size.held_tls, size.relayed_plain)


def take(where, build, size, tell):
    """([{name: sums}] of rounds, [(what, bound, how many, bytes each)])"""
    pem = make_certificate(where)
    tell("holding")
    tls, plain = held(where, build, size, pem)
    tell("relaying")
    idle_tls, idle_plain = relayed(where, build, size, pem)
    memory = [
        ("a TLS session held in its greeting", HELD_MAX, size.held_tls, tls),
        ("a plain session held beside them", PLAIN_MAX, size.held_tls, plain),
        ("a relayed idle TLS session", HELD_MAX, size.held_tls, idle_tls),
        ("a plain relayed idle session beside them", RELAYED_MAX,
         size.relayed_plain, idle_plain)]
    return shakes(where, build, size, pem, tell), memory


def cpu_ms(sums):
    return sums["cpu_ns"] / sums["sessions"] * 1000 / NS_PER_S


def rows(found):
    rounds, memory = found
    return [
        Row("CPU a TLS handshake, greeting and QUIT, x HAProxy with the same "
            "certificate", "",
            [cpu_ms(one["Tarry"]) / cpu_ms(one[PLAIN]) for one in rounds],
            1.1),
        *(Row(f"user memory {what}, of {count:,}", "B", [each], bound,
              steady=True) for what, bound, count, each in memory),
    ]


def page(found):
    body = [(name, spread([cpu_ms(one[name]) for one in found[0]]),
             number(statistics.median(
                 [one[name]["sessions"] / one[name]["ns"] * NS_PER_S
                  for one in found[0]])),
             number(statistics.median(
                 [one[name]["cpu_ns"] / one[name]["ns"] * 100
                  for one in found[0]])) + " %")
            for name in found[0][0]]
    return "\n".join([
        "## TLS that ends here", "",
        "Implicit TLS: connect, TLS 1.3 handshake without resumption, 220, "
        f"QUIT, 221, close; {AT_ONCE} sessions at a time, one P-256 "
        "certificate for all.", "",
        table(("contender", "CPU ms a session", "sessions/s",
               "its core in use"), body), ""])
