"""Which tensors share memory in a runtime, and what its kernels need beside them: counted by hand."""

from __future__ import annotations

import dataclasses

import reference_rows

from danas_jax.hardware import graph, runtimes, tflm

PLAIN, CMSIS = runtimes.runtime("tflm"), runtimes.runtime("tflm_cmsis_nn")
CUBE, TINY, ST = (runtimes.runtime(name) for name in ("xcubeai", "tinyengine", "stm32tflm"))


def net(text):
    table = next(iter(reference_rows.tables(text).values()))
    return reference_rows.graph(table)


# Bytes: image and its int8 copy 48, padded 108, map 64, wide 256, depthwise 64, narrow 16, sum 16
RESIDUAL = net(
    """net 4x4x3 1000 toy
QUANTIZE 0 1 4x4x3
PAD 1 2 6x6x3
CONV_2D 2 3 4x4x4 3x3 1 valid relu
CONV_2D 3 4 4x4x16 1x1 1 same relu
DEPTHWISE_CONV_2D 4 5 2x2x16 5x5 2 same relu
CONV_2D 5 6 2x2x4 1x1 1 same none
CONV_2D 6 7 2x2x16 1x1 1 same relu
DEPTHWISE_CONV_2D 7 8 2x2x16 3x3 1 same relu
CONV_2D 8 9 2x2x4 1x1 1 same none
ADD 9,6 10 2x2x4"""
)


def test_nothing_is_shared_by_tflm():
    assert runtimes.live_bytes(RESIDUAL, PLAIN) == graph.live_bytes(RESIDUAL)
    assert graph.live_bytes(RESIDUAL) == [
        *(48 + 48, 48 + 108, 108 + 64, 64 + 256, 256 + 64, 64 + 16),
        *(16 + 64, 16 + 64 + 64, 16 + 64 + 16, 16 + 16 + 16),
    ]


def test_views_and_depthwise_in_place():
    # the image, its copy and the padded copy are one tensor; depthwise outputs overwrite, the larger one counts
    expected = [48, 48, 48 + 64, 64 + 256, 256, 64 + 16, 16 + 64, 16 + 64, 16 + 64 + 16, 16 + 16 + 16]
    assert runtimes.live_bytes(RESIDUAL, TINY) == expected


def test_tinyengine_keeps_any_kernel_wider_than_one_tap_in_int16():
    def needed(kernel):
        text = f"net 8x4x2 0 toy\nCONV_2D 0 1 8x4x5 {kernel} 1 same relu\nSOFTMAX 1 2 8x4x5"
        columns, weights = (buffer(net(text), net(text).operators[0]) for buffer in TINY.buffers)
        return columns, weights

    assert needed("1x1") == (4 * 2, 0)
    assert needed("1x3") == needed("3x1") == (4 * 6, 2 * 6 * 5)


def test_widening_overwrites_but_not_what_a_residual_reads():
    expected = [48, 48, 48 + 64, 256, 256, 64 + 16, 16 + 64, 16 + 64, 16 + 64 + 16, 16 + 16 + 16]
    # operator 3 widens onto its dying input; operator 6 does not: the sum still reads its input
    assert runtimes.live_bytes(RESIDUAL, CUBE) == expected


def test_what_does_not_share():
    def live(text, runtime):
        return runtimes.live_bytes(net(text), runtime)

    # padded channels are a copy; a padded map that two operators read, and a residual that reads the map itself
    assert live("net 4x4x3 0 a\nPAD 0 1 4x4x5\nCONV_2D 1 2 4x4x1 1x1 1 same", TINY) == [48 + 80, 80 + 16]
    # a reshape changes no byte; QUANTIZE to another size would, SOFTMAX writes anew
    assert live("net 4x4x3 0 b\nRESHAPE 0 1 48\nSOFTMAX 1 2 48", TINY) == [48, 48 + 48]
    # a depthwise convolution with two outputs per channel cannot overwrite, nor one whose input is read later
    assert live("net 2x2x3 0 c\nDEPTHWISE_CONV_2D 0 1 2x2x6 3x3 1 same\nSOFTMAX 1 2 2x2x6", TINY) == [36, 48]
    assert live("net 2x2x3 0 d\nDEPTHWISE_CONV_2D 0 1 2x2x3 3x3 1 same\nADD 0,1 2 2x2x3", TINY) == [24, 36]
    # a constant is no live tensor, so nothing takes its place
    constant = net("net 2x2x3 0 f\nDEPTHWISE_CONV_2D 0 1 2x2x3 3x3 1 same\nSOFTMAX 1 2 2x2x3")
    stored = (constant.tensors[0]._replace(constant_bytes=12), *constant.tensors[1:])
    assert runtimes.live_bytes(dataclasses.replace(constant, tensors=stored, inputs=()), TINY) == [12, 24]
    # what a view shows is overwritten only when the view is no longer read either
    assert live("net 2x2x3 0 e\nQUANTIZE 0 1 2x2x3\nDEPTHWISE_CONV_2D 1 2 2x2x3 3x3 1 same\nADD 0,2 3 2x2x3", TINY) == [
        *(12, 24, 36)
    ]


def test_what_kernels_need():
    # CMSIS-NN: 3x3x3 conv: 4 x 28 (27 rounded up); 5x5 depthwise on 16 channels: 2 x 25 x 16; 1x1 and 3x3 depthwise 0
    extra = [a - b for a, b in zip(runtimes.live_bytes(RESIDUAL, CMSIS), graph.live_bytes(RESIDUAL), strict=True)]
    assert extra == [0, 0, 4 * 28, 0, 2 * 25 * 16, 0, 0, 0, 0, 0]
    # TinyEngine: columns: 3x3x3 conv 4 x 27, 1x1 on 16 channels 4 x 16, 5x5 depthwise 2 x 8 x 8; kernel: 2 x 27 x 4
    assert runtimes.static_bytes(RESIDUAL, TINY) == max(4 * 27, 4 * 16, 2 * 8 * 8) + 2 * 27 * 4
    assert runtimes.ram_bytes(RESIDUAL, TINY) == 64 + 256 + 128 + 216


def test_arena_and_flash():
    assert runtimes.output_channels(RESIDUAL) == 4 + 16 + 16 + 4 + 16 + 16 + 4
    toy = runtimes.Runtime("toy", arena=lambda net: 1000, ram_fixed_bytes=5, flash_fixed_bytes=7)
    assert runtimes.ram_bytes(RESIDUAL, toy) == 1000 + 5
    # the peak without scratch is operator 3's, 320; operator 4's scratch raises it by 800
    with_scratch = dataclasses.replace(toy, scratch=CMSIS.scratch)
    assert runtimes.ram_bytes(RESIDUAL, with_scratch) == 1000 + 5 + 800
    assert runtimes.ram_bytes(RESIDUAL, PLAIN) == tflm.arena_device_bytes(RESIDUAL)
    assert runtimes.ram_bytes(RESIDUAL, ST) == tflm.arena_host_bytes(RESIDUAL) + ST.ram_fixed_bytes
    weights = 27 * 4 + 4 * 16 + 25 * 16 + 16 * 4 + 4 * 16 + 9 * 16 + 16 * 4 + 4 * 76
    assert runtimes.flash(RESIDUAL, toy) == runtimes.Flash(1000, weights, 1000 + 7)
    stored = dataclasses.replace(toy, stores="weights", flash_bytes_per_channel=0.5)
    assert runtimes.flash(RESIDUAL, stored).code_bytes == weights + 38 + 7
