"""Tarry reads a SYN as what it is: many stacks, three ways to know.

Each stack holds one session. What tarryd's log line says of it is what the
set-up implies, written down here by hand, and what p0f says of the same SYN in
tcpdump's copy. Where p0f has a fault, its own text stands here too, with the
reason, so that a p0f without the fault is noticed.

`pytest -s` prints the table.
"""
import collections
import dataclasses
import functools
import json
import pathlib
import socket
import subprocess
import typing

import pytest

from crafted import (APPLE, CWR, ECE, EOL, EVIL, FREEBSD, LINUX, NOP,
                     OPENBSD, PSH, SOK, SYN, URG, WINDOWS, WINDOWS_1366, Peer,
                     Syn, mss, ts, ws)
from lab import (BUILD, PORT, Capture, lab, quit_politely, run,  # noqa: F401
                 with_initial_ttl)

# Long enough for all of them to be open at a time.
HELD = """
[class held]
greet = 1s
[rule everyone]
class = held
"""
TCP, IP, IP6 = (socket.IPPROTO_TCP, socket.IPPROTO_IP, socket.IPPROTO_IPV6)
TCP_MAXSEG = 2
IPV6_DSTOPTS = 59
IP_OPTIONS = 4

# p0f 3.09b. What it prints in place of our text, for these stacks alone:
NO_LINE = None
P0F_FAULTS = {
    ("ack-low-bit", 4): (
        "4:64:0:1460:mss*20,0:mss:df,id+:0",
        "ack+ looks at one bit of the acknowledgment number"),
    ("ack-low-bit", 6): (
        "6:64:0:1460:mss*20,0:mss::0",
        "ack+ looks at one bit of the acknowledgment number"),
    ("opt-last-byte", 4): (
        "4:64:0:1460:mss*20,0:mss,eol+3:df,id+:0",
        "opt+ does not look at the last byte"),
    ("opt-last-byte", 6): (
        "6:64:0:1460:mss*20,0:mss,eol+3::0",
        "opt+ does not look at the last byte"),
    ("reserved-bit", 4): (
        "4:64:0:1460:mss*20,0:mss:df,id+:0", "it has no quirk res"),
    ("reserved-bit", 6): (
        "6:64:0:1460:mss*20,0:mss::0", "it has no quirk res"),
    ("mss-twice", 4): (
        "4:64:0:1400:mss*20,0:mss,mss:df,id+:0",
        "the last MSS wins, and it has no quirk dup"),
    ("mss-twice", 6): (
        "6:64:0:1400:mss*20,0:mss,mss::0",
        "the last MSS wins, and it has no quirk dup"),
    ("linux-ip-option", 6): (
        NO_LINE, "IPv6 with an extension header is dropped"),
}

# With the kernel's copy alone these are unknown: over IPv6, where there is no
# IP ID, they look like what a SYNPROXY makes up (ack+ and no timestamps).
TAKEN_FOR_MADE_UP = {("ack-low-bit", 6), ("ack-high-bit", 6)}


@dataclasses.dataclass
class Kernel:
    """Linux with knobs turned: of its namespace, routes and sockets."""
    name: str
    v4: str
    v6: str
    sysctl: dict = dataclasses.field(default_factory=dict)
    route: tuple = ()
    socket4: tuple = ()
    socket6: tuple = ()
    mtu: int = 1500


@dataclasses.dataclass
class Made:
    """A crafted SYN. v6 None: the stack says nothing new over IPv6."""
    name: str
    syn: Syn
    v4: str
    v6: typing.Optional[str] = None


@dataclasses.dataclass
class Result:
    stack: str
    version: int
    client: tuple
    expected: str


@dataclasses.dataclass
class Seen:
    witness: str
    rows: list
    capture: pathlib.Path


NO_TS = {"tcp_timestamps": 0}
NO_TS_NO_SACK = {**NO_TS, "tcp_sack": 0}
HOPS_128 = {"ip_default_ttl": 128, "net.ipv6.conf.eth0.hop_limit": 128}
# A destination option of six bytes of padding (RFC 8200 4.2 and 4.6).
PADDING = b"\0\0\1\4\0\0\0\0"

