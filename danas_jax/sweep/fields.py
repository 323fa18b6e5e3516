"""What a config's `sweep()` is made of: dictionaries field -> value, and the command line's flags for one of them."""

from __future__ import annotations

import hashlib
import itertools
import math
import random
import re
from collections.abc import Iterable, Mapping
from typing import Any

from danas_jax.errors import UserError

Overrides = dict[str, Any]
_REPEATED = ("board", "lut")  # flags that are given once for each value
_OFF_BY_DEFAULT = ("limits.", "smoke", "debug")  # flags without a `no-` form
_NAME_CHARACTERS = 100


def product(**fields: Iterable[Any]) -> list[Overrides]:
    """Every combination of the values of `fields`, the last one changing fastest.

    `train__epochs` is the field `train.epochs`. UserError where a field has no list of values.
    """
    columns = _columns(fields)
    return [dict(zip(columns, values, strict=True)) for values in itertools.product(*columns.values())]


def zipped(**fields: Iterable[Any]) -> list[Overrides]:
    """The first value of every field, the second of every field, and so on; UserError where one has more of them."""
    columns = _columns(fields)
    if len({len(values) for values in columns.values()}) > 1:
        raise UserError("zipped: " + ", ".join(f"{name} has {len(v)} values" for name, v in columns.items()))
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def sample(count: int, seed: int, /, **fields: Iterable[Any]) -> list[Overrides]:
    """`count` different combinations of `product`, drawn at random by `seed`; UserError where there are fewer."""
    columns = _columns(fields)
    total = math.prod(map(len, columns.values()))
    if not 0 <= count <= total:
        raise UserError(f"sample: count = {count}: there are {total} combinations")
    result = []
    for number in random.Random(seed).sample(range(total), count):
        chosen = {}
        for name, values in columns.items():
            number, i = divmod(number, len(values))
            chosen[name] = values[i]
        result.append(chosen)
    return result


def _columns(fields: Mapping[str, Iterable[Any]]) -> dict[str, list[Any]]:
    for name, values in fields.items():
        if isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable):
            raise UserError(f"{name} = {values!r}: a list of values is expected")
    return {name.replace("__", "."): list(values) for name, values in fields.items()}


def flags(overrides: Overrides) -> list[str]:
    """The command line's flags for these values: `train.epochs` 3 -> --train.epochs 3."""
    return [text for field, value in overrides.items() for text in _flag(field, _plain(value))]


def name(overrides: Overrides) -> str:
    """A folder's name out of fields and values, which stays the same when jobs are added to the sweep."""
    text = "_".join(f"{field}-{_text(_plain(value))}" for field, value in overrides.items()) or "as-it-is"
    text = re.sub(r"[^A-Za-z0-9.+_-]+", "-", text)
    if len(text) <= _NAME_CHARACTERS:
        return text
    return f"{text[:_NAME_CHARACTERS]}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _flag(field: str, value: Any) -> list[str]:
    *section, last = field.replace("_", "-").split(".")
    shown = "--" + ".".join((*section, last))
    if value is True:
        return [shown]
    if value is False:
        return [] if field.startswith(_OFF_BY_DEFAULT) else ["--" + ".".join((*section, f"no-{last}"))]
    values = [str(each) for each in (value if isinstance(value, list) else [value])]
    return [text for each in values for text in (shown, each)] if field in _REPEATED else [shown, *values]


def _plain(value: Any) -> Any:
    """NumPy's scalars and arrays as Python's, without importing NumPy; tuples as lists."""
    value = value.tolist() if hasattr(value, "tolist") else value
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value


def _text(value: Any) -> str:
    return "-".join(map(_text, value)) if isinstance(value, list) else str(value)
