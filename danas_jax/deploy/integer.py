"""The int8 network in NumPy, bit for bit what TFLM's reference kernels compute, at many images a second."""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from danas_jax.deploy import kernels
from danas_jax.deploy.quantise import QuantisedLayer, QuantisedModel, Scale
from danas_jax.layers import ADD, AVG_POOL, CONV, DENSE, INPUT, MAX_POOL

ADD_LEFT_SHIFT = 20  # bits that TFLM's int8 ADD gains before it rescales its inputs
BLOCK_ROWS = 1 << 15  # elements rescaled at once, so that the int64 temporaries stay in the cache


def quantise_multiplier(real: float) -> tuple[int, int]:
    """(multiplier, shift) with real = multiplier * 2^(shift - 31), multiplier in [2^30, 2^31); (0, 0) below 2^-32."""
    if real == 0:
        return 0, 0
    mantissa, shift = math.frexp(real)
    multiplier = math.floor(mantissa * 2**31 + 0.5)
    if multiplier == 2**31:
        multiplier, shift = 2**30, shift + 1
    return (0, 0) if shift < -31 else (multiplier, shift)


def rescale(x: np.ndarray, multiplier: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """int64 x [..., c] times multiplier * 2^(shift - 31) [c], rounded twice like TFLM (half up, half away from 0)."""
    left, right = np.maximum(shift, 0), np.maximum(-shift, 0)
    x = (x << left) if left.any() else x.copy()
    x *= multiplier
    x += 1 << 30
    x >>= 31
    x -= (x < 0) & (right > 0)
    x += (np.int64(1) << right) >> 1
    x >>= right
    return x


def activation_limits(activation: str, output: Scale) -> tuple[int, int]:
    """int8 range that a fused activation leaves: none, relu or relu6."""
    if activation == "none":
        return -128, 127
    scale = np.float32(output.scale)
    six = math.floor(np.float32(6) / scale + np.float32(0.5))
    high = 127 if activation == "relu" else min(127, output.zero_point + six)
    return max(-128, output.zero_point), high


def _multipliers(layer: QuantisedLayer, source: Scale) -> tuple[np.ndarray, np.ndarray]:
    """(multiplier, shift) int64 [c] of the accumulator, from float32 scales multiplied in float64 as TFLM does."""
    assert layer.kernel_scales is not None
    reals = [source.scale * float(scale) / layer.output.scale for scale in layer.kernel_scales]
    pairs = np.array([quantise_multiplier(real) for real in reals], np.int64)
    return pairs[:, 0], pairs[:, 1]


class _Weighted:
    """conv, depthwise or dense, prepared once and run on many chunks."""

    def __init__(self, layer: QuantisedLayer, source: Scale):
        assert layer.kernel is not None and layer.bias is not None
        self.spec, self.source, self.output = layer.spec, source, layer.output
        kernel = layer.kernel.astype(np.int64)
        reach = max(127 - source.zero_point, 128 + source.zero_point)
        largest = np.abs(kernel).reshape(-1, kernel.shape[-1]).sum(axis=0).max() * reach
        # every partial sum is an integer below 2^24 (2^53), hence exact in float32 (float64) in any order
        self.dtype = np.float32 if largest < 2**24 else np.float64
        self.kernel = layer.kernel.astype(self.dtype)
        self.bias = layer.bias.astype(np.int64)
        self.multiplier, self.shift = _multipliers(layer, source)
        self.limits = activation_limits(layer.spec.activation, layer.output)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        values = x.astype(self.dtype)
        values -= self.dtype(self.source.zero_point)
        if self.spec.op == DENSE:
            sums = kernels.dense(values, self.kernel)
        else:
            run = kernels.conv if self.spec.op == CONV else kernels.depthwise
            sums = run(values, self.kernel, self.spec.stride)
        rows = sums.reshape(-1, sums.shape[-1])
        result = np.empty(rows.shape, np.int8)
        step = max(1, BLOCK_ROWS // rows.shape[1])
        for start in range(0, len(rows), step):
            part = rescale(rows[start : start + step].astype(np.int64) + self.bias, self.multiplier, self.shift)
            part += self.output.zero_point
            result[start : start + step] = np.clip(part, *self.limits)
        return result.reshape(sums.shape)


def _add_table(layer: QuantisedLayer, first: Scale, second: Scale) -> np.ndarray:
    """int8 result of ADD for every pair of inputs, [256, 256] indexed by value + 128."""
    largest = 2 * max(first.scale, second.scale)

    def scaled(values: np.ndarray, real: float) -> np.ndarray:
        multiplier, shift = quantise_multiplier(real)
        return rescale(values, np.array(multiplier), np.array(shift))

    steps = np.arange(-128, 128, dtype=np.int64)
    left, right = (scaled((steps - s.zero_point) << ADD_LEFT_SHIFT, s.scale / largest) for s in (first, second))
    total = scaled(left[:, None] + right[None, :], largest / (layer.output.scale * 2**ADD_LEFT_SHIFT))
    limits = activation_limits(layer.spec.activation, layer.output)
    return np.clip(total + layer.output.zero_point, *limits).astype(np.int8)


class _Add:
    """ADD as one table look-up."""

    def __init__(self, layer: QuantisedLayer, first: Scale, second: Scale):
        self.table = _add_table(layer, first, second).reshape(-1)

    def __call__(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        index = x.astype(np.int32)
        index += 128
        index <<= 8
        index += y
        index += 128
        return self.table.take(index)


def _average_pool(x: np.ndarray) -> np.ndarray:
    """Mean over the map, rounded half away from 0; scale and zero point unchanged."""
    count = x.shape[1] * x.shape[2]
    total = x.sum(axis=(1, 2), dtype=np.int64, keepdims=True)
    return (np.sign(total) * ((np.abs(total) + count // 2) // count)).astype(np.int8)


def integer_forward(model: QuantisedModel, images: np.ndarray) -> np.ndarray:
    """int8 logits [N, classes] of uint8 images [N, h, w, c], equal to TFLM's. ValueError on other images."""
    specs = tuple(layer.spec for layer in model.layers)
    kernels.check_images(specs, images)
    scales = {INPUT: model.input} | {layer.spec.name: layer.output for layer in model.layers}
    steps = []
    for layer in model.layers:
        sources = [scales[name] for name in layer.spec.inputs]
        if layer.spec.op == ADD:
            run = _Add(layer, *sources)
        elif layer.spec.op == AVG_POOL:
            run = _average_pool
        elif layer.spec.op == MAX_POOL:
            run = partial(kernels.max_pool, window=layer.spec.kernel, stride=layer.spec.stride)
        else:
            run = _Weighted(layer, *sources)
        steps.append((layer.spec, run))
    logits = []
    for part in kernels.chunks(specs, len(images)):
        tensors = {INPUT: (images[part].astype(np.int16) - 128).astype(np.int8)}
        for spec, run in steps:
            tensors[spec.name] = run(*(tensors[name] for name in spec.inputs))
        last = tensors[specs[-1].name]
        logits.append(last.reshape(len(last), -1))
    return np.concatenate(logits)