KERNELS = [
    Kernel("linux",
           "4:64:0:1460:mss*44,7:mss,sok,ts,nop,ws:df,id+:0",
           "6:64:0:1440:mss*45,7:mss,sok,ts,nop,ws:flow:0"),
    Kernel("linux-ttl-128",
           "4:128:0:1460:mss*44,7:mss,sok,ts,nop,ws:df,id+:0",
           "6:128:0:1440:mss*45,7:mss,sok,ts,nop,ws:flow:0",
           sysctl=HOPS_128),
    Kernel("linux-no-timestamps",
           "4:64:0:1460:mss*44,7:mss,nop,nop,sok,nop,ws:df,id+:0",
           "6:64:0:1440:mss*45,7:mss,nop,nop,sok,nop,ws:flow:0",
           sysctl=NO_TS),
    Kernel("linux-no-sack",
           "4:64:0:1460:mss*44,7:mss,nop,nop,ts,nop,ws:df,id+:0",
           "6:64:0:1440:mss*45,7:mss,nop,nop,ts,nop,ws:flow:0",
           sysctl={"tcp_sack": 0}),
    Kernel("linux-scale-only",
           "4:64:0:1460:mss*44,7:mss,nop,ws:df,id+:0",
           "6:64:0:1440:mss*45,7:mss,nop,ws:flow:0",
           sysctl=NO_TS_NO_SACK),
    Kernel("linux-mss-only",
           "4:64:0:1460:mss*44,0:mss:df,id+:0",
           "6:64:0:1440:mss*45,0:mss:flow:0",
           sysctl={**NO_TS_NO_SACK, "tcp_window_scaling": 0}),
    Kernel("linux-no-scale",
           "4:64:0:1460:mss*44,0:mss,sok,ts:df,id+:0",
           "6:64:0:1440:mss*45,0:mss,sok,ts:flow:0",
           sysctl={"tcp_window_scaling": 0}),
    Kernel("linux-ecn",
           "4:64:0:1460:mss*44,7:mss,sok,ts,nop,ws:df,id+,ecn:0",
           "6:64:0:1440:mss*45,7:mss,sok,ts,nop,ws:ecn,flow:0",
           sysctl={"tcp_ecn": 1}),
    Kernel("linux-big-memory",
           "4:64:0:1460:mss*44,10:mss,sok,ts,nop,ws:df,id+:0",
           "6:64:0:1440:mss*45,10:mss,sok,ts,nop,ws:flow:0",
           sysctl={"tcp_rmem": "4096 131072 33554432"}),
    Kernel("linux-2.6-window",
           "4:64:0:1460:mss*4,7:mss,sok,ts,nop,ws:df,id+:0",
           "6:64:0:1440:mss*4,7:mss,sok,ts,nop,ws:flow:0",
           route=("initrwnd", "4")),
    Kernel("linux-tunnel",
           "4:64:0:1360:mss*48,7:mss,sok,ts,nop,ws:df,id+:0",
           "6:64:0:1360:mss*48,7:mss,sok,ts,nop,ws:flow:0",
           route=("advmss", "1360")),
    Kernel("linux-no-pmtu",
           "4:64:0:1460:mss*44,7:mss,sok,ts,nop,ws::0",
           "6:64:0:1440:mss*45,7:mss,sok,ts,nop,ws::0",
           sysctl={"ip_no_pmtu_disc": 1, "net.ipv6.auto_flowlabels": 0}),
    Kernel("linux-jumbo",
           "4:64:0:8960:mss*7,7:mss,sok,ts,nop,ws:df,id+:0",
           "6:64:0:8940:mss*7,7:mss,sok,ts,nop,ws:flow:0", mtu=9000),
    Kernel("linux-receive-buffer",
           "4:64:0:1460:65535,3:mss,sok,ts,nop,ws:df,id+:0",
           "6:64:0:1440:65535,3:mss,sok,ts,nop,ws:flow:0",
           sysctl={"net.core.rmem_max": 262144},
           socket4=((socket.SOL_SOCKET, socket.SO_RCVBUF, 262144),),
           socket6=((socket.SOL_SOCKET, socket.SO_RCVBUF, 262144),)),
    Kernel("linux-far-away",
           "4:255:0:1460:mss*44,7:mss,sok,ts,nop,ws:df,id+:0",
           "6:255:0:1440:mss*45,7:mss,sok,ts,nop,ws:flow:0",
           socket4=((IP, socket.IP_TTL, 245),),
           socket6=((IP6, socket.IPV6_UNICAST_HOPS, 245),)),
    Kernel("linux-small-segment",
           "4:64:0:536:mss*122,7:mss,sok,ts,nop,ws:df,id+:0",
           "6:64:0:536:mss*122,7:mss,sok,ts,nop,ws:flow:0",
           socket4=((TCP, TCP_MAXSEG, 536),),
           socket6=((TCP, TCP_MAXSEG, 536),)),
    # IPv4: a router alert (RFC 2113) and padding. IPv6: see p0f's faults.
    Kernel("linux-ip-option",
           "4:64:8:1460:mss*44,7:mss,sok,ts,nop,ws:df,id+:0",
           "6:64:8:1440:mss*45,7:mss,sok,ts,nop,ws:flow:0",
           socket4=((IP, IP_OPTIONS, b"\x94\4\0\0\1\1\1\1"),),
           socket6=((IP6, IPV6_DSTOPTS, PADDING),)),
]

