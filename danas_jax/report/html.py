"""report/index.html: one page that needs nothing but itself. Every number is read from the run's JSON files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from danas_jax import records, run
from danas_jax.report import plots, quality, table

STYLE = """
:root{color-scheme:light dark;--ink:#1d2126;--soft:#5d6670;--line:#dfe3e8;--back:#fff;--card:#f6f7f9;--link:#0060a8}
@media (prefers-color-scheme:dark){:root{--ink:#e8eaed;--soft:#a2aab4;--line:#343a42;--back:#15181c;--card:#1d2126;
--link:#6cb8f0}}
body{margin:0 auto;max-width:72rem;padding:1.2rem;font:16px/1.5 system-ui,sans-serif;color:var(--ink);
background:var(--back)}
h1{font-size:1.5rem;margin:.2rem 0}h2{font-size:1.15rem;margin:2rem 0 .5rem}
h3{font-size:1rem;margin:1.4rem 0 .4rem}h4{font-size:.9rem;margin:1rem 0 .4rem}
p{max-width:46rem}.soft,caption{color:var(--soft)}a{color:var(--link)}
.wide{overflow-x:auto;border:1px solid var(--line);border-radius:8px}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums;font-size:.9rem}
th,td{padding:.45rem .7rem;text-align:left;border-bottom:1px solid var(--line);white-space:nowrap}
th{white-space:normal;background:var(--card);font-weight:600}tr:last-child td{border-bottom:0}
td.number{text-align:right}svg{width:100%;height:auto;max-width:47.5rem}
pre{overflow-x:auto;background:var(--card);padding:.8rem;border-radius:8px;font-size:.8rem}
"""
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def write_report(run_dir: Path | str) -> Path:
    """Write <run>/report/index.html from summary.json, search/pareto.json, metrics.jsonl, config and provenance.

    Returns its path. What a run has not reached yet is left out. UserError when a file is damaged.
    """
    folder = Path(run_dir)
    summary = _read(folder / "summary.json")
    pareto = _read(folder / "search" / "pareto.json")
    metrics = run.read_metrics(folder)
    name = str(summary.get("name") or folder.resolve().name)
    sections = [
        _finalists(summary),
        _quality(summary),
        _pareto(pareto),
        _curves(metrics),
        _times(summary),
        _details("Configuration", _read(folder / "config.json")),
        _details("Provenance", _read(folder / "provenance.json")),
    ]
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(name)} – danas</title><style>{STYLE}</style></head><body>"
        f"<h1>{escape(name)}</h1>{''.join(sections)}</body></html>\n"
    )
    path = folder / "report" / "index.html"
    run.write_text(path, page)
    return path


def pareto_plot(pareto: dict[str, Any]) -> str:
    """The Pareto picture of a pareto.json as standalone SVG text, e.g. for docs/pareto.svg."""
    return plots.pareto_svg(pareto, [table.budget_text(found.get("budget")) for found in pareto.get("budgets", [])])


def _read(path: Path) -> dict[str, Any]:
    return run.read_json(path) if path.exists() else {}


def _finalists(summary: dict[str, Any]) -> str:
    rows = table.rows(summary)
    if not rows:
        return '<p class="soft">No finalists yet: the run has not been exported.</p>'
    classes = ", ".join(str(c) for c in summary.get("classes", []))
    notes = "".join(f"<li>{escape(line)}</li>" for line in table.comparison_lines(summary))
    files = [entry.get("files") or {} for entry in summary["finalists"]]
    links = [
        " ".join(
            f'<a href="../{escape(str(path), quote=True)}">{kind}</a>'
            for kind, path in sorted(f.items())
            if _local(path)
        )
        for f in files
    ]
    return (
        f'<p class="soft">Classes: {escape(classes)}. Seed {escape(str(summary.get("seed", "")))}. 1 kB = 1,024 B. '
        "Accuracies are shares of right answers; the test split was read once, for this table.</p>"
        f"<h2>Finalists</h2>{html_table((*table.columns(summary), 'files'), rows, links, numbers_from=3)}"
        + (f"<ul>{notes}</ul>" if notes else "")
    )


FIGURES = {  # of an exported network -> how a reader calls them
    "float_validation": "validation, float",
    "int8_validation": "validation, int8",
    "int8_test": "test, int8",
}


def _quality(summary: dict[str, Any]) -> str:
    """What each network gets right: overall, per class, as a confusion matrix, per slice; of int8 on test."""
    parts = []
    for entry in {e.get("name"): e for e in summary.get("finalists", []) if e.get("figures")}.values():
        overall = quality.overall_table({title: entry["figures"][kind] for kind, title in FIGURES.items()})
        parts.append(f"<h3>{escape(str(entry['name']))}</h3>{html_table(overall.columns, overall.rows)}")
        if entry.get("operating_point"):
            parts.append(f"<p>Test: {escape(quality.point_text(entry['operating_point'], 'test'))}.</p>")
        details = "".join(
            f"<h4>{escape(found.title)}</h4>{html_table(found.columns, found.rows)}"
            for found in quality.tables(entry["figures"]["int8_test"])
        )
        parts.append(f"<details><summary>test, int8: classes and slices</summary>{details}</details>")
    return f"<h2>Figures of each network</h2>{''.join(parts)}" if parts else ""


def _local(path: object) -> bool:
    """Whether a path of summary.json stays inside the run: a damaged or foreign file must not link elsewhere."""
    text = str(path)
    return not text.startswith("/") and ":" not in text and ".." not in Path(text).parts


def html_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], links: Sequence[str] = (), numbers_from: int = 1
) -> str:
    """A table of escaped texts that scrolls sideways on a phone; `links` is ready HTML for a last column."""
    head = "".join(f'<th scope="col">{escape(c)}</th>' for c in columns)
    body = ""
    for i, row in enumerate(rows):
        cells = "".join(
            f"<td{' class=number' if j >= numbers_from else ''}>{escape(cell)}</td>" for j, cell in enumerate(row)
        )
        body += f"<tr>{cells}{f'<td>{links[i]}</td>' if links else ''}</tr>"
    return f'<div class="wide" tabindex="0"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _pareto(pareto: dict[str, Any]) -> str:
    if not pareto:
        return ""
    return (
        f"<h2>Search</h2>{pareto_plot(pareto)}<p class='soft'>Exact supernet {plots.metric_name(pareto)} on the "
        "search slice (the whole slice where measured, else its ranking part) over the predicted 32-bit arena. Open "
        "marks: candidates no other beats in all objectives; filled: finalists; dashed: a budget's SRAM limit.</p>"
    )


def _curves(metrics: Sequence[dict[str, Any]]) -> str:
    """A curve for each kind of number that the phases log against `step` or `epoch`."""
    found: dict[tuple[str, str], dict[str, list[tuple[float, float]]]] = {}
    for (phase, who), rows in records.series(metrics).items():
        for key in ("loss", "accuracy", "validation_accuracy"):
            points = [(float(records.position(row) or 0), row[key]) for row in rows if _is_number(row.get(key))]
            if points:
                found.setdefault((phase, key), {})[who or phase] = points
    parts = []
    for (phase, key), lines in found.items():
        series = [plots.curve(name, points, i) for i, (name, points) in enumerate(lines.items())]
        label = key.replace("_", " ")
        parts.append(f"<h2>{escape(phase)}: {label}</h2>" + plots.plot(series, "step", label, f"{phase}: {label}"))
    return "".join(parts)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _times(summary: dict[str, Any]) -> str:
    rows = [(phase, f"{s / 60:.1f} min") for phase, s in summary.get("times_s", {}).items() if _is_number(s)]
    views = [
        (f"image views of {e.get('name') or e.get('id')} (retraining)", f"{e['retrain_image_views']:,}")
        for e in summary.get("finalists", [])
        if _is_number(e.get("retrain_image_views"))
    ]
    if _is_number(summary.get("supernet_image_views")):
        views.insert(0, ("image views of the supernet", f"{summary['supernet_image_views']:,}"))
    if not rows and not views:
        return ""
    return "<h2>Cost of the run</h2>" + html_table(("phase", "amount"), rows + views)


def _details(title: str, content: dict[str, Any]) -> str:
    if not content:
        return ""
    text = escape(json.dumps(content, indent=2))
    return f"<h2>{title}</h2><details><summary>show</summary><pre>{text}</pre></details>"
