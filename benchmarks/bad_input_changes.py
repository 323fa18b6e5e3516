"""The changes that bad_input.py makes to valid files: to their bytes, and to the values of a JSON document."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from random import Random

MAX_BYTES = 2**20  # of a mutated file
NUMBERS = (
    *("-1", "0", "1e999", "-0.0", "NaN", "4294967296", "9223372036854775808", "1" + "0" * 40, "9" * 5000),
    *('"x"', "null", "true", "[]", "{}", '"../../x"', '"/etc/hostname"', '"\\u0000"'),
)
WORDS = (b"\0" * 4, b"\xff" * 4, b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"\x01\0\0\0", b"\xff" * 8)
NESTED = (b"[", b"{", b"(", b'{"a":', b"[[", b"'''")


def mutate(data: bytes, random: Random) -> bytes:
    """One to four changes to a file."""
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        data = random.choice(CHANGES)(data, random)[:MAX_BYTES]
    return data


def _span(data: bytes, random: Random) -> tuple[int, int]:
    start = random.randrange(len(data) + 1)
    return start, min(len(data), start + random.choice((1, 2, 4, 8, 64, 512)))


def _flipped(data: bytes, random: Random) -> bytes:
    changed = bytearray(data)
    for _ in range(random.choice((1, 2, 8))):
        if changed:
            changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed)


def _cut(data: bytes, random: Random) -> bytes:
    return data[: random.randrange(len(data) + 1)]


def _removed(data: bytes, random: Random) -> bytes:
    start, end = _span(data, random)
    return data[:start] + data[end:]


def _repeated(data: bytes, random: Random) -> bytes:
    start, end = _span(data, random)
    return data[:end] + data[start:end] * random.choice((1, 2, 50)) + data[end:]


def _moved(data: bytes, random: Random) -> bytes:
    start, end = _span(data, random)
    place = random.randrange(len(data) + 1)
    return data[:place] + data[start:end] + data[place:]


def _word(data: bytes, random: Random) -> bytes:
    """A field of four or eight bytes with an extreme value."""
    place, word = random.randrange(len(data) + 1), random.choice(WORDS)
    return data[:place] + word + data[place + len(word) :]


def _number(data: bytes, random: Random) -> bytes:
    """A number or text of JSON, TOML or CSV replaced."""
    found = list(re.finditer(rb'-?\d+(\.\d+)?|"[^"\n]*"|true|false|null', data[:MAX_BYTES]))
    if not found:
        return _word(data, random)
    chosen = random.choice(found)
    return data[: chosen.start()] + random.choice(NUMBERS).encode() + data[chosen.end() :]


def _nested(data: bytes, random: Random) -> bytes:
    place = random.randrange(len(data) + 1)
    return data[:place] + random.choice(NESTED) * random.choice((3, 100, 5000, 100_000)) + data[place:]


def _line(data: bytes, random: Random) -> bytes:
    """A line repeated, removed, or a cell more or less."""
    lines = data.split(b"\n")
    row = random.randrange(len(lines))
    cells = lines[row].split(b",")
    choice = random.randrange(4)
    if choice == 0:
        lines.insert(row, lines[row])
    elif choice == 1:
        del lines[row]
    elif choice == 2:
        cells.pop(random.randrange(len(cells)))
        lines[row] = b",".join(cells)
    else:
        lines[row] = b",".join([*cells, random.choice(cells)])
    return b"\n".join(lines)


CHANGES = (_flipped, _cut, _removed, _repeated, _moved, _word, _number, _number, _nested, _line)


def damaged(value: object, random: Random) -> object:
    """JSON with one value anywhere in it replaced, removed or added: what is well-formed and still wrong."""
    value = json.loads(json.dumps(value))
    found = list(places(value))
    if not found:
        return value
    holder, key = random.choice(found)
    choice = random.randrange(8)
    if choice == 0:
        del holder[key]
    elif choice == 1:
        other, there = random.choice(found)
        holder[key] = json.loads(json.dumps(other[there] if there in _keys(other) else None))
    elif choice == 2 and isinstance(holder, dict):
        holder[random.choice(("x", "kind", "view", ""))] = holder[key]
    else:
        wrong = (None, True, -1, 0, 1.5, 2**31, 2**63, 10**40, "", "x", "../../x", "/x", "\0", [], {}, [[]], ["x"])
        holder[key] = random.choice(wrong)
    return value


def _keys(value: dict | list) -> list:
    return list(value) if isinstance(value, dict) else list(range(len(value)))


def places(value: object) -> Iterator[tuple]:
    """(list or dictionary, index or key) of everything in a JSON value."""
    if isinstance(value, dict | list):
        for key in _keys(value):
            yield value, key
            yield from places(value[key])
