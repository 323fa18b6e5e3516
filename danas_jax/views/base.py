"""What a data configuration is: the axes of the data in a search space, and the view that a network reads.

A source hands out raw examples at their highest fidelity (`Split.raw`: uint8 pictures, int16 sound, int16 sensor
samples). A view turns them into codes, uint8 [N, h, w, c], which a board computes alike, bit for bit. The network's
input is (code - 128) / 128, the deployed one int8 = code - 128. Two kinds of axes make up a data configuration:

* shape axes (resolution, sample rate, mel bins) change the input's shape: each combination has programs of its own;
* traced axes (colour, sensor channels) do not: a supernet always reads `channels` input channels, and what a value
  takes away is taken away inside the program (`blended`). The deployed network reads fewer channels, with the stem
  that `stem_kernel` makes.

One view is one file in this folder; jax is imported inside the functions that need it.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

import numpy as np

from danas_jax.errors import UserError

if TYPE_CHECKING:
    import jax

_PIECE = 1024  # raw examples at a time: they may be many, and mapped from a disk
Shape = tuple[int, int, int]  # height, width, channels of a network's input


@dataclass(frozen=True)
class Axis:
    """One gene: its name (`resolution_px`, `s2.width`, `s2.b1.kernel` ...) and its values, cheap to costly."""

    name: str
    values: tuple[int, ...] | tuple[float, ...] | tuple[str, ...]


def check_ascending(field: str, values: tuple, low: int, high: int) -> None:
    """UserError naming `space.<field>` unless `values` are ascending integers from `low` to `high`."""
    if not values or any(not isinstance(v, int) or not low <= v <= high for v in values):
        raise UserError(f"space.{field} = {values}: give integers from {low} to {high}")
    if list(values) != sorted(set(values)):
        raise UserError(f"space.{field} = {values}: give each value once, ascending")


class Augmentation(Protocol):
    """The fields of TrainSettings and RetrainSettings that a training view depends on; each view uses its own."""

    @property
    def crop_area_min(self) -> float: ...
    @property
    def colour_jitter(self) -> float: ...
    @property
    def saturation_jitter(self) -> float: ...
    @property
    def time_shift(self) -> float: ...
    @property
    def gain_jitter(self) -> float: ...
    @property
    def noise(self) -> float: ...


class DataConfig(ABC):
    """What one network sees: a frozen dataclass with a field per axis of its view, of the axis's name."""

    @property
    @abstractmethod
    def text(self) -> str:
        """For people: `48 px mono`."""


