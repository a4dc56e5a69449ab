"""JA4 of a ClientHello, computed apart from the code that is tested.

    cat hello.bin | tests/e2e/ja4.py     prints JA4 and its raw text
"""
import hashlib
import sys


def number(data):
    return int.from_bytes(data, "big")


def pairs(data):
    return [number(data[i:i + 2]) for i in range(0, len(data), 2)]


def message(data):
    """The handshake message in the records at the front of a stream."""
    out = b""
    while data and data[0] == 22:
        size = number(data[3:5])
        out += data[5:5 + size]
        data = data[5 + size:]
        if len(out) >= 4 and len(out) >= 4 + number(out[1:4]):
            break
    assert out[0] == 1, "no ClientHello"
    return out[4:4 + number(out[1:4])]


def lists(data):
    """Version, ciphers, and (kind, body) of the extensions."""
    body = message(data)
    version, at = number(body[:2]), 34
    at += 1 + body[at]
    size = number(body[at:at + 2])
    ciphers = pairs(body[at + 2:at + 2 + size])
    at += 2 + size
    at += 1 + body[at]
    extensions, rest = [], body[at + 2:]
    while rest:
        size = number(rest[2:4])
        extensions.append((number(rest[:2]), rest[4:4 + size]))
        rest = rest[4 + size:]
    return version, ciphers, extensions


def plain(values):
    return [v for v in values if v & 0x0f0f != 0x0a0a or v >> 8 != v & 255]


def listed(values):
    return ",".join("%04x" % v for v in values)


def alpn(body):
    if not body or not body[2]:
        return "00"
    name = body[3:3 + body[2]]
    ends = chr(name[0]) + chr(name[-1])
    if ends.isascii() and ends.isalnum():
        return ends
    return name.hex()[0] + name.hex()[-1]


def raw(data):
    version, ciphers, extensions = lists(data)
    kinds = plain(kind for kind, _ in extensions)
    bodies = dict(reversed(extensions))
    if 43 in bodies:
        version = max(plain(pairs(bodies[43][1:])), default=0)
    name = {0x304: "13", 0x303: "12", 0x302: "11", 0x301: "10",
            0x300: "s3", 2: "s2"}.get(version, "00")
    ciphers = plain(ciphers)
    schemes = plain(pairs(bodies.get(13, b"")[2:]))
    front = "t%s%s%02d%02d%s" % (name, "d" if 0 in bodies else "i",
                                 min(len(ciphers), 99), min(len(kinds), 99),
                                 alpn(bodies.get(16)))
    parts = [front, listed(sorted(ciphers)),
             listed(sorted(k for k in kinds if k not in (0, 16)))]
    return "_".join(parts + ([listed(schemes)] if schemes else []))


def short(text):
    """JA4 of its raw text."""
    front, ciphers, rest = text.split("_", 2)
    return "_".join([front] + [
        hashlib.sha256(part.encode()).hexdigest()[:12] if part else "0" * 12
        for part in (ciphers, rest)])


if __name__ == "__main__":
    TEXT = raw(sys.stdin.buffer.read())
    print(short(TEXT))
    print(TEXT)
