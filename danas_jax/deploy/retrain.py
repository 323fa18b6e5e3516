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

from danas_jax.classification import METRICS, Metric
from danas_jax.config import RetrainSettings
from danas_jax.data.augment import grey
from danas_jax.data.batches import RETRAIN_CALIBRATION, calibration_rows, training_batch
from danas_jax.data.dataset import Split
from danas_jax.data.views import deployed_view
from danas_jax.layers import LayerSpec
from danas_jax.space import DataConfig
from danas_jax.supernet.checkpoint import Checkpoints
from danas_jax.supernet.evaluate import batches, calibration_batches, network_program
from danas_jax.supernet.guard import Diverged, Health, failure, healthy
from danas_jax.supernet.network import Network, normalise_pixels
from danas_jax.supernet.optimiser import initial_weights, make_optimiser, updated_weights


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
    metric: Metric = "accuracy",
) -> Retrained:
    """Train `layers` from the params `start` on the native images of `training`; resumes from `checkpoints`.

    Of the validated epochs the one with the best `metric` is kept.
    `log` gets {"epoch", "epochs", "loss", "validation_accuracy" when measured, "images_per_s", "left_s"}.
    Raises Diverged at the end of an epoch in which the loss, the gradient or the weights were no longer numbers.
    """
    steps_per_epoch = max(1, len(training) // settings.batch_size)
    steps = steps_per_epoch * settings.epochs
    optimiser = make_optimiser(settings, steps)
    classes = layers[-1].out_shape[2]
    images, labels = jnp.asarray(training.images), jnp.asarray(training.labels)
    step_program = _step_program(layers, data, settings, optimiser, classes)
    validate = _validator(layers, data, settings, training, validation, seed, metric)
    state: dict[str, Any] = {
        **initial_weights(optimiser, start, averaged=True),
        "best": start,
        "best_metric": np.asarray(-1.0),
        "epoch": np.asarray(0),
        "history": np.full((settings.epochs, 2), np.nan),  # loss, validation accuracy of each epoch
    }
    state = checkpoints.restore(state) or state
    health = healthy()
    for epoch in range(int(state["epoch"]), settings.epochs):
        started = time.monotonic()
        order = np.random.default_rng([seed, 5, epoch]).permutation(len(training))
        weights = {name: state[name] for name in ("params", "average", "optimiser")}
        losses = []
        for i in range(steps_per_epoch):
            rows = np.resize(order[i * settings.batch_size : (i + 1) * settings.batch_size], settings.batch_size)
            step = epoch * steps_per_epoch + i
            health, weights, loss = step_program(health, weights, images, labels, seed, rows, epoch, step)
            losses.append(loss)
        _refuse_divergence(health, data, layers)
        history = np.array(state["history"])
        history[epoch, 0] = float(np.mean([float(loss) for loss in losses]))
        state |= {**weights, "epoch": np.asarray(epoch + 1)}
        last = epoch + 1 == settings.epochs
        if last or (epoch + 1) % settings.validate_every_epochs == 0:
            _, history[epoch, 1], judged = validate(weights["average"])
            if not judged <= state["best_metric"]:  # the last one where pictures of one class tell no metric
                state |= {"best": weights["average"], "best_metric": np.asarray(judged)}
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
    stats, accuracy, _ = validate(best)
    rows = [
        {"epoch": i + 1, "loss": float(loss), "validation_accuracy": None if np.isnan(found) else float(found)}
        for i, (loss, found) in enumerate(np.asarray(state["history"]))
    ]
    return Retrained(best, jax.device_get(stats), accuracy, rows)


def _refuse_divergence(health: Health, data: DataConfig, layers: tuple[LayerSpec, ...]) -> None:
    found = failure(health)
    if found:
        raise Diverged(
            f"the retrained network's {found[2]} at step {found[0]} ({data.resolution_px} px, {data.colour}, "
            f"{len(layers)} layers): give a lower --retrain.learning-rate (in another --run-dir), "
            "or look for broken pictures"
        )


def image_views(settings: RetrainSettings, images: int) -> int:
    """Image views one retraining spends (forward and backward of one image = one view)."""
    return max(1, images // settings.batch_size) * settings.batch_size * settings.epochs


def _step_program(layers, data, settings, optimiser, classes) -> Callable:
    """jitted (health, weights, images, labels, seed, rows [B], epoch, step) -> (health, weights after it, loss)."""
    network = Network(layers)

    def loss_of(params, views, targets):
        logits = jnp.asarray(
            network.apply({"params": params}, normalise_pixels(views).astype(settings.compute_dtype), train=True)
        )
        return optax.softmax_cross_entropy(logits, targets).mean()

    @jax.jit
    def program(health, weights, images, labels, seed, rows, epoch, step):
        params = weights["params"]
        views, targets = training_batch(images, labels, seed, rows, epoch, data.resolution_px, classes, settings)
        if data.colour == "mono":
            views = grey(views)
        loss, grads = jax.value_and_grad(loss_of)(params, views, targets)
        health, weights = updated_weights(optimiser, settings.ema_decay, health, weights, [loss], [grads], step)
        return health, weights, loss

    return program


def _validator(layers, data, settings, training, validation, seed, metric) -> Callable:
    """validate(params) -> (BN statistics from training images, accuracy and `metric` on validation's deployed view)."""
    chosen = calibration_rows(seed, RETRAIN_CALIBRATION, len(training), settings.calibration_images)
    calibrating = deployed_view(training.images[chosen], data.resolution_px, data.colour)
    calibrating = jnp.asarray(calibration_batches(calibrating, len(calibrating)))
    images = deployed_view(validation.images, data.resolution_px, data.colour)
    images = jnp.asarray(batches(images, validation.labels)[0])
    calibrate, predict = network_program(layers)

    def validate(params: dict) -> tuple[dict, float, float]:
        stats = calibrate(params, calibrating)
        logits = np.asarray(predict(params, stats, images)).reshape(-1, layers[-1].out_shape[2])
        logits = logits[: len(validation)]  # the rest is padding
        return stats, METRICS["accuracy"](validation.labels, logits), METRICS[metric](validation.labels, logits)

    return validate
