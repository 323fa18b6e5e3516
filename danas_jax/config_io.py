"""CONFIG argument -> Config, and Config <-> strict JSON. Generic over type hints: a new field needs nothing here."""

from __future__ import annotations

import dataclasses
import difflib
import importlib.util
import sys
import traceback
import types
import typing
from collections.abc import Callable
from pathlib import Path

from danas_jax import disk, schema, views
from danas_jax.config import Baseline, Config, Limits
from danas_jax.errors import UserError
from danas_jax.space import SearchSpace
from danas_jax.views.base import DataConfig, View
from danas_jax.views.image import ImageView


def to_json(config: Config) -> dict:
    """JSON-ready dictionary of every field; UserError naming `section.field` where a value has a wrong type."""
    return _dump(config, Config, "")


def from_json(obj: dict) -> Config:
    """The inverse of `to_json`; UserError naming `section.field` that is unknown, missing or of a wrong type."""
    return _load({k: v for k, v in obj.items() if k != "schema_version"} if isinstance(obj, dict) else obj, Config, "")


def read_config(path: Path | str) -> Config:
    """A run's config.json as data (nothing is executed); UserError names the file."""
    found = disk.read_json(path)
    try:
        return from_json(found)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


# A teacher, and weights to begin with, count by their digests.
_NO_RESULT = (
    *("run_dir", "data.cache_dir", "data.resident", "train.teacher", "retrain.teacher"),
    *("train.init_from", "retrain.init_from"),
)


def differences(was: Config, now: Config) -> list[str]:
    """`field: was X, is Y` for each field that differs; those that change no result (where things lie) are left out."""
    a, b = _flatten(to_json(was)), _flatten(to_json(now))
    missing = object()

    def show(value: object) -> str:
        return "absent" if value is missing else repr(value)

    return [
        f"{name}: was {show(a.get(name, missing))}, is {show(b.get(name, missing))}"
        for name in {**a, **b}
        if name not in _NO_RESULT and a.get(name, missing) != b.get(name, missing)
    ]


def load_config(argument: str) -> Config:
    """The Config that CONFIG names: a run's folder, a .py file with `get_config()`, or a shipped config's name.

    A folder is read as data. UserError says what was wrong, with near misses for an unknown name.
    """
    path = Path(argument)
    if (path / "config.json").is_file():
        return read_config(path / "config.json")
    if path.is_dir() and argument not in shipped_configs():
        raise UserError(f"{argument}: this folder holds no config.json, so it is not a run")
    return _config_of(python_file(argument))


def load_overrides(argument: str) -> list[dict[str, typing.Any]]:
    """Field -> value of each run that `sweep()` gives in the Python file that CONFIG names (docs/sweeps.md)."""
    path = python_file(argument)
    found = _called(path, "sweep", list)
    for i, overrides in enumerate(found):
        if not isinstance(overrides, dict) or not all(isinstance(field, str) for field in overrides):
            raise UserError(f"{path}: sweep()[{i}] = {overrides!r}: a dictionary of fields and values is expected")
    return found


def python_file(argument: str) -> Path:
    """The file of a CONFIG that is Python: a .py file or a shipped config; UserError with near misses for another."""
    path, shipped = Path(argument), shipped_configs()
    if argument in shipped:
        return shipped[argument]
    if path.suffix == ".py":
        if not path.is_file():
            raise UserError(f"{argument}: no such file")
        return path
    near = difflib.get_close_matches(argument, shipped, n=3, cutoff=0.5)
    hint = f" Did you mean {' or '.join(near)}?" if near else ""
    raise UserError(
        f"unknown config {argument!r}.{hint} Shipped: {', '.join(sorted(shipped))}; "
        "or give a .py file with get_config(), or the folder of a run."
    )


