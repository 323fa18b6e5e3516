"""Activation ranges for int8, found on calibration images: the whole range, all but rare values, or least squares.

Two passes over the images: the ends of every tensor, then a histogram between them. No tensor is kept.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from danas_jax.deploy import kernels
from danas_jax.deploy.quantise import Folded, Ranges, float_layers
from danas_jax.layers import LayerSpec

METHODS = ("minmax", "percentile", "mse")
BINS = 2048  # of a tensor's histogram
ENDS = 100  # places tried for each end of a range by least squares
_MIN_SPAN = 1e-30  # of a histogram; a dead tensor has span 0


def activation_ranges(
    layers: tuple[LayerSpec, ...],
    folded: Folded,
    images: np.ndarray,
    methods: Sequence[str] = METHODS,
    percentile: float = 99.99,
) -> dict[str, Ranges]:
    """{method: {layer: (lowest, highest)}} from uint8 images [N, h, w, c]; every range contains 0.

    `minmax`: all values. `percentile`: `percentile` % of the values lie below the upper end, as many above the lower
    one. `mse`: the least mean squared error of rounding and clipping. The logits keep all their values: clipped ones
    could no longer be told apart. ValueError on images of another shape or activations that are not finite.
    """
    kernels.check_images(layers, images)
    ends = min_max_ranges(layers, folded, images)
    found: dict[str, Ranges] = {"minmax": ends}
    if set(methods) - {"minmax"}:
        counts, zeros = _histograms(layers, folded, images, ends)
        inner = [layer.name for layer in layers[:-1]]
        found["percentile"] = ends | {name: _percentile(counts[name], ends[name], percentile) for name in inner}
        found["mse"] = ends | {name: _least_squares(counts[name], zeros[name], ends[name]) for name in inner}
    return {method: found[method] for method in methods}


def min_max_ranges(layers: tuple[LayerSpec, ...], folded: Folded, images: np.ndarray) -> Ranges:
    """{layer: (lowest, highest)} value on uint8 images [N, h, w, c], 0 included: padding and ReLU must be exact."""
    ranges = {layer.name: (0.0, 0.0) for layer in layers}
    for part in kernels.chunks(layers, len(images)):
        for layer, y in float_layers(layers, folded, images[part]):
            low, high = ranges[layer.name]
            ranges[layer.name] = (float(np.minimum(low, y.min())), float(np.maximum(high, y.max())))  # NaN stays
    for name, (low, high) in ranges.items():
        if not np.isfinite(high - low):
            raise ValueError(f"{name}: activations from {low} to {high} on the calibration images")
    return ranges


def _histograms(
    layers: tuple[LayerSpec, ...], folded: Folded, images: np.ndarray, ends: Ranges
) -> tuple[dict[str, np.ndarray], dict[str, int]]:
    """{layer: counts [BINS] between its ends}, {layer: number of values that are exactly 0}."""
    counts = {layer.name: np.zeros(BINS, np.int64) for layer in layers}
    zeros = dict.fromkeys(counts, 0)
    for part in kernels.chunks(layers, len(images)):
        for layer, y in float_layers(layers, folded, images[part]):
            low, high = ends[layer.name]
            index = ((y.reshape(-1) - np.float32(low)) * np.float32(BINS / max(high - low, _MIN_SPAN))).astype(np.int32)
            counts[layer.name] += np.bincount(np.minimum(index, BINS - 1), minlength=BINS)
            zeros[layer.name] += y.size - np.count_nonzero(y)
    return counts, zeros


def _percentile(counts: np.ndarray, ends: tuple[float, float], percentile: float) -> tuple[float, float]:
    """The ends between which all but (100 - percentile) % of the values lie on either side, to a bin's width."""
    edges = np.linspace(*ends, BINS + 1)
    allowed = (1 - percentile / 100) * counts.sum()
    first = np.searchsorted(np.cumsum(counts), allowed, side="right")  # bins before it hold no more than is allowed
    last = BINS - np.searchsorted(np.cumsum(counts[::-1]), allowed, side="right")
    return min(0.0, float(edges[first])), max(0.0, float(edges[last]))


def _least_squares(counts: np.ndarray, zeros: int, ends: tuple[float, float]) -> tuple[float, float]:
    """The ends, of ENDS for each, with the least squared error: step^2 / 12 a value inside, the clipped part outside.

    Values that are exactly 0, half of what ReLU leaves, are exact in every range and do not count.
    """
    edges = np.linspace(*ends, BINS + 1)
    centres = (edges[:-1] + edges[1:]) / 2
    shares = np.arange(1, ENDS + 1) / ENDS
    lows, highs = (np.unique(end * shares) for end in ends)  # of an end at 0 one
    below, above = np.maximum(lows[:, None] - centres, 0), np.maximum(centres - highs[:, None], 0)
    clipped = ((below > 0) @ counts)[:, None] + (above > 0) @ counts
    step = (highs - lows[:, None]) / 255
    rounding = np.maximum(counts.sum() - zeros - clipped, 0) * step**2 / 12
    low, high = np.unravel_index((rounding + (below**2 @ counts)[:, None] + above**2 @ counts).argmin(), rounding.shape)
    return float(lows[low]), float(highs[high])
