"""From a retrained float network to int8: every way that is asked for is tried, and validation decides."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from danas_jax.config import ExportSettings, RetrainSettings
from danas_jax.data.batches import EXPORT_CALIBRATION, calibration_rows
from danas_jax.data.dataset import Split
from danas_jax.deploy.fold import fold_batch_norm
from danas_jax.deploy.integer import integer_forward
from danas_jax.deploy.qat import fine_tune
from danas_jax.deploy.quantise import Folded, QuantisedModel, Ranges, float_forward, quantise
from danas_jax.deploy.ranges import METHODS, activation_ranges
from danas_jax.deploy.retrain import with_interval
from danas_jax.layers import LayerSpec
from danas_jax.metrics import bootstrap_interval
from danas_jax.supernet.checkpoint import Checkpoints
from danas_jax.task import task_of
from danas_jax.views.base import NetworkInput

QAT = "qat"


@dataclass(frozen=True)
class Attempt:
    """One int8 network and how it does on validation: accuracy, mean squared difference of its logits to float."""

    name: str  # of METHODS, or QAT
    model: QuantisedModel
    codes: np.ndarray  # its logits, int8 [N, K]
    right: np.ndarray  # which images it gets right, bool [N], or shares of right decisions
    logit_error: float

    @property
    def accuracy(self) -> float:
        """Share of right answers."""
        return float(self.right.mean())


@dataclass(frozen=True)
class Judge:
    """Validation as the network reads it: uint8 [N, h, w, c], labels [N], and the float network's logits [N, K]."""

    images: np.ndarray
    labels: np.ndarray
    float_logits: np.ndarray

    @property
    def float_right(self) -> np.ndarray:
        """Which images the float network gets right, as in Attempt."""
        return task_of(self.labels).right(self.labels, self.float_logits)

    def attempt(self, name: str, model: QuantisedModel) -> Attempt:
        """`model` judged by its integers."""
        codes = integer_forward(model, self.images)
        logits = (codes.astype(np.float32) - model.output.zero_point) * np.float32(model.output.scale)
        right = task_of(self.labels).right(self.labels, logits)
        return Attempt(name, model, codes, right, float(np.square(logits - self.float_logits).mean()))


def best(attempts: list[Attempt]) -> Attempt:
    """The most accurate; of equals the one nearest to the float network."""
    return max(attempts, key=lambda attempt: (attempt.accuracy, -attempt.logit_error))


def calibrations(
    layers: tuple[LayerSpec, ...],
    folded: Folded,
    source: NetworkInput,
    settings: ExportSettings,
    training: Split,
    judge: Judge,
    seed: int,
) -> tuple[list[Attempt], dict[str, Ranges]]:
    """Post-training quantisation by each method that `settings` ask for, and the ranges it found on training images."""
    chosen = calibration_rows(seed, EXPORT_CALIBRATION, len(training), settings.calibration_images)
    images = source.deployed(training.raw[chosen])
    methods = METHODS if settings.calibration == "best" else (settings.calibration,)
    ranges = activation_ranges(layers, folded, images, methods, settings.percentile)
    return [judge.attempt(method, quantise(layers, folded, ranges[method])) for method in methods], ranges


def int8_network(
    layers: tuple[LayerSpec, ...],
    source: NetworkInput,
    params: dict,
    stats: Mapping[str, Mapping[str, np.ndarray]],
    settings: ExportSettings,
    recipe: RetrainSettings,
    training: Split,
    validation: Split,
    seed: int,
    checkpoints: Path,
    log: Callable[[dict], None] = lambda record: None,
) -> tuple[Attempt, Judge, dict]:
    """The int8 network to export, `validation` with the float one's answers, and the manifest's "quantisation".

    `training` calibrates and fine-tunes by the retraining's `recipe`, `validation` chooses; fine-tuning resumes from
    the folder `checkpoints`, `log` gets its epochs.
    """
    folded = fold_batch_norm(layers, params, stats)
    images = source.deployed(validation.raw)
    judge = Judge(images, validation.labels, float_forward(layers, folded, images))
    attempts, ranges = calibrations(layers, folded, source, settings, training, judge, seed)
    calibrated = best(attempts)
    if settings.qat_epochs:

        def tuned(params: dict) -> Attempt:
            folded = fold_batch_norm(layers, params, stats)
            return judge.attempt(QAT, quantise(layers, folded, ranges[calibrated.name]))

        def verdict(params: dict) -> tuple[float, float]:
            accuracy = tuned(params).accuracy
            return accuracy, accuracy

        with Checkpoints(checkpoints) as saved:
            found = fine_tune(
                calibrated.model, source, params, stats, verdict, settings, recipe, training, seed, saved,
                calibrated.accuracy, with_interval(log, len(validation), seed),
            )  # fmt: skip
        attempts.append(tuned(found))
    chosen, float_right = best(attempts), judge.float_right
    how = {
        "chosen": chosen.name,
        "ranges": calibrated.name,
        "float_validation": float(float_right.mean()),
        "float_validation_interval": list(bootstrap_interval(float_right, seed)),
        "tried": {
            a.name: {
                "int8_validation": a.accuracy,
                "int8_validation_interval": list(bootstrap_interval(a.right, seed)),
                "logit_error": a.logit_error,
            }
            for a in attempts
        },
    }
    return chosen, judge, how