def shipped_configs() -> dict[str, Path]:
    """Name -> file of each config that comes with the package (`configs/` of the repository)."""
    spec = importlib.util.find_spec("danas_jax.configs")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    folders.append(str(Path(__file__).resolve().parent.parent / "configs"))  # a checkout that is not installed
    for folder in folders:
        files = {p.stem: p for p in sorted(Path(folder).glob("*.py")) if not p.stem.startswith("_")}
        if files:
            return files
    return {}


def _called(path: Path, function: str, of: Callable[[typing.Any], typing.Any] = lambda value: value) -> typing.Any:
    """`of(function())` of a Python file; UserError with the line where somebody's code fails."""
    spec = importlib.util.spec_from_file_location(f"danas_config_{path.stem}", path)
    assert spec is not None and spec.loader is not None  # path ends in .py
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        if not callable(getattr(module, function, None)):
            raise UserError(f"{path}: has no function {function}()")
        return of(getattr(module, function)())
    except UserError as error:
        raise UserError(f"{path}: {error}" if str(path) not in str(error) else str(error)) from error
    except Exception as error:
        # A mistake in somebody's config is bad input, not a bug of ours: say where in their file.
        lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path)]
        line = error.lineno if isinstance(error, SyntaxError) else (lines[-1] if lines else None)
        where = f"{path}, line {line}" if line else str(path)
        raise UserError(f"{where}: {type(error).__name__}: {error}") from error


