"""Retraining of one stand-alone network: finalists (from the supernet's weights) and baselines, by the same recipe."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from danas_jax.classification import Metric
from danas_jax.config import RetrainSettings
from danas_jax.data.batches import RETRAIN_CALIBRATION, calibration_rows
from danas_jax.data.dataset import Split
from danas_jax.deploy.epochs import fit
from danas_jax.deploy.teacher import Teacher
from danas_jax.layers import LayerSpec
from danas_jax.memory import Batches, enough_for
from danas_jax.metrics import share_interval
from danas_jax.supernet.checkpoint import Checkpoints
from danas_jax.supernet.evaluate import batches, calibration_batches, network_program
from danas_jax.supernet.network import Network, normalise_pixels
from danas_jax.task import task_of
from danas_jax.views.base import NetworkInput


@dataclass(frozen=True)
class Retrained:
    """A trained network: params and BN statistics on the host, accuracy on validation, one record per epoch."""

    params: dict
    stats: dict
    validation_accuracy: float
    validation_interval: tuple[float, float]  # 95 %, by bootstrap
    history: list[dict]


def retrain(
    layers: tuple[LayerSpec, ...],
    source: NetworkInput,
    start: dict,
    settings: RetrainSettings,
    training: Split,
    validation: Split,
    seed: int,
    checkpoints: Checkpoints,
    log: Callable[[dict], None] = lambda record: None,
    metric: Metric = "accuracy",
    teacher: Teacher | None = None,
    rates: dict | None = None,
) -> Retrained:
    """Train `layers`, which read `source`, from the params `start` on `training`; resumes from `checkpoints`.

    Of the validated epochs the one with the best `metric` is kept. `teacher`, `rates`, `log` and Diverged as in
    epochs.py.
    """
    network = Network(layers)
    validate = _validator(layers, source, settings, training, validation, seed, metric)

    def logits_of(params: dict, views: jax.Array) -> jax.Array:
        x = normalise_pixels(views).astype(settings.compute_dtype)
        return jnp.asarray(network.apply({"params": params}, x, train=True))

    def judge(params: dict) -> tuple[float, float]:
        return validate(params)[1:]

    def blame(failed: str) -> str:
        return (
            f"the retrained network's {failed} ({source.text}, {len(layers)} layers): give a "
            "lower --retrain.learning-rate (in another --run-dir), or look for broken pictures"
        )

    with enough_for(f"retrain.batch_size = {settings.batch_size}", "give a smaller --retrain.batch-size"):
        best, history = fit(
            logits_of, judge, start, source, settings, training, layers[-1].out_shape[2], seed,
            checkpoints, with_interval(log, len(validation), seed), blame, teacher=teacher, rates=rates,
        )  # fmt: skip
    stats, accuracy, _ = validate(best)
    return Retrained(best, jax.device_get(stats), accuracy, share_interval(accuracy, len(validation), seed), history)


def with_interval(log: Callable[[dict], None], images: int, seed: int) -> Callable[[dict], None]:
    """`log`, told also the 95 % interval of a record's accuracy on `images` validation images."""

    def told(record: dict) -> None:
        accuracy = record.get("validation_accuracy")
        interval = {} if accuracy is None else {"validation_interval": list(share_interval(accuracy, images, seed))}
        log({**record, **interval})

    return told


def image_views(settings: RetrainSettings, images: int) -> int:
    """Image views one retraining spends on an epoch of `images` (forward and backward of one image = one view)."""
    return max(1, images // settings.batch_size) * settings.batch_size * settings.epochs


def float_logits(
    layers: tuple[LayerSpec, ...], params: dict, stats: dict, codes: Iterable[jax.Array], count: int
) -> np.ndarray:
    """Logits [count, K] of batches of codes [M, B, ...] (supernet/evaluate.py) in pieces, whose rest is padding."""
    logits = np.concatenate([network_program(layers)[1](params, stats, piece) for piece in codes])
    return logits.reshape(-1, layers[-1].out_shape[2])[:count]


def _validator(layers, source, settings, training, validation, seed, metric) -> Callable:
    """validate(params) -> (BN statistics from training images, accuracy and `metric` on validation's deployed view)."""
    labelled = training.labelled
    chosen = labelled[calibration_rows(seed, RETRAIN_CALIBRATION, len(labelled), settings.calibration_images)]
    calibrating = source.deployed(training.raw[chosen])
    calibrating = jnp.asarray(calibration_batches(calibrating, len(calibrating)))
    codes = Batches(batches(source.deployed(validation.raw), validation.labels)[0], jax.device_put)
    calibrate = network_program(layers)[0]

    def validate(params: dict) -> tuple[dict, float, float]:
        stats = calibrate(params, calibrating)
        logits = float_logits(layers, params, stats, codes, len(validation))
        metrics = task_of(validation.labels).metrics
        return stats, metrics["accuracy"](validation.labels, logits), metrics[metric](validation.labels, logits)

    return validate
