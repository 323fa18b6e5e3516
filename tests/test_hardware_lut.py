"""Latency tables: keys, files, what is looked up, interpolated and fallen back, and what is refused."""

from __future__ import annotations

import deploy_nets
import numpy as np
import pytest

from danas_jax.deploy.tflite_writer import random_model, write_tflite
from danas_jax.errors import UserError
from danas_jax.hardware import latency, layer_key, lut, tflite_reader
from danas_jax.hardware.layer_key import OVERHEAD, Key
from danas_jax.hardware.lut import Row, Table
from danas_jax.layers import LayerBuilder

NAMES = {"conv": "CONV_2D", "depthwise": "DEPTHWISE_CONV_2D", "add": "ADD", "avg_pool": "AVERAGE_POOL_2D"}
HEADER = '# {"board": "mine", "runtime": "tflm", "version": 1}\n'
COLUMNS = "op,input,output,kernel,stride,padding,ms\n"
CONV_ROW = "CONV_2D,8x8x4,8x8x6,1,1,same,0.5\n"


def graph_of(layers):
    return tflite_reader.parse(write_tflite(random_model(layers), {}), "net")


def pointwise(size, inputs, outputs):
    return Key("CONV_2D", (size, size, inputs), (size, size, outputs), padding="same")


def network():
    """Two pointwise convolutions, a depthwise one and a classifier: 1,024, 2,304, 1,728 and 1,152 MACs."""
    net = LayerBuilder((8, 8, 4))
    net.conv("a", 4)
    net.conv("b", 9)
    net.depthwise("c", 3, 2)
    net.dense("logits", 8)
    return graph_of(net.build())


@pytest.mark.parametrize("layers", deploy_nets.networks(), ids=lambda layers: f"{len(layers)}-layers")
def test_a_key_is_the_layer_and_survives_a_file(layers, tmp_path):
    graph = graph_of(layers)
    keys = [layer_key.key_of(graph, operator) for operator in graph.operators]
    for key, layer in zip(keys, layers, strict=True):
        if layer.op == "dense":
            assert key == Key("FULLY_CONNECTED", (np.prod(layer.in_shape),), (layer.out_shape[2],))
        else:
            pool = layer.op == "avg_pool"
            window, stride = ((layer.in_shape[:2],) * 2) if pool else (layer.kernel, (layer.stride,) * 2)
            padding = {"add": "", "avg_pool": "valid"}.get(layer.op, "same")
            assert key == Key(NAMES[layer.op], layer.in_shape, layer.out_shape, window, stride, padding)
        assert key.macs == layer.macs
    rows = {key: Row(0.1 + i, i, 0.25) for i, key in enumerate([Key(OVERHEAD), *dict.fromkeys(keys)])}
    path = tmp_path / "table.csv"
    path.write_text(lut.text(Table("mine", "tflm", rows, info={"machine": {"cpus": 2}})))
    table = lut.load(path)
    assert (table.board, table.runtime, table.rows, table.info) == ("mine", "tflm", rows, {"machine": {"cpus": 2}})


@pytest.mark.parametrize(
    ("key", "features"),
    [
        # per axis 3 + 3 + 3 + 2 + 2 of the taps of five windows lie inside
        (Key("DEPTHWISE_CONV_2D", (5, 5, 2), (5, 5, 2), (3, 3), (1, 1), "same"), (450, 13 * 13 * 2, 50, 50)),
        # an odd row of padding lies below and right: 3 + 2 taps per axis
        (Key("CONV_2D", (4, 4, 3), (2, 2, 7), (3, 3), (2, 2), "same"), (756, 25 * 3 * 7, 28, 48)),
        (Key("CONV_2D", (5, 5, 3), (3, 3, 1), (3, 3), (1, 1), "valid"), (243, 243, 9, 75)),
        # a window of 5 on a map of 2: only 2 x 2 of its taps are inside, whatever its place
        (Key("DEPTHWISE_CONV_2D", (2, 2, 1), (2, 2, 1), (5, 5), (1, 1), "same"), (100, 16, 4, 4)),
        (Key("AVERAGE_POOL_2D", (3, 3, 8), (1, 1, 8), (3, 3), (3, 3), "valid"), (72, 72, 8, 72)),
        (Key("FULLY_CONNECTED", (12,), (5,)), (60, 60, 5, 12)),
        (Key("ADD", (3, 2, 4), (3, 2, 4)), (24, 24, 24, 24)),
    ],
)
def test_features_counted_by_hand(key, features):
    assert key.features.tolist() == [*features, 1]


