"""Patch-based execution: graphs counted by hand, the halo by brute force, MCUNetV2's published figures, bad cuts."""

from __future__ import annotations

import dataclasses
from itertools import pairwise, product

import numpy as np
import pytest
import reference_rows

from danas_jax.errors import UserError
from danas_jax.hardware import graph, patches, runtimes

PLAIN = runtimes.Runtime("plain")  # live tensors alone
TINY = runtimes.runtime("tinyengine")


def net(text):
    table = next(iter(reference_rows.tables(text).values()))
    return reference_rows.graph(table)


CHAIN = net(
    """net 8x8x2 0 chain
CONV_2D 0 1 8x8x4 3x3 1 same relu
DEPTHWISE_CONV_2D 1 2 4x4x4 3x3 2 same relu
CONV_2D 2 3 4x4x2 1x1 1 same none
CONV_2D 3 4 4x4x8 1x1 1 same none"""
)


def test_a_chain_by_hand():
    # Rows (and columns) of the two patches, from operator 2's output back: 2 + 2 of 4; the depthwise convolution,
    # padded by 0 above and 1 below, reads 0-4 and 4-7: 5 + 4 of 8; the 3x3 convolution reads 0-5 and 3-7: 6 + 5 of 8.
    macs = (5 + 4) ** 2 * 9 * 2 * 4 + 4**2 * 9 * 4 + 4**2 * 4 * 2 + 4**2 * 2 * 8
    whole = 8**2 * 9 * 2 * 4 + 4**2 * 9 * 4 + 4**2 * 4 * 2 + 4**2 * 2 * 8
    # Largest patches: image 6x6x2 = 72 B, 5x5x4 = 100, 2x2x4 = 16, 2x2x2 = 8; the assembled map 4x4x2 = 32, then 128
    live = [72 + 100 + 32, 100 + 16 + 32, 16 + 8 + 32, 32 + 128]
    for image, stays in ((0, False), (8 * 8 * 2, True)):
        figures = patches.patched(CHAIN, 3, 2, PLAIN, stays)
        assert figures == patches.Patched(3, 2, macs, macs / whole, max(live) + image)
    # the first convolution alone: 4 + 4 rows of 8, which read 5 + 5; image, its patch, the map's patch, the map
    assert patches.patched(CHAIN, 1, 2, PLAIN) == patches.Patched(1, 2, whole, 1.0, 128 + 5 * 5 * 2 + 4 * 4 * 4 + 256)
    # TinyEngine: the depthwise output overwrites; two padded channels of 7x7 in int16, the first kernel in int16
    assert patches.patched(CHAIN, 3, 2, TINY, False).ram_bytes == 72 + 100 + 32 + 2 * 7 * 7 + 2 * 9 * 2 * 4


def test_a_residual_by_hand():
    block = net(
        """net 6x6x1 0 residual
CONV_2D 0 1 6x6x2 1x1 1 same none
PAD 1 2 8x8x2
DEPTHWISE_CONV_2D 2 3 6x6x2 3x3 1 valid relu
ADD 3,1 4 6x6x2
SOFTMAX 4 5 6x6x2"""
    )
    # three patches of two rows: the padded map's rows 0-3, 2-5, 4-7, without padding 0-2, 1-4, 3-5: 3 + 4 + 3 of 6;
    # the sum reads two rows of it, which the depthwise convolution reads, too
    figures = patches.patched(block, 4, 3, PLAIN, False)
    assert figures.macs == 10**2 * 2 + 6**2 * 9 * 2
    # largest patches: image and map 4x4, padded map 4x4 (rows at the edge are padding, not less), then 2x2
    live = [16 + 32 + 72, 32 + 32 + 72, 32 + 32 + 8 + 72, 32 + 8 + 8 + 72, 72 + 72]
    assert figures.ram_bytes == max(live) == 144
    with pytest.raises(UserError, match=r"operators = 3: what operator 0 writes is still read after them"):
        patches.patched(block, 3, 2, PLAIN)


