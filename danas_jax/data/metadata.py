"""metadata.csv beside the pictures: column `file` names one relative to the folder, others say what it is."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from danas_jax.errors import UserError

NAME = "metadata.csv"


def read_column(root: Path, column: str, setting: str) -> dict[str, str]:
    """{file: value} of `column`; UserError, naming `setting`, when the table or the column is missing or damaged."""
    table = root / NAME
    if not table.is_file():
        raise UserError(f"{setting}: there is no {table} to read it from")
    try:
        with open(table, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = reader.fieldnames or []
            for needed in ("file", column):
                if needed not in columns:
                    raise UserError(f"{setting}: {table} has no column {needed!r}, it has {columns}")
            return {row["file"]: row[column] or "" for row in reader}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{table}: cannot be read as UTF-8 CSV ({error})") from error


def read_slices(root: Path, fields: tuple[str, ...], setting: str) -> dict[str, dict[str, str]]:
    """{field: {file: value}} of the columns that figures are reported by, {} where there is no table at all.

    UserError, naming `setting`, when the table is there and lacks a column.
    """
    if not (root / NAME).is_file():  # a config's fields, and pictures of which nothing more is known
        return {}
    return {field: read_column(root, field, f"{setting} = {fields!r}") for field in fields}


def values(slices: dict[str, dict[str, str]], keys: tuple[str, ...]) -> dict[str, np.ndarray]:
    """{field: value of each of the files `keys`, str [N]}, "" where the table says nothing."""
    return {field: np.array([by_file.get(key, "") for key in keys], str) for field, by_file in slices.items()}
