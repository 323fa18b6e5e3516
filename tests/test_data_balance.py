"""Classes of unequal size: weights and orders counted by hand, and what they do to gradients and trained networks."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from supernet_toys import BOUNDS, SPACE, noise

from danas_jax.config import RetrainSettings, TrainSettings
from danas_jax.data.balance import balanced_weights, epoch_order, shown_order
from danas_jax.data.batches import class_weights_of, training_batch, view_number
from danas_jax.data.dataset import Split
from danas_jax.deploy import epochs
from danas_jax.devices import Devices
from danas_jax.supernet.checkpoint import Checkpoints
from danas_jax.supernet.distil import label_loss
from danas_jax.supernet.plan import Plan
from danas_jax.supernet.train import batch_program
from danas_jax.views.image import ImageData, ImageView

LABELS = np.repeat([0, 1, 2], [60, 6, 34]).astype(np.int32)
PX = 12


def order(epoch, seed=0, stream=1, labels=LABELS):
    return epoch_order(len(labels), labels, seed, stream, epoch)


def test_weights_are_one_on_average_and_equal_per_class():
    weights = balanced_weights(LABELS, 3)
    assert weights.dtype == np.float32
    np.testing.assert_allclose(weights, [100 / 180, 100 / 18, 100 / 102], rtol=1e-6)
    np.testing.assert_allclose(np.bincount(LABELS, weights[LABELS]), 100 / 3, rtol=1e-6)
    assert class_weights_of(LABELS, 3, TrainSettings()) is None
    assert np.isfinite(balanced_weights(LABELS, 4)).all()  # a class without examples


def test_without_classes_an_epoch_is_the_plain_permutation():
    expected = np.random.default_rng([3, 1, 7]).permutation(50)
    np.testing.assert_array_equal(epoch_order(50, None, 3, 1, 7), expected)


@pytest.mark.parametrize("labels", [LABELS, np.arange(7), np.repeat([0, 5], [1, 64])])
def test_every_class_comes_equally_often(labels):
    for epoch in range(4):
        drawn = order(epoch, labels=labels)
        assert drawn.shape == labels.shape
        counts = np.unique(labels[drawn], return_counts=True)[1]
        assert len(counts) == len(np.unique(labels))
        assert np.ptp(counts) <= 1
        appearances = np.bincount(drawn, minlength=len(labels))
        assert all(np.ptp(appearances[labels == label]) <= 2 for label in np.unique(labels))


def test_of_a_large_class_every_row_has_its_turn():
    """Two epochs of 34 of the 60 show all of them (one of each epoch may give way to the surplus)."""
    shown = np.bincount(np.concatenate([order(epoch) for epoch in range(4)]), minlength=100)
    assert (shown[:60] >= 1).all()
    assert (shown[:60] <= 3).all()


def test_the_order_is_a_function_of_seed_stream_and_epoch():
    np.testing.assert_array_equal(order(5), order(5))
    others = [order(4), order(5, seed=1), order(5, stream=5)]
    assert not any(np.array_equal(order(5), other) for other in others)
    assert len(set(LABELS[order(5)][:20])) == 3  # shuffled, not class after class


def test_an_epochs_order_is_made_once(monkeypatch):
    """Of a million images it takes longer than a step may."""
    made = []

    def counted(*arguments):
        made.append(arguments[-1])
        return shown_order(*arguments)

    monkeypatch.setattr("danas_jax.supernet.plan.shown_order", counted)
    plan = Plan(SPACE, TrainSettings(epochs=2, batch_size=4), BOUNDS, 10, 0)
    rows = [plan.rows(step).tolist() for step in range(4)]
    assert made == [0, 1]
    assert len(set(rows[0] + rows[1])) == 8 and rows[:2] != rows[2:]


def test_the_plan_samples_the_labels_it_is_given():
    settings = TrainSettings(epochs=1, batch_size=10, sampling="balanced")
    plan = Plan(SPACE, settings, BOUNDS, 100, 0, LABELS)
    rows = np.concatenate([plan.rows(step) for step in range(10)])
    np.testing.assert_array_equal(rows, order(0))
    plain = dataclasses.replace(plan, settings=TrainSettings(epochs=1, batch_size=10))
    assert sorted(np.concatenate([plain.rows(step) for step in range(10)])) == list(range(100))


def batch(rows, view=0, weights=None, **changes):
    settings = dataclasses.replace(TrainSettings(label_smoothing=0.3), **changes)
    images, labels = jnp.asarray(noise(4, 16)), jnp.array([2, 0, 1, 1])

    def codes_of(keys, raw):
        return ImageView((PX,)).training(keys, raw, ImageData(PX, "rgb"), settings)

    return training_batch(images, labels, 0, jnp.asarray(rows), jnp.asarray(rows), view, codes_of, 3, settings, weights)


def test_a_weighted_example_weighs_its_loss_and_its_gradient():
    weights = np.array([0.5, 2.0, 4.0], np.float32)
    (_, plain), (_, weighted) = batch([3, 0, 1]), batch([3, 0, 1], weights=weights)
    np.testing.assert_allclose(weighted, plain * np.array([[2.0], [4.0], [0.5]]), rtol=1e-6)
    logits = jnp.asarray(np.random.default_rng(0).normal(size=(3, 3)).astype(np.float32))
    slopes = [np.asarray(jax.grad(label_loss)(logits, targets)) for targets in (plain, weighted)]
    np.testing.assert_allclose(slopes[1], slopes[0] * np.array([[2.0], [4.0], [0.5]]), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("mixing", ["mixup", "cutmix"])
def test_each_of_a_mixed_pair_keeps_its_weight(mixing):
    """Of two examples, classes 1 and 2: each one's share times its weight, in its own class."""
    weights = np.array([1.0, 2.0, 8.0], np.float32)
    plain, weighted = (
        np.asarray(batch([3, 0], 3, w, label_smoothing=0.0, **{mixing: 1.0})[1]) for w in (None, weights)
    )
    np.testing.assert_allclose(weighted, plain * weights, rtol=1e-5)


