"""Costs of populations: a gather per part of the network instead of a walk over its layers.

A network of a SearchSpace is a chain of parts (stem, blocks, top), each a function of few genes, so each part has a
table of its figures, filled by the functions that cost one network. Live bytes are maxima over the parts: a residual
keeps a block's input alive inside that block only. Everything else is a sum over the parts, less what a network has
once and each part has, too, where it is costed as a network (the file's header, say). Only the planner's packing is
neither: the arenas are lower bounds. A latency table (lut.py) gives each part two more sums.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, lru_cache
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from danas_jax.errors import UserError
from danas_jax.hardware import flash, graph, latency, lut, tflm
from danas_jax.layers import LayerSpec
from danas_jax.space import Block, SearchSpace, Stage

SUMS = ("macs", "params", "file_bytes", "tail_device_bytes", "tail_host_bytes")
MAXIMA = ("peak_sram_bytes", "head_bound_bytes")
INPUTS = (  # figures of the data configuration
    "input_px",
    "input_width_px",
    "input_channels",
    "front_end_bytes",
    "front_end_cycles",
)
LATER = len(SUMS)  # the row between the two: what `_later` counts
CHUNK = 4096  # networks at a time: their figures stay in a core's cache
FIGURES = len(SUMS) + 1 + len(MAXIMA)
Figures = tuple[float, ...]  # SUMS, LATER, MAXIMA; or those of `lut.told`
Measure = Callable[[tuple[LayerSpec, ...], int], Figures]  # figures of a part's layers and what it adds to LATER


class Part(NamedTuple):
    """Figures of one part of the network as a function of the genes at the positions `axes`."""

    axes: tuple[int, ...]
    counts: tuple[int, ...]  # number of values of each
    table: np.ndarray  # int64, by a latency table float64 [figures, product of counts]


class Tables(NamedTuple):
    """The parts of every network of a space in order, and how much their SUMS are more than the network's."""

    parts: tuple[Part, ...]
    surplus: np.ndarray  # int64 [SUMS, LATER of the whole network + 1]


def _figures(layers: tuple[LayerSpec, ...], later: int) -> Figures:
    """The figures of `layers` as a network of its own."""
    net = graph.from_layers(layers)
    sums = graph.total_macs(net), graph.params(net), net.file_bytes, *tflm.tail_bytes(net)
    return *sums, later, graph.live_peak_bytes(net), tflm.head_bound_bytes(net)


def _later(space: SearchSpace, stage: Stage) -> int:
    """What a block of `stage` after the first adds to LATER, so that LATER tells how many there are of each kind.

    Of one kind are blocks of the same operators. LATER is their numbers as digits, each of a base of its own.
    """
    kinds, value = list(dict.fromkeys(other.layers for other in space.stages)), 1
    for kind in kinds[: kinds.index(stage.layers)]:
        value *= 1 + sum(other.depths[-1] - 1 for other in space.stages if other.layers == kind)
    return value


def _part(space: SearchSpace, names: list[str], figures: Callable[..., Figures]) -> Part:
    """A part with `figures` of one value of each axis in `names`."""
    axes = tuple(space.index[name] for name in names)
    rows = [figures(*values) for values in product(*(space.axes[axis].values for axis in axes))]
    counts = tuple(len(space.axes[axis].values) for axis in axes)
    return Part(axes, counts, np.ascontiguousarray(np.array(rows).T))


Maps = dict[tuple, tuple[int, int]]  # values of the shape axes -> height and width of a part's input


def _shape_names(space: SearchSpace) -> list[str]:
    return [axis.name for axis in space.view.shape_axes]


def _stem(space: SearchSpace, measure: Measure) -> Part:
    names = [axis.name for axis in space.view.axes]

    def figures(*values: int | str) -> Figures:
        net = space.builder(space.view.shape(space.view.data(**dict(zip(names, values[:-1], strict=True)))))
        space.add_stem(net, int(values[-1]))
        return measure(net.build(), 0)

    return _part(space, [*names, "stem.width"], figures)


def _block(space: SearchSpace, measure: Measure, s: int, b: int, entry: str, maps: Maps) -> Part:
    """Block `b` of stage `s`; `entry` is the axis of its input's width."""

    @cache  # the depths of a later block, and the shapes of equal maps, share it
    def active(size: tuple[int, int], channels: int, width: int, expansion: int, kernel: int) -> Figures:
        net = space.builder((*size, channels))
        space.add_block(net, s, b, width, Block(expansion, kernel))
        return measure(net.build(), _later(space, space.stages[s]) if b else 0)

    def first(*values: Any) -> Figures:
        *shape, channels, width, expansion, kernel = values
        return active(maps[tuple(shape)], channels, width, expansion, kernel)

    def later(*values: Any) -> Figures:
        *shape, width, depth, expansion, kernel = values
        found = active(maps[tuple(shape)], width, width, expansion, kernel)
        return found if b < depth else (0,) * len(found)

    own = [f"s{s}.b{b}.expansion", f"s{s}.b{b}.kernel"]
    if b == 0:
        return _part(space, [*_shape_names(space), entry, f"s{s}.width", *own], first)
    return _part(space, [*_shape_names(space), entry, f"s{s}.depth", *own], later)


