"""The rules of danas_jax/views (decimate, fixed_fft, mel) once more, slowly, in Python integers."""

import math

import numpy as np

from danas_jax.views.decimate import low_pass
from danas_jax.views.fixed_fft import sines
from danas_jax.views.mel import SPAN, log2_q12


class Reference:
    """One configuration in Python integers; `products` counts the multiply-accumulates."""

    def __init__(self, view, data):
        self.view, self.data, self.products = view, data, 0
        rate = data.sample_rate_hz
        self.window, self.hop = data.window_ms * rate // 1000, data.hop_ms * rate // 1000
        self.bins = data.mel_bins
        top = min(view.high_hz, rate / 2)
        edges = np.linspace(self.mel(view.low_hz), self.mel(top), self.bins + 2)
        size = 16
        while True:
            self.place = {}  # bin of the spectrum -> segments between edges
            for k in range(1, size // 2):
                place = (self.mel(k * rate / size) - edges[0]) / (edges[1] - edges[0])
                if 0 <= place < self.bins + 1:
                    self.place[k] = place
            weights = [max([0, *(1 - abs(p - j - 1) for p in self.place.values())]) for j in range(self.bins)]
            if size >= self.window and min(weights) >= 0.5:
                break
            size *= 2
        self.size = size

    @staticmethod
    def mel(hertz):
        return 1127 * math.log(1 + hertz / 700)

    def codes(self, clip):
        """[frames][width] of one clip, a list of integers."""
        factor = self.view.native_rate_hz // self.data.sample_rate_hz
        clip = self.decimated(clip, factor) if factor > 1 else clip
        starts = range(0, len(clip) - self.window + 1, self.hop)
        return [self.row(clip[start : start + self.window]) for start in starts]

    def decimated(self, clip, factor):
        taps, out = low_pass(factor).tolist(), []
        for i in range(len(clip) // factor):
            total = 1 << 14
            for k, tap in enumerate(taps):
                n = i * factor + factor - 1 - k
                total += tap * (clip[n] if n >= 0 else 0)
                self.products += 1
            out.append(max(-32768, min(32767, total >> 15)))
        return out

    def row(self, samples):
        window = [min(32767, round(16384 * (1 - math.cos(2 * math.pi * n / self.window)))) for n in range(self.window)]
        values = [x * w for x, w in zip(samples, window, strict=True)] + [0] * (self.size - self.window)
        self.products += self.window
        largest = max(map(abs, values))
        shift = 29 - largest.bit_length() if largest else 0
        values = [v << shift if shift >= 0 else v >> 1 for v in values]
        z = self.transform(list(zip(values[::2], values[1::2], strict=True)))
        powers = {k: self.power(z, k) for k in self.place}
        levels = []
        for j in range(self.bins):
            total = 0
            for k, place in self.place.items():
                rise = math.floor(4096 * (place - math.floor(place)) + 0.5)
                if math.floor(place) == j:
                    total += rise * powers[k]
                elif math.floor(place) == j + 1:
                    total += (4096 - rise) * powers[k]
            levels.append(self.level(total, shift))
        self.products += len(self.place) + self.bins
        return self.coded(levels)

    def turn(self, b, k):
        table, (real, imaginary) = sines(self.size).tolist(), b
        sine, cosine = table[k], table[k + self.size // 4]
        self.products += 4
        return (cosine * real + sine * imaginary) >> 15, (cosine * imaginary - sine * real) >> 15

    def transform(self, z):
        if len(z) == 1:
            return z
        half, out = len(z) // 2, [(0, 0)] * len(z)
        for j, (a, b) in enumerate(zip(self.transform(z[::2]), self.transform(z[1::2]), strict=True)):
            t = self.turn(b, j * self.size // len(z)) if j else b
            assert max(abs(p + q) for p, q in zip(a, t, strict=True)) < 2**31
            out[j] = (a[0] + t[0]) >> 1, (a[1] + t[1]) >> 1
            out[j + half] = (a[0] - t[0]) >> 1, (a[1] - t[1]) >> 1
        return out

    def power(self, z, k):
        (p, q), (r, s) = z[k], z[len(z) - k]
        x, y = self.turn(((q + s) >> 1, (r - p) >> 1), k)
        self.products += 2
        return ((((p + r) >> 1) + x) >> 6) ** 2 + ((((q - s) >> 1) + y) >> 6) ** 2

    def level(self, total, shift):
        if not total:
            return 0
        full_scale = 60 + math.log2(3 * self.window / (8 * self.size))
        level = log2_q12(np.array([total]))[0] - 8192 * shift - round(4096 * (full_scale - 100 / (10 * math.log10(2))))
        return max(0, min(SPAN, int(level)))

    def coded(self, levels):
        if not self.data.mfccs:
            self.products += self.bins
            return [(255 * level + SPAN // 2) // SPAN for level in levels]
        row = []
        for q in range(self.data.mfccs):
            gain = 1 if q == 0 else 2 if q <= 2 else 4 if q <= 5 else 8
            norm = math.sqrt((1 if q == 0 else 2) / self.bins) / math.sqrt(self.bins)
            total = 1 << 22
            for j, level in enumerate(levels):
                cosine = math.cos(math.pi * q * (2 * j + 1) / (2 * self.bins))
                total += level * round(2**23 * 255 / SPAN * gain * norm * cosine)
                self.products += 1
            row.append(max(0, min(255, (total >> 23) + (128 if q else 0))))
        return row
