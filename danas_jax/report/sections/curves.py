"""How training and search went: a curve for each kind of number that the phases log."""

from __future__ import annotations

import math
from collections.abc import Sequence

from danas_jax import records
from danas_jax.report.blocks import Axis, Chart, Point, Section, Series
from danas_jax.report.files import RunFiles
from danas_jax.report.table import budget_text
from danas_jax.schema import is_number

MOST_POINTS = 600  # of a curve: every second, third, ... of more, never a mean, so that each is a number of the run
LOGGED = ("loss", "accuracy", "validation_accuracy")


def section(files: RunFiles) -> Section:
    """Losses and accuracies over steps or epochs, hypervolumes over generations."""
    found: dict[tuple[str, str, str], dict[str, list[Point]]] = {}
    for (phase, who), rows in records.series(files.metrics).items():
        for record in rows:
            unit = "step" if is_number(record.get("step")) else "epoch"
            for key in LOGGED:
                if is_number(record.get(key)):
                    lines = found.setdefault((phase, key, unit), {})
                    lines.setdefault(who or phase, []).append(Point(record[unit], record[key]))
    charts = [
        Chart(
            f"{phase}_{key}",
            f"{phase}: {key.replace('_', ' ')}",
            Axis(unit),
            Axis(key.replace("_", " ")),
            [curve(name, points, i) for i, (name, points) in enumerate(lines.items())],
        )
        for (phase, key, unit), lines in found.items()
    ]
    volumes = [
        curve(budget_text(result.get("budget")), [Point(i, v) for i, v in enumerate(result["hypervolume"], 1)], style)
        for style, result in enumerate(files.budgets)
        if result.get("hypervolume")
    ]
    if volumes:
        charts.append(
            Chart("search_hypervolume", "search: hypervolume", Axis("generation"), Axis("hypervolume"), volumes)
        )
    return Section("Training and search curves", charts)


def curve(name: str, points: Sequence[Point], style: int = 0) -> Series:
    """A line through at most MOST_POINTS of the points, the last one among them."""
    step = max(1, math.ceil(len(points) / MOST_POINTS))
    kept = [*points[-1::-step]][::-1]
    return Series(name, kept, style=style, line=True, radius=0.0 if len(kept) > 30 else 2.5)
