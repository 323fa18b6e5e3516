"""Files that nobody vouches for: data only, inside their folder, and looked at before memory is asked for.

What is trusted and what is not: docs/security.md.
"""

from __future__ import annotations

import json
import math
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

from danas_jax.errors import UserError

MAX_JSON_BYTES = 64 * 2**20
MAX_TABLE_BYTES = 512 * 2**20  # CSV: a line for each of millions of examples
MAX_TOML_BYTES = 2**20
MAX_DIGITS = 4300  # of a whole number: Python refuses more
MAX_EXAMPLE_BYTES = 256 * 2**20  # one picture or clip


def read_bytes(path: Path | str, most_bytes: int) -> bytes:
    """The content of a file of at most `most_bytes`.

    Raises OSError as `open` does, and UserError for a larger file and for a pipe, which may wait for ever.
    """
    if stat.S_ISFIFO(os.stat(path).st_mode):
        raise UserError(f"{path}: is a pipe; give a file")
    with open(path, "rb") as file:
        content = file.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise UserError(f"{path}: larger than the {most_bytes:,} bytes that such a file may have")
    return content


def loads(text: str | bytes) -> Any:
    """The value of a JSON text; ValueError for what is none, nested too deeply, or has a number that is not finite.

    The message names the place, or the field of such a number.
    """
    try:
        return _decoded(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _decoded(text: str | bytes) -> Any:
    try:
        return json.loads(text, parse_constant=_number, parse_float=_number)
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise
    except ValueError:  # once more, as json tells its hooks no place
        json.loads(text, parse_constant=_Wrong, parse_float=_or_wrong, parse_int=_or_wrong, object_pairs_hook=_named)
        raise


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is not a number JSON knows")
    return value


class _Wrong(str):
    """A number that is none, as it is written."""


def _or_wrong(text: str) -> float | _Wrong:
    return value if math.isfinite(value := float(text)) and len(text) <= MAX_DIGITS else _Wrong(text)


def _named(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    for key, value in pairs:
        for wrong in _wrong_in(value):
            text = wrong if len(wrong) <= 40 else f"{wrong[:40]}... ({len(wrong)} digits)"
            raise ValueError(f"{key or repr(key)} = {text}: not a number JSON knows")
    return dict(pairs)


def _wrong_in(value: Any) -> list[_Wrong]:
    if isinstance(value, list):
        return [wrong for inner in value for wrong in _wrong_in(inner)]
    return [value] if isinstance(value, _Wrong) else []


def inside(folder: Path, name: object, where: str) -> Path:
    """`folder`/`name`; UserError, naming `where`, unless `name` is the path of something inside the folder.

    A name is judged as it is written; links that somebody put into the folder are followed.
    """
    plain = isinstance(name, str) and "\0" not in name and not os.path.isabs(name)
    parts = os.path.normpath(name).split(os.sep) if isinstance(name, str) else []
    if not plain or not name or parts[0] in (os.curdir, os.pardir):
        raise UserError(f"{where} = {name!r}: give a path inside {folder}")
    return folder / str(name)


def try_apart(code: str, content: bytes, most_s: float, engine: str, where: str) -> None:
    """UserError when `code`, one inference of the model on its stdin, ends a process of its own, or does not end.

    What the code itself raises is said later, in ours: this is for an `engine` that crashes.
    """
    command = [sys.executable, "-c", f"import sys; sys.path[:] = {sys.path!r}; {code}"]
    try:
        done = subprocess.run(command, input=content, capture_output=True, timeout=most_s, check=False)
    except subprocess.TimeoutExpired:
        raise UserError(f"{where}: one inference takes more than {most_s} s: is the file damaged?") from None
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        raise UserError(f"{where}: {engine} crashes on it ({name}): the file is damaged, or not made for {engine}")
