"""How good a classifier's answers are, beyond accuracy: confusion matrix, balanced accuracy, F1, ROC-AUC. NumPy.

Definitions are those of the field (scikit-learn's `balanced_accuracy_score`, `f1_score`, `roc_auc_score`), so figures
compare. With two classes F1 is that of the positive class, which is the second one unless it is named.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np

Metric = Literal["accuracy", "balanced_accuracy", "f1", "auc", "average_precision"]  # task.py: of which task


def confusion_matrix(labels: np.ndarray, answers: np.ndarray, classes: int) -> np.ndarray:
    """How often class i was answered as class j, int64 [classes, classes]; labels and answers are int [N]."""
    pairs = np.asarray(labels, np.int64) * classes + np.asarray(answers, np.int64)
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def recalls(confusion: np.ndarray) -> np.ndarray:
    """Share of each class that was answered right, float64 [classes]; NaN for a class without images."""
    images = confusion.sum(axis=1)
    return np.where(images > 0, np.diag(confusion) / np.maximum(images, 1), np.nan)


def precisions(confusion: np.ndarray) -> np.ndarray:
    """Share of the answers of each class that were right, float64 [classes]; 0 for a class never answered."""
    return np.diag(confusion) / np.maximum(confusion.sum(axis=0), 1)


def f1_scores(confusion: np.ndarray) -> np.ndarray:
    """Harmonic mean of precision and recall of each class, float64 [classes]; NaN for a class without images."""
    images, answers = confusion.sum(axis=1), confusion.sum(axis=0)
    return np.where(images > 0, 2 * np.diag(confusion) / np.maximum(images + answers, 1), np.nan)


def accuracy(labels: np.ndarray, scores: np.ndarray) -> float:
    """Share of the images whose highest of scores [N, classes] is their label."""
    return float((np.asarray(scores).argmax(axis=1) == labels).mean())


def balanced_accuracy(labels: np.ndarray, scores: np.ndarray) -> float:
    """Mean recall of the classes that have images: the accuracy if all classes were equally frequent."""
    return float(np.nanmean(recalls(_confusion(labels, scores))))


def f1(labels: np.ndarray, scores: np.ndarray) -> float:
    """F1 of class 1 with two classes, the mean over the classes that have images with more."""
    found = f1_scores(_confusion(labels, scores))
    return float(np.nan_to_num(found[1])) if len(found) == 2 else float(np.nanmean(found))


def roc_auc(labels: np.ndarray, scores: np.ndarray) -> float:
    """Probability that an image of the class scores above one of another class (ties count half); 0 to 1.

    `scores` [N, classes] are logits. An image's score for class c is its logit less the logarithm of the summed powers
    of the others, which orders images as the probability of c does. With two classes one number, with more the mean
    over the classes against the rest. NaN where no class has both images and others.
    """
    labels, scores = np.asarray(labels), np.asarray(scores, np.float64)
    classes = range(1, 2) if scores.shape[1] == 2 else range(scores.shape[1])
    found = [auc(margins(scores, c), labels == c) for c in classes]
    known = [value for value in found if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")


def margins(scores: np.ndarray, positive: int) -> np.ndarray:
    """Log odds of class `positive` in logits [N, classes], float64 [N]: 0 where it is as likely as not."""
    scores = np.asarray(scores, np.float64)
    others = np.sort(np.delete(scores, positive, axis=1), axis=1)  # sorted, so that ties stay ties after rounding
    highest = others[:, -1:]
    return scores[:, positive] - highest[:, 0] - np.log(np.exp(others - highest).sum(axis=1))


METRICS: dict[Metric, Callable[[np.ndarray, np.ndarray], float]] = {
    "accuracy": accuracy,
    "balanced_accuracy": balanced_accuracy,
    "f1": f1,
    "auc": roc_auc,
}  # (labels int [N], logits [N, classes]) -> 0 to 1, higher is better


METRIC_NAMES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "f1": "F1",
    "auc": "ROC-AUC",
    "average_precision": "mean average precision",
}


def equivalent_images(labels: np.ndarray, metric: Metric) -> float:
    """How many images tell an accuracy as surely as these tell `metric`: all of labels [N] for accuracy itself.

    For the others it is the number of classes times the harmonic mean of their sizes: of balanced accuracy with equal
    recalls that is exact, and with two classes of one size that is N. A rare class makes it small.
    """
    sizes = np.unique(np.asarray(labels), return_counts=True)[1]
    return float(len(labels) if metric == "accuracy" else len(sizes) ** 2 / (1 / sizes).sum())


def _confusion(labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
    scores = np.asarray(scores)
    return confusion_matrix(labels, scores.argmax(axis=1), scores.shape[1])


def auc(values: np.ndarray, positive: np.ndarray) -> float:
    """Mann and Whitney's U of the positives by average ranks, as a share of all pairs."""
    count = int(positive.sum())
    if count in (0, len(values)):
        return float("nan")
    _, place, ties = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(ties) - (ties - 1) / 2)[place]
    return float((ranks[positive].sum() - count * (count + 1) / 2) / (count * (len(values) - count)))
