"""Rows as the text of a CSV file, for files that are written whole."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def csv_text(rows: Iterable[Sequence[Any]]) -> str:
    """One line for each row, a header among them if it is to have one; lines end in \\n."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue()


def csv_of(rows: Sequence[Mapping[str, Any]]) -> str:
    """A header of the first row's keys, and a line for each row; all rows have these keys."""
    names = list(rows[0])
    return csv_text([names, *([row[name] for name in names] for row in rows)])
