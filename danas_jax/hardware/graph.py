"""Graph: a network as its .tflite file holds it, from any such file or from layers, and what it is made of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from typing import NamedTuple

from danas_jax.errors import UserError
from danas_jax.hardware import flash, memory
from danas_jax.layers import ADD, AVG_POOL, CONV, DENSE, DEPTHWISE, INPUT, MAX_POOL, LayerSpec

WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")  # inputs: activation, kernel, bias (may be left out)
NAMES = {  # of the operators that the exporter writes
    CONV: "CONV_2D",
    DEPTHWISE: "DEPTHWISE_CONV_2D",
    ADD: "ADD",
    AVG_POOL: "AVERAGE_POOL_2D",
    MAX_POOL: "MAX_POOL_2D",
    DENSE: "FULLY_CONNECTED",
}


class Tensor(NamedTuple):
    """One tensor: `type` as NumPy calls it, `constant_bytes` stored in the file's buffer `buffer` (activations: 0)."""

    name: str
    shape: tuple[int, ...]
    type: str
    bytes: int
    constant_bytes: int
    buffer: int
    scales: int = 1  # of its quantisation: 0 without, 1 per tensor, else one per channel


class Operator(NamedTuple):
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

    @cached_property
    def lives(self) -> dict[int, memory.Tensor]:
        """Index in `tensors` -> lifetime (operators) of the inputs and every operator's outputs, by memory.py's rules.

        Tensors whose name is empty or not unique get their index: "name#3". Raises UserError for a tensor that is read
        before it is written, or written twice.
        """
        uses = Counter(t.name for t in self.tensors)
        labels = {  # an empty tensor may be a constant without data
            i: t.name if t.name and uses[t.name] == 1 else f"{t.name}#{i}"
            for i, t in enumerate(self.tensors)
            if t.bytes and not t.constant_bytes
        }

        def sizes(ids: tuple[int, ...]) -> dict[str, int]:
            return {labels[i]: self.tensors[i].bytes for i in ids if i in labels}

        steps = [
            memory.Step(f"operator {i} ({op.name})", [labels[t] for t in op.inputs if t in labels], sizes(op.outputs))
            for i, op in enumerate(self.operators)
        ]
        every = memory.lifetimes(sizes(self.inputs), steps, [labels[t] for t in self.outputs if t in labels])
        index = {label: i for i, label in labels.items()}
        return {index[tensor.name]: tensor for tensor in every}


def from_layers(layers: Sequence[LayerSpec]) -> Graph:
    """The graph of the file that deploy/tflite_writer.py writes for `layers`: its operators and tensors in its order.

    `file_bytes` is predicted (flash.py). Raises UserError for no layers, a name given twice, or an input that no
    earlier layer writes.
    """
    if not layers:
        raise UserError("a network needs at least one layer")
    shape = (1, *layers[0].in_shape)
    tensors = [Tensor(INPUT, shape, "int8", prod(shape), 0, 0)]
    operators, index, buffer = [], {INPUT: 0}, 0
    for layer in layers:
        name, height, width = layer.name, *layer.in_shape[:2]
        for source in layer.inputs:
            if source not in index:
                raise UserError(f"layer {name}: its input {source!r} is written by no earlier layer")
        if name in index:
            raise UserError(f"layer {name}: its output {name!r} is given twice")
        inputs, weights = [index[source] for source in layer.inputs], layer.weight_shape
        kernel, stride, padding = (1, 1), (1, 1), ""
        shape = (1, layer.out_shape[2]) if layer.op == DENSE else (1, *layer.out_shape)
        if weights:
            channels = weights[-1]
            scales = 1 if layer.op == DENSE else channels
            stored = (1, *weights) if layer.op == DEPTHWISE else (channels, *weights[:-1])
            size = prod(stored)
            inputs += [len(tensors), len(tensors) + 1]
            tensors.append(Tensor(f"{name}/kernel", stored, "int8", size, size, buffer + 1, scales))
            tensors.append(Tensor(f"{name}/bias", (channels,), "int32", 4 * channels, 4 * channels, buffer + 2, scales))
            buffer += 2
        if layer.op in (CONV, DEPTHWISE, MAX_POOL):
            kernel, stride = layer.kernel, (layer.stride, layer.stride)
            padding = "valid" if layer.op == MAX_POOL else "same"
        elif layer.op == AVG_POOL:
            kernel, stride, padding = (height, width), (height, width), "valid"
        index[name] = len(tensors)
        tensors.append(Tensor(name, shape, "int8", prod(shape), 0, 0))
        output = (index[name],)
        operators.append(Operator(NAMES[layer.op], tuple(inputs), output, kernel, stride, padding, layer.activation))
    net = Graph(tuple(tensors), tuple(operators), (0,), (index[layers[-1].name],), 0)
    return replace(net, file_bytes=flash.file_bytes(net))


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
    """The lifetimes of Graph.lives: the inputs, then what the operators write, in the order of their execution."""
    return list(graph.lives.values())


def live_bytes(graph: Graph) -> list[int]:
    """Bytes of activations alive while each operator runs, one per operator [B]."""
    return memory.bytes_per_step(activations(graph), len(graph.operators))


def live_peak_bytes(graph: Graph) -> int:
    """Peak of the live activations, inputs included [B]."""
    return max(live_bytes(graph))


def breakdown(graph: Graph) -> list[memory.LiveSet]:
    """What is alive while each operator runs, one LiveSet per operator."""
    return memory.breakdown(activations(graph), len(graph.operators))


def bottleneck(graph: Graph) -> memory.LiveSet:
    """The (first) operator at which the peak is reached."""
    return max(breakdown(graph), key=lambda live: live.bytes)
