"""The figures of the README keep their bounds; see tests/bench/figures.py."""
import shutil
import sys

import pytest

from conftest import BUILD, TOP, WRAP

sys.path.insert(0, str(TOP / "tests/bench"))
import figures  # noqa: E402

CALLS_MAX = 46
HELD_BYTES_MAX = 768

pytestmark = pytest.mark.skipif(
    bool(WRAP), reason="figures of another program than tarryd alone")


def test_system_calls_a_session(tmp_path):
    assert shutil.which("strace"), "strace is needed: make deps-test"
    calls, each, lines = figures.system_calls(tmp_path, BUILD)
    print(f"{calls:.2f} calls a session, {lines} log lines: {each}")
    # 13 messages cannot pass with fewer than a read and a write each.
    assert 26 < calls <= CALLS_MAX, each


def test_bytes_a_held_session(tmp_path):
    held = figures.held_bytes(tmp_path, BUILD)
    print(f"{held:.0f} bytes a held session")
    # The client's handle alone has 248.
    assert 248 < held <= HELD_BYTES_MAX
