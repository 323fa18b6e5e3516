"""LayerSpec list -> Flax network. The supernet, a retrained finalist and a baseline are all this one module."""

from __future__ import annotations

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from flax import linen as nn

from danas_jax.layers import ADD, AVG_POOL, CONV, DENSE, DEPTHWISE, INPUT, LayerSpec
from danas_jax.supernet import ops

Masks = Mapping[str, Mapping[str, jax.Array]]  # layer -> {"channels": [C], "taps": [k, k, 1]} of zeros and ones


def normalise_pixels(images: jax.Array) -> jax.Array:
    """Pixels 0..255 (any dtype) -> the network's float input (pixel - 128) / 128."""
    return (images.astype(jnp.float32) - 128.0) / 128.0


class _Unit(nn.Module):
    """One weighted layer: kernel, and either batch normalisation (scale, bias) or a bias."""

    layer: LayerSpec

    @nn.compact
    def __call__(self, x: jax.Array, masks: Mapping[str, jax.Array], train: bool) -> jax.Array:
        layer, width = self.layer, self.layer.out_shape[2]
        if layer.op == DENSE:
            init = nn.initializers.variance_scaling(1.0, "fan_in", "truncated_normal")
            kernel = self.param("kernel", init, layer.weight_shape)
            bias = self.param("bias", nn.initializers.zeros, (width,))
            return x.reshape(x.shape[0], -1).astype(kernel.dtype) @ kernel + bias
        # fan-out of a depthwise kernel is its k * k taps (one filter per channel)
        fan = layer.kernel**2 * (width if layer.op == CONV else 1)
        kernel = self.param("kernel", nn.initializers.normal((2.0 / fan) ** 0.5), layer.weight_shape)
        scale = self.param("scale", nn.initializers.ones, (width,))
        bias = self.param("bias", nn.initializers.zeros, (width,))
        if "taps" in masks:
            kernel = kernel * masks["taps"]
        if "channels" in masks:
            # Masking scale and bias masks the activation after BN exactly, at the price of a vector.
            scale, bias = scale * masks["channels"], bias * masks["channels"]
        kernel = kernel.astype(x.dtype)  # x decides in which type a layer computes; BN's sums are float32 in any
        x = ops.dense_conv(x, kernel, layer.stride) if layer.op == CONV else ops.depthwise(x, kernel, layer.stride)
        if train:
            x, batch_mean, batch_var = ops.batch_norm_train(x, scale, bias)
            if self.is_mutable_collection("batch_stats"):
                self.variable("batch_stats", "mean", jnp.zeros, (width,)).value = batch_mean
                self.variable("batch_stats", "var", jnp.ones, (width,)).value = batch_var
        else:
            mean = self.variable("batch_stats", "mean", jnp.zeros, (width,)).value
            var = self.variable("batch_stats", "var", jnp.ones, (width,)).value
            x = ops.batch_norm_eval(x, mean, var, scale, bias)
        return ops.activate(x, layer.activation)


class Network(nn.Module):
    """Runs `layers` in order on x [B, H, W, C] float -> logits [B, classes].

    `train` normalises by the batch and, with batch_stats mutable, returns the batch's statistics in that collection.
    """

    layers: tuple[LayerSpec, ...]

    @nn.compact
    def __call__(self, x: jax.Array, masks: Masks | None = None, train: bool = False) -> jax.Array:
        values = {INPUT: x}
        for layer in self.layers:
            sources = [values[name] for name in layer.inputs]
            if layer.op == ADD:
                out = sources[0] + sources[1]
            elif layer.op == AVG_POOL:
                x = sources[0]
                out = (x.astype(jnp.float32) if x.dtype == jnp.bfloat16 else x).mean(axis=(1, 2), keepdims=True)
            else:
                assert layer.op in (CONV, DEPTHWISE, DENSE), layer.op
                out = _Unit(layer, name=layer.name)(sources[0], (masks or {}).get(layer.name, {}), train)
            values[layer.name] = out
        return values[self.layers[-1].name]


def init_variables(layers: tuple[LayerSpec, ...], seed: int) -> tuple[dict, dict]:
    """Fresh (params, batch_stats) of a network, named as docs/design.md says."""
    x = jnp.zeros((1, *layers[0].in_shape))
    variables = jax.jit(Network(layers).init)(jax.random.key(seed), x)
    return variables["params"], variables["batch_stats"]
