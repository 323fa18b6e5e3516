"""A whole job with teachers, by the command line."""

import json
import shutil

import pytest
from pipeline_toys import config_file
from teacher_files import onnx_file

from danas_jax import cli


@pytest.fixture(scope="module")
def finished(place):
    teacher = onnx_file(place / "t.onnx", [[-9.0, 9]] * 3, [9, -9])
    config = config_file(place, "TAUGHT")
    flags = ["--train.teacher", "t.onnx", "--retrain.teacher", str(teacher), "--retrain.teacher-weight", "0.3"]
    flags += ["--retrain.teacher-views", "2", "--data.cache-dir", "none"]
    assert cli.main(["run", config, *flags]) == 0
    return place, [config, *flags]


def test_everything_about_the_teacher_is_there(finished):
    folder = finished[0] / "runs" / "taught"
    config = json.loads((folder / "config.json").read_text())
    assert config["train"]["teacher"] == str(finished[0] / "t.onnx")
    assert config["train"]["teacher_sha256"] == config["retrain"]["teacher_sha256"] != ""
    assert json.loads((folder / "report" / "teacher.json").read_text())["views"] == 2
    assert "t.onnx agrees with the labels" in (folder / "report" / "report.md").read_text()
    assert len(list((folder / "soft_labels").rglob("*.npz"))) == 4 + 2  # of train; of train and search
    assert (folder / "summary.json").exists()


def test_another_teacher_is_refused_and_a_moved_one_is_not(finished, capsys):
    place, arguments = finished
    assert cli.main(["run", *arguments]) == 0
    (place / "elsewhere").mkdir()
    moved = str(shutil.copy(place / "t.onnx", place / "elsewhere" / "t.onnx"))
    assert cli.main(["run", *[moved if a == "t.onnx" else a for a in arguments]]) == 0
    other = onnx_file(place / "elsewhere" / "t.onnx", [[9.0, -9]] * 3, [9, -9])
    capsys.readouterr()
    assert cli.main(["run", *[str(other) if a == "t.onnx" else a for a in arguments]]) == 2
    assert "train.teacher_sha256: was" in capsys.readouterr().err
