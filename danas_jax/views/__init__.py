"""Data configurations: what a network may be shown, and how it is computed (base.py says how it fits together)."""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache

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


def data_config(values: Mapping[str, float | str]) -> DataConfig | None:
    """The data configuration with exactly these fields; None where no view has one."""
    for view in kinds().values():
        if {field.name for field in dataclasses.fields(view.config)} == set(values):  # ty: ignore[invalid-argument-type]
            return view.config(**values)
    return None


def data_text(values: Mapping[str, float | str]) -> str:
    """A stored data configuration for people: `48 px mono`."""
    found = data_config(values)
    return found.text if found else ", ".join(f"{name} {value}" for name, value in values.items())
