"""The file of whole networks timed end to end: subnets of a search space, or .tflite files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from danas_jax.errors import UserError
from danas_jax.hardware import annotated_csv, tflite_reader
from danas_jax.hardware.annotated_csv import Line
from danas_jax.hardware.graph import Graph, from_layers
from danas_jax.hardware.lut import MEASURED, Row
from danas_jax.lut import cases

SUBNET = ("space", "classes", "genes", "id")
COLUMNS = (*SUBNET, *MEASURED)  # as `danas lut time` writes them


def refuse_code(space: str, where: str) -> None:
    """UserError, naming `where`, for a space that is Python code: whoever reads a table would execute it."""
    if space.endswith(".py"):
        raise UserError(f"{where} = {space!r}: a table names no Python code; give a shipped space or a run's folder")


class Subnet(NamedTuple):
    """A network of a search space, named as `cases.find_space` takes it."""

    space: str
    classes: int
    genes: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.space} {self.classes} {self._genes_text}"

    @property
    def _genes_text(self) -> str:
        return "-".join(map(str, self.genes))

    @property
    def graph(self) -> Graph:
        """Its graph."""
        return from_layers(cases.find_space(self.space).layers(np.array(self.genes), self.classes))

    @property
    def cells(self) -> tuple:
        """The cells of SUBNET."""
        candidate = cases.find_space(self.space).candidate_id(np.array(self.genes))
        return self.space, self.classes, self._genes_text, candidate

    @classmethod
    def read(cls, line: Line) -> Subnet:
        """From the cells of a line. Raises UserError for a network that the space does not hold."""
        try:
            genes = np.array([int(gene) for gene in line.cells.get("genes", "").split("-")], np.int64)
            classes = int(line.cells.get("classes", ""))
        except (ValueError, OverflowError):
            raise UserError(f"{line.where}: give genes as 5-1-0-2 and classes as a number") from None
        if classes < 1:
            raise UserError(f"{line.where}: classes = {classes}: give 1 or more")
        refuse_code(line.cells.get("space", ""), f"{line.where}: space")
        try:
            space = cases.find_space(line.cells.get("space", ""))
            genes = space.check(genes)
        except (UserError, OSError) as error:  # OSError: a name that no file can have
            raise UserError(f"{line.where}: {error}") from None
        expected = line.cells.get("id")
        if expected and space.candidate_id(genes) != expected:
            raise UserError(
                f"{line.where}: id = {expected!r}: these genes are {space.candidate_id(genes)} now; the space "
                f"{space.name} has changed since it was measured"
            )
        return cls(line.cells["space"], classes, tuple(genes.tolist()))


class Model(NamedTuple):
    """A .tflite file."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    @property
    def graph(self) -> Graph:
        """Its graph. Raises UserError as `tflite_reader.read` does."""
        return tflite_reader.read(self.path)


def read(path: Path | str) -> tuple[dict, dict[Subnet | Model, Row]]:
    """Header and networks of a CSV file with `ms` and either `model` (a .tflite file, from the CSV's folder) or
    `space`, `classes` and `genes`.

    Raises UserError naming the line for a network that cannot be, comes twice or has no positive time.
    """
    header, lines = annotated_csv.read(path, ("ms",), ("model", *SUBNET, *MEASURED[1:]))
    rows, places = {}, {}
    for line in lines:
        model = line.cells.get("model")
        network = Model(Path(path).parent / model) if model else Subnet.read(line)
        if network in places:
            raise UserError(f"{line.where}: the same network as in {places[network]}: give each one once")
        rows[network], places[network] = Row.read(line), line.where
        if not rows[network].ms:
            raise UserError(f"{line.where}: ms = 0: give a positive number")
    return header, rows


def text(header: Mapping, rows: Mapping[Subnet, Row]) -> str:
    """The file of timed subnets."""
    return annotated_csv.text(header, COLUMNS, [(*network.cells, *row.cells) for network, row in rows.items()])
