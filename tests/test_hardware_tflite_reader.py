"""The reader of .tflite files: its figures against LayerSpec's and by hand, other operators, and damaged files."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import deploy_nets
import numpy as np
import pytest
from tflite_files import OP, TYPE, constant, int8, written

from danas_jax.deploy.tflite_writer import random_model, schema, write_tflite
from danas_jax.errors import UserError
from danas_jax.hardware import flash, flatbuffer, graph, tflite_reader, tflm
from danas_jax.layers import LayerBuilder, total_macs

BUILTIN = {"conv": "CONV_2D", "depthwise": "DEPTHWISE_CONV_2D", "add": "ADD", "avg_pool": "AVERAGE_POOL_2D"}
BUILTIN["dense"] = "FULLY_CONNECTED"
SHARED_NAME = "person_teacher_144px.tflite"


def residuals():
    net = LayerBuilder((9, 7, 3), "relu")
    net.conv("a", 8, 3, 2)
    net.conv("b", 8)
    net.conv("c", 24, activate=False)
    net.depthwise("d", 5)
    net.conv("e", 8)
    net.add("inner", "b")
    net.add("outer", "a")
    net.pool("p")
    net.dense("logits", 3)
    return net.build()


NETWORKS = [residuals(), *deploy_nets.networks()]
FILE = write_tflite(random_model(residuals()), {"note": "x"})


def parse(data):
    return tflite_reader.parse(data, "some.tflite")


@pytest.mark.parametrize("layers", NETWORKS, ids=lambda layers: f"{len(layers)}-layers")
def test_figures_are_those_of_the_layers(layers):
    data = write_tflite(random_model(layers), {"note": "x"})
    net = parse(data)
    assert graph.macs(net) == tuple(layer.macs for layer in layers)
    assert graph.total_macs(net) == total_macs(layers)
    params = sum(layer.params for layer in layers)
    assert graph.params(net) == params
    assert graph.weight_bytes(net) == params + 3 * sum(x.out_shape[2] for x in layers if x.weight_shape)
    assert net.file_bytes == len(data)
    # names, shapes, bytes, scales, buffers and the order of everything
    assert graph.from_layers(layers) == replace(net, file_bytes=flash.file_bytes(net))
    for op, layer in zip(net.operators, layers, strict=True):
        assert (op.name, op.activation) == (BUILTIN[layer.op], layer.activation)
        if layer.op in ("conv", "depthwise"):
            assert (op.kernel, op.stride, op.padding) == (layer.kernel, (layer.stride,) * 2, "same")
        elif layer.op == "avg_pool":
            assert (op.kernel, op.stride, op.padding) == (layer.in_shape[:2], layer.in_shape[:2], "valid")
        else:
            assert (op.kernel, op.stride, op.padding) == ((1, 1), (1, 1), "")


def conv(stride=(1, 1), padding=0):
    return schema.Conv2DOptionsT(strideH=stride[0], strideW=stride[1], padding=padding, fusedActivationFunction=1)


def pool(size):
    return schema.Pool2DOptionsT(filterHeight=size[0], filterWidth=size[1], strideH=1, strideW=2, padding=1)


def test_other_operators_by_hand():
    depthwise = schema.DepthwiseConv2DOptionsT(strideH=2, strideW=1, depthMultiplier=2, fusedActivationFunction=3)
    net = parse(
        written(
            [
                ("image", (1, 6, 6, 4), TYPE.UINT8, None, 1),  # 0: 144 B
                int8("", 1, 6, 6, 4),  # 1: 144 B
                constant("pads", 4, 2, kind=TYPE.INT32, element=4),  # 2
                int8("", 1, 8, 8, 4),  # 3: 256 B
                constant("k", 6, 3, 5, 2, scales=6),  # 4: two groups
                constant("bias", 6, kind=TYPE.INT32, element=4),  # 5
                int8("c", 1, 6, 2, 6),  # 6: 72 B
                constant("w", 1, 3, 1, 12),  # 7: depth multiplier 2
                int8("d", 1, 3, 2, 12),  # 8: 72 B
                int8("m", 1, 2, 1, 12),  # 9: 24 B
                ("s", (4,), TYPE.INT32, None, 0),  # 10: 16 B
                int8("r", 1, 24),  # 11: 24 B
                constant("f", 6, 24),  # 12
                constant("bias2", 6, kind=TYPE.INT32, element=4),  # 13: the data of 5
                int8("y", 1, 6),  # 14: 6 B
                int8("all", 1, 12),  # 15: 12 B
            ],
            [
                (OP.QUANTIZE, [0], [1], None),
                (OP.PAD, [1, 2], [3], schema.PadOptionsT()),
                (OP.CONV_2D, [3, 4, 5], [6], conv((1, 2), 1)),
                (OP.DEPTHWISE_CONV_2D, [6, 7, -1], [8], depthwise),
                (OP.MAX_POOL_2D, [8], [9], pool((2, 1))),
                (OP.SHAPE, [9], [10], schema.ShapeOptionsT()),
                (OP.RESHAPE, [9, 10], [11], schema.ReshapeOptionsT()),
                (OP.FULLY_CONNECTED, [11, 12, 13], [14], schema.FullyConnectedOptionsT()),
                (OP.CONCATENATION, [14, 14], [15], schema.ConcatenationOptionsT(fusedActivationFunction=1)),
            ],
            outputs=(9, 15),
        )
    )
    ops = net.operators
    assert graph.macs(net) == (0, 0, 72 * 3 * 5 * 2, 72 * 3, 0, 0, 0, 24 * 6, 0)
    assert graph.params(net) == 180 + 6 + 36 + 144 + 6
    assert graph.weight_bytes(net) == 180 + 24 + 36 + 144  # the biases share their data
    assert [t.name for t in graph.activations(net)][:3] == ["image", "#1", "#3"]
    assert graph.live_bytes(net) == [288, 144 + 256, 256 + 72, 144, 72 + 24, 24 + 16, 64, 24 + 24 + 6, 24 + 6 + 12]
    assert (ops[2].kernel, ops[2].stride, ops[2].padding, ops[2].activation) == ((3, 5), (1, 2), "valid", "relu")
    assert (ops[3].kernel, ops[3].stride, ops[3].padding, ops[3].activation) == ((3, 1), (2, 1), "same", "relu6")
    assert (ops[4].kernel, ops[4].stride, ops[4].padding) == ((2, 1), (1, 2), "valid")
    assert (ops[3].inputs, ops[8].activation, net.outputs) == ((6, 7, -1), "relu", (9, 15))
    assert net.tensors[4] == graph.Tensor("k", (6, 3, 5, 2), "int8", 180, 180, net.tensors[4].buffer, 6)
    assert net.tensors[0].type == "uint8" and net.tensors[0].constant_bytes == 0
    assert [net.tensors[i].scales for i in (0, 1, 7)] == [1, 0, 0]


A, K, C = int8("a", 1, 4, 4, 2), constant("k", 3, 1, 1, 2), int8("c", 1, 4, 4, 3)
CONV = (OP.CONV_2D, [0, 1], [2], conv())


def test_the_small_file_is_right():
    assert graph.macs(parse(written([A, K, C], [CONV]))) == (96,)


@pytest.mark.parametrize(
    ("tensors", "operators", "more", "message"),
    [
        ([A, K, C], [CONV], {"subgraphs": 2}, "2 subgraphs"),
        ([A, K, C], [CONV], {"subgraphs": 0}, "0 subgraphs"),
        ([A, K, C], [CONV], {"version": 2}, "schema version 2"),
        ([A, K, C], [CONV], {"inputs": (7,)}, "tensor 7 of 3"),
        ([A, K, C], [CONV], {"outputs": ()}, "0 outputs"),
        ([A, K, C], [], {}, "0 operators"),
        ([A, K, C], [CONV], {"inputs": (2,)}, r"operator 0 \(CONV_2D\): its input 'a' is written by no earlier"),
        ([A, K, C], [CONV, CONV], {}, r"operator 1 \(CONV_2D\): its output 'c' is given twice"),
        ([A, K, C, A], [CONV], {}, "output 'a#3' is written by no layer"),
        ([A, K, C], [CONV, (OP.MUL, [2, 2], [2], None)], {}, r"operator 1 \(MUL\): this operator is not read"),
        ([A, K, C], [(OP.CUSTOM, [0], [2], None)], {}, r"operator 0 \(CUSTOM \)"),
        ([A, K, C], [(OP.STABLEHLO_ADD, [0], [2], None)], {}, r"operator 0 \(builtin operator 163\)"),
        ([A, K, C], [(OP.CONV_2D, [0, 9], [2], conv())], {}, r"operator 0 \(CONV_2D\): tensor 9 of 3"),
        ([A, K, C], [(OP.CONV_2D, [0, 1], [], conv())], {}, "no output"),
        ([A, K, C], [(OP.CONV_2D, [0, 1], [2], None)], {}, "missing"),
        ([A, K, C], [(OP.CONV_2D, [0], [2], conv())], {}, "needs int8 input, kernel and output"),
        ([A, K, C], [(OP.CONV_2D, [0, 1], [2], pool((2, 2)))], {}, "options of kind 5, not 1"),
        ([A, K, C], [(OP.CONV_2D, [0, 1], [2], conv((0, 1)))], {}, "must be positive"),
        ([A, K, C], [(OP.CONV_2D, [0, 1], [2], conv(padding=5))], {}, "padding 5"),
        ([A, K, C], [(OP.RESHAPE, [0], [1], None)], {}, "writes a constant"),
        ([A, K, C], [(OP.RESHAPE, [], [2], None)], {}, r"its inputs are \[\], it needs 1"),
        ([A, K, C], [(OP.MEAN, [0, -1], [2], None)], {}, r"its inputs are \[0, -1\], it needs 2"),
        ([int8("a", 0), int8("b", 0)], [(OP.SOFTMAX, [0], [1], None)], {}, "is empty"),
        ([A, constant("k", 3, 1, 1, 2, kind=TYPE.FLOAT32, element=4), C], [CONV], {}, "float32"),
        ([A, constant("k", 3, 1, 1, 2, element=2), C], [CONV], {}, r"tensor 1: 12 B of data, 6 B"),
        ([A, constant("k", 4, 1, 1, 2), C], [CONV], {}, "do not fit"),
        ([A, constant("k", 3, 2), C], [CONV], {}, "do not fit"),
        ([A, constant("k", 3, 1, 1, 0), C], [CONV], {}, "do not fit"),
        ([A, K, ("c", (1, -1, 4, 3), TYPE.INT8, None, 0)], [CONV], {}, "known size"),
        ([A, K, ("c", (1, 4, 4, 3), TYPE.INT4, None, 0)], [CONV], {}, "tensor 2: tensor type 17"),
    ],
)
def test_what_is_not_read_is_named(tensors, operators, more, message):
    with pytest.raises(UserError, match=rf"^some\.tflite: .*{message}"):
        parse(written(tensors, operators, **more))


def test_files_that_are_none(tmp_path, monkeypatch):
    path = tmp_path / "a.tflite"
    for data, message in [(b"", "empty"), (b"\x89PNG\r\n\x1a\n" * 9, "no .tflite file"), (FILE[:7], "no .tflite file")]:
        path.write_bytes(data)
        with pytest.raises(UserError, match=rf"a\.tflite: .*{message}"):
            tflite_reader.read(path)
    for other in (tmp_path, tmp_path / "missing.tflite"):
        with pytest.raises(UserError, match=rf"{other.name}: no such file"):
            tflite_reader.read(other)
    path.write_bytes(FILE)
    assert tflite_reader.read(str(path)) == parse(FILE)
    monkeypatch.setattr(tflite_reader, "MAX_FILE_BYTES", len(FILE) - 1)
    with pytest.raises(UserError, match="larger than"):
        tflite_reader.read(path)


def graph_or_user_error(data):
    """1 for a Graph whose figures can be had, 0 for a UserError; anything else fails the test."""
    net, said = None, ""
    try:
        net = parse(data)
    except UserError as error:
        said = str(error)
    if net is None:
        assert said.startswith("some.tflite: ")
        return 0
    figures = graph.total_macs(net), graph.params(net), graph.weight_bytes(net), graph.live_peak_bytes(net)
    assert min(*figures, *tflm.arenas(net)) >= 0
    return 1


def test_cut_files_end_in_a_user_error():
    assert graph_or_user_error(FILE) == 1
    lengths = [*range(200), *range(200, len(FILE), 7), len(FILE) - 1]
    assert sum(graph_or_user_error(FILE[:n]) for n in lengths) < len(lengths) // 10


def test_flipped_bytes_end_in_a_graph_or_a_user_error():
    rng, read = np.random.default_rng(5), 0
    for _ in range(1500):
        data = np.frombuffer(FILE, np.uint8).copy()
        places = rng.integers(0, len(data), int(rng.integers(1, 9)))
        data[places] = rng.choice([0, 1, 127, 128, 255, int(rng.integers(256))], places.size)
        read += graph_or_user_error(data.tobytes())
    assert 100 < read < 1400  # both ways are taken


def test_what_is_read_is_bounded(monkeypatch):
    # offsets may share a vector or a table, so a small file could otherwise stand for hours of reading
    endless = (OP.ADD, np.zeros(flatbuffer.BUDGET, np.int32), [1], None)
    with pytest.raises(UserError, match="too many tensors and operators"):
        parse(written([A, C], [endless]))
    monkeypatch.setattr(flatbuffer, "BUDGET", 50 * flatbuffer.TABLE_COST)
    with pytest.raises(UserError, match="too many tensors and operators"):
        parse(FILE)


def test_a_published_model(shared):
    path = shared / "models" / SHARED_NAME
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    net = tflite_reader.read(path)
    assert (len(net.operators), net.file_bytes) == (155, 945_928)
    assert [net.tensors[i].shape for i in (*net.inputs, *net.outputs)] == [(1, 144, 144, 3), (1, 2)]
    assert graph.params(net) < graph.weight_bytes(net) < net.file_bytes
    assert graph.total_macs(net) == 55_771_280
    # what the tflite-micro interpreter reports as the head of its arena for this file
    assert graph.live_peak_bytes(net) == 298_752


def test_import_is_light():
    code = (
        "import sys, danas_jax.hardware.tflite_reader; "
        "print([m for m in ('jax', 'flax', 'tensorflow', 'tflite_micro', 'numpy') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
