"""Boards: those of `boards.toml` and the user's own; what a microcontroller has, and the limits that follow from it."""

from __future__ import annotations

import difflib
import math
import os
import re
import tomllib
from collections.abc import Iterable
from dataclasses import MISSING, fields
from functools import cache
from importlib import resources
from pathlib import Path

from danas_jax import untrusted
from danas_jax.config import Board, Limits
from danas_jax.errors import UserError
from danas_jax.schema import is_number

_LONG = re.compile(rf"[\d_]{{{untrusted.MAX_DIGITS}}}")
_LOWEST = {"clock_hz": 1, "sram_bytes": 1, "flash_bytes": 1, "reserved_sram_bytes": 0}
_of_this_run: dict[str, Board] = {}


def parse_boards(text: str, where: str) -> dict[str, Board]:
    """Boards of a TOML text, by name. UserError naming `where`, the board and the field when an entry cannot be."""
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{where}: not TOML: {error}") from None
    except RecursionError:
        raise UserError(f"{where}: not TOML: nested too deeply") from None
    except ValueError as error:  # a number of thousands of digits, of which tomllib tells no place
        line = next((n for n, line in enumerate(text.split("\n"), 1) if _LONG.search(line)), 1)
        raise UserError(f"{where}: not TOML: {str(error).partition(';')[0]} (at line {line})") from None
    known = {f.name: f.default is MISSING for f in fields(Board) if f.name != "name"}
    boards = {}
    for name, table in tables.items():
        have = set(table) if isinstance(table, dict) else set()
        missing = [key for key, required in known.items() if required and key not in have]
        unknown = sorted(have - set(known))
        if missing or unknown:
            raise UserError(f"{where}: board {name}: missing fields {missing}, unknown fields {unknown}")
        boards[name] = Board(name, **table)
        check(boards[name], where)
    return boards


def read_boards(path: Path) -> dict[str, Board]:
    """The boards of a TOML file. UserError as `parse_boards` has it, and where it cannot be read but is there."""
    try:
        text = untrusted.read_bytes(path, untrusted.MAX_TOML_BYTES).decode()
    except FileNotFoundError:
        raise
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error})") from error
    return parse_boards(text, str(path))


def check(board: Board, where: str) -> None:
    """UserError naming `where`, the board and the field, where a board's figures cannot be."""
    values = {f.name: getattr(board, f.name) for f in fields(Board)}
    if not values["active_power_source"] and values["active_power_mw"] is None:  # not known
        del values["active_power_source"], values["active_power_mw"]
    problems = [
        f"{key} = {value!r}: {problem}" for key, value in values.items() if (problem := _field_problem(key, value))
    ]
    if not problems and board.reserved_sram_bytes >= board.sram_bytes:
        problems = [f"reserved_sram_bytes = {board.reserved_sram_bytes}: give less than its SRAM, {board.sram_bytes}"]
    if problems:
        raise UserError(f"{where}: board {board.name}: {'; '.join(problems)}")


def _field_problem(key: str, value: object) -> str | None:
    """What would be right for a field's value, None when it is."""
    if key in _LOWEST:
        right = is_number(value) and isinstance(value, int) and value >= _LOWEST[key]
        return None if right else f"give an integer, {_LOWEST[key]} or more"
    if key == "active_power_mw":
        right = is_number(value) and 0 < value < math.inf
        return None if right else "give a positive number, together with active_power_source"
    if key == "name":
        right = isinstance(value, str) and re.fullmatch(r"[a-z0-9][a-z0-9_-]*", value)
        return None if right else "give small letters, digits, - and _ only"
    if isinstance(value, str) and value.strip():
        return None
    return "give text" + (", together with active_power_mw" if key == "active_power_source" else "")


@cache
def shipped_boards() -> dict[str, Board]:
    """The boards shipped with the package, by name."""
    text = (resources.files("danas_jax.hardware") / "boards.toml").read_text(encoding="utf-8")
    return parse_boards(text, "boards.toml")


def user_boards_path() -> Path:
    """The user's own boards file: $DANAS_BOARDS, else danas/boards.toml in $XDG_CONFIG_HOME (~/.config)."""
    if named := os.environ.get("DANAS_BOARDS"):
        return Path(named)
    folder = os.environ.get("XDG_CONFIG_HOME")
    return (Path(folder) if folder else Path.home() / ".config") / "danas" / "boards.toml"