def _config_of(path: Path) -> Config:
    config = _called(path, "get_config")
    if not isinstance(config, Config):
        raise UserError(f"{path}: get_config() returned {type(config).__name__}, not a Config")
    try:
        return from_json(to_json(config))  # checks every type and turns lists into tuples
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def _name(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix else name


def _wrong(name: str, value: object, expected: str) -> UserError:
    shown = repr(value)
    return UserError(f"{name or 'config'} = {shown if len(shown) < 80 else shown[:77] + '...'}: {expected} is expected")


def _describe(hint: object) -> str:
    if hint is type(None):
        return "null"
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return " or ".join(_describe(h) for h in typing.get_args(hint))
    if typing.get_origin(hint) is typing.Literal:
        return "one of " + ", ".join(repr(v) for v in typing.get_args(hint))
    if typing.get_origin(hint) is tuple:
        return "a list"
    return getattr(hint, "__name__", str(hint))


def _matches(value: object, hint: object) -> bool:
    """Whether the JSON value is of the plain type `hint`; True and False are no numbers."""
    if hint is float:
        return schema.is_number(value) and abs(value) <= sys.float_info.max
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(hint, type) and type(value) is hint


_KIND = "kind"  # the key that tells which class an object of an abstract one is


def _class_of(obj: typing.Any, hint: typing.Any, name: str) -> type:
    """Which class an object is of where the field has an abstract one: views say it, data configurations show it."""
    if not isinstance(obj, dict):
        raise _wrong(name, obj, _describe(hint))
    if hint is View:
        if not isinstance(obj.get(_KIND), str) or obj[_KIND] not in views.kinds():
            raise _wrong(_name(name, _KIND), obj.get(_KIND), f"one of {', '.join(views.kinds())}")
        return views.kinds()[obj[_KIND]]
    found = views.config_of(obj)
    if found:
        return found
    raise _wrong(name, obj, "the values of a view's axes")


def _as_now(obj: dict, hint: typing.Any) -> dict:
    """Objects of an earlier danas, which knew pictures only, as they are now."""
    if hint is SearchSpace and "resolutions_px" in obj:
        obj = {**obj, "view": {_KIND: ImageView.kind, **{k: obj[k] for k in ("resolutions_px", "colours") if k in obj}}}
        return {k: v for k, v in obj.items() if k not in ("resolutions_px", "colours")}
    if hint is Baseline and "resolution_px" in obj:
        obj = {**obj, "data": {k: obj[k] for k in ("resolution_px", "colour") if k in obj}}
        return {k: v for k, v in obj.items() if k not in ("resolution_px", "colour")}
    return obj


def load_view(obj: typing.Any) -> View:
    """A view out of a manifest; UserError naming the field that is unknown, missing or of a wrong type."""
    return _load(obj, View, "view")


def load_limits(obj: typing.Any, name: str) -> Limits:
    """A budget out of a run's file, `name` there; UserError as in `load_view`."""
    return _load(obj, Limits, name)


def _dump(value: object, hint: typing.Any, name: str) -> typing.Any:
    if hint in (View, DataConfig):
        if not isinstance(value, hint):
            raise _wrong(name, value, _describe(hint))
        found = _dump(value, type(value), name)
        return {_KIND: value.kind, **found} if isinstance(value, View) else found
    if dataclasses.is_dataclass(hint):
        if type(value) is not hint:
            raise _wrong(name, value, _describe(hint))
        hints = typing.get_type_hints(hint)
        return {
            f.name: _dump(getattr(value, f.name), hints[f.name], _name(name, f.name)) for f in dataclasses.fields(hint)
        }
    if typing.get_origin(hint) is tuple:
        if not isinstance(value, tuple | list):
            raise _wrong(name, value, _describe(hint))
        return [_dump(v, h, f"{name}[{i}]") for i, (v, h) in enumerate(_items(value, hint, name))]
    _load(value, hint, name)
    return value


def _items(values: typing.Sequence, hint: object, name: str) -> list[tuple[object, object]]:
    arguments = typing.get_args(hint)
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return [(v, arguments[0]) for v in values]
    if len(values) != len(arguments):
        raise _wrong(name, values, f"a list of {len(arguments)}")
    return list(zip(values, arguments, strict=True))


def _load(value: typing.Any, hint: typing.Any, name: str) -> typing.Any:
    if hint in (View, DataConfig):
        found = _class_of(value, hint, name)
        return _load({k: v for k, v in value.items() if k != _KIND}, found, name)
    if dataclasses.is_dataclass(hint):
        if not isinstance(value, dict):
            raise _wrong(name, value, _describe(hint))
        value = _as_now(value, hint)
        known = [f.name for f in dataclasses.fields(hint)]
        for key in value:
            if key not in known:
                near = difflib.get_close_matches(key, known, n=1)
                raise UserError(f"unknown field {_name(name, key)}" + (f" (did you mean {near[0]}?)" if near else ""))
        for f in dataclasses.fields(hint):  # a field that an earlier danas did not have takes its default
            if f.name not in value and f.default is f.default_factory is dataclasses.MISSING:
                raise UserError(f"missing field {_name(name, f.name)}")
        hints = typing.get_type_hints(hint)
        return hint(**{key: _load(value[key], hints[key], _name(name, key)) for key in value})
    origin = typing.get_origin(hint)
    if origin is tuple:
        if not isinstance(value, list):
            raise _wrong(name, value, _describe(hint))
        return tuple(_load(v, h, f"{name}[{i}]") for i, (v, h) in enumerate(_items(value, hint, name)))
    if origin is typing.Literal:
        if value in typing.get_args(hint) and any(type(value) is type(v) for v in typing.get_args(hint)):
            return value
        raise _wrong(name, value, _describe(hint))
    if origin in (typing.Union, types.UnionType):
        for option in typing.get_args(hint):
            if value is None and option is type(None):
                return None
            if value is not None and _matches(value, option):
                return option(value)
        raise _wrong(name, value, _describe(hint))
    if not _matches(value, hint):
        raise _wrong(name, value, _describe(hint))
    return hint(value)


def _flatten(value: typing.Any, name: str = "") -> dict[str, object]:
    """{"train.epochs": 10, "budgets[0].macs": None ...}; lists of plain values stay whole."""
    if isinstance(value, dict):
        parts = [_flatten(v, _name(name, k)) for k, v in value.items()]
    elif isinstance(value, list) and any(isinstance(v, dict) for v in value):
        parts = [_flatten(v, f"{name}[{i}]") for i, v in enumerate(value)]
    else:
        return {name: value}
    return {k: v for part in parts for k, v in part.items()}
