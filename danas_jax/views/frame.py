"""The frame that a network's pictures have: its height and aspect, and how a picture of another shape gets there.

An aspect is text, `4:3`: width to height, two whole numbers up to 16 in lowest terms. Firmware (preprocess.c) keeps the
rules of `placed`, in the same integers.
"""

from __future__ import annotations

import re
from math import gcd
from typing import NamedTuple

import numpy as np

SQUARE = "1:1"
LARGEST_TERM = 16  # of an aspect
_ASPECT = r"([1-9][0-9]{0,3}):([1-9][0-9]{0,3})"
FITS = ("stretch", "crop", "pad")  # the whole picture squashed, its centre, the whole picture beside grey
GREY = 128  # that a picture is padded with: the network's 0
Size = int | tuple[int, int]  # side of a square, or (height, width) [px]


class Box(NamedTuple):
    """A part of a picture or frame [px]."""

    top: int
    left: int
    height: int
    width: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Its rows and columns."""
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)


def pair(size: Size) -> tuple[int, int]:
    """(height, width) [px]."""
    return (size, size) if isinstance(size, int) else size


def text(size: Size) -> str:
    """`64x48 px`, of a square `48 px`."""
    height, width = pair(size)
    return f"{height} px" if height == width else f"{width}x{height} px"


def aspect_of(size: Size) -> str:
    """The aspect of a frame, in lowest terms, which may be above 16."""
    height, width = pair(size)
    divisor = gcd(height, width)
    return f"{width // divisor}:{height // divisor}"


def terms(aspect: str) -> tuple[int, int]:
    """(width, height) of an aspect; ValueError for any other text, what would be right."""
    found = re.fullmatch(_ASPECT, aspect)
    width, height = (int(found[1]), int(found[2])) if found else (0, 0)
    if not found or max(width, height) > LARGEST_TERM:
        raise ValueError(f"give width to height as 4:3, two whole numbers from 1 to {LARGEST_TERM}")
    if gcd(width, height) > 1:
        raise ValueError(f"give it in lowest terms, {aspect_of((height, width))}")
    return width, height


def size(height_px: int, aspect: str) -> tuple[int, int]:
    """(height, width) of the frame of that height [px]; ValueError where the width is no whole number."""
    found = re.fullmatch(_ASPECT, aspect)
    if not found or not isinstance(height_px, int):
        raise ValueError(f"height {height_px!r} at aspect {aspect!r}: a number and 4:3 are right")
    width, height = map(int, found.groups())
    if height_px * width % height:
        below = height_px // height * height
        nearest = " or ".join(str(px) for px in (below, below + height) if px)
        raise ValueError(f"of aspect {aspect} its width is no whole number: give a multiple of {height}, {nearest}")
    return height_px, height_px * width // height


def centred(height: int, width: int, shape: tuple[int, int]) -> Box:
    """The largest part of a picture [height, width] with the aspect of `shape` (height, width), in its middle.

    The side that is cut is rounded to the nearest pixel, at least 1, what is left over is halved and rounded down.
    """
    other_height, other_width = shape
    if width * other_height > height * other_width:
        inner = height, max(1, (2 * height * other_width + other_height) // (2 * other_height))
    else:
        inner = max(1, (2 * width * other_height + other_width) // (2 * other_width)), width
    return Box((height - inner[0]) // 2, (width - inner[1]) // 2, *inner)


def placed(picture: tuple[int, int], frame: tuple[int, int], fit: str) -> tuple[Box, Box]:
    """(the part of a picture that is seen, the part of the frame that shows it), for sizes (height, width).

    Whatever the frame has beside it is GREY. ValueError for another `fit` than FITS.
    """
    if fit not in FITS:
        raise ValueError(f"fit {fit!r}: one of {FITS}")
    seen = centred(*picture, frame) if fit == "crop" else Box(0, 0, *picture)
    shown = centred(*frame, picture) if fit == "pad" else Box(0, 0, *frame)
    return seen, shown


def on_grey(pixels: np.ndarray, shown: Box, frame: tuple[int, int]) -> np.ndarray:
    """uint8 [h, w, C] at `shown` in a frame (height, width); as it is where it fills the frame."""
    if pixels.shape[:2] == frame:
        return pixels
    whole = np.full((*frame, pixels.shape[2]), GREY, np.uint8)
    whole[shown.slices] = pixels
    return whole
