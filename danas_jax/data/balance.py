"""Classes of unequal size: weights of their labels, or an epoch in which each comes equally often."""

from __future__ import annotations

import numpy as np


def balanced_weights(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """N / (K n_k) of each class, float32 [K]: the classes weigh the same, the mean over `labels` [N] is 1."""
    counts = np.bincount(labels, minlength=num_classes)
    return (len(labels) / (num_classes * np.maximum(counts, 1))).astype(np.float32)


def epoch_order(images: int, classes: np.ndarray | None, seed: int, stream: int, epoch: int) -> np.ndarray:
    """The rows of an epoch in their order, int64 [images]: a function of (seed, stream, epoch) and the classes.

    Without `classes` every row once. With the class of each row [images], every class equally often (but for one):
    a small one shows each of its rows several times, of a large one other rows have their turn in the next epoch.
    """
    rng = np.random.default_rng([seed, stream, epoch])
    if classes is None:
        return rng.permutation(images)
    present = np.unique(classes)
    quota = -(-images // len(present))
    drawn = [_turns(np.flatnonzero(classes == label), quota, (seed, stream), int(label), epoch) for label in present]
    surplus = rng.permutation(len(present))[: quota * len(present) - images]
    return rng.permutation(np.delete(np.concatenate(drawn), surplus * quota))


def _turns(rows: np.ndarray, quota: int, key: tuple[int, int], label: int, epoch: int) -> np.ndarray:
    """`quota` of a class's `rows`: all of them as often as that goes, and then those whose turn it is.

    The turns are one shuffled pass over the rows after another, cut into epochs.
    """
    copies, left = divmod(quota, len(rows))
    first, start = divmod(epoch * left, len(rows))
    passes = [  # label + 1, as a 0 at its end changes no seed
        rows[np.random.default_rng([*key, number, label + 1]).permutation(len(rows))] for number in (first, first + 1)
    ]
    return np.concatenate([np.concatenate(passes)[start : start + left], *[rows] * copies])
