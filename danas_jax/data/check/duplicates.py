"""The same example twice: equal numbers, or pictures that look alike (resized, compressed again, brightened)."""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from danas_jax.data.check.measure import Measured

# Both chosen on 500 of person_photos: at JPEG quality 20, at 64 px, at 0.7 of the contrast 99.6 % and more are found
# again, 97 % at 1.3 times the brightness, 92 % with 2 % cut off at every edge. No two different photos are that alike
# (10,950: the pairs that correlate by 0.9 and more differ in 16 bits and more).
DISTANCE = 7  # bits of 64 in which the hashes of two pictures that look alike may differ
_ALIKE = 0.9  # correlation of their thumbnails from which they do
_BANDS = 4  # parts of a hash: with up to 7 bits changed, one of 4 has at most 1 changed
_RUN = 256  # hashes with such a part that each one is compared with, for each part and changed bit


def duplicate_groups(measured: Measured) -> np.ndarray:
    """Number of the group of equal and similar examples that each row is in, int64 [N], -1 for none.

    Blank ones are left out: they look alike and tell nothing.
    """
    rows = np.flatnonzero(~measured.blank)
    _, first, same = np.unique(measured.digest[rows], return_index=True, return_inverse=True)
    links = [np.stack([rows, rows[first[same]]], axis=1)]
    if len(measured.dhash):
        representatives = rows[np.sort(first)]
        pairs = representatives[near_pairs(measured.dhash[representatives])]
        links.append(pairs[alike(measured.thumbnail, measured.thumbnail, pairs)])
    edges = np.concatenate(links)
    count = len(measured.keys)
    matrix = coo_matrix((np.ones(len(edges), bool), (edges[:, 0], edges[:, 1])), shape=(count, count))
    _, component = connected_components(matrix, directed=False)
    several = np.bincount(component) > 1
    return np.where(several, np.cumsum(several) - 1, -1)[component]


def near_pairs(hashes: np.ndarray) -> np.ndarray:
    """Pairs of rows of uint64 [N] that differ in at most DISTANCE bits, int64 [P, 2], each once, ascending.

    All of them, unless more than 256 hashes share 16 bits of one place: then each is compared with 256 of these.
    """
    found = [np.zeros((0, 2), np.int64)]
    for band in range(_BANDS):
        part = ((hashes >> np.uint64(16 * band)) & np.uint64(0xFFFF)).astype(np.int64)
        order = np.lexsort((hashes, part))
        part, ordered = part[order], hashes[order]
        for flipped in (0, *(1 << bit for bit in range(16))):
            # Each row's partners are a range of the order; of a pair, the row without the flipped bit looks.
            first = np.searchsorted(part, part | flipped) if flipped else np.arange(1, len(part) + 1)
            last = np.minimum(np.searchsorted(part, part | flipped, side="right"), first + _RUN)
            rows = np.flatnonzero((first < last) & (part & flipped == 0))
            step = 0
            while len(rows):
                partners = first[rows] + step
                apart = ordered[rows] ^ ordered[partners]
                near = (np.bitwise_count(apart) <= DISTANCE) & ~_found_before(apart, band)
                found.append(np.sort(np.stack([order[rows[near]], order[partners[near]]], axis=1), axis=1))
                step += 1
                rows = rows[first[rows] + step < last[rows]]
    pairs = np.concatenate(found)
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]


def _found_before(apart: np.ndarray, band: int) -> np.ndarray:
    """Whether the part of an earlier band has at most 1 of the differing bits uint64 [N], bool [N]."""
    parts = [(apart >> np.uint64(16 * earlier)) & np.uint64(0xFFFF) for earlier in range(band)]
    return np.any([np.bitwise_count(part) <= 1 for part in parts] or [np.zeros(len(apart), bool)], axis=0)


def alike(first: np.ndarray, second: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Which pairs [P, 2] of thumbnails uint8 [N, T] and [M, T] show the same, bool [P]; brightness, contrast aside."""
    found = np.zeros(len(pairs), bool)
    for start in range(0, len(pairs), 65536):
        some = pairs[start : start + 65536]
        one, other = (thumbnails[some[:, i]].astype(np.float32) for i, thumbnails in enumerate((first, second)))
        one, other = one - one.mean(1, keepdims=True), other - other.mean(1, keepdims=True)
        lengths = np.sqrt((one**2).sum(1) * (other**2).sum(1))
        found[start : start + 65536] = (one * other).sum(1) >= _ALIKE * np.maximum(lengths, 1e-3)
    return found
