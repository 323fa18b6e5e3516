"""One picture file -> uint8 [h, w, 3]: turned upright, alpha laid on white, brought to the frame (views/frame.py)."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import simplejpeg
from PIL import ExifTags, Image, ImageOps

from danas_jax.errors import Unreadable, UserError
from danas_jax.untrusted import MAX_EXAMPLE_BYTES, read_bytes
from danas_jax.views.frame import Size, on_grey, pair, placed

EXTENSIONS = (".jpg", ".jpeg", ".png")
MAX_PIXELS = 89_478_485  # that are decoded; Pillow itself warns from here on, and refuses twice as many in a header
# What Pillow's plugins raise for damaged files, beside what they mean to.
_DAMAGE = (
    *(OSError, ValueError, SyntaxError, EOFError, ArithmeticError, LookupError, TypeError, struct.error, zlib.error),
    *(Image.DecompressionBombError, Warning),
)
SIGNATURES = (b"\xff\xd8", b"\x89PNG", b"GIF8", b"RIFF", b"BM")
_FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP")  # what may hide behind those extensions and still be decoded


def read_image(picture: str | Path | bytes, native_px: Size, name: str = "", fit: str = "stretch") -> np.ndarray:
    """A picture, a file or the bytes of one, as uint8 [h, w, 3]; one that already has that size is not resampled.

    Raises Unreadable under `name` (the file's where it is left out).
    """
    side = 2 * max(pair(native_px))  # either way: the picture may be turned
    try:
        content = picture if isinstance(picture, bytes) else read_bytes(picture, MAX_EXAMPLE_BYTES)
        with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
            image.draft("RGB", (side, side))  # large JPEGs: decode at a half, quarter or eighth
            if image.width * image.height > MAX_PIXELS:
                raise ValueError(f"{image.width} x {image.height} pixels: more than {MAX_PIXELS:,}")
            pixels = _plain_jpeg(content, image)
            if pixels is None:
                return fitted(_rgb(ImageOps.exif_transpose(image)), native_px, fit)
    except UserError as error:
        raise Unreadable(name or str(picture), str(error)) from error
    except _DAMAGE as error:
        raise Unreadable(name or str(picture), _reason(error)) from error
    return pixels if pixels.shape[:2] == pair(native_px) else fitted(Image.fromarray(pixels), native_px, fit)


def _plain_jpeg(content: bytes, image: Image.Image) -> np.ndarray | None:
    """The pixels that PIL would decode from `image`, uint8 [H, W, 3]; None where PIL has to.

    It has to but for upright JPEGs in colour or grey, 86 us at 160 px where PIL takes 121. Of one with flaws PIL says
    what is wrong, or decodes what there is.
    """
    upright = image.format == "JPEG" and image.getexif().get(ExifTags.Base.Orientation, 1) == 1
    if not upright or image.mode not in ("RGB", "L"):
        return None
    width, height = image.size  # as `draft` set it; of the sizes that the decoder has the smallest that is no smaller
    try:
        pixels = simplejpeg.decode_jpeg(content, "RGB", min_height=height, min_width=width)
    except ValueError:
        return None
    return pixels if pixels.shape == (height, width, 3) else None


def fitted(image: Image.Image, native_px: Size, fit: str = "stretch") -> np.ndarray:
    """An RGB picture of any shape as uint8 [h, w, 3]."""
    frame = pair(native_px)
    if image.size == frame[::-1]:
        return np.asarray(image)
    seen, shown = placed((image.height, image.width), frame, fit)
    if seen[2:] != (image.height, image.width):  # cut off first: a filter would look over the edge of a `box`
        image = image.crop((seen.left, seen.top, seen.left + seen.width, seen.top + seen.height))
    if image.size != (shown.width, shown.height):
        image = image.resize((shown.width, shown.height), Image.Resampling.BICUBIC)
    return on_grey(np.asarray(image), shown, frame)


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
