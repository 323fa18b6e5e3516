"""Distillation against its definition."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from danas_jax.supernet.distil import Distillation, adaptive_alpha_divergence, label_loss

pytestmark = pytest.mark.usefixtures("strict_types")
RNG = np.random.default_rng(0)
STUDENT, TEACHER = (jnp.asarray(RNG.normal(0, 1, (64, 5)), jnp.float32) for _ in range(2))
LABELS = jax.nn.one_hot(jnp.arange(64) % 5, 5)


def divergence(p, q, alpha):
    """D_alpha(p || q) by the definition, alpha not 0 or 1; [B]."""
    return ((q * (p / q) ** alpha).sum(-1) - 1) / (alpha * (alpha - 1))


def softmax(x):
    exponentials = np.exp(np.asarray(x, np.float64))
    return exponentials / exponentials.sum(-1, keepdims=True)


def test_it_is_the_larger_divergence_of_each_image():
    p, q = softmax(TEACHER), softmax(STUDENT)
    p[0] = q[0]
    unclipped = (q / p).max(-1) < 5
    forward, reverse = divergence(p, q, 1 + 1e-7), divergence(p, q, -1.0)
    np.testing.assert_allclose(forward, (p * np.log(p / q)).sum(-1), atol=1e-5)
    larger = reverse > forward
    assert (larger & unclipped).sum() > 10
    assert (~larger & unclipped).sum() > 3
    found = adaptive_alpha_divergence(STUDENT, jnp.asarray(p, jnp.float32))
    np.testing.assert_allclose(np.asarray(found)[unclipped], np.maximum(forward, reverse)[unclipped], atol=1e-5)
    assert found[0] == pytest.approx(0.0, abs=1e-5)


def test_its_gradient_is_the_definitions():
    """Where no ratio is clipped: against finite differences of the larger divergence, in double precision."""
    p, logits = softmax(TEACHER), np.asarray(STUDENT, np.float64)

    def value(logits):
        q = softmax(logits)
        return np.maximum((p * np.log(p / q)).sum(-1), divergence(p, q, -1.0))

    found = jax.grad(lambda x: adaptive_alpha_divergence(x, jnp.asarray(p, jnp.float32)).sum())(STUDENT)
    unclipped = (softmax(STUDENT) / p).max(-1) < 5
    for k in range(5):
        step = 1e-5 * (np.arange(5) == k)
        expected = (value(logits + step) - value(logits - step)) / 2e-5
        np.testing.assert_allclose(np.asarray(found)[unclipped, k], expected[unclipped], atol=1e-4)


def test_a_class_that_the_teacher_rules_out_stays_bounded():
    teacher = jnp.array([[1.0, 0.0]])
    value, slope = jax.value_and_grad(lambda x: adaptive_alpha_divergence(x, teacher).sum())(jnp.array([[0.0, 9.0]]))
    assert np.isfinite(float(value))
    assert np.isfinite(np.asarray(slope)).all()
    assert np.abs(np.asarray(slope)).max() < 5


def test_soft_labels_are_blended_with_the_labels():
    soft = np.asarray(jax.nn.softmax(TEACHER))
    plain, blended = (Distillation("soft_labels", weight).targets(TEACHER, LABELS) for weight in (0.0, 0.25))
    np.testing.assert_array_equal(plain, soft)
    np.testing.assert_allclose(blended, 0.25 * LABELS + 0.75 * soft, rtol=1e-6)


@pytest.mark.parametrize("weight", [0.0, 0.25, 1.0])
def test_alpha_is_blended_with_the_labels_loss(weight):
    distillation = Distillation("alpha", weight)
    found = distillation(STUDENT, distillation.targets(TEACHER, LABELS))
    divergence = adaptive_alpha_divergence(STUDENT, jax.nn.softmax(TEACHER)).mean()
    assert float(found) == pytest.approx(weight * float(label_loss(STUDENT, LABELS)) + (1 - weight) * float(divergence))
