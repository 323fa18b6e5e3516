"""Sheets of examples as a PNG: a few of each class and what the cheapest network would see, or chosen ones."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from danas_jax.data.decode import fitted
from danas_jax.data.sources.base import Source
from danas_jax.errors import Unreadable
from danas_jax.views.resize import resized

EXAMPLES, CLASSES = 6, 24  # columns, and the most classes that are shown
_CELL_PX, _GAP_PX, _TITLE_PX = 144, 4, 16
_CAPTION = 24  # characters that a cell is wide
_COLOURS = ((31, 119, 180), (255, 127, 14), (44, 160, 44), (214, 39, 40), (148, 103, 189), (140, 86, 75))


@dataclass(frozen=True)
class _Strip:
    """A line of the sheet: texts above (one, or one a column) and the cells of each column, from top to bottom."""

    titles: list[str]
    columns: list[list[Image.Image]]
    rows: int  # of cells, also where columns lack some


def example_sheet(source: Source, keys: tuple[str, ...], labels: np.ndarray, resolution_px: int) -> bytes:
    """A PNG of examples out of `keys` with `labels` [N], evenly spaced within each class.

    Two rows a class for pictures, the lower one at `resolution_px`; one row of curves for sound and series.
    """
    pictures = len(source.shape) == 3
    strips = []
    for label, name in enumerate(source.class_names[:CLASSES]):
        of_class = np.flatnonzero(labels == label)
        title = f"{name} ({len(of_class)}" + (f"; below at {resolution_px} px)" if pictures else ")")
        chosen = of_class[np.linspace(0, len(of_class) - 1, min(EXAMPLES, len(of_class))).astype(int)]
        columns = []
        for row in chosen:
            try:
                example = source.read(keys[row])
            except Unreadable:  # it could be read a moment ago
                continue
            small = [_small(example, resolution_px)] if pictures else []
            columns.append([_cell(example), *small])
        strips.append(_Strip([title], columns, 2 if pictures else 1))
    return _png(strips)


def captioned_sheet(examples: Sequence[np.ndarray], captions: Sequence[tuple[str, str]]) -> bytes:
    """A PNG of raw `examples`, row by row, each under the two lines of its caption (as far as they fit)."""
    strips = []
    for start in range(0, len(examples), EXAMPLES):
        here = slice(start, start + EXAMPLES)
        upper, lower = ([caption[i][:_CAPTION] for caption in captions[here]] for i in (0, 1))
        strips += [_Strip(upper, [], 0), _Strip(lower, [[_cell(example)] for example in examples[here]], 1)]
    return _png(strips)


def _png(strips: list[_Strip]) -> bytes:
    height = sum(_TITLE_PX + strip.rows * (_CELL_PX + _GAP_PX) for strip in strips)
    sheet = Image.new("RGB", (EXAMPLES * (_CELL_PX + _GAP_PX), height), "white")
    draw, top = ImageDraw.Draw(sheet), 0
    for strip in strips:
        for column, title in enumerate(strip.titles):
            draw.text((column * (_CELL_PX + _GAP_PX) + 2, top + 2), title, fill="black")
        top += _TITLE_PX
        for column, cells in enumerate(strip.columns):
            for line, cell in enumerate(cells):
                sheet.paste(cell, (column * (_CELL_PX + _GAP_PX), top + line * (_CELL_PX + _GAP_PX)))
        top += strip.rows * (_CELL_PX + _GAP_PX)
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    return buffer.getvalue()


def _cell(example: np.ndarray) -> Image.Image:
    """A picture uint8 [H, W, 3] in its shape, or the curves of anything else."""
    if example.ndim != 3:
        return _curves(example)
    return Image.fromarray(fitted(Image.fromarray(example), _CELL_PX, "pad"))


def _small(picture: np.ndarray, resolution_px: int) -> Image.Image:
    """uint8 [S, S, 3] at a resolution."""
    small = resized(picture[None], min(resolution_px, len(picture)))[0]
    return Image.fromarray(small).resize((_CELL_PX, _CELL_PX), Image.Resampling.NEAREST)


def _curves(samples: np.ndarray) -> Image.Image:
    """int16 [T] or [T, C] over time, a colour per channel, as high as the cell."""
    channels = samples.reshape(len(samples), -1).astype(np.float64)
    cell = Image.new("RGB", (_CELL_PX, _CELL_PX), (245, 245, 245))
    draw = ImageDraw.Draw(cell)
    largest = max(1.0, np.abs(channels).max())
    x = np.linspace(0, _CELL_PX - 1, len(channels))
    for c, values in enumerate(channels.T):
        y = (1 - values / largest) * (_CELL_PX - 1) / 2
        draw.line(list(zip(x.tolist(), y.tolist(), strict=True)), fill=_COLOURS[c % len(_COLOURS)])
    return cell
