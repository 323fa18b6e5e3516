"""Genes -> masks, and envelopes: static upper bounds on the genes that slice the weights.

Slicing is exact, so the same weights run as the whole supernet under masks, as a cheap bucket, or as one stand-alone
subnet (envelope = its own genes), with equal logits.
"""

from __future__ import annotations

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from danas_jax.layers import CONV, DENSE, INPUT, LayerSpec, with_input_channels
from danas_jax.space import SearchSpace
from danas_jax.supernet.network import Masks
from danas_jax.views.base import NetworkInput

Envelope = tuple[int, ...]  # gene upper bounds; hashable, so that programs are cached by it


def envelope_layers(space: SearchSpace, envelope: Envelope, num_classes: int) -> tuple[LayerSpec, ...]:
    """The layers that hold every subnet with genes <= envelope; all input channels (what is not seen is traced)."""
    return with_input_channels(space.layers(np.array(envelope), num_classes), space.view.channels)


def masks(space: SearchSpace, genes: jax.Array, layers: tuple[LayerSpec, ...]) -> Masks:
    """Channel and kernel masks of traced `genes` [G] for the envelope's `layers`.

    A block beyond the depth has its last convolution masked to zero: the residual sum then passes its input unchanged.
    """

    def value(name: str) -> jax.Array:
        i = space.index[name]
        return jnp.array(space.axes[i].values, jnp.int32)[genes[i]]

    def first(width: jax.Array, layer: LayerSpec) -> dict[str, jax.Array]:
        return {"channels": (jnp.arange(layer.out_shape[2]) < width).astype(jnp.float32)}

    by_name = {layer.name: layer for layer in layers}
    result: dict[str, dict[str, jax.Array]] = {"stem": first(value("stem.width"), by_name["stem"])}
    entry = value("stem.width")
    for s, stage in enumerate(space.stages):
        width, depth = value(f"s{s}.width"), value(f"s{s}.depth")
        for b in range(stage.depths[-1]):
            name = f"s{s}.b{b}"
            if f"{name}.{stage.windowed}" not in by_name:
                continue  # deeper than the envelope
            *inner, last = (by_name[f"{name}.{layer}"] for layer in stage.layers)
            for layer in inner:
                result[layer.name] = first(entry * value(f"{name}.expansion"), layer)
            result[last.name] = first(jnp.where(b < depth, width, 0), last)
            layer = by_name[f"{name}.{stage.windowed}"]
            taps = (jnp.array(rings(layer.kernel)) <= value(f"{name}.kernel") // 2).astype(jnp.float32)
            result[layer.name]["taps"] = taps.reshape(taps_shape(layer))
            entry = width
    result["head"] = first(value("head.width"), by_name["head"])
    return result


def seen(space: SearchSpace, codes: jax.Array, genes: jax.Array) -> jax.Array:
    """Codes [B, h, w, C] 0..255 -> as float, with what the traced data genes take away taken away (colour, say)."""
    shares = {
        axis.name: jax.nn.one_hot(genes[space.index[axis.name]], len(axis.values)) for axis in space.view.traced_axes
    }
    return space.view.blended(codes.astype(jnp.float32), shares)


def taps_shape(layer: LayerSpec) -> tuple[int, ...]:
    """Of a mask of a layer's taps: [k_h, k_w, 1 ...], one for all channels of its kernel."""
    return (*layer.kernel, *(1 for _ in layer.weight_shape[2:]))


def rings(kernel: tuple[int, int]) -> np.ndarray:
    """How far from the centre each tap lies, int [k_h, k_w]: a kernel of size k holds the rings up to k // 2."""
    rows, columns = (np.abs(np.arange(size) - size // 2) for size in kernel)
    return np.maximum(rows[:, None], columns)


def slice_layer(layer: LayerSpec, arrays: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
    """The part of a larger layer's arrays (params or batch_stats) that `layer` owns: first channels, central taps."""
    width = layer.out_shape[2]
    out = {name: array[:width] for name, array in arrays.items() if name != "kernel"}
    if "kernel" not in arrays:
        return out
    kernel = arrays["kernel"]
    if layer.op == DENSE:
        return out | {"kernel": kernel[: layer.weight_shape[0]]}
    cuts = ((have - own) // 2 for have, own in zip(kernel.shape, layer.kernel, strict=False))
    rows, columns = (slice(cut, cut + own) for cut, own in zip(cuts, layer.kernel, strict=True))
    kernel = kernel[rows, columns]
    if layer.op == CONV:
        if layer.inputs == (INPUT,) and layer.in_shape[2] != kernel.shape[2]:
            raise ValueError(f"{layer.name} reads {layer.in_shape[2]} of {kernel.shape[2]} channels: see subnet_params")
        kernel = kernel[:, :, : layer.in_shape[2]]
    return out | {"kernel": kernel[..., :width]}


def slice_variables(layers: tuple[LayerSpec, ...], tree: Mapping) -> dict:
    """The params or batch_stats of `layers` out of those of a network that contains them."""
    return {layer.name: slice_layer(layer, tree[layer.name]) for layer in layers if layer.name in tree}


def subnet_params(layers: tuple[LayerSpec, ...], source: NetworkInput, supernet: Mapping) -> dict:
    """The stand-alone params of `layers`, which read `source`, out of a supernet's: sliced, the stem its own."""
    stem = layers[0]
    params = slice_variables(with_input_channels(layers, source.view.channels), supernet)
    return params | {stem.name: params[stem.name] | {"kernel": source.stem_kernel(params[stem.name]["kernel"])}}
