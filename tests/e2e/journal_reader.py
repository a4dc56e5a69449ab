"""Reads journals: what a later replay does with them, less the rules.

Each line is JSON by itself. Per worker they are numbered, so that a reader
knows what is missing; of one session they come in the order of what happened.
"""
import collections
import json
import pathlib

COMMANDS = {"HELO", "EHLO", "MAIL", "RCPT", "DATA", "BDAT", "RSET", "NOOP",
            "QUIT", "VRFY", "EXPN", "HELP", "ETRN", "AUTH", "STARTTLS",
            "BURL", "TURN", "ATRN", "greeting", "dot", "auth_line", "other"}


def read(path, is_growing=False):
    """All lines, the oldest file first; of one that is written to just now
    the last may be there in part, and is left for the next time."""
    path = pathlib.Path(path)
    files = sorted(path.parent.glob(path.name + ".*"),
                   key=lambda file: -int(file.suffix[1:]))
    lines = []
    for file in [*files, path]:
        text = file.read_bytes()
        if is_growing and file is path:
            text = text[:text.rfind(b"\n") + 1]
        assert text.endswith(b"\n") or not text, f"{file}: a torn line"
        lines += [json.loads(line) for line in text.splitlines()]
    return lines


def missing(lines):
    """How many lines are not there, from the numbers."""
    last, count = {}, 0
    for line in lines:
        worker = line["w"]
        if worker in last and line["n"] > last[worker]:
            count += line["n"] - last[worker] - 1
        last[worker] = line["n"]
    return count


def sessions(lines):
    """id -> its lines."""
    found = collections.defaultdict(list)
    for line in lines:
        if "id" in line:
            found[line["id"]].append(line)
    return dict(found)


def replay(lines):
    """One session's lines, checked: who said what when, and what was due.
    Returns [(command, code, asked_ms, answered_ms, due_ms) ..]."""
    assert [lines[0]["ev"], lines[-1]["ev"]] == ["open", "end"]
    assert lines[1]["ev"] == "plan"
    asked, answered, clock = collections.deque(), [], 0
    for line in lines[1:-1]:
        assert line["at"] >= clock, "time goes back"
        clock = line["at"]
        for at, verb, _marks, code, due in line.get("notes", ()):
            assert verb in COMMANDS and at <= clock
            if code == 0:
                asked.append((verb, at))
                continue
            command, asked_at = asked.popleft()
            assert command == verb, f"{verb} answers {command}"
            assert asked_at <= at <= max(due, at)
            answered.append((verb, code, asked_at, at, due))
    return answered
