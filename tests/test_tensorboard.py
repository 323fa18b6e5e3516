"""TensorBoard's event files: what a reader finds is metrics.jsonl, each step once, after any kill."""

import importlib
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from event_files import crc32c, events, scalars

from danas_jax import run, tensorboard

pytest.importorskip("tensorboardX")  # an extra
REPOSITORY = Path(__file__).resolve().parent.parent


def log(folder, records):
    """What a session of the pipeline does with its records."""
    with tensorboard.writer(folder) as write:
        for record in records:
            run.append_metrics(folder, record)
            write(record)


def train(*steps, loss=0.5):
    return [{"phase": "train", "unix_time_s": 7.5, "step": s, "steps": 90, "epoch": 0, "loss": loss} for s in steps]


def test_the_checksum_is_castagnolis():
    assert crc32c(b"123456789") == 0xE3069283


def test_every_number_is_read_back_under_its_phase_and_network(tmp_path):
    fit = {"phase": "retrain", "name": "a.b", "epoch": 2, "epochs": 4, "validation_accuracy": 0.75, "loss": None}
    search = {"phase": "search", "step": 1, "hypervolume": [0.25, 0.5], "evaluations": 12, "steps": None}
    log(tmp_path, [*train(10), fit, search])
    assert scalars(tmp_path) == {
        ("train", "loss"): [(10, 0.5)],
        ("retrain/a.b", "validation_accuracy"): [(2, 0.75)],
        ("search", "hypervolume/0"): [(1, 0.25)],
        ("search", "hypervolume/1"): [(1, 0.5)],
        ("search", "evaluations"): [(1, 12.0)],
    }
    (path,) = (tmp_path / "tensorboard/train").iterdir()
    first, second, third = events(path)
    assert (first.file_version, second.HasField("session_log"), third.wall_time) == ("brain.Event:2", True, 7.5)


def test_a_resumed_run_has_every_step_once(tmp_path):
    """The kill lost the steps after the checkpoint, and left a torn record and a file of an unfinished session."""
    log(tmp_path, train(10, 20, 30, loss=0.5))
    (path,) = (tmp_path / "tensorboard/train").iterdir()
    path.write_bytes(path.read_bytes()[:-3])
    log(tmp_path, train(15, 25, 35, loss=0.25))
    assert scalars(tmp_path) == {("train", "loss"): [(10, 0.5), (15, 0.25), (25, 0.25), (35, 0.25)]}
    assert path.stat().st_size == 0  # there still: a TensorBoard that reads it would wait for it for ever


def test_what_is_complete_is_not_written_again(tmp_path):
    log(tmp_path, train(10, 20))
    (path,) = (tmp_path / "tensorboard/train").iterdir()
    before = path.stat().st_mtime_ns
    log(tmp_path, [{"phase": "search", "step": 1, "evaluations": 3}])
    assert path.stat().st_mtime_ns == before
    assert list(path.parent.iterdir()) == [path]


def test_a_reader_that_saw_both_files_forgets_the_earlier(tmp_path):
    """As a TensorBoard does that watches while the run is resumed."""
    log(tmp_path, train(10, 20))
    (path,) = (tmp_path / "tensorboard/train").iterdir()
    seen = path.read_bytes()
    log(tmp_path, train(15))
    path.write_bytes(seen)
    assert scalars(tmp_path) == {("train", "loss"): [(10, 0.5), (15, 0.5)]}


def test_a_session_completes_what_earlier_ones_did_not_write(tmp_path):
    """tensorboardX came later, or the process died between metrics.jsonl and the event file."""
    for record in train(10, 20):
        run.append_metrics(tmp_path, record)
    with open(tmp_path / "metrics.jsonl", "a") as file:
        file.write("rubbish\n")
    log(tmp_path, [{"phase": "search", "step": 1, "evaluations": 3}])
    assert scalars(tmp_path) == {("train", "loss"): [(10, 0.5), (20, 0.5)], ("search", "evaluations"): [(1, 3.0)]}


def test_a_record_is_there_at_once_and_waits_for_no_disk(tmp_path, monkeypatch):
    with tensorboard.writer(tmp_path) as write:
        for step in (1, 2, 3):
            if step == 2:
                monkeypatch.setattr(os, "fsync", lambda *_: pytest.fail("a step waits for the disk"))
            (record,) = train(step)
            run.append_metrics(tmp_path, record)
            write(record)
            assert scalars(tmp_path)["train", "loss"][-1][0] == step


def test_networks_retrained_at_a_time_have_files_of_their_own(tmp_path):
    rows = {name: [{"phase": "retrain", "name": name, "epoch": e, "loss": 0.5} for e in range(20)] for name in "abc"}
    with tensorboard.writer(tmp_path) as write:

        def work(name):
            for record in rows[name]:
                run.append_metrics(tmp_path, record)
                write(record)

        threads = [threading.Thread(target=work, args=name) for name in rows]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert {key: [step for step, _ in points] for key, points in scalars(tmp_path).items()} == {
        (f"retrain/{name}", "loss"): list(range(20)) for name in "abc"
    }


def test_a_name_stays_inside_the_folder(tmp_path):
    (tmp_path / "r").mkdir()
    log(tmp_path / "r", [{"phase": "..", "name": "../../x", "step": 1, "loss": 1.0}])
    assert {p.name for p in tmp_path.iterdir()} == {"r"}
    assert {p.name for p in (tmp_path / "r").iterdir()} == {"metrics.jsonl", "tensorboard"}
    assert len(scalars(tmp_path / "r")) == 1


def test_without_tensorboardx_one_line_says_so(tmp_path, capsys):
    code = (
        "import sys; sys.modules['tensorboardX'] = None\n"
        "from danas_jax import tensorboard\n"
        f"with tensorboard.writer({str(tmp_path)!r}) as write:\n"
        "    write({'phase': 'train', 'step': 1, 'loss': 1.0})\n"
        "    write({'phase': 'train', 'step': 2, 'loss': 1.0})\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout.count("\n") == 1
    assert "pip install tensorboardX" in done.stdout
    assert done.stderr == ""
    assert list(tmp_path.iterdir()) == []


def test_a_tensorboardx_that_cannot_be_imported_is_no_crash(tmp_path, capsys, monkeypatch):
    def broken(name):
        raise TypeError("Descriptors cannot be created directly.")

    monkeypatch.setattr(importlib, "import_module", broken)
    log(tmp_path, train(1, 2))
    assert capsys.readouterr().out == "tensorboard: no event files: Descriptors cannot be created directly.\n"


def test_a_disk_that_takes_no_event_files_is_said_once(tmp_path, capsys):
    (tmp_path / "tensorboard").write_text("a file")
    log(tmp_path, train(1, 2, 3))
    shown = capsys.readouterr().out
    assert shown.startswith("tensorboard: no more event files: cannot write")
    assert shown.count("\n") == 1
    assert len(run.read_metrics(tmp_path)) == 3
