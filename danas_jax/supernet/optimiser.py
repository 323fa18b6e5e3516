"""AdamW with warm-up and cosine, decay on kernels only, global-norm clipping: for the supernet and for retraining."""

from __future__ import annotations

from typing import Protocol

import jax
import optax


class Schedule(Protocol):
    """The fields of TrainSettings and RetrainSettings that the optimiser reads."""

    @property
    def learning_rate(self) -> float: ...
    @property
    def weight_decay(self) -> float: ...
    @property
    def warmup_fraction(self) -> float: ...
    @property
    def gradient_clip(self) -> float: ...


def make_optimiser(settings: Schedule, steps: int) -> optax.GradientTransformation:
    """The optimiser of a run of `steps` steps."""
    warmup = min(max(1, round(settings.warmup_fraction * steps)), max(1, steps - 1))
    schedule = optax.warmup_cosine_decay_schedule(0.0, settings.learning_rate, warmup, max(steps, warmup + 1))
    return optax.chain(
        optax.clip_by_global_norm(settings.gradient_clip),
        optax.adamw(schedule, weight_decay=settings.weight_decay, mask=_kernels),
    )


def _kernels(params: dict) -> dict:
    """True for kernels: weight decay leaves batch norm and biases alone."""
    return jax.tree_util.tree_map_with_path(lambda path, _: path[-1].key == "kernel", params)
