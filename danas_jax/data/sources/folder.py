"""A folder: `<split>/<class>/*` or `<class>/*`, pictures or wav files, listed first, decoded when a phase asks."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import numpy as np

from danas_jax.config import DataSettings
from danas_jax.data import metadata
from danas_jax.data.sources.base import Source, fingerprint_of, report_unknown, report_unreadable
from danas_jax.data.sources.files import Files, file_groups, probe
from danas_jax.data.sources.readers import reader
from danas_jax.data.splits import SPLIT_NAMES, Items, completed
from danas_jax.errors import UserError
from danas_jax.views.frame import Size


def open_source(settings: DataSettings, native_px: Size, seed: int) -> Source:
    """List, check and split the folder `settings.path`. UserError says what is wrong with it, and where."""
    root = Path(settings.path).expanduser()
    if not root.is_dir():
        problem = "it is a file, give a folder" if root.exists() else "no such folder"
        raise UserError(f"data.path = {settings.path!r}: {problem}")
    warnings: list[str] = []
    files = Files(root, reader(settings, native_px))
    kinds, noun = files.reader.kinds, files.reader.noun
    places = _split_places(root, settings.path, warnings)
    class_names = _class_names(root, places, settings.path)
    ignored: Counter[str] = Counter()
    found = {
        split: [class_files(root, place, name, files.reader.extensions, ignored) for name in class_names]
        for split, place in places.items()
    }  # split -> per class its keys
    if ignored:
        others = ", ".join(f"{count} {kind}" for kind, count in sorted(ignored.items()))
        warnings.append(f"ignored {ignored.total()} entries that are not {kinds} files: {others}")
    for split, classes in found.items():
        for name, inside in zip(class_names, classes, strict=True):
            if not inside:
                where = f"{places[split]}/{name}" if places[split] else name
                raise UserError(
                    f"data.path = {settings.path!r}: class {name!r} has no {kinds} in {where}/"
                    + (f" ({split} split)" if places[split] else "")
                )
    everything = tuple(key for classes in found.values() for inside in classes for key in inside)
    probed = probe(files, everything)
    report_unreadable(probed.bad, len(everything), settings, noun, warnings)
    warnings += probed.warnings

    def column(field: str) -> list[str]:
        rows = metadata.read_column(root, field, f"data.group_field = {field!r}")
        return [rows.get(key, "") for key in everything]

    groups = dict(zip(everything, file_groups(settings, everything, column, noun, warnings), strict=True))
    slices = _slices(root, settings, noun, warnings)
    report_unknown(metadata.values(slices, everything), noun, warnings)
    splits = {}
    for split, classes in found.items():
        rows = [(key, label) for label, inside in enumerate(classes) for key in inside if key not in probed.bad]
        keys = tuple(key for key, _ in rows)
        labels = np.array([label for _, label in rows], np.int32)
        splits[split] = Items(keys, labels, tuple(groups[key] for key in keys), metadata.values(slices, keys))
    splits = completed(splits, class_names, settings, seed, noun, warnings)
    fingerprint = fingerprint_of([str(root.resolve())], class_names, sorted(probed.stamps))
    return files.source(class_names, splits, warnings, fingerprint, probed.bad)


def sub_folders(place: Path) -> list[str]:
    """Names of the visible sub-folders, sorted."""
    try:
        return sorted(entry.name for entry in os.scandir(place) if entry.is_dir() and not entry.name.startswith("."))
    except OSError as error:
        raise UserError(f"{place}: cannot be listed ({error.strerror})") from error


def _split_places(root: Path, path: str, warnings: list[str]) -> dict[str, str]:
    """{split: its folder below root}; {"train": ""} when the classes lie directly in root."""
    names = sub_folders(root)
    here = [name for name in names if name in SPLIT_NAMES]
    if not here:
        return {"train": ""}
    if "train" not in here:
        raise UserError(f"data.path = {path!r}: there is {', '.join(here)} but no train folder")
    if "val" in here and "validation" in here:
        raise UserError(f"data.path = {path!r}: both val and validation are there, keep one")
    others = [name for name in names if name not in SPLIT_NAMES]
    if others:
        warnings.append(f"ignored folders beside train: {', '.join(others[:5])}{' ...' if len(others) > 5 else ''}")
    return {SPLIT_NAMES[name]: name for name in sorted(here, key=list(SPLIT_NAMES).index)}


def _class_names(root: Path, places: dict[str, str], path: str) -> tuple[str, ...]:
    """The classes of train, sorted; every other split must have the same."""
    classes = {split: sub_folders(root / place) for split, place in places.items()}
    train = classes["train"]
    inside = places["train"] or "it"
    if not train:
        raise UserError(f"data.path = {path!r}: no class folders in {inside}, expected <class>/*.jpg")
    for split, names in classes.items():
        for name in names:
            if name not in train:
                raise UserError(f"data.path = {path!r}: class {name!r} is in {split} but not in train")
        for name in train:
            if name not in names:
                raise UserError(f"data.path = {path!r}: class {name!r} is in train but not in {split}")
    if len(train) == 1:
        raise UserError(f"data.path = {path!r}: only one class, {train[0]!r}, in {inside}; give two or more")
    return tuple(train)


def class_files(root: Path, place: str, name: str, extensions: tuple[str, ...], ignored: Counter[str]) -> list[str]:
    """Keys (relative to root) of a class's files, sorted; counts the rest into `ignored` by kind."""
    keys = []
    try:
        for entry in os.scandir(root / place / name):
            extension = os.path.splitext(entry.name)[1].lower()
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                ignored["sub-folder"] += 1
            elif extension in extensions:
                keys.append("/".join(part for part in (place, name, entry.name) if part))
            else:
                ignored[extension or "without extension"] += 1
    except OSError as error:
        raise UserError(f"{root / place / name}: cannot be listed ({error.strerror})") from error
    return sorted(keys)


def _slices(root: Path, settings: DataSettings, noun: str, warnings: list[str]) -> dict[str, dict[str, str]]:
    """{field: {key: value}} of `slice_fields`; that there is no metadata.csv is said in `warnings`."""
    fields = settings.slice_fields
    slices = metadata.read_slices(root, fields, "data.slice_fields")
    if fields and not slices:
        warnings.append(f"no {metadata.NAME} beside the {noun}: no figures by {', '.join(fields)}")
    return slices
