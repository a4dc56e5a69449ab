"""Completion of tarryctl, in a real bash."""
import subprocess

import pytest

from conftest import BUILD, DEADLINE, TOP

SCRIPT = """
source "$1"
shift
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_tarryctl
printf '%s\\n' "${COMPREPLY[@]}"
"""


def complete(*words):
    done = subprocess.run(
        ["bash", "-c", SCRIPT, "bash", TOP / "config/tarryctl.bash",
         BUILD / "tarryctl", *words], text=True, timeout=DEADLINE,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=TOP)
    assert done.stderr == ""
    return set(done.stdout.split())


@pytest.mark.parametrize("words, want", [
    (("ex",), {"explain"}),
    (("--json", "rel"), {"release", "reload"}),
    (("-s", "doctor", "dr"), {"drain"}),
    (("--js",), {"--json"}),
    (("-c", "LICEN"), {"LICENSE"}),
    (("signature", "READ"), {"README.md"}),
    (("status", ""), set()),
    (("top", ""), {"once"}),
    (("shadow", "o"), {"on", "off"}),
    (("--json", "shadow", "of"), {"off"}),
    (("shadow", "on", ""), set()),
    (("set", "192.0.2.1", ""), {"good", "suspect", "bad"}),
    (("set", "192.0.2.1", "bad", ""), {"for"}),
    (("set", "192.0.2.1", "bad", "for", ""), set()),
    (("load", "rows", ""), {"dry"}),
    (("no-such-verb", ""), set())])
def test_what_is_offered(words, want):
    assert complete(*words) == want


def test_every_verb_is_offered():
    assert {"status", "sessions", "explain", "release", "signature",
            "doctor", "reload", "drain"} <= complete("")
