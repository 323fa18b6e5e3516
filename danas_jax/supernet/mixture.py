"""A mixture of subnets in one forward: every mask is the expectation of the subnets' masks (DMasking, Wan et al. 2020).

Shares [G, V] hold, for every gene, a share of each of its values (rows sum to 1, zeros behind an axis's last value).
One-hot shares are a subnet, and the masks its own. The loss's gradient by the shares says what a little more of each
value would do. The input's shape is no mixture: each has its own program.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np

from danas_jax.data.batches import label_targets
from danas_jax.data.dataset import Split
from danas_jax.layers import LayerSpec
from danas_jax.space import Bounds, SearchSpace
from danas_jax.supernet import elastic
from danas_jax.supernet.distil import label_loss
from danas_jax.supernet.network import Masks, Network, normalise_pixels
from danas_jax.supernet.plan import shape_envelope


def mixed_masks(space: SearchSpace, shares: jax.Array, layers: tuple[LayerSpec, ...]) -> Masks:
    """Expected channel and kernel masks of traced `shares` [G, V] for the envelope's `layers`."""

    def axis(name: str) -> tuple[jax.Array, np.ndarray]:
        i = space.index[name]
        values = np.array(space.axes[i].values)
        return shares[i, : len(values)], values

    def at_least(share: jax.Array, values: np.ndarray, sizes: np.ndarray) -> jax.Array:
        """Share of the values above each of `sizes`, shaped as they are."""
        return share @ jnp.asarray(values[:, None] > sizes.reshape(-1), shares.dtype)

    def first(share: jax.Array, widths: np.ndarray, layer: LayerSpec) -> dict[str, jax.Array]:
        return {"channels": at_least(share, widths, np.arange(layer.out_shape[2]))}

    by_name = {layer.name: layer for layer in layers}
    result: dict[str, dict[str, jax.Array]] = {"stem": first(*axis("stem.width"), by_name["stem"])}
    entry = axis("stem.width")
    for s, stage in enumerate(space.stages):
        width, depth = axis(f"s{s}.width"), axis(f"s{s}.depth")
        for b in range(stage.depths[-1]):
            name = f"s{s}.b{b}"
            if f"{name}.{stage.windowed}" not in by_name:
                continue  # deeper than the envelope
            *inner, last = (by_name[f"{name}.{layer}"] for layer in stage.layers)
            expansion, kernel = axis(f"{name}.expansion"), axis(f"{name}.kernel")
            hidden = (
                (entry[0][:, None] * expansion[0]).reshape(-1),
                (entry[1][:, None] * expansion[1]).reshape(-1),
            )
            for layer in inner:
                result[layer.name] = first(*hidden, layer)
            result[last.name] = {"channels": first(*width, last)["channels"] * at_least(*depth, np.array(b))[0]}
            layer = by_name[f"{name}.{stage.windowed}"]
            taps = at_least(kernel[0], kernel[1] // 2 + 1, elastic.rings(layer.kernel))
            result[layer.name]["taps"] = taps.reshape(elastic.taps_shape(layer))
            entry = width
    result["head"] = first(*axis("head.width"), by_name["head"])
    return result


@cache
def slope_program(space: SearchSpace, envelope: elastic.Envelope, num_classes: int) -> Callable:
    """jitted (params, shares [G, V], codes [B, h, w, C], labels [B]) -> (loss, its gradient [G, V]).

    Batch normalisation is by the batch. The gradient by the shares of shape axes is 0.
    """
    layers = elastic.envelope_layers(space, envelope, num_classes)
    network = Network(layers)

    def loss_of(shares, params, codes, labels):
        traced = {axis.name: shares[space.index[axis.name], : len(axis.values)] for axis in space.view.traced_axes}
        x = normalise_pixels(space.view.blended(codes.astype(jnp.float32), traced))
        part = elastic.slice_variables(layers, params)
        logits = jnp.asarray(network.apply({"params": part}, x, mixed_masks(space, shares, layers), train=True))
        return label_loss(logits, label_targets(labels, num_classes))

    return jax.jit(jax.value_and_grad(loss_of))


Slopes = Callable[[np.ndarray, tuple[int, ...], Sequence[int]], tuple[float, np.ndarray]]


def mixture_slopes(
    space: SearchSpace, params: dict, bounds: Bounds, images: Split, num_classes: int, batch_size: int
) -> Slopes:
    """slopes(shares [G, V], shape genes, draw) -> (loss, its gradient by the shares, float64 [G, V]).

    Each call sees `batch_size` of the pictures, drawn by the integers `draw`, as deployed in that shape; shares
    beyond the upper `bounds` must be 0.
    """
    codes: dict[tuple[int, ...], np.ndarray] = {}

    def slopes(shares: np.ndarray, shape: tuple[int, ...], draw: Sequence[int]) -> tuple[float, np.ndarray]:
        if shape not in codes:
            codes[shape] = space.costliest_input(shape).codes(images.raw)
        rows = np.random.default_rng(draw).permutation(len(images))[:batch_size]
        rows = np.resize(rows, batch_size)  # of few pictures some twice: one shape, one compilation
        program = slope_program(space, shape_envelope(space, bounds[1], shape), num_classes)
        chosen = codes[shape][rows], images.labels[rows].astype(np.int32)
        loss, slope = program(shares.astype(np.float32), params, *chosen)
        return float(loss), np.asarray(slope, np.float64)

    return slopes
