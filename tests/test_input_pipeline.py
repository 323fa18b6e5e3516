"""The input pipeline's bytes and operations, counted while a streamed resize makes the deployed view, bit for bit."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from danas_jax.config import Config, DataSettings, Limits
from danas_jax.config_checks import validate
from danas_jax.errors import UserError
from danas_jax.hardware.boards import board
from danas_jax.hardware.cost import COST_KEYS, cost, fits, needed, smallest_need, space_costs, violation
from danas_jax.hardware.input_pipeline import (
    CYCLES_PER_OPERATION,
    beside,
    counted,
    pipeline_bytes,
    pipeline_ms,
    pipeline_operations,
)
from danas_jax.spaces import quickstart
from danas_jax.views.audio import AudioView
from danas_jax.views.resize import area_weights, deployed_view, grey

SPACE = quickstart()
MONO, RGB = 1, 3


def streamed(frame, size, channels):
    """Firmware's way through one frame [S, S, C]: (input tensor int8 [R, R, c], bytes held, operations done)."""
    camera, read = frame.shape[0], frame.shape[2]
    held, operations = frame.nbytes, 0
    out = frame
    if size < camera:
        weights = area_weights(camera, size)
        sums = np.zeros((size, read), np.int32)  # the output row in the making; all that is kept beside the frame
        held += sums.nbytes
        out = np.empty((size, size, read), np.uint8)
        for y in range(camera):
            rows = np.flatnonzero(weights[:, y])
            for i in range(size):
                t = np.full(read, 128, np.int32)
                for j in np.flatnonzero(weights[i]):
                    t += weights[i, j] * frame[y, j].astype(np.int32)
                    operations += read
                t >>= 8
                operations += read
                for k in rows:
                    sums[i] += weights[k, y] * t
                    operations += read
                    if y == np.flatnonzero(weights[k])[-1]:  # this output row is complete, the next begins
                        out[k, i] = (sums[i] + 32768) >> 16
                        operations += read
                        sums[i] = 0
    if read > channels:
        out = grey(out)
        operations += 4 * size * size  # three products and a shift
    operations += out.size  # pixel - 128
    return (out.astype(np.int16) - 128).astype(np.int8), held, operations


@pytest.mark.parametrize("camera", [7, 12, 16])
@pytest.mark.parametrize("size", [4, 7, 9, 12])
@pytest.mark.parametrize(("channels", "camera_grey"), [(RGB, False), (RGB, True), (MONO, False), (MONO, True)])
def test_bytes_and_operations_are_those_of_a_streamed_resize(camera, size, channels, camera_grey):
    if size > camera:
        with pytest.raises(UserError, match=rf"camera_px = {camera}: give at least the network's {size} px"):
            pipeline_operations(size, channels, camera, camera_grey)
        return
    read = MONO if channels == MONO and camera_grey else RGB
    frame = np.random.default_rng(0).integers(0, 256, (camera, camera, read), dtype=np.uint8)
    made, held, operations = streamed(frame, size, channels)
    if read == RGB:
        view = deployed_view(frame[None], size, "mono" if channels == MONO else "rgb")[0]
        assert np.array_equal(made, view.astype(np.int16) - 128)
    assert pipeline_bytes(size, channels, camera, camera_grey) == held
    assert pipeline_operations(size, channels, camera, camera_grey) == operations


def test_the_weights_counted_are_those_of_the_view():
    for camera in (96, 160, 239, 480):
        for size in (32, 48, 80, 95, 96):
            taps = camera + size - np.gcd(camera, size)
            assert np.count_nonzero(area_weights(camera, size)) == (taps if size < camera else camera)


def test_figures_by_hand_over_arrays():
    sizes, channels = np.array([48, 48, 96]), np.array([MONO, RGB, RGB])
    assert pipeline_bytes(sizes, channels, 96).tolist() == [27648 + 576, 27648 + 576, 27648]
    assert pipeline_bytes(sizes, channels, 96, True).tolist() == [9216 + 192, 27648 + 576, 27648]
    # 96 taps, each of weight 1 / 2: 96 rows of (96 products + 48 shifts), 48 rows of (2 products + 1 shift) x 48, x 3
    resize = 3 * (96 * (96 + 48) + 48 * 48 * 3)
    into = 48 * 48
    expected = [resize + 4 * into + into, resize + 3 * into, 3 * 96 * 96]
    assert pipeline_operations(sizes, channels, 96).tolist() == expected
    slow, fast = pipeline_ms(sizes, channels, 96, False, "nano33ble"), pipeline_ms(sizes, channels, 96)
    assert slow == pytest.approx(np.array(expected) * CYCLES_PER_OPERATION / 64e6 * 1000)
    assert slow / fast == pytest.approx([480 / 64] * 3)  # no board: the published line's, 480 MHz


def test_nothing_is_counted_unasked():
    need_bytes, need_ms = counted(Limits(board="rp2040"), np.array([48, 96]), np.array([MONO, RGB]))
    assert need_bytes.tolist() == need_ms.tolist() == [0, 0]


def test_frames_that_are_no_squares_by_hand():
    """From 160 x 120 to 64 x 48 in colour: S and R of each axis are its own, (160, 64) across and (120, 48) down."""
    assert pipeline_bytes(48, RGB, 120, width_px=64) == 3 * (160 * 120 + 4 * 64)
    across, down = 120 * (160 + 64 - 32 + 64), 64 * (120 + 48 - 24 + 48)
    assert pipeline_operations(48, RGB, 120, width_px=64) == 3 * (across + down) + 3 * 64 * 48
    assert pipeline_operations(120, MONO, 120, width_px=160) == (4 + 1) * 160 * 120  # grey and subtraction alone
    limits = Limits(board="rp2040", count_input_pipeline=True, camera_px=120)
    costs = {"input_px": np.array([48]), "input_width_px": np.array([64]), "input_channels": np.array([RGB])}
    assert beside(limits, costs)[0].tolist() == [3 * (160 * 120 + 4 * 64)]
    with pytest.raises(UserError, match=r"camera_px = 121: .* no whole number of pixels wide: give a multiple of 3"):
        pipeline_bytes(48, RGB, 121, width_px=64)


