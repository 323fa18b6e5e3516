"""Power spectra of short frames in fixed point, in integers that C firmware reproduces bit for bit.

A frame of W int16 samples x, zero-padded to N >= W, N a power of two; M = N / 2; >> rounds down:

1. v[n] = x[n] w[n], |v| < 2^30, with the periodic Hann window w[n] = min(32767, round(16384 (1 - cos(2 pi n / W)))).
2. Block scaling: with e the bit length of the largest |v| of the frame and s = 29 - e, v becomes 2^s v, or v >> 1 where
   s = -1. So a quiet frame loses nothing: |v| < 2^29. A silent frame (e = 0) has no power, and s = 0.
3. z[n] = v[2n] + i v[2n + 1], n < M, goes in bit-reversed order through log2 M radix-2 stages. With T[k] =
   clip(round(32768 sin(2 pi k / N)), -32767, 32767), C[k] = T[k + N / 4] and k = j M / h for the j-th of h butterflies
   of a block (h = 1, 2, 4 ... M / 2): (a, b) -> ((a + t) >> 1, (a - t) >> 1) with t = b where j = 0, else
   t = ((C[k] Re b + T[k] Im b) >> 15) + i ((C[k] Im b - T[k] Re b) >> 15).
   A butterfly's outputs are no longer than its longer input, 2^29.5, so int32 holds them, a + t included.
4. Of bins 0 < k < M, with y = conj z[M - k]: E = (z[k] + y) >> 1, O = (-i (z[k] - y)) >> 1, and X = E + t as in step 3
   with b = O and the k of the bin. X is the frame's DFT times 2^(15 + s) / M, |X| <= 2^30. (DC and Nyquist are not
   wanted.)
5. P[k] = (Re X >> 6)^2 + (Im X >> 6)^2, below 2^49; by Parseval all P of a frame sum to less than 2^48, so their sums
   with weights up to 2^12 fit int64. The products of steps 3 and 4 take 46 bits, the rest of them fits int32.

The twiddle's 15 bits leave errors 83 to 93 dB below the strongest component of the same frame.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

MIN_SIZE, MAX_SIZE = 16, 4096
POWER_SHIFT = 6  # of X before it is squared
HEADROOM_BITS = 29  # |v| stays below 2^29 after block scaling


@lru_cache(maxsize=32)
def hann(window: int) -> np.ndarray:
    """w of the module's step 1, read-only int64 [W]."""
    phase = 2 * np.pi * np.arange(window) / window
    return _constant(np.minimum(32767, np.rint(16384 * (1 - np.cos(phase)))))


@lru_cache(maxsize=32)
def sines(size: int) -> np.ndarray:
    """T of the module's step 3, read-only int64 [3 N / 4]: cosines are a quarter further."""
    return _constant(np.clip(np.rint(32768 * np.sin(2 * np.pi * np.arange(3 * size // 4) / size)), -32767, 32767))


@lru_cache(maxsize=32)
def bit_reversed(count: int) -> np.ndarray:
    """Which of `count` (a power of two) inputs goes to each place before the first stage, read-only int64 [count]."""
    order = np.zeros(1, np.int64)
    while len(order) < count:
        order = np.concatenate([2 * order, 2 * order + 1])
    return _constant(order)


def power_spectra(frames: np.ndarray, size: int, low: int, high: int) -> tuple[np.ndarray, np.ndarray]:
    """int16 frames [W, F] -> (P of bins low <= k < high, int64 [high - low, F]; s, int64 [F]).

    F comes last so that every operation is on long rows. ValueError unless 0 < low < high <= N / 2 and N fits.
    """
    window = len(frames)
    if size & (size - 1) or not MIN_SIZE <= size <= MAX_SIZE or window > size or not 0 < low < high <= size // 2:
        raise ValueError(f"spectrum of {window} samples, {size} points, bins {low} to {high}")
    values = np.zeros((size, frames.shape[1]), np.int64)
    np.multiply(frames, hann(window)[:, None], out=values[:window])
    peak = np.maximum(values.max(0), -values.min(0))
    bits = np.frexp(peak.astype(np.float64))[1].astype(np.int64)
    shift = np.where(bits > 0, HEADROOM_BITS - bits, 0)
    values <<= np.maximum(shift, 0)
    values >>= np.maximum(-shift, 0)
    order = bit_reversed(size // 2)
    real, imaginary = values[2 * order], values[2 * order + 1]
    half = 1
    while half < size // 2:
        _stage(real, imaginary, half, size)
        half *= 2
    k = np.arange(low, high)
    forward, backward = slice(low, high), slice(size // 2 - low, size // 2 - high, -1)
    even = (real[forward] + real[backward]) >> 1, (imaginary[forward] - imaginary[backward]) >> 1
    odd = (imaginary[forward] + imaginary[backward]) >> 1, (real[backward] - real[forward]) >> 1
    turned = _turned(*odd, k[:, None], size)
    x, y = ((e + t) >> POWER_SHIFT for e, t in zip(even, turned, strict=True))
    x *= x
    y *= y
    x += y
    return x, shift


def _stage(real: np.ndarray, imaginary: np.ndarray, half: int, size: int) -> None:
    """All butterflies of one stage, in place, on [M, F]."""
    real, imaginary = (part.reshape(-1, 2, half, part.shape[-1]) for part in (real, imaginary))
    t_real, t_imaginary = real[:, 1].copy(), imaginary[:, 1].copy()
    if half > 1:
        k = (np.arange(1, half) * (size // 2 // half))[:, None]
        t_real[:, 1:], t_imaginary[:, 1:] = _turned(t_real[:, 1:], t_imaginary[:, 1:], k, size)
    for part, t in ((real, t_real), (imaginary, t_imaginary)):
        a = part[:, 0]
        np.subtract(a, t, out=part[:, 1])
        a += t
        part >>= 1


def _turned(real: np.ndarray, imaginary: np.ndarray, k: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """b exp(-2 pi i k / N) as in the module's step 3."""
    sine = sines(size)
    t, c = sine[k], sine[k + size // 4]
    across = c * real
    across += t * imaginary
    down = c * imaginary
    down -= t * real
    across >>= 15
    down >>= 15
    return across, down


def _constant(table: np.ndarray) -> np.ndarray:
    table = table.astype(np.int64)
    table.flags.writeable = False
    return table
