"""Log-mel and MFCC codes of sound, in integers that C firmware reproduces bit for bit.

Sound is decimated (decimate.py) and cut into frames of W samples, H apart: F = 1 + (T - W) / H of them, rounded down.
A frame's power spectrum P and its block scaling s are those of fixed_fft.py. Then, with B mel bins:

1. Filter bank. mel(f) = 1127 ln(1 + f / 700); B + 2 edges lie evenly in mel from low_hz to high_hz (at most half the
   rate). A bin of the spectrum lies in one of the segments 0..B between edges; its rise r is how far into it, in mel,
   in Q12, rounded. Triangle j rises over segment j and falls over j + 1, so a bin's weights in its two triangles are r
   and 4096 - r, and with R[j], Q[j] the sums of r P and of P over segment j (int64), S[j] = R[j] + 4096 Q[j + 1] -
   R[j + 1]. N is the smallest power of two from W on with a bin of weight 2048 or more in every triangle.
2. Logarithm, Q12. For S > 0, E = floor(log2 S) and m = floor(2^15 S / 2^E): with i = (m >> 9) - 64 and f = m & 511,
   l = 4096 E + t[i] + (((t[i + 1] - t[i]) f) >> 9) for t[i] = round(4096 log2(1 + i / 64)). Error below 0.001 dB.
3. Level. 0 dB is a sine of full scale within one triangle: 60 + log2(3 W / (8 N)) for s = 0. d = l - 8192 s - floor,
   cut to 0..span, is the level above -100 dB, span = 100 dB, in Q12 of an octave of power; S = 0 has d = 0.
4. Log-mel code = (255 d + span / 2) / span, divisions rounding down: code 0 is -100 dB or less, 255 is 0 dB.
   Or MFCC: code[q] = ((sum_j D[q][j] d[j] + 2^22) >> 23) + (128 where q > 0), cut to 0..255, sums in int64, with
   D[q][j] = round(2^23 (255 / span) g[q] o[q] cos(pi q (2 j + 1) / (2 B)) / sqrt(B)): the orthonormal DCT-II (o[0] =
   sqrt(1 / B), else sqrt(2 / B)), over sqrt(B); g = 1 for q = 0, 2 up to q = 2, 4 up to q = 5, else 8, as the spread of
   speech falls with q. D fits int16 from 4 mel bins on.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from danas_jax.views.decimate import decimated
from danas_jax.views.fixed_fft import MAX_SIZE, MIN_SIZE, power_spectra

FLOOR_DB, RANGE_DB = -100, 100  # of the codes 0 to 255
SPAN = round(4096 * RANGE_DB / (10 * np.log10(2)))  # of the levels
DCT_SHIFT = 23
LOG2_TABLE = np.rint(4096 * np.log2(1 + np.arange(65) / 64)).astype(np.int64)
_CHUNK_FRAMES = 100  # of one chunk of clips, so that a stage of the FFT stays in the cache


@dataclass(frozen=True)
class FrontEnd:
    """One configuration of the module's arithmetic. ValueError from `size` on where mel bins are too narrow for it."""

    factor: int  # D, native samples to one of the frames'
    rate_hz: float  # after decimation [Hz]
    window: int  # W [samples]
    hop: int  # H [samples]
    mel_bins: int  # B
    mfccs: int  # coefficients kept, 0: log-mel
    low_hz: float
    high_hz: float

    @property
    def width(self) -> int:
        """Codes of a frame."""
        return self.mfccs or self.mel_bins

    def frames(self, samples: int) -> int:
        """F of a clip of native samples."""
        return max(0, 1 + (samples // self.factor - self.window) // self.hop)

    @cached_property
    def size(self) -> int:
        """N of the module's step 1. ValueError when no N up to 4096 will do."""
        size = max(MIN_SIZE, 1 << (self.window - 1).bit_length())
        while size <= MAX_SIZE:
            segment, rise = self._bins(size)
            wide = np.zeros(self.mel_bins + 2, bool)
            wide[segment[rise >= 2048]] = True  # of the triangle that rises here
            wide[segment[rise <= 2048] - 1] = True  # of the one that falls; -1: of none, it is the last entry
            if wide[: self.mel_bins].all():
                return size
            size *= 2
        raise ValueError(f"{self.mel_bins} mel bins from {self.low_hz:g} to {self.high_hz:g} Hz are too narrow")

    def _bins(self, size: int) -> tuple[np.ndarray, np.ndarray]:
        """(segment, rise in Q12) of every spectral bin 0 < k < N / 2; segments are -1 or B + 1 outside of all."""
        k = np.arange(1, size // 2)
        low, high = (1127 * np.log1p(f / 700) for f in (self.low_hz, min(self.high_hz, self.rate_hz / 2)))
        place = (1127 * np.log1p(k * self.rate_hz / size / 700) - low) * (self.mel_bins + 1) / (high - low)
        segment = np.clip(np.floor(place), -1, self.mel_bins + 1).astype(np.int64)
        return segment, np.rint(4096 * (place - np.floor(place))).astype(np.int64)

    @cached_property
    def starts(self) -> np.ndarray:
        """First spectral bin k of each segment, and behind the last one, int64 [B + 2]."""
        return 1 + np.searchsorted(self._bins(self.size)[0], np.arange(self.mel_bins + 2))

    @cached_property
    def rises(self) -> np.ndarray:
        """r of the bins starts[0] <= k < starts[-1], int64 [K]."""
        return self._bins(self.size)[1][self.starts[0] - 1 : self.starts[-1] - 1]

    @cached_property
    def floor(self) -> int:
        """What is taken from 4096 log2 S, for s = 0."""
        full_scale = 60 + np.log2(3 * self.window / (8 * self.size))
        return round(4096 * (full_scale + FLOOR_DB / (10 * np.log10(2))))

    @cached_property
    def dct(self) -> np.ndarray:
        """D of the module's step 4, int64 [mfccs, B]."""
        q, j = np.arange(self.mfccs)[:, None], np.arange(self.mel_bins)
        gain = np.select([q == 0, q <= 2, q <= 5], [np.sqrt(0.5), 2, 4], 8) * np.sqrt(2) / self.mel_bins
        return np.rint(2**DCT_SHIFT * 255 / SPAN * gain * np.cos(np.pi * q * (2 * j + 1) / (2 * self.mel_bins))).astype(
            np.int64
        )

    def codes(self, sound: np.ndarray) -> np.ndarray:
        """int16 [N, T] at the native rate -> uint8 [N, F, width] by the module's arithmetic."""
        out = np.empty((len(sound), self.frames(sound.shape[1]), self.width), np.uint8)
        step = max(1, _CHUNK_FRAMES // out.shape[1])
        for n in range(0, len(sound), step):
            clips = decimated(sound[n : n + step], self.factor)
            frames = sliding_window_view(clips, self.window, axis=1)[:, :: self.hop].transpose(2, 0, 1)
            out[n : n + step] = self._frame_codes(frames.reshape(self.window, -1)).T.reshape(len(clips), -1, self.width)
        return out

    def _frame_codes(self, frames: np.ndarray) -> np.ndarray:
        """int16 [W, F] -> codes, int64 [width, F]."""
        power, shift = power_spectra(frames, self.size, int(self.starts[0]), int(self.starts[-1]))
        total, rising = self._segment_sums(power), self._segment_sums(power * self.rises[:, None])
        level = log2_q12(rising[:-1] + 4096 * total[1:] - rising[1:]) - 8192 * shift - self.floor
        level = np.clip(level, 0, SPAN)
        if not self.mfccs:
            return (255 * level + SPAN // 2) // SPAN
        sums = (self.dct.astype(np.float64) @ level).astype(np.int64)  # below 2^53: exact
        sums = (sums + 2 ** (DCT_SHIFT - 1)) >> DCT_SHIFT
        sums[1:] += 128
        return np.clip(sums, 0, 255)

    def _segment_sums(self, values: np.ndarray) -> np.ndarray:
        """Sums over the segments, int64 [K, F] -> [B + 1, F]."""
        starts, ends = self.starts[:-1] - self.starts[0], self.starts[1:] - self.starts[0]
        filled = starts < ends  # `reduceat` has no empty sums
        sums = np.zeros((self.mel_bins + 1, values.shape[1]), np.int64)
        sums[filled] = np.add.reduceat(values, starts[filled], axis=0)
        return sums


def log2_q12(values: np.ndarray) -> np.ndarray:
    """4096 log2 of int64 [...] >= 0 by the module's step 2; of 0 it is below every level."""
    upper = values >> 32
    large = upper > 0
    # A float64 of all 63 bits could be rounded up to the next power of two.
    exponent = np.frexp(np.where(large, upper, values).astype(np.float64))[1].astype(np.int64) - 1 + 32 * large
    mantissa = (values << np.clip(15 - exponent, 0, 15)) >> np.maximum(exponent - 15, 0)
    i, fraction = np.maximum((mantissa >> 9) - 64, 0), mantissa & 511
    low = LOG2_TABLE[i]
    found = 4096 * exponent + low + (((LOG2_TABLE[np.minimum(i + 1, 64)] - low) * fraction) >> 9)
    return np.where(values > 0, found, -(2**20))
