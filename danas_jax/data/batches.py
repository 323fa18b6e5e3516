"""What a training step and a calibration read: one batch's views and targets, and the rows of calibration images."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import jax
import numpy as np
import optax

from danas_jax.data.mixing import mixed, view_keys
from danas_jax.views.base import Augmentation


class Recipe(Augmentation, Protocol):
    """The fields of TrainSettings and RetrainSettings that a batch depends on."""

    @property
    def label_smoothing(self) -> float: ...
    @property
    def mixup(self) -> float: ...
    @property
    def cutmix(self) -> float: ...


def training_batch(
    raw: jax.Array,
    labels: jax.Array,
    seed: int | jax.Array,
    rows: jax.Array,
    places: jax.Array,
    view: int | jax.Array,
    codes_of: Callable[[jax.Array, jax.Array], jax.Array],
    num_classes: int,
    settings: Recipe,
) -> tuple[jax.Array, jax.Array]:
    """Codes [B, h, w, C] float32 in 0..255 and targets [B, K] of the examples at `rows` [B].

    `labels` [N] are of all examples, `raw` those that a feed has on the device, the batch's at `places` [B].
    `codes_of(keys [B], raw [B, ...])` makes the training view. A function of (seed, rows, view number); traced.
    """
    keys = view_keys(seed, rows, view)
    targets = optax.smooth_labels(jax.nn.one_hot(labels[rows], num_classes), settings.label_smoothing)
    return mixed(keys, codes_of(keys, raw[places]), targets, settings.mixup, settings.cutmix)


# Streams of random numbers: nothing is drawn twice from one of them.
RETRAIN_CALIBRATION, EXPORT_CALIBRATION, SEARCH_CALIBRATION, INT8_SLICE = 6, 7, 8, 9


def calibration_rows(seed: int, stream: int, images: int, count: int) -> np.ndarray:
    """`count` of `images` rows (all, where there are fewer) drawn without replacement, ascending, int64."""
    return np.sort(np.random.default_rng([seed, stream]).permutation(images)[:count])
