"""A short campaign of benchmarks/faults.py: killed, torn and damaged runs end as one that nobody disturbed."""

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).resolve().parent.parent / "benchmarks" / "faults.py"


def test_killed_stopped_torn_and_damaged(tmp_path):
    command = [sys.executable, str(SCRIPT), "--seed", "3", "--out", str(tmp_path / "faults.csv")]
    command += ["--kill", "1", "--damage", "1", "--write", "1", "--term", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    faults = done.stdout.rsplit("4 runs with faults ", 1)[1]
    assert "'kill': 0" not in faults
    assert "'damage': 0" not in faults
    assert "'write': 0" not in faults
    assert "'term': 0" not in faults
    assert faults.endswith("not as undisturbed: none\n")
