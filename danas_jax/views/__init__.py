"""Data configurations: what a network may be shown, and how it is computed (base.py says how it fits together)."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import pkgutil
from collections.abc import Collection, Mapping
from functools import cache

from danas_jax.errors import UserError
from danas_jax.views.base import DataConfig, View


@cache
def kinds() -> dict[str, type[View]]:
    """Every view by its kind: the classes of this folder's modules, but of those with a leading underscore."""
    found = {}
    for module in pkgutil.iter_modules(__path__):
        if not module.name.startswith("_"):
            for value in vars(importlib.import_module(f"{__name__}.{module.name}")).values():
                if isinstance(value, type) and issubclass(value, View) and value is not View:
                    found[value.kind] = value
    return found


def config_of(names: Collection[str]) -> type[DataConfig] | None:
    """The data configuration with these fields, but for some that have a default; None where no view has one."""
    for view in kinds().values():
        fields = dataclasses.fields(view.config)  # ty: ignore[invalid-argument-type]
        required = {field.name for field in fields if field.default is dataclasses.MISSING}
        if required <= set(names) <= {field.name for field in fields}:
            return view.config
    return None


def data_config(values: Mapping[str, float | str]) -> DataConfig | None:
    """The data configuration with these values, defaults where there are none; None where no view has one."""
    found = config_of(values)
    return found(**values) if found else None


def data_text(values: Mapping[str, float | str]) -> str:
    """A stored data configuration for people: `48 px mono`; its values where they mean nothing."""
    with contextlib.suppress(ValueError, TypeError, UserError):  # a damaged file's
        found = data_config(values)
        if found:
            return found.text
    return ", ".join(f"{name} {value}" for name, value in values.items())