def test_every_operator_is_looked_up_interpolated_or_fallen_back():
    graph = network()
    keys = [layer_key.key_of(graph, operator) for operator in graph.operators]
    # 2 us + 1 us a product for pointwise layers; the network's second one is not among them
    points = {pointwise(8, 4, c): Row(0.002 + 0.001 * 256 * c) for c in (4, 6, 8, 12)}
    table = Table("mine", "tflm", {Key(OVERHEAD): Row(0.5), keys[2]: Row(3.0), **points})
    found = lut.predict(table, graph)
    assert [operator.source for operator in found.operators] == ["looked_up", "interpolated", "looked_up", "fallback"]
    mean = (3.0 + sum(row.ms for row in points.values())) / (keys[2].macs + sum(key.macs for key in points))
    expected = [0.002 + 1.024, 0.002 + 2.304, 3.0, keys[3].macs * mean]
    assert [operator.ms for operator in found.operators] == pytest.approx(expected)
    total = 0.5 + sum(expected)
    assert found.total_ms == pytest.approx(total)
    shares = (found.looked_up_share, found.interpolated_share, found.fallback_share)
    assert shares == pytest.approx(((0.5 + 1.026 + 3.0) / total, 2.306 / total, expected[3] / total))
    assert "mean over the table (no published line for mine" in found.basis


def test_what_no_row_tells_costs_the_published_line():
    graph = network()
    total = sum(layer_key.key_of(graph, op).macs for op in graph.operators)
    far = Table("stm32h743", "tflm", {pointwise(64, 64, 64): Row(9.0)})
    found, line = lut.predict(far, graph), latency.line("stm32h743")
    assert found.fallback_share == 1
    assert found.total_ms == pytest.approx(line.fixed_ms + line.ms_per_mmac * total / 1e6)
    assert found.basis == line.basis


def test_interpolation_needs_its_own_points_and_stays_near_them():
    points = [pointwise(8, 4, c) for c in (4, 6, 8, 12)]
    table = Table("mine", "tflm", {key: Row(0.001 * key.macs) for key in points})
    assert table.time(pointwise(8, 4, 24)) == (pytest.approx(0.001 * 256 * 24), "interpolated")
    assert table.time(pointwise(8, 4, 25)) is None  # more than twice the largest
    assert table.time(pointwise(8, 4, 1)) is None  # less than half the smallest
    other_stride = Key("CONV_2D", (16, 16, 4), (8, 8, 6), (1, 1), (2, 2), "same")
    assert table.time(other_stride) is None
    two = Table("mine", "tflm", {key: Row(0.001 * key.macs) for key in points[:2]})
    assert two.time(pointwise(8, 4, 5)) is None
    assert table.time(None) is None


def test_pools_of_different_windows_are_one_family():
    def pool(size):
        return Key("AVERAGE_POOL_2D", (size, size, 8), (1, 1, 8), (size, size), (size, size), "valid")

    table = Table("mine", "tflm", {pool(size): Row(0.1 * size * size) for size in (2, 4, 6)})
    assert table.time(pool(5)) == (pytest.approx(2.5), "interpolated")


def test_a_row_of_zero_ms_is_looked_up_but_no_point_of_the_line():
    keys = [pointwise(8, 4, c) for c in (4, 6, 8)]
    table = Table("mine", "tflm", {key: Row(0.001 * key.macs) for key in keys} | {pointwise(8, 4, 7): Row(0.0)})
    assert table.time(pointwise(8, 4, 7)) == (0.0, "looked_up")
    assert table.time(pointwise(8, 4, 5)) == (pytest.approx(0.001 * 256 * 5), "interpolated")


@pytest.mark.parametrize(
    "key", [Key("SOFTMAX", (2,), (2,)), Key("AVERAGE_POOL_2D", (4, 4, 2), (1, 1, 2), (4, 4), (4, 4))]
)
def test_a_table_for_other_operators_is_refused(key):
    """A pool alone does not help either: it would leave all MACs of the network without a time."""
    net = LayerBuilder((8, 8, 4))
    net.conv("a", 4)
    net.pool("pool")
    table = Table("mine", "tflm", {key: Row(1.0), Key(OVERHEAD): Row(1.0)}, "my.csv")
    with pytest.raises(UserError, match=rf"my.csv: a table of other operators \({key.op}\); the network has CONV_2D$"):
        lut.predict(table, graph_of(net.build()))


