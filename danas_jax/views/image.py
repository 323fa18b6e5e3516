"""Pictures: the data configuration is a resolution, how it is reached, whether there is colour, and bits a code.

The resolution is the height; the width follows from the aspect, which is the same for all (docs/design.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from danas_jax.errors import UserError
from danas_jax.views import frame
from danas_jax.views import resize as rule
from danas_jax.views.base import Augmentation, Axis, DataConfig, Shape, View, check_ascending

if TYPE_CHECKING:
    import jax

COLOURS = ("mono", "rgb")  # cheap to costly; channels 1 and 3
CHANNELS = {"mono": 1, "rgb": 3}


@dataclass(frozen=True)
class ImageData(DataConfig):
    """What a network sees of a picture."""

    resolution_px: int
    colour: str
    resize: str = "area"
    bit_depth: int = 8
    aspect: str = frame.SQUARE

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) [px]."""
        return frame.size(self.resolution_px, self.aspect)

    @property
    def text(self) -> str:
        """`48 px mono`, `64x48 px mono, bilinear, 4 bit`."""
        parts = [f"{frame.text(self.size)} {self.colour}"]
        parts += [self.resize] if self.resize != "area" else []
        parts += [f"{self.bit_depth} bit"] if self.bit_depth != 8 else []
        return ", ".join(parts)


