"""kill -9 in every phase, then the same command: the end is that of a run nobody disturbed."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from event_files import scalars
from pipeline_toys import KILLS, config_file, process

from danas_jax import cli, run, tensorboard
from danas_jax.records import position, series


def result(folder: Path) -> dict:
    """summary.json without its times."""
    summary = json.loads((folder / "summary.json").read_text())
    del summary["times_s"]
    return summary


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    """(config file, summary of an undisturbed run)."""
    folder = tmp_path_factory.mktemp("unbroken")
    config = config_file(folder)
    assert cli.main(["run", config, "--run-dir", str(folder / "run")]) == 0
    return config, result(folder / "run")


def test_killed_in_every_phase_in_turn(unbroken, tmp_path):
    config, expected = unbroken
    command = ["run", config, "--run-dir", "run"]
    for phase, pattern in KILLS.items():
        done = process(tmp_path, command, pattern)
        assert done.returncode == -signal.SIGKILL, f"{phase}: {done.stdout}{done.stderr}"
        assert not (tmp_path / "run" / "summary.json").exists()
    done = process(tmp_path, command)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [f"{phase}: done before" in done.stdout for phase in ("train", "search", "retrain")] == [True] * 3
    assert result(tmp_path / "run") == expected
    assert not list((tmp_path / "run").rglob(".*.tmp"))
    check_event_files(tmp_path / "run")


def check_event_files(folder: Path) -> None:
    """TensorBoard reads what metrics.jsonl says, each step once."""
    expected = {}
    for whose, rows in series(run.read_metrics(folder)).items():
        for row in rows:
            for tag, value in tensorboard.scalars(row).items():
                points = expected.setdefault(("/".join(filter(None, whose)), tag), [])
                points.append((position(row), pytest.approx(value)))
    assert {key[0].split("/")[0] for key in expected} == {"train", "search", "retrain", "export"}
    assert scalars(folder) == expected


def test_a_second_process_is_kept_out(unbroken, tmp_path):
    """While one works, the same command says so and leaves; the first is not disturbed."""
    config, _ = unbroken
    code = "import time; from danas_jax import run\nwith run.lock('run'):\n print('in', flush=True); time.sleep(60)"
    holder = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "in\n"
        started = time.monotonic()
        done = process(tmp_path, ["run", config, "--run-dir", "run"])
        assert done.returncode == 2
        assert f"in use by process {holder.pid}" in done.stderr
        assert time.monotonic() - started < 60
    finally:
        holder.kill()
        holder.communicate()
