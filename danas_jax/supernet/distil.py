"""What the subnets learn from: labels for the teacher, its answers and a share of the labels for the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp
import optax
from jax.lax import stop_gradient

_RATIO_LIMIT = 5.0  # of the importance ratio at alpha = -1, as in Wang et al.'s experiments


def label_loss(logits: jax.Array, targets: jax.Array) -> jax.Array:
    """Mean cross-entropy of logits [B, K] with targets [B, K], labels or probabilities, or [B, K, 2] (`outcomes`)."""
    return optax.softmax_cross_entropy(outcomes(logits, targets.ndim > logits.ndim), targets).mean()


def outcomes(logits: jax.Array, multi_label: bool) -> jax.Array:
    """Logits of what excludes each other: the classes [B, K] as they are, or having each of them or not [B, K, 2]."""
    return jnp.stack([logits, jnp.zeros_like(logits)], axis=-1) if multi_label else logits


def share_right(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Share of right decisions: the highest of logits [B, K], or with labels [B, K] each of them above 0.

    Examples without a label (-1) do not count.
    """
    if labels.ndim == 2:
        return jnp.mean((logits > 0) == (labels > 0))
    return jnp.sum(logits.argmax(-1) == labels) / jnp.maximum(jnp.sum(labels >= 0), 1)


@dataclass(frozen=True)
class Distillation:
    """In-place distillation: the `targets` of the smaller subnets and, called, their loss.

    Frozen, because programs are cached by it.
    """

    kind: Literal["soft_labels", "alpha"]
    label_weight: float
    confidence_min: float = 0.0  # the teacher's, below which nothing is learned of an example without a label

    def targets(self, teacher_logits: jax.Array, labels: jax.Array) -> jax.Array:
        """What the loss takes, from the teacher's logits and the smoothed labels [B, K].

        The cross-entropy is linear in its targets, so soft labels are blended here: [B, K]. The divergence is not: it
        gets both, as [2, B, K]. Of labels of any number of classes all have one more axis, see `outcomes`.
        Labels that are all 0 are none; soft labels that are all 0 teach nothing.
        """
        soft = jax.nn.softmax(outcomes(teacher_logits, labels.ndim > teacher_logits.ndim))
        if self.confidence_min:
            sure = (labels.sum(-1) > 0) | (soft.max(-1) >= self.confidence_min)
            soft = jnp.where(sure[..., None], soft, 0)
        if self.kind == "alpha":
            return jnp.stack([soft, labels])
        return soft if not self.label_weight else self.label_weight * labels + (1 - self.label_weight) * soft

    def __call__(self, logits: jax.Array, targets: jax.Array) -> jax.Array:
        """The mean loss of a smaller subnet's logits [B, K]."""
        if self.kind == "soft_labels":
            return label_loss(logits, targets)
        alike = outcomes(logits, targets[0].ndim > logits.ndim)
        loss = jnp.where(targets[0].sum(-1) > 0, adaptive_alpha_divergence(alike, targets[0]), 0).mean()
        if self.label_weight:
            loss = self.label_weight * label_loss(logits, targets[1]) + (1 - self.label_weight) * loss
        return loss


def adaptive_alpha_divergence(logits: jax.Array, teacher: jax.Array) -> jax.Array:
    """Per image [B], the larger of the alpha-divergences at -1 and 1 of the student from `teacher` [B, K].

    D_a(p || q) = (sum q (p / q)^a - 1) / (a (a - 1)), p the teacher, q = softmax(logits): at 1 (its limit) the
    Kullback-Leibler divergence, which punishes a student that misses what the teacher believes in; at -1 it punishes
    belief that the teacher does not share. Its gradient is -E_q[(p / q)^a grad log q] / a; at -1 the ratio is clipped,
    or one class the teacher rules out would outweigh the batch (Wang et al. 2021, AlphaNet).
    """
    log_q = jax.nn.log_softmax(logits)
    q = stop_gradient(jnp.exp(log_q))
    log_p = jnp.log(jnp.maximum(teacher, jnp.finfo(teacher.dtype).tiny))
    forward = (teacher * (log_p - log_q)).sum(-1)  # its gradient is the definition's as it stands
    ratio = jnp.minimum(jnp.exp(stop_gradient(log_q) - log_p), _RATIO_LIMIT)
    value = ((q * ratio).sum(-1) - 1) / 2
    # The clipped divergence by value, the clipped ratio's gradient: the term added is zero.
    slope = (q * ratio * log_q).sum(-1)
    reverse = value + slope - stop_gradient(slope)
    return jnp.where(stop_gradient(reverse > forward), reverse, forward)
