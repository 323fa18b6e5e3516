"""A chart as SVG text, made here: no plotting library, no request, readable in light and dark."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import Any

from danas_jax.report.blocks import Chart, Point, Series

WIDTH, HEIGHT = 760, 400
LEFT, RIGHT, TOP, BOTTOM = 62, 16, 44, 50
# Okabe and Ito's colours, told apart by colour-blind readers too; shapes repeat the distinction.
STYLE = """<style>
.dj{--ink:#1d2126;--soft:#6a727c;--grid:#dfe3e8;--c0:#0072b2;--c1:#c04f00;--c2:#00795b;--c3:#a8558a;--c4:#8a6d00}
@media (prefers-color-scheme:dark){.dj{--ink:#e8eaed;--soft:#a2aab4;--grid:#343a42;
--c0:#56b4e9;--c1:#f28e4b;--c2:#3ecfa3;--c3:#e59bc8;--c4:#e6c84f}}
.dj text{font:13px system-ui,sans-serif;fill:var(--ink)}.dj .soft{fill:var(--soft)}
.dj .grid{stroke:var(--grid)}.dj .limit{stroke-dasharray:5 4}
</style>"""


def nice_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """About `count` round numbers from `low` to `high`."""
    if not high > low:
        return [low]
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if (high - low) / (m * power) <= count + 1)
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 12) for i in range(first, math.floor(high / step + 1e-9) + 1)]


def svg(chart: Chart) -> str:
    """The chart as an <svg>, a note in place of no points. Standalone: docs/pareto.svg is such a text."""
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="dj" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(chart.title)}">{STYLE}<title>{escape(chart.title)}</title>'
    )
    x_of, y_of = chart.x.shown, chart.y.shown
    xs, ys = [x_of(p.x) for p in chart.points], [y_of(p.y) for p in chart.points]
    if not xs:
        return f'{head}<text x="{WIDTH / 2}" y="{HEIGHT / 2}" text-anchor="middle">nothing to show yet</text></svg>'
    ys += [y_of(end) for p in chart.points for end in p.interval or ()]
    x_low, x_high = _range([*xs, *(x_of(limit.x) for limit in chart.limits)])
    y_low, y_high = _range(ys)

    def at_x(x: float) -> float:
        return round(LEFT + (x - x_low) / (x_high - x_low) * (WIDTH - LEFT - RIGHT), 1)

    def at_y(y: float) -> float:
        return round(HEIGHT - BOTTOM - (y - y_low) / (y_high - y_low) * (HEIGHT - TOP - BOTTOM), 1)

    parts = [head]
    for tick in nice_ticks(y_low, y_high):
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at_y(tick)}" y2="{at_y(tick)}"/>')
        parts.append(f'<text class="soft" x="{LEFT - 8}" y="{at_y(tick) + 4}" text-anchor="end">{tick:g}</text>')
    for tick in nice_ticks(x_low, x_high, 7):
        parts.append(
            f'<text class="soft" x="{at_x(tick)}" y="{HEIGHT - BOTTOM + 20}" text-anchor="middle">{tick:g}</text>'
        )
    for limit in chart.limits:
        parts.append(
            f'<line class="limit" x1="{at_x(x_of(limit.x))}" x2="{at_x(x_of(limit.x))}" y1="{TOP}" '
            f'y2="{HEIGHT - BOTTOM}" stroke="var(--c{limit.style % 5})"><title>{escape(limit.text)}</title></line>'
        )
    low, high = max(x_low, y_low), min(x_high, y_high)
    if chart.diagonal and low < high:
        parts.append(
            f'<line class="grid limit" x1="{at_x(low)}" y1="{at_y(low)}" x2="{at_x(high)}" y2="{at_y(high)}"/>'
        )
    for series in chart.series:
        parts += _marks(series, lambda x: at_x(x_of(x)), lambda y: at_y(y_of(y)))
    parts += _legend(chart.series)
    parts.append(
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 10}" text-anchor="middle">{escape(chart.x.label)}</text>'
        f'<text x="16" y="{(TOP + HEIGHT - BOTTOM) / 2}" text-anchor="middle" '
        f'transform="rotate(-90 16 {(TOP + HEIGHT - BOTTOM) / 2})">{escape(chart.y.label)}</text></svg>'
    )
    return "".join(parts)


def _range(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    margin = (high - low) * 0.06 or abs(high) * 0.05 or 1.0
    return low - margin, high + margin


def _marks(series: Series, at_x: Any, at_y: Any) -> list[str]:
    colour = f"var(--c{series.style % 5})"
    parts = []
    if series.line and len(series.points) > 1:
        path = " ".join(f"{at_x(p.x)},{at_y(p.y)}" for p in series.points)
        parts.append(f'<polyline fill="none" stroke="{colour}" stroke-width="1.8" points="{path}"/>')
    for p in series.points if series.radius else ():
        if p.interval:
            low, high = map(at_y, p.interval)
            parts.append(f'<line stroke="{colour}" x1="{at_x(p.x)}" x2="{at_x(p.x)}" y1="{low}" y2="{high}"/>')
        shape, fill = _shape(series.style, at_x(p.x), at_y(p.y), series.radius), colour if series.filled else "none"
        parts.append(f'<g fill="{fill}" stroke="{colour}" stroke-width="1.5">{shape}<title>{_hover(p)}</title></g>')
    return parts


def _hover(point: Point) -> str:
    return escape(point.text or f"{point.x:g}: {point.y:.4g}")


def _shape(kind: int, x: float, y: float, r: float) -> str:
    """Circle, square, triangle, diamond, bar: budgets differ by more than colour."""
    corners = {
        1: ((-1, -1), (1, -1), (1, 1), (-1, 1)),
        2: ((0, -1.2), (1.1, 0.9), (-1.1, 0.9)),
        3: ((0, -1.3), (1.3, 0), (0, 1.3), (-1.3, 0)),
        4: ((-1.4, -0.5), (1.4, -0.5), (1.4, 0.5), (-1.4, 0.5)),
    }.get(kind % 5)
    if corners is None:
        return f'<circle cx="{x}" cy="{y}" r="{r}"/>'
    return '<polygon points="' + " ".join(f"{x + a * r:.1f},{y + b * r:.1f}" for a, b in corners) + '"/>'


def _legend(series: Sequence[Series]) -> list[str]:
    parts, x, y = [], float(LEFT), 14
    for s in series:
        width = 26 + 6.9 * len(s.name)
        if x + width > WIDTH - RIGHT and x > LEFT:
            x, y = float(LEFT), y + 18
        colour = f"var(--c{s.style % 5})"
        fill = colour if s.filled else "none"
        mark = _shape(s.style, x + 5, y - 4, min(s.radius, 5.0) or 4.0)
        parts.append(
            f'<g fill="{fill}" stroke="{colour}">{mark}</g><text x="{x + 14:.0f}" y="{y}">{escape(s.name)}</text>'
        )
        x += width
    return parts
