"""The operating point of a two-class detector: how far the positive logit must exceed the negative one, in int8 codes.

An image is called positive where (positive code - negative code) >= threshold. Both logits have one scale, so the
difference orders images as the probability does, and firmware decides with integers.
"""

from __future__ import annotations

import numpy as np

from danas_jax.config import ExportSettings
from danas_jax.errors import UserError
from danas_jax.metrics import wilson_interval

LOWEST, HIGHEST = -255, 256  # thresholds that call every image positive, and none


def check(settings: ExportSettings, classes: tuple[str, ...]) -> None:
    """UserError where `settings` ask for an operating point that these classes do not have."""
    if settings.positive_class and settings.positive_class not in classes:
        raise UserError(f"export.positive_class = {settings.positive_class!r}: give one of {', '.join(classes)}")
    if settings.max_false_alarm_rate is not None and len(classes) != 2:
        raise UserError(
            f"export.max_false_alarm_rate = {settings.max_false_alarm_rate}: there are {len(classes)} classes, an "
            "operating point is of two; leave it out"
        )


def pick(codes: np.ndarray, labels: np.ndarray, classes: tuple[str, ...], settings: ExportSettings) -> dict | None:
    """The point of most detections within `settings.max_false_alarm_rate`, for manifest.json; None where not asked for.

    `codes` int8 [N, 2] are the logits of validation, with images of both classes. Below 1 / negatives the threshold is
    above every negative.
    """
    if settings.max_false_alarm_rate is None:
        return None
    positive = classes.index(settings.positive_class) if settings.positive_class else 1
    negatives = _differences(codes, positive)[labels != positive]
    counts = np.bincount(negatives - LOWEST, minlength=HIGHEST - LOWEST + 1)
    alarms = counts[::-1].cumsum()[::-1]  # negatives at or above each threshold; falls to 0 at HIGHEST
    threshold = LOWEST + int(np.argmax(alarms / len(negatives) <= settings.max_false_alarm_rate))
    point = {
        "positive_class": classes[positive],
        "threshold_codes": threshold,
        "max_false_alarm_rate": settings.max_false_alarm_rate,
    }
    return {**point, "validation": rates(codes, labels, classes, point)}


def decide(codes: np.ndarray, classes: tuple[str, ...], point: dict) -> np.ndarray:
    """Which images of int8 logits [N, 2] are called positive, bool [N]."""
    return _differences(codes, classes.index(point["positive_class"])) >= point["threshold_codes"]


def rates(codes: np.ndarray, labels: np.ndarray, classes: tuple[str, ...], point: dict) -> dict:
    """Detection rate of the positives, false alarm rate of the negatives, 95 % intervals; None where there are none."""
    called, positive = decide(codes, classes, point), labels == classes.index(point["positive_class"])
    found = {}
    for name, rows in (("detection", called[positive]), ("false_alarm", called[~positive])):
        found[f"{name}_rate"] = float(rows.mean()) if rows.size else None
        found[f"{name}_rate_interval"] = list(wilson_interval(int(rows.sum()), rows.size))
    return {**found, "positives": int(positive.sum()), "negatives": int((~positive).sum())}


def shifted(codes: np.ndarray, classes: tuple[str, ...], point: dict | None) -> np.ndarray:
    """`codes` as float64 [N, classes] whose largest is the decision: the positive ones less the threshold.

    Half a code is added, so that the two never tie. Without an operating point the codes are as they were.
    """
    result = codes.astype(np.float64)
    if point:
        result[:, classes.index(point["positive_class"])] -= point["threshold_codes"] - 0.5
    return result


def from_manifest(manifest: dict, where: str) -> dict | None:
    """The operating point of a manifest whose classes are known, None without one; UserError, naming `where`."""
    point, classes = manifest.get("operating_point"), manifest["classes"]
    if point is None:
        return None
    right = isinstance(point, dict) and len(classes) == 2 and point.get("positive_class") in classes
    threshold = point.get("threshold_codes") if right else None
    if type(threshold) is not int or not LOWEST <= threshold <= HIGHEST:
        raise UserError(
            f"{where}: operating_point = {point}: one of two classes and a threshold from {LOWEST} to {HIGHEST} codes "
            "are right; export again"
        )
    return point


def _differences(codes: np.ndarray, positive: int) -> np.ndarray:
    """Positive minus negative code, int64 [N]."""
    codes = codes.astype(np.int64)
    return codes[:, positive] - codes[:, 1 - positive]
