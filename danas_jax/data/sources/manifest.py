"""A CSV file that lists files: columns `file` (relative to it), `label`, optionally `split`, and what else is known.

With data.multi_label a label is any number of classes, `a;b`.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from danas_jax.config import DataSettings
from danas_jax.data.metadata import Table, read_table
from danas_jax.data.sources.base import Source, fingerprint_of, report_unknown, report_unreadable
from danas_jax.data.sources.files import Files, file_groups, probe
from danas_jax.data.sources.readers import reader
from danas_jax.data.splits import SPLIT_NAMES, Items, completed
from danas_jax.errors import UserError
from danas_jax.views.frame import Size

SPLIT_COLUMN = "split"


def open_source(settings: DataSettings, native_px: Size, seed: int) -> Source:
    """Check and split the files that `settings.path` lists. UserError says what is wrong with it, and in which line."""
    path = Path(settings.path).expanduser()
    where = f"data.path = {settings.path!r}"
    if not path.is_file():
        problem = "it is a folder, give a .csv file" if path.is_dir() else "no such file"
        raise UserError(f"{where}: {problem}")
    table, warnings = read_table(path), list[str]()
    files = Files(path.parent, reader(settings, native_px))
    noun = files.reader.noun
    keys, labels = file_keys(table, settings, where), class_labels(table, settings, where)
    split_of = splits_of(table, where)
    sets = [_classes(label) if settings.multi_label else {label} for label in labels]
    class_names = tuple(sorted(set[str]().union(*sets)))
    if not class_names:
        raise UserError(f"{where}: no file has a class")
    probed = probe(files, keys)
    report_unreadable(probed.bad, len(keys), settings, noun, warnings)
    warnings += probed.warnings
    slices = {
        field: np.array(table.column(field, f"data.slice_fields = {settings.slice_fields!r}"), str)
        for field in settings.slice_fields
    }
    report_unknown(slices, noun, warnings)

    def column(field: str) -> list[str]:
        return table.column(field, f"data.group_field = {field!r}")

    number = {name: i for i, name in enumerate(class_names)}
    has = np.zeros((len(sets), len(class_names)), np.uint8)
    for row, names in zip(has, sets, strict=True):
        row[[number[name] for name in names]] = 1
    everything = Items(
        keys,
        has if settings.multi_label else has.argmax(axis=1).astype(np.int32),
        file_groups(settings, keys, column, noun, warnings),
        slices,
    )
    readable = np.array([key not in probed.bad for key in keys], bool)
    given = {
        split: everything.where(readable & np.array([s == split for s in split_of], bool))
        for split in dict.fromkeys(split_of)
    }
    splits = completed(given, class_names, settings, seed, noun, warnings)
    fingerprint = fingerprint_of([str(path.resolve())], zip(labels, split_of, probed.stamps, strict=True))
    return files.source(class_names, splits, warnings, fingerprint, probed.bad)


def file_keys(table: Table, settings: DataSettings, where: str) -> tuple[str, ...]:
    """The files, relative to the manifest's folder and inside it, each once."""
    column = settings.input_field or "file"
    keys, seen = [], dict[str, int]()
    for name, line in zip(table.column(column, where), table.lines, strict=True):
        key = os.path.normpath(name) if name else ""
        if not key or os.path.isabs(key) or key.split(os.sep)[0] == os.pardir:
            raise UserError(f"{where}: line {line}: {column} = {name!r}: give a file inside {table.path.parent}")
        if key in seen:
            raise UserError(f"{where}: line {line}: {column} = {name!r} is in line {seen[key]} already")
        seen[key] = line
        keys.append(key)
    if not keys:
        raise UserError(f"{where}: no rows below the header")
    return tuple(keys)


def class_labels(table: Table, settings: DataSettings, where: str) -> list[str]:
    """The label of each row; UserError for an empty one where an example has one class."""
    column = settings.label_field or "label"
    labels = table.column(column, where)
    if "" in labels and not settings.multi_label:
        raise UserError(f"{where}: line {table.lines[labels.index('')]}: {column} is empty")
    return labels


def _classes(label: str) -> set[str]:
    """The classes of `a;b`; none of an empty cell."""
    return {name.strip() for name in label.split(";") if name.strip()}


def splits_of(table: Table, where: str) -> list[str]:
    """The split of each row; train where the manifest has no such column."""
    if SPLIT_COLUMN not in table.columns:
        return ["train"] * len(table.rows)
    found = table.column(SPLIT_COLUMN, where)
    for name, line in zip(found, table.lines, strict=True):
        if name not in SPLIT_NAMES:
            right = "train, validation or test"
            raise UserError(f"{where}: line {line}: {SPLIT_COLUMN} = {name!r}: give {right}")
    return [SPLIT_NAMES[name] for name in found]
