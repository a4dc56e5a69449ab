"""The demo runs, and its table says what it is to say."""
import os
import re
import subprocess
import sys

from lab import BUILD, HERE, skip_where_impossible

ROW = re.compile(r"^  (\w+) +(\w+) +(\d+)  (-|at [\d.]+ s) +"
                 r"(-|\d+, at [\d.]+ s) +(\d+) of (\d+)", re.M)


def test_the_patient_are_served_and_the_others_leave():
    skip_where_impossible()
    done = subprocess.run(
        [sys.executable, HERE / "demo.py", "--build", BUILD], text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120,
        env={**os.environ, "TARRY_DEMO_SINK": "1"})
    print(done.stdout)
    assert done.returncode == 0, done.stdout
    rows = {row[0]: row[1:] for row in ROW.findall(done.stdout)}
    came = {who: (int(row[4]), int(row[5])) for who, row in rows.items()}
    assert came == {"shop": (5, 5), "pc": (0, 20), "box": (0, 20),
                    "raw": (20, 20)}
    assert rows["pc"][2] == rows["shop"][3] == rows["raw"][3] == "-"
    assert "Refused: 0. Lost: 0. Twice: 0." in done.stdout
