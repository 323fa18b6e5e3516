"""Figures of a classifier against counts by hand and by definition."""

import numpy as np
import pytest

from danas_jax import classification as c

LABELS = np.array([0, 0, 0, 0, 1, 1])
SCORES = np.array([[2, 1], [3, 0], [1, 0], [0, 1], [0, 2], [4, 1]])  # right, right, right, wrong, right, wrong


def test_counts_by_hand():
    confusion = c.confusion_matrix(LABELS, SCORES.argmax(1), 2)
    assert confusion.tolist() == [[3, 1], [1, 1]]
    assert c.recalls(confusion).tolist() == [0.75, 0.5]
    assert c.precisions(confusion).tolist() == [0.75, 0.5]
    assert c.accuracy(LABELS, SCORES) == pytest.approx(4 / 6)
    assert c.balanced_accuracy(LABELS, SCORES) == pytest.approx(0.625)
    assert c.f1(LABELS, SCORES) == pytest.approx(0.5)


def test_f1_of_more_classes_is_the_mean():
    labels, answers = np.array([0, 0, 1, 1, 2, 2]), np.array([0, 1, 1, 1, 2, 0])
    # f1: class 0: 2/4, class 1: 4/5, class 2: 2/3
    assert c.f1(labels, np.eye(3)[answers]) == pytest.approx((0.5 + 0.8 + 2 / 3) / 3)


def test_a_class_without_images_does_not_count():
    labels, scores = np.array([0, 0, 1]), np.eye(3)[[0, 1, 1]]
    assert c.balanced_accuracy(labels, scores) == pytest.approx(0.75)
    assert np.isnan(c.recalls(c.confusion_matrix(labels, scores.argmax(1), 3))[2])


@pytest.mark.parametrize("classes", [2, 4])
def test_auc_is_the_share_of_pairs_in_order(classes):
    rng = np.random.default_rng(classes)
    labels = rng.integers(0, classes, 80)
    scores = np.round(2 * rng.normal(0, 1, (80, classes)) + np.eye(classes)[labels])  # whole numbers, as int8: ties
    found = []
    for k in range(1, 2) if classes == 2 else range(classes):
        probability = (np.exp(scores) / np.exp(scores).sum(1, keepdims=True))[:, k].round(12)
        mine, others = probability[labels == k], probability[labels != k]
        found.append(((mine[:, None] > others) + 0.5 * (mine[:, None] == others)).mean())
    assert c.roc_auc(labels, scores) == pytest.approx(np.mean(found), abs=1e-12)


def test_auc_of_one_class_only_is_no_number():
    assert np.isnan(c.roc_auc(np.zeros(3, int), np.ones((3, 2))))


def test_equivalent_images_tell_the_standard_error():
    """Of balanced accuracy at equal recalls, by its definition; accuracy counts every image."""
    labels = np.repeat([0, 1, 2], [50, 10, 40])
    recall = 0.8
    variance = sum(recall * (1 - recall) / n for n in (50, 10, 40)) / 9
    assert recall * (1 - recall) / c.equivalent_images(labels, "balanced_accuracy") == pytest.approx(variance)
    assert c.equivalent_images(labels, "accuracy") == 100
    assert c.equivalent_images(np.repeat([0, 1], 30), "auc") == pytest.approx(60)
    assert c.equivalent_images(np.full(7, 3), "f1") == pytest.approx(7)


def test_margins_are_log_odds():
    scores = np.random.default_rng(1).normal(0, 2, (20, 3))
    probability = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    assert c.margins(scores, 2) == pytest.approx(np.log(probability[:, 2] / (1 - probability[:, 2])))
