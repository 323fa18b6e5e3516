"""LayerSpec list -> Flax network. The supernet, a retrained finalist and a baseline are all this one module."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from danas_jax.layers import ADD, AVG_POOL, CONV, DENSE, DEPTHWISE, MAX_POOL, LayerSpec
from danas_jax.supernet import ops

Masks = Mapping[str, Mapping[str, jax.Array]]  # layer -> {"channels": [C], "taps": [k_h, k_w, 1 ...]} of zeros and ones


def normalise_pixels(images: jax.Array) -> jax.Array:
    """Pixels 0..255 (any dtype) -> the network's float input (pixel - 128) / 128."""
    return (images.astype(jnp.float32) - 128.0) / 128.0


def weighted(
    layer: LayerSpec,
    arrays: Mapping[str, jax.Array],
    x: jax.Array,
    masks: Mapping[str, jax.Array],
    statistics: Mapping[str, jax.Array] | None,
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """One layer with weights on x [B, H, W, C] -> (y, the batch's {"mean", "var"} [C] where it was normalised by them).

    `arrays`: kernel, bias and, with batch normalisation, scale. `statistics`: None normalises by the batch.
    """
    kernel, bias = arrays["kernel"], arrays["bias"]
    if layer.op == DENSE:
        return x.reshape(x.shape[0], -1).astype(kernel.dtype) @ kernel + bias, {}
    scale = arrays["scale"]
    if "taps" in masks:
        kernel = kernel * masks["taps"]
    if "channels" in masks:
        # Masking scale and bias masks the activation after BN exactly, at the price of a vector.
        scale, bias = scale * masks["channels"], bias * masks["channels"]
    kernel = kernel.astype(x.dtype)  # x decides in which type a layer computes; BN's sums are float32 in any
    x = ops.dense_conv(x, kernel, layer.stride) if layer.op == CONV else ops.depthwise(x, kernel, layer.stride)
    found = {}
    if statistics is None:
        x, found["mean"], found["var"] = ops.batch_norm_train(x, scale, bias)
    else:
        x = ops.batch_norm_eval(x, statistics["mean"], statistics["var"], scale, bias)
    return ops.activate(x, layer.activation), found


def run_layers(
    layers: Sequence[LayerSpec], x: jax.Array, apply: Callable[[LayerSpec, jax.Array], jax.Array]
) -> jax.Array:
    """`layers` in order from their input `x` to the output of the last one; `apply` runs a layer with weights."""
    values = {layers[0].inputs[0]: x}
    for layer in layers:
        sources = [values[name] for name in layer.inputs]
        if layer.op == ADD:
            out = sources[0] + sources[1]
        elif layer.op == AVG_POOL:
            x = sources[0]
            out = (x.astype(jnp.float32) if x.dtype == jnp.bfloat16 else x).mean(axis=(1, 2), keepdims=True)
        elif layer.op == MAX_POOL:
            out = ops.max_pool(sources[0], layer.kernel, layer.stride)
        else:
            assert layer.op in (CONV, DEPTHWISE, DENSE), layer.op
            out = apply(layer, sources[0])
        values[layer.name] = out
    return values[layers[-1].name]


class _Unit(nn.Module):
    """One layer with weights: kernel, and either batch normalisation (scale, bias) or a bias."""

    layer: LayerSpec

    @nn.compact
    def __call__(self, x: jax.Array, masks: Mapping[str, jax.Array], train: bool) -> jax.Array:
        layer, width = self.layer, (self.layer.out_shape[2],)
        arrays = {"kernel": self.param("kernel", _shape_only, layer.weight_shape)}
        arrays |= {
            name: self.param(name, _shape_only, width) for name in (["bias", "scale"] if layer.batch_norm else ["bias"])
        }
        statistics = None
        if layer.batch_norm and not train:
            statistics = {name: self.variable("batch_stats", name, jnp.zeros, width).value for name in ("mean", "var")}
        x, found = weighted(layer, arrays, x, masks, statistics)
        if self.is_mutable_collection("batch_stats"):
            for name, value in found.items():
                self.variable("batch_stats", name, jnp.zeros, width).value = value
        return x


class Network(nn.Module):
    """Runs `layers` in order on x [B, H, W, C] float -> logits [B, classes].

    `train` normalises by the batch and, with batch_stats mutable, returns the batch's statistics in that collection.
    Its weights come from `init_variables`; `init` would make them zeros.
    """

    layers: tuple[LayerSpec, ...]

    @nn.compact
    def __call__(self, x: jax.Array, masks: Masks | None = None, train: bool = False) -> jax.Array:
        def apply(layer: LayerSpec, x: jax.Array) -> jax.Array:
            return _Unit(layer, name=layer.name)(x, (masks or {}).get(layer.name, {}), train)

        return run_layers(self.layers, x, apply)


def _shape_only(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """The network has no initialisers of its own; what this returns is only asked for its shape."""
    return jnp.zeros(shape)


def init_variables(layers: tuple[LayerSpec, ...], seed: int) -> tuple[dict, dict]:
    """Fresh (params, batch_stats) of a network, named as docs/design.md says, float32 on the host.

    Convolutions: normal with variance 2 / fan-out (He et al. 2015), the classifier: 1 / fan-in. Drawn by NumPy: as one
    compiled program, a generator for each of the tensors, it took 13 s to compile for a network of 60 layers.
    """
    rng = np.random.default_rng(seed)
    params, stats = {}, {}
    for layer in (layer for layer in layers if layer.op in (CONV, DEPTHWISE, DENSE)):
        width, shape = layer.out_shape[2], layer.weight_shape
        # fan-out of a depthwise kernel is its taps (one filter per channel)
        variance = 1 / shape[0] if layer.op == DENSE else 2 / (prod(layer.kernel) * (width if layer.op == CONV else 1))
        kernel = rng.normal(0.0, variance**0.5, shape).astype(np.float32)
        params[layer.name] = {"kernel": kernel, "bias": np.zeros(width, np.float32)}
        if layer.batch_norm:
            params[layer.name]["scale"] = np.ones(width, np.float32)
            stats[layer.name] = {"mean": np.zeros(width, np.float32), "var": np.ones(width, np.float32)}
    return params, stats
