"""Writes MMDB files, as the format's public description (version 2.0) has
them: a binary tree over the bits of IPv6 addresses, data, metadata."""
import ipaddress
import struct

MARKER = b"\xab\xcd\xefMaxMind.com"
TEXT, U16, U32, MAP, U64, ARRAY = 2, 5, 6, 7, 9, 11


def control(kind, size):
    assert size < 29
    if kind <= 7:
        return bytes([kind << 5 | size])
    return bytes([size, kind - 7])


def number(kind, value):
    data = value.to_bytes(8, "big").lstrip(b"\0")
    return control(kind, len(data)) + data


def text(value):
    return control(TEXT, len(value)) + value.encode()


def record(asn):
    return (control(MAP, 1) + control(TEXT, 24) + b"autonomous_system_number"
            + number(U32, asn))


def bits_of(network):
    """The prefix as the tree has it: IPv4 lies in ::/96."""
    net = ipaddress.ip_network(network)
    value, length = int(net.network_address), net.prefixlen
    if net.version == 4:
        length += 96
    return [value >> (127 - i) & 1 for i in range(length)]


def make_tree(networks):
    """Nodes of two links; a link is None, a node's number, or ('asn', n)."""
    nodes = [[None, None]]
    for network, asn in networks.items():
        at, bits = 0, bits_of(network)
        for bit in bits[:-1]:
            if nodes[at][bit] is None:
                nodes.append([None, None])
                nodes[at][bit] = len(nodes) - 1
            at = nodes[at][bit]
        nodes[at][bits[-1]] = ("asn", asn)
    return nodes


def metadata(count):
    rows = {"node_count": number(U32, count), "record_size": number(U16, 24),
            "ip_version": number(U16, 6), "database_type": text("Test-ASN"),
            "languages": control(ARRAY, 0),
            "binary_format_major_version": number(U16, 2),
            "binary_format_minor_version": number(U16, 0),
            "build_epoch": number(U64, 1), "description": control(MAP, 0)}
    return (MARKER + control(MAP, len(rows))
            + b"".join(text(key) + value for key, value in rows.items()))


def mmdb(networks):
    """{network: asn}, none within another -> the bytes of a file."""
    nodes = make_tree(networks)
    data, places = b"", {}
    for asn in networks.values():
        if asn not in places:
            places[asn] = len(data)
            data += record(asn)

    def link(target):
        if target is None:
            return len(nodes)
        if isinstance(target, tuple):
            return len(nodes) + 16 + places[target[1]]
        return target
    tree = b"".join(struct.pack("!I", link(target))[1:]
                    for node in nodes for target in node)
    return tree + bytes(16) + data + metadata(len(nodes))
