"""What the search found: the fronts over each cost, and which data configuration wins under which budget."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from danas_jax.report.blocks import (
    Axis,
    Block,
    Chart,
    Choice,
    Details,
    Heading,
    Limit,
    Point,
    Section,
    Series,
    Text,
    TextTable,
)
from danas_jax.report.files import RunFiles
from danas_jax.report.systems import candidates, key_of, metric_name, search_accuracy, searched
from danas_jax.report.table import DASH, budget_text
from danas_jax.views import data_text

AXES = (  # cost, the limit on it, axis
    ("arena_device_bytes", "sram_bytes", "SRAM", Axis("tensor arena [kB]", 1024)),
    ("flash_bytes", "flash_bytes", "flash", Axis("flash: file and runtime [kB]", 1024)),
    ("latency_ms", "latency_ms", "latency", Axis("latency [ms]")),
    ("macs", "macs", "MACs", Axis("MACs [M]", 1e6)),
)


def section(files: RunFiles) -> Section:
    """Fronts, the place for details, fronts by data configuration, the best of each under each budget."""
    if not files.budgets:
        return Section("Search", [])
    name, fronts, by_data = metric_name(files), over_costs(files), data_charts(files)
    blocks: list[Block] = [
        Choice(fronts),
        Text(
            f"Exact supernet {name} on the search slice (the whole slice where measured, else its ranking part) over "
            "predicted costs. Open marks: candidates no other beats in all objectives; filled: finalists; dashed: a "
            "budget's limit, where it is near. Click a mark for its details.",
            quiet=True,
        ),
        Details(),
        Heading("Which data configuration wins where"),
        Choice(by_data),
        data_table(files),
    ]
    return Section("Search", blocks)


def over_costs(files: RunFiles) -> list[Chart]:
    """Search accuracy over each cost, a colour per budget."""
    return [_front_chart(files, *axis) for axis in AXES]


def _front_chart(files: RunFiles, cost: str, limit: str, short: str, axis: Axis) -> Chart:
    series, limits = [], []
    for i, result in enumerate(files.budgets):
        budget = result.get("budget")
        text = budget_text(budget)
        front = sorted(points(result, (c["id"] for c in result.get("front", [])), cost))
        series.append(Series(text, front, style=i, radius=2.6, filled=False))
        if chosen := points(result, result["finalists"], cost):
            series.append(Series("finalist", chosen, style=i, radius=6.5))
        if budget and budget.get(limit):
            limits.append(Limit(budget[limit], f"{text}: {short} limit", i))
    reach = 2 * max((p.x for s in series for p in s.points), default=0.0)
    # A limit far beyond every point would squeeze the points into a corner.
    near = [found for found in limits if found.x <= reach]
    name = metric_name(files)
    label = axis.label.partition(" [")[0].partition(":")[0]
    title = f"Search {name} over {label}"
    return Chart(f"search_{short.lower()}", title, axis, Axis(f"search {name}"), series, near, short=short)


def points(result: Mapping[str, Any], ids: Iterable[str], cost: str) -> list[Point]:
    """One budget's candidates of these ids over a cost, each with the text of its mark."""
    known, budget, found = candidates(result), result.get("budget"), []
    for name in dict.fromkeys(ids):
        candidate = known[name]
        x, y = candidate["costs"].get(cost), search_accuracy(candidate)
        if x is not None and y is not None:
            text = f"{name}: {data_text(candidate['data'])}, {_amount(cost, x)}, {searched(candidate)}"
            found.append(Point(x, y, text, key_of(budget, name)))
    return found


def _amount(cost: str, value: float) -> str:
    if cost.endswith("_bytes"):
        return f"{value / 1024:.1f} kB"
    return f"{value / 1e6:.2f} M MACs" if cost == "macs" else f"{value:.1f} ms"


def data_charts(files: RunFiles) -> list[Chart]:
    """The same marks, a colour per data configuration; of a system in several fronts the first."""
    metric, charts = metric_name(files), []
    for cost, _, short, axis in AXES:
        found: dict[str, dict[str, Point]] = {}
        for result in files.budgets:
            for name, system in candidates(result).items():
                for point in points(result, [name], cost):
                    found.setdefault(data_text(system["data"]), {}).setdefault(name, point)
        series = [Series(text, sorted(of.values()), style=i) for i, (text, of) in enumerate(sorted(found.items()))]
        title = f"Search {metric} by data configuration over {short}"
        charts.append(Chart(f"data_{short.lower()}", title, axis, Axis(f"search {metric}"), series, short=short))
    return charts


def data_table(files: RunFiles) -> TextTable:
    """The best search accuracy of each data configuration under each budget; the budget's best is starred."""
    best = [_best_by_data(result) for result in files.budgets]
    names = sorted({name for of_budget in best for name in of_budget})
    rows = []
    for result, of_budget in zip(files.budgets, best, strict=True):
        top = max((search_accuracy(c) or 0.0 for c in of_budget.values()), default=None)
        found = map(of_budget.get, names)
        cells = (DASH if c is None else searched(c) + (" ★" if search_accuracy(c) == top else "") for c in found)
        rows.append((budget_text(result.get("budget")), *cells))
    title = f"Best search {metric_name(files)} [95 %] by input; ★ the best of a budget"
    return TextTable(title, ("budget", *names), rows)


def _best_by_data(result: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    best: dict[str, Mapping[str, Any]] = {}
    for candidate in candidates(result).values():
        accuracy, text = search_accuracy(candidate), data_text(candidate["data"])
        if accuracy is not None and accuracy > (search_accuracy(best[text]) or 0.0 if text in best else -1.0):
            best[text] = candidate
    return best
