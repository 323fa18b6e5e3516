"""Patch-based execution (MCUNetV2, Lin et al. 2021, arXiv 2110.15352): the first operators run patch by patch.

The output of operator n is cut into p x p patches (p x 1, where it is one wide). Each is computed on its own from the
part of the image that it depends on, so neighbouring patches compute their common border (the halo) twice; then the
rest runs as usual.

Rules: a patch reaches back through kernels and strides to exactly the rows and columns that it needs, no further than
the map's edge; what several operators read is computed once per patch; every tensor takes the room of its largest
patch; a patch's input is a tensor of its own, cut out of the image, and its output is copied into the assembled map,
which lives from the start. Padding by PAD is taken as centred (the smaller half first, as SAME).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np

from danas_jax.errors import UserError
from danas_jax.hardware import graph as graphs
from danas_jax.hardware import runtimes
from danas_jax.hardware.graph import Graph, Operator
from danas_jax.hardware.runtimes import Runtime

WINDOWED = ("CONV_2D", "DEPTHWISE_CONV_2D", "AVERAGE_POOL_2D", "MAX_POOL_2D")
POSITIONWISE = ("ADD", "QUANTIZE")
LOCAL = (*WINDOWED, "PAD", *POSITIONWISE)  # an output position depends on the input positions around it alone
PATCHES = (2, 3, 4)  # per side; MCUNetV2 uses up to 4 x 4

Spans = dict[int, tuple[np.ndarray, np.ndarray]]  # tensor -> first and end position of each patch, int64 [p] each


@dataclass(frozen=True)
class Patched:
    """The first `operators` operators in `patches` patches per side, and what comes of it."""

    operators: int
    patches: int
    macs: int  # of one inference, halos computed again and again
    latency_factor: float  # MACs over those without patches
    ram_bytes: int


def _activations(graph: Graph, ids: Sequence[int]) -> list[int]:
    return [t for t in ids if t >= 0 and not graph.tensors[t].constant_bytes]


def _check(graph: Graph, operators: int, patches: int) -> None:
    if not 1 <= operators < len(graph.operators):
        raise UserError(f"operators = {operators}: give 1 to {len(graph.operators) - 1}, the last one is not patched")
    first, rest = graph.operators[:operators], graph.operators[operators:]
    for i, op in enumerate(first):
        shapes = [graph.tensors[t].shape for t in (*_activations(graph, op.inputs), op.outputs[0])]
        maps = all(len(shape) == 4 for shape in shapes)
        if op.name not in LOCAL or not maps or (op.name in POSITIONWISE and len(set(shapes)) > 1):
            raise UserError(f"operators = {operators}: operator {i} ({op.name}) does not run in patches")
    inside = {*graph.inputs, *(t for op in first for t in op.outputs)} - set(first[-1].outputs)
    for t in (*(t for op in rest for t in op.inputs), *graph.outputs):
        if t in inside:
            what = next((f"what operator {i} writes" for i, op in enumerate(first) if t in op.outputs), "the input")
            raise UserError(f"operators = {operators}: {what} is still read after them; take more operators or fewer")
    side = min((size for size in graph.tensors[first[-1].outputs[0]].shape[1:3] if size > 1), default=1)
    if not 2 <= patches <= side:
        raise UserError(f"patches = {patches}: give 2 to {side}, the smaller side of operator {operators - 1}'s output")


def _needs(graph: Graph, op: Operator, axis: int, span: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The positions of the input that positions `span` of the output depend on, along axis 1 (h) or 2 (w)."""
    first, end = span
    size, out = graph.tensors[op.inputs[0]].shape[axis], graph.tensors[op.outputs[0]].shape[axis]
    kernel, stride, padding = 1, 1, 0
    if op.name in WINDOWED:
        kernel, stride = op.kernel[axis - 1], op.stride[axis - 1]
        padding = max((out - 1) * stride + kernel - size, 0) // 2 if op.padding == "same" else 0
    elif op.name == "PAD":
        padding = (out - size) // 2
    first, end = first * stride - padding, (end - 1) * stride - padding + kernel
    return np.clip(first, 0, size), np.clip(end, 0, size)


