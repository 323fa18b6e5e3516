"""Latency lookup tables: measured layers of one (board, runtime), and the time of a network by them (docs/lut.md)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import MappingProxyType

import numpy as np

from danas_jax.errors import UserError
from danas_jax.hardware import annotated_csv, interpolation, latency, layer_key
from danas_jax.hardware.graph import Graph, macs
from danas_jax.hardware.layer_key import OVERHEAD, Key

VERSION = 1  # of the file format
REQUIRED = ("op", "input", "output", "ms")
OPTIONAL = ("kernel", "stride", "padding", "readings", "spread")
MEASURED = ("ms", "readings", "spread")  # the columns of a Row
LOOKED_UP, INTERPOLATED, FALLBACK = "looked_up", "interpolated", "fallback"


@dataclass(frozen=True)
class Row:
    """One measurement: milliseconds, how many readings it is the least of, and (largest / least - 1) of them.

    0 readings: it never ran undisturbed at the machine's best pace, `ms` is an estimate.
    """

    ms: float
    readings: int = 1
    spread: float = 0.0

    @classmethod
    def read(cls, line: annotated_csv.Line) -> Row:
        """From the cells of a line. Raises UserError for a missing or negative number."""
        given = {name: annotated_csv.number(line, name) for name in ("readings", "spread") if line.cells.get(name)}
        return cls(annotated_csv.number(line, "ms"), int(given.get("readings", 1)), given.get("spread", 0.0))

    @property
    def cells(self) -> tuple:
        """The cells of ms, readings and spread."""
        return f"{self.ms:.6g}", self.readings, f"{self.spread:.4f}"


@dataclass(frozen=True, eq=False)  # by identity, so that what is computed with a table can be kept
class Table:
    """Measured layers of one (board, runtime). `info` says how they were measured, `source` names it in errors."""

    board: str
    runtime: str
    rows: Mapping[Key, Row]
    source: str = "table"
    info: Mapping = field(default_factory=dict)

    @cached_property
    def overhead_ms(self) -> float:
        """Fixed time of an inference [ms]; 0 where it was not measured."""
        return self.rows[Key(OVERHEAD)].ms if Key(OVERHEAD) in self.rows else 0.0

    @cached_property
    def operators(self) -> frozenset[str]:
        """Names of the operators in the table."""
        return frozenset(key.op for key in self.rows) - {OVERHEAD}

    @cached_property
    def fits(self) -> dict[tuple, interpolation.Fit | None]:
        """The line through the measured points of every family; what took no measurable time is left out."""
        members: dict[tuple, list[Key]] = {}
        for key, row in self.rows.items():
            if key.op != OVERHEAD and row.ms > 0:
                members.setdefault(key.family, []).append(key)
        return {
            family: interpolation.fit(np.array([k.features for k in keys]), np.array([self.rows[k].ms for k in keys]))
            for family, keys in members.items()
        }

    @cached_property
    def fallback(self) -> latency.Line:
        """The published line of the board and runtime; where there is none, the table's own mean time per MAC."""
        try:
            return latency.line(self.board, self.runtime)
        except UserError:
            total = sum(key.macs for key in self.rows)
            ms = sum(row.ms for key, row in self.rows.items() if key.macs)
            slope = 1e6 * ms / total if total else 0.0
            return latency.Line(0.0, slope, f"mean over the table (no published line for {self.board}, {self.runtime})")

    def fallback_ms_per_mac(self, macs):
        """Milliseconds of a MAC that the table does not tell, in a network of `macs` (an int, or an array)."""
        return self.fallback.ms(macs) / np.maximum(macs, 1)

    def time(self, key: Key | None) -> tuple[float, str] | None:
        """(ms, LOOKED_UP or INTERPOLATED) of a layer; None where the table does not tell."""
        if key is None:
            return None
        if key in self.rows:
            return self.rows[key].ms, LOOKED_UP
        line = self.fits.get(key.family)
        ms = line.ms(key.features) if line else None
        return None if ms is None else (ms, INTERPOLATED)


Tables = Mapping[str, Table]  # board -> the table of its latencies
NO_TABLES: Tables = MappingProxyType({})


@dataclass(frozen=True)
class OperatorLatency:
    """Milliseconds of one operator and where they are from: LOOKED_UP, INTERPOLATED or FALLBACK."""

    ms: float
    source: str


