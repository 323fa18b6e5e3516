"""Patch-based execution (MCUNetV2) on plain TFLM: how much arena does it save when it is written into the graph?

The first n operators of an exported network are written once per patch, on slices of the input (STRIDED_SLICE); they
share their kernels and biases. Each patch's part of the map is sliced out of what it computed, and CONCATENATION puts
the parts together again, first the rows, then the map. The rest of the network stays as it was.

Exactness: a patch must see what lies around it (its halo), but the outer border must be padded as before. TFLM pads a
map on both sides (SAME) or on none (VALID), and a PAD operator would keep a second copy of the widest maps. So the
slices of the input carry the whole halo of all n operators, every operator pads as before, and what the padding spoils
at an inner border is sliced away at the end. Slices begin and end at multiples of the stride of the n operators, so
that SAME pads a patch as it pads the map. The map is the network's, value for value, and so are the logits; the script
checks both.

    python benchmarks/patches_on_tflm.py --out benchmarks/results/patches_on_tflm.csv

Measured per network, number of patches and n (1 patch: the network as it was): MACs, the arena that TFLM reports on
this host (head: activations; tail: records, one per copy of an operator), the arena derived for a 32-bit board, the
file (in patches without the exporter's alignment of constants). The simulated arena has to be the reported one.
"""

from __future__ import annotations

import argparse
import copy
import csv
import importlib.metadata
from itertools import pairwise, product, takewhile
from pathlib import Path

import flatbuffers
import numpy as np

from danas_jax.deploy.tflite_writer import random_model, schema, write_tflite
from danas_jax.deploy.verify import operators, reported, run_tflm
from danas_jax.hardware import graph, tflite_reader, tflm
from danas_jax.hardware.graph import Graph
from danas_jax.spaces import mobilenetv2_tiny

IMAGES = 3
MAX_STRIDE = 8  # of the operators in patches; halos of deeper ones are whole maps, and the arena grows
Span = tuple[int, int]


def strides(net: Graph, n: int) -> int:
    """Of the first n operators together; maps are square, and every stride divides its map here."""
    size, side = (net.tensors[t].shape[1] for t in (net.inputs[0], net.operators[n - 1].outputs[0]))
    return size // side


def cuts(net: Graph) -> list[int]:
    """Numbers of operators after which nothing but the last one's map is read again, up to MAX_STRIDE."""
    found = []
    for n in takewhile(lambda n: strides(net, n) <= MAX_STRIDE, range(1, len(net.operators))):
        written = {t for op in net.operators[: n - 1] for t in op.outputs}
        if not written & {t for op in net.operators[n:] for t in op.inputs}:
            found.append(n)
    return found


