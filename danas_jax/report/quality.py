"""Tables of a classifier's figures (docs/run_directory.md), as texts that a terminal and the page share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from danas_jax.classification import METRIC_NAMES
from danas_jax.report.table import share

OTHERS = tuple(name for name in METRIC_NAMES if name != "accuracy")
COLUMNS = ("images", "accuracy [95 %]", *(METRIC_NAMES[name] for name in OTHERS))


class TextTable(NamedTuple):
    """A table of texts; the first column names the row."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


def _overall(figures: dict[str, Any]) -> tuple[str, ...]:
    return f"{figures['images']:,}", with_interval(figures), *(share(figures[name]) for name in OTHERS)


def with_interval(figures: dict[str, Any]) -> str:
    """`0.812 [0.750, 0.875]`."""
    low, high = figures["accuracy_interval"]
    return f"{share(figures['accuracy'])} [{share(low)}, {share(high)}]"


def overall_table(figures: dict[str, dict[str, Any]]) -> TextTable:
    """A row for each named set of figures."""
    return TextTable("", ("", *COLUMNS), [(name, *_overall(found)) for name, found in figures.items()])


def tables(figures: dict[str, Any]) -> list[TextTable]:
    """Per class, the confusion matrix, and for each field of the slices one."""
    per_class = figures["per_class"]
    names = [found["class"] for found in per_class]
    counts = [[f"{count:,}" for count in row] for row in figures["confusion"]]
    result = [
        TextTable(
            "Per class",
            ("class", "images", "recall", "precision", "F1"),
            [
                (found["class"], f"{found['images']:,}", *(share(found[key]) for key in ("recall", "precision", "f1")))
                for found in per_class
            ],
        ),
        TextTable(
            "Confusion matrix: a row is what the images show, a column what the network says",
            ("", *names),
            [(name, *row) for name, row in zip(names, counts, strict=True)],
        ),
    ]
    for field, values in figures["slices"].items():
        rows = [(value or "(none)", *_overall(found)) for value, found in values.items()]
        result.append(TextTable(f"By {field}", (field, *COLUMNS), rows))
    return result


def point_text(point: dict[str, Any], where: str) -> str:
    """One sentence on an operating point, its rates under the key `where`."""
    rates, positive = point[where], point["positive_class"]

    def rate(name: str) -> str:
        low, high = rates[f"{name}_rate_interval"]
        return f"{share(rates[f'{name}_rate'])} [{share(low)}, {share(high)}]"

    return (
        f"operating point {positive} from {point['threshold_codes']} codes on: detects {rate('detection')} of "
        f"{rates['positives']:,} {positive}, false alarms {rate('false_alarm')} of {rates['negatives']:,} others"
    )
