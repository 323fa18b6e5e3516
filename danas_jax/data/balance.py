"""What an epoch shows: every example, each class equally often, or a share of those without a label, in turns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_UNLABELLED, _TOGETHER = 20, 40  # added to a stream of random numbers: the order of the unlabelled ones, and of all


@dataclass(frozen=True, eq=False)
class Pool:
    """Examples without a label, the first `count` of a training's; their label is -1."""

    count: int
    shown: np.ndarray  # rows of those that are learned from, int64, ascending
    per_epoch: int  # of `shown`, in turns
    classes: np.ndarray | None = None  # the likeliest class of each of `shown`, where soft labels tell it
    confidence_min: float = 0.0  # where no soft labels tell: who makes them at each step leaves out what is below

    def epoch_images(self, images: int) -> int:
        """Examples that an epoch shows, of `images` in all."""
        return images - self.count + self.per_epoch

    def order(self, labels: np.ndarray, balanced: bool, seed: int, stream: int, epoch: int) -> np.ndarray:
        """The rows of an epoch in their order: those with `labels` [N] once, and the next ones of the others.

        `balanced`: of either the classes equally often.
        """
        known = labels[self.count :]
        first = self.count + epoch_order(len(known), known if balanced else None, seed, stream, epoch)
        classes = self.classes if balanced and self.classes is not None else np.zeros(len(self.shown), np.int64)
        other = epoch_order(len(self.shown), classes, seed, stream + _UNLABELLED, epoch, self.per_epoch)
        together = np.concatenate([first, self.shown[other]])
        return np.random.default_rng([seed, stream + _TOGETHER, epoch]).permutation(together)


def balanced_weights(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """N / (K n_k) of each class, float32 [K]: the classes weigh the same, the mean over `labels` [N] is 1."""
    counts = np.bincount(labels, minlength=num_classes)
    return (len(labels) / (num_classes * np.maximum(counts, 1))).astype(np.float32)


def shown_order(
    images: int, labels: np.ndarray | None, pool: Pool | None, balanced: bool, seed: int, stream: int, epoch: int
) -> np.ndarray:
    """The rows that an epoch of `images` shows, in their order; `labels` [N] of all rows, those of `pool` first."""
    if pool is not None and labels is not None:
        return pool.order(labels, balanced, seed, stream, epoch)
    return epoch_order(images, labels if balanced else None, seed, stream, epoch)


def epoch_order(
    images: int, classes: np.ndarray | None, seed: int, stream: int, epoch: int, count: int | None = None
) -> np.ndarray:
    """The rows of an epoch in their order, int64 [images]: a function of (seed, stream, epoch) and the classes.

    Without `classes` every row once. With the class of each row [images], every class equally often (but for one):
    a small one shows each of its rows several times, of a large one other rows have their turn in the next epoch.
    These may be `count` rows instead of `images`.
    """
    rng = np.random.default_rng([seed, stream, epoch])
    images = images if count is None or classes is None else count
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
