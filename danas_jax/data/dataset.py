"""One door to the pictures: `open_data` lists and splits them, `Data.load` decodes a split once, to those it may serve.

PROTOCOL is the only place that says who may read what; nothing else in the project hands out pixels for training.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from danas_jax.config import DataSettings
from danas_jax.data import folder, metadata, synthetic
from danas_jax.data.folder import Progress
from danas_jax.data.splits import Items, hold_out, limit_per_class
from danas_jax.errors import UserError
from danas_jax.views.area import resize_area

PROTOCOL: dict[str, tuple[str, ...]] = {  # phase -> splits it may read
    "train": ("train",),
    "search": ("train", "search"),  # train only to recalibrate batch norm
    "retrain": ("train", "search", "validation"),  # validation only to choose the epoch
    "export": ("train", "search", "validation"),  # what retraining read: to calibrate int8, fine-tune, choose
    "test": ("test",),
}
SPLITS = ("train", "search", "validation", "test")

_SYNTHETIC_VERSION = 1  # raise it when scenes change: it is part of the fingerprint


class ProtocolError(RuntimeError):
    """A phase asked for a split it must not see: a bug in the caller, never bad input."""


@dataclass(frozen=True, eq=False)
class Split:
    """A decoded split. `raw` is read-only and shared by everyone who loads it."""

    raw: np.ndarray  # examples at their highest fidelity: pictures uint8 [N, S, S, 3]
    labels: np.ndarray  # int32 [N], index into Data.class_names
    names: tuple[str, ...]  # file relative to data.path, or scene, for tables
    warnings: tuple[str, ...] = ()  # images left out while decoding
    slices: Mapping[str, np.ndarray] = field(default_factory=dict)  # data.slice_fields -> each image's value, str [N]

    def __len__(self) -> int:
        return len(self.labels)


def aligned(shape: tuple[int, ...], dtype: np.dtype | type) -> np.ndarray:
    """An array at a 64 B boundary: on a CPU `jax.device_put` reads it in place, without a copy."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    memory = np.empty(size + 64, np.uint8)
    start = -memory.ctypes.data % 64
    return memory[start : start + size].view(dtype).reshape(shape)


_Reader = Callable[[str, Items, Progress | None], Split]


@dataclass(frozen=True, eq=False)
class Data:
    """An opened source: known by list, not yet decoded. Make it with `open_data`."""

    class_names: tuple[str, ...]
    native_px: int  # side of the decoded squares [px]
    warnings: tuple[str, ...]  # worth telling the user once
    fingerprint: str  # of the source (files and sizes, or how scenes are made); equal means the same pictures
    items: dict[str, Items]  # what each split consists of, before decoding
    _read: _Reader = field(repr=False)
    _decoded: dict[str, Split] = field(default_factory=dict, repr=False)

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """{split: {class: listed images}}."""
        return {
            split: {name: int((items.labels == label).sum()) for label, name in enumerate(self.class_names)}
            for split, items in self.items.items()
        }

    def decoded(self, split: str) -> bool:
        """Whether `load` has decoded the split before."""
        return split in self._decoded

    def load(self, split: str, phase: str, progress: Progress | None = None) -> Split:
        """The decoded split, decoded on first use and remembered; `progress(done, total)` while decoding.

        ProtocolError when `phase` must not see `split`; UserError when too many images turn out unreadable.
        """
        if split not in PROTOCOL.get(phase, ()):
            allowed = PROTOCOL.get(phase, f"nothing, phases are {sorted(PROTOCOL)}")
            raise ProtocolError(f"phase {phase!r} asked for split {split!r}; it may read {allowed}")
        if split not in self._decoded:
            self._decoded[split] = self._read(split, self.items[split], progress)
        return self._decoded[split]


