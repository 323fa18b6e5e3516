"""Lists of items and the deterministic splits made of them: by hash, stratified by class, whole groups only."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from danas_jax.errors import UserError


@dataclass(frozen=True, eq=False)
class Items:
    """What a split consists of, before any pixel is read."""

    keys: tuple[str, ...]  # the file relative to the folder, or the scene's name
    labels: np.ndarray  # int32 [N]
    groups: tuple[str, ...]  # items of one group stay together in derived splits; own key where none is known

    def __len__(self) -> int:
        return len(self.keys)

    def where(self, chosen: np.ndarray) -> Items:
        """The items of a bool mask [N], order kept."""
        rows = np.flatnonzero(chosen)
        return Items(tuple(self.keys[i] for i in rows), self.labels[rows], tuple(self.groups[i] for i in rows))


def hold_out(
    items: Items, fraction: float, seed: int, purpose: str, class_names: tuple[str, ...]
) -> tuple[Items, Items]:
    """(kept, held out): about `fraction` of every class, no group torn apart, the same for the same seed and files.

    Groups are visited in the order of their hash and taken while that brings the class counts nearer to their quota,
    so groups of one give exact quotas. UserError when a class would be missing on either side.
    """
    totals = np.bincount(items.labels, minlength=len(class_names))
    quota = np.maximum(1, np.rint(fraction * totals)).astype(np.int64)
    members: dict[str, list[int]] = {}
    for i, group in enumerate(items.groups):
        members.setdefault(group, []).append(i)
    chosen, have = np.zeros(len(items), bool), np.zeros_like(quota)
    for group in sorted(members, key=lambda name: hashlib.sha256(f"{seed}:{purpose}:{name}".encode()).digest()):
        rows = members[group]
        brings = np.bincount(items.labels[rows], minlength=len(class_names))
        if np.abs(have + brings - quota).sum() < np.abs(have - quota).sum():
            chosen[rows] = True
            have += brings
    for name, total, taken in zip(class_names, totals, have, strict=True):
        if not 0 < taken < total:
            raise UserError(
                f"class {name!r} has {total} images in too few groups to hold out {fraction:.0%} for {purpose}: "
                "give more images, or more groups"
            )
    return items.where(~chosen), items.where(chosen)


def limit_per_class(items: Items, count: int, seed: int) -> Items:
    """At most `count` items of each class, chosen by hash, order kept; a smaller count chooses a subset."""
    chosen = np.zeros(len(items), bool)
    for label in np.unique(items.labels):
        rows = np.flatnonzero(items.labels == label)
        by_hash = sorted(rows, key=lambda i: hashlib.sha256(f"{seed}:limit:{items.keys[i]}".encode()).digest())
        chosen[by_hash[:count]] = True
    return items.where(chosen)
