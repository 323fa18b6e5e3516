"""Hand-counted networks: MACs, weights and liveness of layers and graphs; the size of their files."""

from __future__ import annotations

import subprocess
import sys

import pytest

from danas_jax.errors import UserError
from danas_jax.hardware import flash, graph, memory
from danas_jax.layers import CONV, INPUT, LayerBuilder, LayerSpec
from danas_jax.spaces import quickstart


def linear():
    net = LayerBuilder((8, 8, 3))  # 192 B
    net.conv("a", 4, stride=2)  # 4x4x4 = 64 B; 16 places of 3 x 4 weights
    net.conv("b", 10)  # 160 B; 16 places of 4 x 10
    net.pool("p")  # 10 B
    net.dense("d", 2)  # 2 B; 10 x 2
    return net.build()


def residual():
    net = LayerBuilder((4, 4, 8))  # 128 B
    net.conv("a", 8)  # 128 B, kept until the sum; 16 places of 8 x 8
    net.conv("b", 24)  # 384 B; 8 x 24
    net.conv("c", 8)  # 128 B; 24 x 8
    net.add("s", "a")  # 128 B
    return net.build()


def depthwise():
    net = LayerBuilder((6, 6, 1))  # 36 B
    net.conv("a", 16)  # 576 B; 36 places of 1 x 16
    net.depthwise("w", 3, stride=2)  # 3x3x16 = 144 B; 9 places of 16 x 9 taps
    net.conv("b", 40)  # 360 B; 9 places of 16 x 40
    return net.build()


def two_residuals():
    net = LayerBuilder((4, 4, 4))  # 64 B, as every tensor; 16 places of 4 x 4 in each convolution
    net.conv("a", 4)
    net.conv("b", 4)
    net.conv("c", 4)
    net.add("inner", "b")
    net.add("outer", "a")
    return net.build()


HAND_COUNTED = {  # MACs per layer; (weights, biases) per layer with weights; live bytes per layer
    linear: ([192, 640, 0, 20], [(12, 4), (40, 10), (20, 2)], [192 + 64, 64 + 160, 160 + 10, 10 + 2]),
    residual: ([1024, 3072, 3072, 0], [(64, 8), (192, 24), (192, 8)], [128 + 128, 128 + 384, 128 + 384 + 128, 384]),
    depthwise: ([576, 1296, 5760], [(16, 16), (144, 16), (640, 40)], [36 + 576, 576 + 144, 144 + 360]),
    # alive: input a; a b; a b c; a b c inner; a inner outer
    two_residuals: ([256, 256, 256, 0, 0], [(16, 4)] * 3, [128, 128, 192, 256, 192]),
}


@pytest.mark.parametrize("make", HAND_COUNTED, ids=lambda make: make.__name__)
def test_figures_by_hand(make):
    macs, weights, live = HAND_COUNTED[make]
    net = graph.from_layers(make())
    assert graph.macs(net) == tuple(macs)
    assert graph.total_macs(net) == sum(macs)
    assert graph.params(net) == sum(kernel + bias for kernel, bias in weights)
    assert graph.weight_bytes(net) == sum(kernel + 4 * bias for kernel, bias in weights)
    assert graph.live_bytes(net) == live
    assert graph.live_peak_bytes(net) == max(live)


def test_the_bottleneck_and_what_is_alive_there():
    assert graph.bottleneck(graph.from_layers(residual())) == memory.LiveSet(2, 640, ("a", "b", "c"))
    assert graph.bottleneck(graph.from_layers(linear())) == memory.LiveSet(0, 256, (INPUT, "a"))
    every = graph.breakdown(graph.from_layers(two_residuals()))
    assert [live.tensors for live in every[2:]] == [("a", "b", "c"), ("a", "b", "c", "inner"), ("a", "inner", "outer")]


def test_from_layers_names_what_cannot_be():
    conv = LayerSpec("a", CONV, (INPUT,), (4, 4, 1), (4, 4, 2))
    with pytest.raises(UserError, match="layer b: its input 'zz' is written by no earlier layer"):
        graph.from_layers([LayerSpec("b", CONV, ("zz",), (4, 4, 1), (4, 4, 2))])
    with pytest.raises(UserError, match="layer a: its output 'a' is given twice"):
        graph.from_layers([conv, conv])
    with pytest.raises(UserError, match="at least one"):
        graph.from_layers([])


def test_file_size_follows_metadata():
    net = graph.from_layers(quickstart().layers(quickstart().min_genes, 2))
    assert flash.file_bytes(net, 1000) - flash.file_bytes(net, 0) == 1000
    assert flash.flash_bytes(5) == 5 + 94_900


def test_import_is_light():
    code = (
        "import sys, danas_jax.hardware.cost; "
        "print([m for m in ('jax', 'flax', 'tensorflow', 'tflite_micro') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
