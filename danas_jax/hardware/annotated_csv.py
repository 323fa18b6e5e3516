"""CSV files that a person edits, with one line of JSON in front: `# {"board": "mine", ...}`."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from danas_jax import untrusted
from danas_jax.csv_text import csv_text
from danas_jax.errors import UserError


class Line(NamedTuple):
    """One row: `where` is "FILE, line 3", for errors; `cells` holds every column, stripped."""

    where: str
    cells: dict[str, str]


def read(path: Path | str, required: Sequence[str], optional: Sequence[str]) -> tuple[dict, list[Line]]:
    """The JSON of the first line ({} where it is no comment) and the rows of a CSV file with these columns.

    Raises UserError when the file cannot be read, a column is missing, unknown or given twice, or a row is longer or
    shorter than the line of names.
    """
    try:
        text = untrusted.read_bytes(path, untrusted.MAX_TABLE_BYTES).decode("utf-8-sig")
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from error
    except ValueError as error:
        raise UserError(f"{path}: no CSV file: {error}") from error
    first, _, rest = text.partition("\n")
    header = _header(path, first) if first.startswith("#") else {}
    skipped = 1 if first.startswith("#") else 0
    reader = csv.reader(io.StringIO(rest if skipped else text), strict=True)
    try:
        columns = [name.strip() for name in next(reader, [])]
        _check_columns(path, columns, required, optional)
        lines = []
        for cells in reader:
            where = f"{path}, line {reader.line_num + skipped}"
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(columns):
                raise UserError(f"{where}: {len(cells)} cells, {len(columns)} columns: {','.join(columns)}")
            lines.append(Line(where, dict(zip(columns, (cell.strip() for cell in cells), strict=True))))
    except csv.Error as error:
        raise UserError(f"{path}, line {reader.line_num + skipped}: {error}") from error
    return header, lines


def _header(path: Path | str, line: str) -> dict:
    try:
        header = untrusted.loads(line[1:])
    except ValueError as error:
        raise UserError(f"{path}, line 1: after # a JSON object is expected: {error}") from error
    if not isinstance(header, dict):
        raise UserError(f"{path}, line 1: after # a JSON object is expected, found {type(header).__name__}")
    return header


def _check_columns(path: Path | str, columns: list[str], required: Sequence[str], optional: Sequence[str]) -> None:
    missing = [name for name in required if name not in columns]
    unknown = [name for name in columns if name not in (*required, *optional)]
    twice = sorted({name for name in columns if columns.count(name) > 1})
    wrong = {"missing": missing, "unknown": unknown, "given twice": twice}
    found = "; ".join(f"{what}: {', '.join(map(repr, names))}" for what, names in wrong.items() if names)
    if found:
        raise UserError(f"{path}: columns {found}; give {', '.join(required)} [{', '.join(optional)}]")


def number(line: Line, column: str) -> float:
    """A cell as a finite number, 0 or more; UserError naming the place when it is none."""
    text = line.cells[column]
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 0 <= value < float("inf"):
        raise UserError(f"{line.where}: {column} = {text!r}: give a number, 0 or more")
    return value


def text(header: Mapping, columns: Sequence[str], rows: Iterable[Sequence]) -> str:
    """The content of such a file."""
    return "# " + json.dumps(header, sort_keys=True) + "\n" + csv_text([columns, *rows])
