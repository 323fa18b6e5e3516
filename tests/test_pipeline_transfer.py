"""A whole job that begins with another run's weights, by the command line."""

import csv
import json
import shutil

import numpy as np
import pytest
from pipeline_toys import config_file

from danas_jax import cli, disk, reuse
from danas_jax.supernet.checkpoint import Checkpoints

FLAGS = ["--train.init-from", "source", "--train.init-rate", "0.5", "--data.cache-dir", "none"]
FLAGS += ["--retrain.init-from", "source/supernet/weights.npz"]


@pytest.fixture(scope="module")
def finished(place):
    assert cli.main(["train", config_file(place, "TAUGHT"), "--run-dir", "source", "--data.cache-dir", "none"]) == 0
    config = config_file(place, "WIDENED")
    assert cli.main(["run", config, *FLAGS]) == 0
    return place, config


def table(path):
    return {row["block"]: row["what"] for row in csv.DictReader(path.read_text().splitlines())}


def test_what_came_over_is_told_and_kept(finished):
    folder = finished[0] / "runs" / "widened"
    config = json.loads((folder / "config.json").read_text())
    assert config["train"]["init_from"] == str(finished[0] / "source" / reuse.WEIGHTS)
    assert config["train"]["init_sha256"] == config["retrain"]["init_sha256"] != ""
    whole = {"stem": "padded", "s0.b0": "padded", "head": "padded", "classifier": "taken"}
    assert table(folder / "supernet" / "init_from.csv") == whole
    (finalist,) = (folder / "retrain").iterdir()
    assert set(table(finalist / "init_from.csv")) == set(whole)
    assert (folder / "summary.json").exists()


def test_a_killed_training_needs_its_source_no_more_and_gives_the_same(finished, monkeypatch, capsys):
    place, config = finished
    real = Checkpoints.save

    def dying(self, step, state):
        real(self, step, state)
        raise KeyboardInterrupt

    command = ["train", config, *FLAGS, "--run-dir", "killed"]
    with monkeypatch.context() as patched:
        patched.setattr(Checkpoints, "save", dying)
        assert cli.main(command) != 0
    assert "init-from:" in capsys.readouterr().out
    assert not (place / "killed" / reuse.WEIGHTS).exists()
    (place / "source").rename(place / "away")
    try:
        assert cli.main(["train", "killed"]) == 0
    finally:
        (place / "away").rename(place / "source")
    assert "init-from:" not in capsys.readouterr().out
    same = [(place / name / reuse.WEIGHTS).read_bytes() for name in ("killed", "runs/widened")]
    assert same[0] == same[1]
    shutil.rmtree(place / "killed")
    assert cli.main([*command, "--train.init-rate", "1"]) == 0
    assert (place / "killed" / reuse.WEIGHTS).read_bytes() != same[0]


def test_bad_input_is_said_before_anything_is_computed(finished, capsys):
    place, config = finished
    (place / "no-run").mkdir()
    shutil.copytree(place / "source", place / "others")
    disk.write_arrays(place / "alien.npz", {"c0.conv": {"kernel": np.ones((1, 1, 3, 4)), "bias": np.ones(4)}})
    names = json.loads((place / "others/.phases/train.json").read_text())
    names["classes"] = ["x", "y"]
    (place / "others/.phases/train.json").write_text(json.dumps(names))
    capsys.readouterr()
    for flags, says in (
        (["--train.init-from", "nowhere"], "train.init_from = "),
        (["--retrain.init-from", "no-run"], "holds no config.json"),
        (["--train.init-from", "runs/widened/summary.json"], "give a run's folder or a .npz"),
        (["--train.init-from", "runs/widened/export"], "holds no config.json"),
        (["--train.init-from", "alien.npz"], "no block of it is one of this network's (stem: not in the source"),
        (["--train.init-rate", "0.5"], "train.init_rate = 0.5: give --train.init-from, too"),
        (["--train.init-from", "source", "--train.init-rate", "2"], "train.init_rate = 2.0: give a share from 0 to 1"),
        (["--search.accuracy-from", "training", "--train.init-from", "source"], "train.init_from: needs a supernet"),
    ):
        assert cli.main(["train", config, *flags, "--run-dir", "bad"]) == 2
        assert says in capsys.readouterr().err
        assert not (place / "bad" / "supernet").exists()
    given = ["run", config, *FLAGS]
    assert cli.main([*given, "--train.init-from", "others"]) == 2  # the same weights of other classes
    assert "train.init_sha256: was" in capsys.readouterr().err
    assert cli.main(given) == 0
