"""The teacher of what is retrained, say the supernet's largest subnet: it sees the same crop in its own shape."""

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
from danas_jax.supernet.distil import outcomes
from danas_jax.supernet.evaluate import batches, calibration_batches, network_program
from danas_jax.supernet.network import Network, normalise_pixels
from danas_jax.views.base import NetworkInput

_ASKED = 1024  # whole examples at a time


@dataclass(frozen=True)
class Teacher:
    """A trained network that reads `source`; `variables` {"params", "batch_stats"}."""

    layers: tuple[LayerSpec, ...]
    source: NetworkInput
    variables: dict

    def probabilities(self, variables: dict, views: jax.Array, multi_label: bool = False) -> jax.Array:
        """Of the classes, [B, K] (`multi_label`: of having each or not, [B, K, 2]); traced.

        Views are [B, h, w, C] float32 in 0..255, `variables` are its own.
        """
        logits = jnp.asarray(Network(self.layers).apply(variables, normalise_pixels(views)))
        return jax.nn.softmax(outcomes(logits, multi_label))


def whole_answers(teacher: Teacher, raw: np.ndarray) -> np.ndarray:
    """The teacher's probabilities of whole examples, as they are deployed, float32 [N, K] of raw ones [N, ...]."""
    program, found = network_program(teacher.layers)[1], []
    for start in range(0, len(raw), _ASKED):
        codes = teacher.source.deployed(raw[start : start + _ASKED])
        pieces = batches(codes, np.zeros(len(codes), np.int32))[0]
        logits = program(teacher.variables["params"], teacher.variables["batch_stats"], pieces)
        found.append(np.asarray(jax.nn.softmax(logits)).reshape(-1, logits.shape[-1])[: len(codes)])
    return np.concatenate(found)


def largest_subnet(
    space: SearchSpace,
    supernet: dict,
    upper: np.ndarray,
    num_classes: int,
    training: Split,
    calibration_images: int,
    seed: int,
) -> Teacher:
    """The teacher out of the `supernet`'s params: the subnet of the `upper` bounds that were trained.

    Nothing is taken away from what it sees. Its BN statistics are those of `calibration_images` pictures of `training`.
    """
    layers = elastic.envelope_layers(space, tuple(int(gene) for gene in upper), num_classes)
    params = elastic.slice_variables(layers, supernet)
    rows = calibration_rows(seed, RETRAIN_CALIBRATION, len(training), calibration_images)
    source = space.costliest_input(upper[list(space.shape_axes)])
    codes = source.codes(training.raw[rows])
    stats = network_program(layers)[0](params, jnp.asarray(calibration_batches(codes, len(codes))))
    return Teacher(layers, source, {"params": params, "batch_stats": stats})