def test_kernel_and_stride_may_be_one_number_and_columns_in_any_order(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("ms,op,stride,input,output,kernel,padding\n1.5,CONV_2D,2,5x7x3,3x4x8,3x5,same\n\n2,ADD,,4,4,,\n")
    header, rows = lut.read_rows(path)
    conv = Key("CONV_2D", (5, 7, 3), (3, 4, 8), (3, 5), (2, 2), "same")
    assert (header, rows) == ({}, {conv: Row(1.5), Key("ADD", (4,), (4,)): Row(2.0)})


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (HEADER + COLUMNS, "holds no rows"),
        (HEADER + COLUMNS + CONV_ROW + CONV_ROW, "line 4: the same layer as in .*line 3"),
        (HEADER + COLUMNS + CONV_ROW + CONV_ROW.replace(",1,1,", ",1x1,1x1,"), "line 4: the same layer"),
        (HEADER + COLUMNS + CONV_ROW.replace("0.5", "-0.5"), "line 3: ms = '-0.5': give a number, 0 or more"),
        (HEADER + COLUMNS + CONV_ROW.replace("0.5", ""), "ms = '': give a number"),
        (HEADER + COLUMNS + CONV_ROW.replace("0.5", "nan"), "ms = 'nan': give a number"),
        (HEADER + COLUMNS + CONV_ROW.replace("0.5", "inf"), "ms = 'inf': give a number"),
        (HEADER + COLUMNS + CONV_ROW.replace("CONV_2D", "CONV2D"), "op = 'CONV2D': did you mean CONV_2D"),
        (HEADER + COLUMNS + CONV_ROW.replace("CONV_2D", "LSTM"), "op = 'LSTM': Operators are OVERHEAD, ADD"),
        (HEADER + COLUMNS + CONV_ROW.replace("8x8x4", "8x8"), "input = '8x8': give 24x24x16"),
        (HEADER + COLUMNS + CONV_ROW.replace("8x8x4", "8x8x0"), "input = '8x8x0'.* from 1 to 65536"),
        (HEADER + COLUMNS + CONV_ROW.replace("8x8x4", "8*8*4"), "input = '8\\*8\\*4': give 24x24x16"),
        (HEADER + COLUMNS + CONV_ROW.replace("8x8x6", "4x4x6"), "output = '4x4x6': .* give 8x8"),
        (HEADER + COLUMNS + CONV_ROW.replace(",1,1,", ",3x3x3,1,"), "kernel = '3x3x3': give one size or 3x3"),
        (HEADER + COLUMNS + CONV_ROW.replace("same", "none"), "padding = 'none': give same or valid"),
        (HEADER + COLUMNS + "DEPTHWISE_CONV_2D,8x8x4,8x8x6,1,1,same,1\n", "4 channels become 6"),
        (HEADER + COLUMNS + "ADD,8x8x4,8x8x4,3,,,1\n", "kernel = '3': give nothing"),
        (HEADER + COLUMNS + "OVERHEAD,8,,,,,1\n", "OVERHEAD is of a whole inference"),
        (HEADER + COLUMNS + CONV_ROW.replace(",0.5", ""), "6 cells, 7 columns"),
        (HEADER + COLUMNS.replace("output", "outputs") + CONV_ROW, "missing: 'output'; unknown: 'outputs'"),
        (HEADER + COLUMNS.replace("padding", "op") + CONV_ROW, "given twice: 'op'"),
        (HEADER + COLUMNS + '"CONV_2D\n', "line 3: unexpected end of data"),
        (COLUMNS + CONV_ROW, "version is None, this danas reads tables of version 1"),
        (HEADER.replace('"mine"', "3") + COLUMNS + CONV_ROW, "line 1: board = 3: give a name"),
        (HEADER.replace("}", "") + COLUMNS + CONV_ROW, "line 1: after # a JSON object is expected"),
        ("# [1]\n" + COLUMNS + CONV_ROW, "line 1: after # a JSON object is expected, found list"),
        ("", "missing: 'op', 'input', 'output', 'ms'"),
        (b"\xff\xfe\x00", "no CSV file"),
    ],
)
def test_bad_tables_are_refused_by_place(tmp_path, content, expected):
    path = tmp_path / "table.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError, match=expected) as found:
        lut.load(path)
    assert str(path) in str(found.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"nowhere\.csv: No such file"):
        lut.load(tmp_path / "nowhere.csv")
