"""The front end of pictures: a camera's frames, resized by sources/preprocess.c."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from danas_jax.deploy.firmware.front_end import FrontEnd, Words
from danas_jax.deploy.quantise import QuantisedModel
from danas_jax.errors import UserError
from danas_jax.views.base import NetworkInput
from danas_jax.views.frame import Size, pair, text

CONFIG = """\
/* the camera's frames: pixels, and bytes a pixel (3: R, G, B; 1: grey) */
#ifndef DANAS_FRAME_WIDTH
#define DANAS_FRAME_WIDTH {width}
#define DANAS_FRAME_HEIGHT {height}
#endif
#ifndef DANAS_FRAME_CHANNELS
#define DANAS_FRAME_CHANNELS {channels}
#endif
#define DANAS_FRAME_BYTES (DANAS_FRAME_WIDTH * DANAS_FRAME_HEIGHT * DANAS_FRAME_CHANNELS)

/* what the board reads: an example, one portion */
typedef uint8_t danas_raw;
#define DANAS_EXAMPLE_COUNT DANAS_FRAME_BYTES
#define DANAS_PORTION_COUNT DANAS_FRAME_BYTES"""

DATA = """\
from PIL import Image  # pip install pillow
picture = Image.open("picture.jpg").convert("{mode}").resize(({width}, {height}), Image.Resampling.BICUBIC)
data = picture.tobytes()"""


@dataclass(frozen=True)
class Frame(FrontEnd):
    """What the camera delivers: pictures of `size_px` with 3 (R, G, B) or 1 (grey) bytes a pixel."""

    size_px: Size
    channels: int = 3

    sources: ClassVar[tuple[str, ...]] = ("front_end_image.c", "preprocess.c", "preprocess.h")
    code_bytes: ClassVar[int] = 1_500
    dtype: ClassVar[np.dtype] = np.dtype(np.uint8)
    noun: ClassVar[str] = "pictures"

    @classmethod
    def of(cls, source: NetworkInput, raw_shape: tuple[int, ...]) -> Self:
        """Frames as raw pictures [H, W, 3] are."""
        return cls((raw_shape[0], raw_shape[1]), raw_shape[2])

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width, bytes a pixel."""
        return *pair(self.size_px), self.channels

    @property
    def portion(self) -> int:
        """The whole frame."""
        return self.bytes

    @property
    def config(self) -> str:
        """Its lines of firmware_config.h."""
        height, width, channels = self.shape
        return CONFIG.format(height=height, width=width, channels=channels)

    @property
    def words(self) -> Words:
        """For people."""
        height, width, _ = self.shape
        colour, mode = ("R, G, B", "RGB") if self.channels == 3 else ("grey", "L")
        return Words(
            f"frames of {width} x {height} pixels, {colour}, 8 bits each ({self.bytes} bytes), row by row",
            "with a camera, fill the portion with a frame, 8 bits a channel (RGB565 has to be widened first).",
            DATA.format(mode=mode, height=height, width=width),
            "One that delivers rows needs no frame buffer: `danas_preprocess_begin`, then `danas_preprocess_row` for "
            "every row.",
        )

    def ram(self, model: QuantisedModel) -> dict[str, int]:
        """The frame, and the resize's sums of a row."""
        return {"frame": self.bytes, "resize": 4 * model.input_shape[1] * self.channels}

    def examples(self, raw: np.ndarray) -> np.ndarray:
        """As they are: uint8 [N, H, W, 3]."""
        return raw

    def check(self, model: QuantisedModel, where: str) -> None:
        """UserError naming `where` when the network cannot be fed with such frames."""
        height, width, channels = model.input_shape
        if self.shape[0] < height or self.shape[1] < width:
            read = text((height, width))
            raise UserError(f"{where}: frames of {text(self.size_px)}, the network reads {read}: give larger ones")
        if self.channels not in (3, channels):
            raise UserError(f"{where}: grey frames, the network reads colour: give frames of 3 channels")