def _spans(graph: Graph, operators: int, patches: int, axis: int) -> Spans:
    """What each patch needs of every tensor of the patched part, along one axis."""
    last = graph.operators[operators - 1].outputs[0]
    size = graph.tensors[last].shape[axis]
    patches = patches if size > 1 else 1
    cuts = np.arange(patches + 1) * size // patches
    spans: Spans = {last: (cuts[:-1], cuts[1:])}
    for op in reversed(graph.operators[:operators]):
        if op.outputs[0] not in spans:  # nothing reads it
            continue
        first, end = _needs(graph, op, axis, spans[op.outputs[0]])
        for t in _activations(graph, op.inputs):
            known = spans.get(t, (first, end))
            spans[t] = np.minimum(known[0], first), np.maximum(known[1], end)
    return spans


def _in_patches(graph: Graph, operators: int, spans: tuple[Spans, Spans], image_stays: bool) -> Graph:
    """The graph whose live bytes are those of patch-based execution: tensors of the patched part in their patch's size.

    The assembled map, and the image where it stays, are inputs; the last patched operator still needs the image, for
    the next patch.
    """
    tensors, (rows, columns) = list(graph.tensors), spans
    last = graph.operators[operators - 1]
    whole = last.outputs[0]
    patch = {t: t for t in rows} | {whole: len(tensors)}
    tensors.append(tensors[whole])
    images = range(len(tensors), len(tensors) + len(graph.inputs) * image_stays)
    tensors += [tensors[t] for t in graph.inputs][: len(images)]
    for t, (first, end) in rows.items():
        tensor, (left, right) = graph.tensors[t], columns[t]
        shape = (tensor.shape[0], int((end - first).max()), int((right - left).max()), tensor.shape[3])
        tensors[patch[t]] = tensor._replace(shape=shape, bytes=tensor.bytes // prod(tensor.shape) * prod(shape))
    changed = last._replace(inputs=(*last.inputs, *images), outputs=(patch[whole],))
    every = (*graph.operators[: operators - 1], changed, *graph.operators[operators:])
    return replace(graph, tensors=tuple(tensors), operators=every, inputs=(*graph.inputs, whole, *images))


def _macs(graph: Graph, operators: int, spans: tuple[Spans, Spans]) -> int:
    """MACs of all patches and of the rest."""
    every = graphs.macs(graph)
    total = sum(every[operators:])
    for op, count in zip(graph.operators[:operators], every, strict=False):
        t = op.outputs[0]
        if count and t in spans[0]:
            rows, columns = (int((side[t][1] - side[t][0]).sum()) for side in spans)
            total += count // prod(graph.tensors[t].shape[1:3]) * rows * columns
    return total


def patched(graph: Graph, operators: int, patches: int, runtime: Runtime, image_stays: bool = True) -> Patched:
    """The figures of running the first `operators` operators in `patches` patches per side, the rest as usual.

    `image_stays`: the whole image is in RAM until the last patch; else it comes patch by patch (from a decoder, say),
    as MCUNetV2 counts. Raises UserError where the operators cannot run so: one of them needs the whole map, something
    within is read after them, or more patches than rows or columns.
    """
    _check(graph, operators, patches)
    spans = _spans(graph, operators, patches, 1), _spans(graph, operators, patches, 2)
    macs = _macs(graph, operators, spans)
    ram = runtimes.ram_bytes(_in_patches(graph, operators, spans, image_stays), runtime)
    return Patched(operators, patches, macs, macs / graphs.total_macs(graph), ram)


def best_patching(graph: Graph, runtime: Runtime) -> Patched | None:
    """The patching of least RAM, among equals of fewest MACs; None where none needs less RAM than no patches at all."""
    best, least = None, (runtimes.ram_bytes(graph, runtime), 0)
    for operators in range(1, len(graph.operators)):
        for patches in PATCHES:
            try:
                now = patched(graph, operators, patches, runtime)
            except UserError:
                continue
            if (now.ram_bytes, now.macs) < least:
                best, least = now, (now.ram_bytes, now.macs)
    return best
