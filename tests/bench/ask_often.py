"""Asks tarryd's HTTP server like many scrapers and dashboards at once.

    ask_often.py PORT TIMES_A_SECOND

First as fast as it can, until it is told that this is too often: what was
saved up is spent then, and it says "spent". Until standard input ends; then
prints how many answers there were of each status, as JSON.

It is another machine's work in life, so it does as little as it can: no HTTP
library, one connection, one buffer.
"""
import collections
import json
import select
import socket
import sys
import time

PATHS = ("/metrics", "/api/v1/summary", "/api/v1/sessions",
         "/api/v1/signatures", "/api/v1/history/24h", "/metrics")
QUESTIONS = [f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
             for path in PATHS]
LENGTH = b"content-length: "


def ask(server, room, question):
    """The status of the answer, which is read to its end."""
    server.sendall(question)
    head = b""
    while (end := head.find(b"\r\n\r\n")) < 0:
        got = server.recv(65536)
        if not got:
            raise ConnectionError("the server hung up")
        head += got
    at = head.lower().index(LENGTH) + len(LENGTH)
    left = int(head[at:head.index(b"\r", at)]) - (len(head) - end - 4)
    while left > 0:
        size = server.recv_into(room)
        if size == 0:
            raise ConnectionError("the server hung up")
        left -= size
    return int(head[9:12])


def main():
    port, rate = int(sys.argv[1]), float(sys.argv[2])
    server = socket.create_connection(("127.0.0.1", port), timeout=20)
    room = bytearray(1 << 20)
    counts = collections.Counter()
    start = begin = time.monotonic()
    asked = paced = 0
    while True:
        wait = max(0.0, begin + paced / rate - time.monotonic())
        if select.select([sys.stdin], [], [], wait)[0]:
            break
        status = ask(server, room, QUESTIONS[asked % len(QUESTIONS)])
        counts[status] += 1
        asked += 1
        paced += 1
        # What was not asked while it was stopped is not made up for.
        if not counts[429] or begin + (paced + 9) / rate < time.monotonic():
            begin, paced = time.monotonic(), 0
        if counts[429] == 1 and status == 429:
            print("spent", flush=True)
    print(json.dumps({"seconds": time.monotonic() - start, **counts}))


if __name__ == "__main__":
    main()
