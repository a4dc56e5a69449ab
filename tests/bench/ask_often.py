"""Asks tarryd's HTTP server like many scrapers and dashboards at once.

    ask_often.py PORT TIMES_A_SECOND

First as fast as it can, until it is told that this is too often: what was
saved up is spent then, and it says "spent". Until standard input ends; then prints how many answers there were of each
status, as JSON.
"""
import collections
import http.client
import json
import select
import sys
import time

PATHS = ("/metrics", "/api/v1/summary", "/api/v1/sessions",
         "/api/v1/signatures", "/api/v1/history/24h", "/metrics")


def main():
    port, rate = int(sys.argv[1]), float(sys.argv[2])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    counts = collections.Counter()
    start = begin = time.monotonic()
    asked = paced = 0
    while True:
        wait = max(0.0, begin + paced / rate - time.monotonic())
        if select.select([sys.stdin], [], [], wait)[0]:
            break
        connection.request("GET", PATHS[asked % len(PATHS)])
        answer = connection.getresponse()
        answer.read()
        counts[answer.status] += 1
        asked += 1
        paced += 1
        # What was not asked while it was stopped is not made up for.
        if not counts[429] or begin + (paced + 9) / rate < time.monotonic():
            begin, paced = time.monotonic(), 0
        if counts[429] == 1 and answer.status == 429:
            print("spent", flush=True)
    print(json.dumps({"seconds": time.monotonic() - start, **counts}))


if __name__ == "__main__":
    main()
