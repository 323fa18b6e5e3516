"""Plots as SVG text, made here: no plotting library, no request, readable in light and dark."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from danas_jax.classification import METRIC_NAMES
from danas_jax.views import data_text

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


@dataclass(frozen=True)
class Series:
    """One kind of mark: points (x, y, text shown on hover), joined by a line or not."""

    name: str
    points: Sequence[tuple[float, float, str]]
    colour: int = 0  # 0 to 4
    line: bool = False
    radius: float = 4.0  # 0 draws no marks [px]
    filled: bool = True


def nice_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """About `count` round numbers from `low` to `high`."""
    if not high > low:
        return [low]
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if (high - low) / (m * power) <= count + 1)
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 12) for i in range(first, math.floor(high / step + 1e-9) + 1)]


def plot(
    series: Sequence[Series], x_label: str, y_label: str, title: str, limits: Sequence[tuple[float, str, int]] = ()
) -> str:
    """An <svg> of `series`; `limits` are vertical dashed lines (x, text, colour). A note in place of no points."""
    points = [p for s in series for p in s.points]
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="dj" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(title)}">{STYLE}<title>{escape(title)}</title>'
    )
    if not points:
        return f'{head}<text x="{WIDTH / 2}" y="{HEIGHT / 2}" text-anchor="middle">nothing to show yet</text></svg>'
    x_low, x_high = _range([p[0] for p in points] + [x for x, _, _ in limits])
    y_low, y_high = _range([p[1] for p in points])

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
    for x, text, colour in limits:
        parts.append(
            f'<line class="limit" x1="{at_x(x)}" x2="{at_x(x)}" y1="{TOP}" y2="{HEIGHT - BOTTOM}" '
            f'stroke="var(--c{colour % 5})"><title>{escape(text)}</title></line>'
        )
    for s in series:
        parts += _marks(s, at_x, at_y)
    parts += _legend(series)
    parts.append(
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 10}" text-anchor="middle">{escape(x_label)}</text>'
        f'<text x="16" y="{(TOP + HEIGHT - BOTTOM) / 2}" text-anchor="middle" '
        f'transform="rotate(-90 16 {(TOP + HEIGHT - BOTTOM) / 2})">{escape(y_label)}</text></svg>'
    )
    return "".join(parts)


def _range(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    margin = (high - low) * 0.06 or abs(high) * 0.05 or 1.0
    return low - margin, high + margin


def _marks(series: Series, at_x: Any, at_y: Any) -> list[str]:
    colour = f"var(--c{series.colour % 5})"
    parts = []
    if series.line and len(series.points) > 1:
        path = " ".join(f"{at_x(x)},{at_y(y)}" for x, y, _ in series.points)
        parts.append(f'<polyline fill="none" stroke="{colour}" stroke-width="1.8" points="{path}"/>')
    if series.radius:
        for x, y, text in series.points:
            shape = _shape(series.colour, at_x(x), at_y(y), series.radius)
            fill = colour if series.filled else "none"
            parts.append(
                f'<g fill="{fill}" stroke="{colour}" stroke-width="1.5">{shape}<title>{escape(text)}</title></g>'
            )
    return parts


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
        colour = f"var(--c{s.colour % 5})"
        fill = colour if s.filled else "none"
        mark = _shape(s.colour, x + 5, y - 4, min(s.radius, 5.0) or 4.0)
        parts.append(
            f'<g fill="{fill}" stroke="{colour}">{mark}</g><text x="{x + 14:.0f}" y="{y}">{escape(s.name)}</text>'
        )
        x += width
    return parts


def pareto_svg(pareto: dict[str, Any], budget_names: Sequence[str]) -> str:
    """Search accuracy over tensor arena from a pareto.json: small marks are the fronts, large ones the finalists.

    A dashed line is a budget's SRAM limit. Standalone: docs/pareto.svg is the same text.
    """
    series, limits = [], []
    for i, (found, name) in enumerate(zip(pareto.get("budgets", []), budget_names, strict=True)):
        front = sorted(p for p in map(_point, found.get("front", [])) if p is not None)
        series.append(Series(name, front, colour=i, radius=2.6, filled=False))
        chosen = [c for c in found.get("reranked", []) + found.get("front", []) if c["id"] in found["finalists"]]
        unique = {c["id"]: c for c in reversed(chosen)}  # the re-ranked entry, with the whole slice's accuracy, wins
        finalists = [p for p in map(_point, unique.values()) if p is not None]
        if finalists:
            series.append(Series("finalist", finalists, colour=i, radius=6.5))
        sram = (found.get("budget") or {}).get("sram_bytes")
        if sram:
            limits.append((sram / 1024, f"{name}: SRAM limit", i))
    # A limit far beyond every point would squeeze the points into a corner.
    reach = 1.5 * max((p[0] for s in series for p in s.points), default=0.0)
    limits = [limit for limit in limits if limit[0] <= reach]
    name = metric_name(pareto)
    return plot(series, "tensor arena [kB]", f"search {name}", f"Search {name} over tensor arena", limits)


def metric_name(pareto: dict[str, Any]) -> str:
    """What the accuracies of a pareto.json are."""
    return METRIC_NAMES[pareto.get("metric", "accuracy")]


def _point(candidate: dict[str, Any]) -> tuple[float, float, str] | None:
    accuracy = candidate["accuracy"]["full"]
    accuracy = candidate["accuracy"]["half"] if accuracy is None else accuracy
    arena = candidate["costs"].get("arena_device_bytes")
    if accuracy is None or arena is None:
        return None
    text = f"{candidate['id']}: {data_text(candidate['data'])}, {arena / 1024:.1f} kB, {accuracy:.3f}"
    return arena / 1024, accuracy, text


def curve(name: str, points: Sequence[tuple[float, float]], colour: int = 0, most: int = 300) -> Series:
    """A line of at most `most` points: means over equal stretches of `points` (x, y)."""
    size = max(1, math.ceil(len(points) / most))
    means = []
    for i in range(0, len(points), size):
        part = points[i : i + size]
        x, y = sum(p[0] for p in part) / len(part), sum(p[1] for p in part) / len(part)
        means.append((x, y, f"{x:g}: {y:.4g}"))
    return Series(name, means, colour=colour, line=True, radius=0.0 if len(means) > 30 else 2.5)
