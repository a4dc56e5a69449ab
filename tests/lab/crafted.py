"""TCP stacks that are not on this machine: packets made byte by byte.

A crafted client lives at an address that its namespace's kernel does not
have, so that the kernel neither answers for it nor resets its connections. It
talks through a packet socket, completes the handshake, and holds a session.
"""
import contextlib
import dataclasses
import ipaddress
import socket
import struct
import time

PORT = 25
FIN, SYN, RST, PSH, ACK, URG, ECE, CWR = (1 << bit for bit in range(8))
DF, EVIL = 0x4000, 0x8000

# TCP options as they stand on the wire (RFC 9293 3.2, RFC 7323, RFC 2018).
NOP, EOL, SOK = b"\1", b"\0", b"\4\2"


def mss(value):
    return struct.pack("!BBH", 2, 4, value)


def ws(shift):
    return struct.pack("!BBB", 3, 3, shift)


def ts(value, echo=0):
    return struct.pack("!BBII", 8, 10, value, echo)


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


@dataclasses.dataclass
class Syn:
    """One SYN, field by field; what is not said is as Linux has it."""
    window: int = 29200
    options: bytes = b""
    ttl: int = 64
    flags: int = SYN
    reserved: int = 0  # the four bits before CWR; the last one is AE
    seq: int = 0x12345678
    ack: int = 0
    urgent: int = 0
    payload: bytes = b""
    fragment: int = DF  # IPv4: flags and offset
    ip_id: int = 0x1234  # IPv4
    tos: int = 0
    flow: int = 0  # IPv6

    @property
    def is_timed(self):
        return b"\x08\x0a" in self.options


def segment(source, target, port, syn, seq, ack, flags, window, options,
            urgent=0, reserved=0, payload=b""):
    """A TCP segment with its checksum; source and target are bytes."""
    assert len(options) % 4 == 0, "options are padded to words"
    head = struct.pack(
        "!HHIIHHHH", port, PORT, seq, ack,
        (5 + len(options) // 4) << 12 | reserved << 8 | flags, window, 0,
        urgent) + options
    pseudo = source + target
    length = len(head) + len(payload)
    pseudo += struct.pack("!BBH", 0, 6, length) if len(source) == 4 else \
        struct.pack("!IxxxB", length, 6)
    total = checksum(pseudo + head + payload)
    return head[:16] + struct.pack("!H", total) + head[18:] + payload


def packet(source, target, syn, body):
    """The IP packet around a segment, with the fields that `syn` has."""
    if len(source) == 16:
        return struct.pack("!IHBB", 6 << 28 | syn.tos << 20 | syn.flow,
                           len(body), 6, syn.ttl) + source + target + body
    head = struct.pack("!BBHHHBBH", 0x45, syn.tos, 20 + len(body), syn.ip_id,
                       syn.fragment, syn.ttl, 6, 0) + source + target
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + body


class Peer:
    """A host beside a client's kernel, with one address of each version."""

    def __init__(self, client, host=100):
        number = client.number
        self.ip4 = f"10.71.{number}.{host}"
        self.ip6 = f"fd71:0:0:{number:x}::{host:x}"
        self.client = client
        link = f"v{number}"
        for address in (self.ip4, self.ip6):
            client.server.ip("neigh", "replace", address, "lladdr",
                             client.mac, "dev", link, "nud", "permanent")
        with client.entered():
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW,
                                        socket.htons(3))
        self.socket.bind(("eth0", 3))
        self.macs = bytes.fromhex((client.to_mac + client.mac)
                                  .replace(":", ""))
        self.talks = {}  # by our address and port

    def close(self):
        self.socket.close()

    def source(self, version):
        return self.ip4 if version == 4 else self.ip6

    def open(self, version, syn, port):
        """The handshake; returns a Talk, established on our side."""
        talk = Talk(self, version, syn, port)
        self.talks[talk.source, port] = talk
        talk.shake_hands()
        return talk

    def receive(self, seconds):
        """Takes one frame, and gives it to the talk that it is for."""
        self.socket.settimeout(seconds)
        frame = self.socket.recv(4096)
        ip = frame[14:]
        if frame[12:14] == b"\x08\x00" and ip[9] == 6:
            head, mine = (ip[0] & 15) * 4, ip[16:20]
            length = struct.unpack_from("!H", ip, 2)[0]
        elif frame[12:14] == b"\x86\xdd" and ip[6] == 6:
            head, mine = 40, ip[24:40]
            length = 40 + struct.unpack_from("!H", ip, 4)[0]
        else:
            return
        tcp = ip[head:length]
        talk = self.talks.get((mine, struct.unpack_from("!2xH", tcp)[0]))
        if talk is not None:
            talk.take(tcp)


