"""`danas data suspects` on data some of whose labels were flipped: they come first, and test is never read."""

import csv
import dataclasses
import json

import numpy as np
import pytest
from PIL import Image
from pipeline_toys import TOY
from supernet_toys import SPACE, easy_split

from danas_jax import cli, run
from danas_jax.config import DataSettings, RetrainSettings, native_resolution_px
from danas_jax.data.dataset import Data, open_data
from danas_jax.deploy import finalists
from danas_jax.deploy.suspects import class_probabilities

RGB = np.where(np.arange(len(SPACE.axes)) == SPACE.index["colour"], 1, SPACE.min_genes)
FLIPPED = {"train": [3, 10, 31, 54, 77, 90], "validation": [0, 9]}


@pytest.fixture(scope="module")
def flipped(tmp_path_factory):
    """A run's folder with two retrained finalists, its finalists, and the keys of the flipped labels."""
    place = tmp_path_factory.mktemp("flipped")
    keys = set()
    for seed, (split, count) in enumerate({"train": 120, "validation": 24, "test": 24}.items()):
        part = easy_split(count, seed=seed)
        labels = part.labels.copy()
        labels[FLIPPED.get(split, [])] ^= 1
        np.savez(place / f"{split}.npz", x=part.raw, y=labels)
    config = dataclasses.replace(
        TOY,
        data=DataSettings(source="npz", path=str(place)),
        retrain=RetrainSettings(epochs=4, batch_size=16, calibration_images=64, learning_rate=1e-2, inherit=False),
        run_dir=str(place / "run"),
    )
    run.open_run(config)
    data = open_data(config.data, native_resolution_px(config), config.seed)
    for split in ("train", "search", "validation"):
        known = data.load(split, "retrain")
        bright = np.asarray(known.raw).mean((1, 2, 3)) > 128
        keys |= {known.names[i] for i in np.flatnonzero(bright != known.labels)}
    training = finalists.joined(data.load("train", "retrain"), data.load("search", "retrain"))
    chosen = []
    for name, genes in (("mono", SPACE.min_genes), ("rgb", RGB)):
        layers = SPACE.layers(genes, 2)
        chosen.append(finalists.Finalist(name, name, "candidate", layers, SPACE.input(genes), genes, None, None))
        folder = place / "run" / "retrain" / name
        validation = data.load("validation", "retrain")
        finalists.retrain_one(folder, chosen[-1], config, {}, training, validation, None, lambda record: None)
    run.mark_done(place / "run", "retrain", {})
    return place / "run", chosen, keys


def listed(flipped, monkeypatch, capsys, *flags):
    folder, chosen, _ = flipped
    fixed = dataclasses.replace(chosen[0], name="fixed", kind="baseline")  # not asked, it has no weights
    monkeypatch.setattr(finalists, "found", lambda *arguments: [*chosen, chosen[0], fixed])
    assert cli.main(["data", "suspects", str(folder), *flags]) == 0
    return capsys.readouterr().out


def test_flipped_labels_come_first(flipped, monkeypatch, capsys):
    loaded, load = [], Data.load
    monkeypatch.setattr(Data, "load", lambda self, split, *rest: loaded.append(split) or load(self, split, *rest))
    found = json.loads(listed(flipped, monkeypatch, capsys, "--json", "--count", "12"))
    assert found["finalists"] == ["mono", "rgb"]
    assert found["examples"] == {"train": 96, "search": 24, "validation": 24}
    assert set(loaded) == {"train", "search", "validation"}
    rows, keys = found["suspects"], flipped[2]
    assert len(rows) == 12 and len(keys) == 8
    assert sum(row["file"] in keys for row in rows[:8]) >= 7
    assert {row["split"] for row in rows if row["file"] in keys} >= {"train", "validation"}
    probabilities = [row["probability"] for row in rows]
    assert probabilities == sorted(probabilities)
    first = rows[0]
    assert first["label"] != first["answer"]
    assert first["probability"] + first["answer_probability"] == pytest.approx(1, abs=1e-6)
    with open(found["table"], newline="") as file:
        assert [row["file"] for row in csv.DictReader(file)] == [row["file"] for row in rows]


def test_the_sheet_shows_the_pictures_in_the_tables_order(flipped, monkeypatch, capsys):
    found = json.loads(listed(flipped, monkeypatch, capsys, "--json", "--count", "7"))
    with Image.open(found["sheet"]) as image:
        sheet = np.asarray(image.convert("L")).astype(int)
    assert sheet.shape == (2 * (2 * 16 + 148), 6 * 148)
    data = open_data(DataSettings(source="npz", path=str(flipped[0].parent)), 24, 0)
    pictures = {
        name: raw for s in ("train", "search", "validation")
        for name, raw in zip(data.load(s, "retrain").names, data.load(s, "retrain").raw, strict=True)
    }  # fmt: skip
    for i, row in enumerate(found["suspects"]):
        top, left = i // 6 * 180 + 32, i % 6 * 148
        assert sheet[top : top + 144, left : left + 144].mean() == pytest.approx(pictures[row["file"]].mean(), abs=3)


def test_text_says_what_it_can_not_tell(flipped, monkeypatch, capsys):
    text = listed(flipped, monkeypatch, capsys, "--count", "3")
    assert "96 of train, 24 of search, 24 of validation, judged by 2 retrained finalists" in text
    assert "a hard example is no error" in text
    assert "test" not in text.replace(str(flipped[0]), "")


def test_probabilities_are_the_networks_mean_whatever_the_chunk(flipped, monkeypatch):
    folder, chosen, _ = flipped
    parts = [easy_split(300, seed=5).raw, easy_split(3, seed=6).raw]
    told = []
    both = class_probabilities(folder, chosen, parts, lambda *counts: told.append(counts))
    single = [class_probabilities(folder, [finalist], parts) for finalist in chosen]
    for i, part in enumerate(parts):
        assert both[i].shape == (len(part), 2)
        np.testing.assert_allclose(both[i].sum(1), 1, rtol=1e-6)
        np.testing.assert_allclose(both[i], (single[0][i] + single[1][i]) / 2, rtol=1e-9)
        assert np.ptp(both[i][:, 0]) > 0.3
    np.testing.assert_allclose(class_probabilities(folder, chosen, [parts[0][250:]])[0], both[0][250:], rtol=1e-4)
    assert told[-1] == (606, 606)


@pytest.mark.parametrize(
    ("flags", "message"), [((), "holds no retrained finalists"), (("--count", "0"), "--count = 0")]
)
def test_bad_input_is_named(tmp_path, capsys, flags, message):
    assert cli.main(["data", "suspects", str(tmp_path), *flags]) == 2
    assert message in capsys.readouterr().err