class View(ABC):
    """A frozen dataclass: the values of each axis, and what is the same for all. Refuses bad values with UserError."""

    kind: ClassVar[str]  # "image": how config.json names it
    config: ClassVar[type[DataConfig]]

    @property
    @abstractmethod
    def shape_axes(self) -> tuple[Axis, ...]:
        """Axes that change the input's shape, the first genes of a space."""

    @property
    @abstractmethod
    def traced_axes(self) -> tuple[Axis, ...]:
        """Axes that do not; the genes after those."""

    @property
    @abstractmethod
    def channels(self) -> int:
        """Input channels of a supernet: those of the costliest traced values."""

    @abstractmethod
    def shape(self, data: Any) -> Shape:
        """The deployed network's input."""

    @abstractmethod
    def codes(self, raw: np.ndarray, data: Any) -> np.ndarray:
        """Raw examples [N, ...] -> uint8 [N, h, w, `channels`] at the shape of `data`, its traced axes left alone."""

    @abstractmethod
    def selected(self, codes: Any, data: Any) -> Any:
        """`codes` -> uint8 [N, h, w, c] as the board sees them: what the traced values take away is gone."""

    def deployed(self, raw: np.ndarray, data: Any) -> np.ndarray:
        """Raw examples [N, ...] -> uint8 [N, h, w, c] of `shape(data)`: what the board sees."""
        return self.selected(self.codes(raw, data), data)

    @abstractmethod
    def training(self, keys: jax.Array, raw: jax.Array, data: Any, settings: Augmentation) -> jax.Array:
        """Augmented raw examples [B, ...] -> float32 codes [B, h, w, `channels`] in 0..255; traced.

        A function of (keys [B], raw, shape of `data`, settings); the same keys at another shape show the same example.
        """

    @abstractmethod
    def blended(self, codes: jax.Array, shares: Mapping[str, jax.Array]) -> jax.Array:
        """Float codes [B, h, w, `channels`] under shares [V] of each traced axis's values, by its name; traced.

        One-hot shares give exactly what `selected` gives, in `channels` channels.
        """

    def read(self, codes: jax.Array, data: Any) -> jax.Array:
        """`selected` of float codes [B, h, w, `channels`] -> [B, h, w, c]; traced."""
        return self.selected(codes, data)

    @abstractmethod
    def stem_kernel(self, kernel: Any, data: Any) -> Any:
        """A supernet stem's kernel [k_h, k_w, `channels`, out] -> the deployed one's [k_h, k_w, c, out]."""

    def pipeline_bytes(self, data: Any) -> int:
        """RAM on the board beside the tensor arena that makes one input [B]; 0 where that depends on a camera."""
        return 0

    def pipeline_cycles(self, data: Any) -> int:
        """Cycles on the board that make one input, an estimate; 0 where that depends on a camera."""
        return 0

    def manifest(self, data: Any, raw_shape: tuple[int, ...]) -> dict:
        """What firmware and `danas predict` must know, JSON-ready: the values of the axes, and the view.

        `raw_shape` is that of one raw example.
        """
        return {
            **{axis.name: getattr(data, axis.name) for axis in self.axes},
            "text": data.text,
            "view": {"kind": self.kind, **dataclasses.asdict(self)},  # ty: ignore[invalid-argument-type]
            "raw_shape": list(raw_shape),
            "normalisation": "(code - 128) / 128",
        }

    @property
    def meaning(self) -> dict:
        """What a space's fingerprint reads: every field."""
        return dataclasses.asdict(self)  # ty: ignore[invalid-argument-type]

    @property
    def axes(self) -> tuple[Axis, ...]:
        """All of them, in the order of the genes."""
        return self.shape_axes + self.traced_axes

    def with_values(self, chosen: Mapping[str, tuple]) -> Self:
        """This view with these values of the axes named; a field that holds an axis's values is set to the chosen."""
        fields = [field.name for field in dataclasses.fields(self)]  # ty: ignore[invalid-argument-type]
        moved = {
            name: chosen[axis.name]
            for axis in self.axes
            for name in fields
            if axis.name in chosen and getattr(self, name) == axis.values
        }
        return dataclasses.replace(self, **moved)  # ty: ignore[invalid-argument-type]

    def smallest(self) -> Self:
        """This view with the cheapest value of each shape axis alone."""
        return self.with_values({axis.name: axis.values[:1] for axis in self.shape_axes})

    def only(self, data: Any) -> Self:
        """This view with nothing to choose but `data`, which need not be among its values."""
        return self.with_values({axis.name: (getattr(data, axis.name),) for axis in self.axes})

    def data(self, **values: float | str) -> DataConfig:
        """The configuration with these values of the axes."""
        return self.config(**values)


@dataclass(frozen=True)
class NetworkInput:
    """What one network reads: a view under one data configuration."""

    view: View
    data: DataConfig

    @property
    def shape(self) -> Shape:
        """The deployed network's input."""
        return self.view.shape(self.data)

    @property
    def text(self) -> str:
        """For people."""
        return self.data.text

    @property
    def values(self) -> dict[str, float | str]:
        """The values of the axes, by name, and of what is no axis of this view where it is not the default."""
        found = {axis.name: getattr(self.data, axis.name) for axis in self.view.axes}
        for field in dataclasses.fields(self.data):  # ty: ignore[invalid-argument-type]
            value = getattr(self.data, field.name)
            if value != field.default:
                found.setdefault(field.name, value)
        return found

    def codes(self, raw: Any) -> np.ndarray:
        """Raw examples, an array or Rows [N, ...] -> uint8 [N, h, w, channels of the view], in pieces."""
        starts = range(0, max(1, len(raw)), _PIECE)
        return np.concatenate([self.view.codes(np.asarray(raw[i : i + _PIECE]), self.data) for i in starts])

    def deployed(self, raw: Any) -> np.ndarray:
        """Raw examples, an array or Rows [N, ...] -> uint8 [N, h, w, c]: what the board sees."""
        return self.view.selected(self.codes(raw), self.data)

    def training(self, keys: jax.Array, raw: jax.Array, settings: Augmentation) -> jax.Array:
        """Augmented raw examples [B, ...] -> float32 codes [B, h, w, channels of the view]; traced."""
        return self.view.training(keys, raw, self.data, settings)

    def manifest(self, raw_shape: tuple[int, ...]) -> dict:
        """What firmware and `danas predict` must know, JSON-ready."""
        return self.view.manifest(self.data, raw_shape)

    def stem_kernel(self, kernel: Any) -> Any:
        """A supernet stem's kernel -> the deployed one's."""
        return self.view.stem_kernel(kernel, self.data)

    def read(self, codes: jax.Array) -> jax.Array:
        """Codes [B, h, w, channels of the view] -> [B, h, w, c] as the deployed network reads them; traced."""
        return self.view.read(codes, self.data)
