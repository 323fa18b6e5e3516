"""summary.json as text: the rows that the terminal table and the page share, and the table itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from danas_jax.classification import METRIC_NAMES
from danas_jax.search.archive import Archive, winning_data
from danas_jax.views import data_text

DASH, LOG_WIDTH = "–", 250
COLUMNS = (
    "network",
    "budget",
    "input",
    "int8 test [95 %]",
    "MACs",
    "arena (board / host)",
    "arena measured",
    "file",
    "search [95 %]",
    "float val. [95 %]",
    "int8 val. [95 %]",
)


def kilobytes(value: float | None) -> str:
    """Bytes as text in kB of 1,024 B."""
    return DASH if value is None else f"{value / 1024:.1f} kB"


def millions(value: float | None) -> str:
    """MACs as text in millions."""
    return DASH if value is None else f"{value / 1e6:.2f} M"


def share(value: float | None) -> str:
    """An accuracy (0 to 1) as text with three digits."""
    return DASH if value is None else f"{value:.3f}"


def sure(value: float | None, interval: Sequence[float] | None) -> str:
    """`0.812 [0.750, 0.875]`: an accuracy with its 95 % interval, where that is known (older runs lack some)."""
    return share(value) + (f" [{share(interval[0])}, {share(interval[1])}]" if interval else "")


def budget_text(budget: Mapping[str, Any] | None) -> str:
    """`64 kB SRAM, 512 kB flash`; a dash for a baseline, which has no budget."""
    if budget is None:
        return DASH
    parts = [budget["board"]] if budget.get("board") else []
    for key, name in (("sram_bytes", "SRAM"), ("flash_bytes", "flash")):
        if budget.get(key) is not None:
            parts.append(f"{budget[key] / 1024:g} kB {name}")
    if budget.get("macs") is not None:
        parts.append(f"{budget['macs'] / 1e6:g} M MACs")
    if budget.get("latency_ms") is not None:
        parts.append(f"{budget['latency_ms']:g} ms")
    if budget.get("energy_mj") is not None:
        parts.append(f"{budget['energy_mj']:g} mJ")
    if budget.get("count_input_pipeline"):
        grey = "grey or colour" if budget["camera_grey"] else "colour"
        camera = f" from {budget['camera_px']} px {grey}" if budget["camera_px"] else ""
        parts.append(f"input pipeline{camera} counted")
    return ", ".join(parts) or "no limits"


def search_lines(found: Archive) -> list[str]:
    """What the search answers, two lines per budget: its first choice, and the best accuracy by data configuration.

    95 % intervals in brackets. The first choice has its accuracy on the whole search slice, the others theirs on the
    half slice.
    """
    lines, name = [], METRIC_NAMES[found.metric]
    for result, data in zip(found.budgets, winning_data(found), strict=True):
        text = f"{budget_text(data['budget'])}: {len(result.front)} on the front"
        if result.finalists:
            first = result.candidate(result.finalists[0])
            text += (
                f", first choice {first.id}: {data_text(first.data)}, search {name} "
                f"{sure(first.accuracy_full, first.intervals.get('full'))} "
                f"(int8 {sure(first.accuracy_int8, first.intervals.get('int8'))}), "
                f"arena {kilobytes(first.costs['arena_device_bytes'])}, {millions(first.costs['macs'])} MACs"
            )
        by_data = sorted(data["accuracy"].items(), key=lambda item: -item[1])
        inputs = (f"{view} {sure(best, data['intervals'][view])}" for view, best in by_data)
        lines += [text, "  best by input: " + ", ".join(inputs)]
    return lines


def columns(summary: dict[str, Any]) -> tuple[str, ...]:
    """COLUMNS, where the search's accuracy has the name of what was searched for."""
    metric = summary.get("search_metric", "accuracy")
    named = "search" if metric == "accuracy" else f"search {METRIC_NAMES.get(metric, metric)}"
    return tuple(column.replace("search", named) for column in COLUMNS)


def rows(summary: dict[str, Any]) -> list[tuple[str, ...]]:
    """One row of texts, as in COLUMNS, for each finalist and baseline of a summary.json; what is missing is a dash."""
    result = []
    for entry in summary.get("finalists", []):
        predicted, measured = entry.get("predicted") or {}, entry.get("measured") or {}
        accuracy, data = entry.get("accuracy") or {}, entry.get("data") or {}

        def measured_on(kind: str, accuracy: Mapping[str, Any] = accuracy) -> str:
            return sure(accuracy.get(kind), accuracy.get(f"{kind}_interval"))

        result.append(
            (
                str(entry.get("name") or entry.get("id")),
                budget_text(entry.get("budget")),
                data_text(data) if data else DASH,
                measured_on("int8_test"),
                millions(predicted.get("macs")),
                f"{kilobytes(predicted.get('arena_device_bytes'))} / {kilobytes(predicted.get('arena_host_bytes'))}",
                kilobytes(measured.get("arena_bytes")),
                kilobytes(measured.get("file_bytes")),
                measured_on("search"),
                measured_on("float_validation"),
                measured_on("int8_validation"),
            )
        )
    return result


