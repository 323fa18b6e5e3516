"""Training of the supernet, once: sandwich rule, in-place distillation, every data configuration in turn.

A step draws one resolution (stratified over an epoch), then runs the largest subnet in colour on the labels, the
smallest in mono and random ones on the largest's soft labels. Genes are drawn on the host; one gradient program per
(resolution, envelope) serves them all, gradients are accumulated, and one optimiser step follows.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from danas_jax.config import TrainSettings
from danas_jax.data.augment import training_views, view_keys
from danas_jax.data.dataset import Split
from danas_jax.errors import UserError
from danas_jax.space import SearchSpace
from danas_jax.supernet import elastic
from danas_jax.supernet.checkpoint import Checkpoints
from danas_jax.supernet.network import Network, init_variables, normalise_pixels
from danas_jax.supernet.optimiser import make_optimiser

_LOG_EVERY_S, _RECENT_LOGS = 2.0, 30
Bounds = tuple[np.ndarray, np.ndarray]  # lower and upper genes [G] of the (pruned) space


class Diverged(UserError):
    """The loss is no longer a number; the message names the step and the subnet."""


def resolution_envelope(space: SearchSpace, genes: np.ndarray, resolution: int) -> elastic.Envelope:
    """`genes` as an envelope at the resolution of that gene value."""
    bound = genes.copy()
    bound[space.index["resolution_px"]] = resolution
    return tuple(int(g) for g in bound)


@cache
def gradient_program(space: SearchSpace, envelope: elastic.Envelope, num_classes: int) -> Callable:
    """jitted (params, views [B, R, R, 3], targets [B, K], genes [G]) -> (loss, logits, gradients of all params)."""
    layers = elastic.envelope_layers(space, envelope, num_classes)
    network = Network(layers)

    def loss_of(params, views, targets, genes):
        part = elastic.slice_variables(layers, params)
        x = normalise_pixels(elastic.apply_colour(space, views, genes))
        logits = jnp.asarray(network.apply({"params": part}, x, elastic.masks(space, genes, layers), train=True))
        return optax.softmax_cross_entropy(logits, targets).mean(), logits

    @jax.jit
    def program(params, views, targets, genes):
        (loss, logits), grads = jax.value_and_grad(loss_of, has_aux=True)(params, views, targets, genes)
        return loss, logits, grads

    return program


@dataclass(frozen=True)
class _Plan:
    """What each step does: a pure function of (seed, step), so that a resumed run repeats nothing and skips nothing."""

    space: SearchSpace
    settings: TrainSettings
    bounds: Bounds
    images: int
    seed: int

    @property
    def steps_per_epoch(self) -> int:
        return max(1, self.images // self.settings.batch_size)

    @property
    def steps(self) -> int:
        return self.steps_per_epoch * self.settings.epochs

    def rows(self, step: int) -> np.ndarray:
        epoch, within = divmod(step, self.steps_per_epoch)
        order = np.random.default_rng([self.seed, 1, epoch]).permutation(self.images)
        size = self.settings.batch_size
        return np.resize(order[within * size : (within + 1) * size], size)

    def resolution(self, step: int) -> int:
        """Gene value of the step's resolution: every one equally often within each round of that many steps."""
        axis = self.space.index["resolution_px"]
        low, high = int(self.bounds[0][axis]), int(self.bounds[1][axis])
        count = high - low + 1
        return low + int(np.random.default_rng([self.seed, 2, step // count]).permutation(count)[step % count])

    def sandwich(self, step: int) -> list[np.ndarray]:
        """Genes of the largest, the smallest and the random subnets, all at the step's resolution."""
        lower, upper = self.bounds
        rng = np.random.default_rng([self.seed, 3, step])
        random_genes = rng.integers(lower, upper + 1, (self.settings.random_subnets, len(lower)))
        resolution = self.resolution(step)
        rows = []
        for genes in (upper, lower, *random_genes):
            genes = genes.copy()
            genes[self.space.index["resolution_px"]] = resolution
            rows.append(self.space.canonical(genes))
        return rows


def train(
    space: SearchSpace,
    settings: TrainSettings,
    bounds: Bounds,
    split: Split,
    num_classes: int,
    seed: int,
    checkpoints: Checkpoints,
    log: Callable[[dict], None] = lambda record: None,
) -> dict:
    """Train (or resume) the supernet on `split`; returns its params on the host.

    `log` gets {"step", "steps", "epoch", "loss", "accuracy", "images_per_s", "left_s"} about every two seconds.
    Raises Diverged when the loss becomes NaN.
    """
    plan = _Plan(space, settings, bounds, len(split), seed)
    largest = resolution_envelope(space, bounds[1], int(bounds[1][space.index["resolution_px"]]))
    params, _ = init_variables(elastic.envelope_layers(space, largest, num_classes), seed)
    optimiser = make_optimiser(settings, plan.steps)
    state: dict[str, Any] = {"params": params, "optimiser": optimiser.init(params), "step": np.asarray(0)}
    state = checkpoints.restore(state) or state
    images, labels = jnp.asarray(split.images), jnp.asarray(split.labels)

    @partial(jax.jit, static_argnames="resolution_px")
    def batch(images, labels, seed, rows, view, resolution_px):
        keys = view_keys(seed, rows, view)
        views = training_views(keys, images[rows], resolution_px, settings.crop_area_min, settings.colour_jitter)
        targets = optax.smooth_labels(jax.nn.one_hot(labels[rows], num_classes), settings.label_smoothing)
        return views, targets

    @jax.jit
    def update(params, optimiser_state, grads):
        mean = jax.tree.map(lambda *leaves: sum(leaves[1:], leaves[0]) / len(leaves), *grads)
        updates, optimiser_state = optimiser.update(mean, optimiser_state, params)
        return optax.apply_updates(params, updates), optimiser_state

    started, first = time.monotonic(), int(state["step"])
    saved = logged = started
    recent = deque([(started, first)], maxlen=_RECENT_LOGS)
    for step in range(first, plan.steps):
        rows, resolution = plan.rows(step), plan.resolution(step)
        epoch = step // plan.steps_per_epoch
        views, targets = batch(images, labels, seed, rows, epoch, space.resolutions_px[resolution])
        grads, losses, hits = [], [], jnp.zeros(())
        for i, genes in enumerate(plan.sandwich(step)):
            bound = bounds[0] if i == 1 else bounds[1]
            program = gradient_program(space, resolution_envelope(space, bound, resolution), num_classes)
            loss, logits, grad = program(state["params"], views, targets, jnp.asarray(genes, jnp.int32))
            if i == 0:
                hits = jnp.mean(logits.argmax(-1) == labels[rows])
                targets = jax.nn.softmax(logits)
            grads.append(grad)
            losses.append((loss, genes))
        params, optimiser_state = update(state["params"], state["optimiser"], grads)
        state = {"params": params, "optimiser": optimiser_state, "step": np.asarray(step + 1)}
        now, last = time.monotonic(), step + 1 == plan.steps
        logging, saving = now - logged > _LOG_EVERY_S or last, now - saved > settings.checkpoint_every_s or last
        if logging or saving:  # reading a loss waits for the device, so not at every step
            _refuse_divergence(space, step, losses)
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
                    "loss": float(losses[0][0]),
                    "accuracy": float(hits),
                    "images_per_s": settings.batch_size / speed,
                    "left_s": speed * (plan.steps - step - 1),
                }
            )
        if saving:
            saved = now
            checkpoints.save(step + 1, state)
    return jax.device_get(state["params"])


def _refuse_divergence(space: SearchSpace, step: int, losses: list[tuple[jax.Array, np.ndarray]]) -> None:
    for loss, genes in losses:
        if not np.isfinite(float(loss)):
            raise Diverged(
                f"the supernet's loss is {float(loss)} at step {step} in the subnet {space.describe(genes)}: "
                "give a lower --train.learning-rate (in another --run-dir), or look for broken pictures"
            )


def image_views(settings: TrainSettings, images: int) -> int:
    """Image views the supernet's training spends: one image forward and backward through one subnet = one view."""
    steps = max(1, images // settings.batch_size) * settings.epochs
    return steps * settings.batch_size * (2 + settings.random_subnets)
