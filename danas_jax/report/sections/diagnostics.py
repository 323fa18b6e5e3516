"""How far what was predicted may be trusted: int8 calibration, ranks of cheap accuracies, costs against measurement."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from danas_jax.report.blocks import Axis, Block, Chart, Heading, Point, Section, Series, Text, TextTable
from danas_jax.report.files import RunFiles
from danas_jax.report.systems import candidates, key_of, metric_name
from danas_jax.report.table import DASH, kilobytes, share, sure

NAMES = {"search": "search", "float_validation": "validation, float", "int8_validation": "validation, int8"}
NAMES |= {"int8_test": "test, int8"}
TIERS = {"half": "ranking part against whole slice", "int8": "simulated int8 against float"}
TIERS |= {"predictor": "predicted against measured"}


def section(files: RunFiles) -> Section:
    """Each part where its files are there."""
    return Section("Diagnostics", [*_calibration(files), *_ranks(files), *_costs(files)])


def _calibration(files: RunFiles) -> list[Block]:
    """Float and int8 by calibration method, of each exported network."""
    rows = []
    for name, manifest in files.exported.items():
        found = manifest.get("quantisation") or {}
        for method, tried in found.get("tried", {}).items():
            chosen = " ★" if method == found.get("chosen") else ""
            figures = (
                sure(of.get(kind), of.get(f"{kind}_interval"))
                for of, kind in ((found, "float_validation"), (tried, "int8_validation"))
            )
            rows.append((name, method + chosen, *figures, number(tried["logit_error"])))
    if not rows:
        return []
    columns = ("network", "calibration", "float val. [95 %]", "int8 val. [95 %]", "logit error")
    note = "★ the one that is exported. Logit error: mean squared difference to the float network's logits."
    return [Heading("int8 by calibration"), TextTable("", columns, rows, numbers_from=2), Text(note, quiet=True)]


def _ranks(files: RunFiles) -> list[Block]:
    """How well each cheaper accuracy tells the next one."""
    rows = [
        (f"search: {TIERS.get(tier, tier)}", *_agreement(found))
        for tier, found in files.pareto.get("tiers", {}).items()
        if found
    ]
    for found in files.diagnostics.get("ranks", []):
        rows.append((f"{NAMES[found['of']]} against {NAMES[found['against']]}", *_agreement(found)))
    charts = [chart for chart in (*_tier_charts(files), _retraining_chart(files)) if chart.points]
    if not rows and not charts:
        return []
    columns = ("accuracies", "systems", "mean error", "Kendall's tau")
    return [Heading("Ranks"), *([TextTable("", columns, rows)] if rows else []), *charts]


def _agreement(found: Mapping[str, Any]) -> tuple[str, str, str]:
    tau = found.get("kendall_tau")
    error = found.get("mean_absolute_error")
    return str(found["systems"]), share(error), DASH if tau is None else f"{tau:.2f}"


def _tier_charts(files: RunFiles) -> Iterable[Chart]:
    name = metric_name(files)
    axes = {"half": f"search {name}, ranking part", "full": f"search {name}", "int8": f"search {name}, int8"}
    for x, y in (("half", "full"), ("full", "int8")):
        found: dict[str, Point] = {}
        for result in files.budgets:
            for c in candidates(result).values():
                pair = c["accuracy"].get(x), c["accuracy"].get(y)
                if None not in pair:
                    found.setdefault(c["id"], Point(*pair, c["id"], key_of(result.get("budget"), c["id"])))
        series = [Series("re-ranked systems", sorted(found.values()))]
        yield Chart(f"rank_{x}_{y}", f"{axes[y]} over {axes[x]}", Axis(axes[x]), Axis(axes[y]), series, diagonal=True)


def _retraining_chart(files: RunFiles) -> Chart:
    points = []
    for entry in files.networks:
        accuracy = entry.get("accuracy") or {}
        x, y, name = accuracy.get("search"), accuracy.get("float_validation"), str(entry["name"])
        if x is not None and y is not None:
            points.append(Point(x, y, name, key_of(entry.get("budget"), name)))
    searched = Axis(f"search {metric_name(files)} of the supernet")
    series = [Series("finalists", sorted(points), radius=5.5)]
    title = "Validation accuracy after retraining over the supernet's"
    return Chart("rank_retrained", title, searched, Axis("validation accuracy, retrained"), series, diagonal=True)


def _costs(files: RunFiles) -> list[Block]:
    """Predicted against measured bytes, and what emulated cores took."""
    found = files.diagnostics.get("cost_model", [])
    blocks: list[Block] = []
    if found:
        rows = [
            (
                row["name"],
                row["quantity"],
                kilobytes(row["predicted_bytes"]),
                kilobytes(row["measured_bytes"]),
                f"{row['error_percent']:+.2f} %",
            )
            for row in found
        ]
        columns = ("network", "quantity", "predicted", "measured", "error")
        blocks += [Heading("Cost model against measurement"), TextTable("", columns, rows, numbers_from=2)]
        points: dict[str, list[Point]] = {}
        for row in found:
            point = Point(row["predicted_bytes"], row["measured_bytes"], row["name"])
            points.setdefault(row["quantity"], []).append(point)
        series = [Series(quantity, of, style=i, radius=5.5) for i, (quantity, of) in enumerate(points.items())]
        axes = Axis("predicted [kB]", 1024), Axis("measured [kB]", 1024)
        blocks.append(Chart("cost_model", "Measured bytes over predicted ones", *axes, series, diagonal=True))
        note = "The arena is that of TFLM on this 64-bit host, which is the one that can be measured here."
        blocks.append(Text(note, quiet=True))
    cores = [
        (name, e["cpu"], kilobytes(e["ram_bytes"]), kilobytes(e["flash_bytes"]), f"{e['network_instructions']:,}")
        for name, emulated in files.emulated.items()
        for e in emulated
    ]
    if cores:
        columns = ("network", "emulated core", "RAM", "flash", "instructions")
        blocks += [Heading("On emulated cores"), TextTable("", columns, cores, numbers_from=2)]
    return blocks


def number(value: float | None) -> str:
    """A small number with three digits that count."""
    return DASH if value is None else f"{value:.3g}"
