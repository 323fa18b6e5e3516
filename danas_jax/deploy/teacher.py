"""The supernet's largest subnet as the teacher of what is retrained: it sees the same crop at its own resolution."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from danas_jax.data.batches import RETRAIN_CALIBRATION, calibration_rows
from danas_jax.data.dataset import Split
from danas_jax.layers import LayerSpec
from danas_jax.space import SearchSpace
from danas_jax.supernet import elastic
from danas_jax.supernet.evaluate import calibration_batches, network_program
from danas_jax.supernet.network import Network, normalise_pixels
from danas_jax.views.area import deployed_view


@dataclass(frozen=True)
class Teacher:
    """A trained network that reads colour at `resolution_px`; `variables` {"params", "batch_stats"}."""

    layers: tuple[LayerSpec, ...]
    variables: dict

    @property
    def resolution_px(self) -> int:
        """Side of the views that it reads."""
        return self.layers[0].in_shape[0]

    def probabilities(self, variables: dict, views: jax.Array) -> jax.Array:
        """Of the classes, [B, K], for views [B, R, R, 3] float32 in 0..255; `variables` are its own; traced."""
        return jax.nn.softmax(jnp.asarray(Network(self.layers).apply(variables, normalise_pixels(views))))


def largest_subnet(
    space: SearchSpace,
    supernet: dict,
    upper: np.ndarray,
    num_classes: int,
    training: Split,
    calibration_images: int,
    seed: int,
) -> Teacher:
    """The teacher out of the `supernet`'s params: the subnet of the `upper` bounds that were trained, in colour.

    Its BN statistics are those of `calibration_images` pictures of `training`.
    """
    layers = elastic.envelope_layers(space, tuple(int(gene) for gene in upper), num_classes)
    params = elastic.slice_variables(layers, supernet)
    rows = calibration_rows(seed, RETRAIN_CALIBRATION, len(training), calibration_images)
    views = deployed_view(training.images[rows], layers[0].in_shape[0], "rgb")
    stats = network_program(layers)[0](params, jnp.asarray(calibration_batches(views, len(views))))
    return Teacher(layers, {"params": params, "batch_stats": stats})
