"""Many hosts on one wire: the server's and one for each pair under test.

The server's namespace (mx) holds the MTAs and the Tarrys. It is joined to the
hosts by a bridge with the MTU of an Ethernet, so that windows and segments
are those of a network and not of the loopback device. All that the server
says is captured on the bridge: nothing stands between the two sides.
"""
import collections
import ipaddress
import pathlib
import re
import signal
import struct

from lab import Namespace, Program, run

PORT = 25
MX_NET = "10.77.0.0/16"
HOSTS_NET = "10.128.0.0/9"
# Segments with data in them, and those that begin a connection.
SAYS = "(tcp[13] & 2 != 0 or ip[2:2] - ((ip[0] & 15) << 2) - " \
    "((tcp[12] & 240) >> 2) != 0)"


def inside(space):
    """The words before a command that is to run in a namespace."""
    return ["nsenter", f"--net=/run/netns/{space.name}"]


class Host(Namespace):
    """A sender's machine; all hosts are in networks (/24) of their own."""

    def __init__(self, street, number):
        super().__init__(f"{street.name}-{number}")
        # Three digits each: the length of an address is in some sizes.
        self.address = f"10.{128 + number // 150}.{100 + number % 150}.2"
        wire = f"h{number}"
        street.mx.ip("link", "add", wire, "type", "veth", "peer", "name",
                     "eth0", "netns", self.name)
        street.mx.ip("link", "set", wire, "master", "br0", "up")
        self.ip("addr", "add", f"{self.address}/32", "dev", "eth0")
        self.ip("link", "set", "eth0", "up")
        # No way to anywhere else: a name server is unreachable, at once.
        self.ip("route", "add", MX_NET, "dev", "eth0")

    def close(self):
        run("ip", "netns", "delete", self.name)


class Street:
    def __init__(self, name, where):
        self.name = name
        self.where = where
        self.mx = Namespace(f"{name}-mx")
        self.tcpdump = None
        self.mx.sysctl(**{"net.core.somaxconn": 4096,
                          "tcp_max_syn_backlog": 4096})
        # An address of its own, or it has that of one of the wires, and
        # another one as soon as that is gone.
        self.mx.ip("link", "add", "br0", "address", "02:00:00:00:00:01",
                   "type", "bridge")
        self.mx.ip("link", "set", "br0", "up")
        self.mx.ip("route", "add", HOSTS_NET, "dev", "br0")

    def add_address(self, address):
        self.mx.ip("addr", "add", f"{address}/32", "dev", "br0")

    def start_capture(self):
        self.capture(f"tcp src port {PORT} and dst net {HOSTS_NET}")

    def capture(self, whose):
        """From now on keeps what is said by them, into said.pcap."""
        self.tcpdump = Program(self.where / "tcpdump.log", [
            *inside(self.mx), "tcpdump", "-n", "-U", "--immediate-mode",
            "-B", "65536", "-s", "4096", "-i", "br0", "-Z", "root",
            "-w", self.where / "said.pcap",
            f"{whose} and {SAYS}"])
        self.tcpdump.wait_log("listening on br0")

    def stop_capture(self):
        """Ends it; returns how many packets it has missed."""
        self.tcpdump.process.send_signal(signal.SIGINT)
        self.tcpdump.process.wait()
        return int(re.search(r"(\d+) packets dropped by kernel",
                             self.tcpdump.log)[1])

    def close(self):
        if self.tcpdump:
            self.tcpdump.stop()
        run("ip", "netns", "delete", self.mx.name)


def read_packets(path):
    """(from, its port, to, its port, sequence, flags, payload)."""
    data = pathlib.Path(path).read_bytes()
    at = 24
    while at + 16 <= len(data):
        size = struct.unpack_from("<I", data, at + 8)[0]
        ip = data[at + 16 + 14:at + 16 + size]
        at += 16 + size
        tcp = (ip[0] & 15) * 4
        total = int.from_bytes(ip[2:4], "big")
        source, port, seq = struct.unpack_from(">HHI", ip, tcp)
        payload = ip[tcp + (ip[tcp + 12] >> 4) * 4:total or None]
        yield (ip[12:16], source, ip[16:20], port, seq, ip[tcp + 13],
               payload)


def read_sessions(path):
    """What was said in each session: {client's address: [bytes]}.

    A session that lacks a byte is None: that is a capture that cannot be
    judged, never an equal one.
    """
    flows = {}
    for server, _, client, port, seq, flags, payload in read_packets(path):
        key = (server, client, port)
        if flags & 2:
            if key in flows:  # said again
                continue
            flows[key] = ((seq + 1) & 0xffffffff, {})
        elif key in flows and payload:
            flows[key][1].setdefault((seq - flows[key][0]) & 0xffffffff,
                                     payload)
    sessions = collections.defaultdict(list)
    for (_, client, _), (_, parts) in flows.items():
        said = b""
        for offset in sorted(parts):
            if offset > len(said):
                said = None
                break
            said += parts[offset][len(said) - offset:]
        sessions[str(ipaddress.ip_address(client))].append(said)
    return sessions
