"""Sets that TensorFlow Datasets has prepared as array_record, the catalogue's or your own; no tensorflow is imported.

`data.path` is a name (`wake_vision`, `name/config`, `name:1.0.0`) in `data.data_dir`, or the folder of a prepared set.
Labels, groups and slices are read once through all records, which takes minutes for a million, and then kept.
"""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from danas_jax import npz, untrusted
from danas_jax.config import DataSettings
from danas_jax.console import Progress
from danas_jax.data.sources.base import Source, fingerprint_of, report_unknown
from danas_jax.data.sources.readers import reader
from danas_jax.data.splits import Items, completed, grouped
from danas_jax.errors import Unreadable, UserError
from danas_jax.views.frame import Size

INSTALL = "pip install 'danas-jax[tfds]'"
_KEPT_FROM = 20_000  # records of a split from which its table is kept on disk
_AT_ONCE = 512  # records read together for the tables


def library() -> Any:
    """The module tensorflow_datasets; UserError says how to install it."""
    try:
        import tensorflow_datasets
    except ModuleNotFoundError as error:
        raise UserError(f"data.source = 'tfds': {error.name} is not installed: {INSTALL}") from error
    return tensorflow_datasets


def open_source(settings: DataSettings, native_px: Size, seed: int) -> Source:
    """List, check and split a prepared set. UserError says what is wrong with it, its splits or its features."""
    tfds, where = library(), f"data.path = {settings.path!r}"
    folder = prepared_folder(settings.path, settings.data_dir)
    builder, rates_hz = _builder(folder, where)
    inputs, labels = _fields(builder.info, settings, where)
    kind, warnings = reader(settings, native_px), list[str]()
    pictures = isinstance(builder.info.features[inputs], tfds.features.Image)
    if pictures != (settings.modality == "image"):
        right = [name for name, f in builder.info.features.items() if isinstance(f, tfds.features.Image)]
        raise UserError(
            f"{where}: data.modality = {settings.modality!r}, but {inputs!r} is {builder.info.features[inputs]}; "
            f"features that are images: {right}"
        )
    decoders = {inputs: tfds.decode.SkipDecoding()} if pictures else None  # our own decoder reads the bytes
    names = _split_names(builder.info, settings, where)
    columns = tuple(dict.fromkeys(filter(None, (labels, settings.group_field, *settings.slice_fields))))
    records, given, tables, stamps = {}, {}, {}, []
    for split, theirs in names.items():
        try:
            records[split] = builder.as_data_source(split=theirs, decoders=decoders)
        except NotImplementedError as error:
            other = builder.info.file_format.value
            raise UserError(
                f"{where}: {folder} is prepared as {other}: prepare it again, as array_record, in another data_dir"
            ) from error
        except (ValueError, OSError) as error:
            raise UserError(f"{where}: split {theirs!r} cannot be read: {error}") from error
        files = [Path(path) for path in builder.info.splits[theirs].filepaths]
        stats = [(file.name, file.stat()) for file in files if file.exists()]
        written = [(name, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns) for name, stat in stats]
        stamps.append((split, theirs, str(folder.resolve()), written))
        tables[split] = _table(records[split], columns, builder.info, f"{builder.info.full_name} {theirs}", stamps[-1])
    class_names = _class_names(builder.info.features[labels], tables["train"][labels])
    number = {name: i for i, name in enumerate(class_names)}
    for split, table in tables.items():
        for row in np.flatnonzero(~np.isin(table[labels], class_names)):
            raise UserError(f"{where}: {labels} = {str(table[labels][row])!r} in {names[split]}[{row}]: not in train")
        keys = tuple(f"{split}/{row:08d}" for row in range(len(records[split])))
        values = table[settings.group_field] if settings.group_field else [""] * len(keys)
        slices = {field: table[field] for field in settings.slice_fields}
        report_unknown(slices, kind.noun, warnings)
        classes = np.array([number[label] for label in table[labels].tolist()], np.int32)
        given[split] = Items(keys, classes, grouped(keys, values), slices)

    def read(key: str) -> np.ndarray:
        split, row = key.split("/")
        name = f"{folder}, {names[split]}[{int(row)}]"
        try:
            example = records[split][int(row)][inputs]
        except Exception as error:  # whatever the libraries below raise for damaged records
            raise Unreadable(name, f"{type(error).__name__}: {error}") from error
        return kind.encoded(example, name) if isinstance(example, bytes) else kind.array(example, name, rate_hz)

    rate_hz = rates_hz.get(inputs, 0)
    if settings.modality == "audio" and rate_hz not in (0, settings.sample_rate_hz):
        warnings.append(f"{kind.noun} are at {rate_hz} Hz: resampled to {settings.sample_rate_hz} Hz")
    splits = completed(given, class_names, settings, seed, kind.noun, warnings)
    fingerprint = fingerprint_of([builder.info.full_name, inputs, labels], stamps)
    said = tuple(warnings)
    return Source(
        class_names, splits, said, fingerprint, kind.noun, kind.shape, kind.dtype, read, decoding=kind.decoding
    )


