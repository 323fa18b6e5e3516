"""One door to the data: `open_data` lists and splits them, `Data.load` decodes a split once, to those it may serve.

PROTOCOL is the only place that says who may read what; nothing else in the project hands out examples for training.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from danas_jax.config import DataSettings
from danas_jax.data.balance import Pool
from danas_jax.data.cache import cached_items
from danas_jax.data.rows import Rows
from danas_jax.data.soft_labels import SoftLabels
from danas_jax.data.sources import folder, manifest, npz, synthetic, unlabelled
from danas_jax.data.sources.base import Progress, Source, report_unreadable
from danas_jax.data.splits import Items, hold_out, limit_per_class
from danas_jax.errors import UserError
from danas_jax.task import task_of
from danas_jax.views.frame import FITS, Size

PROTOCOL: dict[str, tuple[str, ...]] = {  # phase -> splits it may read
    "train": ("train", "unlabelled"),
    "search": ("train", "search", "unlabelled"),  # train only to recalibrate batch norm, or to train systems alone
    "retrain": ("train", "search", "validation", "unlabelled"),  # validation only to choose the epoch
    "export": ("train", "search", "validation"),  # what retraining read: to calibrate int8, fine-tune, choose
    "test": ("test",),
    "copies": ("search", "validation", "test"),  # compared with unlabelled pictures by hash, for copies to be left out
}
SPLITS = ("train", "search", "validation", "test")
_HASHED = 1024  # examples at a time


class ProtocolError(RuntimeError):
    """A phase asked for a split it must not see: a bug in the caller, never bad input."""


@dataclass(frozen=True, eq=False)
class Split:
    """A decoded split. `raw` is read-only and shared by everyone who loads it."""

    raw: np.ndarray | Rows  # examples as decoded: uint8 [N, H, W, 3], int16 [N, samples] or [N, samples, channels]
    labels: np.ndarray  # int32 [N], index into Data.class_names; with data.multi_label uint8 [N, classes]: 1 = has it
    names: tuple[str, ...]  # the examples' keys in their source, for tables
    warnings: tuple[str, ...] = ()  # what was left out while decoding
    slices: Mapping[str, np.ndarray] = field(default_factory=dict)  # data.slice_fields -> each image's value, str [N]
    scale: tuple[float, ...] = ()  # what a raw number times gives its unit (one, or a number per channel); () = unknown
    fit: str = FITS[0]  # how pictures of another shape were brought to this one
    soft_labels: SoftLabels | None = None  # a teacher's, see danas_jax/teachers
    pool: Pool | None = None  # the first ones have no label, see teachers/unlabelled.py

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def labelled(self) -> np.ndarray:
        """The rows of examples that have a label, ascending."""
        return np.arange(self.pool.count if self.pool else 0, len(self))

    @property
    def epoch_images(self) -> int:
        """Examples that an epoch shows."""
        return self.pool.epoch_images(len(self)) if self.pool else len(self)

    @cached_property
    def content(self) -> str:
        """16 hexadecimal digits that follow from what a training or a judge sees of it, wherever the data lie."""
        digest = hashlib.sha256(repr((self.raw.shape, str(self.raw.dtype), self.scale, self.names)).encode())
        for start in range(0, len(self), _HASHED):
            digest.update(np.asarray(self.raw[start : start + _HASHED]).tobytes())
        digest.update(self.labels.tobytes())
        for value in vars(self.pool).values() if self.pool else ():
            digest.update(value.tobytes() if isinstance(value, np.ndarray) else repr(value).encode())
        return digest.hexdigest()[:16]


_Reader = Callable[[str, Items, Progress | None], Split]


@dataclass(frozen=True, eq=False)
class Data:
    """An opened source: known by list, not yet decoded. Make it with `open_data`."""

    class_names: tuple[str, ...]
    shape: tuple[int, ...]  # of one decoded example, [H, W, 3] for pictures
    warnings: tuple[str, ...]  # worth telling the user once
    fingerprint: str  # of the source; equal means the same examples
    items: dict[str, Items]  # what each split consists of, before decoding
    _read: _Reader = field(repr=False)
    unlabelled: Items | None = None  # of data.unlabelled, which is read as a split of its own
    _decoded: dict[str, Split] = field(default_factory=dict, repr=False)

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """{split: {class: listed examples}}."""
        return {
            split: dict(
                zip(
                    self.class_names,
                    task_of(items.labels).class_counts(items.labels, len(self.class_names)).tolist(),
                    strict=True,
                )
            )
            for split, items in self.items.items()
        }

    def decoded(self, split: str) -> bool:
        """Whether `load` has decoded the split before."""
        return split in self._decoded

    def load(self, split: str, phase: str, progress: Progress | None = None) -> Split:
        """The decoded split, decoded on first use and remembered; `progress(done, total)` while decoding.

        ProtocolError when `phase` must not see `split`; UserError when too many examples turn out unreadable.
        """
        if split not in PROTOCOL.get(phase, ()):
            allowed = PROTOCOL.get(phase, f"nothing, phases are {sorted(PROTOCOL)}")
            raise ProtocolError(f"phase {phase!r} asked for split {split!r}; it may read {allowed}")
        if split not in self._decoded:
            items = self.unlabelled if split == unlabelled.UNLABELLED else self.items[split]
            if items is None:
                raise ProtocolError(f"phase {phase!r} asked for unlabelled pictures, there are none")
            self._decoded[split] = self._read(split, items, progress)
        return self._decoded[split]


def open_data(settings: DataSettings, native_px: Size, seed: int) -> Data:
    """List and split the source of `settings`, checking all that can be checked without decoding.

    Pictures will be uint8 frames of `native_px`; `seed` fixes scenes and derived splits. UserError on bad input.
    """
    source = open_source(settings, native_px, seed)
    splits = dict(source.splits)
    if settings.limit_per_class:
        splits["train"] = limit_per_class(splits["train"], settings.limit_per_class, seed)
    train, search = hold_out(splits["train"], settings.search_fraction, seed, "search", source.class_names)
    items = {"train": train, "search": search, "validation": splits["validation"], "test": splits["test"]}
    others = unlabelled.open_source(settings, native_px) if settings.unlabelled else None

    def read(split: str, items: Items, progress: Progress | None) -> Split:
        warnings: list[str] = []
        of, place = source, ""
        if others is not None and split == unlabelled.UNLABELLED:
            of, place = others, f"data.unlabelled = {settings.unlabelled!r}"
        raw, readable, bad = cached_items(of, items.keys, settings.cache_dir, progress, warnings)
        report_unreadable(bad, len(items), settings, of.noun, warnings, place)
        items = items.where(readable) if bad else items
        if of is others:
            return Split(raw, items.labels, items.keys, tuple(f"{split}: {text}" for text in warnings))
        counts = task_of(items.labels).class_counts(items.labels, len(source.class_names))
        for name, count in zip(source.class_names, counts, strict=True):
            if not count:
                where = f"data.path = {settings.path!r}"
                raise UserError(f"{where}: none of the {source.noun} of class {name!r} in {split} can be read")
        labels = items.labels.copy()
        for array in (labels, *items.slices.values()):  # remembered and shared: nobody may change them
            array.flags.writeable = False
        return Split(
            raw, labels, items.keys, tuple(f"{split}: {text}" for text in warnings), items.slices, source.scale,
            settings.fit,
        )  # fmt: skip

    told = source.warnings + (others.warnings if others else ())
    listed = others.splits[unlabelled.UNLABELLED] if others else None
    return Data(source.class_names, source.shape, told, source.fingerprint, items, read, listed)


def open_source(settings: DataSettings, native_px: Size, seed: int) -> Source:
    """The source that `settings.source` names, opened. UserError on bad input."""
    if settings.source == "tfds":
        from danas_jax.data.sources import tfds  # brings tensorflow-datasets, an extra

        return tfds.open_source(settings, native_px, seed)
    modules = {"synthetic": synthetic, "folder": folder, "csv": manifest, "npz": npz}
    return modules[settings.source].open_source(settings, native_px, seed)