def test_an_example_that_comes_twice_has_two_views():
    balanced = {"sampling": "balanced"}
    found = np.asarray(batch([1, 1], **balanced)[0])
    assert not np.array_equal(found[0], found[1])
    again, later = (np.asarray(batch([1, 1], view, **balanced)[0]) for view in (0, 1))
    np.testing.assert_array_equal(found, again)
    assert not np.array_equal(found, later)
    settings = TrainSettings(**balanced)
    assert len({view_number(settings, epoch, i, 5) for epoch in range(3) for i in range(5)}) == 15
    assert view_number(TrainSettings(), 2, 3, 5) == 2


def test_the_supernets_batches_are_weighted_by_the_whole_split():
    settings = TrainSettings(batch_size=2, class_weights="balanced")
    program = batch_program(SPACE, settings, LABELS, 3, Devices(None))
    raw, rows = jnp.asarray(noise(100, 24)), np.array([62, 0])
    targets = program(raw, jnp.asarray(LABELS), 0, rows, rows, 0, (0,))[1]
    np.testing.assert_allclose(targets.sum(-1), [100 / 18, 100 / 180], rtol=1e-6)


@pytest.mark.parametrize("remedy", [{}, {"class_weights": "balanced"}, {"sampling": "balanced"}])
def test_a_network_that_sees_nothing_answers_the_classes_shares(tmp_path, remedy):
    """Logits that no view changes learn the classes' shares: 15:1, or even with weights or balanced sampling."""
    labels = np.repeat([0, 1], [60, 4]).astype(np.int32)
    training = Split(noise(64, 16), labels, tuple(map(str, range(64))))
    settings = RetrainSettings(
        epochs=24, batch_size=16, learning_rate=0.4, weight_decay=0.0, label_smoothing=0.0, ema_decay=0.9, **remedy
    )
    saved = Checkpoints(tmp_path)
    params, _ = epochs.fit(
        lambda params, views: jnp.tile(params["bias"], (len(views), 1)), lambda params: (0.5, 0.5),
        {"kernel": np.zeros(1, np.float32), "bias": np.zeros(2, np.float32)}, SPACE.input(SPACE.min_genes),
        dataclasses.replace(settings, validate_every_epochs=24), training, 2, 0, saved, lambda record: None, str,
    )  # fmt: skip
    saved.close()
    odds = np.exp(-np.diff(params["bias"]))[0]
    assert odds == pytest.approx(1.0 if remedy else 15.0, rel=0.25)