MADE = [
    Made("windows-10", Syn(64240, WINDOWS, ttl=128),
         "4:128:0:1460:mss*44,8:mss,nop,ws,nop,nop,sok:df,id+:0",
         "6:128:0:1460:mss*44,8:mss,nop,ws,nop,nop,sok::0"),
    Made("windows-10-vpn", Syn(64202, WINDOWS_1366, ttl=116),
         "4:128:0:1366:mss*47,8:mss,nop,ws,nop,nop,sok:df,id+:0",
         "6:128:0:1366:mss*47,8:mss,nop,ws,nop,nop,sok::0"),
    Made("windows-11", Syn(65535, WINDOWS, ttl=120),
         "4:128:0:1460:65535,8:mss,nop,ws,nop,nop,sok:df,id+:0",
         "6:128:0:1460:65535,8:mss,nop,ws,nop,nop,sok::0"),
    Made("windows-7", Syn(8192, WINDOWS, ttl=128),
         "4:128:0:1460:8192,8:mss,nop,ws,nop,nop,sok:df,id+:0",
         "6:128:0:1460:8192,8:mss,nop,ws,nop,nop,sok::0"),
    Made("windows-xp", Syn(65535, mss(1460) + NOP + NOP + SOK, ttl=128),
         "4:128:0:1460:65535,0:mss,nop,nop,sok:df,id+:0"),
    Made("macos", Syn(65535, APPLE, ip_id=0, flow=0xabcde),
         "4:64:0:1460:65535,6:mss,nop,ws,nop,nop,ts,sok,eol+1:df:0",
         "6:64:0:1460:65535,6:mss,nop,ws,nop,nop,ts,sok,eol+1:flow:0"),
    Made("macos-ecn", Syn(65535, APPLE, ip_id=0, flags=SYN | ECE | CWR),
         "4:64:0:1460:65535,6:mss,nop,ws,nop,nop,ts,sok,eol+1:df,ecn:0",
         "6:64:0:1460:65535,6:mss,nop,ws,nop,nop,ts,sok,eol+1:ecn:0"),
    Made("android", Syn(65535, mss(1460) + SOK + ts(1) + NOP + ws(9)),
         "4:64:0:1460:65535,9:mss,sok,ts,nop,ws:df,id+:0",
         "6:64:0:1460:65535,9:mss,sok,ts,nop,ws::0"),
    Made("freebsd", Syn(65535, FREEBSD, ip_id=0),
         "4:64:0:1460:65535,6:mss,nop,ws,sok,ts:df:0",
         "6:64:0:1460:65535,6:mss,nop,ws,sok,ts::0"),
    Made("openbsd", Syn(16384, OPENBSD),
         "4:64:0:1460:16384,6:mss,nop,nop,sok,nop,ws,nop,nop,ts:df,id+:0",
         "6:64:0:1460:16384,6:mss,nop,nop,sok,nop,ws,nop,nop,ts::0"),
    Made("linux-3.11-far", Syn(29200, LINUX, ttl=40),
         "4:64:0:1460:mss*20,7:mss,sok,ts,nop,ws:df,id+:0",
         "6:64:0:1460:mss*20,7:mss,sok,ts,nop,ws::0"),
    Made("no-options", Syn(1024, ttl=255, fragment=0),
         "4:255:0:0:1024,0:::0",
         "6:255:0:0:1024,0:::0"),
    Made("window-24000", Syn(24000, mss(1460), ttl=128, fragment=0),
         "4:128:0:1460:mtu*16,0:mss::0"),
    Made("id-zero", Syn(65535, mss(1460), fragment=0, ip_id=0),
         "4:64:0:1460:65535,0:mss:id-:0"),
    Made("seq-zero", Syn(29200, mss(1460), seq=0),
         "4:64:0:1460:mss*20,0:mss:df,id+,seq-:0",
         "6:64:0:1460:mss*20,0:mss:seq-:0"),
    Made("ack-high-bit", Syn(29200, mss(1460), ack=0x01000000),
         "4:64:0:1460:mss*20,0:mss:df,id+,ack+:0",
         "6:64:0:1460:mss*20,0:mss:ack+:0"),
    Made("ack-low-bit", Syn(29200, mss(1460), ack=1),
         "4:64:0:1460:mss*20,0:mss:df,id+,ack+:0",
         "6:64:0:1460:mss*20,0:mss:ack+:0"),
    Made("urgent-pointer", Syn(29200, mss(1460), urgent=5),
         "4:64:0:1460:mss*20,0:mss:df,id+,uptr+:0",
         "6:64:0:1460:mss*20,0:mss:uptr+:0"),
    Made("urgent", Syn(29200, mss(1460), flags=SYN | URG),
         "4:64:0:1460:mss*20,0:mss:df,id+,urgf+:0",
         "6:64:0:1460:mss*20,0:mss:urgf+:0"),
    Made("push", Syn(29200, mss(1460), flags=SYN | PSH),
         "4:64:0:1460:mss*20,0:mss:df,id+,pushf+:0",
         "6:64:0:1460:mss*20,0:mss:pushf+:0"),
    Made("own-time-zero", Syn(29200, mss(1460) + NOP + NOP + ts(0)),
         "4:64:0:1460:mss*20,0:mss,nop,nop,ts:df,id+,ts1-:0",
         "6:64:0:1460:mss*20,0:mss,nop,nop,ts:ts1-:0"),
    Made("peer-time", Syn(29200, mss(1460) + NOP + NOP + ts(5, 6)),
         "4:64:0:1460:mss*20,0:mss,nop,nop,ts:df,id+,ts2+:0",
         "6:64:0:1460:mss*20,0:mss,nop,nop,ts:ts2+:0"),
    Made("scale-15", Syn(29200, mss(1460) + NOP + ws(15)),
         "4:64:0:1460:mss*20,15:mss,nop,ws:df,id+,exws:0",
         "6:64:0:1460:mss*20,15:mss,nop,ws:exws:0"),
    Made("option-length-0", Syn(29200, mss(1460) + b"\xfe\0\1\1"),
         "4:64:0:1460:mss*20,0:mss,?254:df,id+,bad:0",
         "6:64:0:1460:mss*20,0:mss,?254:bad:0"),
    Made("option-too-long", Syn(29200, mss(1460) + b"\xfe\x28\1\1"),
         "4:64:0:1460:mss*20,0:mss,?254:df,id+,bad:0",
         "6:64:0:1460:mss*20,0:mss,?254:bad:0"),
    Made("behind-the-end", Syn(29200, mss(1460) + EOL + b"abc"),
         "4:64:0:1460:mss*20,0:mss,eol+3:df,id+,opt+:0",
         "6:64:0:1460:mss*20,0:mss,eol+3:opt+:0"),
    Made("opt-last-byte", Syn(29200, mss(1460) + EOL + b"\0\0c"),
         "4:64:0:1460:mss*20,0:mss,eol+3:df,id+,opt+:0",
         "6:64:0:1460:mss*20,0:mss,eol+3:opt+:0"),
    Made("evil-bit", Syn(29200, mss(1460), fragment=EVIL | 0x4000),
         "4:64:0:1460:mss*20,0:mss:df,id+,0+:0"),
    Made("payload", Syn(29200, mss(1460), payload=b"HELO"),
         "4:64:0:1460:mss*20,0:mss:df,id+:+",
         "6:64:0:1460:mss*20,0:mss::+"),
    Made("reserved-bit", Syn(29200, mss(1460), reserved=4),
         "4:64:0:1460:mss*20,0:mss:df,id+,res:0",
         "6:64:0:1460:mss*20,0:mss:res:0"),
    Made("mss-twice", Syn(29200, mss(1460) + mss(1400)),
         "4:64:0:1460:mss*20,0:mss,mss:df,id+,dup:0",
         "6:64:0:1460:mss*20,0:mss,mss:dup:0"),
]

