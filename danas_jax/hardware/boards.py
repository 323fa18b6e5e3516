"""The boards of `boards.toml`: what a microcontroller has, and the limits that follow from it."""

from __future__ import annotations

import difflib
import tomllib
from dataclasses import dataclass, fields
from functools import cache
from importlib import resources

from danas_jax.config import Limits
from danas_jax.errors import UserError


@dataclass(frozen=True)
class Board:
    """One microcontroller board; sizes in bytes (1 kB = 1,024 B), `source` says where the figures are from."""

    name: str
    title: str
    core: str  # "cortex-m7", "cortex-m4f", "cortex-m0plus", "xtensa-lx7"
    clock_hz: int
    sram_bytes: int
    flash_bytes: int
    reserved_sram_bytes: int  # kept for stack and application
    source: str


def parse_boards(text: str, where: str) -> dict[str, Board]:
    """Boards of a TOML text, by name. UserError naming `where`, the board and the field when an entry cannot be."""
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{where}: not TOML: {error}") from None
    types = {f.name: int if f.name.endswith(("_hz", "_bytes")) else str for f in fields(Board)}
    del types["name"]
    boards = {}
    for name, table in tables.items():
        if not isinstance(table, dict) or set(table) != set(types):
            have = set(table) if isinstance(table, dict) else set()
            missing, unknown = sorted(set(types) - have), sorted(have - set(types))
            raise UserError(f"{where}: board {name}: missing fields {missing}, unknown fields {unknown}")
        for key, kind in types.items():
            value = table[key]
            # bool is an int in Python, never a size here
            if not isinstance(value, kind) or isinstance(value, bool) or (kind is int and value < 0):
                right = "an integer, 0 or more" if kind is int else "text"
                raise UserError(f"{where}: board {name}: {key} = {value!r}: give {right}")
        boards[name] = Board(name, **table)
    return boards


@cache
def load_boards() -> dict[str, Board]:
    """The boards shipped with the package, by name."""
    text = (resources.files("danas_jax.hardware") / "boards.toml").read_text(encoding="utf-8")
    return parse_boards(text, "boards.toml")


def board(name: str) -> Board:
    """The board called `name` (any case); UserError with the near misses for an unknown name."""
    boards = load_boards()
    key = name.lower()
    if key in boards:
        return boards[key]
    near = difflib.get_close_matches(key, boards, n=3, cutoff=0.5) or [b for b in boards if key and key in b]
    hint = f"did you mean {' or '.join(near)}?" if near else f"known boards: {', '.join(boards)}"
    raise UserError(f"board = {name!r} is not known; {hint}")


def limits_of(board: Board) -> Limits:
    """What a network may use on `board`: SRAM less the reserve, all flash [B]; no limit on MACs or latency."""
    return Limits(
        sram_bytes=board.sram_bytes - board.reserved_sram_bytes, flash_bytes=board.flash_bytes, board=board.name
    )
