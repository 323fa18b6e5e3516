"""A score of a network that is not trained at all, for comparison: NASWOT (Mellor et al. 2021, arXiv 2006.04647)."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np

from danas_jax.layers import LayerSpec
from danas_jax.supernet.network import init_variables, normalise_pixels, run_layers, weighted


def naswot(layers: tuple[LayerSpec, ...], images: np.ndarray, seed: int) -> float:
    """Log-determinant of how alike a fresh network's activations are on `images` uint8 [N, h, w, c]; no gradient.

    Two images are alike by the number of units that are on for both or off for both. Statistics are the batch's.
    """
    params, _ = init_variables(layers, seed)
    kernel = np.asarray(_alike(layers)(params, images), np.float64)
    sign, value = np.linalg.slogdet(kernel)
    return float(value) if sign > 0 else float("-inf")


@cache
def _alike(layers: tuple[LayerSpec, ...]) -> Callable:
    """jitted (params, images [N, h, w, c]) -> float32 [N, N], how many units are on for both or off for both."""

    @jax.jit
    def program(params, images):
        count = len(images)
        alike = jnp.zeros((count, count))

        def apply(layer: LayerSpec, x: jax.Array) -> jax.Array:
            nonlocal alike
            y, _ = weighted(layer, params[layer.name], x, {}, None)
            if layer.activation != "none":
                on = (y > 0).reshape(count, -1).astype(jnp.float32)
                alike = alike + on @ on.T + (1 - on) @ (1 - on).T
            return y

        run_layers(layers, normalise_pixels(images), apply)
        return alike

    return program