# lwIP 2.1 as Debian builds it.
LWIP = {4: "4:255:0:1460:65535,1:mss,nop,ws:id-:0",
        6: "6:255:0:1440:65535,1:mss,nop,ws::0"}


def set_up(lab, stack):
    client = lab.client(mtu=stack.mtu)
    if stack.sysctl:
        client.sysctl(**stack.sysctl)
    if stack.route:
        client.route(*stack.route)
    return client


def begin_kernels(lab, clients):
    for stack, client in zip(KERNELS, clients):
        for version, options, expected in ((4, stack.socket4, stack.v4),
                                           (6, stack.socket6, stack.v6)):
            sock = client.connect(version, options)
            yield (Result(stack.name, version, sock.getsockname()[:2],
                          expected), functools.partial(quit_politely, sock))


def quit_crafted(talk):
    talk.banner()
    talk.quit()


def begin_made(peer, port):
    for stack in MADE:
        for version, expected in ((4, stack.v4), (6, stack.v6)):
            if expected is None:
                continue
            port += 1
            talk = peer.open(version, stack.syn, port)
            yield (Result(stack.name, version, (peer.source(version), port),
                          expected), functools.partial(quit_crafted, talk))


def add_tap(mx):
    mx.ip("tuntap", "add", "lwip", "mode", "tap")
    mx.ip("addr", "add", "10.71.255.1/24", "dev", "lwip")
    mx.ip("addr", "add", "fd71:0:0:ff::1/64", "dev", "lwip", "nodad")
    mx.ip("link", "set", "lwip", "up")


