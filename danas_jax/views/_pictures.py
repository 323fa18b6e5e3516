"""Training views of pictures on the device: random resized crop, flip, brightness, contrast, saturation."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import random

from danas_jax.views.frame import Size, pair
from danas_jax.views.resize import step_of

_ASPECT = 4 / 3  # crops are at most this much wider or higher than the whole picture is
_SATURATION = 1  # what is folded into a key for the draws that only some recipes make


def grey(pixels: jax.Array) -> jax.Array:
    """Float pixels [..., 3] in 0..255 -> luminance [..., 1] by the arithmetic of `views.grey`, pixels rounded first."""
    whole = jnp.round(pixels)
    return jnp.floor((whole @ jnp.array([77.0, 150.0, 29.0]) + 128.0) / 256.0)[..., None]


def coarser(codes: jax.Array, bit_depth: int) -> jax.Array:
    """Float codes -> `views.resize.coarser` of them, rounded first; 8 bits change nothing."""
    step = step_of(bit_depth)
    return jnp.floor(jnp.round(codes) / step) * step + step // 2 if step > 1 else codes


def training_views(
    keys: jax.Array,
    images: jax.Array,
    size: Size,
    crop_area_min: float,
    jitter: float,
    saturation_jitter: float = 0.0,
    resize: str = "area",
) -> jax.Array:
    """Augmented views of images [B, H, W, 3] uint8 -> float32 [B, h, w, 3] in 0..255.

    The same keys at another resolution show the same crop in the same light. Bilinear needs no view of its own: without
    the filter against aliasing, what crops area-like is the deployed rule at every scale.
    """

    shape = (*pair(size), 3)

    def one(key: jax.Array, image: jax.Array) -> jax.Array:
        whole = jnp.array(image.shape[:2], jnp.float32)
        area_key, aspect_key, place_key, flip_key, tone_key = random.split(key, 5)
        area = random.uniform(area_key, minval=crop_area_min, maxval=1.0)
        aspect = jnp.exp(random.uniform(aspect_key, minval=-1.0, maxval=1.0) * jnp.log(_ASPECT))
        sides = jnp.minimum(jnp.sqrt(area) * jnp.stack([jnp.sqrt(aspect), 1 / jnp.sqrt(aspect)]), 1.0) * whole
        corner = random.uniform(place_key, (2,)) * (whole - sides)
        scale = jnp.array(shape[:2], jnp.float32) / sides
        antialias = resize == "area"
        view = jax.image.scale_and_translate(
            image.astype(jnp.float32), shape, (0, 1), scale, -corner * scale, "linear", antialias
        )
        view = jnp.where(random.bernoulli(flip_key), view[:, ::-1], view)
        contrast, brightness = 1 + jitter * random.uniform(tone_key, (2,), minval=-1.0, maxval=1.0)
        view = jnp.clip((view - 128.0) * contrast + 128.0 * brightness, 0.0, 255.0)
        if saturation_jitter:
            saturation = 1 + saturation_jitter * random.uniform(
                random.fold_in(key, _SATURATION), minval=-1.0, maxval=1.0
            )
            neutral = grey(view)
            view = jnp.clip(neutral + saturation * (view - neutral), 0.0, 255.0)
        return view

    return jax.vmap(one)(keys, images)
