"""Pictures that are copies of others: saved anew, resized or mirrored; found by hash, whatever their number."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from danas_jax.data.check.duplicates import DISTANCE, alike
from danas_jax.data.check.looks import looks
from danas_jax.data.rows import Rows
from danas_jax.data.sources.base import Progress

_LOOKED_AT = 512  # pictures at a time
_COMPARED = 2**22  # pairs of hashes at a time


class Copy(NamedTuple):
    """A picture, and what it is a copy of."""

    row: int
    name: str  # of whose splits
    of_row: int
    mirrored: bool


def copies(
    pictures: np.ndarray | Rows, others: Mapping[str, np.ndarray | Rows], progress: Progress | None = None
) -> list[Copy]:
    """Which of `pictures` uint8 [N, H, W, 3] show what one of `others` [M, H, W, 3] shows, each once, by row.

    Two do when their hashes differ in at most DISTANCE of 64 bits and their thumbnails correlate (duplicates.py), as
    they are or one of them mirrored. Plain ones look alike and tell nothing: they are no copies.
    """
    total, done = len(pictures) + sum(map(len, others.values())), 0

    def seen(images: np.ndarray | Rows, mirror: bool = False) -> tuple[np.ndarray, ...]:
        nonlocal done
        found = []
        for start in range(0, len(images), _LOOKED_AT):
            some = np.asarray(images[start : start + _LOOKED_AT])
            found.append((*looks(some), *(looks(some[:, :, ::-1])[1:] if mirror else ())))
            done += len(some)
            if progress:
                progress(done, total)
        return tuple(np.concatenate(part) for part in zip(*found, strict=True))

    plain, *faces = seen(pictures, mirror=True)
    result: dict[int, Copy] = {}
    for name, images in others.items():
        if not len(images):
            continue
        other_plain, hashes, thumbnails = seen(images)
        whom = np.flatnonzero(~other_plain)
        for mirrored in (False, True):
            who = np.flatnonzero(~plain)
            pairs = _near(faces[2 * mirrored], faces[2 * mirrored + 1], who, hashes, thumbnails, whom)
            for row, of_row in pairs:
                result.setdefault(int(row), Copy(int(row), name, int(of_row), mirrored))
    return [result[row] for row in sorted(result)]


def _near(
    hashes: np.ndarray, thumbnails: np.ndarray, rows: np.ndarray,
    other_hashes: np.ndarray, other_thumbnails: np.ndarray, other_rows: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """The pairs of `rows` and `other_rows` that look alike, int64 [P, 2]."""
    found, step = [np.zeros((0, 2), np.int64)], max(1, _COMPARED // max(1, len(other_rows)))
    for start in range(0, len(rows), step):
        some = rows[start : start + step]
        apart = np.bitwise_count(hashes[some, None] ^ other_hashes[None, other_rows])
        first, second = np.nonzero(apart <= DISTANCE)
        pairs = np.stack([some[first], other_rows[second]], axis=1)
        found.append(pairs[alike(thumbnails, other_thumbnails, pairs)])
    return np.concatenate(found)
