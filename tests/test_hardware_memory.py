"""Liveness, the greedy plan, the arenas and file sizes: hand-counted graphs and TFLM's interpreter."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from danas_jax.deploy.tflite_writer import random_model, write_tflite
from danas_jax.deploy.verify import VerificationError, measure_arena, run_tflm
from danas_jax.errors import UserError
from danas_jax.hardware import flash, memory, tflm
from danas_jax.hardware.memory import Tensor
from danas_jax.layers import ADD, AVG_POOL, CONV, DEPTHWISE, INPUT, LayerBuilder, LayerSpec
from danas_jax.spaces import mobilenetv2_tiny, quickstart

NETS = Path(__file__).parents[1].parent / "shared" / "reference_nets.json"
METADATA = {"data": {"resolution_px": 64, "colour": "rgb", "normalisation": "(pixel - 128) / 128"}, "note": "x" * 150}


def linear():
    net = LayerBuilder((8, 8, 3))  # 192 B
    net.conv("a", 4, stride=2)  # 4x4x4 = 64 B
    net.conv("b", 10)  # 160 B
    net.pool("p")  # 10 B
    net.dense("d", 2)  # 2 B
    return net.build()


def residual():
    net = LayerBuilder((4, 4, 8))  # 128 B
    net.conv("a", 8)  # 128 B, kept until the sum
    net.conv("b", 24)  # 384 B
    net.conv("c", 8)  # 128 B
    net.add("s", "a")  # 128 B
    return net.build()


def depthwise():
    net = LayerBuilder((6, 6, 1))  # 36 B
    net.conv("a", 16)  # 576 B
    net.depthwise("w", 3, stride=2)  # 3x3x16 = 144 B
    net.conv("b", 40)  # 360 B
    return net.build()


@pytest.mark.parametrize(
    ("layers", "live", "layer"),
    [
        (linear(), [192 + 64, 64 + 160, 160 + 10, 10 + 2], "a"),
        (residual(), [256, 128 + 384, 128 + 384 + 128, 128 + 128 + 128], "c"),
        (depthwise(), [36 + 576, 576 + 144, 144 + 360], "w"),
    ],
)
def test_liveness_by_hand(layers, live, layer):
    assert memory.live_bytes(layers) == live
    assert memory.live_peak_bytes(layers) == max(live)
    assert memory.bottleneck(layers).layer == layer


def test_two_open_residuals():
    net = LayerBuilder((4, 4, 4))  # 64 B
    net.conv("a", 4)
    net.conv("b", 4)
    net.conv("c", 4)
    net.add("inner", "b")
    net.add("outer", "a")
    layers = net.build()
    # b: a b; c: a b c; inner: a b c inner; outer: a inner outer; 64 B each
    assert memory.live_bytes(layers) == [128, 128, 192, 256, 192]
    assert memory.breakdown(layers)[3].tensors == ("a", "b", "c", "inner")


def test_tensors_name_what_cannot_be():
    conv = LayerSpec("a", CONV, (INPUT,), (4, 4, 1), (4, 4, 2))
    with pytest.raises(UserError, match="no earlier layer"):
        memory.tensors([LayerSpec("b", CONV, ("zz",), (4, 4, 1), (4, 4, 2))])
    with pytest.raises(UserError, match="twice"):
        memory.tensors([conv, conv])
    with pytest.raises(UserError, match="at least one"):
        memory.tensors([])


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


def check_against_interpreter(space, genes, num_classes):
    layers = space.layers(genes, num_classes)
    data = write_tflite(random_model(layers, seed=1), METADATA)
    measured, predicted = measure_arena(data), tflm.arena_host_bytes(layers)
    assert tflm.head_bytes(layers) == measured["head_bytes"]
    assert predicted == measured["arena_bytes"]
    assert flash.file_bytes(layers) == pytest.approx(len(data), rel=0.01)
    assert tflm.arena_device_bytes(layers) < predicted


@pytest.mark.parametrize("space", [quickstart(), mobilenetv2_tiny((32, 56, 96))], ids=lambda s: s.name)
def test_random_subnets_against_interpreter(space):
    rng = np.random.default_rng(7)
    for genes in [space.min_genes, *space.sample(rng, 5)]:
        check_against_interpreter(space, genes, int(rng.integers(2, 20)))


@pytest.mark.slow
@pytest.mark.parametrize("space", [quickstart((24, 40, 64)), mobilenetv2_tiny((32, 72, 100))], ids=lambda s: s.name)
def test_many_subnets_against_interpreter(space):
    rng = np.random.default_rng(11)
    for genes in [space.max_genes, *space.sample(rng, 99)]:
        check_against_interpreter(space, genes, int(rng.integers(2, 20)))


def pools():
    net = LayerBuilder((4, 4, 1))
    for i in range(20):  # many operators, no memory: the planner's own tables decide
        net.pool(f"p{i}")
    return net.build()


@pytest.mark.parametrize("make", [linear, residual, depthwise, pools])
def test_toy_graphs_run_in_the_predicted_arena(make):
    # here TFLM's working memory while it prepares decides; predicted may be a few alignments more than the least
    layers = make()
    data, arena = write_tflite(random_model(layers), {}), tflm.arena_host_bytes(layers)
    image = np.zeros((1, *layers[0].in_shape), np.uint8)
    run_tflm(data, image, arena)
    with pytest.raises(VerificationError):
        run_tflm(data, image, arena - 64)


def test_device_arena_near_the_published_line():
    """P + 8 B per channel + 145 B per operator holds where the plan reaches the live peak, as in the published rows."""
    space = mobilenetv2_tiny((64, 96))
    checked = 0
    for genes in space.sample(np.random.default_rng(3), 30):
        layers = space.layers(genes, 2)
        peak = memory.live_peak_bytes(layers)
        channels = sum(layer.out_shape[2] for layer in layers if layer.op in (CONV, DEPTHWISE))
        if tflm.head_bytes(layers) <= peak + 16:
            line = peak + 8 * channels + 145 * len(layers)
            assert tflm.arena_device_bytes(layers) == pytest.approx(line, rel=0.02)
            checked += 1
    assert checked > 10


PUBLISHED = {"mcunet-vww0 (10fps)": 163, "mcunet-vww1 (5fps)": 220, "mcunet-vww2 (320kB)": 385}  # kB, STM32H743, TFLM
# structures of the converters' operators that our own files do not have: (builtin data, operator data)
FOREIGN = {"QUANTIZE": (0, 32), "PAD": (0, 60), "SHAPE": (4, 0), "STRIDED_SLICE": (24, 40), "PACK": (8, 0)}
FOREIGN["RESHAPE"] = (36, 0)


@pytest.mark.skipif(not NETS.exists(), reason=f"{NETS} is not here: layer tables of the published networks")
@pytest.mark.parametrize("name", PUBLISHED)
def test_device_arena_of_published_rows(name):
    net = next(net for net in json.loads(NETS.read_text()) if net["name"] == name)
    ops = {"CONV_2D": CONV, "DEPTHWISE_CONV_2D": DEPTHWISE, "ADD": ADD, "AVERAGE_POOL_2D": AVG_POOL}
    shapes, layers = {net["input"]: tuple(net["input_shape"])}, []
    for row in net["layers"]:
        out = tuple(row["out_shape"])
        shapes[row["out"]] = out if len(out) == 3 else (1, 1, *(out[-1:] or (1,)))
        inputs = tuple(INPUT if i == net["input"] else str(i) for i in row["in"])
        spec = (shapes[row["in"][0]], shapes[row["out"]], row.get("kernel", [1])[0], row.get("stride", 1))
        layers.append(LayerSpec(str(row["out"]), ops.get(row["op"], row["op"]), inputs, *spec))
    sizes = tflm.DEVICE._replace(
        builtin=tflm.BUILTIN | {op: size[0] for op, size in FOREIGN.items()},
        op_data=tflm.DEVICE.op_data | {op: size[1] for op, size in FOREIGN.items()},
    )
    arena = tflm._arena_bytes(layers, tflm.head_bytes(layers), sizes) / 1024
    print(f"{name}: {arena:.1f} kB, published {PUBLISHED[name]} kB")
    assert arena == pytest.approx(PUBLISHED[name], rel=0.01)


def test_file_size_follows_metadata():
    layers = quickstart().layers(quickstart().min_genes, 2)
    assert flash.file_bytes(layers, 1000) - flash.file_bytes(layers, 0) == 1000
    assert flash.flash_bytes(5) == 5 + 107_008


def test_import_is_light():
    code = (
        "import sys, danas_jax.hardware.cost; "
        "print([m for m in ('jax', 'flax', 'tensorflow', 'tflite_micro') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