def run_lwip(lab):
    flags = run("pkg-config", "--cflags", "--libs", "lwip").split()
    program = lab.helper("lwip_client", *flags, "-lpthread")
    for version, own, to in ((4, "10.71.255.2", "10.71.255.1"),
                             (6, "fd71:0:0:ff::2", "fd71:0:0:ff::1")):
        done = lab.start("lwip", [program, "lwip", own, to, PORT])
        port = int(done.wait_log(r"^port (\d+)")[1])
        assert done.process.wait(10) == 0, done.log
        yield Result("lwip", version, (own, port), LWIP[version])


@pytest.fixture(scope="module")
def street(lab):  # noqa: F811
    """The clients' namespaces, one a kernel, and a peer with crafted ones."""
    if subprocess.run(["pkg-config", "--exists", "lwip"]).returncode != 0:
        pytest.skip("there is no lwIP: apt-get install liblwip-dev")
    clients = [set_up(lab, stack) for stack in KERNELS]
    peer = Peer(lab.client())
    add_tap(lab.server)
    lab.start_sidecar()
    yield clients, peer
    peer.close()


WITNESSES = {"both": {}, "kernel": {"sidecar": False},
             "sidecar": {"kernel": "no"}}


@pytest.fixture(scope="module", params=WITNESSES)
def seen(request, lab, street):  # noqa: F811
    """All sessions held: [(Result, tarryd's line, p0f's text)]; once with
    each witness alone, and with both."""
    clients, peer = street
    lab.start_tarryd(HELD, **WITNESSES[request.param])
    capture = Capture(lab)
    port = 20000 + 1000 * list(WITNESSES).index(request.param)
    begun = [*begin_kernels(lab, clients), *begin_made(peer, port)]
    for _, finish in begun:
        finish()
    results = [result for result, _ in begun] + [*run_lwip(lab)]
    capture.stop({result.client for result in results})
    lines = {(line["client"], int(line["port"])): line
             for line in lab.wait_sessions(len(results))}
    p0f = {who: with_initial_ttl(text) for who, text in capture.p0f().items()}
    rows = [(result, lines[result.client], p0f.get(result.client))
            for result in results]
    if request.param == "kernel":
        rows = without_made_up(rows)
    print_table(request.param, rows)
    return Seen(request.param, rows, capture.path)


