"""Lists of items and the deterministic splits made of them: by hash, stratified by class, whole groups only."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from danas_jax.config import DataSettings
from danas_jax.errors import UserError
from danas_jax.task import task_of

SPLIT_NAMES = {"train": "train", "validation": "validation", "val": "validation", "test": "test"}  # as sources say it


@dataclass(frozen=True, eq=False)
class Items:
    """What a split consists of, before any example is read."""

    keys: tuple[str, ...]  # what names an example in its source: the file relative to the folder, the scene's name
    labels: np.ndarray  # int32 [N]; of any number of classes uint8 [N, classes]
    groups: tuple[str, ...]  # items of one group stay together in derived splits, see `grouped`
    slices: Mapping[str, np.ndarray] = field(default_factory=dict)  # data.slice_fields -> values, str [N], "" unknown

    def __len__(self) -> int:
        return len(self.keys)

    def where(self, chosen: np.ndarray) -> Items:
        """The items of a bool mask [N], order kept."""
        rows = np.flatnonzero(chosen)
        return Items(
            tuple(self.keys[i] for i in rows),
            self.labels[rows],
            tuple(self.groups[i] for i in rows),
            {name: values[rows] for name, values in self.slices.items()},
        )


def grouped(keys: Iterable[str], values: Iterable[str]) -> tuple[str, ...]:
    """The groups of `keys`: each key's value, and where that is "" a group of its own."""
    return tuple(f"group:{value}" if value else f"file:{key}" for key, value in zip(keys, values, strict=True))


def completed(
    given: Mapping[str, Items],
    class_names: tuple[str, ...],
    settings: DataSettings,
    seed: int,
    noun: str,
    warnings: list[str],
) -> dict[str, Items]:
    """Train, validation and test of what a source has: checked, and what is missing taken out of train by hash.

    Splits that a source has are kept as they are; a group on both sides of one is said in `warnings`. UserError when a
    class is not in all of them.
    """
    where = f"data.path = {settings.path!r}"
    if "train" not in given or not len(given["train"]):
        raise UserError(f"{where}: no {noun} in train")
    if len(class_names) < 2:
        raise UserError(f"{where}: only one class, {class_names[0]!r}; give two or more")
    counts = {
        split: task_of(items.labels).class_counts(items.labels, len(class_names)) for split, items in given.items()
    }
    for split, here in counts.items():
        for name, in_train, in_split in zip(class_names, counts["train"], here, strict=True):
            if in_split and not in_train:
                raise UserError(f"{where}: class {name!r} is in {split} but not in train")
            if in_train and not in_split:
                raise UserError(f"{where}: class {name!r} is in train but not in {split}")
        shared = sorted(set(given["train"].groups) & set(given[split].groups)) if split != "train" else []
        if shared:
            example = shared[0].split(":", 1)[1]
            warnings.append(f"{len(shared)} groups are in both train and {split}, e.g. {example}")
    if not counts["train"].all():
        raise UserError(f"{where}: class {class_names[int(counts['train'].argmin())]!r} has no {noun}")
    splits, total = dict(given), len(given["train"])
    for split in ("test", "validation"):
        if split not in splits:
            share = settings.test_fraction if split == "test" else settings.validation_fraction
            fraction = share * total / len(splits["train"])  # of the whole, also when test has been taken already
            splits["train"], splits[split] = hold_out(splits["train"], fraction, seed, split, class_names)
            warnings.append(f"no {split} split: {len(splits[split])} {noun} taken out of train (seed {seed})")
    return splits


def hold_out(
    items: Items, fraction: float, seed: int, purpose: str, class_names: tuple[str, ...]
) -> tuple[Items, Items]:
    """(kept, held out): about `fraction` of every class, no group torn apart, the same for the same seed and files.

    Groups are visited in the order of their hash and taken while that brings the class counts nearer to their quota,
    so groups of one give exact quotas. Where examples have any number of classes all classes count, and having none of
    them is one more. UserError when a class would be missing on either side.
    """
    totals = _counts(items.labels, len(class_names))
    quota = np.maximum(1, np.rint(fraction * totals)).astype(np.int64)
    quota[len(class_names) :] = np.rint(fraction * totals[len(class_names) :])
    members: dict[str, list[int]] = {}
    for i, group in enumerate(items.groups):
        members.setdefault(group, []).append(i)
    chosen, have = np.zeros(len(items), bool), np.zeros_like(quota)
    for group in sorted(members, key=lambda name: hashlib.sha256(f"{seed}:{purpose}:{name}".encode()).digest()):
        rows = members[group]
        brings = _counts(items.labels[rows], len(class_names))
        if np.abs(have + brings - quota).sum() < np.abs(have - quota).sum():
            chosen[rows] = True
            have += brings
    for name, total, taken in zip(class_names, totals, have, strict=False):
        if not 0 < taken < total:
            raise UserError(
                f"class {name!r} has {total} examples in too few groups to hold out {fraction:.0%} for {purpose}: "
                "give more of them, or more groups"
            )
    return items.where(~chosen), items.where(chosen)


def _counts(labels: np.ndarray, classes: int) -> np.ndarray:
    """Examples of each class; of any number of classes also, last, those of none: [classes] or [classes + 1]."""
    counts = task_of(labels).class_counts(labels, classes)
    return counts if labels.ndim == 1 else np.append(counts, (~labels.any(axis=1)).sum())


def limit_per_class(items: Items, count: int, seed: int) -> Items:
    """At most `count` items of each class, chosen by hash, order kept; a smaller count chooses a subset."""
    chosen = np.zeros(len(items), bool)
    for label in np.unique(items.labels):
        rows = np.flatnonzero(items.labels == label)
        by_hash = sorted(rows, key=lambda i: hashlib.sha256(f"{seed}:limit:{items.keys[i]}".encode()).digest())
        chosen[by_hash[:count]] = True
    return items.where(chosen)
