"""Bootstrap intervals of any figure: weights say what drawing examples again would."""

import numpy as np
import pytest

from danas_jax.metrics import bootstrap_interval, paired_bootstrap, wilson_interval
from danas_jax.resampling import RESAMPLES, figure_difference, figure_interval, weighted
from danas_jax.task import MULTI_LABEL, SINGLE_LABEL, task_of


def answers(task, classes, count=60, seed=0):
    """Labels and logits (with ties) of a network that is right more often than not."""
    rng = np.random.default_rng([seed, classes])
    if task is MULTI_LABEL:
        labels = (rng.random((count, classes)) < 0.3).astype(np.uint8)
        return labels, np.round(2.0 * labels - 1 + rng.normal(size=labels.shape), 1)
    labels = rng.choice(classes, count, p=np.arange(1, classes + 1) / (classes * (classes + 1) / 2))
    return labels, np.round(np.eye(classes)[labels] + rng.normal(size=(count, classes)), 1)


CASES = [
    (task, classes, name)
    for task, classes in ((SINGLE_LABEL, 2), (SINGLE_LABEL, 4), (MULTI_LABEL, 3))
    for name in task.metrics
    if name != "accuracy"
]


@pytest.mark.parametrize(("task", "classes", "name"), CASES)
def test_weights_are_examples_that_come_again(task, classes, name):
    labels, logits = answers(task, classes)
    weights = np.random.default_rng(5).integers(0, 3, (4, len(labels)))
    weights[0], weights[3] = 1, np.arange(len(labels)) < 2  # a resample of two examples lacks a class
    found = weighted(name, labels, logits)(weights.astype(float))
    for row, value in zip(weights, found, strict=True):
        again = np.repeat(np.arange(len(labels)), row)
        assert value == pytest.approx(task.metrics[name](labels[again], logits[again]), nan_ok=True)


@pytest.mark.parametrize(("task", "classes", "name"), CASES)
def test_intervals_are_those_of_the_bootstrap(task, classes, name):
    labels, logits = answers(task, classes)
    low, high = figure_interval(name, labels, logits, 1)
    assert (low, high) == figure_interval(name, labels, logits, 1) != figure_interval(name, labels, logits, 2)
    assert low < task.metrics[name](labels, logits) < high
    rng = np.random.default_rng(3)
    drawn = [rng.integers(len(labels), size=len(labels)) for _ in range(400)]
    slow = np.nanquantile([task.metrics[name](labels[rows], logits[rows]) for rows in drawn], [0.025, 0.975])
    assert (low, high) == pytest.approx(slow, abs=0.05)


def test_accuracy_is_a_mean_and_keeps_its_own_bootstrap():
    labels, logits = answers(SINGLE_LABEL, 3)
    _, other = answers(SINGLE_LABEL, 3, seed=0)
    other[:9] = -other[:9]
    right, less = (task_of(labels).right(labels, given) for given in (logits, other))
    assert figure_interval("accuracy", labels, logits, 4) == bootstrap_interval(right, 4)
    assert figure_difference("accuracy", labels, logits, other, 4) == paired_bootstrap(right, less, 4)


def test_a_difference_keeps_the_pairing():
    """Two networks that differ on one example in 60: far narrower than two intervals beside each other."""
    labels, logits = answers(SINGLE_LABEL, 3)
    assert figure_difference("balanced_accuracy", labels, logits, logits, 0) == (0.0, 0.0, 0.0)
    other = logits.copy()
    worse = np.flatnonzero(logits.argmax(axis=1) == labels)[0]
    other[worse, labels[worse]] = -9
    difference, low, high = figure_difference("balanced_accuracy", labels, logits, other, 0)
    lowest, highest = figure_interval("balanced_accuracy", labels, logits, 0)
    assert 0 == low < difference < high < (highest - lowest) / 2
    assert figure_difference("balanced_accuracy", labels, other, logits, 0)[0] == -difference


def test_a_perfect_figure_is_not_sure():
    labels = np.array([0] * 30 + [1] * 10)
    low, high = figure_interval("balanced_accuracy", labels, np.eye(2)[labels], 0)
    assert (low, high) == wilson_interval(30, 30)  # 2 / (1 / 30 + 1 / 10) images in each of two classes


def test_what_is_not_defined_has_no_interval():
    labels, logits = np.zeros(5, int), np.zeros((5, 2))
    assert figure_interval("auc", labels, logits, 0) is None
    assert figure_difference("auc", labels, logits, logits, 0) is None
    with pytest.raises(ValueError, match="no examples"):
        figure_interval("f1", labels[:0], logits[:0], 0)
    with pytest.raises(ValueError, match="no examples"):
        figure_difference("f1", labels[:0], logits[:0], logits[:0], 0)


def test_large_sets_are_drawn_again_less_often():
    from danas_jax.resampling import _weights

    def drawn(examples, classes):
        pieces = list(_weights(examples, classes, 0))
        assert all((piece.sum(axis=1) == examples).all() for piece in pieces)
        return sum(len(piece) for piece in pieces)

    assert drawn(50, 2) == RESAMPLES
    assert drawn(30_000, 50) == 266
