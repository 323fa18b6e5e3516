"""What a section of the report consists of: texts, tables, charts. The page and report.md write the same blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

Link = tuple[str, str]  # its text, and a path relative to the run directory


@dataclass(frozen=True)
class Axis:
    """An axis of a chart; its values are shown divided by `per` (bytes as kB)."""

    label: str
    per: float = 1.0

    def shown(self, value: float) -> float:
        """A value as the axis shows it."""
        return value / self.per


class Point(NamedTuple):
    """One mark at raw values; `system` is its key among the details, `interval` what is known of y."""

    x: float
    y: float
    text: str = ""
    system: str = ""
    interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class Series:
    """One kind of mark, joined by a line or not."""

    name: str
    points: Sequence[Point]
    style: int = 0  # which colour and shape
    line: bool = False
    radius: float = 4.0  # 0 draws no marks [px]
    filled: bool = True


class Limit(NamedTuple):
    """A vertical dashed line at a raw value."""

    x: float
    text: str
    style: int


@dataclass(frozen=True)
class Chart:
    """Marks over two axes; `name` is its file's, `short` what tells it from the others of a choice."""

    name: str
    title: str
    x: Axis
    y: Axis
    series: Sequence[Series]
    limits: Sequence[Limit] = ()
    diagonal: bool = False  # a line where x = y
    short: str = ""

    @property
    def points(self) -> list[Point]:
        """Of all series."""
        return [point for series in self.series for point in series.points]


@dataclass(frozen=True)
class Choice:
    """Charts of which a reader sees one at a time."""

    charts: Sequence[Chart]


class TextTable(NamedTuple):
    """A table of texts; from column `numbers_from` on they are numbers. `links`: those of each row."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    numbers_from: int = 1
    links: Sequence[Sequence[Link]] = ()


class Text(NamedTuple):
    """A paragraph; a `quiet` one explains what is beside it."""

    text: str
    quiet: bool = False


class Bullets(NamedTuple):
    """A list of sentences."""

    items: Sequence[str]


class Heading(NamedTuple):
    """Above a part of a section."""

    text: str


class Fold(NamedTuple):
    """Blocks that a reader opens."""

    summary: str
    blocks: Sequence[Block]


class Code(NamedTuple):
    """Text as it is."""

    text: str


class Details(NamedTuple):
    """Where a page shows what was clicked."""


Block = Text | Bullets | Heading | TextTable | Chart | Choice | Fold | Code | Details


@dataclass(frozen=True)
class Section:
    """A part of the report with a heading. Without blocks it is left out."""

    title: str
    blocks: Sequence[Block]


def charts_of(sections: Sequence[Section]) -> list[Chart]:
    """Every chart, in the order of the report."""
    found: list[Chart] = []

    def walk(blocks: Sequence[Block]) -> None:
        for block in blocks:
            if isinstance(block, Chart):
                found.append(block)
            elif isinstance(block, Choice):
                found.extend(block.charts)
            elif isinstance(block, Fold):
                walk(block.blocks)

    for section in sections:
        walk(section.blocks)
    return found