def comparison_lines(summary: dict[str, Any]) -> list[str]:
    """One sentence for each paired comparison: points of test accuracy, 95 % interval, what it shows."""
    names = {entry.get("id"): entry.get("name") or entry.get("id") for entry in summary.get("finalists", [])}
    lines = []
    for item in summary.get("comparisons", []):
        low, high = item["interval"]
        verdict = "above" if low > 0 else "below" if high < 0 else "no difference shown"
        finalist, baseline = (names.get(item[key], item[key]) for key in ("finalist", "baseline"))
        lines.append(
            f"{finalist} minus {baseline}: {100 * item['difference']:+.1f} points of int8 test accuracy, "
            f"95 % interval [{100 * low:+.1f}, {100 * high:+.1f}] ({verdict})"
        )
    return lines


def pair_lines(summary: dict[str, Any]) -> list[str]:
    """One sentence for each pair of finalists that validation cannot tell apart (deploy/told_apart.py)."""
    return [line for line, open_question in _pairs(summary) if open_question]


def all_pair_lines(summary: dict[str, Any]) -> list[str]:
    """One sentence for each pair of finalists: what the larger one gains on validation, and on test."""
    return [line for line, _ in _pairs(summary)]


def _pairs(summary: dict[str, Any]) -> list[tuple[str, bool]]:
    """(sentence, whether the 95 % interval on validation holds 0) of each pair."""
    entries: dict[str, list[dict[str, Any]]] = {}
    for entry in summary.get("finalists", []):
        entries.setdefault(entry.get("name"), []).append(entry)
    metric, found = summary.get("search_metric", "accuracy"), []
    for pair in summary.get("pairs", []):
        gain = pair["validation"]
        if gain is None:
            continue
        smaller, larger = entries[pair["smaller"]], entries[pair["larger"]]
        names, values = [], []
        for of in (smaller, larger):
            budgets = dict.fromkeys(budget_text(entry["budget"]) for entry in of)
            names.append(f"{of[0]['name']} ({'; '.join(budgets)})")
            values.append(share(of[0]["figures"]["int8_validation"][metric]))
        (low, high), saved = gain["interval"], kilobytes(pair["arena_saved_bytes"])
        verdict = "the larger one is better" if low > 0 else "the smaller one is better"
        if low <= 0 <= high:
            less = "their arenas are equal" if saved == kilobytes(0) else f"the smaller one takes {saved} less arena"
            verdict = f"cannot be told apart; {less}"
        line = (
            f"{names[0]} and {names[1]}: {METRIC_NAMES[metric]} {values[0]} and {values[1]} on validation, difference "
            f"{points_text(gain)} points: {verdict}"
        )
        if pair["test"]:
            line += f" (on test, which chooses nothing: {points_text(pair['test'])})"
        found.append((line, low <= 0 <= high))
    return found


def points_text(gain: Mapping[str, Any]) -> str:
    """`+2.1 [-0.4, +4.5]`: a difference with its 95 % interval, in points."""
    low, high = gain["interval"]
    return f"{100 * gain['difference']:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"


def point_lines(summary: dict[str, Any]) -> list[str]:
    """One sentence for each network with an operating point: its rates on test."""
    lines = {}
    for entry in summary.get("finalists", []):
        if entry.get("operating_point"):
            point, test = entry["operating_point"], entry["operating_point"]["test"]
            lines[entry["name"]] = (
                f"{entry['name']} at its operating point, on test: {share(test['detection_rate'])} of "
                f"{point['positive_class']} detected, {share(test['false_alarm_rate'])} false alarms"
            )
    return list(lines.values())


def print_table(summary: dict[str, Any], console: Console | None = None) -> None:
    """Print the final table and the comparisons of a summary.json."""
    console = print_rows(f"{summary.get('name', 'run')}: finalists", columns(summary), rows(summary), 3, console)
    open_pairs = (f"warning: {line}" for line in pair_lines(summary))
    for line in (*open_pairs, *comparison_lines(summary), *point_lines(summary)):
        console.print(line, markup=False, highlight=False)


def print_rows(
    title: str, names: Sequence[str], cells: Iterable[Sequence[str]], left: int, console: Console | None = None
) -> Console:
    """Print a table whose first `left` columns are words; a narrow terminal wraps the cells, nothing is cut.

    Returns what it was printed to, for lines below it.
    """
    console = console or Console(soft_wrap=False)
    if not console.is_terminal and console.width < LOG_WIDTH:
        console = Console(file=console.file, width=LOG_WIDTH)  # a log file has no edge
    table = Table(title=title, box=box.SIMPLE_HEAVY, title_justify="left")
    for i, column in enumerate(names):
        table.add_column(column, justify="left" if i < left else "right", overflow="fold")
    for row in cells:
        table.add_row(*row)
    console.print(table)
    return console
