"""The deployed view of an image, in integers that C firmware reproduces bit for bit.

Resize from S to R <= S pixels, each axis by its own S and R, each channel alone; all divisions are of integers and
round down:

1. Weights, >= 0, that sum to 4096 for every output i. 8192 S fits int32 up to S = 262,000.
   area: in units of 1/R input pixel, input j covers [j R, (j + 1) R) and output i covers [i S, (i + 1) S).
   With a(x) = (8192 (x - i S) + S) / (2 S) and x clamped to [i S, (i + 1) S], w[i][j] = a((j + 1) R) - a(j R).
   bilinear: output i's centre lies x = (4096 ((2 i + 1) S - R) + R) / (2 R) 4096ths of a pixel beyond that of input 0.
   With j = x >> 12, w[i][j + 1] = x & 4095 and w[i][j] = 4096 - w[i][j + 1]; where that is 4096, j + 1 is not read.
   What lies between the two is not looked at: cheap, and patterns finer than S/R pixels alias.
2. Horizontal pass, per image row: t[y][i] = (sum_j w[i][j] * p[y][j] + 128) >> 8, in 0..4080 (fits uint16).
3. Vertical pass: out[k][i] = (sum_y w[k][y] * t[y][i] + 32768) >> 16, in 0..255.

Every sum stays below 2^24, so int32 holds it in C, and float32 exactly too, in whatever order a product adds.
R = S on both axes changes nothing. Colour comes after the resize: grey = (77 R + 150 G + 29 B + 128) >> 8. Bit depth is
last: code & mask, mask = 256 - 2^(8 - b), and the middle of what the step holds, + 2^(7 - b); b = 8 changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from danas_jax.views import frame
from danas_jax.views.frame import Size, pair

METHODS = ("bilinear", "area")  # cheap to costly
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


@lru_cache(maxsize=32)
def bilinear_weights(source_px: int, resolution_px: int) -> np.ndarray:
    """As `area_weights`, of two taps at most."""
    if not 1 <= resolution_px <= source_px:
        raise ValueError(f"bilinear resize from {source_px} px to {resolution_px} px: it only shrinks")
    output = np.arange(resolution_px, dtype=np.int64)
    place = (4096 * ((2 * output + 1) * source_px - resolution_px) + resolution_px) // (2 * resolution_px)
    weights = np.zeros((resolution_px, source_px + 1), np.int32)  # the last input's neighbour has weight 0
    weights[output, place >> 12] = 4096 - (place & 4095)
    weights[output, (place >> 12) + 1] = place & 4095
    weights = weights[:, :source_px]
    weights.flags.writeable = False
    return weights


def _taps(source_px: int, resolution_px: int, method: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """The few inputs under each output: [(input index [R], its weight [R])]."""
    weights = (area_weights if method == "area" else bilinear_weights)(source_px, resolution_px)
    first, taps = (weights > 0).argmax(1), []
    for offset in range(int((weights > 0).sum(1).max())):
        index = np.minimum(first + offset, source_px - 1)
        taps.append((index, np.where(first + offset < source_px, weights[np.arange(resolution_px), index], 0)))
    return taps


def resized(images: np.ndarray, size: Size, method: str = "area") -> np.ndarray:
    """uint8 [N, H, W, C] -> uint8 [N, h, w, C] by the module's arithmetic; the same size gives `images` itself.

    Raises ValueError when a side would grow: enlarging would pretend to a fidelity the data does not have.
    """
    count, source_height, source_width, channels = images.shape
    height, width = pair(size)
    if images.dtype != np.uint8:
        raise ValueError(f"a resize takes uint8 [N, H, W, C], not {images.dtype} {images.shape}")
    if method not in METHODS:
        raise ValueError(f"resize {method!r}: one of {METHODS}")
    if (height, width) == (source_height, source_width):
        return images
    down = _taps(source_height, height, method)
    # columns of the interleaved channels: input j, channel c lies at C j + c
    across = [
        ((channels * i[:, None] + np.arange(channels)).ravel(), w.repeat(channels))
        for i, w in _taps(source_width, width, method)
    ]
    out = np.empty((count, height, width * channels), np.uint8)
    step = max(1, _CHUNK_BYTES // (4 * source_height * source_width * channels))
    for n in range(0, count, step):
        chunk = images[n : n + step].reshape(-1, source_height, source_width * channels)
        rows = sum((chunk.take(index, axis=2) * weight for index, weight in across), np.int32(128)) >> 8
        total = sum((rows.take(index, axis=1) * weight[:, None] for index, weight in down), np.int32(32768))
        out[n : n + step] = total >> 16
    return out.reshape(count, height, width, channels)


def grey(images: np.ndarray) -> np.ndarray:
    """uint8 [..., 3] -> luminance uint8 [..., 1] = (77 R + 150 G + 29 B + 128) >> 8 (fits uint16 throughout)."""
    red, green, blue = (images[..., c].astype(np.uint16) for c in range(3))
    return ((77 * red + 150 * green + 29 * blue + 128) >> 8).astype(np.uint8)[..., None]


def step_of(bit_depth: int) -> int:
    """Codes from one level to the next at a bit depth from 1 to 8."""
    return 2 ** (8 - bit_depth)


def coarser(codes: np.ndarray, bit_depth: int) -> np.ndarray:
    """uint8 codes -> uint8 in the middle of the 2^`bit_depth` steps of the module's rule."""
    step = step_of(bit_depth)
    return (codes & np.uint8(256 - step)) + np.uint8(step // 2) if step > 1 else codes


def deployed_view(images: np.ndarray, size: Size, colour: str, resize: str = "area", bit_depth: int = 8) -> np.ndarray:
    """What the device sees: uint8 [N, H, W, 3] -> uint8 [N, h, w, C], C = 1 (mono) or 3 (rgb)."""
    if colour not in ("mono", "rgb"):
        raise ValueError(f"colour {colour!r}: mono or rgb")
    codes = resized(images, size, resize)
    return coarser(grey(codes) if colour == "mono" else codes, bit_depth)


def size_of(data: Mapping[str, Any]) -> tuple[int, int]:
    """(height, width) of the input in a manifest's `data` [px]; exports of before aspects are square."""
    return frame.size(data["resolution_px"], data.get("aspect", frame.SQUARE))


def native_size_of(data: Mapping[str, Any]) -> tuple[int, int]:
    """(height, width) of the frame that pictures are brought to first, in a manifest's `data` [px]."""
    native_px = data.get("native_resolution_px") or data["resolution_px"]
    return frame.size(native_px, data.get("aspect", frame.SQUARE))


def fit_of(data: Mapping[str, Any]) -> str:
    """How pictures of another shape get there, in a manifest's `data`."""
    return data.get("fit", frame.FITS[0])


def known_view(data: Mapping[str, Any]) -> bool:
    """Whether resize, bit depth and fit in a manifest's `data` are ones that there are."""
    method, bit_depth = data.get("resize", "area"), data.get("bit_depth", 8)
    return method in METHODS and type(bit_depth) is int and 1 <= bit_depth <= 8 and fit_of(data) in frame.FITS


def view_of(data: Mapping[str, Any]) -> tuple[tuple[int, int], str, str, int]:
    """The arguments of `deployed_view` in a manifest's `data`; exports of before bit depths have none."""
    return size_of(data), data["colour"], data.get("resize", "area"), data.get("bit_depth", 8)