class Talk:
    """A connection of a Peer."""

    def __init__(self, peer, version, syn, port, seconds=10):
        self.peer, self.syn, self.port = peer, syn, port
        self.deadline = time.monotonic() + seconds
        self.source = ipaddress.ip_address(peer.source(version)).packed
        self.target = ipaddress.ip_address(
            peer.client.target(version)).packed
        self.seq, self.ack, self.echo = syn.seq, 0, 0
        self.data, self.has_ended = b"", False

    def shake_hands(self):
        self.send_syn()
        self.wait(lambda: self.ack != 0, "a SYN-ACK")
        self.send(ACK)

    def put(self, body):
        kind = b"\x08\x00" if len(self.source) == 4 else b"\x86\xdd"
        self.peer.socket.send(self.peer.macs + kind + packet(
            self.source, self.target, self.syn, body))

    def send_syn(self):
        syn = self.syn
        self.put(segment(self.source, self.target, self.port, syn, syn.seq,
                         syn.ack, syn.flags, syn.window, syn.options,
                         syn.urgent, syn.reserved, syn.payload))

    def send(self, flags, payload=b""):
        times = NOP + NOP + ts(2000000, self.echo) if self.echo else b""
        self.put(segment(self.source, self.target, self.port, self.syn,
                         self.seq, self.ack, flags, 0x2000, times,
                         payload=payload))
        self.seq = (self.seq + len(payload)) & 0xffffffff

    def take(self, tcp):
        seq, ack, word = struct.unpack_from("!4xIIH", tcp)
        flags, payload = word & 0xff, tcp[(word >> 12) * 4:]
        assert not flags & RST, f"reset; so far {self.data!r}"
        if flags & SYN:
            if self.ack == 0:
                self.seq, self.ack = ack, (seq + 1) & 0xffffffff
                self.echo = self.find_echo(tcp[20:(word >> 12) * 4])
            return
        if seq != self.ack:
            return
        self.data += payload
        self.has_ended = bool(flags & FIN)
        self.ack = (seq + len(payload) + self.has_ended) & 0xffffffff
        if payload or self.has_ended:
            self.send(ACK)

    def find_echo(self, options):
        at = options.find(b"\x08\x0a") if self.syn.is_timed else -1
        return int.from_bytes(options[at + 2:at + 6], "big") if at >= 0 else 0

    def wait(self, condition, what):
        while not condition():
            left = self.deadline - time.monotonic()
            assert left > 0, f"waited for {what}; so far {self.data!r}"
            with contextlib.suppress(TimeoutError):
                self.peer.receive(left)

    def banner(self):
        self.wait(lambda: self.data.endswith(b"\n"), "the greeting")
        return self.data

    def quit(self):
        """QUIT, its reply, and the end; then nothing of us is left."""
        self.send(ACK | PSH, b"QUIT\r\n")
        self.wait(lambda: self.has_ended, "the end")
        self.send(RST | ACK)

    def reset(self):
        self.send(RST | ACK)


# The stacks, from public facts (initial TTL, DF, IP ID, window, options).
WINDOWS = mss(1460) + NOP + ws(8) + NOP + NOP + SOK
WINDOWS_1366 = mss(1366) + NOP + ws(8) + NOP + NOP + SOK
APPLE = mss(1460) + NOP + ws(6) + NOP + NOP + ts(123456) + SOK + EOL + EOL
LINUX = mss(1460) + SOK + ts(123456) + NOP + ws(7)
FREEBSD = mss(1460) + NOP + ws(6) + SOK + ts(123456)
OPENBSD = (mss(1460) + NOP + NOP + SOK + NOP + ws(6) + NOP + NOP
           + ts(123456))