@dataclass(frozen=True)
class Latency:
    """Time of one inference: `overhead_ms` and that of every operator, in the graph's order.

    The shares are of `total_ms` and add up to 1; the overhead is looked up. `basis` says what the fallback is worth.
    """

    overhead_ms: float
    operators: tuple[OperatorLatency, ...]
    basis: str

    @property
    def total_ms(self) -> float:
        """The whole inference [ms]."""
        return self.overhead_ms + sum(operator.ms for operator in self.operators)

    def _share(self, source: str) -> float:
        ms = sum(operator.ms for operator in self.operators if operator.source == source)
        return (ms + self.overhead_ms * (source == LOOKED_UP)) / self.total_ms if self.total_ms > 0 else 0.0

    @property
    def looked_up_share(self) -> float:
        """Share of the time that was measured for exactly these layers."""
        return self._share(LOOKED_UP)

    @property
    def interpolated_share(self) -> float:
        """Share of the time that is interpolated within the operator's measured points."""
        return self._share(INTERPOLATED)

    @property
    def fallback_share(self) -> float:
        """Share of the time that is from the line over MACs."""
        return self._share(FALLBACK)

    @property
    def shares(self) -> dict[str, float]:
        """All three, by LOOKED_UP, INTERPOLATED and FALLBACK."""
        return {source: self._share(source) for source in (LOOKED_UP, INTERPOLATED, FALLBACK)}


def predict(table: Table, graph: Graph) -> Latency:
    """The time of a network by `table`.

    A layer that the table does not tell gets its share, by MACs, of what the fallback line says of the whole network.
    Raises UserError when the table holds none of the network's operators that multiply: it is one for another op set.
    """
    counts = macs(graph)
    total = sum(counts)
    names = sorted(
        {operator.name for operator, count in zip(graph.operators, counts, strict=True) if count or not total}
    )
    if table.operators.isdisjoint(names):
        have = ", ".join(sorted(table.operators)) or "none"
        raise UserError(f"{table.source}: a table of other operators ({have}); the network has {', '.join(names)}")
    per_mac = float(table.fallback_ms_per_mac(total))
    every = [
        OperatorLatency(*found) if found else OperatorLatency(count * per_mac, FALLBACK)
        for found, count in zip(_times(table, graph), counts, strict=True)
    ]
    return Latency(table.overhead_ms, tuple(every), table.fallback.basis)


def _times(table: Table, graph: Graph) -> list[tuple[float, str] | None]:
    """What the table tells of each operator."""
    return [table.time(layer_key.key_of(graph, operator)) for operator in graph.operators]


def told(table: Table, graph: Graph) -> tuple[float, int]:
    """(ms of the operators that the table tells, MACs of the others): sums, so those of a network's parts add up."""
    pairs = list(zip(_times(table, graph), macs(graph), strict=True))
    return sum(found[0] for found, _ in pairs if found), sum(count for found, count in pairs if not found)


def total_ms(table: Table, told_ms, untold_macs, macs):
    """`predict(...).total_ms` of networks by their sums of `told` and their MACs (numbers, or arrays of any shape)."""
    return table.overhead_ms + told_ms + untold_macs * table.fallback_ms_per_mac(macs)


def load(path: Path | str) -> Table:
    """The table in a file that `text` wrote. Raises UserError as `read_rows` does, or when its first line says not
    for which board and runtime it is."""
    header, rows = read_rows(path)
    if header.get("version") != VERSION:
        raise UserError(f"{path}: version is {header.get('version')!r}, this danas reads tables of version {VERSION}")
    for name in ("board", "runtime"):
        if not isinstance(header.get(name), str) or not header[name]:
            raise UserError(f"{path}, line 1: {name} = {header.get(name)!r}: give a name")
    info = {key: value for key, value in header.items() if key not in ("version", "board", "runtime")}
    return Table(header["board"], header["runtime"], rows, str(path), info)


def text(table: Table) -> str:
    """The file of a table, rows sorted."""
    header = {**table.info, "version": VERSION, "board": table.board, "runtime": table.runtime}
    lines = [(*layer_key.cells(key), *row.cells) for key, row in sorted(table.rows.items())]
    return annotated_csv.text(header, (*layer_key.CELLS, *MEASURED), lines)


def read_rows(path: Path | str) -> tuple[dict, dict[Key, Row]]:
    """Header and rows of a table, or of somebody's measurements without a header (columns in docs/lut.md).

    Raises UserError naming the line for an unknown operator, shapes that cannot be, a missing or negative time, a key
    given twice, and for a file without rows.
    """
    header, lines = annotated_csv.read(path, REQUIRED, OPTIONAL)
    rows, places = {}, {}
    for line in lines:
        key = layer_key.from_cells(line)
        if key in rows:
            raise UserError(f"{line.where}: the same layer as in {places[key]}: give each one once")
        rows[key], places[key] = Row.read(line), line.where
    if not rows:
        raise UserError(f"{path}: holds no rows: give one for each measured layer")
    return header, rows
