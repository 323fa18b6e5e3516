"""What each exported network gets right: charts over its costs, and its figures on validation and test."""

from __future__ import annotations

from danas_jax.report import quality
from danas_jax.report.blocks import Axis, Block, Chart, Choice, Fold, Heading, Point, Section, Series, Text
from danas_jax.report.files import RunFiles
from danas_jax.report.sections.search import AXES
from danas_jax.report.systems import key_of
from danas_jax.report.table import budget_text, sure

FIGURES = {  # of an exported network -> how a reader calls them
    "float_validation": "validation, float",
    "int8_validation": "validation, int8",
    "int8_test": "test, int8",
}


def section(files: RunFiles) -> Section:
    """Overall, per class, as a confusion matrix, per slice; of int8 on test."""
    blocks: list[Block] = []
    charts = [chart for chart in (_chart(files, *axis) for axis in AXES) if chart.points]
    if charts:
        blocks += [Choice(charts), Text("int8 accuracy on the test split, with its 95 % interval.", quiet=True)]
    for entry in (entry for entry in files.networks if entry.get("figures")):
        overall = quality.overall_table({title: entry["figures"][kind] for kind, title in FIGURES.items()})
        blocks += [Heading(str(entry["name"])), overall]
        if entry.get("operating_point"):
            blocks.append(Text(f"Test: {quality.point_text(entry['operating_point'], 'test')}."))
        blocks.append(Fold("test, int8: classes and slices", quality.tables(entry["figures"]["int8_test"])))
    return Section("Figures of each network", blocks)


def _chart(files: RunFiles, cost: str, limit: str, short: str, axis: Axis) -> Chart:
    found: dict[str, list[Point]] = {}
    for entry in files.summary.get("finalists", []):
        accuracy, x = entry.get("accuracy") or {}, (entry.get("predicted") or {}).get(cost)
        if x is None or accuracy.get("int8_test") is None:
            continue
        name, budget = str(entry.get("name") or entry.get("id")), entry.get("budget")
        y, interval = accuracy["int8_test"], accuracy.get("int8_test_interval")
        group = budget_text(budget) if budget else "baselines"
        text = f"{name}: {sure(y, interval)}"
        found.setdefault(group, []).append(
            Point(x, y, text, key_of(budget, name), tuple(interval) if interval else None)
        )
    series = [Series(group, sorted(of), style=i, radius=5.5) for i, (group, of) in enumerate(found.items())]
    title = f"int8 test accuracy over {short}"
    return Chart(f"test_{short.lower()}", title, axis, Axis("int8 test accuracy"), series, short=short)
