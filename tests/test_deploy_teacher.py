"""Distillation: the teacher's answers, not the labels, where all of the targets are its; its pass and its resuming."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from supernet_toys import SPACE, easy_split, supernet_params

from danas_jax.config import RetrainSettings
from danas_jax.deploy import retrain as module
from danas_jax.deploy.teacher import largest_subnet
from danas_jax.supernet.checkpoint import Checkpoints
from danas_jax.supernet.evaluate import network_program
from danas_jax.supernet.network import init_variables

CLASSES = 2
RECIPE = RetrainSettings(
    epochs=3, batch_size=16, calibration_images=32, learning_rate=5e-2, validate_every_epochs=3, distillation=1.0
)
TRAINING, VALIDATION = easy_split(96), easy_split(32, seed=1)


def teacher(favourite=None):
    """The largest subnet; with a favourite it answers that class whatever it sees."""
    params = supernet_params(num_classes=CLASSES)
    if favourite is not None:
        bias = np.zeros(CLASSES, np.float32)
        bias[favourite] = 50
        params["classifier"] = {"kernel": np.zeros_like(params["classifier"]["kernel"]), "bias": bias}
    return largest_subnet(SPACE, params, SPACE.max_genes, CLASSES, TRAINING, 32, seed=0)


def retrained(folder, recipe, known, log=lambda record: None):
    layers = SPACE.layers(SPACE.min_genes, CLASSES)
    source = SPACE.input(SPACE.min_genes)
    saved = Checkpoints(folder)
    done = module.retrain(
        layers, source, init_variables(layers, 0)[0], recipe, TRAINING, VALIDATION, 3, saved, log, teacher=known
    )
    saved.close()
    images = source.deployed(VALIDATION.raw)
    logits = network_program(layers)[1](done.params, done.stats, jnp.asarray(images[None]))[0]
    return done, np.asarray(logits).argmax(-1)


def test_it_reads_the_largest_view_and_its_own_statistics():
    known = teacher()
    assert known.source.shape == (SPACE.view.resolutions_px[-1],) * 2 + (3,)
    views = jnp.asarray(VALIDATION.raw, jnp.float32)
    answers = np.asarray(known.probabilities(known.variables, views))
    assert answers.shape == (len(VALIDATION), CLASSES)
    assert answers.sum(-1) == pytest.approx(np.ones(len(VALIDATION)), abs=1e-5)
    assert np.ptp(answers[:, 0]) > 1e-3
    moved = {**known.variables, "batch_stats": {**known.variables["batch_stats"]}}
    stem = moved["batch_stats"]["stem"]
    moved["batch_stats"]["stem"] = {"mean": stem["mean"] + 1, "var": stem["var"]}
    assert np.abs(np.asarray(known.probabilities(moved, views)) - answers).max() > 1e-3


@pytest.mark.parametrize("favourite", [0, 1])
def test_all_of_the_targets_are_the_teachers(tmp_path, favourite):
    _, answers = retrained(tmp_path, RECIPE, teacher(favourite))
    assert (answers == favourite).all()


def test_a_share_of_none_leaves_the_labels(tmp_path):
    without, answers = retrained(tmp_path / "a", dataclasses.replace(RECIPE, distillation=0.0), None)
    with_it, same = retrained(tmp_path / "b", dataclasses.replace(RECIPE, distillation=0.0), teacher(1))
    assert (answers == same).all() and len(set(answers)) == 2
    assert [row["loss"] for row in with_it.history] == pytest.approx([row["loss"] for row in without.history], abs=1e-5)


def test_a_killed_training_goes_on_to_the_same_losses(tmp_path):
    whole, _ = retrained(tmp_path / "whole", RECIPE, teacher())

    def killed(record):
        if record["epoch"] == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        retrained(tmp_path / "torn", RECIPE, teacher(), killed)
    again, _ = retrained(tmp_path / "torn", RECIPE, teacher())
    assert again.history == whole.history
