"""What an example's labels are, and so what is decided of logits and how good that is: one class, or any number.

Labels of one class are int [N], those of any number 0 or 1 in [N, classes]; their shape tells the task.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from danas_jax import classification
from danas_jax.classification import METRICS, Metric, confusion_matrix

Figure = Callable[[np.ndarray, np.ndarray], float]  # (labels, logits [N, classes]) -> 0 to 1, higher is better


@dataclass(frozen=True)
class Task:
    """The functions that differ; labels as above, logits [N, classes] real numbers."""

    metrics: Mapping[Metric, Figure]
    right: Callable[[np.ndarray, np.ndarray], np.ndarray]  # (labels, logits) -> share of right decisions [N]
    class_counts: Callable[[np.ndarray, int], np.ndarray]  # (labels, classes) -> examples of each class [classes]
    confusions: Callable[[np.ndarray, np.ndarray], np.ndarray]  # -> [classes, classes], or each class's [classes, 2, 2]
    equivalent_images: Callable[[np.ndarray, Metric], float]  # as in classification.py
    classes_seen: Callable[[np.ndarray], int]  # labels -> classes that there are (any number: also without)
    tells_auc: Callable[[np.ndarray], bool]  # whether labels have both examples and others of a class


def task_of(labels: np.ndarray) -> Task:
    """The task of these labels."""
    return MULTI_LABEL if labels.ndim == 2 else SINGLE_LABEL


def decisions(logits: np.ndarray) -> np.ndarray:
    """Which classes each example is said to have, bool [N, classes]: those more likely than not."""
    return np.asarray(logits) > 0


def per_class_confusion(labels: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """Of each class [[not and not said, said], [has and not said, said]], int64 [classes, 2, 2]."""
    pairs = zip(labels.T, decisions(logits).T, strict=True)
    return np.stack([confusion_matrix(has, said, 2) for has, said in pairs])


def average_precision(scores: np.ndarray, positive: np.ndarray) -> float:
    """Mean precision at each positive, highest of scores [N] first (ties as one step, as scikit-learn); NaN if none."""
    if not positive.any():
        return float("nan")
    values, place = np.unique(-np.asarray(scores, np.float64), return_inverse=True)
    hits = np.bincount(place, positive, len(values))
    precision = hits.cumsum() / np.bincount(place, minlength=len(values)).cumsum()
    return float((hits * precision).sum() / hits.sum())


def _over_classes(of_class: Callable[[np.ndarray, np.ndarray], float]) -> Figure:
    """The mean of a figure (scores [N], has the class [N]) over the classes where it is a number."""

    def figure(labels: np.ndarray, logits: np.ndarray) -> float:
        found = np.array([of_class(scores, has > 0) for scores, has in zip(logits.T, labels.T, strict=True)])
        known = found[~np.isnan(found)]
        return float(known.mean()) if len(known) else float("nan")

    return figure


def _macro_f1(labels: np.ndarray, logits: np.ndarray) -> float:
    """The mean F1 over the classes that some example has."""
    scores = [classification.f1_scores(matrix)[1] for matrix in per_class_confusion(labels, logits)]
    known = [value for value in scores if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")


def _multi_right(labels: np.ndarray, logits: np.ndarray) -> np.ndarray:
    return (decisions(logits) == labels).mean(axis=1)


def _multi_equivalent_images(labels: np.ndarray, metric: Metric) -> float:
    """The mean over the classes of what a detector of each would have."""
    rows = labels.T[np.ptp(labels, axis=0) > 0]
    if metric == "accuracy" or not len(rows):
        return float(len(labels))
    return float(np.mean([classification.equivalent_images(row, "auc") for row in rows]))


SINGLE_LABEL = Task(
    METRICS,
    lambda labels, logits: logits.argmax(axis=1) == labels,
    lambda labels, classes: np.bincount(labels, minlength=classes),
    lambda labels, logits: confusion_matrix(labels, logits.argmax(axis=1), logits.shape[1]),
    classification.equivalent_images,
    lambda labels: len(np.unique(labels)),
    lambda labels: len(np.unique(labels)) > 1,
)
MULTI_LABEL = Task(
    {
        "accuracy": lambda labels, logits: float(_multi_right(labels, logits).mean()),
        "f1": _macro_f1,
        "auc": _over_classes(classification.auc),
        "average_precision": _over_classes(average_precision),
    },
    _multi_right,
    lambda labels, classes: labels.sum(axis=0, dtype=np.int64),
    per_class_confusion,
    _multi_equivalent_images,
    lambda labels: int((np.ptp(labels, axis=0) > 0).sum()),
    lambda labels: bool((np.ptp(labels, axis=0) > 0).any()),
)
