"""One picture file -> uint8 [S, S, 3]: turned upright, alpha laid on white, the whole squashed to a square."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from danas_jax.errors import Unreadable

EXTENSIONS = (".jpg", ".jpeg", ".png")
SIGNATURES = (b"\xff\xd8", b"\x89PNG", b"GIF8", b"RIFF", b"BM")
_FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP")  # what may hide behind those extensions and still be decoded


def read_image(picture: str | Path | bytes, native_px: int, name: str = "") -> np.ndarray:
    """A picture, a file or the bytes of one, as uint8 [S, S, 3]; one that is already S x S is not resampled.

    Raises Unreadable under `name` (the file's where it is left out).
    """
    file = io.BytesIO(picture) if isinstance(picture, bytes) else picture
    try:
        with Image.open(file, formats=_FORMATS) as image:
            image.draft("RGB", (2 * native_px, 2 * native_px))  # large JPEGs: decode at a half, quarter or eighth
            return squash(_rgb(ImageOps.exif_transpose(image)), native_px)
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError, Warning) as error:
        raise Unreadable(name or str(picture), _reason(error)) from error


def squash(image: Image.Image, native_px: int) -> np.ndarray:
    """An RGB picture of any shape as uint8 [S, S, 3]."""
    if image.size != (native_px, native_px):
        image = image.resize((native_px, native_px), Image.Resampling.BICUBIC)
    return np.asarray(image)


def _reason(error: BaseException) -> str:
    """A short reason without the path, which the caller names."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = str(error)
    if "cannot identify" in text:
        return "not an image inside"
    return "truncated" if "truncated" in text.lower() else text or type(error).__name__


def _rgb(image: Image.Image) -> Image.Image:
    """Any PIL mode -> RGB: 16 bits scaled to 8, transparent parts on white (not what lies hidden under them)."""
    if image.mode.startswith("I;16") or image.mode == "I":
        levels = np.asarray(image).astype(np.int64).clip(0, 65535) >> 8
        image = Image.fromarray(levels.astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return image.convert("RGB")
