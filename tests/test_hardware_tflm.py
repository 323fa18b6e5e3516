"""The simulated arena: the greedy plan by hand, then every operator, file and order of tensors against TFLM itself."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from test_hardware_memory import depthwise, linear, residual, two_residuals
from tflite_files import OP, TYPE, constant, int8, numbers, packed, written

from danas_jax.deploy.tflite_writer import random_model, schema, write_tflite
from danas_jax.deploy.verify import VerificationError, reported, run_tflm
from danas_jax.hardware import graph, tflite_reader, tflm
from danas_jax.hardware.memory import Tensor
from danas_jax.layers import LayerBuilder
from danas_jax.spaces import mobilenetv2_tiny


def test_plan_first_gap_and_ties():
    # 64 lives 0-1 at 0; 48 lives 1-2 above it; 32 lives 2-2 fits below the 48; 16 B alignment: 33 counts as 48
    buffers = [Tensor("x", 64, 0, 1), Tensor("y", 48, 1, 2), Tensor("z", 32, 2, 2)]
    assert tflm.plan(buffers) == [0, 64, 0]
    assert tflm.plan([Tensor("x", 33, 0, 1), Tensor("y", 1, 1, 1)]) == [0, 48]
    # equal sizes: the later buffer is placed first
    assert tflm.plan([Tensor("x", 16, 0, 1), Tensor("y", 16, 1, 1)]) == [16, 0]
    # a gap between two buffers is used before the end
    gap = [Tensor("a", 64, 0, 5), Tensor("b", 48, 0, 2), Tensor("c", 32, 1, 5), Tensor("d", 16, 4, 4)]
    assert tflm.plan(gap) == [0, 64, 112, 64]
    # a gap of exactly the size is big enough: f between d's end at 96 and c
    exact = [Tensor("a", 64, 0, 5), Tensor("b", 48, 0, 1), Tensor("d", 32, 3, 4), Tensor("c", 32, 1, 5)]
    assert tflm.plan([*exact, Tensor("f", 16, 4, 4)]) == [0, 64, 64, 112, 96]


def test_head_by_hand():
    # the residual's b at 0 to 384; of the 128 B tensors the last comes first: s at 0 (b is gone), c at 384, a at 512,
    # the input (b is not there yet) at 0
    assert tflm.head_bytes(graph.from_layers(residual())) == 640


def pools():
    net = LayerBuilder((4, 4, 1))
    for i in range(20):  # many operators, no memory: the planner's own tables decide
        net.pool(f"p{i}")
    return net.build()


@pytest.mark.parametrize("make", [linear, residual, two_residuals, depthwise, pools])
def test_toy_graphs_run_in_the_predicted_arena(make):
    # here TFLM's working memory while it prepares decides
    layers = make()
    data, arena = write_tflite(random_model(layers), {}), tflm.arena_host_bytes(graph.from_layers(layers))
    image = np.zeros((1, *layers[0].in_shape), np.uint8)
    run_tflm(data, image, arena)
    with pytest.raises(VerificationError):
        run_tflm(data, image, arena - 16)


def bias(width, scales=1):
    return constant("", width, kind=TYPE.INT32, element=4, scales=scales)


def operators(side):
    """Operators by case, on a map of side x side x 4 or a row of as many elements."""
    x, row = int8("", 1, side, side, 4, scales=1), int8("", 1, 4 * side**2, scales=1)
    conv, wide = schema.Conv2DOptionsT(strideH=1, strideW=1), int8("", 1, side, side, 31, scales=1)
    dense = schema.FullyConnectedOptionsT()
    kernel, matrix = constant("", 31, 1, 1, 4, scales=31), constant("", 31, 4 * side**2, scales=31)
    pool = schema.Pool2DOptionsT(filterHeight=2, filterWidth=2, strideH=2, strideW=2)
    half = int8("", 1, side // 2, side // 2, 4, scales=1)
    depthwise = schema.DepthwiseConv2DOptionsT(strideH=1, strideW=1, depthMultiplier=2)
    double, unscaled = int8("", 1, side, side, 8, scales=1), ("", (4,), TYPE.INT32, None, 0)
    reshape, mean = schema.ReshapeOptionsT(newShape=[1, 4 * side**2]), schema.ReducerOptionsT(keepDims=True)
    crop = numbers(0, 1, 1, 0), numbers(1, side, side, 4), numbers(1, 1, 1, 1)
    cropped, padded = int8("", 1, side - 1, side - 1, 4, scales=1), int8("", 1, side + 2, side + 2, 4, scales=1)
    join, pack = schema.ConcatenationOptionsT(axis=3), schema.PackOptionsT(valuesCount=2, axis=0)
    return {  # tensors, the last is the output; operator, its inputs, its options
        "conv": ([x, kernel, bias(31, 31), wide], OP.CONV_2D, [0, 1, 2], conv),
        "conv without bias": ([x, kernel, wide], OP.CONV_2D, [0, 1, -1], conv),
        "conv of one scale": ([x, constant("", 31, 1, 1, 4, scales=1), bias(31), wide], OP.CONV_2D, [0, 1, 2], conv),
        "depthwise": (
            [x, constant("", 1, 3, 3, 8, scales=8), bias(8, 8), double],
            *(OP.DEPTHWISE_CONV_2D, [0, 1, 2], depthwise),
        ),
        "dense": (
            [row, constant("", 31, 4 * side**2, scales=1), bias(31), int8("", 1, 31, scales=1)],
            *(OP.FULLY_CONNECTED, [0, 1, 2], dense),
        ),
        "dense, a scale per channel": (
            [row, matrix, bias(31, 31), int8("", 1, 31, scales=1)],
            *(OP.FULLY_CONNECTED, [0, 1, 2], dense),
        ),
        "add": ([x, x], OP.ADD, [0, 0], schema.AddOptionsT()),
        "average pool": ([x, half], OP.AVERAGE_POOL_2D, [0], pool),
        "max pool": ([x, half], OP.MAX_POOL_2D, [0], pool),
        "mean": ([x, numbers(1, 2), int8("", 1, 1, 1, 4, scales=1)], OP.MEAN, [0, 1], mean),
        "mean over channels": ([x, numbers(3), int8("", 1, side, side, 1, scales=1)], OP.MEAN, [0, 1], mean),
        "reshape": ([x, numbers(1, 4 * side**2), row], OP.RESHAPE, [0, 1], reshape),
        "reshape by its options": ([x, row], OP.RESHAPE, [0], reshape),
        "pad": ([x, numbers(0, 0, 1, 1, 1, 1, 0, 0), padded], OP.PAD, [0, 1], schema.PadOptionsT()),
        "quantize": ([("", x[1], TYPE.UINT8, None, 1), x], OP.QUANTIZE, [0], schema.QuantizeOptionsT()),
        "softmax": ([row, row], OP.SOFTMAX, [0], schema.SoftmaxOptionsT(beta=1.0)),
        "shape": ([x, unscaled], OP.SHAPE, [0], schema.ShapeOptionsT(outType=TYPE.INT32)),
        "strided slice": ([x, *crop, cropped], OP.STRIDED_SLICE, [0, 1, 2, 3], schema.StridedSliceOptionsT()),
        "pack": ([row, int8("", 2, *row[1], scales=1)], OP.PACK, [0, 0], pack),
        "concatenation": ([x, int8("", 1, side, side, 12, scales=1)], OP.CONCATENATION, [0, 0, 0], join),
    }


def side_by_side(cases):
    """A file of the operators of `cases`, each with an input of its own."""
    tensors, steps, starts = [], [], []
    for new, code, inputs, options in cases:
        starts.append(len(tensors))
        ids = [i + starts[-1] if i >= 0 else i for i in inputs]
        tensors += new
        steps.append((code, ids, [len(tensors) - 1], options))
    return written(tensors, steps, inputs=starts)


LARGE, SMALL = operators(24), operators(2)


def arena(data):
    return tflm.arena_host_bytes(tflite_reader.parse(data, "some.tflite"))


def loaded(data, *arenas):
    """In how many of `arenas` TFLM loads a file before one fails; in a process of its own, as small ones crash it."""
    code = """
