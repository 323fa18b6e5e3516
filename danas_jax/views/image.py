"""Pictures: the data configuration is a resolution and whether the network sees colour."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from danas_jax.errors import UserError
from danas_jax.views import area
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

    @property
    def text(self) -> str:
        """`48 px mono`."""
        return f"{self.resolution_px} px {self.colour}"


@dataclass(frozen=True)
class ImageView(View):
    """Square pictures by area resize, in colour or grey; raw: uint8 [N, S, S, 3] with S at least the resolution."""

    resolutions_px: tuple[int, ...]  # input sizes, ascending [px]
    colours: tuple[str, ...] = COLOURS  # input colours: mono, rgb or both

    kind: ClassVar[str] = "image"
    config: ClassVar[type[DataConfig]] = ImageData

    def __post_init__(self) -> None:
        check_ascending("resolutions_px", self.resolutions_px, 8, 1024)
        if not self.colours or list(self.colours) != [c for c in COLOURS if c in self.colours]:
            raise UserError(f"space.colours = {self.colours}: give a selection of {COLOURS}, in that order")

    @property
    def shape_axes(self) -> tuple[Axis, ...]:
        """Resolution."""
        return (Axis("resolution_px", self.resolutions_px),)

    @property
    def traced_axes(self) -> tuple[Axis, ...]:
        """Colour: a supernet reads grey as three equal channels."""
        return (Axis("colour", self.colours),)

    @property
    def channels(self) -> int:
        """Always three."""
        return 3

    def shape(self, data: ImageData) -> Shape:
        """[R, R, 1 or 3]."""
        return data.resolution_px, data.resolution_px, CHANNELS[data.colour]

    def codes(self, raw: np.ndarray, data: ImageData) -> np.ndarray:
        """uint8 [N, S, S, 3] -> uint8 [N, R, R, 3]."""
        return area.resize_area(raw, data.resolution_px)

    def selected(self, codes: np.ndarray, data: ImageData) -> np.ndarray:
        """Grey where the configuration is mono."""
        return area.grey(codes) if data.colour == "mono" else codes

    def training(self, keys: jax.Array, raw: jax.Array, data: ImageData, settings: Augmentation) -> jax.Array:
        """Random resized crops [B, R, R, 3], flipped and jittered."""
        from danas_jax.views import _pictures

        return _pictures.training_views(
            keys, raw, data.resolution_px, settings.crop_area_min, settings.colour_jitter, settings.saturation_jitter
        )

    def blended(self, codes: jax.Array, shares: Mapping[str, jax.Array]) -> jax.Array:
        """Colours mixed with their grey, by the share of mono."""
        if "mono" not in self.colours:
            return codes
        from danas_jax.views import _pictures

        greyness = shares["colour"][self.colours.index("mono")]
        return greyness * _pictures.grey(codes) + (1 - greyness) * codes

    def read(self, codes: jax.Array, data: ImageData) -> jax.Array:
        """Grey where the configuration is mono."""
        from danas_jax.views import _pictures

        return _pictures.grey(codes) if data.colour == "mono" else codes

    def manifest(self, data: ImageData, raw_shape: tuple[int, ...]) -> dict:
        """Of pictures everything is a number or a formula."""
        return {
            "resolution_px": data.resolution_px,
            "colour": data.colour,
            "channels": CHANNELS[data.colour],
            "native_resolution_px": int(raw_shape[0]),
            "resize": "area",
            "normalisation": "(pixel - 128) / 128",
            "grey": "(77 R + 150 G + 29 B + 128) >> 8",
        }

    def stem_kernel(self, kernel: Any, data: ImageData) -> Any:
        """A one-channel stem is the sum of the colour stem over its inputs: exact for replicated grey."""
        return kernel.sum(axis=2, keepdims=True) if data.colour == "mono" else kernel
