"""Graph: a network as its .tflite file holds it, and its figures by the rules of LayerSpec and memory.py."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from math import prod

from danas_jax.hardware import memory

WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")  # inputs: activation, kernel, bias (may be left out)


@dataclass(frozen=True)
class Tensor:
    """One tensor: `type` as NumPy calls it, `constant_bytes` stored in the file's buffer `buffer` (activations: 0)."""

    name: str
    shape: tuple[int, ...]
    type: str
    bytes: int
    constant_bytes: int
    buffer: int


@dataclass(frozen=True)
class Operator:
    """One operator; `inputs` and `outputs` are indices of Graph.tensors, an input left out is -1.

    `kernel` and `stride` are (h, w), (1, 1) without a window; `padding` "same", "valid" or, without a window, "".
    """

    name: str  # of the builtin operator, as "CONV_2D"
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: str
    activation: str  # one of ACTIVATIONS


@dataclass(frozen=True)
class Graph:
    """The network of a .tflite file: operators in the order of their execution; inputs and outputs index `tensors`."""

    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    file_bytes: int


def macs(graph: Graph) -> tuple[int, ...]:
    """Multiply-accumulates of one inference, one figure per operator; without weights 0, as in LayerSpec.macs."""
    every = []
    for op in graph.operators:
        count = 0
        if op.name in WEIGHTED:
            kernel = graph.tensors[op.inputs[1]].shape
            count = prod(graph.tensors[op.outputs[0]].shape) * prod(kernel[1:])
            if op.name == "DEPTHWISE_CONV_2D":
                count //= kernel[3]  # an output channel reads one input channel
        every.append(count)
    return tuple(every)


def total_macs(graph: Graph) -> int:
    """Multiply-accumulates of one inference."""
    return sum(macs(graph))


def _weights(graph: Graph) -> list[Tensor]:
    """Constant kernels and biases; one that several operators read comes once."""
    ids = {t: None for op in graph.operators if op.name in WEIGHTED for t in op.inputs[1:3] if t >= 0}
    return [graph.tensors[t] for t in ids if graph.tensors[t].constant_bytes]


def params(graph: Graph) -> int:
    """Weights and biases."""
    return sum(prod(t.shape) for t in _weights(graph))


def weight_bytes(graph: Graph) -> int:
    """Weights and biases as stored [B]; data that several tensors share (equal biases, say) count once."""
    return sum({t.buffer: t.constant_bytes for t in _weights(graph)}.values())


def activations(graph: Graph) -> list[memory.Tensor]:
    """Inputs and every operator's outputs with lifetimes (index of the operator), by the rules of memory.py.

    Tensors whose name is empty or not unique get their index: "name#3". Raises UserError for a tensor that is read
    before it is written, or written twice.
    """
    uses = Counter(t.name for t in graph.tensors)
    labels = [t.name if t.name and uses[t.name] == 1 else f"{t.name}#{i}" for i, t in enumerate(graph.tensors)]

    def alive(ids: tuple[int, ...]) -> list[int]:  # an empty tensor may be a constant without data
        return [i for i in ids if i >= 0 and graph.tensors[i].bytes and not graph.tensors[i].constant_bytes]

    def sizes(ids: tuple[int, ...]) -> dict[str, int]:
        return {labels[i]: graph.tensors[i].bytes for i in alive(ids)}

    steps = [
        memory.Step(f"operator {i} ({op.name})", [labels[t] for t in alive(op.inputs)], sizes(op.outputs))
        for i, op in enumerate(graph.operators)
    ]
    return memory.lifetimes(sizes(graph.inputs), steps, [labels[t] for t in alive(graph.outputs)])


def live_bytes(graph: Graph) -> list[int]:
    """Bytes of activations alive while each operator runs, one per operator [B]."""
    return memory.bytes_per_step(activations(graph), len(graph.operators))


def live_peak_bytes(graph: Graph) -> int:
    """Peak of the live activations, inputs included [B]."""
    return max(live_bytes(graph))
