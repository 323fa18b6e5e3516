"""Latency lines, costs of populations, budgets: fits, violation, smallest need, pruning."""

from __future__ import annotations

import re
import time

import numpy as np
import pytest

from danas_jax.config import Limits
from danas_jax.errors import UserError
from danas_jax.hardware import latency, tflm
from danas_jax.hardware.cost import (
    COST_KEYS,
    cost,
    fits,
    needed,
    prune,
    smallest_need,
    space_costs,
    space_violation,
    violation,
)
from danas_jax.hardware.population import costs as lower_bounds
from danas_jax.layers import LayerBuilder
from danas_jax.spaces import mobilenetv2_tiny, quickstart

SPACE = quickstart()


def population(count=20):
    return SPACE.sample(np.random.default_rng(0), count)


def test_latency_lines():
    assert latency.latency_ms(6_000_000) == pytest.approx(22.1 + 94.81 * 6)  # mcunet-vww0: 587 ms published
    assert latency.latency_ms(6_000_000, "stm32h743") == latency.latency_ms(6_000_000)
    assert latency.latency_ms(6_000_000, "stm32f746") == pytest.approx((22.1 + 94.81 * 6) * 480 / 216)
    assert "published" in latency.line().basis
    f746, nano = latency.line("stm32f746").basis, latency.line("nano33ble").basis
    assert "scaled" in f746
    assert "lower bound" not in f746
    assert "scaled" in nano
    assert "lower bound" in nano
    with pytest.raises(UserError, match="runtime = 'utvm'"):
        latency.line("", "utvm")


def test_cost_by_hand():
    net = LayerBuilder((8, 8, 3))
    net.conv("a", 4, kernel=3, stride=2)
    net.depthwise("w", 3)
    net.pool("p")
    net.dense("d", 2)
    figures = cost(net.build())
    assert tuple(figures) == COST_KEYS
    assert figures["macs"] == 4 * 4 * 4 * 27 + 4 * 4 * 4 * 9 + 4 * 2
    assert figures["params"] == (108 + 4) + (36 + 4) + (8 + 2)
    assert figures["peak_sram_bytes"] == 192 + 64
    assert figures["flash_bytes"] - figures["file_bytes"] == 94_900
    assert figures["latency_ms"] == pytest.approx(22.1 + 94.81 * figures["macs"] / 1e6)


def test_space_costs_equal_single_costs():
    genes = population()
    genes[3] = genes[5]
    for board in ("", "nano33ble"):
        costs = space_costs(SPACE, genes, 3, board)
        assert tuple(costs) == COST_KEYS
        for i, row in enumerate(genes):
            assert {key: costs[key][i] for key in COST_KEYS} == cost(SPACE.layers(row, 3), board)
    # not canonical: a block beyond the depth changes nothing
    low, high = SPACE.min_genes, SPACE.min_genes
    high[SPACE.index["s2.b1.kernel"]] = 1
    pair = space_costs(SPACE, np.stack([low, high]), 3)
    assert all(len(set(values.tolist())) == 1 for values in pair.values())
    # other classes, another network
    assert (space_costs(SPACE, genes, 4)["macs"] > space_costs(SPACE, genes, 3)["macs"]).all()


def test_space_costs_are_fast():
    space = mobilenetv2_tiny()
    genes = space.sample(np.random.default_rng(99), 200)
    start = time.process_time()
    space_costs(space, genes, 7)
    assert (time.process_time() - start) / 200 < 3e-3


