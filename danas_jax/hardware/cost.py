"""All figures of a network, of populations of them, and what fits a budget."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from danas_jax.config import Limits
from danas_jax.errors import UserError
from danas_jax.hardware import boards, flash, graph, input_pipeline, latency, lut, population, tflm
from danas_jax.layers import LayerSpec
from danas_jax.space import SearchSpace
from danas_jax.views.base import NetworkInput

COST_KEYS = (
    "macs",
    "params",
    "peak_sram_bytes",
    "arena_device_bytes",
    "arena_host_bytes",
    "file_bytes",
    "flash_bytes",
    "input_px",
    "input_width_px",
    "input_channels",
    "front_end_bytes",
    "front_end_cycles",
    "latency_ms",
)
# Limits field -> the costs that it bounds. A network has to fit the board by the derived figure and this host by the
# checked one, so that a wrong derivation cannot hide.
BOUNDS = {
    "sram_bytes": ("arena_device_bytes", "arena_host_bytes"),
    "flash_bytes": ("flash_bytes",),
    "macs": ("macs",),
    "latency_ms": ("latency_ms",),
}  # energy_mj follows from the latency that `needed` finds

NAMES = {"sram_bytes": "SRAM", "flash_bytes": "flash", "macs": "MACs", "latency_ms": "latency", "energy_mj": "energy"}


def cost(
    layers: Sequence[LayerSpec],
    board_name: str = "",
    latency_tables: lut.Tables = lut.NO_TABLES,
    source: NetworkInput | None = None,
) -> dict[str, int | float]:
    """Every figure of one network, keys as in docs/design.md: bytes, MACs and milliseconds (on `board_name`).

    What makes its input (but of pictures, where the camera decides) is costed where `source` is given. Raises UserError
    for an unknown board, its table of other operators, or a network that cannot be (see `graph.from_layers`).
    """
    net = graph.from_layers(layers)
    macs, (device, host) = graph.total_macs(net), tflm.arenas(net)
    table = latency_tables.get(board_name)
    return {
        "macs": macs,
        "params": graph.params(net),
        "peak_sram_bytes": graph.live_peak_bytes(net),
        "arena_device_bytes": device,
        "arena_host_bytes": host,
        "file_bytes": net.file_bytes,
        "flash_bytes": flash.flash_bytes(net.file_bytes),
        "input_px": layers[0].in_shape[0],
        "input_width_px": layers[0].in_shape[1],
        "input_channels": layers[0].in_shape[2],
        "front_end_bytes": source.view.pipeline_bytes(source.data) if source else 0,
        "front_end_cycles": source.view.pipeline_cycles(source.data) if source else 0,
        "latency_ms": lut.predict(table, net).total_ms if table else latency.latency_ms(macs, board_name),
    }


def latency_shares(layers: Sequence[LayerSpec], board_name: str, latency_tables: lut.Tables) -> dict[str, float] | None:
    """Shares of a network's latency that are looked up, interpolated, fallen back; None without the board's table."""
    table = latency_tables.get(board_name)
    return lut.predict(table, graph.from_layers(layers)).shares if table else None


_planned: dict[tuple[str, int], dict[bytes, tuple[int, int]]] = {}  # (space, classes) -> canonical genes -> arenas
CACHE_ENTRIES = 1_000_000  # per (space, classes), about 500 B each; then it starts afresh


def space_costs(
    space: SearchSpace,
    genes: np.ndarray,
    num_classes: int,
    board_name: str = "",
    latency_tables: lut.Tables = lut.NO_TABLES,
) -> dict[str, np.ndarray]:
    """Costs of genes [N, G]: one array [N] per key of COST_KEYS, int64 but for latency_ms (float64).

    Equal to `cost(space.layers(g, num_classes), board_name, latency_tables, space.input(g))` for each row, a table's
    latency to rounding. Each arena is planned, once: it is kept in memory. Raises UserError as `population.costs` does.
    """
    genes = np.atleast_2d(genes)
    costs = population.costs(space, genes, num_classes, board_name, latency_tables)
    known = _planned.setdefault((space.fingerprint, num_classes), {})
    if len(known) > CACHE_ENTRIES:
        known.clear()
    arenas = np.empty((len(genes), 2), np.int64)
    for i, row in enumerate(space.canonical(genes)):
        key = row.tobytes()
        planned = known.get(key)
        if planned is None:
            planned = known[key] = tflm.arenas(graph.from_layers(space.layers(row, num_classes)))
        arenas[i] = planned
    return costs | {"arena_device_bytes": arenas[:, 0], "arena_host_bytes": arenas[:, 1]}


def needed(costs: Mapping[str, np.ndarray | float], limits: Limits) -> dict[str, np.ndarray]:
    """What each limit is compared with, {field of NAMES: float64 [N]}: the largest of its costs.

    A counted input pipeline is added to SRAM and latency. latency_ms must have been computed for the limits' board.
    energy_mj is there where the active power of that board is known; UserError where it is not, but limited.
    """
    found = {k: np.max([np.asarray(costs[key], np.float64) for key in keys], axis=0) for k, keys in BOUNDS.items()}
    if limits.count_input_pipeline:
        beside = input_pipeline.beside(limits, costs)
        found["sram_bytes"], found["latency_ms"] = found["sram_bytes"] + beside[0], found["latency_ms"] + beside[1]
    energy_mj = boards.energy_mj(limits.board, found["latency_ms"])
    if energy_mj is not None:
        found["energy_mj"] = energy_mj
    elif limits.energy_mj is not None:
        raise UserError(f"limits.energy_mj = {limits.energy_mj:g}: {boards.no_power_text(limits.board)}")
    return found


def violation(costs: Mapping[str, np.ndarray | float], limits: Limits) -> np.ndarray:
    """Sum of relative excesses over the limits, float64 [N] (a scalar array for the costs of one network); 0 = fits.

    `sram_bytes` binds the larger of the two arenas; a limit of None binds nothing (see `needed`).
    """
    total = np.zeros(np.shape(costs["macs"]))
    for field, need in needed(costs, limits).items():
        limit = getattr(limits, field)
        if limit is None:
            continue
        if limit <= 0:
            raise UserError(f"limits.{field} = {limit}: give a positive number or leave it out")
        total = total + np.maximum(need / limit - 1.0, 0.0)
    return total


def fits(costs: Mapping[str, np.ndarray | float], limits: Limits) -> np.ndarray:
    """Whether every limit is kept, bool [N]."""
    return violation(costs, limits) == 0.0


def space_violation(
    space: SearchSpace,
    genes: np.ndarray,
    num_classes: int,
    limits: Limits,
    latency_tables: lut.Tables = lut.NO_TABLES,
) -> np.ndarray:
    """Violation of genes [N, G], float64 [N]; 0 = fits, by the planned arenas.

    Only networks that the arenas' lower bounds do not exclude are planned; the violation of the others is that of the
    bounds. So above 0 it may be too small, but it depends on nothing but genes and limits.
    """
    found = violation(population.costs(space, genes, num_classes, limits.board, latency_tables), limits)
    rows = np.flatnonzero(found == 0.0)
    if limits.sram_bytes is not None and rows.size:
        found[rows] = violation(space_costs(space, genes[rows], num_classes, limits.board, latency_tables), limits)
    return found


def _only(space: SearchSpace, axis: int, value: int) -> np.ndarray:
    """The smallest system in which gene `axis` is `value` and counts, int64 [G]: a block's gene needs its depth."""
    genes = space.min_genes
    genes[axis] = value
    stage, _, rest = space.axes[axis].name.partition(".b")
    if rest:
        block = int(rest.partition(".")[0])
        depth = space.index[f"{stage}.depth"]
        genes[depth] = next(i for i, d in enumerate(space.axes[depth].values) if int(d) > block)
    return genes


