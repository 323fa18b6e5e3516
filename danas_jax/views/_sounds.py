"""Training views of sound on the device: time shift, gain and noise on the waveform, then mel.py's features in float32.

The sound is a function of the keys alone, so another sample rate or another number of mel bins hears the same.
Features follow mel.py step by step with the same tables, without the roundings inside: at zero augmentation at most a
code off in 99 % and more of the codes (tests/test_views_audio.py).

The transform is XLA's: 64 clips of 1 s at 16 kHz and 40 mel bins took 3 ms on 2 cores, as a matrix product of the
whole frames 13 ms, of their even and odd parts 9 ms (jax 0.10.2, other work ran).
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax, random

from danas_jax.views.base import Augmentation
from danas_jax.views.decimate import low_pass
from danas_jax.views.fixed_fft import hann
from danas_jax.views.mel import DCT_SHIFT, SPAN, FrontEnd

_NOISE_CLIPS = 8  # length of the noise [clips]
_BLOCK = 32  # outputs of one row of the product that decimates


def augmented(keys: jax.Array, raw: jax.Array, settings: Augmentation) -> jax.Array:
    """int16 [B, T] -> float32 [B, T], whole numbers in the range of int16; traced.

    `time_shift`: to and fro by up to that share of the clip, silence moves in. `gain_jitter`: times 1 +- up to that.
    `noise`: white noise, its standard deviation uniform from 0 to that share of full scale.
    """
    samples = raw.shape[1]
    most = round(settings.time_shift * samples)
    if settings.noise:  # stretches of one long noise: drawing 64 s of it anew in each step took ten times as long
        hiss = jnp.asarray(np.random.default_rng(0).standard_normal(_NOISE_CLIPS * samples, np.float32))

    def one(key: jax.Array, sound: jax.Array) -> jax.Array:
        shift_key, gain_key, level_key, noise_key = random.split(key, 4)
        if most:
            start = random.randint(shift_key, (), 0, 2 * most + 1)
            sound = lax.dynamic_slice(jnp.pad(sound, most), (start,), (samples,))
        gain = 1 + settings.gain_jitter * random.uniform(gain_key, minval=-1.0, maxval=1.0)
        sound = sound.astype(jnp.float32) * gain
        if settings.noise:
            level = 32768 * settings.noise * random.uniform(level_key)
            start = random.randint(noise_key, (), 0, len(hiss) - samples + 1)
            sound += level * lax.dynamic_slice(hiss, (start,), (samples,))
        return jnp.clip(jnp.floor(sound + 0.5), -32768.0, 32767.0)

    return jax.vmap(one)(keys, raw)


def float_codes(front: FrontEnd, sound: jax.Array) -> jax.Array:
    """float32 [B, T] at the native rate -> float32 codes [B, F, width], whole numbers; traced."""
    sound = _decimated(sound, front.factor)
    count = 1 + (sound.shape[1] - front.window) // front.hop
    places = front.hop * np.arange(count)[:, None] + np.arange(front.window)
    frames = sound[:, places] * jnp.asarray(hann(front.window) / 32768, jnp.float32)
    spectrum = jnp.fft.rfft(frames, n=front.size)[..., int(front.starts[0]) : int(front.starts[-1])]
    power = spectrum.real**2 + spectrum.imag**2
    full_scale = 2.0**30 * front.size * front.window * 3 / 32  # power of a sine within one triangle
    share = power @ jnp.asarray(_triangles(front) / full_scale, jnp.float32)
    level = jnp.log2(jnp.maximum(share, 1e-20)) * (4096 / SPAN) + 1  # the floor is 0, a span above it 1
    level = jnp.clip(level, 0.0, 1.0)
    if not front.mfccs:
        return jnp.floor(255 * level + 0.5)
    sums = level @ jnp.asarray(front.dct.T * (SPAN / 2**DCT_SHIFT), jnp.float32)
    centre = jnp.where(jnp.arange(front.mfccs) > 0, 128.5, 0.5)
    return jnp.clip(jnp.floor(sums + centre), 0.0, 255.0)


def _triangles(front: FrontEnd) -> np.ndarray:
    """Weights of the spectral bins from starts[0] on, float64 [K, B]."""
    segment = np.repeat(np.arange(front.mel_bins + 1), np.diff(front.starts))
    bins, rise = np.arange(len(segment)), front.rises / 4096
    weights = np.zeros((len(segment), front.mel_bins + 2))  # the first and the last column: of no triangle
    weights[bins, segment + 1] = rise
    weights[bins, segment] = 1 - rise
    return weights[:, 1:-1]


def _decimated(sound: jax.Array, factor: int) -> jax.Array:
    """decimate.py's rule, in products of blocks of samples with a band of taps."""
    if factor == 1:
        return sound
    taps, samples = low_pass(factor), sound.shape[1]
    band = np.zeros(((_BLOCK - 1) * factor + len(taps), _BLOCK), np.float32)
    for output in range(_BLOCK):
        band[output * factor : output * factor + len(taps), output] = taps / 32768
    blocks = -(-(samples // factor) // _BLOCK)
    places = _BLOCK * factor * np.arange(blocks)[:, None] + np.arange(len(band))
    before = len(taps) - factor
    padded = jnp.pad(sound, ((0, 0), (before, max(0, int(places[-1, -1]) + 1 - before - samples))))
    out = (padded[:, places] @ jnp.asarray(band)).reshape(sound.shape[0], -1)[:, : samples // factor]
    return jnp.clip(jnp.floor(out + 0.5), -32768.0, 32767.0)