def test_what_is_counted_is_of_the_limits_board_and_camera():
    limits = Limits(board="rp2040", count_input_pipeline=True, camera_px=128, camera_grey=True)
    need_bytes, need_ms = counted(limits, np.array([48, 96]), np.array([MONO, RGB]))
    assert need_bytes.tolist() == [128 * 128 + 4 * 48, 3 * (128 * 128 + 4 * 96)]
    assert need_ms == pytest.approx(pipeline_ms([48, 96], [MONO, RGB], 128, True, "rp2040"))


@pytest.mark.parametrize(
    ("camera", "message"),
    [
        ({"count_input_pipeline": True, "camera_px": 63}, r"budgets\[0\]\.camera_px = 63: give at least .* 64$"),
        ({"camera_px": 96}, r"budgets\[0\]\.count_input_pipeline = False: set it too"),
        ({"camera_grey": True}, r"budgets\[0\]\.count_input_pipeline = False: set it too"),
    ],
)
def test_a_camera_that_cannot_be_is_refused(camera, message):
    config = Config("c", budgets=(Limits(sram_bytes=1, **camera),))
    assert max(config.space.view.resolutions_px) == 64
    with pytest.raises(UserError, match=message):
        validate(config)


def test_limits_bind_network_and_pipeline_together():
    genes = SPACE.sample(np.random.default_rng(0), 30)
    costs = space_costs(SPACE, genes, 3, "rp2040")
    for i, row in enumerate(genes):
        source = SPACE.input(row)
        assert (costs["input_px"][i], costs["input_channels"][i]) == (source.shape[0], source.shape[2])
    limits = Limits(sram_bytes=60_000, latency_ms=900.0, board="rp2040", count_input_pipeline=True, camera_px=64)
    beside = counted(limits, costs["input_px"], costs["input_channels"])
    sram = np.maximum(costs["arena_device_bytes"], costs["arena_host_bytes"]) + beside[0]
    latency = costs["latency_ms"] + beside[1]
    assert needed(costs, limits)["sram_bytes"].tolist() == sram.tolist()
    expected = np.maximum(sram / 60_000 - 1, 0) + np.maximum(latency / 900 - 1, 0)
    assert violation(costs, limits) == pytest.approx(expected)
    assert 0 < fits(costs, limits).sum() < len(genes)
    # the same for one network, on the edge
    single = cost(SPACE.layers(genes[0], 3), "rp2040")
    edge = Limits(sram_bytes=int(sram[0]), board="rp2040", count_input_pipeline=True, camera_px=64)
    assert bool(fits(single, edge))
    assert not bool(fits(single, Limits(sram_bytes=int(sram[0]) - 1, count_input_pipeline=True, camera_px=64)))


def test_the_smallest_need_counts_the_frame():
    plain = Limits(sram_bytes=20 * 1024)
    assert smallest_need(SPACE, 2, plain) is None
    need = smallest_need(SPACE, 2, Limits(sram_bytes=20 * 1024, count_input_pipeline=True, camera_px=64))
    assert need is not None
    arena = cost(SPACE.layers(SPACE.min_genes, 2))["arena_host_bytes"]
    assert float(need.split()[1]) == pytest.approx((arena + 64 * 64 * 3 + 4 * 32 * 3) / 1024, abs=0.2)


def test_a_views_own_front_end_is_counted():
    """Two sample rates and the same network: what differs is what makes its input."""
    space = dataclasses.replace(quickstart(), view=AudioView(16000, (8000, 16000), (10, 20)))
    genes = np.array([space.min_genes, space.min_genes])
    genes[1, space.index["sample_rate_hz"]] = 1
    costs = space_costs(space, genes, 3)
    assert costs["macs"][0] == costs["macs"][1]
    for i, row in enumerate(genes):
        alone = cost(space.layers(row, 3), "", source=space.input(row))
        assert {key: costs[key][i] for key in COST_KEYS} == alone
        data = space.data(row)
        assert alone["front_end_bytes"] == space.view.pipeline_bytes(data) > 0
        assert alone["front_end_cycles"] == space.view.pipeline_cycles(data) > 0
    counted_in = Limits(board="rp2040", count_input_pipeline=True)
    need, without = needed(costs, counted_in), needed(costs, Limits(board="rp2040"))
    np.testing.assert_allclose(
        need["latency_ms"] - without["latency_ms"], costs["front_end_cycles"] / board("rp2040").clock_hz * 1e3
    )
    np.testing.assert_array_equal(need["sram_bytes"] - without["sram_bytes"], costs["front_end_bytes"])
    assert len(set(need["latency_ms"])) == 2


def test_a_camera_before_another_view_is_refused():
    view = AudioView(16000, (8000, 16000), (10, 20))
    space, limits = dataclasses.replace(quickstart(), view=view), Limits(count_input_pipeline=True, camera_px=96)
    data = DataSettings(source="folder", modality="audio", path="/sounds")
    with pytest.raises(UserError, match=r"budgets\[0\]\.camera_px = 96: the view is of audio, leave it out"):
        validate(Config("c", space=space, data=data, budgets=(limits,)))
    validate(Config("c", space=space, data=data, budgets=(dataclasses.replace(limits, camera_px=0),)))
