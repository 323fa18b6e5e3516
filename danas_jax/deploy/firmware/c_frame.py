"""The front end of pictures: a camera's frames, resized by sources/preprocess.c."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from danas_jax.deploy.firmware.front_end import FrontEnd, Words
from danas_jax.deploy.quantise import QuantisedModel
from danas_jax.errors import UserError
from danas_jax.views.base import NetworkInput

CONFIG = """\
/* the camera's frames: pixels, and bytes a pixel (3: R, G, B; 1: grey) */
#ifndef DANAS_FRAME_WIDTH
#define DANAS_FRAME_WIDTH {side_px}
#define DANAS_FRAME_HEIGHT {side_px}
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
picture = Image.open("picture.jpg").convert("{mode}").resize(({side_px}, {side_px}), Image.Resampling.BICUBIC)
data = picture.tobytes()"""


@dataclass(frozen=True)
class Frame(FrontEnd):
    """What the camera delivers: squares of `side_px` with 3 (R, G, B) or 1 (grey) bytes a pixel."""

    side_px: int
    channels: int = 3

    sources: ClassVar[tuple[str, ...]] = ("front_end_image.c", "preprocess.c", "preprocess.h")
    code_bytes: ClassVar[int] = 1_500
    dtype: ClassVar[np.dtype] = np.dtype(np.uint8)
    noun: ClassVar[str] = "pictures"

    @classmethod
    def of(cls, source: NetworkInput, raw_shape: tuple[int, ...]) -> Self:
        """Frames as raw pictures [S, S, 3] are."""
        return cls(raw_shape[0], raw_shape[2])

    @property
    def shape(self) -> tuple[int, ...]:
        """[S, S, channels]."""
        return self.side_px, self.side_px, self.channels

    @property
    def portion(self) -> int:
        """The whole frame."""
        return self.bytes

    @property
    def config(self) -> str:
        """Its lines of firmware_config.h."""
        return CONFIG.format(side_px=self.side_px, channels=self.channels)

    @property
    def words(self) -> Words:
        """For people."""
        colour, mode = ("R, G, B", "RGB") if self.channels == 3 else ("grey", "L")
        return Words(
            f"frames of {self.side_px} x {self.side_px} pixels, {colour}, 8 bits each ({self.bytes} bytes), row by row",
            "with a camera, fill the portion with a frame, 8 bits a channel (RGB565 has to be widened first).",
            DATA.format(mode=mode, side_px=self.side_px),
            "One that delivers rows needs no frame buffer: `danas_preprocess_begin`, then `danas_preprocess_row` for "
            "every row.",
        )

    def ram(self, model: QuantisedModel) -> dict[str, int]:
        """The frame, and the resize's sums of a row."""
        return {"frame": self.bytes, "resize": 4 * model.input_shape[0] * self.channels}

    def examples(self, raw: np.ndarray) -> np.ndarray:
        """As they are: uint8 [N, S, S, 3]."""
        return raw

    def check(self, model: QuantisedModel, where: str) -> None:
        """UserError naming `where` when the network cannot be fed with such frames."""
        side, _, channels = model.input_shape
        if self.side_px < side:
            raise UserError(f"{where}: frames of {self.side_px} px, the network reads {side} px: give larger ones")
        if self.channels not in (3, channels):
            raise UserError(f"{where}: grey frames, the network reads colour: give frames of 3 channels")
