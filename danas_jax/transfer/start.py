"""The weights that a training begins with, out of an init-from: checked, put together, told. No jax."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from danas_jax import disk
from danas_jax.config import InitSettings, TrainSettings
from danas_jax.csv_text import csv_of
from danas_jax.errors import UserError
from danas_jax.layers import LayerSpec
from danas_jax.transfer.match import Begun, Params, matched, transferred
from danas_jax.transfer.source import Source, read

FILE = "init_from.csv"  # the table, beside the weights that were trained from there


@dataclass(frozen=True)
class Start:
    """A source of weights for networks whose classes are `classes`; `field` is what named it."""

    source: Source
    field: str
    classes: tuple[str, ...]
    rate: float

    @classmethod
    def of(cls, settings: InitSettings, section: str, classes: tuple[str, ...]) -> Start:
        """That of config's `section`, read now. UserError as in source.py."""
        return cls(read(settings, section), f"{section}.init_from", classes, settings.init_rate)

    def check(self, layers: Iterable[LayerSpec]) -> None:
        """UserError where nothing of the source comes over to `layers`."""
        found = matched(layers, self.source, self.classes)
        if all(found.values()):
            reasons = "; ".join(f"{block}: {why}" for block, why in found.items())
            raise UserError(
                f"{self.field} = {self.source.path}: no block of it is one of this network's ({reasons}); give the "
                "weights of a danas supernet, or of a network out of one"
            )

    def begun(self, layers: tuple[LayerSpec, ...], fresh: Params, folder: Path) -> Begun:
        """The params to begin with; the table of what came over is left in `folder`."""
        self.check(layers)
        found = transferred(layers, fresh, self.source, self.classes)
        disk.write_text(folder / FILE, csv_of([asdict(row) for row in found.rows]))
        return found

    def summary(self, begun: Begun) -> str:
        """One line: how much came over, and from where."""
        blocks = sum(row.what != "fresh" for row in begun.rows)
        slower = f", at {self.rate:g} of the learning rate" if self.rate != 1 else ""
        return f"{begun.share:.1%} of the weights, {blocks} of {len(begun.rows)} blocks from {self.source.path}{slower}"

    def table(self, begun: Begun) -> list[str]:
        """The summary and a line for each block."""
        cells = [("block", "source", "here", "what", "weights")]
        for row in begun.rows:
            what = f"{row.what} ({row.note})" if row.note else row.what
            cells.append((row.block, row.source or "-", row.target, what, f"{row.came / row.values:.0%}"))
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in cells)
        return [f"init-from: {self.summary(begun)}", *(f"  {line.rstrip()}" for line in lines)]


def beginning(
    settings: TrainSettings, classes: tuple[str, ...], folder: Path, tell: Callable[[str], None]
) -> Callable[[tuple[LayerSpec, ...], Params], tuple[Params, Params | None]] | None:
    """What `supernet.train` begins with, None for fresh weights; the source is read when it is called.

    The table is told and left in `folder`.
    """
    if not settings.init_from:
        return None

    def begin(layers: tuple[LayerSpec, ...], fresh: Params) -> tuple[Params, Params | None]:
        start = Start.of(settings, "train", classes)
        begun = start.begun(layers, fresh, folder)
        for line in start.table(begun):
            tell(line)
        return begun.params, begun.rates(start.rate)

    return begin
