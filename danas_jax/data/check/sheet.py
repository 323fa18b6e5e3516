"""A sheet of examples as a PNG: a few of each class, as they are read and as the cheapest network would see them."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageDraw

from danas_jax.data.sources.base import Source
from danas_jax.errors import Unreadable
from danas_jax.views.resize import resized

EXAMPLES, CLASSES = 6, 24  # columns, and the most classes that are shown
_CELL_PX, _GAP_PX, _TITLE_PX = 144, 4, 16
_COLOURS = ((31, 119, 180), (255, 127, 14), (44, 160, 44), (214, 39, 40), (148, 103, 189), (140, 86, 75))


def example_sheet(source: Source, keys: tuple[str, ...], labels: np.ndarray, resolution_px: int) -> bytes:
    """A PNG of examples out of `keys` with `labels` [N], evenly spaced within each class.

    Two rows a class for pictures, the lower one at `resolution_px`; one row of curves for sound and series.
    """
    pictures = len(source.shape) == 3
    names = source.class_names[:CLASSES]
    rows = 2 if pictures else 1
    height = len(names) * (_TITLE_PX + rows * (_CELL_PX + _GAP_PX))
    sheet = Image.new("RGB", (EXAMPLES * (_CELL_PX + _GAP_PX), height), "white")
    draw = ImageDraw.Draw(sheet)
    top = 0
    for label, name in enumerate(names):
        of_class = np.flatnonzero(labels == label)
        title = f"{name} ({len(of_class)}" + (f"; below at {resolution_px} px)" if pictures else ")")
        draw.text((2, top + 2), title, fill="black")
        chosen = of_class[np.linspace(0, len(of_class) - 1, min(EXAMPLES, len(of_class))).astype(int)]
        for column, row in enumerate(chosen):
            try:
                example = source.read(keys[row])
            except Unreadable:  # it could be read a moment ago
                continue
            for line, cell in enumerate(_cells(example, resolution_px) if pictures else [_curves(example)]):
                place = column * (_CELL_PX + _GAP_PX), top + _TITLE_PX + line * (_CELL_PX + _GAP_PX)
                sheet.paste(cell, place)
        top += _TITLE_PX + rows * (_CELL_PX + _GAP_PX)
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    return buffer.getvalue()


def _cells(picture: np.ndarray, resolution_px: int) -> list[Image.Image]:
    """uint8 [S, S, 3] as it is, and at a resolution."""
    small = resized(picture[None], min(resolution_px, len(picture)))[0]
    side = (_CELL_PX, _CELL_PX)
    return [
        Image.fromarray(picture).resize(side, Image.Resampling.BICUBIC),
        Image.fromarray(small).resize(side, Image.Resampling.NEAREST),
    ]


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
