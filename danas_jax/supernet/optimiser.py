"""The optimiser and the weights' average, for the supernet and for retraining.

AdamW or SGD with warm-up and cosine, decay on kernels only, clipping by the global norm.
"""

from __future__ import annotations

from typing import Any, Literal, Protocol

import jax
import jax.numpy as jnp
import optax

_MOMENTUM = 0.9


class Schedule(Protocol):
    """The fields of TrainSettings and RetrainSettings that the optimiser reads."""

    @property
    def optimiser(self) -> Literal["adamw", "sgd"]: ...
    @property
    def learning_rate(self) -> float: ...
    @property
    def weight_decay(self) -> float: ...
    @property
    def warmup_fraction(self) -> float: ...
    @property
    def gradient_clip(self) -> float: ...


def make_optimiser(settings: Schedule, steps: int) -> optax.GradientTransformation:
    """The optimiser of a run of `steps` steps.

    AdamW's weight decay is decoupled from the gradient (Loshchilov and Hutter 2019), SGD's is part of it, as usual.
    """
    warmup = min(max(1, round(settings.warmup_fraction * steps)), max(1, steps - 1))
    schedule = optax.warmup_cosine_decay_schedule(0.0, settings.learning_rate, warmup, max(steps, warmup + 1))
    clip = optax.clip_by_global_norm(settings.gradient_clip)
    if settings.optimiser == "adamw":
        return optax.chain(clip, optax.adamw(schedule, weight_decay=settings.weight_decay, mask=_kernels))
    return optax.chain(
        clip,
        optax.add_decayed_weights(settings.weight_decay, mask=_kernels),
        optax.sgd(schedule, momentum=_MOMENTUM, nesterov=True),
    )


def _kernels(params: dict) -> dict:
    """True for kernels: weight decay leaves batch norm and biases alone."""
    return jax.tree_util.tree_map_with_path(lambda path, _: path[-1].key == "kernel", params)


def moving_average(average: Any, params: Any, ema_decay: float, step: jax.Array) -> Any:
    """The exponential average of the params after the update of `step` (float32 [], from 0); traced.

    Early on it follows quickly, so that it never remembers the start.
    """
    decay = jnp.minimum(ema_decay, (1.0 + step) / (10.0 + step))
    return jax.tree.map(lambda old, new: decay * old + (1.0 - decay) * new, average, params)
