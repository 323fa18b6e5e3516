"""The epochs that retraining and quantisation-aware fine-tuning share: steps, early choice, checkpoints.

Early choice on validation only: of all validated epochs the best is kept, with the weights' exponential average.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import jax
import numpy as np

from danas_jax.config import RetrainSettings
from danas_jax.data.balance import shown_order
from danas_jax.data.batches import class_weights_of, training_batch, view_number
from danas_jax.data.dataset import Split
from danas_jax.data.feed import Feed
from danas_jax.data.soft_labels import seen
from danas_jax.deploy.teacher import Teacher
from danas_jax.supernet.checkpoint import Checkpoints
from danas_jax.supernet.distil import label_loss
from danas_jax.supernet.guard import Diverged, failure, healthy
from danas_jax.supernet.in_flight import go_on
from danas_jax.supernet.optimiser import initial_weights, make_optimiser, updated_weights
from danas_jax.views.base import NetworkInput


def fit(
    logits_of: Callable[[dict, jax.Array], jax.Array],
    judge: Callable[[dict], tuple[float, float]],
    start: dict,
    source: NetworkInput,
    settings: RetrainSettings,
    training: Split,
    classes: int,
    seed: int,
    checkpoints: Checkpoints,
    log: Callable[[dict], None],
    blame: Callable[[str], str],
    first_view: int = 0,
    teacher: Teacher | None = None,
    start_metric: float = -1.0,
    rates: dict | None = None,
) -> tuple[dict, list[dict]]:
    """(params of the best epoch on the host, one record per epoch) of a training from `start` on raw examples.

    `logits_of(params, views)` of codes [B, h, w, c] float32 in 0..255 is differentiated; `judge(params)` gives the
    accuracy to record and the figure that chooses the epoch, the higher the better. Views and order are those of the
    numbers from `first_view` on. A `teacher`'s answers take the share `settings.distillation` of the targets, those of
    `training.soft_labels`, where it has them, `settings.teacher_weight`; the rest is the labels.
    `start_metric`: the figure of `start`, which is kept unless an epoch is better; as it is, every epoch is. `rates`:
    of the values of `start`, relative to the learning rate.
    Resumes from `checkpoints`. `log` gets {"epoch", "epochs", "loss", "validation_accuracy" when measured,
    "images_per_s", "left_s"}.
    Raises Diverged at the end of an epoch in which the loss, the gradient or the weights were no longer numbers; its
    message is `blame` of what failed.
    """
    steps_per_epoch = max(1, training.epoch_images // settings.batch_size)
    optimiser = make_optimiser(settings, steps_per_epoch * settings.epochs)
    labels = jax.device_put(training.labels)
    step_program = _step_program(logits_of, source, settings, optimiser, training.labels, classes, teacher)
    knowledge = jax.device_put(jax.device_get(teacher.variables)) if teacher else {}  # on this training's device
    state: dict[str, Any] = {
        **initial_weights(optimiser, start, averaged=True, rates=rates),
        "best": start,
        "best_metric": np.asarray(start_metric),
        "epoch": np.asarray(0),
        "history": np.full((settings.epochs, 2), np.nan),  # loss, validation accuracy of each epoch
    }
    state = checkpoints.restore(state) or state
    balanced = settings.sampling == "balanced"

    @lru_cache(maxsize=2)
    def order(view: int) -> np.ndarray:
        return shown_order(len(training), training.labels, training.pool, balanced, seed, 5, view)

    def rows_of(step: int) -> np.ndarray:
        epoch, i = divmod(step, steps_per_epoch)
        size = settings.batch_size
        return np.resize(order(first_view + epoch)[i * size : (i + 1) * size], size)

    feed = Feed(training.raw, rows_of, settings.epochs * steps_per_epoch)  # of several trainings on a CPU: shared
    health = healthy()
    for epoch in range(int(state["epoch"]), settings.epochs):
        started = time.monotonic()
        weights = {name: state[name] for name in ("params", "average", "optimiser", "rates") if name in state}
        losses = []
        for i in range(steps_per_epoch):
            go_on()
            step = epoch * steps_per_epoch + i
            raw, places = feed.batch(step)
            number = view_number(settings, first_view + epoch, i, steps_per_epoch)
            view_seed, view, answers = seen(training.soft_labels, seed, feed.rows(step), number)
            health, weights, loss = step_program(
                health, weights, raw, labels, view_seed, feed.rows(step), places, view, step, knowledge, answers
            )
            losses.append(loss)
        failed = failure(health)
        if failed:
            raise Diverged(blame(f"{failed[2]} at step {failed[0]}"))
        history = np.array(state["history"])
        history[epoch, 0] = float(np.mean([float(loss) for loss in losses]))
        state |= {**weights, "epoch": np.asarray(epoch + 1)}
        last = epoch + 1 == settings.epochs
        if last or (epoch + 1) % settings.validate_every_epochs == 0:
            history[epoch, 1], judged = judge(weights["average"])
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
    feed.close()
    rows = [
        {"epoch": i + 1, "loss": float(loss), "validation_accuracy": None if np.isnan(found) else float(found)}
        for i, (loss, found) in enumerate(np.asarray(state["history"]))
    ]
    return jax.device_get(state["best"]), rows


def _step_program(logits_of, source, settings, optimiser, all_labels, classes, teacher) -> Callable:
    """jitted (health, weights, raw, labels, seed, rows [B], places [B], view, step, the teacher's variables or {},
    the answers [B, K] of a teacher's file or None).

    Returns (health, weights after the step, loss).
    """
    class_weights = class_weights_of(all_labels, classes, settings)

    def loss_of(params, views, targets):
        return label_loss(logits_of(params, views), targets)

    @jax.jit
    def program(health, weights, raw, labels, seed, rows, places, view, step, knowledge, answers):
        def batch(source):
            def codes_of(keys, raw):
                return source.training(keys, raw, settings)

            return training_batch(
                raw, labels, seed, rows, places, view, codes_of, classes, settings, class_weights, answers
            )

        params = weights["params"]
        codes, targets = batch(source)
        if teacher:  # the same keys: it sees the same crops, colours and mixtures
            shown = teacher.source.read(batch(teacher.source)[0])
            told = teacher.probabilities(knowledge, shown, all_labels.ndim == 2)
            targets = (1 - settings.distillation) * targets + settings.distillation * told
        loss, grads = jax.value_and_grad(loss_of)(params, source.read(codes), targets)
        health, weights = updated_weights(optimiser, settings.ema_decay, health, weights, [loss], [grads], step)
        return health, weights, loss

    return program
