"""A lower sample rate, in integers that C firmware reproduces bit for bit.

By the factor D > 1, with L = 24 D + 1 symmetric taps h of a windowed sinc in Q15 that sum to 32768, causal, silence
before the first sample (so a board filters samples as they come, and never needs one that has not come yet):

y[i] = (sum_k h[k] x[i D + D - 1 - k] + 2^14) >> 15, cut to int16; T samples give T / D, rounded down.

The cut-off is 0.44 of the new rate, the Kaiser window has beta 4.5: up to 0.38 of the new rate 0.1 dB is lost, from
0.51 on 50 dB are. sum |h| < 65535, so int32 holds every sum. D = 1 leaves the sound as it is.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

MAX_FACTOR = 24
_TAPS_PER_FACTOR, _CUTOFF, _BETA = 24, 0.44, 4.5


@lru_cache(maxsize=32)
def low_pass(factor: int) -> np.ndarray:
    """h of the module, read-only int64 [L]; empty for a factor of 1."""
    if factor == 1:
        return np.zeros(0, np.int64)
    middle = _TAPS_PER_FACTOR * factor // 2
    place = np.arange(-middle, middle + 1)
    ideal = np.sinc(2 * _CUTOFF / factor * place) * np.kaiser(len(place), _BETA)
    taps = np.rint(32768 * ideal / ideal.sum()).astype(np.int64)
    taps[middle] += 32768 - taps.sum()  # what rounding left over
    taps.flags.writeable = False
    return taps


def decimated(sound: np.ndarray, factor: int) -> np.ndarray:
    """int16 [N, T] -> int16 [N, T / D], rounded down, by the module's arithmetic."""
    if factor == 1:
        return sound
    taps, (count, samples) = low_pass(factor), sound.shape
    rows = samples // factor
    padded = np.zeros((count, rows + _TAPS_PER_FACTOR + 1, factor), np.int32)
    before = len(taps) - factor
    padded.reshape(count, -1)[:, before : before + rows * factor] = sound[:, : rows * factor]
    phases = np.ascontiguousarray(padded.transpose(2, 0, 1))
    # One product per tap on long rows: a matrix product of float64 would be faster alone, and 100 times slower where
    # its threads wait for a core that another process has.
    sums = np.full((count, rows), 2**14, np.int32)
    for tap in range(len(taps)):
        start = tap // factor
        sums += phases[tap % factor][:, start : start + rows] * np.int32(taps[tap])
    return np.clip(sums >> 15, -32768, 32767).astype(np.int16)
