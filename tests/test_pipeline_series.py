"""Series through every phase: what is not pictures is trained, searched, exported and predicted by the same code."""

import csv
import dataclasses
import json

import numpy as np
import pytest

from danas_jax import cli, pipeline, run
from danas_jax.config import (
    Config,
    DataSettings,
    ExportSettings,
    Limits,
    RetrainSettings,
    SearchSettings,
    TrainSettings,
)
from danas_jax.config_checks import validate
from danas_jax.config_io import read_config
from danas_jax.space import SearchSpace, Stage
from danas_jax.views.series import SensorSet, SeriesView

VIEW = SeriesView(50, (25, 50), (0.64,), (SensorSet("one", (1,)), SensorSet("all", (0, 1))), (4000, 4000))
SCALE = 0.25


def windows(count, seed, scale=SCALE):
    """A slow or a fast wave in the second channel, noise in the first."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    phase, times = rng.uniform(0, 6, (count, 1)), np.arange(32) / 50
    wave = np.sin(2 * np.pi * np.where(labels, 8, 2)[:, None] * times + phase)
    x = np.stack([rng.normal(0, 300, wave.shape), 800 * wave], axis=-1) / scale
    return {"x": x.round().astype(np.int16), "y": labels, "scale": np.array(scale), "subject": np.arange(count) // 4}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("series")
    (folder / "data").mkdir()
    np.savez(folder / "data" / "train.npz", **windows(160, 0))
    np.savez(folder / "data" / "test.npz", **windows(40, 1, scale=0.5))
    stages = (Stage((4, 8), (1,), 2, (2,), (3, 5)),)
    config = Config(
        name="waves",
        data=DataSettings(source="npz", modality="series", path=str(folder / "data"), group_field="subject"),
        space=SearchSpace("waves", VIEW, (4,), stages, (8,)),
        train=TrainSettings(epochs=6, batch_size=16, calibration_images=32, learning_rate=1e-2),
        search=SearchSettings(population=4, generations=1, rerank=2),
        retrain=RetrainSettings(epochs=6, batch_size=16, calibration_images=32, learning_rate=1e-2),
        export=ExportSettings(calibration_images=32, verify_images=4),
        budgets=(Limits(sram_bytes=32 * 1024),),
    )
    validate(config)
    run.open_run(dataclasses.replace(config, run_dir=str(folder / "run")))
    pipeline.run_phases(config, cli.PHASES, folder / "run")
    return folder


def exported(finished):
    (entry,) = json.loads((finished / "run" / "summary.json").read_text())["finalists"]
    return entry, finished / "run" / "export" / entry["name"]


def test_the_waves_are_told_apart_on_the_board(finished):
    entry, folder = exported(finished)
    assert entry["accuracy"]["int8_test"] >= 0.9
    assert set(entry["data"]) == {"rate_hz", "window_s", "sensors"}
    manifest = json.loads((folder / "manifest.json").read_text())
    height, width, channels = manifest["input"]["shape"][1:]
    assert (height, width) == (round(0.64 * entry["data"]["rate_hz"]), 1)
    assert channels == {"one": 1, "all": 2}[entry["data"]["sensors"]]
    assert manifest["data"]["raw_shape"] == [32, 2] and manifest["data"]["raw_scale"] == [SCALE]
    assert f"the series view, {manifest['data']['text']}" in (folder / "model.h").read_text()


def test_evaluations_have_a_column_per_axis(finished):
    with (finished / "run" / "search" / "evaluations.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["rate_hz"] for row in rows} == {"25.0", "50.0"}
    assert {row["sensors"] for row in rows} == {"one", "all"}


def test_the_config_comes_back(finished):
    assert read_config(finished / "run" / "config.json").space.view == VIEW


def test_predictions_on_an_array_in_another_unit(finished, tmp_path, capsys):
    data = windows(20, 2, scale=1.0)
    np.savez(tmp_path / "new.npz", x=data["x"], scale=data["scale"])
    assert cli.main(["predict", str(finished / "run"), str(tmp_path / "new.npz"), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["predictions"]
    assert rows[3]["file"].endswith("new.npz, row 3")
    right = [int(row["label"]) == label for row, label in zip(rows, data["y"], strict=True)]
    assert np.mean(right) >= 0.9


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.zeros((2, 32, 3), np.int16)}, "windows of (32, 3), the model reads (32, 2)"),
        ({"x": np.full((2, 32, 2), np.nan)}, "row 0: not a number"),
        ({"y": np.zeros(2)}, "has no array 'x'"),
        ({"x": np.zeros((2, 32, 2), np.int16), "scale": np.ones(3)}, "scale is float64 (3,): give a positive number"),
        ({"x": np.zeros((2, 32, 2), np.int16), "scale": np.zeros(())}, "scale is float64 (): give a positive number"),
    ],
)
def test_other_arrays_are_refused(finished, tmp_path, capsys, arrays, message):
    np.savez(tmp_path / "other.npz", **arrays)
    assert cli.main(["predict", str(finished / "run"), str(tmp_path / "other.npz")]) == 2
    assert message in capsys.readouterr().err


def test_evaluation_finds_what_the_run_found(finished, capsys):
    entry, _ = exported(finished)

    def found(*arguments):
        assert cli.main(["evaluate", str(finished / "run"), *map(str, arguments), "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    tested = found(finished / "data", "--split", "test")
    assert tested["figures"]["accuracy"] == pytest.approx(entry["accuracy"]["int8_test"])
    assert tested["notes"] == [
        "40 of the windows are the run's own test split: this is a look at test, choose nothing by it"
    ]
    by_subject = found(finished / "data" / "test.npz", "--slice-fields", "subject")["figures"]["slices"]["subject"]
    assert by_subject.keys() == set(map(str, range(10)))
    trained = found(finished / "data", "--split", "train")["notes"]
    assert len(trained) == 2 and "own validation split, which picked" in trained[1]


def test_a_finished_run_gets_its_projects(finished):
    folder = exported(finished)[1] / "firmware" / "bare"
    assert cli.main(["export", str(finished / "run"), "--firmware", "bare"]) == 0
    assert "DANAS_SERIES_FACTOR" in (folder / "series_config.h").read_text()


def test_pictures_and_cameras_are_refused(finished, tmp_path, capsys):
    (tmp_path / "a.npz").write_bytes(b"no zip")
    assert cli.main(["predict", str(finished / "run"), str(tmp_path)]) == 2
    assert "a.npz: cannot be read as .npz" in capsys.readouterr().err
    assert cli.main(["evaluate", str(finished / "run"), str(tmp_path)]) == 2
    assert "give .npz arrays, or a folder of them" in capsys.readouterr().err
