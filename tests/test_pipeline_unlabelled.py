"""A whole job with pictures without labels and no teacher, by the command line: unbroken, and killed on its way."""

import json

import numpy as np
import pytest
from pipeline_toys import TAUGHT, config_file
from test_unlabelled import saved, scenes

from danas_jax import cli, disk
from danas_jax.data.dataset import open_data
from danas_jax.supernet.checkpoint import Checkpoints

PICTURES = 40


@pytest.fixture(scope="module")
def finished(place):
    data = open_data(TAUGHT.data, (48, 48), 0)
    saved(place / "pile", scenes(PICTURES))
    saved(place / "pile" / "leaked", np.asarray(data.load("test", "test").raw)[:2], quality=80)
    flags = ["--data.unlabelled", "pile", "--data.unlabelled-share", "0.4", "--data.native-resolution-px", "48"]
    flags += ["--train.mixup", "0", "--train.checkpoint-every-s", "0", "--data.cache-dir", "none"]
    arguments = [config_file(place, "TAUGHT"), *flags, "--retrain.epochs", "2"]
    assert cli.main(["run", *arguments]) == 0
    return place, arguments


def test_what_became_of_them_is_written_and_reported(finished):
    folder = finished[0] / "runs" / "taught"
    config = json.loads((folder / "config.json").read_text())
    assert config["data"]["unlabelled"] == str(finished[0] / "pile")
    found = json.loads((folder / "report" / "unlabelled.json").read_text())
    assert [copy["file"] for copy in found["copies"]] == ["leaked/0.jpg", "leaked/1.jpg"]
    assert {copy["split"] for copy in found["copies"]} == {"test"}
    # 32 of train and 8 of the search slice; two unlabelled ones on three with a label.
    assert found["train"] == {
        "teacher": "the largest subnet, at each step", "pictures": PICTURES, "shown": PICTURES, "per_epoch": 21,
        "labelled": 32,
    }  # fmt: skip
    assert found["retrain"]["per_epoch"] == 26 and found["retrain"]["teacher"] == "the largest subnet"
    text = (folder / "report" / "report.md").read_text()
    assert "leaked/1.jpg" in text and "2 copies of pictures that judge, left out" in text
    history = next(folder.glob("retrain/*/history.json"))
    assert json.loads(history.read_text())["image_views"] == 2 * 16 * (66 // 16)
    answers = disk.read_arrays(folder / "retrain" / "unlabelled.npz")["probabilities"]
    assert answers.shape == (PICTURES, 2) and answers.astype(float).sum(axis=1) == pytest.approx(1, abs=2e-3)


def test_a_killed_run_ends_with_the_same_networks(finished, monkeypatch):
    place, arguments = finished
    arguments = [*arguments, "--run-dir", "killed"]
    real, deaths = Checkpoints.save, ["supernet", "retrain"]

    def save(self, step, state):
        real(self, step, state)
        if deaths and deaths[0] in str(self.folder) and step < 3:
            deaths.pop(0)
            raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoints, "save", save)
    assert cli.main(["train", *arguments]) != 0 and deaths == ["retrain"]
    assert cli.main(["run", *arguments]) != 0 and not deaths
    assert cli.main(["run", *arguments]) == 0
    unbroken = place / "runs" / "taught"
    for path in (unbroken / "supernet" / "weights.npz", *unbroken.glob("retrain/*/weights.npz")):
        other = place / "killed" / path.relative_to(unbroken)
        with np.load(path) as one, np.load(other) as two:
            assert set(one) == set(two) and all((one[name] == two[name]).all() for name in one)
