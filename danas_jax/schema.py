"""What a JSON document of which nobody vouches must hold: each field's type, told by its place where it is another."""

from __future__ import annotations

import typing
from dataclasses import dataclass
from typing import Any

from danas_jax.errors import UserError

NUMBER = int | float
MAX_INTEGER = 2**63 - 1


@dataclass(frozen=True)
class Either:
    """One of several schemas; the first is the one that a message tells."""

    schemas: tuple[Any, ...]


def check(value: object, schema: Any, where: str) -> None:
    """UserError naming `where` and the field unless `value`, of JSON, is as `schema` says.

    A schema is a type or a union of types (integers of 64 bits; bool only where it is named), `[schema]` for a list,
    `(schema, schema)` for a list of so many, `{name: schema}` for an object that may hold more (`name?` may be
    missing), `{str: schema}` for an object of any (other) names, or an `Either`.
    """
    if problem := _problem(value, schema, ""):
        raise UserError(f"{where}: {problem}")


def is_number(value: object) -> typing.TypeGuard[int | float]:
    """Whether a value of JSON is a number: True is an int in Python, never a size."""
    return isinstance(value, NUMBER) and not isinstance(value, bool)


def _problem(value: Any, schema: Any, at: str) -> str:
    if isinstance(schema, Either):
        problems = [_problem(value, one, at) for one in schema.schemas]
        return "" if "" in problems else problems[0]
    if isinstance(schema, dict):
        return _object_problem(value, schema, at) if isinstance(value, dict) else _wrong(value, "an object", at)
    if isinstance(schema, list):
        every = enumerate(value) if isinstance(value, list) else ()
        found = "" if isinstance(value, list) else _wrong(value, "a list", at)
        return found or _first(_problem(one, schema[0], f"{at}[{i}]") for i, one in every)
    if isinstance(schema, tuple):
        if not isinstance(value, list) or len(value) != len(schema):
            return _wrong(value, f"a list of {len(schema)}", at)
        return _first(
            _problem(one, inner, f"{at}[{i}]") for i, (one, inner) in enumerate(zip(value, schema, strict=True))
        )
    types = typing.get_args(schema) or (schema,)
    fine = isinstance(value, types) and (bool in types or not isinstance(value, bool))
    if fine and isinstance(value, int) and abs(value) > MAX_INTEGER:
        return _wrong(value, "a smaller number", at)
    return "" if fine else _wrong(value, " or ".join("null" if t is type(None) else t.__name__ for t in types), at)


def _object_problem(value: dict, schema: dict, at: str) -> str:
    dot = f"{at}." if at else ""
    named = {key.removesuffix("?"): (key, inner) for key, inner in schema.items() if key is not str}
    for name, (key, inner) in named.items():
        if name not in value:
            if name == key:
                return f"{dot}{name} is missing"
        elif problem := _problem(value[name], inner, f"{dot}{name}"):
            return problem
    others = value.keys() - named.keys() if str in schema else ()
    return _first(_problem(value[key], schema[str], f"{dot}{key}") for key in sorted(others))


def _first(problems: typing.Iterable[str]) -> str:
    return next((problem for problem in problems if problem), "")


def _wrong(value: object, right: str, at: str) -> str:
    return f"{at or 'it'} = {repr(value)[:100]}: {right} is right"