def _top(space: SearchSpace, measure: Measure, num_classes: int, entry: str, maps: Maps) -> Part:
    def figures(*values: Any) -> Figures:
        *shape, channels, width = values
        net = space.builder((*maps[tuple(shape)], channels))
        space.add_top(net, width, num_classes)
        return measure(net.build(), 0)

    return _part(space, [*_shape_names(space), entry, "head.width"], figures)


def _one_per_count(space: SearchSpace) -> dict[int, np.ndarray]:
    """LATER -> genes [G] of a small network with that many later blocks, for all that the space has."""
    found = {0: space.min_genes}
    for s, stage in enumerate(space.stages):
        shallower, found = found, {}
        for later, genes in shallower.items():
            for i, depth in enumerate(stage.depths):
                deeper = genes.copy()
                deeper[space.index[f"s{s}.depth"]] = i
                found[later + (depth - 1) * _later(space, stage)] = deeper
    return found


def _parts(space: SearchSpace, num_classes: int, measure: Measure) -> tuple[Part, ...]:
    """The parts of every network of `space` in order, with the figures that `measure` gives."""
    shapes = {}
    for row in space.shape_genes(space.min_genes, space.max_genes):
        genes = np.array([*row, *space.min_genes[len(row) :]])
        values = tuple(axis.values[gene] for axis, gene in zip(space.view.shape_axes, row, strict=True))
        shapes[values] = {layer.name: layer.out_shape for layer in space.layers(genes, num_classes)}

    def maps(layer: str) -> Maps:
        """The map that a layer makes, by the values of the shape axes."""
        return {values: shape[layer][:2] for values, shape in shapes.items()}

    parts, entry, size = [_stem(space, measure)], "stem.width", maps("stem")
    for s, stage in enumerate(space.stages):
        for b in range(stage.depths[-1]):
            parts.append(_block(space, measure, s, b, entry, size))
            entry, size = f"s{s}.width", maps(f"s{s}.b0.{stage.layers[-1]}")
    return (*parts, _top(space, measure, num_classes, entry, size))


@lru_cache(maxsize=8)
def tables(space: SearchSpace, num_classes: int) -> Tables:
    """The tables of `space`; made once per (space, classes) and kept.

    A part's has a row per combination of its genes, the largest resolutions x input widths x widths x expansions x
    kernels; a row takes 64 B and about 30 us.
    """
    parts = _parts(space, num_classes, _figures)
    # What a network has once does not depend on its widths. It does on its number of operators, but by alignment only.
    examples = _one_per_count(space)
    surplus = np.zeros((LATER, max(examples) + 1), np.int64)
    for later, genes in examples.items():
        whole = _figures(space.layers(genes, num_classes), 0)
        surplus[:, later] = _gather(parts, genes[:, None])[:LATER, 0] - whole[:LATER]
    return Tables(parts, surplus)


@lru_cache(maxsize=8)
def timed_parts(space: SearchSpace, num_classes: int, table: lut.Table) -> tuple[Part, ...]:
    """The parts of every network of `space` with what `table` tells of them (`lut.told`); kept, as `tables` are.

    Raises UserError for a table of other operators.
    """
    lut.predict(table, graph.from_layers(space.layers(space.min_genes, num_classes)))  # refuses such a table
    return _parts(space, num_classes, lambda layers, _: lut.told(table, graph.from_layers(layers)))


def _rows(part: Part, genes: np.ndarray) -> np.ndarray:
    """Column of the part's table for each of genes intp [G, N], intp [N]."""
    row = genes[part.axes[0]]
    for axis, count in zip(part.axes[1:], part.counts[1:], strict=True):
        row = row * count + genes[axis] if count > 1 else row
    return row


def _gather(parts: tuple[Part, ...], genes: np.ndarray) -> np.ndarray:
    """Figures summed, and maxima, over the parts: int64 [figures, N] for genes intp [G, N] inside the space."""
    total = np.zeros((FIGURES, genes.shape[1]), np.int64)
    more = np.empty_like(total)
    for part in parts:
        # The indices are in range; "clip" only spares NumPy a copy of `more` for the case that they are not.
        np.take(part.table, _rows(part, genes), axis=1, out=more, mode="clip")
        total[: LATER + 1] += more[: LATER + 1]
        np.maximum(total[LATER + 1 :], more[LATER + 1 :], out=total[LATER + 1 :])
    return total


