"""Training of the supernet, once: sandwich rule, in-place distillation, every data configuration in turn.

A step draws one input shape (stratified over an epoch; a resolution, of pictures), then runs the largest subnet, which
sees everything, on the labels, the smallest and random ones on the largest's soft labels (Yu et al. 2020). Genes are
drawn on the host; one gradient program per (shape, envelope) serves them all, gradients are averaged, and one optimiser
step follows.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import optax

from danas_jax.config import TrainSettings
from danas_jax.data.batches import class_weights_of, training_batch, view_number
from danas_jax.data.dataset import Split
from danas_jax.data.feed import Feed, Resident
from danas_jax.data.soft_labels import seen
from danas_jax.devices import Devices, batch_devices
from danas_jax.layers import LayerSpec
from danas_jax.memory import enough_for
from danas_jax.space import Bounds, SearchSpace
from danas_jax.supernet import adaptive, elastic, ops
from danas_jax.supernet.checkpoint import Checkpoints
from danas_jax.supernet.distil import Distillation, label_loss, share_right
from danas_jax.supernet.guard import Diverged, Health, failure, healthy
from danas_jax.supernet.network import Network, init_variables, normalise_pixels
from danas_jax.supernet.optimiser import initial_weights, make_optimiser, updated_weights
from danas_jax.supernet.plan import Plan, shape_envelope

# (layers, their fresh params) -> params to begin with, and the learning rate of each value relative to the schedule's
Begin = Callable[[tuple[LayerSpec, ...], dict], tuple[dict, dict | None]]

_LOG_EVERY_S, _RECENT_LOGS = 2.0, 30
_SMALLER = (
    "give a smaller --train.batch-size (in another --run-dir) or more devices: a batch in parts would have other batch "
    "statistics, so it is not cut by itself"
)


@cache
def gradient_program(
    space: SearchSpace,
    envelope: elastic.Envelope,
    num_classes: int,
    loss: Callable[[jax.Array, jax.Array], jax.Array] = label_loss,
    compute_dtype: str = "float32",
) -> Callable:
    """jitted (params, views [B, h, w, C], targets, genes [G]) -> (loss, logits, gradients of all params).

    `loss` takes (logits [B, K], targets); the labels' takes targets [B, K]. Activations and
    products are of `compute_dtype`; params, BN statistics, logits, loss and gradients are float32.
    """
    layers = elastic.envelope_layers(space, envelope, num_classes)

    def loss_of(params, views, targets, genes):
        part = elastic.slice_variables(layers, params)
        x = normalise_pixels(elastic.seen(space, views, genes)).astype(compute_dtype)
        if ops.on_cpu():  # blocks beyond the depth are jumped over
            logits = adaptive.forward(space, envelope, layers, part, None, genes, x, sizes=False)[0]
        else:
            masks = elastic.masks(space, genes, layers)
            logits = jnp.asarray(Network(layers).apply({"params": part}, x, masks, train=True))
        return loss(logits, targets), logits

    @jax.jit
    def program(params, views, targets, genes):
        (value, logits), grads = jax.value_and_grad(loss_of, has_aux=True)(params, views, targets, genes)
        return value, logits, grads

    return program


def train(
    space: SearchSpace,
    settings: TrainSettings,
    bounds: Bounds,
    split: Split,
    num_classes: int,
    seed: int,
    checkpoints: Checkpoints,
    log: Callable[[dict], None] = lambda record: None,
    resident: Resident = "auto",
    start: Begin | None = None,
) -> dict:
    """Train (or resume) the supernet on `split`; returns its params (with `ema_decay` their average) on the host.

    `log` gets {"step", "steps", "epoch", "loss", "accuracy", "images_per_s", "left_s", "programs"} about every two
    seconds; `programs` are the gradient programs used, and so compiled (or loaded), so far. `start` gives the weights
    of a training that does not resume, for `settings.init_from`: the first host's, the others wait for it.
    Raises Diverged, at the latest then, when a loss, a gradient or the weights are no longer numbers; UserError where
    the device's memory does not suffice for a batch.
    """
    with enough_for(f"train.batch_size = {settings.batch_size}", _SMALLER):
        return _train(space, settings, bounds, split, num_classes, seed, checkpoints, log, resident, start)


def _train(space, settings, bounds, split, num_classes, seed, checkpoints, log, resident, start) -> dict:
    plan = Plan(space, settings, bounds, split.epoch_images, seed, split.labels, split.pool)
    devices = batch_devices(settings.batch_size)
    largest = shape_envelope(space, bounds[1], plan.largest_shape(bounds[1]))
    layers = elastic.envelope_layers(space, largest, num_classes)
    params, _ = init_variables(layers, seed)
    optimiser = make_optimiser(settings, plan.steps)
    averaged = settings.ema_decay > 0
    rates = jax.tree.map(np.ones_like, params) if settings.init_from and settings.init_rate < 1 else None
    weights = initial_weights(optimiser, params, averaged, rates)
    state = {**weights, "step": np.asarray(0)}
    restored = checkpoints.restore(state)
    if start and not restored:
        params, rates = start(layers, params)
        state |= initial_weights(optimiser, params, averaged, rates)
    state = devices.from_first(restored or state)
    weights = devices.replicate({name: state[name] for name in weights})
    labels = devices.replicate(split.labels)
    feed = Feed(split.raw, plan.rows, plan.steps, resident, devices)
    batch = batch_program(space, settings, split.labels, num_classes, devices)
    update = update_program(settings, optimiser, devices)
    distillation = Distillation(settings.distillation, settings.label_weight, in_place_confidence_min(split))
    # Soft labels need no loss of their own, so the random subnets run the largest's program.
    student_loss = label_loss if distillation.kind == "soft_labels" else distillation

    health: Health = healthy()
    programs = set()
    started, first = time.monotonic(), int(state["step"])
    saved = logged = started
    recent = deque([(started, first)], maxlen=_RECENT_LOGS)
    for step in range(first, plan.steps):
        raw, places = feed.batch(step)
        rows, (epoch, within) = feed.rows(step), divmod(step, plan.steps_per_epoch)
        view_seed, view, answers = seen(
            split.soft_labels, seed, rows, view_number(settings, epoch, within, plan.steps_per_epoch)
        )
        views, losses, grads = {}, [], []
        targets, hits = jnp.zeros(()), jnp.zeros(())
        for i, (genes, envelope) in enumerate(plan.passes(step)):
            shape = envelope[: len(space.shape_axes)]
            if shape not in views:
                views[shape], hard = batch(raw, labels, view_seed, rows, places, view, shape, answers)
                targets = hard if i == 0 else targets
            pass_loss = student_loss if i else label_loss
            program = gradient_program(space, envelope, num_classes, pass_loss, settings.compute_dtype)
            programs.add(program)
            loss, logits, grad = program(weights["params"], views[shape], targets, jnp.asarray(genes, jnp.int32))
            if i == 0:
                hits = share_right(logits, labels[rows])
                targets = distillation.targets(logits, targets)
            losses.append(loss)
            grads.append(grad)
        health, weights = update(health, weights, losses, grads, step)
        now, last = time.monotonic(), step + 1 == plan.steps
        logging, saving = now - logged > _LOG_EVERY_S or last, now - saved > settings.checkpoint_every_s or last
        if logging or saving:  # this waits for the device, so not at every step
            _refuse_divergence(plan, health)
        if logging:
            logged = now
            # Over the last minute: the first steps compile and would spoil an average over all of them.
            speed = (now - recent[0][0]) / (step + 1 - recent[0][1])
            recent.append((now, step + 1))
            log(
                {
                    "step": step + 1,
                    "steps": plan.steps,
                    "epoch": epoch,
                    "loss": float(losses[0]),
                    "accuracy": float(hits),
                    "images_per_s": settings.batch_size / speed,
                    "left_s": speed * (plan.steps - step - 1),
                    "programs": len(programs),
                }
            )
        if saving:
            saved = now
            checkpoints.save(step + 1, {**weights, "step": np.asarray(step + 1)})
    feed.close()
    return jax.device_get(weights["average" if settings.ema_decay else "params"])


def in_place_confidence_min(split: Split) -> float:
    """From which probability on the largest subnet teaches an unlabelled picture; 0 where soft labels have told."""
    return split.pool.confidence_min if split.pool is not None and split.soft_labels is None else 0.0


def batch_program(
    space: SearchSpace, settings: TrainSettings, all_labels: np.ndarray, num_classes: int, devices: Devices
) -> Callable:
    """jitted (raw, labels, seed, rows [B], places [B], view, shape genes, answers) -> views and targets.

    On all devices. `answers` [B, K] are a teacher's, or None; with them come seed and view of soft_labels.py.
    """
    weights = class_weights_of(all_labels, num_classes, settings)

    @partial(jax.jit, static_argnames="shape")
    def batch(raw, labels, seed, rows, places, view, shape, answers=None):
        def codes_of(keys, raw):
            return space.costliest_input(shape).training(keys, raw, settings)

        found = training_batch(raw, labels, seed, rows, places, view, codes_of, num_classes, settings, weights, answers)
        return devices.split(found)

    return batch


def update_program(settings: TrainSettings, optimiser: optax.GradientTransformation, devices: Devices) -> Callable:
    """jitted (health, weights, losses, gradients of the passes, step) -> (health, weights after the step)."""

    @jax.jit
    def update(health, weights, losses, grads, step):
        return devices.whole(updated_weights(optimiser, settings.ema_decay, health, weights, losses, grads, step))

    return update


def _refuse_divergence(plan: Plan, health: Health) -> None:
    found = failure(health)
    if found:
        step, index, what = found
        subnet = plan.space.describe(plan.passes(step)[index].genes)
        raise Diverged(
            f"the supernet's {what} at step {step} in the subnet {subnet}: "
            "give a lower --train.learning-rate (in another --run-dir), or look for broken pictures"
        )