def open_data(settings: DataSettings, native_px: int, seed: int) -> Data:
    """List and split the source of `settings`, checking all that can be checked without decoding.

    Images will be uint8 squares of `native_px`; `seed` fixes scenes and derived splits. UserError on bad input.
    """
    if settings.source == "synthetic":
        class_names, splits, warnings, fingerprint, read = _open_synthetic(settings, native_px, seed)
    else:
        class_names, splits, warnings, fingerprint, read = _open_folder(settings, native_px, seed)
    if settings.limit_per_class:
        splits = {**splits, "train": limit_per_class(splits["train"], settings.limit_per_class, seed)}
    train, search = hold_out(splits["train"], settings.search_fraction, seed, "search", class_names)
    items = {"train": train, "search": search, "validation": splits["validation"], "test": splits["test"]}
    return Data(class_names, native_px, warnings, fingerprint, items, read)


_Opened = tuple[tuple[str, ...], dict[str, Items], tuple[str, ...], str, _Reader]


def _open_synthetic(settings: DataSettings, native_px: int, seed: int) -> _Opened:
    low, high = synthetic.DETAIL_RANGE_PX
    if not low <= settings.detail_px <= high:
        raise UserError(f"data.detail_px = {settings.detail_px}: give {low} to {high}")
    if not 0 <= settings.colour_cue <= 1:
        raise UserError(f"data.colour_cue = {settings.colour_cue}: give a share from 0 to 1")
    if native_px > synthetic.SCENE_PX:
        raise UserError(f"resolution {native_px} px: synthetic scenes have {synthetic.SCENE_PX} px, search up to that")
    splits = {}
    for split in synthetic.SPLITS:
        count = getattr(settings, f"{split}_images")
        if count < 4:
            raise UserError(f"data.{split}_images = {count}: give 4 or more")
        labels = (np.arange(count) % 2).astype(np.int32)
        keys = tuple(f"{split}/{synthetic.CLASSES[label]}/{i:06d}" for i, label in enumerate(labels))
        splits[split] = Items(keys, labels, keys)

    def read(split: str, items: Items, progress: Progress | None) -> Split:
        images = aligned((len(items), native_px, native_px, 3), np.uint8)
        every = max(1, len(items) // 100)
        for i, key in enumerate(items.keys):
            drawn_as, _, number = key.split("/")
            picture, _ = synthetic.scene(seed, drawn_as, int(number), settings.detail_px, settings.colour_cue)
            images[i] = resize_area(picture[None], native_px)[0]
            if progress and ((i + 1) % every == 0 or i + 1 == len(items)):
                progress(i + 1, len(items))
        return _split(images, items)

    recipe = {
        "version": _SYNTHETIC_VERSION,
        "seed": seed,
        "detail_px": settings.detail_px,
        "colour_cue": settings.colour_cue,
        "images": [len(items) for items in splits.values()],
    }
    fingerprint = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:16]
    return synthetic.CLASSES, splits, (), fingerprint, read


def _open_folder(settings: DataSettings, native_px: int, seed: int) -> _Opened:
    listing = folder.list_folder(settings, seed)
    root = Path(settings.path).expanduser()

    def read(split: str, items: Items, progress: Progress | None) -> Split:
        images, readable, bad = folder.read_images(root, items.keys, native_px, progress)
        warnings: list[str] = []
        folder.report_unreadable(bad, len(items), settings, warnings)
        for label, name in enumerate(listing.class_names):
            if not (items.labels[readable] == label).any():
                raise UserError(f"data.path = {settings.path!r}: no image of class {name!r} in {split} can be read")
        items = items.where(readable)
        slices = metadata.values(listing.slices, items.keys)
        return _split(images, items, tuple(f"{split}: {text}" for text in warnings), slices)

    return listing.class_names, listing.splits, listing.warnings, listing.fingerprint, read


def _split(
    images: np.ndarray,
    items: Items,
    warnings: tuple[str, ...] = (),
    slices: Mapping[str, np.ndarray] | None = None,
) -> Split:
    labels, slices = items.labels.copy(), slices or {}
    for array in (images, labels, *slices.values()):  # remembered and shared: nobody may change them
        array.flags.writeable = False
    return Split(images, labels, items.keys, warnings, slices)
