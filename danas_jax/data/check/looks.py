"""What a picture looks like in a few bytes: a difference hash of 64 bits and a thumbnail, of pictures of any size."""

from __future__ import annotations

import math

import numpy as np

from danas_jax.views.resize import grey

_HASH_ROWS, _HASH_COLUMNS, _THUMBNAIL_PX = 8, 9, 18
_PLAIN = 1.0  # standard deviation of the thumbnail below which a picture shows nothing [grey levels]


def looks(images: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """uint8 [n, H, W, 3] -> (plain bool [n], difference hash uint64 [n], thumbnail uint8 [n, 324])."""
    levels = grey(images)[..., 0].astype(np.float32)
    # Only a step of more than a grey level sets a bit: in even areas the sign of the difference is noise.
    steps = np.diff(_means(levels, _HASH_ROWS, _HASH_COLUMNS), axis=2) > 1.0
    dhash = np.packbits(steps.reshape(len(levels), 64), axis=1).view(np.uint64)[:, 0]
    small = _means(levels, _THUMBNAIL_PX, _THUMBNAIL_PX).reshape(len(levels), -1)
    return small.std(1) < _PLAIN, dhash, np.rint(small).astype(np.uint8)


def _means(levels: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """The mean of each cell of a grid of `rows` by `columns` over levels [n, H, W], float32 [n, rows, columns]."""
    down, across = _overlaps(levels.shape[1], rows), _overlaps(levels.shape[2], columns)
    sums = np.matmul(np.matmul(down, levels), across.T)
    return sums * np.float32(1 / (down[0].sum() * across[0].sum()))


def _overlaps(side_px: int, cells: int) -> np.ndarray:
    """How much of each pixel lies in each cell, in equal whole units, float32 [cells, side_px]."""
    edges = np.arange(cells + 1)[:, None] * side_px
    pixels = np.arange(side_px + 1)[None] * cells
    inside = np.diff(np.clip(pixels, edges[:-1], edges[1:]), axis=1)
    return (inside // math.gcd(side_px, cells)).astype(np.float32)
