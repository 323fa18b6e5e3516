"""The deployed view of an image, in integers that C firmware reproduces bit for bit.

Area resize from S to R <= S pixels per side, each channel alone:

1. Weights. In units of 1/R input pixel, input j covers [j R, (j + 1) R) and output i covers [i S, (i + 1) S).
   With a(x) = (8192 (x - i S) + S) / (2 S), integer division rounding down, and x clamped to [i S, (i + 1) S],
   w[i][j] = a((j + 1) R) - a(j R). They are >= 0 and sum to 4096 for every i. (8192 S fits int32 up to S = 262,000.)
2. Horizontal pass, per image row: t[y][i] = (sum_j w[i][j] * p[y][j] + 128) >> 8, in 0..4080 (fits uint16).
3. Vertical pass: out[k][i] = (sum_y w[k][y] * t[y][i] + 32768) >> 16, in 0..255.

Every sum stays below 2^24, so int32 holds it in C, and float32 exactly too, in whatever order a product adds.
Colour comes after the resize: grey = (77 R + 150 G + 29 B + 128) >> 8.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

_CHUNK_BYTES = 2**20  # int32 pixels of one chunk of images, to stay in the cache [B]


@lru_cache(maxsize=32)
def area_weights(source_px: int, resolution_px: int) -> np.ndarray:
    """The weight table of the module's step 1, read-only int32 [R, S]; ValueError unless 1 <= R <= S."""
    if not 1 <= resolution_px <= source_px:
        raise ValueError(f"area resize from {source_px} px to {resolution_px} px: it only shrinks")
    start = np.arange(resolution_px, dtype=np.int64)[:, None] * source_px
    edge = np.arange(source_px + 1, dtype=np.int64)[None] * resolution_px
    inside = np.clip(edge - start, 0, source_px)
    weights = np.diff((8192 * inside + source_px) // (2 * source_px), axis=1).astype(np.int32)
    weights.flags.writeable = False
    return weights


def resize_area(images: np.ndarray, resolution_px: int) -> np.ndarray:
    """uint8 [N, S, S, C] -> uint8 [N, R, R, C] by the module's arithmetic; R == S gives `images` itself.

    Raises ValueError when R > S: enlarging would pretend to a fidelity the data does not have.
    """
    count, source_px, width_px, channels = images.shape
    if images.dtype != np.uint8 or width_px != source_px:
        raise ValueError(f"area resize takes uint8 [N, S, S, C], not {images.dtype} {images.shape}")
    if resolution_px == source_px:
        return images
    weights = area_weights(source_px, resolution_px)
    first = (weights > 0).argmax(1)
    taps = []  # the few inputs under each output: [(input index [R], its weight [R])]
    for offset in range(int((weights > 0).sum(1).max())):
        index = np.minimum(first + offset, source_px - 1)
        taps.append((index, np.where(first + offset < source_px, weights[np.arange(resolution_px), index], 0)))
    # columns of the interleaved channels: input j, channel c lies at C j + c
    across = [((channels * i[:, None] + np.arange(channels)).ravel(), w.repeat(channels)) for i, w in taps]
    out = np.empty((count, resolution_px, resolution_px * channels), np.uint8)
    step = max(1, _CHUNK_BYTES // (4 * source_px * source_px * channels))
    for n in range(0, count, step):
        chunk = images[n : n + step].reshape(-1, source_px, source_px * channels)
        rows = sum((chunk.take(index, axis=2) * weight for index, weight in across), np.int32(128)) >> 8
        total = sum((rows.take(index, axis=1) * weight[:, None] for index, weight in taps), np.int32(32768))
        out[n : n + step] = total >> 16
    return out.reshape(count, resolution_px, resolution_px, channels)


def grey(images: np.ndarray) -> np.ndarray:
    """uint8 [..., 3] -> luminance uint8 [..., 1] = (77 R + 150 G + 29 B + 128) >> 8 (fits uint16 throughout)."""
    red, green, blue = (images[..., c].astype(np.uint16) for c in range(3))
    return ((77 * red + 150 * green + 29 * blue + 128) >> 8).astype(np.uint8)[..., None]


def deployed_view(images: np.ndarray, resolution_px: int, colour: str) -> np.ndarray:
    """What the device sees: uint8 [N, S, S, 3] -> uint8 [N, R, R, C], C = 1 (mono) or 3 (rgb); resize, then grey."""
    if colour not in ("mono", "rgb"):
        raise ValueError(f"colour {colour!r}: mono or rgb")
    resized = resize_area(images, resolution_px)
    return grey(resized) if colour == "mono" else resized