def test_fits_and_violation():
    costs = {
        "macs": np.array([100, 200]),
        "arena_device_bytes": np.array([50, 90]),
        "arena_host_bytes": np.array([100, 100]),
        "flash_bytes": np.array([10, 40]),
        "latency_ms": np.array([1.0, 2.0]),
    }
    assert violation(costs, Limits()).tolist() == [0.0, 0.0]
    assert fits(costs, Limits(sram_bytes=100, flash_bytes=40, macs=200, latency_ms=2.0)).tolist() == [True, True]
    # the host's arena binds too, and the device's
    assert violation(costs, Limits(sram_bytes=80)).tolist() == [0.25, 0.25]
    costs["arena_device_bytes"] = np.array([100, 160])
    assert violation(costs, Limits(sram_bytes=80)) == pytest.approx([0.25, 1.0])
    assert violation(costs, Limits(flash_bytes=20, macs=160, latency_ms=1.0)) == pytest.approx([0, 1 + 0.25 + 1])
    assert fits(costs, Limits(flash_bytes=20)).tolist() == [True, False]
    single = cost(SPACE.layers(SPACE.min_genes, 2))
    assert bool(fits(single, Limits(sram_bytes=single["arena_host_bytes"])))
    assert not bool(fits(single, Limits(sram_bytes=single["arena_host_bytes"] - 1)))
    with pytest.raises(UserError, match="macs = 0"):
        violation(costs, Limits(macs=0))


def test_an_energy_limit_is_a_latency_limit_on_a_board_of_known_power():
    """9.9 mW: 1 ms is 9.9 uJ; the camera's time counts where it is counted."""
    genes = SPACE.sample(np.random.default_rng(5), 50)
    costs = space_costs(SPACE, genes, 2, "nano33ble")
    for camera in ({}, {"count_input_pipeline": True, "camera_px": 96}):
        by_time = Limits(board="nano33ble", latency_ms=1500.0, **camera)
        by_energy = Limits(board="nano33ble", energy_mj=14.85, **camera)
        found = violation(costs, by_energy)
        assert found == pytest.approx(violation(costs, by_time), abs=1e-12)
        assert 0 < (found > 0).sum() < 50
        assert needed(costs, by_energy)["energy_mj"] == pytest.approx(9.9e-3 * needed(costs, by_time)["latency_ms"])
    assert needed(costs, by_energy)["energy_mj"].min() > 9.9e-3 * costs["latency_ms"].min()
    said = smallest_need(SPACE, 2, Limits(board="nano33ble", energy_mj=0.5))
    assert said is not None and re.fullmatch(r"needs [\d.]+ mJ energy, limit is 0.5 mJ", said)
    for board, says in (
        ("rp2040", "the active power of board rp2040 is not known; .*active_power_mw"),
        ("", "names no board"),
    ):
        with pytest.raises(UserError, match=f"limits.energy_mj = 0.5: {says}"):
            violation(costs, Limits(board=board, energy_mj=0.5))
        assert "energy_mj" not in needed(costs, Limits(board=board))


def test_space_violation_plans_only_what_may_fit(monkeypatch):
    genes = np.unique(SPACE.sample(np.random.default_rng(4), 200), axis=0)
    planned = []
    plan = tflm.arenas
    monkeypatch.setattr(tflm, "arenas", lambda layers: planned.append(layers) or plan(layers))
    monkeypatch.setattr("danas_jax.hardware.cost._planned", {})
    free = Limits(macs=1_000_000, latency_ms=100, board="stm32h743")
    found = space_violation(SPACE, genes, 3, free)
    assert not planned
    limits = Limits(sram_bytes=24 * 1024, flash_bytes=140 * 1024)
    bounded = space_violation(SPACE, genes, 3, limits)
    assert len(planned) == (bounded == 0).sum() > 10
    exact = violation(space_costs(SPACE, genes, 3, ""), limits)
    np.testing.assert_array_equal(bounded == 0, exact == 0)
    assert (bounded <= exact).all()
    assert (exact > 0).sum() > 10
    np.testing.assert_array_equal(found, violation(space_costs(SPACE, genes, 3, "stm32h743"), free))