def user_boards() -> dict[str, Board]:
    """The user's own boards, {} where there is no file; UserError that says how to mend a damaged one."""
    path = user_boards_path()
    mend = "mend that file, or remove it and add your boards again"
    try:
        boards = read_boards(path)
    except FileNotFoundError:
        return {}
    except UserError as error:
        raise UserError(f"{error}; {mend}") from None
    refuse_shipped(boards, str(path))
    return boards


def refuse_shipped(names: Iterable[str], where: str) -> None:
    """UserError when one of `names` is a shipped board's: published figures are scaled from those."""
    if taken := sorted(set(names) & set(shipped_boards())):
        raise UserError(f"{where}: board {taken[0]}: a shipped board has this name, give yours another")


def remember(boards: Iterable[Board]) -> None:
    """Know the boards that a run's config carries, in place of those remembered before.

    They go before the user's file, which may have changed since the run began, or be on another machine.
    """
    _of_this_run.clear()
    _of_this_run.update((board.name, board) for board in boards)
    refuse_shipped(_of_this_run, "boards")
    for known in _of_this_run.values():
        check(known, "boards")


def load_boards() -> dict[str, Board]:
    """The shipped boards and the user's own, by name; UserError where the user's file is damaged."""
    return {**shipped_boards(), **user_boards()}


def board(name: str) -> Board:
    """The board called `name` (any case); UserError with the near misses for an unknown name.

    The user's file is read only for a board found nowhere else.
    """
    key = name.lower()
    for known in (shipped_boards(), _of_this_run):
        if key in known:
            return known[key]
    boards = load_boards()
    if key in boards:
        return boards[key]
    near = difflib.get_close_matches(key, boards, n=3, cutoff=0.5) or [b for b in boards if key and key in b]
    hint = f"did you mean {' or '.join(near)}?" if near else f"known boards: {', '.join(boards)};"
    raise UserError(f"board = {name!r} is not known; {hint} `danas boards add FILE.toml` adds your own")


def own_boards(names: Iterable[str]) -> tuple[Board, ...]:
    """Those of `names` that are not shipped, each once; "" is no board. UserError for an unknown name."""
    found = {known.name: known for known in map(board, filter(None, names)) if known.name not in shipped_boards()}
    return tuple(found.values())


def limits_of(board: Board, reserved_sram_bytes: int | None = None) -> Limits:
    """What a network may use on `board`: SRAM less the reserve, all flash [B]; no limit on MACs or latency.

    `reserved_sram_bytes` takes the place of the board's reserve; UserError when it leaves nothing.
    """
    reserve = board.reserved_sram_bytes if reserved_sram_bytes is None else reserved_sram_bytes
    if not 0 <= reserve < board.sram_bytes:
        raise UserError(
            f"reserved_sram_bytes = {reserve}: give 0 up to below the {board.sram_bytes} bytes of SRAM of {board.name}"
        )
    return Limits(sram_bytes=board.sram_bytes - reserve, flash_bytes=board.flash_bytes, board=board.name)


def reserve_text(limits: Limits) -> str:
    """What the board of `limits` has beyond its sram_bytes, "" where that is nothing or not known."""
    if not limits.board or limits.sram_bytes is None:
        return ""
    total = board(limits.board).sram_bytes
    rest = total - limits.sram_bytes
    return f"{rest / 1024:g} kB reserved of the board's {total / 1024:g} kB SRAM" if rest > 0 else ""


def energy_mj(board_name: str, latency_ms):
    """Energy of an inference on a board, its power times the time (a float, or an array of any shape) [mJ].

    None without a known power, or for "".
    """
    power_mw = board(board_name).active_power_mw if board_name else None
    return None if power_mw is None else power_mw * latency_ms / 1000


def no_power_text(board_name: str) -> str:
    """Why there is no energy on a board, and what would be right."""
    if not board_name:
        return "names no board; give one whose active power is known"
    return (
        f"the active power of board {board_name} is not known; give another board, or one of your own with "
        "active_power_mw and active_power_source (`danas boards add FILE.toml`)"
    )
