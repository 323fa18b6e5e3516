"""Procedural scenes with known truth: does a figure of the looked-for kind stand in the picture?

Every scene holds one or two person-like figures on clutter, among other shapes. "present": one of them is the
looked-for figure; "absent": all of them are look-alikes. A share 1 - colour_cue of the scenes is decided by the
*detail* alone, the direction of fine stripes on the body (upright: looked for, level: look-alike; one light-dark pair
is `detail_px` wide; their means are equal), and hues tell nothing. A share colour_cue is decided by *hue* alone at
exactly equal grey (views.grey), and all bodies wear the same plaid. So the best possible accuracy in mono is
1 - colour_cue / 2, and a picture too small for the detail (fewer than two pixels per pair) hides the rest.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

SCENE_PX = 128  # side of a scene [px]
CLASSES = ("absent", "present")
SPLITS = ("train", "validation", "test")
DETAIL_RANGE_PX = (2, 32)  # below 2 no pixel grid shows a light-dark pair, above 32 no body holds one
_BANK_PX = 256  # side of the textures that scenes cut their patches from [px]
_CHROMA_MAX = 40  # largest |R - Y| and |B - Y|; with Y in 40..215 every channel stays inside 0..255


@lru_cache(maxsize=16)
def _noise_bank(shortest_px: float, longest_px: float, slope: float) -> np.ndarray:
    """Isotropic noise between two periods [px], amplitude ~ f^-slope, zero mean, std 1; float32 [8, 256, 256]."""
    rng = np.random.default_rng(20240501)
    frequency = np.hypot(np.fft.fftfreq(_BANK_PX)[:, None], np.fft.rfftfreq(_BANK_PX)[None])
    kept = (frequency >= 1 / longest_px) & (frequency <= 1 / shortest_px)
    gain = np.where(kept, np.maximum(frequency, 1e-9) ** -slope, 0)
    planes = np.fft.irfft2(np.fft.rfft2(rng.normal(size=(8, _BANK_PX, _BANK_PX))) * gain)
    return (planes / planes.std((1, 2), keepdims=True)).astype(np.float32)


@lru_cache(maxsize=1)
def _grain_bank() -> np.ndarray:
    """White sensor noise, std 1; float32 [256, 256]."""
    return np.random.default_rng(20240502).normal(size=(_BANK_PX, _BANK_PX)).astype(np.float32)


@lru_cache(maxsize=8)
def _stripe_bank(detail_px: int) -> np.ndarray:
    """Upright stripes of period `detail_px` [px], phase redrawn patch by patch, values -1..1; float32 [4, 256, 256].

    The patches keep downsampling from turning fine stripes into coherent coarse ones.
    """
    rng = np.random.default_rng([20240503, detail_px])
    patch = 3 * detail_px if detail_px <= 8 else _BANK_PX  # wide stripes: a body holds too few to break them
    count = -(-_BANK_PX // patch)
    phase = rng.integers(0, detail_px, (4, count, count)).repeat(patch, 1).repeat(patch, 2)[:, :_BANK_PX, :_BANK_PX]
    return np.cos(2 * np.pi * (np.arange(_BANK_PX) + phase) / detail_px).astype(np.float32)


def _cut(bank: np.ndarray, rng: np.random.Generator, height: int, width: int, grid: int = 1) -> np.ndarray:
    """A random window [height, width], at multiples of `grid`, of a random plane of `bank` [K, 256, 256]."""
    k, y, x = rng.integers(0, (len(bank), _BANK_PX - height + 1, _BANK_PX - width + 1))
    y, x = y - y % grid, x - x % grid
    return bank[k, y : y + height, x : x + width]


def _body(height: int) -> tuple[np.ndarray, np.ndarray]:
    """(head, body) masks of a standing figure, bool [height, width], width = 0.55 height."""
    width = int(0.55 * height)
    y = (np.arange(height, dtype=np.float32)[:, None] + 0.5) / height
    x = np.abs(np.arange(width, dtype=np.float32)[None] + 0.5 - width / 2) / height
    head = (y - 0.12) ** 2 + x**2 < 0.12**2
    torso = (y > 0.25) & (y < 0.64) & (x < 0.27 - 0.05 * (y > 0.5))
    legs = (y >= 0.64) & (y < 1.0) & (x > 0.035) & (x < 0.215)
    return head, torso | legs


def _plaid(bank: np.ndarray, rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Both stripe directions at once: as strong as either and telling nothing; [height, width]."""
    return (_cut(bank, rng, height, width) + _cut(bank, rng, width, height).T) * np.float32(0.7071)


