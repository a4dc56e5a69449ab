"""Kernel memory of clients that want to send a message faster than their
class allows: over wires with the MTU of Ethernet, because loopback's segments
of 64 KiB are nobody's path."""
import re
import subprocess

from rig import PORT, BenchError, Held, Namespace, run, window
from rivals import Tarry

SERVER, CLIENT = "192.0.2.1", "192.0.2.2"
SETTLE_S = 3
BODY = 200000
CLASSES = """
[class slow_upload]
data_rate = 1k
"""
RULES = """
[rule slow_upload]
network = 192.0.2.0/24
class = slow_upload
"""


def join(server, client):
    run("ip", "-n", server.name, "link", "add", "wire0", "type", "veth",
        "peer", "name", "wire1", "netns", client.name)
    for host, wire, address in ((server, "wire0", SERVER),
                                (client, "wire1", CLIENT)):
        run("ip", "-n", host.name, "addr", "add", f"{address}/24", "dev",
            wire)
        # A pair of namespaces hands over what Ethernet would cut.
        run("ip", "-n", host.name, "link", "set", wire, "gso_max_segs", "1",
            "up")


def receive_bytes(namespace):
    """Memory of the bytes that wait in each socket of the listener's."""
    done = subprocess.run(
        namespace.words("ss", "-Htnm", "state", "established", "sport", "=",
                        f":{PORT}"),
        text=True, stdout=subprocess.PIPE, check=True)
    return [int(found) for found in re.findall(r"skmem:\(r(\d+),",
                                               done.stdout)]


def stalled(where, build, size, tell):
    """Bytes of kernel memory a client."""
    # Where slots are scarce uploads are not slowed.
    tarry = Tarry(where, build, sidecar=False, listen=SERVER, classes=CLASSES,
                  rules=RULES, sessions=9000, slots=9 * size.stalled)
    client = Namespace()
    try:
        join(tarry.rig.namespace, client)
        with tarry:
            held = Held(client.words(
                *map(str, (tarry.rig.bench / "load", "-t",
                           f"{SERVER}:{PORT}", "-n", size.stalled, "-b",
                           BODY, "-H", "body"))))
            try:
                held.wait(size.stalled)
                window(SETTLE_S)
                each = receive_bytes(tarry.rig.namespace)
                done = tarry.rig.sums()["messages"]
            finally:
                held.kill()
    finally:
        client.delete()
    if len(each) != size.stalled:
        raise BenchError(f"{len(each)} of {size.stalled} clients are left")
    if done > 0:
        raise BenchError(f"{done} of {size.stalled} clients were not slowed")
    tell(f"{size.stalled} clients")
    return sum(each) / len(each)
