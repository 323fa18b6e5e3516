"""Keys of training views, and the mixing of pairs in a batch.

A view is a pure function of (seed, example's id, view number), so a resumed run sees the very same codes.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax, random

_MIXING = 2  # what is folded into a key for the draws of mixing


def view_keys(seed: int | jax.Array, ids: jax.Array, view: int | jax.Array) -> jax.Array:
    """One random key per example [B]; `view` is that of all, or one for each [B]."""
    start = random.key(seed)
    views = jnp.broadcast_to(jnp.asarray(view), ids.shape)
    return jax.vmap(lambda of, one: random.fold_in(random.fold_in(start, of), one))(views, ids)


def mixed(
    keys: jax.Array, views: jax.Array, targets: jax.Array, mixup: float, cutmix: float
) -> tuple[jax.Array, jax.Array]:
    """Views [B, h, w, C] and targets [B, K] of a batch mixed in pairs; both parameters 0: as they came.

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
        size = jnp.array(views.shape[1:3], jnp.float32)
        side = jnp.sqrt(1 - share) * size
        # The box keeps its area, so it is placed inside the picture (the paper cuts it off at the border).
        corner = random.uniform(place_key, (2,)) * (size - side)

        def inside(axis):
            centres = jnp.arange(views.shape[1 + axis], dtype=jnp.float32) + 0.5
            return (centres >= corner[axis]) & (centres < corner[axis] + side[axis])

        box = inside(0)[:, None] & inside(1)
        return jnp.where(box[:, :, None], other, views), 1 - box.mean()

    if mixup and cutmix:
        use_mixup = random.bernoulli(choose_key)
        parameter = jnp.where(use_mixup, mixup, cutmix)
        out, share = lax.cond(use_mixup, blend, paste, random.beta(share_key, parameter, parameter))
    else:
        out, share = (blend if mixup else paste)(random.beta(share_key, mixup or cutmix, mixup or cutmix))
    return out, share * targets + (1 - share) * targets[partner]
