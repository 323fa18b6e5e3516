"""report.md: the report as text with figures, for a repository or a paper's notes."""

from __future__ import annotations

from collections.abc import Sequence

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
)


def markdown(name: str, sections: Sequence[Section], drawn: Sequence[str]) -> str:
    """The sections as Markdown; charts whose names are among `drawn` are links to figures/<name>.png."""
    lines = [f"# {_plain(name)}", ""]
    for section in sections:
        lines += [f"## {section.title}", ""]
        for block in section.blocks:
            lines += _lines(block, drawn)
    if not drawn:
        lines += ['No figures: they need matplotlib, `pip install "danas-jax[report]"`.', ""]
    return "\n".join(lines)


def _lines(block: Block, drawn: Sequence[str]) -> list[str]:
    """A block's lines, the last one empty."""
    match block:
        case Text(text, _):
            return [_plain(text), ""]
        case Bullets(items):
            return [*(f"* {_plain(item)}" for item in items), ""]
        case Heading(text):
            return [f"### {_plain(text)}", ""]
        case TextTable():
            return _table(block)
        case Chart():
            return [f"![{_plain(block.title)}](figures/{block.name}.png)", ""] if block.name in drawn else []
        case Choice(charts):
            return [line for chart in charts for line in _lines(chart, drawn)]
        case Fold(summary, blocks):
            return [f"#### {_plain(summary)}", "", *(line for inside in blocks for line in _lines(inside, drawn))]
        case Code(text):
            return ["```", text, "```", ""]
        case Details():
            return []


def _table(table: TextTable) -> list[str]:
    columns = [*table.columns, "files"] if table.links else table.columns
    rules = ["---:" if table.numbers_from <= i < len(table.columns) else "---" for i in range(len(columns))]
    lines = [_row([_plain(column) for column in columns]), _row(rules)]
    for i, row in enumerate(table.rows):
        cells = [_plain(cell) for cell in row]
        if table.links:
            cells.append(" ".join(f"[{_plain(kind)}](../{path})" for kind, path in table.links[i]))
        lines.append(_row(cells))
    title = [f"**{_plain(table.title)}**", ""] if table.title else []
    return [*title, *lines, ""]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _plain(text: str) -> str:
    """Text that Markdown and HTML leave as it is, on one line."""
    for character in "\\`*_|":
        text = text.replace(character, f"\\{character}")
    text = text.replace("](", "]\\(")  # no link
    return text.replace("&", "&amp;").replace("<", "&lt;").replace("\n", " ")