def test_a_system_is_planned_once(monkeypatch):
    genes = np.stack([SPACE.min_genes, SPACE.min_genes])
    genes[1, SPACE.index["s2.b1.kernel"]] = 1  # beyond the depth
    planned = []
    plan = tflm.arenas
    monkeypatch.setattr(tflm, "arenas", lambda net: planned.append(net) or plan(net))
    monkeypatch.setattr("danas_jax.hardware.cost._planned", {})
    for _ in range(2):
        space_costs(SPACE, genes, 3)
    assert len(planned) == 1


def test_space_violation_believes_the_plan():
    """A system whose buffers leave a gap: the arena's bound fits, the arena does not."""
    space = mobilenetv2_tiny()
    genes = space.sample(np.random.default_rng(0), 200)
    bound, exact = (make(space, genes, 2)["arena_host_bytes"] for make in (lower_bounds, space_costs))
    gap = int(np.argmax(exact - bound))
    assert bound[gap] < exact[gap]
    row, limit = genes[[gap]], int(exact[gap])
    assert space_violation(space, row, 2, Limits(sram_bytes=limit)) == [0]
    assert space_violation(space, row, 2, Limits(sram_bytes=limit - 1)) == pytest.approx([1 / (limit - 1)])


def test_smallest_need():
    single = cost(SPACE.layers(SPACE.min_genes, 2))
    assert smallest_need(SPACE, 2, Limits()) is None
    assert smallest_need(SPACE, 2, Limits(sram_bytes=single["arena_host_bytes"])) is None
    need = smallest_need(SPACE, 2, Limits(sram_bytes=8 * 1024))
    assert need == "needs 14 kB SRAM, limit is 8 kB"
    several = smallest_need(SPACE, 2, Limits(sram_bytes=8 * 1024, macs=1000, latency_ms=5, board="rp2040"))
    assert [part.split(", ")[0].split()[-1] for part in several.split("; ")] == ["SRAM", "MACs", "latency"]
    assert several.endswith("limit is 5 ms")
    assert "flash" in smallest_need(SPACE, 2, Limits(flash_bytes=100 * 1024))
    # an excess of one byte does not read as equality
    text = smallest_need(SPACE, 2, Limits(sram_bytes=single["arena_host_bytes"] - 1))
    assert text is not None
    assert text.split()[1] != text.split()[-2]


def test_prune_drops_what_no_budget_holds():
    _, everything, dropped = prune(SPACE, [Limits()], 2)
    assert (everything == SPACE.max_genes).all()
    assert dropped == []
    small, large = Limits(sram_bytes=24 * 1024), Limits(sram_bytes=64 * 1024)
    lower, upper, dropped = prune(SPACE, [small], 2)
    assert (lower == 0).all()
    assert "resolution_px = 64" in dropped
    assert upper[0] < SPACE.max_genes[0]
    # one budget that holds it is enough, and values dropped are exactly those beyond the bounds
    assert "resolution_px = 64" not in prune(SPACE, [small, large], 2)[2]
    assert len(dropped) == (SPACE.max_genes - upper).sum()
    # brute force: no fitting system of a sample lies beyond the bounds
    genes = SPACE.sample(np.random.default_rng(2), 300)
    inside = (genes <= upper).all(axis=1)
    assert not fits(space_costs(SPACE, genes[~inside], 2), small).any()
    assert fits(space_costs(SPACE, genes[inside], 2), small).any()


def test_prune_counts_a_block_with_its_depth():
    space = mobilenetv2_tiny((32,))
    macs = {}
    for name in ("s3.b2.kernel", "s3.depth"):
        genes = space.min_genes
        genes[space.index["s3.depth"]] = 2
        if "kernel" in name:
            genes[space.index[name]] = 1
        macs[name] = cost(space.layers(genes, 2))["macs"]
    assert macs["s3.b2.kernel"] > macs["s3.depth"]
    dropped = prune(space, [Limits(macs=macs["s3.b2.kernel"] - 1)], 2)[2]
    assert "s3.b2.kernel = 5" in dropped
    assert "s3.depth = 3" not in dropped
