"""`make bench` runs, in short, and what does not depend on what else the
machine does keeps its bounds."""
import os
import subprocess
import sys

import pytest

from conftest import BUILD, TOP, WRAP

NEEDED = ("/usr/sbin/haproxy", "/usr/lib/nginx/modules/ngx_mail_module.so",
          "/usr/lib/nginx/modules/ngx_stream_module.so")
SECONDS = 120

pytestmark = pytest.mark.skipif(
    bool(WRAP) or os.geteuid() != 0 or
    not all(map(os.path.exists, NEEDED)),
    reason="needs root, haproxy and nginx with its mail and stream modules: "
    "tools/deps.sh bench")


def test_a_short_run(tmp_path):
    page = tmp_path / "page.md"
    done = subprocess.run(
        [sys.executable, "tests/bench/bench.py", "--build", str(BUILD),
         "--quick", "--only", "memory,decision,tls", "--out", str(page)],
        cwd=TOP, timeout=SECONDS, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout
    text = page.read_text(encoding="utf-8")
    for what in ("user memory a session held",
                 "user memory a relayed idle session",
                 "a decision with 1,000 rules",
                 "user memory a TLS session held",
                 "user memory a plain session held beside",
                 "user memory a relayed idle TLS session",
                 "user memory a plain relayed idle session beside"):
        row, = [line for line in text.splitlines() if what in line]
        assert "| pass |" in row, row
