"""Objectives as columns, and the corner of the hypervolume, against figures by hand."""

import numpy as np
import pytest

from danas_jax.config import Limits, SearchSettings
from danas_jax.hardware.input_pipeline import pipeline_ms
from danas_jax.search import objectives

NAMES = ("error", "energy", "latency", "flash", "sram", "macs")
COST = {
    "macs": np.array([100, 200]),
    "arena_device_bytes": np.array([50, 90]),
    "arena_host_bytes": np.array([100, 100]),
    "flash_bytes": np.array([10, 40]),
    "latency_ms": np.array([1.0, 2.0]),
    "input_px": np.array([32, 48]),
    "input_channels": np.array([1, 3]),
}


@pytest.mark.parametrize("camera_px", [0, 64])
def test_columns_by_hand(camera_px):
    limits = Limits(board="nano33ble", count_input_pipeline=bool(camera_px), camera_px=camera_px)
    camera_ms = pipeline_ms([32, 48], [1, 3], camera_px, board_name="nano33ble") if camera_px else np.zeros(2)
    found = objectives.columns(NAMES, np.array([0.9, np.nan]), COST, limits)
    energy_mj = 9.9 * (np.array([1.0, 2.0]) + camera_ms) / 1000
    by_hand = [[0.1, np.nan], energy_mj, [1.0, 2.0], [10, 40], [50, 90], [100, 200]]
    np.testing.assert_allclose(found, np.transpose(by_hand))
    assert (energy_mj[0] > 0.0099) == bool(camera_px)


def test_the_corner_is_the_limit_or_the_largest():
    largest = {key: column[1:] for key, column in COST.items()}
    free, bound = Limits(board="nano33ble"), Limits(board="nano33ble", energy_mj=0.01, sram_bytes=70, latency_ms=1.5)
    assert objectives.corner(NAMES, free, largest).tolist() == [1.0, 9.9 * 2 / 1000, 2.0, 40.0, 90.0, 200.0]
    assert objectives.corner(NAMES, bound, largest).tolist() == [1.0, 0.01, 1.5, 40.0, 70.0, 200.0]


def test_energy_that_does_not_count_needs_no_power():
    objectives.check(SearchSettings().objectives, (Limits(), Limits(board="rp2040")))
    objectives.check(NAMES, (Limits(board="nano33ble", energy_mj=1.0),))
