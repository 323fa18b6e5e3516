"""Wav files and arrays of sound -> int16 [samples] of one rate and one length.

Read here and not by the standard library's `wave`, which before Python 3.12 refuses the extensible headers that
recorders write for 24 bits, and which takes a truncated file for a short one.

Several channels become their mean, other depths 16 bits by dropping the low ones (floats: 1.0 is full scale), another
rate is resampled (polyphase, scipy's Kaiser filter), and last comes the length: a shorter clip lies in the middle of
zeros, of a longer one the middle is kept.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass

import numpy as np

EXTENSIONS = (".wav",)
HEAD_BYTES = 4096  # of a file in which `header` finds what it needs, unless somebody wrote an essay before it
MAX_RATIO = 200_000  # of two rates in lowest terms: the filter is 20 times as long
MAX_SAMPLES = 2**26  # of a clip after resampling: more than an hour at 16 kHz
TRUNCATED = "truncated"
_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_UNKNOWN_SIZE = 0xFFFFFFFF  # written by programs that could not go back: until the end of the file


@dataclass(frozen=True)
class Header:
    """What a wav file says of itself."""

    encoding: int
    bits: int
    channels: int
    rate_hz: int
    start: int  # of the samples [B]
    size: int  # of the samples [B]

    @property
    def clip_s(self) -> float:
        """Its length."""
        return self.size / (self.channels * self.bits // 8) / self.rate_hz


def header(data: bytes) -> Header:
    """The header of a wav file that begins with `data`; ValueError says why it is none, or not one of ours."""
    if not data:
        raise ValueError("empty file")
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        raise ValueError("not a wav file inside")
    place, form = 12, b""
    while place + 8 <= len(data):
        name, size = data[place : place + 4], int.from_bytes(data[place + 4 : place + 8], "little")
        place += 8
        if name == b"fmt ":
            form = data[place : place + size]
        elif name == b"data":
            return _described(form, place, size)
        place += size + size % 2
    raise ValueError(TRUNCATED if form else "no sound inside")


def _described(form: bytes, start: int, size: int) -> Header:
    if len(form) < 16:
        raise ValueError("its format chunk is damaged")
    encoding, channels, rate_hz, _, _, bits = struct.unpack("<HHIIHH", form[:16])
    if encoding == _EXTENSIBLE and len(form) >= 26:
        encoding = int.from_bytes(form[24:26], "little")
    if (encoding, bits) not in [*((_PCM, bits) for bits in (8, 16, 24, 32)), (_FLOAT, 32)]:
        raise ValueError(f"encoding {encoding} with {bits} bits: give PCM of 8, 16, 24 or 32 bits, or 32-bit float")
    if not (1 <= channels <= 64 and 100 <= rate_hz <= 1_000_000):
        raise ValueError(f"{channels} channels at {rate_hz} Hz")
    return Header(encoding, bits, channels, rate_hz, start, size)


def read_wav(data: bytes, sample_rate_hz: int, samples: int) -> np.ndarray:
    """The bytes of a wav file as int16 [samples] at `sample_rate_hz`. ValueError gives a short reason."""
    found = header(data)
    size = len(data) - found.start if found.size == _UNKNOWN_SIZE else found.size
    frame = found.channels * found.bits // 8
    if size > len(data) - found.start or size % frame:
        raise ValueError(TRUNCATED)
    if not size:
        raise ValueError("no sound inside")
    inside = np.frombuffer(data, np.uint8, size, found.start)
    if found.encoding == _FLOAT:
        values = inside.view("<f4")
    elif found.bits == 24:
        wide = np.zeros((size // 3, 4), np.uint8)
        wide[:, 1:] = inside.reshape(-1, 3)
        values = wide.view("<i4").ravel() >> 16
    elif found.bits == 8:
        values = (inside.astype(np.int16) - 128) << 8
    else:
        values = inside.view("<i2") if found.bits == 16 else inside.view("<i4") >> 16
    return fitted(to_int16(values.reshape(-1, found.channels)), found.rate_hz, sample_rate_hz, samples)


def to_int16(clip: np.ndarray) -> np.ndarray:
    """Sound [T] or [T, channels], 16-bit integers or floats in -1..1, as int16 [T]; ValueError gives a reason."""
    if clip.ndim not in (1, 2) or not clip.size or clip.dtype.kind not in "if":
        raise ValueError(f"a clip is int16 or float [samples], not {clip.dtype} {clip.shape}")
    if clip.dtype.kind == "f":
        if not np.isfinite(clip).all():
            raise ValueError("a sample is not a number")
        clip = np.rint(32768 * clip.astype(np.float64)).clip(-32768, 32767).astype(np.int64)
    elif clip.max() > 32767 or clip.min() < -32768:
        raise ValueError("its samples are no 16-bit integers")
    if clip.ndim == 2:
        clip = clip.astype(np.int64).sum(axis=1) // clip.shape[1]
    return clip.astype(np.int16)


def fitted(sound: np.ndarray, rate_hz: int, sample_rate_hz: int, samples: int) -> np.ndarray:
    """int16 [T] at `rate_hz` -> int16 [samples] at `sample_rate_hz`, see the module."""
    if rate_hz != sample_rate_hz:
        from scipy.signal import resample_poly  # jax depends on scipy

        common = math.gcd(rate_hz, sample_rate_hz)
        up, down = sample_rate_hz // common, rate_hz // common
        if max(up, down) > MAX_RATIO:
            raise ValueError(f"{rate_hz} Hz: no simple ratio to {sample_rate_hz} Hz, save it at another rate")
        if len(sound) * up > MAX_SAMPLES * down:
            raise ValueError(f"{len(sound) / rate_hz:.3g} s are too long to be resampled: cut it to clips")
        other = resample_poly(sound.astype(np.float64), up, down)
        sound = np.rint(other).clip(-32768, 32767).astype(np.int16)
    if len(sound) >= samples:
        start = (len(sound) - samples) // 2
        return sound[start : start + samples]
    out = np.zeros(samples, np.int16)
    start = (samples - len(sound)) // 2
    out[start : start + len(sound)] = sound
    return out
