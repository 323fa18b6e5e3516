"""Tables that say what files are: metadata.csv beside the pictures, or the manifest that is itself the list of them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from danas_jax import untrusted
from danas_jax.errors import UserError

NAME = "metadata.csv"


@dataclass(frozen=True)
class Table:
    """A CSV file as text."""

    path: Path
    columns: tuple[str, ...]
    rows: tuple[dict[str, str], ...]
    lines: tuple[int, ...]  # the line of the file that each row ends in

    def column(self, name: str, setting: str) -> list[str]:
        """The values of column `name`, "" where there are none; UserError, naming `setting`, when it is not there."""
        if name not in self.columns:
            raise UserError(f"{setting}: {self.path} has no column {name!r}, it has {list(self.columns)}")
        return [row[name] or "" for row in self.rows]


def read_table(path: Path) -> Table:
    """The CSV file at `path`; UserError when it is damaged or no UTF-8."""
    reader = None
    try:
        text = untrusted.read_bytes(path, untrusted.MAX_TABLE_BYTES).decode("utf-8-sig")
        reader = csv.DictReader(io.StringIO(text, newline=""))
        rows = [(row, reader.line_num) for row in reader]
        return Table(path, tuple(reader.fieldnames or ()), tuple(r for r, _ in rows), tuple(n for _, n in rows))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        where = f"{path}, line {reader.line_num}" if reader else path
        raise UserError(f"{where}: cannot be read as UTF-8 CSV ({error})") from error


def read_column(root: Path, column: str, setting: str) -> dict[str, str]:
    """{file: value} of `column` of metadata.csv; UserError, naming `setting`, when it is not there or damaged."""
    path = root / NAME
    if not path.is_file():
        raise UserError(f"{setting}: there is no {path} to read it from")
    table = read_table(path)
    return dict(zip(table.column("file", setting), table.column(column, setting), strict=True))


def read_slices(root: Path, fields: tuple[str, ...], setting: str) -> dict[str, dict[str, str]]:
    """{field: {file: value}} of the columns that figures are reported by, {} where there is no table at all.

    UserError, naming `setting`, when the table is there and lacks a column.
    """
    if not (root / NAME).is_file():  # a config's fields, and pictures of which nothing more is known
        return {}
    return {field: read_column(root, field, f"{setting} = {fields!r}") for field in fields}


def values(slices: dict[str, dict[str, str]], keys: Iterable[str]) -> dict[str, np.ndarray]:
    """{field: value of each of the files `keys`, str [N]}, "" where the table says nothing."""
    keys = tuple(keys)
    return {field: np.array([by_file.get(key, "") for key in keys], str) for field, by_file in slices.items()}
