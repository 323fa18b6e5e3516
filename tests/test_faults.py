"""A short campaign of benchmarks/faults.py: killed, stopped and torn runs end as one that nobody disturbed."""

import csv
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).resolve().parent.parent / "benchmarks" / "faults.py"


def test_killed_stopped_and_torn(tmp_path):
    command = [sys.executable, str(SCRIPT), "--seed", "3", "--out", str(tmp_path / "faults.csv")]
    command += ["--kill", "1", "--write", "1", "--term", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = list(csv.DictReader((tmp_path / "faults.csv").read_text().splitlines()))
    faults = {row["kind"]: int(row["faults"]) for row in rows}
    assert set(faults) == {"kill", "term", "write"}
    assert all(row["ends_as_undisturbed"] == "True" for row in rows)
    assert faults["write"] >= 1  # the others hit a moment, which a busy machine may miss
    assert sum(faults.values()) >= 3