def _told(parts: tuple[Part, ...], genes: np.ndarray) -> np.ndarray:
    """The sums of `lut.told` of genes intp [G, N] inside the space, float64 [2, N]."""
    total = np.zeros((2, genes.shape[1]))
    for part in parts:  # one after the other, so that a network's rounding does not depend on its neighbours
        total += np.take(part.table, _rows(part, genes), axis=1)
    return total


def _chunk_costs(known: Tables, genes: np.ndarray) -> dict[str, np.ndarray]:
    """The whole-number costs of genes intp [G, N] inside the space, but for the flash."""
    total = _gather(known.parts, genes)
    total[:LATER] -= known.surplus[:, total[LATER]]
    sums, maxima = dict(zip(SUMS, total, strict=False)), dict(zip(MAXIMA, total[LATER + 1 :], strict=True))
    return {
        "macs": sums["macs"],
        "params": sums["params"],
        "peak_sram_bytes": maxima["peak_sram_bytes"],
        "arena_device_bytes": maxima["head_bound_bytes"] + sums["tail_device_bytes"],
        "arena_host_bytes": maxima["head_bound_bytes"] + sums["tail_host_bytes"],
        "file_bytes": sums["file_bytes"],
    }


def costs(
    space: SearchSpace,
    genes: np.ndarray,
    num_classes: int,
    board_name: str = "",
    latency_tables: lut.Tables = lut.NO_TABLES,
) -> dict[str, np.ndarray]:
    """Costs of genes [N, G], canonical or not: an array [N] per key of cost.COST_KEYS, int64 but latency_ms (float64).

    Equal to the figures of each network alone, but for the arenas, which are lower bounds: the live set of rounded-up
    buffers and the persistent records, without gaps that the planner leaves and without TFLM's needs while it prepares.
    The latency is by the board's table where there is one, to rounding. Large populations take all cores. Raises
    UserError for genes outside the space, an unknown board and a table of other operators.
    """
    genes, known = np.asarray(genes), tables(space, num_classes)
    table = latency_tables.get(board_name)
    timed = timed_parts(space, num_classes, table) if table else ()
    if genes.ndim != 2 or genes.shape[1] != len(space.axes):
        raise UserError(f"genes of shape {genes.shape}: give [N, {len(space.axes)}] for the space {space.name}")

    def chunk(start: int) -> dict[str, np.ndarray]:
        columns = np.ascontiguousarray(genes[start : start + CHUNK].T, dtype=np.intp)
        outside = ((columns < 0) | (columns >= space.cardinalities[:, None])).any(axis=0)
        if outside.any():
            space.check(columns[:, np.argmax(outside)])  # says which gene it is
        found = _chunk_costs(known, columns)
        if table:
            found["latency_ms"] = lut.total_ms(table, *_told(timed, columns), found["macs"])
        else:
            found["latency_ms"] = latency.latency_ms(found["macs"], board_name)
        return found

    starts = range(0, max(len(genes), 1), CHUNK)
    if len(starts) == 1:
        done = [chunk(0)]
    else:
        with ThreadPoolExecutor(os.cpu_count()) as pool:  # NumPy computes without the interpreter's lock
            done = list(pool.map(chunk, starts))
    found = {name: np.concatenate([one[name] for one in done]) for name in done[0]}
    latency_ms = found.pop("latency_ms")
    inputs = _inputs(space)[:, *genes[:, list(space.data_axes)].T.astype(np.intp)]
    return {
        **found,
        "flash_bytes": flash.flash_bytes(found["file_bytes"]),
        **dict(zip(INPUTS, inputs, strict=True)),
        "latency_ms": latency_ms,
    }


@cache
def _inputs(space: SearchSpace) -> np.ndarray:
    """INPUTS of every data configuration, int64 [5, values of each data axis ...]."""
    names = [axis.name for axis in space.view.axes]
    found = np.empty((len(INPUTS), *(len(axis.values) for axis in space.view.axes)), np.int64)
    for genes in np.ndindex(found.shape[1:]):
        chosen = {name: axis.values[i] for name, axis, i in zip(names, space.view.axes, genes, strict=True)}
        data = space.view.data(**chosen)
        found[:, *genes] = *space.view.shape(data), space.view.pipeline_bytes(data), space.view.pipeline_cycles(data)
    return found
