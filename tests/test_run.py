"""The run directory: atomic files, metrics after a kill, another config, the lock, a full disk."""

import dataclasses
import errno
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from danas_jax import disk, run
from danas_jax.config import Config
from danas_jax.errors import UserError


def test_json_is_sorted_and_ends_with_a_newline(tmp_path):
    disk.write_json(tmp_path / "a.json", {"b": np.float32(0.5), "a": np.arange(2)})
    text = (tmp_path / "a.json").read_text()
    assert text == '{\n  "a": [\n    0,\n    1\n  ],\n  "b": 0.5,\n  "schema_version": 1\n}\n'
    assert disk.read_json(tmp_path / "a.json")["a"] == [0, 1]


def test_compact_json_is_one_line_and_reads_the_same(tmp_path):
    many = {"genes": np.arange(30).reshape(10, 3), "half": [0.5, None]}
    disk.write_json(tmp_path / "a.json", many)
    disk.write_json(tmp_path / "b.json", many, compact=True)
    assert disk.read_json(tmp_path / "b.json") == disk.read_json(tmp_path / "a.json")
    assert (tmp_path / "b.json").read_text().count("\n") == 1 and " " not in (tmp_path / "b.json").read_text()


def test_not_a_number_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="JSON compliant"):
        disk.write_json(tmp_path / "a.json", {"x": float("nan")})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "text", ["", "{", "[1]", '{"schema_version": 2}', "{}", '{"schema_version": 1, "x": NaN}', "\xff"]
)
def test_damaged_json_is_named(tmp_path, text):
    (tmp_path / "a.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match=r"a\.json"):
        disk.read_json(tmp_path / "a.json")


def test_a_failed_write_keeps_the_old_file_and_leaves_nothing_behind(tmp_path, monkeypatch):
    disk.write_text(tmp_path / "a", "old")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match="disk full"):
        disk.write_text(tmp_path / "a", "new")
    assert (tmp_path / "a").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_what_a_killed_write_left_is_removed_when_the_run_is_opened(tmp_path):
    config = Config("toy", run_dir=str(tmp_path / "run"))
    with run.opened(config) as folder:
        pass
    code = (
        "import os, sys; from pathlib import Path; from danas_jax import disk\n"
        "os.replace = lambda *paths: os._exit(9)\n"
        "disk.write_json(Path(sys.argv[1]) / 'sub' / 'a.json', {})"
    )
    assert subprocess.run([sys.executable, "-c", code, str(folder)], check=False).returncode == 9
    mine = folder / ".mine.tmp"
    mine.touch()
    assert len(list(folder.rglob(".*.tmp"))) == 2
    with run.opened(config):
        assert list(folder.rglob(".*.tmp")) == [mine]


def test_a_write_is_synced_before_it_replaces(tmp_path, monkeypatch):
    calls = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda *a: (calls.append("fsync"), fsync(*a)))
    monkeypatch.setattr(os, "replace", lambda *a: (calls.append("replace"), replace(*a)))
    disk.write_text(tmp_path / "a", "x")
    assert calls == ["fsync", "replace"]


def test_full_disk_is_reported_by_metrics_too():
    with pytest.raises(UserError, match="disk full"), disk.writing("metrics.jsonl"):
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_full_disk_for_real(tmp_path):
    (tmp_path / "metrics.jsonl").symlink_to("/dev/full")
    with pytest.raises(UserError, match="disk full"):
        run.append_metrics(tmp_path, {"phase": "train"})


def test_a_torn_last_line_is_ignored_and_repaired(tmp_path):
    for step in range(3):
        run.append_metrics(tmp_path, {"phase": "train", "step": step, "loss": float("inf") if step == 1 else 0.5})
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(path.read_bytes()[:-5])
    assert [r["step"] for r in run.read_metrics(tmp_path)] == [0, 1]
    run.append_metrics(tmp_path, {"step": 9})
    records = run.read_metrics(tmp_path)
    assert [r["step"] for r in records] == [0, 1, 9]
    assert records[1]["loss"] is None


def test_damage_inside_the_metrics_is_named(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\nrubbish\n{"step": 2}\n')
    with pytest.raises(UserError, match="line 2 is damaged"):
        run.read_metrics(tmp_path)


def test_open_run_refuses_another_config_once_there_are_results(tmp_path):
    config = Config(name="x", run_dir=str(tmp_path / "r"))
    folder = run.open_run(config)
    assert run.open_run(config) == folder
    provenance = disk.read_json(folder / "provenance.json")
    assert len(provenance["sessions"]) == 1
    assert provenance["sessions"][0]["versions"]["numpy"] == np.__version__

    other = dataclasses.replace(config, seed=5)
    run.open_run(other)  # nothing was computed: the settings may still change
    assert disk.read_json(folder / "config.json")["seed"] == 5
    run.mark_done(folder, "train")
    with pytest.raises(UserError, match="seed: was 5, is 0"):
        run.open_run(config)
    moved = tmp_path / "moved"
    folder.rename(moved)
    assert run.open_run(dataclasses.replace(other, run_dir=str(moved))) == moved


def test_open_run_leaves_foreign_folders_alone(tmp_path):
    (tmp_path / "holiday.jpg").touch()
    with pytest.raises(UserError, match="not empty"):
        run.open_run(Config(name="x", run_dir=str(tmp_path)))
    with pytest.raises(UserError, match="is a file"):
        run.open_run(Config(name="x", run_dir=str(tmp_path / "holiday.jpg")))
    with pytest.raises(UserError, match="not empty"), run.lock(tmp_path):
        pass
    assert [p.name for p in tmp_path.iterdir()] == ["holiday.jpg"]


def test_phase_markers(tmp_path):
    assert not run.phase_done(tmp_path, "train")
    run.mark_done(tmp_path, "train", {"views": 12})
    assert run.phase_done(tmp_path, "train")
    assert run.phase_payload(tmp_path, "train")["views"] == 12


def hold(folder, ready):
    with run.lock(folder):
        ready.set()
        time.sleep(60)


def test_the_lock_names_its_process_and_dies_with_it(tmp_path):
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    process = context.Process(target=hold, args=(tmp_path, ready))
    process.start()
    try:
        assert ready.wait(30)
        with pytest.raises(UserError, match=f"in use by process {process.pid}"), run.lock(tmp_path):
            pass
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.join()
    with run.lock(tmp_path):
        assert (tmp_path / ".lock").read_text() == f"{os.getpid()}\n"


def test_metrics_lines_are_json(tmp_path):
    run.append_metrics(tmp_path, {"phase": "train", "loss": np.float32(0.25)})
    assert json.loads((tmp_path / "metrics.jsonl").read_text()) == {"phase": "train", "loss": 0.25}
