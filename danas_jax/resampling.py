"""Figures of classifiers on examples drawn again with replacement: 95 % bootstrap intervals of any of them. NumPy.

How often each example comes in a resample is its weight, so a figure of all resamples is a product or a sum over these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from danas_jax.classification import Metric, margins
from danas_jax.metrics import bootstrap_interval, paired_bootstrap, percentiles, share_interval
from danas_jax.task import decisions, task_of

Weighted = Callable[[np.ndarray], np.ndarray]  # weights [R, N] -> the figure of each resample [R], NaN = not defined
RESAMPLES = 1000  # of figures that are no mean over the examples; of large sets fewer, see `_weights`
_ENTRIES, _AT_ONCE = 400_000_000, 4_000_000  # of all resamples' weights times the classes; of weights held at a time


def figure_interval(name: Metric, labels: np.ndarray, logits: np.ndarray, seed: int) -> tuple[float, float] | None:
    """95 % percentile bootstrap interval of a figure of real-valued logits [N, classes]; None where it is not defined.

    `name` is one of the task's metrics. ValueError without examples.
    """
    task = task_of(labels)
    if name == "accuracy":
        return bootstrap_interval(task.right(labels, logits), seed)
    if not len(labels):
        raise ValueError("figure_interval: no examples")
    value = task.metrics[name](labels, logits)
    if np.isnan(value):
        return None
    if value in (0, 1):  # of which resamples tell nothing, as of an accuracy
        return share_interval(value, task.equivalent_images(labels, name), seed)
    of = weighted(name, labels, logits)
    return _percentiles(np.concatenate([of(weights) for weights in _weights(*logits.shape, seed)]))


def figure_difference(
    name: Metric, labels: np.ndarray, logits_a: np.ndarray, logits_b: np.ndarray, seed: int
) -> tuple[float, float, float] | None:
    """A figure of a minus that of b on the same examples, and its 95 % interval: (difference, low, high).

    Both are drawn the same examples again. None where the figure is not defined; ValueError without examples.
    """
    task = task_of(labels)
    if name == "accuracy":
        return paired_bootstrap(task.right(labels, logits_a), task.right(labels, logits_b), seed)
    if not len(labels):
        raise ValueError("figure_difference: no examples")
    difference = task.metrics[name](labels, logits_a) - task.metrics[name](labels, logits_b)
    if np.isnan(difference):
        return None
    a, b = (weighted(name, labels, logits) for logits in (logits_a, logits_b))
    draws = [a(weights) - b(weights) for weights in _weights(*logits_a.shape, seed)]
    return float(difference), *_percentiles(np.concatenate(draws))


def weighted(name: Metric, labels: np.ndarray, logits: np.ndarray) -> Weighted:
    """The figure that `task_of(labels).metrics` has under this name, but accuracy, of weighted examples."""
    many, logits = labels.ndim == 2, np.asarray(logits, np.float64)
    has = labels > 0 if many else labels[:, None] == np.arange(logits.shape[1])
    if name in ("auc", "average_precision"):
        of = _auc if name == "auc" else _average_precision
        if many:
            return _over_classes([of(scores, own) for scores, own in zip(logits.T, has.T, strict=True)])
        asked = range(1, 2) if logits.shape[1] == 2 else range(logits.shape[1])
        return _over_classes([of(margins(logits, c), has[:, c]) for c in asked])
    said = decisions(logits) if many else logits.argmax(axis=1)[:, None] == np.arange(logits.shape[1])
    counted = [part.astype(np.float64) for part in (has & said, has, said)]

    def figure(weights: np.ndarray) -> np.ndarray:
        hits, images, answers = (weights @ part for part in counted)
        with np.errstate(invalid="ignore"):  # a class of which nothing was drawn is NaN
            if name == "balanced_accuracy":
                return _mean((hits / images).T)
            scores = np.where(images > 0, 2 * hits / (images + answers), np.nan)
        return np.nan_to_num(scores[:, 1]) if not many and scores.shape[1] == 2 else _mean(scores.T)

    return figure


def _weights(examples: int, classes: int, seed: int) -> Iterator[np.ndarray]:
    """The resamples' weights in pieces [R, N]; R adds up to RESAMPLES, of large sets to at least 200."""
    left = int(np.clip(_ENTRIES // (examples * classes), 200, RESAMPLES))
    rng = np.random.default_rng(seed)
    while left > 0:
        rows = min(left, max(1, _AT_ONCE // examples))
        drawn = rng.integers(examples, size=(rows, examples)) + examples * np.arange(rows)[:, None]
        yield np.bincount(drawn.ravel(), minlength=rows * examples).reshape(rows, examples).astype(np.float64)
        left -= rows


def _percentiles(draws: np.ndarray) -> tuple[float, float]:
    return percentiles(draws[~np.isnan(draws)])


def _mean(found: np.ndarray) -> np.ndarray:
    """Over the classes [K, R] where the figure is a number, NaN where it is none."""
    known = ~np.isnan(found)
    count = known.sum(axis=0)
    return np.where(count > 0, np.where(known, found, 0.0).sum(axis=0) / np.maximum(count, 1), np.nan)


def _over_classes(of: list[Weighted]) -> Weighted:
    return lambda weights: _mean(np.stack([one(weights) for one in of]))


def _tied(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(order of `values` [N], where among them in that order each different one begins)."""
    order = np.argsort(values, kind="stable")
    return order, np.unique(values[order], return_index=True)[1]


def _auc(values: np.ndarray, positive: np.ndarray) -> Weighted:
    """Mann and Whitney's U as a share of all pairs; NaN without positives or others."""
    order, starts = _tied(values)
    own = positive[order].astype(np.float64)

    def figure(weights: np.ndarray) -> np.ndarray:
        drawn = weights[:, order]
        mine, others = (np.add.reduceat(drawn * part, starts, axis=1) for part in (own, 1 - own))
        pairs = mine.sum(axis=1) * others.sum(axis=1)
        won = (mine * (others.cumsum(axis=1) - others / 2)).sum(axis=1)
        return np.where(pairs > 0, won / np.maximum(pairs, 1), np.nan)

    return figure


def _average_precision(values: np.ndarray, positive: np.ndarray) -> Weighted:
    """Mean precision at each positive, highest value first, ties as one step; NaN without positives."""
    order, starts = _tied(-values)
    own = positive[order].astype(np.float64)

    def figure(weights: np.ndarray) -> np.ndarray:
        drawn = weights[:, order]
        mine, every = (np.add.reduceat(part, starts, axis=1) for part in (drawn * own, drawn))
        precision = mine.cumsum(axis=1) / np.maximum(every.cumsum(axis=1), 1)
        total = mine.sum(axis=1)
        return np.where(total > 0, (mine * precision).sum(axis=1) / np.maximum(total, 1), np.nan)

    return figure