def test_two_branches_by_hand():
    # one patch after the other of two rows: the 5x5 branch reads 0-3 and 0-3 of 4, the 1x1 branch two rows: both 0-3
    diamond = net(
        """net 4x4x1 0 diamond
CONV_2D 0 1 4x4x1 1x1 1 same none
CONV_2D 1 2 4x4x1 1x1 1 same none
CONV_2D 1 3 4x4x1 5x5 1 same none
ADD 2,3 4 4x4x1
SOFTMAX 4 5 4x4x1"""
    )
    assert patches.patched(diamond, 4, 2, PLAIN).macs == (4 + 4) ** 2 + 4**2 + 4**2 * 25


def test_same_padding_has_its_larger_half_after_the_map():
    # 10 rows to 5 by 7x7 at stride 2: 2 above, 3 below; rows 0-1 read 0-6, rows 2-4 read 2-9 (with 3 above: 1-9)
    toy = net("net 10x10x8 0 uneven\nCONV_2D 0 1 5x5x1 7x7 2 same none\nSOFTMAX 1 2 5x5x1")
    assert patches.patched(toy, 1, 2, PLAIN, False).ram_bytes == 8 * 8 * 8 + 3 * 3 + 5 * 5


def test_padding_by_pad_is_same_padding():
    same = net("net 9x9x2 0 a\nCONV_2D 0 1 9x9x3 5x5 1 same none\nCONV_2D 1 2 9x9x1 7x7 1 same none\nSOFTMAX 2 3 9x9x1")
    text = "net 9x9x2 0 b\nPAD 0 1 13x13x2\nCONV_2D 1 2 9x9x3 5x5 1 valid none\nPAD 2 3 15x15x3\n"
    pad = net(text + "CONV_2D 3 4 9x9x1 7x7 1 valid none\nSOFTMAX 4 5 9x9x1")
    for count in (2, 4):
        with_same, with_pad = patches.patched(same, 2, count, PLAIN), patches.patched(pad, 4, count, PLAIN)
        assert with_same.macs == with_pad.macs > graph.total_macs(same)