import sys
from danas_jax.deploy.verify import reported
data = sys.stdin.buffer.read()
for arena in sys.argv[1:]:
    reported(data, int(arena))
    print(arena, flush=True)
"""
    command = [sys.executable, "-c", code, *map(str, arenas)]
    return len(subprocess.run(command, input=data, capture_output=True).stdout.split())


def same_as_reported(data):
    net, said = tflite_reader.parse(data, "some.tflite"), reported(data)
    assert tflm.head_bytes(net) == said["head"]
    assert tflm.arena_host_bytes(net) == said["total"]
    assert tflm.arena_device_bytes(net) < said["total"]
    return said


@pytest.mark.parametrize("case", LARGE)
def test_every_operator_against_the_interpreter(case):
    data = side_by_side([LARGE[case]])
    said = same_as_reported(data)
    assert reported(data, said["total"]) == said


def test_operators_side_by_side():
    """What is rounded up, and to what, depends on what lies before it."""
    rng, cases = np.random.default_rng(0), list(LARGE.values())
    for _ in range(200):
        same_as_reported(side_by_side([cases[i] for i in rng.integers(len(cases), size=rng.integers(2, 20))]))


@pytest.mark.parametrize("case", SMALL)
def test_every_operator_has_room_to_prepare(case):
    # next to no activations: what Prepare and the planner need decides
    data = side_by_side([SMALL[case]] * 3)
    need = arena(data)
    assert need > reported(data)["total"]
    assert loaded(data, need, need - 16) == 1


def test_scratch_buffers_are_still_asked_for_while_later_operators_prepare():
    x, y, kernel = (
        int8("", 1, 1, 1, 1, scales=1),
        int8("", 1, 1, 1, 300, scales=1),
        constant("", 300, 1, 1, 1, scales=300),
    )
    options = schema.Conv2DOptionsT(strideH=1, strideW=1)
    wide = [x, kernel, bias(300, 300), y], OP.CONV_2D, [0, 1, 2], options
    data = side_by_side([SMALL["mean"]] * 3 + [wide])
    assert loaded(data, arena(data), arena(data) - 16) == 1


def test_nothing_is_planned_in_place():
    # two tensors of 48 x 48 B are alive whatever happens, an operator in place would need one
    for case in ("reshape", "add", "quantize", "softmax"):
        assert reported(side_by_side([LARGE[case]]))["head"] == 2 * 4 * 24**2


def test_the_planner_goes_by_tensor_index():
    """Equal sizes are placed from the last tensor of the file on, whatever the order of execution."""
    rng, add, other = np.random.default_rng(0), schema.AddOptionsT(), 0
    for _ in range(40):
        order = [0, *(rng.permutation(7) + 1).tolist()]  # tensors in the order in which they are written
        steps = [(OP.ADD, [order[i], int(rng.choice(order[: i + 1]))], [order[i + 1]], add) for i in range(7)]
        tensors = [int8("", 1, 4, 4, 2, scales=1)] * 8
        data = written(tensors, steps, outputs=order[-1:])
        net, head = tflite_reader.parse(data, "some.tflite"), reported(data)["head"]
        assert tflm.head_bytes(net) == head
        by_execution = graph.activations(net)
        ends = (offset + tensor.bytes for offset, tensor in zip(tflm.plan(by_execution), by_execution, strict=True))
        other += max(ends) != head
    assert other > 0  # the order matters


def test_several_inputs_and_outputs():
    ends = [int8("", 1, 30, 30, 4, scales=1), ("", (1, 30, 30, 4), TYPE.INT32, None, 0)]
    tensors = [*ends, ends[0], ends[1]]
    steps = [(OP.ADD, [0, 0], [2], schema.AddOptionsT()), (OP.ADD, [1, 1], [3], schema.AddOptionsT())]
    data = written(tensors, steps, inputs=(0, 1), outputs=(2, 3))
    assert arena(data) == reported(data)["total"]


def test_tensors_that_nothing_uses():
    tensors = [int8("", 1, 12, 12, 2, scales=1)] * 2 + [int8("", 1, 20, 20, 2, scales=1)] * 2
    data = written(tensors, [(OP.ADD, [0, 0], [1], schema.AddOptionsT())], outputs=(1,))
    assert same_as_reported(data)["head"] == 2 * 800  # more than the two of 288 B that the operator needs
    tensors += [int8("", 1, scales=1)] * 90  # more for the planner to look at
    data = written(tensors, [(OP.ADD, [0, 0], [1], schema.AddOptionsT())], outputs=(1,))
    assert loaded(data, arena(data), arena(data) - 16) == 1


def test_scales_without_zero_points_are_none():
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(side_by_side([LARGE["reshape"]])))
    model.subgraphs[0].tensors[0].quantization.zeroPoint = None
    same_as_reported(packed(model))


def test_a_published_model(shared):
    """mcunet-vww2: 385 kB on the STM32H743 (mit-han-lab/tinyengine README, TFLM @713b6ed), in whole kB."""
    path = shared / "models" / "person_teacher_144px.tflite"
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    net, said = tflite_reader.read(path), reported(path.read_bytes())
    assert tflm.head_bytes(net) == said["head"]
    assert tflm.arena_host_bytes(net) == said["total"]
    device = tflm.arena_device_bytes(net) / 1024
    print(f"mcunet-vww2: {device:.1f} kB on a board, published 385 kB")
    assert device == pytest.approx(385, rel=0.01)


def test_device_arena_near_the_published_line():
    """P + 8 B per channel + 145 B per operator holds where the plan reaches the live peak, as in the published rows."""
    space = mobilenetv2_tiny((64, 96))
    checked = 0
    for genes in space.sample(np.random.default_rng(3), 30):
        net = graph.from_layers(space.layers(genes, 2))
        peak = graph.live_peak_bytes(net)
        convolutions = [op for op in net.operators if op.name in tflm.CONVOLUTIONS]
        channels = sum(net.tensors[op.outputs[0]].shape[3] for op in convolutions)
        if tflm.head_bytes(net) <= peak + 16:
            line = peak + 8 * channels + 145 * len(net.operators)
            assert tflm.arena_device_bytes(net) == pytest.approx(line, rel=0.02)
            checked += 1
    assert checked > 10
