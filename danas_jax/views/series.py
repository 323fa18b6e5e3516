"""Time series of sensors: which sampling rate, which window, which channels; in integers that C firmware reproduces.

Raw examples are int16 [N, T, C] at `native_rate_hz`, one column per channel. For a rate of native / D, D whole, and a
window of n native samples (window_s times the native rate), the input has t = n / D rows, rounded down:

1. The newest t D samples are taken, and each channel is summed over blocks of D: s[i], int32 (block average, the
   first-order CIC low-pass; no division here, step 2 has it).
2. m = (2^32 + F D) / (2 F D), rounded down, is 2^24 * 128 / (F D) rounded half up, for the channel's full scale F in
   int16 units; code[i] = (s[i] m + 128 * 2^24 + 2^23) >> 24, cut to 0..255, in int64. So +-F fill the codes 0..255, and
   code 128 is exactly 0. m is rounded once: its error moves a code by less than F D / 2^25.
3. The channels of the sensor set are kept, ascending: uint8 [N, t, 1, c], a network of width 1.

A board adds up samples as they come and has a row of codes after D of them (deploy/firmware/sources/series.h). Of the
input, a window's t c codes, each takes:

* RAM beside the tensor arena: 1 byte in a ring of rows, as the arena is overwritten by each inference; and an int32
  sum per channel.
* Operations: D additions, the multiply-accumulate, a shift, the subtraction of 128 and the copy out of the ring.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from danas_jax.errors import UserError
from danas_jax.views.base import Augmentation, Axis, DataConfig, Shape, View

if TYPE_CHECKING:
    import jax

CYCLES_PER_OPERATION = 6
SHIFT = 24  # of the fixed-point multipliers
MIN_ROWS = 4  # of an input [rows]
_MAX_FACTOR = 65535  # so that a block's sum fits int32
_MAX_CHANNELS = 256  # a channel's number fits uint8


@dataclass(frozen=True)
class SensorSet:
    """Channels that are bought, powered and read together."""

    name: str
    channels: tuple[int, ...]  # columns of the raw samples, ascending


@dataclass(frozen=True)
class SeriesData(DataConfig):
    """What one network sees of a series."""

    rate_hz: float  # [Hz]
    window_s: float  # the newest of each example [s]
    sensors: str  # name of a sensor set

    @property
    def text(self) -> str:
        """`25 Hz, 2.56 s, acc`."""
        return f"{self.rate_hz:g} Hz, {self.window_s:g} s, {self.sensors}"


def multiplier(full_scale: int, factor: int) -> int:
    """The module's m for a full scale [int16 units] and a block of `factor` samples."""
    return (2**32 + full_scale * factor) // (2 * full_scale * factor)


def proposed_ranges(raw: np.ndarray, percentile: float = 99.9) -> tuple[int, ...]:
    """A full scale per channel from TRAIN's raw examples [N, T, C]: that percentile of the magnitude, rounded up.

    A percentile and not the maximum, because one knock against the sensor would make everything else small.
    """
    magnitudes = np.abs(raw.reshape(-1, raw.shape[-1]).astype(np.int32))  # int16 has no 32768
    found = np.ceil(np.percentile(magnitudes, percentile, axis=0))
    return tuple(int(value) for value in np.maximum(found, 2))