def test_the_halo_by_brute_force():
    rng = np.random.default_rng(4)
    for size, count in product((9, 16, 23, 30), (2, 3, 4)):
        layers, lines = [], [f"net {size}x{size}x1 0 random"]
        for i in range(4):
            kernel, stride, same = int(rng.choice([1, 3, 5, 7])), int(rng.choice([1, 1, 2])), bool(rng.integers(2))
            before = layers[-1][-1] if layers else size
            same |= before - kernel < 2 * stride * count  # else the map would get too small for the patches
            after = -(-before // stride) if same else (before - kernel) // stride + 1
            padding = max((after - 1) * stride + kernel - before, 0) // 2 if same else 0
            layers.append((kernel, stride, padding, before, after))
            pad = "same" if same else "valid"
            lines.append(f"CONV_2D {i} {i + 1} {after}x{after}x1 {kernel}x{kernel} {stride} {pad} none")
        last = layers[-1][-1]
        toy = net("\n".join([*lines, f"SOFTMAX 4 5 {last}x{last}x1"]))
        expected, cuts = 0, [last * i // count for i in range(count + 1)]
        parts = [range(start, end) for start, end in pairwise(cuts)]
        for kernel, stride, padding, before, _ in reversed(layers):
            expected += sum(map(len, parts)) ** 2 * kernel**2
            read = [{y * stride - padding + k for y in part for k in range(kernel)} for part in parts]
            parts = [range(max(min(rows), 0), min(max(rows), before - 1) + 1) for rows in read]
        assert patches.patched(toy, 4, count, PLAIN).macs == expected


def test_mobilenet_v2_as_published():
    # MCUNetV2 (arXiv 2110.15352, figure 1): MobileNetV2 at 224 px needs 1372 kB, with its first blocks (to 28x28x32) in
    # 4x4 patches 172 kB, an eighth, for about 10 % more MACs; the image is decoded patch by patch.
    mbv2, tensors = reference_rows.graph(reference_rows.mobilenet_v2(1.0, 224)), dataclasses.replace(TINY, buffers=())
    assert runtimes.ram_bytes(mbv2, tensors) == 1372 * 1024
    figures = patches.patched(mbv2, 13, 4, tensors, image_stays=False)
    assert figures.latency_factor == pytest.approx(1.10, abs=0.01)
    # 172 kB is the first expansion after the patches, 32 + 192 channels; ours counts what its sum will add, too
    assert pytest.approx(172, abs=0.5) == 28 * 28 * (32 + 192) / 1024
    assert figures.ram_bytes == 28 * 28 * (32 + 192 + 32)
    # with the whole image beside them the patches themselves need most
    assert patches.patched(mbv2, 13, 4, tensors).ram_bytes > figures.ram_bytes + 100 * 1024


@pytest.mark.parametrize("width", [1, 3])
def test_a_map_one_wide_is_cut_along_its_height(width):
    series = net(
        f"""net 8x1x2 0 series
CONV_2D 0 1 8x1x4 3x{width} 1 same relu
CONV_2D 1 2 8x1x1 3x{width} 1 same none
CONV_2D 2 3 8x1x2 1x1 1 same none"""
    )
    # two patches of 4 rows, which read 5 of the map before, and those 6 of the image
    macs, whole = (rows * 3 * width * 2 * 4 + 8 * 3 * width * 4 + 8 * 2 for rows in (10, 8))
    live = [6 * 2 + 5 * 4 + 8, 5 * 4 + 4 + 8, 8 + 8 * 2]
    assert patches.patched(series, 2, 2, PLAIN, False) == patches.Patched(2, 2, macs, macs / whole, max(live))
    with pytest.raises(UserError, match="patches = 9: give 2 to 8"):
        patches.patched(series, 2, 9, PLAIN)


@pytest.mark.parametrize(
    ("operators", "count", "message"),
    [
        (0, 2, "operators = 0: give 1 to 3"),
        (4, 2, "operators = 4: give 1 to 3"),
        (3, 1, "patches = 1: give 2 to 4"),
        (3, 5, "patches = 5: give 2 to 4, the smaller side of operator 2's output"),
    ],
)
def test_bad_numbers(operators, count, message):
    with pytest.raises(UserError, match=message):
        patches.patched(CHAIN, operators, count, PLAIN)


@pytest.mark.parametrize(
    ("text", "operators", "message"),
    [
        ("MEAN 0 1 2\nSOFTMAX 1 2 2", 1, r"operator 0 \(MEAN\) does not run in patches"),
        ("CONV_2D 0 1 4x4x2 1x1 1 same\nADD 1,0 2 4x4x2\nSOFTMAX 2 3 4x4x2", 1, "the input is still read"),
        ("AVERAGE_POOL_2D 0 1 1x1x2 4x4 4 valid\nADD 0,1 2 4x4x2\nSOFTMAX 2 3 4x4x2", 2, r"operator 1 \(ADD\)"),
    ],
)
def test_what_cannot_be_patched(text, operators, message):
    with pytest.raises(UserError, match=message):
        patches.patched(net(f"net 4x4x2 0 bad\n{text}"), operators, 2, PLAIN)


def test_vectors_are_not_patched():
    vector = graph.Tensor("v", (1, 8), "int8", 8, 0, 0)
    op = graph.Operator("QUANTIZE", (0,), (1,), (1, 1), (1, 1), "", "none")
    toy = graph.Graph(
        (vector,) * 3, (op, graph.Operator("SOFTMAX", (1,), (2,), (1, 1), (1, 1), "", "none")), (0,), (2,), 0
    )
    with pytest.raises(UserError, match=r"operator 0 \(QUANTIZE\)"):
        patches.patched(toy, 1, 2, PLAIN)


def test_the_best_patching():
    every = [patches.patched(CHAIN, n, p, PLAIN) for n in (1, 2, 3) for p in (2, 3, 4)]
    best = patches.best_patching(CHAIN, PLAIN)
    assert best == min(every, key=lambda figures: (figures.ram_bytes, figures.macs))
    assert best.ram_bytes < runtimes.ram_bytes(CHAIN, PLAIN)
    late = net(
        "net 2x2x1 0 late\nCONV_2D 0 1 2x2x1 1x1 1 same none\nCONV_2D 1 2 2x2x9 1x1 1 same none\nSOFTMAX 2 3 2x2x9"
    )
    assert patches.best_patching(late, PLAIN) is None
    vww0 = reference_rows.graph(reference_rows.tables()[reference_rows.FITTED[0]])
    assert patches.best_patching(vww0, TINY).ram_bytes < runtimes.ram_bytes(vww0, TINY) / 2
