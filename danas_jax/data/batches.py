"""What a training step and a calibration read: one batch's views and targets, and the rows of calibration images."""

from __future__ import annotations

from typing import Protocol

import jax
import numpy as np
import optax

from danas_jax.views.augment import mixed, training_views, view_keys


class Augmentation(Protocol):
    """The fields of TrainSettings and RetrainSettings that a batch depends on."""

    @property
    def label_smoothing(self) -> float: ...
    @property
    def crop_area_min(self) -> float: ...
    @property
    def colour_jitter(self) -> float: ...
    @property
    def saturation_jitter(self) -> float: ...
    @property
    def mixup(self) -> float: ...
    @property
    def cutmix(self) -> float: ...


def training_batch(
    images: jax.Array,
    labels: jax.Array,
    seed: int | jax.Array,
    rows: jax.Array,
    view: int | jax.Array,
    resolution_px: int,
    num_classes: int,
    settings: Augmentation,
) -> tuple[jax.Array, jax.Array]:
    """Views [B, R, R, 3] float32 in 0..255 and targets [B, K] of the images [N, S, S, 3] uint8 at `rows` [B].

    A function of (seed, rows, view); traced.
    """
    keys = view_keys(seed, rows, view)
    views = training_views(
        keys, images[rows], resolution_px, settings.crop_area_min, settings.colour_jitter, settings.saturation_jitter
    )
    targets = optax.smooth_labels(jax.nn.one_hot(labels[rows], num_classes), settings.label_smoothing)
    return mixed(keys, views, targets, settings.mixup, settings.cutmix)


# Streams of random numbers: nothing is drawn twice from one of them.
RETRAIN_CALIBRATION, EXPORT_CALIBRATION, SEARCH_CALIBRATION, INT8_SLICE = 6, 7, 8, 9


def calibration_rows(seed: int, stream: int, images: int, count: int) -> np.ndarray:
    """`count` of `images` rows (all, where there are fewer) drawn without replacement, ascending, int64."""
    return np.sort(np.random.default_rng([seed, stream]).permutation(images)[:count])