@dataclass(frozen=True)
class SeriesView(View):
    """Sampling rate, window and sensor set are searched; an axis with one value is switched off."""

    native_rate_hz: float  # of the raw examples [Hz]
    rates_hz: tuple[float, ...]  # ascending, each the native rate divided by a whole number [Hz]
    windows_s: tuple[float, ...]  # ascending, whole numbers of native samples [s]
    sensor_sets: tuple[SensorSet, ...]  # by number of channels; the last one holds the channels of all
    ranges: tuple[int, ...]  # full scale of each raw channel, 2 to 32768 [int16 units]; `proposed_ranges`

    kind: ClassVar[str] = "series"
    config: ClassVar[type[DataConfig]] = SeriesData

    def __post_init__(self) -> None:
        for name in ("native_rate_hz", "rates_hz", "windows_s"):  # 25 and 25.0 are one space
            value = getattr(self, name)
            object.__setattr__(self, name, tuple(map(float, value)) if isinstance(value, tuple) else float(value))
        self._check_sensors()
        self._check_times()

    def _check_sensors(self) -> None:
        if not 1 <= len(self.ranges) <= _MAX_CHANNELS or not all(2 <= r <= 32768 for r in self.ranges):
            raise UserError(f"space.view.ranges = {self.ranges}: give a full scale from 2 to 32768 for each channel")
        names = [s.name for s in self.sensor_sets]
        if not names or not all(names) or len(set(names)) != len(names):
            raise UserError(f"space.view.sensor_sets: the names are {names}: give each set a name of its own")
        for sensors in self.sensor_sets:
            channels = sensors.channels
            if not channels or list(channels) != sorted(set(channels)):
                raise UserError(f"space.view.sensor_sets: {sensors.name} = {channels}: give channels ascending")
            if not 0 <= channels[0] <= channels[-1] < len(self.ranges):
                raise UserError(
                    f"space.view.sensor_sets: {sensors.name} = {channels}: "
                    f"space.view.ranges has the channels 0 to {len(self.ranges) - 1}"
                )
            # The largest subnet teaches all others, so it must see what they see.
            missing = sorted(set(channels) - set(self.sensor_sets[-1].channels))
            if missing:
                raise UserError(
                    f"space.view.sensor_sets: {sensors.name} has the channels {missing}, the last set, "
                    f"{names[-1]}, has not: let the last one hold the channels of all"
                )
        sizes = [len(s.channels) for s in self.sensor_sets]
        if sizes != sorted(sizes):
            raise UserError(f"space.view.sensor_sets: {names} have {sizes} channels: give fewer channels first")

    def _check_times(self) -> None:
        if not 0 < self.native_rate_hz < 1e6:
            raise UserError(f"space.view.native_rate_hz = {self.native_rate_hz:g}: give a rate above 0, below 1e6 Hz")
        for name, values in (("rates_hz", self.rates_hz), ("windows_s", self.windows_s)):
            if not values or list(values) != sorted(set(values)) or not 0 < values[0] <= values[-1] < 1e6:
                raise UserError(f"space.view.{name} = {values}: give positive numbers, each once, ascending")
        for rate_hz in self.rates_hz:
            factor = self.native_rate_hz / rate_hz
            if not 1 <= round(factor) <= _MAX_FACTOR or abs(factor - round(factor)) > 1e-6 * factor:
                raise UserError(
                    f"space.view.rates_hz: {rate_hz:g} Hz is not the native {self.native_rate_hz:g} Hz divided by a "
                    f"whole number; near it are {self._near(factor)}"
                )
        for window_s in self.windows_s:
            samples = window_s * self.native_rate_hz
            if abs(samples - round(samples)) > 1e-6 * samples:
                raise UserError(
                    f"space.view.windows_s: {window_s:g} s are {samples:g} samples at {self.native_rate_hz:g} Hz: "
                    "give a whole number of samples"
                )
        rows = self.shape(SeriesData(self.rates_hz[0], self.windows_s[0], self.sensor_sets[-1].name))[0]
        if rows < MIN_ROWS:
            raise UserError(
                f"space.view: {self.windows_s[0]:g} s at {self.rates_hz[0]:g} Hz are {rows} rows: "
                f"give windows and rates of {MIN_ROWS} rows or more"
            )

    def _near(self, factor: float) -> str:
        whole = (max(1, int(factor)), max(1, int(factor)) + 1)
        return " and ".join(f"{self.native_rate_hz / f:g}" for f in reversed(whole))

    @property
    def shape_axes(self) -> tuple[Axis, ...]:
        """Rate and window."""
        return Axis("rate_hz", self.rates_hz), Axis("window_s", self.windows_s)

    @property
    def traced_axes(self) -> tuple[Axis, ...]:
        """The sensor set."""
        return (Axis("sensors", tuple(s.name for s in self.sensor_sets)),)

    @property
    def channels(self) -> int:
        """Channels of the largest sensor set."""
        return len(self.sensor_sets[-1].channels)

    def with_values(self, chosen: Mapping[str, tuple]) -> Self:
        """As every view's; sensor sets are chosen by their names."""
        kept = tuple(s for s in self.sensor_sets if s.name in chosen.get("sensors", [s.name]))
        return dataclasses.replace(super().with_values(chosen), sensor_sets=kept)

    def sensor_set(self, name: str) -> SensorSet:
        """The set of that name; UserError for an unknown one."""
        for sensors in self.sensor_sets:
            if sensors.name == name:
                return sensors
        raise UserError(f"sensors = {name!r}: give one of {', '.join(s.name for s in self.sensor_sets)}")

    def columns(self, sensors: str) -> list[int]:
        """Which of the supernet's channels a sensor set has."""
        return [self.sensor_sets[-1].channels.index(channel) for channel in self.sensor_set(sensors).channels]

    def factor(self, data: SeriesData) -> int:
        """Native samples to one row."""
        return round(self.native_rate_hz / data.rate_hz)

    def shape(self, data: SeriesData) -> Shape:
        """(rows, 1, channels)."""
        return round(data.window_s * self.native_rate_hz) // self.factor(data), 1, len(self.columns(data.sensors))

    def _newest(self, samples: int, data: SeriesData) -> int:
        """Where the newest rows begin in an example of `samples`; UserError when it is shorter than the window."""
        first = samples - self.shape(data)[0] * self.factor(data)
        if first < 0:
            raise UserError(
                f"space.view.windows_s: {data.window_s:g} s, but the examples have {samples} samples, "
                f"{samples / self.native_rate_hz:g} s: give shorter windows"
            )
        return first

    def codes(self, raw: np.ndarray, data: SeriesData) -> np.ndarray:
        """int16 [N, T, C] -> uint8 [N, t, 1, `channels`] by the module's arithmetic.

        UserError when the examples are shorter than the window, or have other channels than `ranges`.
        """
        if raw.dtype != np.int16 or raw.ndim != 3:
            raise ValueError(f"a series is int16 [N, T, C], not {raw.dtype} {raw.shape}")
        if raw.shape[2] != len(self.ranges):
            raise UserError(
                f"space.view.ranges: {len(self.ranges)} channels, but the examples have {raw.shape[2]}: give one each"
            )
        factor, first, used = self.factor(data), self._newest(raw.shape[1], data), self.sensor_sets[-1].channels
        blocks = raw[:, first:, list(used)].reshape(len(raw), -1, factor, len(used))
        sums = blocks.sum(2, dtype=np.int64)
        multipliers = np.array([multiplier(self.ranges[channel], factor) for channel in used], np.int64)
        codes = (sums * multipliers + (128 * 2**SHIFT + 2 ** (SHIFT - 1))) >> SHIFT
        return np.clip(codes, 0, 255).astype(np.uint8)[:, :, None]

    def selected(self, codes: np.ndarray, data: SeriesData) -> np.ndarray:
        """uint8 [N, t, 1, `channels`] -> [N, t, 1, c] of the sensor set."""
        return codes[..., self.columns(data.sensors)]

    def training(self, keys: jax.Array, raw: jax.Array, data: SeriesData, settings: Augmentation) -> jax.Array:
        """int16 [B, T, C] -> float32 codes [B, t, 1, `channels`], whole numbers, by the same rule in float32.

        `time_shift` moves the window by up to that share of the example, ends held; `gain_jitter` scales each channel,
        as the sensitivities of two sensors of one kind differ; `noise` adds Gaussian noise to the native samples, its
        standard deviation in full scales. All zero: `codes`, but for a float's rounding at ties.
        """
        import jax
        from jax import numpy as jnp
        from jax import random

        factor, total, used = self.factor(data), raw.shape[1], list(self.sensor_sets[-1].channels)
        first = self._newest(total, data)
        scale = np.array([multiplier(self.ranges[c], factor) / 2**SHIFT for c in used], np.float32)
        full_scale = np.array([self.ranges[c] for c in used], np.float32)

        def one(key: jax.Array, series: jax.Array) -> jax.Array:
            # Drawn for the whole example and every channel, whatever the shape: another one shows the same.
            shift_key, gain_key, noise_key = random.split(key, 3)
            shift = random.uniform(shift_key, minval=-1.0, maxval=1.0) * (settings.time_shift * total)
            rows = jnp.clip(jnp.arange(first, total) + jnp.round(shift).astype(jnp.int32), 0, total - 1)
            gain = 1 + settings.gain_jitter * random.uniform(gain_key, (len(used),), minval=-1.0, maxval=1.0)
            values = series[:, np.array(used)][rows].astype(jnp.float32) * gain
            if settings.noise:
                values += settings.noise * full_scale * random.normal(noise_key, (total, len(used)))[first:]
            sums = values.reshape(-1, factor, len(used)).sum(1)
            return jnp.clip(jnp.floor(sums * scale + 128.5), 0.0, 255.0)[:, None]

        return jax.vmap(one)(keys, raw)

    def blended(self, codes: jax.Array, shares: Mapping[str, jax.Array]) -> jax.Array:
        """Float codes [B, t, 1, `channels`]: a channel that no chosen set has is code 128, the input 0."""
        has = np.zeros((len(self.sensor_sets), self.channels), np.float32)
        for row, sensors in zip(has, self.sensor_sets, strict=True):
            row[self.columns(sensors.name)] = 1.0
        share = (shares["sensors"][:, None] * has).sum(0)
        return 128.0 + share.astype(codes.dtype) * (codes - 128.0)

    def stem_kernel(self, kernel: Any, data: SeriesData) -> Any:
        """[k, 1, `channels`, out] -> [k, 1, c, out]: the inputs of the channels that are there."""
        return kernel[:, :, np.array(self.columns(data.sensors))]

    def pipeline_bytes(self, data: SeriesData) -> int:
        """RAM on the board beside the tensor arena, as the module derives it [B]."""
        rows, _, channels = self.shape(data)
        return rows * channels + 4 * channels

    def pipeline_operations(self, data: SeriesData) -> int:
        """Operations on the board for the codes of one window, as the module derives them."""
        rows, _, channels = self.shape(data)
        return rows * channels * (self.factor(data) + 4)

    def pipeline_cycles(self, data: SeriesData) -> int:
        """An ESTIMATE, as for pictures: not measured on a board."""
        return CYCLES_PER_OPERATION * self.pipeline_operations(data)
