"""What was found: the table of finalists and baselines, and how they compare."""

from __future__ import annotations

from pathlib import Path

from danas_jax.report import table
from danas_jax.report.blocks import Block, Bullets, Section, Text, TextTable
from danas_jax.report.files import RunFiles


def section(files: RunFiles) -> Section:
    """The table, links to the files, paired comparisons."""
    summary = dict(files.summary)
    rows = table.rows(summary)
    if not rows:
        return Section("Finalists", [Text("No finalists yet: the run has not been exported.", quiet=True)])
    classes = ", ".join(map(str, summary.get("classes", [])))
    links = [
        [(kind, str(path)) for kind, path in sorted((entry.get("files") or {}).items()) if _local(path)]
        for entry in summary["finalists"]
    ]
    blocks: list[Block] = [
        Text(
            f"Classes: {classes}. Seed {summary.get('seed', '')}. 1 kB = 1,024 B. Accuracies are shares of right "
            "answers, in brackets their 95 % intervals (bootstrap over the examples). The test split was read once, "
            "for this table. Search slice and validation chose: their intervals do not cover that these are the best "
            "of several.",
            quiet=True,
        ),
        TextTable("", table.columns(summary), rows, numbers_from=3, links=links),
    ]
    blocks += _examples(files)
    if lines := (*table.all_pair_lines(summary), *table.comparison_lines(summary)):
        blocks.append(Bullets(list(lines)))
    return Section("Finalists", blocks)


def _examples(files: RunFiles) -> list[Block]:
    """How many examples each split has, and what was said of few."""
    if not files.splits:
        return []
    counts = "; ".join(f"{name} {found['images']:,}" for name, found in files.splits["splits"].items())
    limit = files.splits["limit_per_class"]
    text = f"Examples: {counts}." + (f" data.limit_per_class {limit}: of train and search together." if limit else "")
    warnings = files.splits["warnings"]
    return [Text(text, quiet=True), *([Bullets(warnings)] if warnings else [])]


def _local(path: object) -> bool:
    """Whether a path of summary.json stays inside the run: a damaged or foreign file must not link elsewhere."""
    text = str(path)
    return not text.startswith("/") and ":" not in text and ".." not in Path(text).parts