def _single_axis(space: SearchSpace) -> list[tuple[int, int]]:
    """(axis, value index) of every value of every axis but the smallest ones."""
    return [(axis, v) for axis, count in enumerate(space.cardinalities) for v in range(1, int(count))]


def _text(field: str, value: float, limit: bool) -> str:
    """A figure for people; needs are rounded up, limits down, so that an excess never reads as equality."""
    rounded = math.floor if limit else math.ceil
    if field.endswith("_bytes"):
        return f"{rounded(value / 1024 * 10) / 10:g} kB"
    if field == "macs":
        return f"{rounded(value / 1e6 * 1000) / 1000:g} M"
    if field == "energy_mj":
        return f"{rounded(value * 1000) / 1000:g} mJ"
    return f"{rounded(value * 10) / 10:g} ms"


def smallest_need(
    space: SearchSpace, num_classes: int, limits: Limits, latency_tables: lut.Tables = lut.NO_TABLES
) -> str | None:
    """None when something of the space may fit `limits`, else e.g. "needs 31.2 kB SRAM, limit is 20 kB".

    Tried are the smallest system, every system that differs from it in one axis, and those of every data
    configuration. The arena is not monotone in the genes (a wider map can pack better), so the smallest genes need not
    be the smallest arena; but kernels and channels move it by little, and two axes at once would have to conspire for a
    system outside this list to be the only one that fits. Nor is a latency table's time monotone where layers fall
    back.
    """
    # the data axes together: they scale the input and every map
    rows = [np.array([*data, *space.min_genes[len(data) :]]) for data in space.data_genes()]
    rows += [_only(space, axis, value) for axis, value in _single_axis(space) if axis not in space.data_axes]
    costs = space_costs(space, np.array(rows), num_classes, limits.board, latency_tables)
    if fits(costs, limits).any():
        return None
    needs = needed(costs, limits)
    bound = {field: getattr(limits, field) for field in NAMES if getattr(limits, field) is not None}
    over = {field: needs[field].min() for field, limit in bound.items() if needs[field].min() > limit}
    together = ""
    if not over:  # each limit alone can be kept, not all of them by one system
        nearest = int(np.argmin(violation(costs, limits)))
        over = {field: needs[field][nearest] for field, limit in bound.items() if needs[field][nearest] > limit}
        together = " (the system nearest to all limits at once)"
    parts = [
        f"needs {_text(field, float(need), False)} {NAMES[field]}, limit is {_text(field, bound[field], True)}"
        for field, need in over.items()
    ]
    return "; ".join(parts) + together


def prune(
    space: SearchSpace, budgets: Sequence[Limits], num_classes: int, latency_tables: lut.Tables = lut.NO_TABLES
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """(lower, upper) bounds of the genes, int64 [G] each and inclusive, and the dropped values as "axis = value".

    A value goes when no budget can hold it with every other axis at its smallest; values go from the top of an axis
    only, so genes keep their meaning and the envelope narrows. What remains need not fit: it may.
    """
    upper, dropped = space.min_genes, []
    pairs = _single_axis(space)
    if pairs:
        rows = np.array([_only(space, axis, value) for axis, value in pairs])
        ok = np.zeros(len(pairs), bool)
        for limits in budgets:
            ok |= space_violation(space, rows, num_classes, limits, latency_tables) == 0.0
        for (axis, value), keep in zip(pairs, ok, strict=True):
            if keep:
                upper[axis] = max(upper[axis], value)
    for axis, value in pairs:
        if value > upper[axis]:
            dropped.append(f"{space.axes[axis].name} = {space.axes[axis].values[value]}")
    return space.min_genes, upper, dropped
