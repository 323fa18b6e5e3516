"""Training views on the device: random resized crop, flip, brightness, contrast, saturation; mixing of pairs.

A view is a pure function of (seed, image id, view number), so a resumed run sees the very same pixels.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax, random

_ASPECT = 4 / 3  # crops are at most this much wider than high, or higher than wide
_SATURATION, _MIXING = 1, 2  # what is folded into a key for the draws that only some recipes make


def view_keys(seed: int | jax.Array, image_ids: jax.Array, view: int | jax.Array) -> jax.Array:
    """One random key per image [B]."""
    base = random.fold_in(random.key(seed), view)
    return jax.vmap(lambda image_id: random.fold_in(base, image_id))(image_ids)


def grey(pixels: jax.Array) -> jax.Array:
    """Float pixels [..., 3] in 0..255 -> luminance [..., 1] by the arithmetic of `views.grey`, pixels rounded first."""
    whole = jnp.round(pixels)
    return jnp.floor((whole @ jnp.array([77.0, 150.0, 29.0]) + 128.0) / 256.0)[..., None]


def training_views(
    keys: jax.Array,
    images: jax.Array,
    resolution_px: int,
    crop_area_min: float,
    jitter: float,
    saturation_jitter: float = 0.0,
) -> jax.Array:
    """Augmented views of images [B, S, S, 3] uint8 -> float32 [B, R, R, 3] in 0..255.

    The same keys at another resolution show the same crop in the same light.
    """

    def one(key: jax.Array, image: jax.Array) -> jax.Array:
        size = image.shape[0]
        area_key, aspect_key, place_key, flip_key, tone_key = random.split(key, 5)
        area = random.uniform(area_key, minval=crop_area_min, maxval=1.0)
        aspect = jnp.exp(random.uniform(aspect_key, minval=-1.0, maxval=1.0) * jnp.log(_ASPECT))
        sides = jnp.minimum(jnp.sqrt(area) * jnp.stack([jnp.sqrt(aspect), 1 / jnp.sqrt(aspect)]), 1.0) * size
        corner = random.uniform(place_key, (2,)) * (size - sides)
        scale = resolution_px / sides
        view = jax.image.scale_and_translate(
            image.astype(jnp.float32), (resolution_px, resolution_px, 3), (0, 1), scale, -corner * scale, "linear"
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


def mixed(
    keys: jax.Array, views: jax.Array, targets: jax.Array, mixup: float, cutmix: float
) -> tuple[jax.Array, jax.Array]:
    """Views [B, R, R, 3] and targets [B, K] of a batch mixed in pairs; both parameters 0: as they came.

    Mixup (Zhang et al. 2018) blends two pictures, CutMix (Yun et al. 2019) pastes a box of one into the other; the
    targets are blended by the share of each picture. A parameter is that of the symmetric Beta distribution of the
    share, drawn once per batch, as is which of the two where both are on. A function of the batch's `keys` [B].
    """
    if not mixup and not cutmix:
        return views, targets
    # The first image's key stands for the batch: it differs between batches of an epoch and between epochs.
    choose_key, share_key, partner_key, place_key = random.split(random.fold_in(keys[0], _MIXING), 4)
    partner = random.permutation(partner_key, views.shape[0])
    other = views[partner]

    def blend(share):
        return share * views + (1 - share) * other, share

    def paste(share):
        size = views.shape[1]
        side = jnp.sqrt(1 - share) * size
        # The box keeps its area, so it is placed inside the picture (the paper cuts it off at the border).
        corner = random.uniform(place_key, (2,)) * (size - side)
        centres = jnp.arange(size, dtype=jnp.float32) + 0.5
        inside = (centres >= corner[:, None]) & (centres < corner[:, None] + side)  # rows and columns [2, R]
        box = inside[0][:, None] & inside[1]
        return jnp.where(box[:, :, None], other, views), 1 - box.mean()

    if mixup and cutmix:
        use_mixup = random.bernoulli(choose_key)
        parameter = jnp.where(use_mixup, mixup, cutmix)
        out, share = lax.cond(use_mixup, blend, paste, random.beta(share_key, parameter, parameter))
    else:
        out, share = (blend if mixup else paste)(random.beta(share_key, mixup or cutmix, mixup or cutmix))
    return out, share * targets + (1 - share) * targets[partner]
