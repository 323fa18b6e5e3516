"""Liveness of the int8 activation tensors: the RAM below which no in-order runtime without in-place operators gets.

Rules: the input buffer counts; layers run in list order; a tensor lives from the layer that writes it (the input: from
layer 0) to the last layer that reads it; a layer's inputs and output live together; the last output lives to the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from danas_jax.errors import UserError
from danas_jax.layers import INPUT, LayerSpec


class Tensor(NamedTuple):
    """One activation tensor: int8 bytes, and the first and last layer index during which it lives (inclusive)."""

    name: str  # name of the layer that writes it, or INPUT
    bytes: int
    first: int
    last: int


@dataclass(frozen=True)
class LiveSet:
    """Bytes of all tensors alive while one layer runs, and their names."""

    layer: str
    bytes: int
    tensors: tuple[str, ...]


def tensors(layers: Sequence[LayerSpec]) -> list[Tensor]:
    """The input and each layer's output in order, with lifetimes.

    Raises UserError for no layers, a name given twice, or an input that no earlier layer writes.
    """
    if not layers:
        raise UserError("a network needs at least one layer")
    h, w, c = layers[0].in_shape
    sizes = {INPUT: h * w * c}
    first, last = {INPUT: 0}, {INPUT: 0}
    for i, layer in enumerate(layers):
        for name in layer.inputs:
            if name not in sizes:
                raise UserError(f"layer {layer.name}: its input {name!r} is written by no earlier layer")
            last[name] = i
        if layer.name in sizes:
            raise UserError(f"layer {layer.name}: the name is given twice")
        h, w, c = layer.out_shape
        sizes[layer.name] = h * w * c
        first[layer.name] = last[layer.name] = i
    last[layers[-1].name] = len(layers) - 1
    return [Tensor(name, size, first[name], last[name]) for name, size in sizes.items()]


def live_bytes(layers: Sequence[LayerSpec]) -> list[int]:
    """Bytes alive while each layer runs, one per layer [B]."""
    change = [0] * (len(layers) + 1)
    for tensor in tensors(layers):
        change[tensor.first] += tensor.bytes
        change[tensor.last + 1] -= tensor.bytes
    live, total = [], 0
    for delta in change[:-1]:
        total += delta
        live.append(total)
    return live


def live_peak_bytes(layers: Sequence[LayerSpec]) -> int:
    """Peak of the live activations, input included [B]."""
    return max(live_bytes(layers))


def breakdown(layers: Sequence[LayerSpec]) -> list[LiveSet]:
    """What is alive while each layer runs, one LiveSet per layer."""
    every = tensors(layers)
    return [
        LiveSet(layer.name, total, tuple(t.name for t in every if t.first <= i <= t.last))
        for i, (layer, total) in enumerate(zip(layers, live_bytes(layers), strict=True))
    ]


def bottleneck(layers: Sequence[LayerSpec]) -> LiveSet:
    """The (first) layer at which the peak is reached."""
    return max(breakdown(layers), key=lambda live: live.bytes)
