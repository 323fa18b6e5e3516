"""int8 quantisation: per-channel weights, per-tensor activations, int32 biases (the TFLite scheme)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from danas_jax.deploy import kernels
from danas_jax.layers import ADD, AVG_POOL, CONV, DENSE, INPUT, MAX_POOL, POOLS, LayerSpec

Folded = Mapping[str, Mapping[str, np.ndarray]]  # {layer: {"kernel", "bias"}} float32, see fold.py
Ranges = dict[str, tuple[float, float]]  # {layer: (lowest, highest) value}, each containing 0, see ranges.py
MIN_SCALE = 2.0**-14  # smallest activation scale: a tensor that spans less than 0.016 carries no information
MAX_BIAS = 2**30  # largest int32 bias: leaves the accumulator as much room for the products


@dataclass(frozen=True)
class Scale:
    """Affine quantisation of one activation tensor: real = scale * (int8 - zero_point). `scale` is float32-exact."""

    scale: float
    zero_point: int


INPUT_SCALE = Scale(1 / 128, 0)  # int8 input = pixel - 128, read by the network as (pixel - 128) / 128


@dataclass(frozen=True)
class QuantisedLayer:
    """One operator of an int8 network.

    `kernel` int8 in the training layout (conv [k_h, k_w, in, out], depthwise [k_h, k_w, c], dense [in, out]),
    `kernel_scales` float32 [out] (dense: [1]), `bias` int32 [out]; all three None for add and pools.
    """

    spec: LayerSpec
    output: Scale
    kernel: np.ndarray | None = None
    kernel_scales: np.ndarray | None = None
    bias: np.ndarray | None = None


@dataclass(frozen=True)
class QuantisedModel:
    """A whole int8 network: `layers` in execution order, `input` the quantisation of its input tensor."""

    layers: tuple[QuantisedLayer, ...]
    input: Scale = INPUT_SCALE

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """[h, w, c] of the input."""
        return self.layers[0].spec.in_shape

    @property
    def output(self) -> Scale:
        """Quantisation of the logits."""
        return self.layers[-1].output


def float_layers(layers: tuple[LayerSpec, ...], folded: Folded, images: np.ndarray):
    """Run one chunk of uint8 images [n, h, w, c] in float32; yields (layer, output [n, h, w, c])."""
    tensors = {INPUT: (images.astype(np.float32) - 128) / 128}
    for layer in layers:
        x = tensors[layer.inputs[0]]
        if layer.op == ADD:
            y = x + tensors[layer.inputs[1]]
        elif layer.op == AVG_POOL:
            y = x.mean(axis=(1, 2), keepdims=True)
        elif layer.op == MAX_POOL:
            y = kernels.max_pool(x, layer.kernel, layer.stride)
        else:
            weights = folded[layer.name]
            if layer.op == DENSE:
                y = kernels.dense(x, weights["kernel"])
            else:
                run = kernels.conv if layer.op == CONV else kernels.depthwise
                y = run(x, weights["kernel"], layer.stride)
            y += weights["bias"]
        if layer.activation != "none":
            np.clip(y, 0, 6 if layer.activation == "relu6" else None, out=y)
        tensors[layer.name] = y
        yield layer, y


def float_forward(layers: tuple[LayerSpec, ...], folded: Folded, images: np.ndarray) -> np.ndarray:
    """Logits float32 [N, classes] of the folded network on uint8 images [N, h, w, c]. ValueError on other images."""
    kernels.check_images(layers, images)
    logits = []
    for part in kernels.chunks(layers, len(images)):
        for _, y in float_layers(layers, folded, images[part]):
            last = y
        logits.append(last.reshape(len(last), -1))
    return np.concatenate(logits)


def _activation_scale(low: float, high: float, inputs: list[Scale]) -> Scale:
    """The affine scale of a range that contains 0; -128 and 127 map to its ends."""
    # a dead tensor still needs a scale that keeps the multipliers of its operator in range
    floor = max(MIN_SCALE, 2**-16 * max(source.scale for source in inputs))
    scale = float(np.float32(max((high - low) / 255, floor)))
    return Scale(scale, int(np.clip(round(-128 - low / scale), -128, 127)))


def weight_scales(layer: LayerSpec, kernel: Any, bias: Any, source: Scale, output: Scale, xp: ModuleType = np) -> Any:
    """Scales [out] (dense: [1], as TFLite specifies for int8 fully connected) of a kernel whose last axis is `out`.

    `xp`: NumPy, or jax.numpy where training simulates what is exported (qat.py).
    """
    largest, bias_size = xp.abs(kernel).reshape(-1, kernel.shape[-1]).max(axis=0), xp.abs(bias)
    if layer.op == DENSE:
        largest, bias_size = largest.max(keepdims=True), bias_size.max(keepdims=True)
    scales = xp.maximum(largest / 127, bias_size / (source.scale * MAX_BIAS))  # tiny weights: the bias must fit
    return xp.maximum(scales, output.scale * 2**-20 / source.scale)  # dead channels: no scale of 0


def _quantise_weights(layer: LayerSpec, kernel: np.ndarray, bias: np.ndarray, source: Scale, output: Scale) -> dict:
    """int8 kernel, its scales and the int32 bias of one layer."""
    kernel, bias = kernel.astype(np.float64), bias.astype(np.float64)
    scales = weight_scales(layer, kernel, bias, source, output).astype(np.float32)
    return {
        "kernel": np.clip(np.rint(kernel / scales), -127, 127).astype(np.int8),
        "kernel_scales": scales,
        "bias": np.rint(bias / (source.scale * scales.astype(np.float64))).astype(np.int32),
    }


def quantise(layers: tuple[LayerSpec, ...], folded: Folded, ranges: Ranges) -> QuantisedModel:
    """int8 network of `folded` weights with the activation `ranges` that ranges.py finds.

    Weights are symmetric, per output channel (dense: per tensor); biases int32.
    """
    scales = {INPUT: INPUT_SCALE}
    done = []
    for layer in layers:
        sources = [scales[name] for name in layer.inputs]
        # TFLM's int8 pools do not rescale
        output = sources[0] if layer.op in POOLS else _activation_scale(*ranges[layer.name], sources)
        parts = _quantise_weights(layer, **folded[layer.name], source=sources[0], output=output) if layer.params else {}
        done.append(QuantisedLayer(layer, output, **parts))
        scales[layer.name] = output
    return QuantisedModel(tuple(done))