@dataclass(frozen=True)
class ImageView(View):
    """Pictures of one aspect, in colour or grey; raw: uint8 [N, H, W, 3] of that aspect, H at least the resolution.

    Resize, bit depth and aspect are axes where they are not their default: a space without them keeps its genes.
    """

    resolutions_px: tuple[int, ...]  # heights of the input, ascending; of an aspect of 1:1 its sides [px]
    colours: tuple[str, ...] = COLOURS  # input colours: mono, rgb or both
    resizes: tuple[str, ...] = ("area",)  # bilinear, area or both
    bit_depths: tuple[int, ...] = (8,)  # bits a code that the network may see, ascending
    aspect: str = frame.SQUARE  # width to height of every input, 4:3, in lowest terms

    kind: ClassVar[str] = "image"
    config: ClassVar[type[DataConfig]] = ImageData

    def __post_init__(self) -> None:
        check_ascending("resolutions_px", self.resolutions_px, 8, 1024)
        if not self.colours or list(self.colours) != [c for c in COLOURS if c in self.colours]:
            raise UserError(f"space.colours = {self.colours}: give a selection of {COLOURS}, in that order")
        if not self.resizes or list(self.resizes) != [m for m in rule.METHODS if m in self.resizes]:
            raise UserError(f"space.resizes = {self.resizes}: give a selection of {rule.METHODS}, in that order")
        check_ascending("bit_depths", self.bit_depths, 1, 8)
        try:
            frame.terms(self.aspect)
        except ValueError as error:
            raise UserError(f"space.aspect = {self.aspect!r}: {error}") from None
        for height_px in self.resolutions_px:
            width_px = self.size("space.resolutions_px", height_px)[1]
            if not 8 <= width_px <= 1024:
                raise UserError(f"space.resolutions_px = {height_px}: {width_px} px wide, 8 to 1024 are possible")

    def size(self, field: str, height_px: int) -> tuple[int, int]:
        """(height, width) of a frame of this aspect [px]; UserError naming `field` where that cannot be."""
        try:
            return frame.size(height_px, self.aspect)
        except ValueError as error:
            raise UserError(f"{field} = {height_px}: {error}") from None

    @property
    def shape_axes(self) -> tuple[Axis, ...]:
        """Resolution, the resize where it is not always area, and the aspect where it is not square."""
        resizes = (Axis("resize", self.resizes),) if self.resizes != ("area",) else ()
        aspects = (Axis("aspect", (self.aspect,)),) if self.aspect != frame.SQUARE else ()
        return (Axis("resolution_px", self.resolutions_px), *resizes, *aspects)

    @property
    def traced_axes(self) -> tuple[Axis, ...]:
        """Colour (a supernet reads grey as three equal channels), and the bit depth where it is not always 8."""
        bit_depths = (Axis("bit_depth", self.bit_depths),) if self.bit_depths != (8,) else ()
        return (Axis("colour", self.colours), *bit_depths)

    @property
    def meaning(self) -> dict:
        """Fields that an earlier danas did not have count where they are not the default."""
        later = {"resizes": ("area",), "bit_depths": (8,), "aspect": frame.SQUARE}
        return {name: value for name, value in super().meaning.items() if value != later.get(name)}

    def only(self, data: ImageData) -> Self:
        """As every view's, all at once; the axes that the data brings along are there, too."""
        return replace(
            self, resolutions_px=(data.resolution_px,), colours=(data.colour,), resizes=(data.resize,),
            bit_depths=(data.bit_depth,), aspect=data.aspect,
        )  # fmt: skip

    @property
    def channels(self) -> int:
        """Always three."""
        return 3

    def shape(self, data: ImageData) -> Shape:
        """[h, w, 1 or 3]."""
        return *data.size, CHANNELS[data.colour]

    def codes(self, raw: np.ndarray, data: ImageData) -> np.ndarray:
        """uint8 [N, H, W, 3] -> uint8 [N, h, w, 3]."""
        return rule.resized(raw, data.size, data.resize)

    def selected(self, codes: np.ndarray, data: ImageData) -> np.ndarray:
        """Grey where the configuration is mono, in its bit depth."""
        return rule.coarser(rule.grey(codes) if data.colour == "mono" else codes, data.bit_depth)

    def training(self, keys: jax.Array, raw: jax.Array, data: ImageData, settings: Augmentation) -> jax.Array:
        """Random resized crops [B, h, w, 3], flipped and jittered."""
        from danas_jax.views import _pictures

        return _pictures.training_views(
            keys, raw, data.size, settings.crop_area_min, settings.colour_jitter, settings.saturation_jitter,
            data.resize,
        )  # fmt: skip

    def blended(self, codes: jax.Array, shares: Mapping[str, jax.Array]) -> jax.Array:
        """Colours mixed with their grey, by the share of mono; each in every bit depth, by its share."""
        from danas_jax.views import _pictures

        def deep(codes: jax.Array) -> jax.Array:
            if self.bit_depths == (8,):
                return codes
            depths = zip(shares["bit_depth"], self.bit_depths, strict=True)
            return sum((share * _pictures.coarser(codes, bits) for share, bits in depths), 0.0 * codes)

        if "mono" not in self.colours:
            return deep(codes)
        greyness = shares["colour"][self.colours.index("mono")]
        return greyness * deep(_pictures.grey(codes)) + (1 - greyness) * deep(codes)

    def read(self, codes: jax.Array, data: ImageData) -> jax.Array:
        """Grey where the configuration is mono, in its bit depth."""
        from danas_jax.views import _pictures

        return _pictures.coarser(_pictures.grey(codes) if data.colour == "mono" else codes, data.bit_depth)

    def manifest(self, data: ImageData, raw_shape: tuple[int, ...]) -> dict:
        """Of pictures everything is a number or a formula."""
        return {
            "resolution_px": data.resolution_px,
            "colour": data.colour,
            "channels": CHANNELS[data.colour],
            "native_resolution_px": int(raw_shape[0]),
            "resize": data.resize,
            "bit_depth": data.bit_depth,
            "normalisation": "(pixel - 128) / 128",
            "grey": "(77 R + 150 G + 29 B + 128) >> 8",
            **({"aspect": data.aspect} if data.aspect != frame.SQUARE else {}),  # the file of a square stays as it was
        }

    def stem_kernel(self, kernel: Any, data: ImageData) -> Any:
        """A one-channel stem is the sum of the colour stem over its inputs: exact for replicated grey."""
        return kernel.sum(axis=2, keepdims=True) if data.colour == "mono" else kernel
