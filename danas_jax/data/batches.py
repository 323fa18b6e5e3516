"""What a training step and a calibration read: one batch's views and targets, and the rows of calibration images."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import jax
import jax.numpy as jnp
import numpy as np
import optax

from danas_jax.data.balance import balanced_weights
from danas_jax.data.mixing import mixed, view_keys
from danas_jax.views.base import Augmentation

_RULED_OUT = 1e-6  # least probability: a logarithm of 0 has no temperature


class Recipe(Augmentation, Protocol):
    """The fields of TrainSettings and RetrainSettings that a batch depends on."""

    @property
    def label_smoothing(self) -> float: ...
    @property
    def mixup(self) -> float: ...
    @property
    def cutmix(self) -> float: ...
    @property
    def class_weights(self) -> str: ...
    @property
    def sampling(self) -> str: ...
    @property
    def teacher_share(self) -> float: ...
    @property
    def teacher_temperature(self) -> float: ...


def training_batch(
    raw: jax.Array,
    labels: jax.Array,
    seed: int | jax.Array,
    rows: jax.Array,
    places: jax.Array | None,
    view: int | jax.Array,
    codes_of: Callable[[jax.Array, jax.Array], jax.Array],
    num_classes: int,
    settings: Recipe,
    class_weights: np.ndarray | None = None,
    answers: jax.Array | None = None,
) -> tuple[jax.Array, jax.Array]:
    """Codes [B, h, w, C] float32 in 0..255 and smoothed `label_targets` of the examples at `rows` [B].

    `labels` [N] are of all examples, `raw` those that a feed has on the device, the batch's at `places` [B]
    (None: they are the batch, in its order).
    `codes_of(keys [B], raw [B, ...])` makes the training view. A function of (seed, rows, `view_number`); traced.

    With `class_weights` [K] an example's targets sum to the weight of its class: the cross-entropy is linear in its
    targets, so that weighs its loss, in a mixed pair each example's share. A teacher's answers are not weighted (it has
    learned from weighted labels, and tells all classes); as the weights' mean over the split is 1, a blend of labels
    and answers keeps its shares. A teacher's `answers` [B, K] take their share of the targets before pairs are mixed;
    answers of zeros are none. An example without a label (-1) has the answers alone, and where there are none targets
    of 0, which teach nothing: then the others' are multiplied, so that the loss is the mean over those with a label.
    """
    # A balanced epoch may show an example twice, in two views: there a place in the training has a key, not an example.
    # Recorded views, one of each example, are the example's own.
    recorded = jnp.ndim(view) == 1
    named = jnp.arange(len(rows)) if settings.sampling == "balanced" and not recorded else rows
    keys = view_keys(seed, named, view)
    targets = optax.smooth_labels(label_targets(labels[rows], num_classes), settings.label_smoothing)
    if class_weights is not None:
        targets = targets * jnp.asarray(class_weights)[labels[rows], None]
    if answers is not None:
        soft = tempered(answers, settings.teacher_temperature)
        share = jnp.where(labels[rows] < 0, 1.0, settings.teacher_share * (answers.sum(axis=1) > 0))[:, None]
        targets = (1 - share) * targets + share * soft
    elif labels.ndim == 1:
        known = labels[rows] >= 0
        targets = jnp.where(known[:, None], targets * (len(rows) / jnp.maximum(known.sum(), 1)), 0)
    return mixed(keys, codes_of(keys, raw if places is None else raw[places]), targets, settings.mixup, settings.cutmix)


def label_targets(labels: jax.Array, num_classes: int) -> jax.Array:
    """Probabilities that the loss takes, float32: of the classes [B, K], or with labels [B, K] of having each or not.

    Those are [B, K, 2]: each class is a Bernoulli, the two-class case of the same cross-entropy.
    """
    if labels.ndim == 1:
        return jax.nn.one_hot(labels, num_classes)
    has = labels.astype(jnp.float32)
    return jnp.stack([has, 1 - has], axis=-1)


def view_number(settings: Recipe, epoch: int, within: int, steps_per_epoch: int) -> int:
    """What tells the views of a step from those of others: its epoch, or where sampling repeats examples its number."""
    return epoch * steps_per_epoch + within if settings.sampling == "balanced" else epoch


def class_weights_of(labels: np.ndarray, num_classes: int, settings: Recipe) -> np.ndarray | None:
    """What `settings.class_weights` make of the training split's `labels` [N]: float32 [K], None = unweighted.

    Examples without a label (-1) do not count.
    """
    return None if settings.class_weights == "none" else balanced_weights(labels[labels >= 0], num_classes)


def tempered(probabilities: jax.Array, temperature: float) -> jax.Array:
    """Probabilities [B, K] at a temperature: the softmax of their logits divided by it."""
    return jax.nn.softmax(jnp.log(jnp.maximum(probabilities, _RULED_OUT)) / temperature)


# Streams of random numbers: nothing is drawn twice from one of them.
RETRAIN_CALIBRATION, EXPORT_CALIBRATION, SEARCH_CALIBRATION, INT8_SLICE = 6, 7, 8, 9


def calibration_rows(seed: int, stream: int, images: int, count: int) -> np.ndarray:
    """`count` of `images` rows (all, where there are fewer) drawn without replacement, ascending, int64."""
    return np.sort(np.random.default_rng([seed, stream]).permutation(images)[:count])
