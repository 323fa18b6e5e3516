"""Examples of known class, to evaluate on: folders and .csv manifests. Nothing is split or left out."""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from danas_jax.config import DataSettings
from danas_jax.data import metadata
from danas_jax.data.sources import manifest
from danas_jax.data.sources.base import Examples
from danas_jax.data.sources.files import Files, probe
from danas_jax.data.sources.folder import class_files, sub_folders
from danas_jax.data.sources.readers import Reader
from danas_jax.data.splits import SPLIT_NAMES
from danas_jax.errors import UserError

DEFAULT_SPLIT = "validation"  # test is read only when it is asked for


@dataclass(frozen=True, eq=False)
class Labelled:
    """Examples of one place, files not read yet."""

    root: Path  # what keys are relative to
    split: str  # "" where the place has none
    classes: tuple[str, ...]
    keys: tuple[str, ...]  # as the source of such a place has them
    labels: np.ndarray  # int32 [N], index into classes
    examples: Examples  # reads a key
    slices: Mapping[str, np.ndarray] = field(default_factory=dict)  # of the fields that were asked for, str [N]
    notes: tuple[str, ...] = ()  # what is done to them

    def where(self, rows: list[int], split: str) -> Labelled:
        """These rows, as a split."""
        keys, slices = tuple(self.keys[i] for i in rows), {name: v[rows] for name, v in self.slices.items()}
        return dataclasses.replace(self, split=split, keys=keys, labels=self.labels[rows], slices=slices)


def chosen_split(there: Collection[str], split: str, where: Path) -> str:
    """The split to read of those that are there, "" of none; UserError when it is not one of them."""
    chosen = split or (DEFAULT_SPLIT if there else "")
    if there and chosen not in there:
        raise UserError(f"{where}: there is no {chosen} split: give --split {' or '.join(there)}")
    return chosen if there else ""


def numbered(labels: list[str], classes: tuple[str, ...], where: list[str]) -> np.ndarray:
    """Index of each label, int32 [N]; UserError, at its `where`, for one that is none of the classes."""
    number = {name: i for i, name in enumerate(classes)}
    for label, place in zip(labels, where, strict=True):
        if label not in number:
            raise UserError(f"{place}: {label!r} is none of the classes {', '.join(classes)}")
    return np.array([number[label] for label in labels], np.int32)


def list_folder(root: Path, split: str, kinds: Reader, classes: tuple[str, ...], fields: tuple[str, ...]) -> Labelled:
    """`<class>/*` or `<split>/<class>/*`: a split ("" = validation where there are splits) by class.

    () = the folders' names, sorted. A class may be without files, but a folder must be a class. `fields` are columns of
    metadata.csv. UserError says what is wrong with the folder.
    """
    names = sub_folders(root)
    splits = {SPLIT_NAMES[name]: name for name in names if name in SPLIT_NAMES}
    chosen = chosen_split(splits, split, root)
    place = splits.get(chosen, "")
    folders = sub_folders(root / place)
    if not folders:
        raise UserError(f"{root / place}: no folders in it, expected <class>/*{kinds.extensions[0]}")
    strangers = [name for name in folders if name not in classes]
    if classes and strangers:
        raise UserError(f"{root / place}: folder {strangers[0]!r} is none of the classes {', '.join(classes)}")
    classes, keys, labels = classes or tuple(folders), [], []
    for label, name in enumerate(classes):
        found = class_files(root, place, name, kinds.extensions, Counter()) if name in folders else []
        keys += found
        labels += [label] * len(found)
    if not keys:
        raise UserError(f"{root / place}: no {kinds.kinds} in its folders")
    setting = f"--slice-fields {' '.join(fields)}"
    slices = metadata.values({name: metadata.read_column(root, name, setting) for name in fields}, keys)
    return _files(Labelled(root, chosen, classes, tuple(keys), np.array(labels, np.int32), Files(root, kinds), slices))


def list_manifest(path: Path, split: str, kinds: Reader, classes: tuple[str, ...], fields: tuple[str, ...]) -> Labelled:
    """The files of a .csv manifest as `data.source csv` reads it; () = its labels, sorted. UserError on bad input."""
    settings, table, where = DataSettings(), metadata.read_table(path), str(path)
    keys, labels = manifest.file_keys(table, settings, where), manifest.class_labels(table, settings, where)
    has_splits = manifest.SPLIT_COLUMN in table.columns
    split_of = manifest.splits_of(table, where) if has_splits else [""] * len(keys)
    chosen = chosen_split(dict.fromkeys(filter(None, split_of)), split, path)
    classes = classes or tuple(sorted(set(labels)))
    numbers = numbered(labels, classes, [f"{where}: line {line}" for line in table.lines])
    setting = f"--slice-fields {' '.join(fields)}"
    slices = {name: np.array(table.column(name, setting), str) for name in fields}
    found = Labelled(path.parent, "", classes, keys, numbers, Files(path.parent, kinds), slices)
    return _files(found.where([i for i, name in enumerate(split_of) if name == chosen], chosen))


def _files(found: Labelled) -> Labelled:
    """With what the files' beginnings tell; UserError names those that cannot be read."""
    assert isinstance(found.examples, Files)
    probed = probe(found.examples, found.keys)
    require_readable(probed.bad, found)
    return dataclasses.replace(found, notes=probed.warnings)


def require_readable(bad: Mapping[str, str], found: Labelled) -> None:
    """UserError that names the first of {key: reason}, where there is one."""
    if bad:
        named = ", ".join(f"{key} ({reason})" for key, reason in list(bad.items())[:5])
        raise UserError(f"{os.fspath(found.root)}: {len(bad)} files cannot be read, mend or remove them: {named}")
