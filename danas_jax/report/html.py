"""report/index.html: one page that needs nothing but itself. Every number is read from the run's JSON files."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
from collections.abc import Sequence
from html import escape
from importlib import resources
from itertools import groupby
from pathlib import Path
from typing import Any

from danas_jax import disk
from danas_jax.report import paper
from danas_jax.report.blocks import (
    Block,
    Bullets,
    Chart,
    Choice,
    Code,
    Details,
    Fold,
    Heading,
    Section,
    Text,
    TextTable,
    charts_of,
)
from danas_jax.report.files import RunFiles, read_run
from danas_jax.report.markdown import markdown
from danas_jax.report.sections import curves, diagnostics, figures, finalists, origin, search, teacher, unlabelled
from danas_jax.report.svg import svg
from danas_jax.report.systems import networks, systems

NO_PLOTLY = (
    "The charts are pictures: interactive ones need plotly where the report is written, "
    'pip install "danas-jax[report]", then danas report again.'
)


def write_report(run_dir: Path | str) -> Path:
    """Write <run>/report/index.html, report.md and figures/ from the JSON files of the run (files.py).

    Returns the page's path. What a run has not reached yet is left out. UserError when a file is damaged.
    """
    folder = Path(run_dir)
    files = read_run(folder)
    found = sections(files)
    drawn = paper.draw(folder / "report" / "figures", charts_of(found))
    disk.write_text(folder / "report" / "report.md", markdown(files.name, found, drawn))
    path = folder / "report" / "index.html"
    disk.write_text(path, page(files, found, plotly_script()))
    return path


def sections(files: RunFiles) -> list[Section]:
    """All parts of the report in order, without the empty ones."""
    found = [
        finalists.section(files),
        search.section(files),
        figures.section(files),
        curves.section(files),
        teacher.section(files),
        unlabelled.section(files),
        diagnostics.section(files),
        origin.cost_section(files),
        origin.origin_section(files),
    ]
    return [section for section in found if section.blocks]


def plotly_script() -> str | None:
    """The text of plotly.js, None where plotly (extra `report`) is not installed."""
    try:
        from plotly.offline import get_plotlyjs
    except ImportError:
        return None
    return get_plotlyjs()


def page(files: RunFiles, found: Sequence[Section], plotly: str | None) -> str:
    """The text of the page; without `plotly` its charts are pictures."""
    known = systems(files)
    charts = {chart.name: _chart_data(chart, known) for chart in charts_of(found)} if plotly else {}
    scripts = [text for text in (plotly, _asset("page.js")) if text]
    hashes = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(s.encode()).digest()).decode()}'" for s in scripts)
    policy = f"default-src 'none'; style-src 'unsafe-inline'; img-src data: blob:; script-src {hashes}"
    links = "".join(f'<a href="#{_anchor(section)}">{escape(section.title)}</a>' for section in found)
    body = "".join(
        f'<section id="{_anchor(section)}"><h2>{escape(section.title)}</h2>'
        f"{_blocks(section.blocks, bool(plotly))}</section>"
        for section in found
    )
    data = {"charts": charts, "systems": known, "networks": networks(files)}
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(files.name)} – danas</title><style>{_asset('page.css')}</style></head><body>"
        f"<h1>{escape(files.name)}</h1><nav>{links}</nav>"
        + ("" if plotly else f'<p class="soft">{escape(NO_PLOTLY)}</p>')
        + f'{body}<script type="application/json" id="data">{_embedded(data)}</script>'
        + "".join(f"<script>{text}</script>" for text in scripts)
        + "</body></html>\n"
    )


def _asset(name: str) -> str:
    return resources.files("danas_jax.report").joinpath(name).read_text(encoding="utf-8")


def _embedded(data: dict[str, Any]) -> str:
    """JSON that cannot end the script element it stands in."""
    return json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def _anchor(section: Section) -> str:
    return section.title.lower().replace(" ", "-")


def _chart_data(chart: Chart, known: dict[str, Any]) -> dict[str, Any]:
    """A chart for the script: raw values, and the text of marks that are no system of `known`."""
    return {
        "x": dataclasses.asdict(chart.x),
        "y": dataclasses.asdict(chart.y),
        "series": [
            {
                **{key: getattr(series, key) for key in ("name", "style", "line", "radius", "filled")},
                "xs": [p.x for p in series.points],
                "ys": [p.y for p in series.points],
                "systems": [p.system for p in series.points] if any(p.system for p in series.points) else None,
                "texts": [p.text if p.system not in known else "" for p in series.points]
                if any(p.text and p.system not in known for p in series.points)
                else None,
                "intervals": [p.interval for p in series.points] if any(p.interval for p in series.points) else None,
            }
            for series in chart.series
        ],
        "limits": [limit._asdict() for limit in chart.limits],
        "diagonal": chart.diagonal,
    }


def _blocks(blocks: Sequence[Block], interactive: bool) -> str:
    """The blocks in order, charts that follow each other side by side."""
    parts = []
    for charts, group in groupby(blocks, lambda block: isinstance(block, Chart)):
        text = "".join(_block(block, interactive) for block in group)
        parts.append(f'<div class="charts">{text}</div>' if charts else text)
    return "".join(parts)


def _block(block: Block, interactive: bool) -> str:
    """One block as HTML; every text is escaped."""
    match block:
        case Text(text, quiet):
            return f"<p{' class=soft' if quiet else ''}>{escape(text)}</p>"
        case Bullets(items):
            return f"<ul>{''.join(f'<li>{escape(item)}</li>' for item in items)}</ul>"
        case Heading(text):
            return f"<h3>{escape(text)}</h3>"
        case TextTable():
            return (f"<h4>{escape(block.title)}</h4>" if block.title else "") + html_table(block)
        case Chart():
            return _figure(block, interactive)
        case Choice(charts):
            return _choice(charts, interactive)
        case Fold(summary, blocks):
            return f"<details><summary>{escape(summary)}</summary>{_blocks(blocks, interactive)}</details>"
        case Code(text):
            return f"<pre>{escape(text)}</pre>"
        case Details():
            return (
                '<div id="system"><label>Details of <select id="choose"></select></label><div id="shown"></div></div>'
            )


def _figure(chart: Chart, interactive: bool, hidden: bool = False) -> str:
    title, name = escape(chart.title), escape(chart.name)
    place = f'<div class="chart" role="img" aria-label="{title}" data-chart="{name}"></div>'
    drawn = place if interactive else svg(chart)
    return f"<figure{' hidden' if hidden else ''}>{drawn}<figcaption>{title}</figcaption></figure>"


def _choice(charts: Sequence[Chart], interactive: bool) -> str:
    """The first chart, and a button for each other one."""
    buttons = "".join(
        f'<button type="button" aria-pressed="{"false" if i else "true"}">over {escape(chart.short)}</button>'
        for i, chart in enumerate(charts)
    )
    shown = "".join(_figure(chart, interactive, hidden=i > 0) for i, chart in enumerate(charts))
    return f'<div class="choice"><div class="buttons">{buttons}</div>{shown}</div>'


def html_table(table: TextTable) -> str:
    """A table of escaped texts that scrolls sideways on a phone; links are a last column."""
    columns = (*table.columns, "files") if table.links else table.columns
    numbers = range(table.numbers_from, len(table.columns))
    head = "".join(
        f'<th scope="col"{" class=number" if i in numbers else ""}>{escape(c)}</th>' for i, c in enumerate(columns)
    )
    body = ""
    for i, row in enumerate(table.rows):
        cells = "".join(
            f"<td{' class=number' if j >= table.numbers_from else ''}>{escape(cell)}</td>" for j, cell in enumerate(row)
        )
        if table.links:
            links = (f'<a href="../{escape(path, quote=True)}">{escape(kind)}</a>' for kind, path in table.links[i])
            cells += f"<td>{' '.join(links)}</td>"
        body += f"<tr>{cells}</tr>"
    return f'<div class="wide" tabindex="0"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
