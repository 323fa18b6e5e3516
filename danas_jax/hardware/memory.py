"""Liveness of the int8 activation tensors: the RAM below which no in-order runtime without in-place operators gets.

Rules: the input buffer counts; layers run in list order; a tensor lives from the layer that writes it (the input: from
layer 0) to the last layer that reads it; a layer's inputs and output live together; the last output lives to the end.
`lifetimes` and `bytes_per_step` hold these rules for LayerSpec lists and for the graphs of tflite_reader.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import prod
from typing import NamedTuple

from danas_jax.errors import UserError
from danas_jax.layers import INPUT, LayerSpec


class Tensor(NamedTuple):
    """One activation tensor: int8 bytes, and the first and last layer index during which it lives (inclusive)."""

    name: str  # name of the layer that writes it, or INPUT
    bytes: int
    first: int
    last: int


class Step(NamedTuple):
    """One operator as liveness sees it."""

    name: str  # for errors
    reads: Sequence[str]
    writes: Mapping[str, int]  # bytes of each tensor it writes


@dataclass(frozen=True)
class LiveSet:
    """Bytes of all tensors alive while one layer runs, and their names."""

    layer: str
    bytes: int
    tensors: tuple[str, ...]


def lifetimes(inputs: Mapping[str, int], steps: Sequence[Step], outputs: Sequence[str]) -> list[Tensor]:
    """The `inputs` (name -> bytes) and what each step writes in order, with lifetimes; `outputs` live to the end.

    Raises UserError for a tensor that is read, or put out, before a step writes it, or that is written twice.
    """
    sizes = dict(inputs)
    first, last = dict.fromkeys(inputs, 0), dict.fromkeys(inputs, 0)
    for i, step in enumerate(steps):
        for name in step.reads:
            if name not in sizes:
                raise UserError(f"{step.name}: its input {name!r} is written by no earlier layer")
            last[name] = i
        for name, size in step.writes.items():
            if name in sizes:
                raise UserError(f"{step.name}: its output {name!r} is given twice")
            sizes[name] = size
            first[name] = last[name] = i
    for name in outputs:
        if name not in sizes:
            raise UserError(f"the output {name!r} is written by no layer")
        last[name] = len(steps) - 1
    return [Tensor(name, size, first[name], last[name]) for name, size in sizes.items()]


def bytes_per_step(every: Sequence[Tensor], count: int) -> list[int]:
    """Bytes of the tensors alive during each of `count` steps [B]."""
    change = [0] * (count + 1)
    for tensor in every:
        change[tensor.first] += tensor.bytes
        change[tensor.last + 1] -= tensor.bytes
    return list(accumulate(change[:-1]))


def tensors(layers: Sequence[LayerSpec]) -> list[Tensor]:
    """The input and each layer's output in order, with lifetimes.

    Raises UserError for no layers, a name given twice, or an input that no earlier layer writes.
    """
    if not layers:
        raise UserError("a network needs at least one layer")
    steps = [Step(f"layer {layer.name}", layer.inputs, {layer.name: prod(layer.out_shape)}) for layer in layers]
    return lifetimes({INPUT: prod(layers[0].in_shape)}, steps, [layers[-1].name])


def live_bytes(layers: Sequence[LayerSpec]) -> list[int]:
    """Bytes alive while each layer runs, one per layer [B]."""
    return bytes_per_step(tensors(layers), len(layers))


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
