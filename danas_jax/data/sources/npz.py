"""Arrays in .npz files: `x` [N, ...] and `y` [N] (data.multi_label: 0 and 1, [N, classes]); train.npz, and
 validation.npz and test.npz where they are there.

Series are int16 [N, T, C] (or [N, T]), which times `scale` (a number, or one per channel) gives the unit; every file is
brought to the scale of train. Floats become int16 with a scale per channel, so that the largest of train fills half of
the range. Pictures are uint8 [N, H, W, 3] or [N, H, W], sound is int16 or float [N, T] at `data.sample_rate_hz`.

`classes` names the classes (else "0" to "K-1"); `data.group_field` and `data.slice_fields` name arrays [N].
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from danas_jax.config import DataSettings
from danas_jax.data.sources.base import Source, fingerprint_of, report_unknown
from danas_jax.data.sources.readers import NOUNS, reader
from danas_jax.data.splits import SPLIT_NAMES, Items, completed, grouped
from danas_jax.errors import UserError
from danas_jax.npz import opened
from danas_jax.views.frame import Size

MAX_CLASSES = 65_536
MIN_SCALE = 1e-12  # of series; the largest is 1 / MIN_SCALE
INPUT, LABEL, SCALE, CLASSES = "x", "y", "scale", "classes"
_CHANNELS = {"image": (2, 3), "audio": (1, 2), "series": (1, 2)}  # axes that one example may have
_TYPES = {"image": ("uint8",), "audio": ("int16", "float32", "float64"), "series": ("int16", "float32", "float64")}


@dataclass(frozen=True, eq=False)
class Arrays:
    """What one file holds."""

    path: Path
    x: np.ndarray  # [N, ...]
    labels: np.ndarray  # int64 [N], or 0 and 1 [N, classes]
    scale: np.ndarray | None  # float64, a number or [C]
    classes: tuple[str, ...]  # () = not named
    columns: dict[str, np.ndarray]  # group and slice fields, str [N]


def open_source(settings: DataSettings, native_px: Size, seed: int) -> Source:
    """Load and check the arrays of `settings.path`. UserError names the file, the array and the row."""
    where = f"data.path = {settings.path!r}"
    paths = split_files(Path(settings.path).expanduser(), where)
    if "train" not in paths:
        raise UserError(f"{where}: no train.npz in it")
    files = {split: read_arrays(path, settings) for split, path in paths.items()}
    train, noun, warnings = files["train"], NOUNS[settings.modality], list[str]()
    for arrays in files.values():
        if arrays.x.shape[1:] != train.x.shape[1:] or arrays.x.dtype != train.x.dtype:
            shapes = f"{train.x.dtype} {train.x.shape[1:]}, in {arrays.path.name} {arrays.x.dtype} {arrays.x.shape[1:]}"
            raise UserError(f"{where}: examples of {train.path.name} are {shapes}")
        if arrays.classes and train.classes and arrays.classes != train.classes:
            raise UserError(f"{arrays.path}: {CLASSES} are not those of {train.path.name}")
    if settings.multi_label:
        columns = {arrays.labels.shape[1] for arrays in files.values()} | (
            {len(train.classes)} if train.classes else set()
        )
        if len(columns) > 1:
            raise UserError(f"{where}: {LABEL} and {CLASSES} tell different numbers of classes: {sorted(columns)}")
        most = columns.pop()
    else:
        most = 1 + max(int(arrays.labels.max()) for arrays in files.values())
    class_names = train.classes or tuple(str(label) for label in range(most))
    if most > len(class_names):
        raise UserError(f"{where}: {LABEL} goes up to {most - 1}, but there are {len(class_names)} {CLASSES}")
    given = {}
    for split, arrays in files.items():
        keys = tuple(f"{split}/{row:06d}" for row in range(len(arrays.x)))
        values = arrays.columns[settings.group_field] if settings.group_field else [""] * len(keys)
        slices = {field: arrays.columns[field] for field in settings.slice_fields}
        report_unknown(slices, noun, warnings)
        labels = arrays.labels.astype(np.uint8 if settings.multi_label else np.int32)
        given[split] = Items(keys, labels, grouped(keys, values), slices)
    splits = completed(given, class_names, settings, seed, noun, warnings)
    scale: tuple[float, ...] = ()
    stamps = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in paths.values()]
    if settings.modality != "series":
        kind = reader(settings, native_px)
        shape, dtype = kind.shape, kind.dtype

        def read(key: str) -> np.ndarray:
            split, row = key.split("/")
            return kind.array(files[split].x[int(row)], f"{files[split].path}, row {int(row)}", 0)

    else:
        shape, dtype = _series_shape(train.x), np.dtype(np.int16)
        factors = _factors(files, splits["train"], warnings)
        scale = _scale(train, factors["train"])

        def read(key: str) -> np.ndarray:
            split, row = key.split("/")
            window = files[split].x[int(row)].reshape(shape)
            return np.rint(window * factors[split]).clip(-32768, 32767).astype(np.int16)

    return Source(class_names, splits, tuple(warnings), fingerprint_of(stamps), noun, shape, dtype, read, scale=scale)


def split_files(path: Path, where: str) -> dict[str, Path]:
    """{split: its file}; of a single file train. UserError, naming `where`, where there is no such path."""
    if path.is_file():
        return {"train": path}
    if not path.is_dir():
        raise UserError(f"{where}: no such file or folder")
    found: dict[str, Path] = {}
    for name, split in SPLIT_NAMES.items():
        if (path / f"{name}.npz").is_file():
            if split in found:
                raise UserError(f"{where}: both {found[split].name} and {name}.npz are there, keep one")
            found[split] = path / f"{name}.npz"
    return found


def read_arrays(path: Path, settings: DataSettings) -> Arrays:
    """The arrays of one file, checked; UserError names it."""
    inputs, labels = settings.input_field or INPUT, settings.label_field or LABEL
    fields = dict.fromkeys(filter(None, (settings.group_field, *settings.slice_fields)))
    found = _arrays(path, (inputs, labels, *fields), (SCALE, CLASSES))
    x, y = found[inputs], found[labels]
    _check(x, f"{path}: {inputs}", settings.modality)
    if settings.multi_label:
        if y.dtype.kind not in "iub" or y.ndim != 2 or len(y) != len(x) or not y.shape[1] or y.min() < 0 or y.max() > 1:
            raise UserError(f"{path}: {labels} is {y.dtype} {y.shape}: give 0 and 1, [{len(x)}, classes]")
    elif y.dtype.kind not in "iu" or y.shape != x.shape[:1] or y.min() < 0:
        raise UserError(f"{path}: {labels} is {y.dtype} {y.shape}: give whole numbers from 0 up, [{len(x)}]")
    elif y.max() >= MAX_CLASSES:
        raise UserError(f"{path}: {labels} goes up to {y.max()}: number the classes from 0, {MAX_CLASSES} at most")
    for field in fields:
        if found[field].shape != x.shape[:1]:
            raise UserError(f"{path}: {field} is {found[field].shape}: give one value per example, [{len(x)}]")
    scale = found.get(SCALE) if settings.modality == "series" else None
    _check_scale(scale, x, path)
    named = found.get(CLASSES, np.zeros(0))
    if named.ndim != 1:
        raise UserError(f"{path}: {CLASSES} is {named.dtype} {named.shape}: give a list of names")
    classes = tuple(map(str, named.tolist()))
    if len(set(classes)) != len(classes):
        raise UserError(f"{path}: {CLASSES} = {list(classes)}: name each once")
    columns = {field: found[field].astype(str) for field in fields}
    return Arrays(path, x, y.astype(np.int64), None if scale is None else scale.astype(np.float64), classes, columns)


def read_windows(path: Path, shape: tuple[int, int], scale: Sequence[float] | None) -> np.ndarray:
    """Series to predict on, int16 [N, *shape] in units of `scale`, out of a file's `x` (and `scale`).

    Without either scale whole numbers are taken as they are. UserError names the file.
    """
    found = _arrays(path, (INPUT,), (SCALE,))
    x, own = found[INPUT], found.get(SCALE)
    _check(x, f"{path}: {INPUT}", "series")
    _check_scale(own, x, path)
    return in_units(x, own, path, shape, scale)


def in_units(
    x: np.ndarray, own: np.ndarray | None, path: Path, shape: Sequence[int], scale: Sequence[float] | None
) -> np.ndarray:
    """Series whose scale is `own` as int16 [N, *shape] in units of `scale`, as read_windows has them."""
    if _series_shape(x) != tuple(shape):
        raise UserError(f"{path}: {INPUT} has windows of {_series_shape(x)}, the model reads {tuple(shape)}")
    unit = np.ones(()) if x.dtype.kind == "f" else own
    factor = np.ones(()) if scale is None or unit is None else unit / np.asarray(scale)
    return np.rint(x.reshape(len(x), *shape) * factor).clip(-32768, 32767).astype(np.int16)


def _arrays(path: Path, needed: Sequence[str], optional: Sequence[str]) -> dict[str, np.ndarray]:
    """{name: array} of a file; UserError where it is damaged, or one that is needed is not there."""
    with opened(path) as file:
        for name in needed:
            if name not in file.names:
                raise UserError(f"{path}: has no array {name!r}, it has {sorted(file.names)}")
        wanted = [*needed, *(name for name in optional if name in file.names)]
        return {name: file.array(name) for name in wanted}


def _check_scale(scale: np.ndarray | None, x: np.ndarray, path: Path) -> None:
    """UserError unless the scale, where there is one, can be that of the series `x`."""
    if scale is not None:
        channels = _series_shape(x)[1]
        right = scale.shape in ((), (1,), (channels,)) and scale.dtype.kind in "fiu"
        if not right or not ((scale >= MIN_SCALE) & (scale <= 1 / MIN_SCALE)).all():
            raise UserError(f"{path}: {SCALE} is {scale.dtype} {scale.shape}: give a positive number, or [{channels}]")


def _check(x: np.ndarray, name: str, modality: str) -> None:
    """UserError unless `x` can be examples of `modality`."""
    right = {
        "image": "uint8 [N, H, W, 3] or [N, H, W]",
        "audio": "int16 or float [N, samples]",
        "series": "int16 or float [N, T, C] or [N, T]",
    }[modality]
    axes = _CHANNELS[modality]
    wrong_end = modality == "image" and x.ndim == 4 and x.shape[3] not in (1, 3)
    if x.ndim - 1 not in axes or x.dtype.name not in _TYPES[modality] or not x.size or wrong_end:
        raise UserError(f"{name} is {x.dtype} {x.shape}: give {right}")
    if x.dtype.kind == "f":
        rows = ~np.isfinite(x).reshape(len(x), -1).all(axis=1)
        if rows.any():
            raise UserError(f"{name}, row {int(rows.argmax())}: not a number ({int(rows.sum())} such rows)")


def _series_shape(x: np.ndarray) -> tuple[int, int]:
    return x.shape[1], x.shape[2] if x.ndim == 3 else 1


def _scale(train: Arrays, factors: np.ndarray) -> tuple[float, ...]:
    """What the series' int16 times gives train's unit; () where its file does not say."""
    if train.x.dtype.kind == "f":
        return tuple((1 / np.atleast_1d(factors)).tolist())
    return () if train.scale is None else tuple(np.atleast_1d(train.scale).tolist())


def _factors(files: dict[str, Arrays], train: Items, warnings: list[str]) -> dict[str, np.ndarray]:
    """{split: what its values are multiplied by, float64 [C] or []}, so that all have one scale: that of train."""
    first = files["train"]
    if first.x.dtype.kind == "f":  # of train alone, also where validation and test are taken out of the same file
        rows = np.array([int(key.split("/")[1]) for key in train.keys])
        largest = np.abs(first.x[rows].reshape(-1, _series_shape(first.x)[1])).max(axis=0).astype(np.float64)
        factors = dict.fromkeys(files, np.asarray(16384 / np.where(largest > 0, largest, 1)))
    else:
        scales = {split: f.scale if f.scale is not None else np.ones(()) for split, f in files.items()}
        factors = {split: np.asarray(scale / scales["train"]) for split, scale in scales.items()}
    for split, arrays in files.items():
        values = arrays.x.reshape(-1, _series_shape(arrays.x)[1])
        largest = np.maximum(values.max(axis=0).astype(np.float64), -values.min(axis=0).astype(np.float64))
        if (largest * factors[split] > 32768).any():
            warnings.append(f"values of {split} go beyond the range of train: cut")
    return factors
