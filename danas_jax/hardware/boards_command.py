"""`danas boards`: list the boards, show one, add the user's own."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from dataclasses import asdict, fields
from pathlib import Path

from danas_jax import disk
from danas_jax.config import Board
from danas_jax.errors import UserError
from danas_jax.hardware import boards as known

SCHEMA_VERSION = 1
USAGE = "danas boards [NAME] [--json] | danas boards add FILE.toml [--replace] [--json]"
COLUMNS = ("name", "title", "core", "MHz", "SRAM kB", "reserved", "usable", "flash kB", "active mW")


def boards_command(arguments: list[str]) -> None:
    """Run `danas boards` with these arguments and print the result; UserError on bad input."""
    parser = argparse.ArgumentParser("danas boards", usage=USAGE, description="The boards that budgets can name.")
    parser.add_argument("words", nargs="*", metavar="WORD", help="a board's name, or: add FILE.toml")
    parser.add_argument("--replace", action="store_true", help="add: change boards of yours that are there already")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    options = parser.parse_args(arguments)
    add = options.words[:1] == ["add"]
    if len(options.words) > 1 + add or (add and len(options.words) == 1) or (options.replace and not add):
        raise UserError(f"danas boards {' '.join(arguments)}: give {USAGE}")
    if add:
        chosen = add_boards(options.words[1], options.replace)
    else:
        chosen = [known.board(name) for name in options.words] or list(known.load_boards().values())
    if options.json:
        rows = [{**asdict(board), **_derived(board)} for board in chosen]
        print(json.dumps({"schema_version": SCHEMA_VERSION, "boards": rows}, indent=2))
    elif add:
        print(f"{', '.join(board.name for board in chosen)}: in {known.user_boards_path()}")
    else:
        print("\n".join(_details(chosen[0]) if options.words else _table(chosen)))


def add_boards(file: str, replace: bool) -> list[Board]:
    """Copy the boards of a TOML file into the user's own file; returns them.

    UserError when the file cannot be read or holds no board, a name is a shipped board's, or (without `replace`) one of
    the user's with other figures.
    """
    try:
        new = known.read_boards(Path(file))
    except FileNotFoundError as error:
        raise UserError(f"{file}: cannot be read ({error})") from error
    if not new:
        raise UserError(f"{file}: holds no board; give a table for each, e.g. [my_board]")
    known.refuse_shipped(new, file)
    old = known.user_boards()
    changed = [name for name, board in new.items() if old.get(name, board) != board]
    if changed and not replace:
        where = known.user_boards_path()
        raise UserError(f"{file}: board {changed[0]} is in {where} with other figures; give --replace to change it")
    disk.write_text(known.user_boards_path(), _toml({**old, **new}.values()))
    return list(new.values())


def _toml(boards: Iterable[Board]) -> str:
    """What `parse_boards` reads; a JSON string is a TOML one, but for the delete character."""

    def value(item: str | float) -> str:
        return json.dumps(item, ensure_ascii=False).replace("\x7f", "\\u007f")

    tables = []
    for board in boards:
        lines = [
            f"{f.name} = {value(getattr(board, f.name))}\n"
            for f in fields(board)
            if f.name != "name" and getattr(board, f.name) != f.default
        ]
        tables.append(f"[{board.name}]\n{''.join(lines)}")
    return "# Your boards, written by `danas boards add`.\n\n" + "\n".join(tables)


def _derived(board: Board) -> dict[str, int | str]:
    origin = "shipped" if board.name in known.shipped_boards() else str(known.user_boards_path())
    return {"usable_sram_bytes": board.sram_bytes - board.reserved_sram_bytes, "origin": origin}


def _table(boards: list[Board]) -> list[str]:
    """The boards as lines of text: figures first, then where they are from."""
    rows = [COLUMNS]
    for board in boards:
        sizes = (board.sram_bytes, board.reserved_sram_bytes, board.sram_bytes - board.reserved_sram_bytes)
        power = "-" if board.active_power_mw is None else f"{board.active_power_mw:g}"
        figures = [f"{board.clock_hz / 1e6:g}", *(f"{size / 1024:g}" for size in (*sizes, board.flash_bytes)), power]
        rows.append((board.name, board.title, board.core, *figures))
    columns = [
        [f"{cell:{'<' if i < 3 else '>'}{max(map(len, column))}}" for cell in column]
        for i, column in enumerate(zip(*rows, strict=True))
    ]
    lines = ["  ".join(row) for row in zip(*columns, strict=True)]
    return [*lines, "", *(f"{board.name}: {board.source}" for board in boards)]


def _details(board: Board) -> list[str]:
    """Every field of one board, a line each."""
    shown = {**asdict(board), **_derived(board)}
    return [f"{key:<22}{value}" for key, value in shown.items() if value not in (None, "")]
