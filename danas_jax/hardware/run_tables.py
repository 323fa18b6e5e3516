"""The latency tables of a run: each named in its config with the digest of its file, and loaded once by the phases."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from danas_jax.config import LatencyTable, Limits
from danas_jax.errors import UserError
from danas_jax.hardware import lut


def named(path: str) -> LatencyTable:
    """The config's entry of the table in a file, which is there now. Raises UserError as `lut.load` does."""
    path = os.path.abspath(os.path.expanduser(path))  # the run resumes from any folder
    return LatencyTable(path, lut.load(path).board, _sha256(path))


def check(entries: Sequence[LatencyTable], budgets: Iterable[Limits]) -> None:
    """UserError where a table is of a board that no budget names, or the second one of its board."""
    boards = list(dict.fromkeys(limits.board for limits in budgets if limits.board))
    first: dict[str, str] = {}
    for entry in entries:
        if entry.board not in boards:
            have = f"those of the budgets are {', '.join(boards)}" if boards else "no budget names a board"
            raise UserError(
                f"latency_tables: {entry.path} is a table of board {entry.board}, {have}; "
                "give it with --board, or leave the table out"
            )
        if entry.board in first:
            raise UserError(
                f"latency_tables: {first[entry.board]} and {entry.path} are both of board {entry.board}: give one"
            )
        first[entry.board] = entry.path


def load(entries: Sequence[LatencyTable], budgets: Iterable[Limits]) -> lut.Tables:
    """The tables by board. Raises UserError as `check` and `lut.load` do, and for a file that has changed."""
    check(entries, budgets)
    for entry in entries:
        if _sha256(entry.path) != entry.sha256:
            raise UserError(
                f"latency_tables: {entry.path} has changed since the run began; give the file as it was, "
                "or another --run-dir"
            )
    return {entry.board: lut.load(entry.path) for entry in entries}


def _sha256(path: str) -> str:
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from error
