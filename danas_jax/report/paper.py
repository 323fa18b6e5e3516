"""A report's charts as PNG and SVG files for papers, drawn by matplotlib (extra `report`), which brings its fonts."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from danas_jax import disk
from danas_jax.report.blocks import Chart

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#a07d00")  # Okabe and Ito's, the yellow one darker
SHAPES = ("o", "s", "^", "D", "h", "v", "P")  # as page.js
SIZE_INCH, DOTS_PER_INCH = (5.0, 3.4), 200
PLACE = (0.14, 0.14, 0.83, 0.82)  # of the axes: left, bottom, width, height, as shares of the figure


def draw(folder: Path, charts: Sequence[Chart]) -> list[str]:
    """Write <name>.png and <name>.svg of each chart with points into `folder`, and return their names.

    Nothing is drawn where matplotlib is not installed. The same charts give the same bytes.
    """
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError:
        return []
    drawn = [chart for chart in charts if chart.points]
    # svg.fonttype none: text stays text that a paper's tools can restyle
    with matplotlib.rc_context({"svg.hashsalt": "danas", "svg.fonttype": "none", "font.size": 9}):
        for chart in drawn:
            figure = Figure(figsize=SIZE_INCH)
            _fill(figure, chart)
            for kind, metadata in (("png", {"Software": None}), ("svg", {"Date": None})):
                buffer = io.BytesIO()
                figure.savefig(buffer, format=kind, dpi=DOTS_PER_INCH, metadata=metadata)
                disk.write_bytes(folder / f"{chart.name}.{kind}", buffer.getvalue())
    return [chart.name for chart in drawn]


def _fill(figure: Figure, chart: Chart) -> None:
    axes = figure.add_axes(PLACE)
    for series in chart.series:
        colour, shape = COLOURS[series.style % len(COLOURS)], SHAPES[series.style % len(SHAPES)]
        xs, ys = [chart.x.shown(p.x) for p in series.points], [chart.y.shown(p.y) for p in series.points]
        axes.plot(
            xs, ys, color=colour, label=series.name.replace("$", r"\$"),
            linestyle="-" if series.line else "none", linewidth=1.2,
            marker=shape if series.radius else "none", markersize=1.4 * series.radius,
            markerfacecolor=colour if series.filled else "none", markeredgewidth=0.8,
        )  # fmt: skip
        for point in series.points:
            if point.interval:
                low, high = map(chart.y.shown, point.interval)
                axes.vlines(chart.x.shown(point.x), low, high, color=colour, linewidth=0.9)
    for limit in chart.limits:
        axes.axvline(chart.x.shown(limit.x), color=COLOURS[limit.style % len(COLOURS)], linestyle="--", linewidth=0.9)
    if chart.diagonal:
        start = chart.x.shown(chart.points[0].x)
        axes.axline((start, start), slope=1, color="0.6", linestyle=":", linewidth=0.9)
    axes.set_xlabel(chart.x.label)
    axes.set_ylabel(chart.y.label)
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    if len(chart.series) > 1:
        axes.legend(fontsize=7, frameon=False)
