"""Examples of a training's steps: resident or streamed, the same training to the bit, also when it goes on."""

import dataclasses
import types

import jax
import numpy as np
import pytest
from supernet_toys import BOUNDS, SPACE, assert_same_trees, easy_split

from danas_jax import memory
from danas_jax.config import RetrainSettings, TrainSettings
from danas_jax.data.feed import Feed
from danas_jax.data.rows import Rows
from danas_jax.deploy.retrain import retrain
from danas_jax.devices import ONE
from danas_jax.supernet.checkpoint import Checkpoints
from danas_jax.supernet.network import init_variables
from danas_jax.supernet.train import train

RAW = np.arange(40 * 6, dtype=np.int16).reshape(40, 6)
SPLIT = easy_split(40)
SETTINGS = TrainSettings(epochs=2, batch_size=8, checkpoint_every_s=0, calibration_images=16)


def rows(step):
    return np.random.default_rng(step).permutation(40)[:8]


@pytest.mark.parametrize("raw", [RAW, Rows(RAW[::-1], np.arange(39, -1, -1))])
@pytest.mark.parametrize("resident", ["always", "never"])
def test_a_batch_is_the_steps_rows(raw, resident):
    source = Feed(raw, rows, 5, resident)
    for step in (2, 3, 4):
        found, places = source.batch(step)
        assert len(found) == (40 if resident == "always" else 8)
        np.testing.assert_array_equal(np.asarray(found)[places], RAW[rows(step)])
    source.close()


def test_it_reads_ahead_and_not_beyond_the_end():
    asked = []
    source = Feed(RAW, lambda step: asked.append(step) or rows(step), 3, "never")
    source.batch(0)
    source.close()
    assert set(asked) <= {0, 1, 2}
    source = Feed(RAW, lambda step: asked.append(step) or rows(step), 3, "never")
    for step in range(3):
        source.batch(step)
    source.close()
    assert sorted(asked)[-1] == 2
    assert source.waited_s > 0


def test_what_fits_stays_on_the_device(monkeypatch):
    assert Feed(RAW, rows, 1).resident
    monkeypatch.setattr(memory, "SHARE", 1e-12)
    assert not Feed(RAW, rows, 1).resident


def test_what_did_not_fit_after_all_is_streamed_unless_it_must_stay(capsys):
    def exhausted(tree):
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 1 bytes.")

    devices = types.SimpleNamespace(
        **{name: getattr(ONE, name) for name in ("mesh", "from_first", "rows_here", "batch_of")}
    )
    devices.replicate = exhausted
    source = Feed(RAW, rows, 5, "auto", devices)
    assert not source.resident and "all 40 examples on the device, streamed from now on" in capsys.readouterr().out
    found, places = source.batch(2)
    np.testing.assert_array_equal(np.asarray(found)[places], RAW[rows(2)])
    source.close()
    with pytest.raises(jax.errors.JaxRuntimeError):
        Feed(RAW, rows, 5, "always", devices)


@pytest.fixture(scope="module")
def resident(tmp_path_factory):
    return supernet(tmp_path_factory.mktemp("resident"), "always")


def supernet(folder, how, log=lambda record: None):
    saved = Checkpoints(folder)
    try:
        return train(SPACE, SETTINGS, BOUNDS, SPLIT, 2, 0, saved, log, how)
    finally:
        saved.close()


def test_a_streamed_supernet_is_the_resident_one_also_when_it_goes_on(resident, tmp_path):
    class Killed(Exception):
        pass

    def log(record):
        if record["step"] >= 4:
            raise Killed

    saved = Checkpoints(tmp_path)

    class Killing(Checkpoints):
        def save(self, step, state):
            super().save(step, state)
            if step == 4:
                raise Killed

    saved.close()
    dying = Killing(tmp_path)
    with pytest.raises(Killed):
        train(SPACE, SETTINGS, BOUNDS, SPLIT, 2, 0, dying, log, "never")
    dying.close()
    assert_same_trees(supernet(tmp_path, "never"), resident)


def test_a_streamed_retraining_is_the_resident_one(tmp_path, monkeypatch):
    genes = SPACE.max_genes
    layers, source = SPACE.layers(genes, 2), SPACE.input(genes)
    recipe = RetrainSettings(epochs=2, batch_size=8, calibration_images=16)
    found = []
    for share in (0.4, 1e-12):
        monkeypatch.setattr(memory, "SHARE", share)
        saved = Checkpoints(tmp_path / str(share))
        split = dataclasses.replace(SPLIT, raw=Rows(SPLIT.raw))
        found.append(retrain(layers, source, init_variables(layers, 0)[0], recipe, split, SPLIT, 0, saved).params)
        saved.close()
    assert_same_trees(*found)