def sets_folder(data_dir: str) -> Path:
    """Where sets are prepared: `data_dir`, or where the library puts them."""
    return Path(data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser()


def prepared_folder(path: str, data_dir: str) -> Path:
    """The folder of a prepared set, by name or path; of several versions the highest. UserError where there is none."""
    root = sets_folder(data_dir)
    name, _, version = path.partition(":")
    place = Path(path).expanduser()
    if not place.is_dir():
        place = root / name
    elif (place / "dataset_info.json").is_file():
        return place
    versions = [p.parent for p in place.glob(f"{version or '*'}/dataset_info.json")]
    if versions:
        return max(versions, key=lambda p: [int(n) for n in re.findall(r"\d+", p.name)])
    here = sorted({str(p.parent.parent.relative_to(root)) for p in root.glob("**/dataset_info.json")})
    raise UserError(
        f"data.path = {path!r}: no such set is prepared in {root}"
        + (f", there is {', '.join(here[:5])}" if here else "")
        + f"; a set of the catalogue: danas data prepare {name}; your own: download_and_prepare with "
        "file_format='array_record'"
    )


def _builder(folder: Path, where: str) -> tuple[Any, dict[str, int]]:
    """(builder of a prepared set, {feature that is sound: its rate [Hz], 0 = unknown}).

    The library's feature for sound needs tensorflow, so what is stored there is read by its features for arrays and
    for bytes, which store alike.
    """
    from google.protobuf import json_format
    from tensorflow_datasets.core import dataset_info, read_only_builder
    from tensorflow_datasets.core.proto import feature_pb2

    rates_hz = {}
    try:
        described = untrusted.loads(untrusted.read_bytes(folder / "features.json", untrusted.MAX_JSON_BYTES))
        for name, feature in described["featuresDict"]["features"].items():
            if sound := feature.pop("audio", None):
                rates_hz[name] = int(sound.get("sampleRate", 0))
                stored = {key: sound[key] for key in ("shape", "dtype", "encoding") if key in sound}
                kind, content = ("text", {}) if sound.get("lazyDecode") else ("tensor", stored)
                feature["pythonClassName"] = f"tensorflow_datasets.core.features.{kind}_feature.{kind.capitalize()}"
                feature[kind] = content
        info = dataset_info.read_proto_from_builder_dir(str(folder))
        info.features.CopyFrom(json_format.ParseDict(described, feature_pb2.Feature()))  # ty: ignore[missing-attribute]
        return read_only_builder.ReadOnlyBuilder(builder_dir=str(folder), info_proto=info), rates_hz
    except Exception as error:  # whatever the library raises for damaged files
        raise UserError(f"{where}: {folder} is no prepared set ({type(error).__name__}: {error})") from error


def _fields(info: Any, settings: DataSettings, where: str) -> tuple[str, str]:
    """(feature that is the input, feature that is the label); UserError where the set has no such."""
    supervised = info.supervised_keys if info.supervised_keys and len(info.supervised_keys) == 2 else ("", "")
    inputs, labels = settings.input_field or supervised[0], settings.label_field or supervised[1]
    for name, value in (("input_field", inputs), ("label_field", labels)):
        if not value:
            raise UserError(f"{where}: the set does not say which feature it is: give data.{name}, of {_names(info)}")
    given = {"input_field": inputs, "label_field": labels, "group_field": settings.group_field}
    given.update({f"slice_fields[{i}]": field for i, field in enumerate(settings.slice_fields)})
    for name, value in given.items():
        if value and value not in info.features:
            raise UserError(f"data.{name} = {value!r}: no such feature, there are {_names(info)}")
        if value and name != "input_field" and info.features[value].shape != ():
            raise UserError(f"data.{name} = {value!r}: it is {info.features[value]}, give one with single values")
    return inputs, labels


def _names(info: Any) -> list[str]:
    return sorted(info.features)


def _split_names(info: Any, settings: DataSettings, where: str) -> dict[str, str]:
    """{our split: theirs}: as `data.split_names` says, the others by their own names where the set has them."""
    said = dict(entry.split("=", 1) for entry in settings.split_names)
    found = {}
    for split in ("train", "validation", "test"):
        theirs = said.get(split, split)
        if theirs.partition("[")[0] in info.splits:
            found[split] = theirs
        elif split in said or split == "train":
            raise UserError(f"{where}: no split {theirs!r}, there are {sorted(info.splits)}: give data.split_names")
    return found


def _class_names(feature: Any, values: np.ndarray) -> tuple[str, ...]:
    """The names of a class label, else the values of train in order."""
    return tuple(getattr(feature, "names", None) or np.unique(values).tolist())


def _table(
    records: Sequence[dict], columns: tuple[str, ...], info: Any, title: str, stamp: tuple
) -> dict[str, np.ndarray]:
    """{column: its value in every record as text, str [N]}, "" where a class label is -1; kept for the next time."""
    kept = _kept_tables() / f"{fingerprint_of([info.full_name, columns, stamp])}.npz"
    with contextlib.suppress(UserError), npz.opened(kept) as saved:
        return {name: saved.array(name) for name in columns}
    values: dict[str, list[str]] = {name: [] for name in columns}
    with Progress(f"listing {title}") as progress:
        for start in range(0, len(records), _AT_ONCE):
            stop = min(start + _AT_ONCE, len(records))
            try:
                for example in records.__getitems__(range(start, stop)):  # ty: ignore[missing-attribute]
                    for name in columns:
                        values[name].append(_text(example[name], info.features[name], name))
            except Exception as error:  # whatever the libraries below raise for damaged files
                what = f"{type(error).__name__}: {error}"
                raise UserError(f"{title}: records {start} to {stop - 1} cannot be read: {what}") from error
            progress.count(stop, len(records))
    table = {name: np.array(column, str) for name, column in values.items()}
    if len(records) >= _KEPT_FROM:
        with contextlib.suppress(OSError):  # a cache that cannot be written is no reason to stop
            kept.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=kept.parent, suffix=".npz", delete=False) as file:
                np.savez_compressed(file, **table)  # ty: ignore[invalid-argument-type]
            os.replace(file.name, kept)
    return table


def _kept_tables() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "danas_jax" / "tables"


def _text(value: Any, feature: Any, name: str) -> str:
    """A scalar of a record as text; the names of class labels, "" for -1."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if value is None or np.ndim(value):
        raise ValueError(f"a record without {name!r}")
    names = getattr(feature, "names", None)
    if names and isinstance(value, int | np.integer):
        return names[value] if value >= 0 else ""
    return str(value)
