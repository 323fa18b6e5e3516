"""Arrays in .npz files whose class is known, to evaluate on, as `data.source npz` reads them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from danas_jax.config import DataSettings
from danas_jax.data.labelled import Labelled, chosen_split
from danas_jax.data.sources import npz
from danas_jax.data.sources.readers import Reader
from danas_jax.data.splits import SPLIT_NAMES
from danas_jax.errors import UserError


@dataclass(frozen=True)
class _Rows:
    shape: tuple[int, ...]
    dtype: np.dtype
    read: Callable[[str], np.ndarray]


def list_arrays(
    path: Path,
    split: str,
    settings: DataSettings,
    kinds: Reader | None,
    shape: Sequence[int],
    scale: Sequence[float] | None,
    classes: tuple[str, ...],
) -> Labelled:
    """The rows of a file, or of a split's in a folder; () = the file's class names. Slices: `settings.slice_fields`.

    `kinds` reads pictures and sound; series (None) become windows of `shape` in units of `scale`. UserError names the
    file, and what is wrong with it.
    """
    there = npz.split_files(path, str(path)) if path.is_dir() else {}
    if path.stem in SPLIT_NAMES and path.is_file():
        there = {SPLIT_NAMES[path.stem]: path}
        split = split or SPLIT_NAMES[path.stem]
    chosen = chosen_split(there, split, path)
    file = there.get(chosen, path)
    root, name = place_of(file)
    arrays = npz.read_arrays(file, settings)
    own = arrays.classes or classes or tuple(str(label) for label in range(1 + int(arrays.labels.max())))
    classes = classes or own
    for stranger in (name for name in own if name not in classes):
        raise UserError(f"{file}: {npz.CLASSES}: {stranger!r} is none of the classes {', '.join(classes)}")
    if arrays.labels.max() >= len(own):
        raise UserError(f"{file}: {npz.LABEL} goes up to {arrays.labels.max()}, there are {len(own)} classes")
    labels = np.array([classes.index(name) for name in own], np.int32)[arrays.labels]
    if kinds is None:
        windows = npz.in_units(arrays.x, arrays.scale, file, shape, scale)
        rows = _Rows(tuple(shape), np.dtype(np.int16), lambda key: windows[_row(key)])
    else:
        rows = _Rows(
            kinds.shape, kinds.dtype, lambda key: kinds.array(arrays.x[_row(key)], f"{file}, row {_row(key)}", 0)
        )
    keys = tuple(f"{name}/{row:06d}" for row in range(len(arrays.x)))
    return Labelled(root, chosen, classes, keys, labels, rows, arrays.columns)


def place_of(path: Path) -> tuple[Path, str]:
    """(root of the keys, split in them) of an .npz file: those of its folder where the file is named as a split."""
    return (path.parent, SPLIT_NAMES[path.stem]) if path.stem in SPLIT_NAMES else (path, "train")


def _row(key: str) -> int:
    return int(key.split("/")[1])
