"""Sound: which sample rate, how many mel bins, which frames, how much of the clip; the arithmetic is in mel.py.

Raw examples are int16 [N, T] at `native_rate_hz`. A network reads uint8 [N, frames, bins, 1]: a spectrogram is a grey
picture to the same layers. Of a shorter clip than the native one the middle is taken.

A board makes a row of codes when a frame is complete, out of samples as they come (deploy/firmware/sources/mel.h):

* RAM beside the tensor arena: two bytes a sample of the frame, four a point of the FFT and a mel bin, a byte a code of
  the input (a ring of rows, as each inference overwrites the arena), and with decimation four bytes a tap.
* Multiply-accumulates: L T / D to decimate; for each frame W for the window, 4 for each of the (M / 2) log2 M
  butterflies but the M - 1 that only add, 4 for each of the K spectral bins in use to undo the packing, 2 for its
  power, 1 for the mel bins; a mel bin takes 1 for its logarithm and 1 for its code, or 1 for each MFCC.
  On an emulated Cortex-M4 (gcc 12.2 -O3) those of the low-pass take 7 instructions each, those of the frames 15, with
  the additions and shifts between them: 3.3 to 4.4 million for a second of 49 frames from 16 kHz.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from danas_jax.errors import UserError
from danas_jax.views.base import Augmentation, Axis, DataConfig, Shape, View
from danas_jax.views.decimate import MAX_FACTOR, low_pass
from danas_jax.views.fixed_fft import MAX_SIZE, MIN_SIZE
from danas_jax.views.mel import FrontEnd

if TYPE_CHECKING:
    import jax

# For a multiply-accumulate, measured on an emulated Cortex-M4 (gcc 12.2): 15 at the native 16 kHz, where only the FFT
# and what follows it run; 8.5 at 8 kHz and 7.4 at 4 kHz, where most is the tight loop of the decimation.
INSTRUCTIONS, DECIMATING_INSTRUCTIONS = 15, 8
MIN_BINS, MAX_BINS = 4, 128
MIN_FRAMES = 4
_FIELDS = {  # axis -> field of the view with its values
    "sample_rate_hz": "sample_rates_hz",
    "mel_bins": "mel_bins",
    "mfccs": "mfccs",
    "window_ms": "windows_ms",
    "hop_ms": "hops_ms",
    "clip_s": "clips_s",
}


@dataclass(frozen=True)
class AudioData(DataConfig):
    """What one network sees of a sound."""

    sample_rate_hz: int
    mel_bins: int
    mfccs: int  # cepstral coefficients of them, 0: the mel bins themselves
    window_ms: int
    hop_ms: int
    clip_s: float

    @property
    def text(self) -> str:
        """`8 kHz, 24 mel bins, 1.0 s, window 30 ms, hop 20 ms`."""
        bins = f"{self.mfccs} MFCCs of {self.mel_bins} mel bins" if self.mfccs else f"{self.mel_bins} mel bins"
        frames = f"{self.clip_s} s, window {self.window_ms} ms, hop {self.hop_ms} ms"
        return f"{self.sample_rate_hz / 1000:g} kHz, {bins}, {frames}"


@dataclass(frozen=True)
class AudioView(View):
    """Log-mel or MFCC. Values go from cheap to costly: the longest window and hop, which make fewest frames, first."""

    native_rate_hz: int  # of the raw examples [Hz]
    sample_rates_hz: tuple[int, ...]  # ascending, each the native rate divided by a whole number [Hz]
    mel_bins: tuple[int, ...]  # ascending
    mfccs: tuple[int, ...] = (0,)  # coefficients, ascending; (0,): log-mel
    windows_ms: tuple[int, ...] = (30,)  # of a frame, descending [ms]
    hops_ms: tuple[int, ...] = (20,)  # from frame to frame, descending [ms]
    clips_s: tuple[float, ...] = (1.0,)  # ascending; of the middle [s]
    native_clip_s: float = 1.0  # of the raw examples [s]
    low_hz: float = 20.0  # where the first mel bin begins
    high_hz: float = 8000.0  # where the last one ends; at most half the sample rate counts

    kind: ClassVar[str] = "audio"
    config: ClassVar[type[DataConfig]] = AudioData

    def __post_init__(self) -> None:
        object.__setattr__(self, "clips_s", tuple(map(float, self.clips_s)))  # 1 and 1.0 are one space
        for name in ("native_clip_s", "low_hz", "high_hz"):
            object.__setattr__(self, name, float(getattr(self, name)))
        self._check_values()
        self._check_times()
        self._check_bins()

    def _check_values(self) -> None:
        for name, low, high in (
            ("native_rate_hz", 1000, 192_000),
            ("sample_rates_hz", 1000, self.native_rate_hz),
            ("mel_bins", MIN_BINS, MAX_BINS),
            ("mfccs", 0, self.mel_bins[0] if self.mel_bins else 0),
            ("windows_ms", 1, 1000),
            ("hops_ms", 1, 1000),
            ("clips_s", 0.01, self.native_clip_s),
            ("native_clip_s", 0.01, 60),
        ):
            value = getattr(self, name)
            values = value if isinstance(value, tuple) else (value,)
            whole = not name.endswith("_s") or name.endswith("_ms")
            if not values or not all(low <= v <= high and (isinstance(v, int) or not whole) for v in values):
                kind = "integers" if whole else "numbers"
                raise UserError(f"space.view.{name} = {value}: give {kind} from {low} to {high:g}")
            descending = name in ("windows_ms", "hops_ms")
            if list(values) != sorted(set(values), reverse=descending):
                order = "descending: a shorter one makes more frames" if descending else "ascending"
                raise UserError(f"space.view.{name} = {value}: give each value once, {order}")
        if self.mfccs != (0,) and self.mfccs[0] < MIN_BINS:
            raise UserError(f"space.view.mfccs = {self.mfccs}: give {MIN_BINS} or more, or (0,) for log-mel")

    def _check_times(self) -> None:
        for rate_hz in self.sample_rates_hz:
            if self.native_rate_hz % rate_hz or self.native_rate_hz // rate_hz > MAX_FACTOR:
                raise UserError(
                    f"space.view.sample_rates_hz: {rate_hz} Hz is not the native {self.native_rate_hz} Hz divided by a "
                    f"whole number up to {MAX_FACTOR}"
                )
            for name in ("windows_ms", "hops_ms"):
                for value in getattr(self, name):
                    if value * rate_hz % 1000:
                        raise UserError(
                            f"space.view.{name}: {value} ms are {value * rate_hz / 1000:g} samples at {rate_hz} Hz: "
                            "give whole numbers of samples at every sample rate"
                        )
            samples = [window * rate_hz // 1000 for window in self.windows_ms]
            if not MIN_SIZE <= min(samples) <= max(samples) <= MAX_SIZE:
                raise UserError(
                    f"space.view.windows_ms = {self.windows_ms}: {min(samples)} to {max(samples)} samples at {rate_hz} "
                    f"Hz: give windows of {MIN_SIZE} to {MAX_SIZE} samples"
                )
        if self.hops_ms[0] > self.windows_ms[-1]:
            raise UserError(
                f"space.view.hops_ms: {self.hops_ms[0]} ms are more than a window of {self.windows_ms[-1]} ms: sound "
                "between frames would be lost"
            )
        fewest = AudioData(self.sample_rates_hz[0], self.mel_bins[0], 0, *self._coarsest_frames, self.clips_s[0])
        if self.shape(fewest)[0] < MIN_FRAMES:
            raise UserError(
                f"space.view.clips_s: {self.clips_s[0]} s are {self.shape(fewest)[0]} frames: give clips of "
                f"{MIN_FRAMES} or more"
            )

    @property
    def _coarsest_frames(self) -> tuple[int, int]:
        return self.windows_ms[0], self.hops_ms[0]

    def _check_bins(self) -> None:
        if not 0 <= self.low_hz < min(self.high_hz, self.sample_rates_hz[0] / 2):
            raise UserError(
                f"space.view.low_hz = {self.low_hz:g}: give 0 or more, below high_hz ({self.high_hz:g}) and half the "
                f"lowest sample rate ({self.sample_rates_hz[0] / 2:g})"
            )
        for rate_hz, bins, window_ms in product(self.sample_rates_hz, self.mel_bins, self.windows_ms):
            front = self.front_end(AudioData(rate_hz, bins, 0, window_ms, self.hops_ms[0], self.clips_s[0]))
            try:
                front.size  # noqa: B018
            except ValueError as error:
                raise UserError(f"space.view.mel_bins: {error} at {rate_hz} Hz: give fewer") from None

    @property
    def shape_axes(self) -> tuple[Axis, ...]:
        """All axes: sample rate, mel bins, coefficients, window, hop, clip."""
        return tuple(Axis(name, getattr(self, field)) for name, field in _FIELDS.items())

    @property
    def traced_axes(self) -> tuple[Axis, ...]:
        """None."""
        return ()

    @property
    def channels(self) -> int:
        """Always one."""
        return 1

    def with_values(self, chosen: Mapping[str, tuple]) -> Self:
        """This view with these values of the axes named: two axes may have equal values here, 20 bins and 20 ms."""
        return dataclasses.replace(self, **{_FIELDS[name]: values for name, values in chosen.items()})

    def front_end(self, data: AudioData) -> FrontEnd:
        """The arithmetic of `data`, its tables kept."""
        rate = data.sample_rate_hz
        window, hop = data.window_ms * rate // 1000, data.hop_ms * rate // 1000
        factor = self.native_rate_hz // rate
        return _front_end(factor, rate, window, hop, data.mel_bins, data.mfccs, self.low_hz, self.high_hz)

    def samples(self, data: AudioData) -> int:
        """Native samples that a network's input is made of."""
        return round(data.clip_s * self.native_rate_hz)

    def clip(self, data: AudioData) -> slice:
        """Which samples of a raw example they are."""
        start = (round(self.native_clip_s * self.native_rate_hz) - self.samples(data)) // 2
        return slice(start, start + self.samples(data))

    def shape(self, data: AudioData) -> Shape:
        """[frames, mel bins or coefficients, 1]."""
        front = self.front_end(data)
        return front.frames(self.samples(data)), front.width, 1

    def check_raw(self, shape: tuple[int, ...]) -> None:
        """UserError unless raw examples [N, T] of this shape are as long as the view says."""
        if shape[1] != round(self.native_clip_s * self.native_rate_hz):
            raise UserError(
                f"space.view.native_clip_s = {self.native_clip_s:g}: the examples have {shape[1]} samples, "
                f"{shape[1] / self.native_rate_hz:g} s at {self.native_rate_hz} Hz: give that"
            )

    def codes(self, raw: np.ndarray, data: AudioData) -> np.ndarray:
        """int16 [N, T] -> uint8 [N, frames, bins, 1] by mel.py's arithmetic; UserError when T is not the view's."""
        if raw.dtype != np.int16 or raw.ndim != 2:
            raise ValueError(f"sound is int16 [N, T], not {raw.dtype} {raw.shape}")
        self.check_raw(raw.shape)
        return self.front_end(data).codes(raw[:, self.clip(data)])[..., None]

    def selected(self, codes: np.ndarray, data: AudioData) -> np.ndarray:
        """As they are: nothing is taken away."""
        return codes

    def training(self, keys: jax.Array, raw: jax.Array, data: AudioData, settings: Augmentation) -> jax.Array:
        """int16 [B, T] -> float32 codes [B, frames, bins, 1], shifted, louder or softer, and with noise.

        The features are those of `codes` in float32 (_sounds.py), at most a code off in 99 % and more.
        """
        from danas_jax.views import _sounds

        self.check_raw(raw.shape)
        heard = _sounds.augmented(keys, raw, settings)[:, self.clip(data)]
        return _sounds.float_codes(self.front_end(data), heard)[..., None]

    def blended(self, codes: jax.Array, shares: Mapping[str, jax.Array]) -> jax.Array:
        """As they are: no axis is traced."""
        return codes

    def stem_kernel(self, kernel: Any, data: AudioData) -> Any:
        """As it is: one channel."""
        return kernel

    def pipeline_bytes(self, data: AudioData) -> int:
        """RAM on the board beside the tensor arena, as the module derives it [B]."""
        front = self.front_end(data)
        frames, width, _ = self.shape(data)
        taps = len(low_pass(front.factor))
        return 4 * taps + 2 * front.window + 4 * front.size + 4 * front.mel_bins + frames * width

    def pipeline_operations(self, data: AudioData) -> int:
        """Multiply-accumulates on the board for the codes of one clip, as the module derives them."""
        front = self.front_end(data)
        points, bins = front.size // 2, len(front.rises)
        butterflies = points // 2 * (points.bit_length() - 1) - (points - 1)
        frame = front.window + 4 * butterflies + 7 * bins + (1 + (front.mfccs or 1)) * front.mel_bins
        decimate = self.samples(data) // front.factor * len(low_pass(front.factor))
        return decimate + self.shape(data)[0] * frame

    def pipeline_cycles(self, data: AudioData) -> int:
        """An ESTIMATE: instructions of the C code on an emulated Cortex-M4, each a cycle or more on a board."""
        each = INSTRUCTIONS if self.front_end(data).factor == 1 else DECIMATING_INSTRUCTIONS
        return round(each * self.pipeline_operations(data))


@lru_cache(maxsize=256)
def _front_end(*values: Any) -> FrontEnd:
    """One object per configuration, so that its tables are made once."""
    return FrontEnd(*values)
