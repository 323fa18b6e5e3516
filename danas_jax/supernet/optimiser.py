"""The optimiser and the weights' average, for the supernet and for retraining.

AdamW or SGD with warm-up and cosine, decay on kernels only, clipping by the global norm.
"""

from __future__ import annotations

from typing import Any, Literal, Protocol

import jax
import jax.numpy as jnp
import numpy as np
import optax

from danas_jax.supernet.guard import Health, guarded

_MOMENTUM = 0.9
_DECAYED = {"kernel": True, "other": False}  # of packed params: weight decay leaves batch norm and biases alone


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
    """The optimiser of a run of `steps` steps, over `pack`ed params.

    AdamW's weight decay is decoupled from the gradient (Loshchilov and Hutter 2019), SGD's is part of it, as usual.
    """
    warmup = min(max(1, round(settings.warmup_fraction * steps)), max(1, steps - 1))
    schedule = optax.warmup_cosine_decay_schedule(0.0, settings.learning_rate, warmup, max(steps, warmup + 1))
    clip = optax.clip_by_global_norm(settings.gradient_clip)
    if settings.optimiser == "adamw":
        return optax.chain(clip, optax.adamw(schedule, weight_decay=settings.weight_decay, mask=_DECAYED))
    return optax.chain(
        clip,
        optax.add_decayed_weights(settings.weight_decay, mask=_DECAYED),
        optax.sgd(schedule, momentum=_MOMENTUM, nesterov=True),
    )


def _group(path: tuple) -> str:
    return "kernel" if path[-1].key == "kernel" else "other"


def pack(params: dict, xp: Any = jnp) -> dict:
    """Params (or their gradients) {layer: {name: array}} as two vectors, {"kernel": all kernels, "other": the rest}.

    The optimiser works on these: code for each of 200 tensors took 18 s to compile, for two vectors 2 s. `xp`: np on
    the host.
    """
    groups: dict[str, list] = {"kernel": [], "other": []}
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        groups[_group(path)].append(xp.ravel(leaf))
    return {name: xp.concatenate(leaves) for name, leaves in groups.items()}


def unpack(packed: dict, like: dict) -> dict:
    """The inverse of `pack`, in the shapes of `like`."""
    start = dict.fromkeys(packed, 0)

    def taken(path, leaf):
        group = _group(path)
        start[group] += leaf.size
        return packed[group][start[group] - leaf.size : start[group]].reshape(leaf.shape)

    return jax.tree_util.tree_map_with_path(taken, like)


def initial_weights(
    optimiser: optax.GradientTransformation, params: dict, averaged: bool, rates: dict | None = None
) -> dict[str, Any]:
    """What a training holds: {"params", "optimiser": its state over packed params, and where wanted "average"}.

    `rates`, of the params' shapes, multiply the learning rate of each value; they are kept packed, as "rates".
    Made on the host: JAX would compile seven small programs for the shapes of each network, and keep them.
    """
    shapes = jax.eval_shape(lambda params: optimiser.init(pack(params)), params)
    zeros = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)  # where AdamW and SGD begin
    weights = {"params": params, "optimiser": zeros}
    return weights | ({"average": params} if averaged else {}) | ({"rates": pack(rates, np)} if rates else {})


def updated_weights(
    optimiser: optax.GradientTransformation,
    ema_decay: float,
    health: Health,
    weights: dict[str, Any],
    losses: list[jax.Array],
    grads: list[dict],
    step: jax.Array,
) -> tuple[Health, dict[str, Any]]:
    """(health, weights) after a step over the mean of its passes' gradients; traced. Unchanged where one failed."""
    flat = [pack(one) for one in grads]
    mean = jax.tree.map(lambda *leaves: sum(leaves[1:], leaves[0]) / len(leaves), *flat)
    trees = [name for name in weights if name not in ("optimiser", "rates")]
    old = weights | {name: pack(weights[name]) for name in trees}
    updates, state = optimiser.update(mean, old["optimiser"], old["params"])
    if "rates" in weights:
        updates = jax.tree.map(jnp.multiply, updates, weights["rates"])
    new = {**old, "params": optax.apply_updates(old["params"], updates), "optimiser": state}
    if "average" in weights:
        new["average"] = moving_average(old["average"], new["params"], ema_decay, jnp.asarray(step, jnp.float32))
    health, new = guarded(health, step, losses, flat, old, new)
    return health, new | {name: unpack(new[name], weights[name]) for name in trees}


def moving_average(average: Any, params: Any, ema_decay: float, step: jax.Array) -> Any:
    """The exponential average of the params after the update of `step` (float32 [], from 0); traced.

    Early on it follows quickly, so that it never remembers the start.
    """
    decay = jnp.minimum(ema_decay, (1.0 + step) / (10.0 + step))
    return jax.tree.map(lambda old, new: decay * old + (1.0 - decay) * new, average, params)
