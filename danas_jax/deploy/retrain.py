"""Retraining of one stand-alone network: finalists (from the supernet's weights) and baselines, by the same recipe.

Early choice on validation only: of all validated epochs the best is kept, with the weights' exponential average.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from danas_jax.config import RetrainSettings
from danas_jax.data.augment import grey, training_views, view_keys
from danas_jax.data.dataset import Split
from danas_jax.data.views import deployed_view
from danas_jax.layers import LayerSpec
from danas_jax.space import DataConfig
from danas_jax.supernet.checkpoint import Checkpoints
from danas_jax.supernet.evaluate import batches, calibration_batches, network_program
from danas_jax.supernet.network import Network, normalise_pixels
from danas_jax.supernet.optimiser import make_optimiser


@dataclass(frozen=True)
class Retrained:
    """A trained network: params and BN statistics on the host, accuracy on validation, one record per validation."""

    params: dict
    stats: dict
    validation_accuracy: float
    history: list[dict]


def retrain(
    layers: tuple[LayerSpec, ...],
    data: DataConfig,
    start: dict,
    settings: RetrainSettings,
    training: Split,
    validation: Split,
    seed: int,
    checkpoints: Checkpoints,
    log: Callable[[dict], None] = lambda record: None,
) -> Retrained:
    """Train `layers` from the params `start` on the native images of `training`; resumes from `checkpoints`.

    `log` gets {"epoch", "epochs", "loss", "validation_accuracy" when measured, "images_per_s", "left_s"}.
    """
    steps_per_epoch = max(1, len(training) // settings.batch_size)
    steps = steps_per_epoch * settings.epochs
    optimiser = make_optimiser(settings, steps)
    classes = layers[-1].out_shape[2]
    images, labels = jnp.asarray(training.images), jnp.asarray(training.labels)
    step_program = _step_program(layers, data, settings, optimiser, classes)
    validate = _validator(layers, data, settings, training, validation, seed)
    state: dict[str, Any] = {
        "params": start,
        "average": start,
        "best": start,
        "best_accuracy": np.asarray(-1.0),
        "optimiser": optimiser.init(start),
        "epoch": np.asarray(0),
        "history": np.full((settings.epochs, 2), np.nan),  # loss, validation accuracy of each epoch
    }
    state = checkpoints.restore(state) or state
    for epoch in range(int(state["epoch"]), settings.epochs):
        started = time.monotonic()
        order = np.random.default_rng([seed, 5, epoch]).permutation(len(training))
        params, average, optimiser_state = state["params"], state["average"], state["optimiser"]
        losses = []
        for i in range(steps_per_epoch):
            rows = np.resize(order[i * settings.batch_size : (i + 1) * settings.batch_size], settings.batch_size)
            count = jnp.asarray(epoch * steps_per_epoch + i, jnp.float32)
            params, average, optimiser_state, loss = step_program(
                params, average, optimiser_state, images, labels, seed, rows, epoch, count
            )
            losses.append(loss)
        history = np.array(state["history"])
        history[epoch, 0] = float(np.mean([float(loss) for loss in losses]))
        state |= {"params": params, "average": average, "optimiser": optimiser_state, "epoch": np.asarray(epoch + 1)}
        last = epoch + 1 == settings.epochs
        if last or (epoch + 1) % settings.validate_every_epochs == 0:
            history[epoch, 1] = validate(average)[1]
            if history[epoch, 1] > state["best_accuracy"]:
                state |= {"best": average, "best_accuracy": np.asarray(history[epoch, 1])}
        state["history"] = history
        speed = time.monotonic() - started
        record = {
            "epoch": epoch + 1,
            "epochs": settings.epochs,
            "loss": float(history[epoch, 0]),
            "images_per_s": steps_per_epoch * settings.batch_size / speed,
            "left_s": speed * (settings.epochs - epoch - 1),
        }
        if not np.isnan(history[epoch, 1]):
            record["validation_accuracy"] = float(history[epoch, 1])
        log(record)
        checkpoints.save(epoch + 1, state)
    best = jax.device_get(state["best"])
    stats, accuracy = validate(best)
    rows = [
        {"epoch": i + 1, "loss": float(loss), "validation_accuracy": None if np.isnan(found) else float(found)}
        for i, (loss, found) in enumerate(np.asarray(state["history"]))
    ]
    return Retrained(best, jax.device_get(stats), accuracy, rows)


def image_views(settings: RetrainSettings, images: int) -> int:
    """Image views one retraining spends (forward and backward of one image = one view)."""
    return max(1, images // settings.batch_size) * settings.batch_size * settings.epochs


def _step_program(layers, data, settings, optimiser, classes) -> Callable:
    network = Network(layers)

    def loss_of(params, views, targets):
        logits = jnp.asarray(network.apply({"params": params}, normalise_pixels(views), train=True))
        return optax.softmax_cross_entropy(logits, targets).mean()

    @jax.jit
    def program(params, average, optimiser_state, images, labels, seed, rows, epoch, count):
        keys = view_keys(seed, rows, epoch)
        views = training_views(keys, images[rows], data.resolution_px, settings.crop_area_min, settings.colour_jitter)
        if data.colour == "mono":
            views = grey(views)
        targets = optax.smooth_labels(jax.nn.one_hot(labels[rows], classes), settings.label_smoothing)
        loss, grads = jax.value_and_grad(loss_of)(params, views, targets)
        updates, optimiser_state = optimiser.update(grads, optimiser_state, params)
        params = optax.apply_updates(params, updates)
        # Early on the average follows quickly, so that it never remembers the start.
        decay = jnp.minimum(settings.ema_decay, (1.0 + count) / (10.0 + count))
        average = jax.tree.map(lambda old, new: decay * old + (1.0 - decay) * new, average, params)
        return params, average, optimiser_state, loss

    return program


def _validator(layers, data, settings, training, validation, seed) -> Callable:
    """validate(params) -> (BN statistics from training images, accuracy on validation), on the deployed view."""
    chosen = np.random.default_rng([seed, 6]).permutation(len(training))[: settings.calibration_images]
    calibrating = deployed_view(training.images[np.sort(chosen)], data.resolution_px, data.colour)
    calibrating = jnp.asarray(calibration_batches(calibrating, len(calibrating)))
    images = deployed_view(validation.images, data.resolution_px, data.colour)
    images, labels = map(jnp.asarray, batches(images, validation.labels))
    calibrate, predict = network_program(layers)

    def validate(params: dict) -> tuple[dict, float]:
        stats = calibrate(params, calibrating)
        right = predict(params, stats, images).argmax(-1) == labels
        return stats, float(right.sum() / len(validation))

    return validate
