"""Watch over a training: the first step whose figures are no numbers, found on the device, without waiting for it.

From that step on nothing is updated any more, so neither the weights nor the optimiser's state can take the damage.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from danas_jax.errors import UserError

LOSS, GRADIENT, UPDATE = 0, 1, 2  # what was no number


class Diverged(UserError):
    """The loss, a gradient or the weights are no longer numbers; the message names the step and the subnet."""


class Health(NamedTuple):
    """The first failure: step (-1 = none so far), number of the pass within it, what failed, that pass's loss."""

    step: jax.Array
    index: jax.Array
    kind: jax.Array
    loss: jax.Array


def healthy() -> Health:
    """Nothing has failed."""
    return Health(*(jnp.asarray(value, jnp.int32) for value in (-1, 0, 0)), jnp.zeros(()))


def all_finite(tree: Any) -> jax.Array:
    """Whether every float of `tree` is a number; bool []."""
    leaves = [leaf for leaf in map(jnp.asarray, jax.tree.leaves(tree)) if jnp.issubdtype(leaf.dtype, jnp.floating)]
    return jnp.stack([jnp.isfinite(leaf).all() for leaf in leaves]).all()


def guarded(health: Health, step: jax.Array, losses: list, grads: list, old: Any, new: Any) -> tuple[Health, Any]:
    """(health after `step`, `new` or, where anything failed now or before, `old`); traced.

    `losses` and `grads` are those of the step's passes, `old` and `new` equal trees: the weights before and after.
    """
    values = jnp.stack(losses)
    sound_losses = jnp.isfinite(values)
    sound = sound_losses & jnp.stack([all_finite(tree) for tree in grads])
    index = jnp.argmin(sound)  # the first that is not; 0 where all are, then the update itself is to blame
    found = Health(
        jnp.asarray(step, jnp.int32),
        index.astype(jnp.int32),
        jnp.where(sound.all(), UPDATE, jnp.where(sound_losses[index], GRADIENT, LOSS)).astype(jnp.int32),
        values[index],
    )
    failed = ~(sound.all() & all_finite(new))
    first = failed & (health.step < 0)
    health = Health(*(jnp.where(first, now, before) for now, before in zip(found, health, strict=True)))
    return health, jax.tree.map(lambda a, b: jnp.where(health.step < 0, b, a), old, new)


def failure(health: Health) -> tuple[int, int, str] | None:
    """(step, number of the pass, what failed in words) of the first failure, None where there is none.

    Waits for the device.
    """
    step, index, kind = int(health.step), int(health.index), int(health.kind)
    if step < 0:
        return None
    words = {LOSS: f"loss is {np.float32(health.loss)}", GRADIENT: "gradient is no number", UPDATE: "update overflows"}
    return step, index, words[kind]
