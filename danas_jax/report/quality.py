"""Tables of a classifier's figures (docs/run_directory.md), as texts that a terminal and the page share."""

from __future__ import annotations

from typing import Any

import numpy as np

from danas_jax.classification import METRIC_NAMES
from danas_jax.report.blocks import TextTable
from danas_jax.report.table import share, sure


def _overall(figures: dict[str, Any]) -> tuple[str, ...]:
    return f"{figures['images']:,}", *(sure(figures[name], figures.get(f"{name}_interval")) for name in _told(figures))


def _told(figures: dict[str, Any]) -> list[str]:
    """The figures that there are, accuracy first: other ones of one class than of any number."""
    return [name for name in METRIC_NAMES if name in figures]


def _columns(figures: dict[str, Any]) -> tuple[str, ...]:
    known = {name: " [95 %]" if f"{name}_interval" in figures else "" for name in _told(figures)}  # an older run's: not
    return "images", *(METRIC_NAMES[name] + interval for name, interval in known.items())


def overall_table(figures: dict[str, dict[str, Any]]) -> TextTable:
    """A row for each named set of figures."""
    columns = _columns(next(iter(figures.values())))
    return TextTable("", ("", *columns), [(name, *_overall(found)) for name, found in figures.items()])


def tables(figures: dict[str, Any]) -> list[TextTable]:
    """Per class, the confusion matrix, and for each field of the slices one."""
    per_class = figures["per_class"]
    names = [found["class"] for found in per_class]
    result = [
        TextTable(
            "Per class",
            ("class", "images", "recall", "precision", "F1"),
            [
                (found["class"], f"{found['images']:,}", *(share(found[key]) for key in ("recall", "precision", "f1")))
                for found in per_class
            ],
        ),
        _confusion_table(names, np.array(figures["confusion"])),
    ]
    for field, values in figures["slices"].items():
        rows = [(value or "(none)", *_overall(found)) for value, found in values.items()]
        result.append(TextTable(f"By {field}", (field, *_columns(figures)), rows))
    return result


def _confusion_table(names: list[str], confusion: np.ndarray) -> TextTable:
    """Of classes that exclude each other [classes, classes], or a row of counts for each class [classes, 2, 2]."""
    if confusion.ndim == 2:
        title = "Confusion matrix: a row is what the images show, a column what the network says"
        columns, counts = ("", *names), confusion
    else:
        title, columns = "Decisions on each class", ("class", "rightly not", "falsely said", "missed", "rightly said")
        counts = confusion.reshape(len(names), 4)
    rows = [(name, *(f"{count:,}" for count in row)) for name, row in zip(names, counts.tolist(), strict=True)]
    return TextTable(title, columns, rows)


def point_text(point: dict[str, Any], where: str) -> str:
    """One sentence on an operating point, its rates under the key `where`."""
    rates, positive = point[where], point["positive_class"]

    def rate(name: str) -> str:
        return sure(rates[f"{name}_rate"], rates[f"{name}_rate_interval"])

    return (
        f"operating point {positive} from {point['threshold_codes']} codes on: detects {rate('detection')} of "
        f"{rates['positives']:,} {positive}, false alarms {rate('false_alarm')} of {rates['negatives']:,} others"
    )