def spans(net: Graph, n: int, patches: int) -> tuple[list[Span], list[Span]]:
    """(slice of the input, slice of what the patch computes) per patch along a side.

    The first is the halo through n operators, outwards to multiples of their stride.
    """
    stride, side = strides(net, n), net.tensors[net.operators[n - 1].outputs[0]].shape[1]
    edges = [i * side // patches for i in range(patches + 1)]
    of_input, of_output = [], []
    for begin, end in pairwise(edges):
        needs: dict[int, Span] = {net.operators[n - 1].outputs[0]: (begin, end)}
        for op in reversed(net.operators[:n]):
            first, last = needs[op.outputs[0]]
            (kernel, _), (step, _) = op.kernel, op.stride
            before, after = (kernel - step) // 2, kernel - step - (kernel - step) // 2  # SAME, sides divide
            for t in op.inputs[: 2 if op.name == "ADD" else 1]:
                a, b = first * step - before, last * step + after
                needs[t] = min(a, needs.get(t, (a, b))[0]), max(b, needs.get(t, (a, b))[1])
        first, last = needs[net.inputs[0]]
        first, last = max(first // stride, 0), min(-(-last // stride), side)
        of_input.append((first * stride, last * stride))
        of_output.append((begin - first, end - first))
    return of_input, of_output


class Editor:
    """The growing lists of a patched model."""

    def __init__(self, model: schema.ModelT) -> None:
        self.model, self.tensors = model, model.subgraphs[0].tensors
        self.operators: list[schema.OperatorT] = []

    def numbers(self, *values: int) -> int:
        """A constant int32 tensor."""
        self.model.buffers.append(schema.BufferT(data=np.array(values, np.int32).view(np.uint8)))
        kind, buffer = schema.TensorType.INT32, len(self.model.buffers) - 1
        self.tensors.append(schema.TensorT(shape=np.array([len(values)], np.int32), type=kind, buffer=buffer))
        return len(self.tensors) - 1

    def like(self, tensor: int, height: int, width: int) -> int:
        """A tensor of another height and width, quantised alike."""
        new = copy.copy(self.tensors[tensor])
        new.shape = np.array([1, height, width, new.shape[3]], np.int32)
        self.tensors.append(new)
        return len(self.tensors) - 1

    def operator(self, code: int, inputs: list[int], output: int, options) -> int:
        """Appends an operator and returns its output."""
        codes = [c.builtinCode for c in self.model.operatorCodes]
        if code not in codes:
            codes.append(code)
            self.model.operatorCodes.append(schema.OperatorCodeT(deprecatedBuiltinCode=code, builtinCode=code))
        op = schema.OperatorT(codes.index(code), np.array(inputs, np.int32), np.array([output], np.int32))
        op.builtinOptionsType, op.builtinOptions = getattr(schema.BuiltinOptions, type(options).__name__[:-1]), options
        self.operators.append(op)
        return output

    def slice(self, tensor: int, rows: Span, columns: Span) -> int:
        _, height, width, channels = (int(size) for size in self.tensors[tensor].shape)
        if (*rows, *columns) == (0, height, 0, width):
            return tensor
        begin, end = self.numbers(0, rows[0], columns[0], 0), self.numbers(1, rows[1], columns[1], channels)
        output = self.like(tensor, rows[1] - rows[0], columns[1] - columns[0])
        inputs, code = [tensor, begin, end, self.numbers(1, 1, 1, 1)], schema.BuiltinOperator.STRIDED_SLICE
        return self.operator(code, inputs, output, schema.StridedSliceOptionsT())

    def join(self, tensors: list[int], axis: int, output: int | None = None) -> int:
        if output is None:
            shapes = [self.tensors[t].shape for t in tensors]
            output = self.like(tensors[0], shapes[0][1], sum(int(shape[2]) for shape in shapes))
        code = schema.BuiltinOperator.CONCATENATION
        return self.operator(code, tensors, output, schema.ConcatenationOptionsT(axis=axis))

    def again(self, op: schema.OperatorT, tensors: dict[int, int]) -> None:
        """Appends `op` on a patch; `tensors`: of the network -> of the patch, its output is added."""
        new, stride = copy.copy(op), getattr(op.builtinOptions, "strideH", 1)
        height, width = self.tensors[tensors[op.inputs[0]]].shape[1:3] // stride
        tensors[op.outputs[0]] = self.like(op.outputs[0], height, width)
        new.inputs = np.array([tensors.get(t, t) for t in op.inputs], np.int32)
        new.outputs = np.array([tensors[op.outputs[0]]], np.int32)
        self.operators.append(new)


def drop_unused(subgraph: schema.SubGraphT) -> None:
    """Removes the maps that were cut: TFLM plans memory for every tensor of a file."""
    tables, ends = [subgraph, *subgraph.operators], ("inputs", "outputs")
    used = sorted({int(t) for table in tables for end in ends for t in getattr(table, end)})
    place = {t: i for i, t in enumerate(used)}
    subgraph.tensors = [subgraph.tensors[t] for t in used]
    for table, end in product(tables, ends):
        setattr(table, end, np.array([place[t] for t in getattr(table, end)], np.int32))


def packed(model: schema.ModelT) -> bytes:
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def patched(tflite: bytes, n: int, slices: tuple[list[Span], list[Span]]) -> bytes:
    """The file with its first n operators in patches."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(tflite))
    editor, subgraph = Editor(model), model.subgraphs[0]
    first, rest = subgraph.operators[:n], subgraph.operators[n:]
    (source,), whole, rows = subgraph.inputs, first[-1].outputs[0], []
    for of_input, of_output in zip(*slices, strict=True):
        row = []
        for columns, kept in zip(*slices, strict=True):
            tensors = {source: editor.slice(source, of_input, columns)}
            for op in first:
                editor.again(op, tensors)
            row.append(editor.slice(tensors[whole], of_output, kept))
        rows.append(editor.join(row, axis=2))
    editor.join(rows, axis=1, output=whole)
    subgraph.operators = editor.operators + rest
    drop_unused(subgraph)
    return packed(model)


def ended(tflite: bytes, n: int) -> bytes:
    """The file of the first n operators alone, whose answer is the last one's map."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(tflite))
    subgraph = model.subgraphs[0]
    subgraph.operators = subgraph.operators[:n]
    subgraph.outputs = subgraph.operators[-1].outputs
    drop_unused(subgraph)
    return packed(model)


def measured(tflite: bytes) -> dict[str, int]:
    """Figures of a file; raises where the simulated arena is not what TFLM reports."""
    net, said = tflite_reader.parse(tflite, "patched.tflite"), reported(tflite)
    if (said["head"], said["total"]) != (tflm.head_bytes(net), tflm.arena_host_bytes(net)):
        raise RuntimeError(f"TFLM reports {said}, simulated: {tflm.head_bytes(net)}, {tflm.arena_host_bytes(net)}")
    return {
        "macs": graph.total_macs(net),
        "head_bytes": said["head"],
        "tail_host_bytes": said["tail"],
        "arena_host_bytes": said["total"],
        "arena_device_bytes": tflm.arena_device_bytes(net),
        "file_bytes": len(tflite),
    }


def main() -> None:
    """Measure every network, number of patches and n."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/patches_on_tflm.csv"))
    options = parser.parse_args()
    rows, version = [], importlib.metadata.version("tflite-micro")
    for side_px, (name, share) in product((96, 128), (("smallest", 0), ("median", 0.5), ("largest", 1))):
        space = mobilenetv2_tiny((side_px,), ("rgb",))
        genes = (space.min_genes + share * (space.max_genes - space.min_genes)).astype(int)
        plain = write_tflite(random_model(space.layers(space.canonical(genes), 2)), {})
        images = np.random.default_rng(0).integers(0, 256, (IMAGES, side_px, side_px, 3)).astype(np.uint8)
        net = tflite_reader.parse(plain, "plain.tflite")
        which = {"tflite_micro": version, "network": name, "resolution_px": side_px}
        rows.append({**which, "patches": 1, "operators": 0, **measured(plain)})
        for patches, n in product((2, 3), cuts(net)):
            tflite = patched(plain, n, spans(net, n, patches))
            rows.append({**which, "patches": patches**2, "operators": n, **measured(tflite)})
            print(rows[-1], flush=True)
            maps = ended(tflite, len(operators(tflite)) - len(net.operators) + n), ended(plain, n)
            for ours, theirs in ((tflite, plain), maps):
                if (run_tflm(ours, images) != run_tflm(theirs, images)).any():
                    raise RuntimeError("these patches give other answers")
    with options.out.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