def scene(
    seed: int, split: str, index: int, detail_px: int, colour_cue: float, label: int | None = None
) -> tuple[np.ndarray, int]:
    """Scene number `index` of a split: (uint8 [128, 128, 3], label 0 absent | 1 present).

    Even numbers are absent, odd ones present; `label` overrules that and changes nothing but the deciding cue.
    """
    label = index % 2 if label is None else label
    rng = np.random.default_rng([seed, SPLITS.index(split), index])
    by_colour = rng.random() < colour_cue
    clouds, stripes = _noise_bank(5, 64, 1), _stripe_bank(detail_px)
    # Stripes one pixel wide lie, like the bodies that wear them, on pairs of pixels: averaging pairs leaves nothing.
    grid = 2 if detail_px == 2 else 1
    wear = _noise_bank(1.6 * detail_px, 4.5 * detail_px, 0)  # where stripes too fine for the pixels would alias to

    level, contrast = rng.uniform(90, 165), rng.uniform(8, 20)
    grey = level + contrast * _cut(clouds, rng, SCENE_PX, SCENE_PX)
    red = rng.uniform(-12, 12) + 8 * _cut(clouds, rng, SCENE_PX, SCENE_PX)
    blue = rng.uniform(-12, 12) + 8 * _cut(clouds, rng, SCENE_PX, SCENE_PX)

    for _ in range(rng.integers(2, 6)):  # other shapes, some of them in plaid
        height, width = rng.integers(14, 49, 2)
        y, x = rng.integers(0, (SCENE_PX - height + 1, SCENE_PX - width + 1))
        window = (slice(y, y + height), slice(x, x + width))
        mask = np.ones((height, width), bool)
        if rng.random() < 0.5:
            mask = np.hypot(*np.ogrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]) < 1
        strength = 25 * float(rng.random() < 0.5) * (min(height, width) >= 2 * detail_px)  # a narrow plaid is stripes
        paint = rng.uniform(60, 195) + strength * _plaid(stripes, rng, height, width)
        grey[window] = np.where(mask, paint, grey[window])
        red[window] = np.where(mask, rng.uniform(-18, 18), red[window])
        blue[window] = np.where(mask, rng.uniform(-38, 38), blue[window])

    figures = 1 + int(rng.random() < 0.35)
    looked_for = rng.integers(figures) if label else -1
    if not label:
        rng.integers(figures)  # both classes draw the same numbers
    for number in range(figures):
        height = int(rng.integers(64, 101)) if figures == 1 else int(rng.integers(60, 97))
        height -= height % grid
        head, body = (m[::grid, ::grid].repeat(grid, 0).repeat(grid, 1) for m in _body(height))
        width = body.shape[1]
        room = SCENE_PX if figures == 1 else SCENE_PX // 2
        y = int(rng.integers(0, SCENE_PX - height + 1))
        x = number * room + int(rng.integers(0, room - width + 1))
        y, x = y - y % grid, x - x % grid
        window = (slice(y, y + height), slice(x, x + width))
        upright = _cut(stripes, rng, height, width, grid)
        level_stripes = _cut(stripes, rng, width, height, grid).T
        target = number == looked_for
        pattern = upright if target else level_stripes
        if by_colour:
            pattern = (upright + level_stripes) * np.float32(0.7071)
        paint = (
            rng.uniform(100, 155)
            + rng.uniform(28, 36) * pattern
            + min(18, 144 / detail_px) * _cut(wear, rng, height, width)
        )
        hue_red, hue_blue = (
            (rng.uniform(26, 38), rng.uniform(-10, 10)) if by_colour else rng.uniform((-10, -38), (10, 38))
        )
        hue_red = -hue_red if by_colour and not target else hue_red
        for mask, value in ((body, paint), (head, rng.uniform(60, 195))):
            grey[window] = np.where(mask, value, grey[window])
        red[window] = np.where(body, hue_red, red[window])
        blue[window] = np.where(body, hue_blue, blue[window])

    grey = grey + rng.uniform(2, 5) * _cut(_grain_bank()[None], rng, SCENE_PX, SCENE_PX)
    return _paint(grey, red, blue), label


def _paint(grey: np.ndarray, red: np.ndarray, blue: np.ndarray) -> np.ndarray:
    """RGB whose views.grey is exactly the rounded, clipped `grey`; red = R - Y and blue = B - Y; uint8 [H, W, 3].

    Green settles the sum: one step of G moves 77 R + 150 G + 29 B by 150 < 256, so a fitting integer always exists.
    """
    y = np.rint(grey).clip(40, 215).astype(np.int32)
    r = y + np.rint(red).clip(-_CHROMA_MAX, _CHROMA_MAX).astype(np.int32)
    b = y + np.rint(blue).clip(-_CHROMA_MAX, _CHROMA_MAX).astype(np.int32)
    g = (256 * y - 77 * r - 29 * b + 75) // 150
    return np.stack([r, g, b], -1).astype(np.uint8)