def without_made_up(rows):
    unknown = {(result.stack, result.version) for result, line, _ in rows
               if line["syn"] == "unknown"}
    assert unknown == TAKEN_FOR_MADE_UP
    return [row for row in rows if row[1]["syn"] != "unknown"]


def print_table(witness, rows):
    if witness == "both":
        print(f"\n{'stack':21}{'IP':3}{'expected, and what tarryd logged':72}"
              "p0f")
    for result, line, theirs in rows if witness == "both" else ():
        name, version = result.stack, result.version
        mark = "" if line["syn"] == result.expected else \
            f"  TARRYD SAYS {line['syn']}"
        fault = P0F_FAULTS.get((name, version))
        says = "same" if theirs == line["syn"] else f"{theirs or 'nothing'}"
        why = f" ({fault[1]})" if fault else ""
        print(f"{name:21}{version:<3}{result.expected + mark:72}{says}{why}")
    sources = collections.Counter(row[1]["syn_source"] for row in rows)
    print(f"\nwitness {witness}: {len({row[0].stack for row in rows})} stacks,"
          f" {len(rows)} SYNs, {len({row[1]['syn'] for row in rows})} "
          f"signatures, used {dict(sources)}")


def test_tarryd_logs_what_was_set_up(seen):
    wrong = [(result.stack, result.version, result.expected, line["syn"])
             for result, line, _ in seen.rows
             if line["syn"] != result.expected]
    assert wrong == []


def test_tarryd_logs_what_p0f_prints(seen):
    wrong = [(result.stack, result.version, line["syn"], theirs)
             for result, line, theirs in seen.rows
             if line["syn"] != theirs
             and (result.stack, result.version) not in P0F_FAULTS]
    assert wrong == []


def test_p0f_has_just_the_faults_that_are_listed(seen):
    found = {(result.stack, result.version): theirs
             for result, _, theirs in seen.rows
             if (result.stack, result.version) in P0F_FAULTS}
    assert found == {key: text for key, (text, _) in P0F_FAULTS.items()
                     if seen.witness != "kernel"
                     or key not in TAKEN_FOR_MADE_UP}


def test_the_bytes_came_from_the_witness_that_was_there(seen):
    sources = {line["syn_source"] for _, line, _ in seen.rows}
    assert seen.witness == "both" or sources == {seen.witness}


def test_the_stacks_are_really_different(seen):
    for version in (4, 6):
        texts = {line["syn"] for result, line, _ in seen.rows
                 if result.version == version}
        assert len(texts) >= 35


def test_the_tool_reads_the_capture_alike(seen):
    """The parser without a daemon."""
    texts = {}
    for line in run(BUILD / "tarryctl", "--json", "signature",
                    seen.capture).splitlines():
        if not line.startswith("{"):
            continue  # that there are no labels here
        row = json.loads(line)
        address, port = row["client"].rsplit(":", 1)
        texts[address.strip("[]"), int(port)] = row["syn"]
    wrong = [(result.stack, result.version, line["syn"],
              texts.get(result.client))
             for result, line, _ in seen.rows
             if texts.get(result.client) != line["syn"]]
    assert wrong == []
