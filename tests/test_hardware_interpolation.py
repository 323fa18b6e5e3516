"""Non-negative least squares and the lines through measured layers."""

from __future__ import annotations

import numpy as np
import pytest

from danas_jax.hardware import interpolation


@pytest.mark.parametrize("seed", range(20))
def test_the_solution_is_the_minimum(seed):
    """Karush-Kuhn-Tucker: no slope downhill among the used columns, none into x > 0 among the others."""
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(12, 5)), rng.normal(size=12)
    x = interpolation.non_negative_least_squares(a, b, max_used=5)
    slope = a.T @ (a @ x - b)
    assert (x >= 0).all()
    assert np.abs(slope[x > 0]).max(initial=0) < 1e-9
    assert slope[x == 0].min(initial=0) > -1e-9


def test_no_more_columns_than_asked_for():
    a, b = np.eye(4), np.array([1.0, 2.0, 3.0, 4.0])
    assert interpolation.non_negative_least_squares(a, b, max_used=2).tolist() == [0, 0, 3, 4]


def test_a_line_is_found_again_and_its_errors_count_relatively():
    rng = np.random.default_rng(1)
    features = np.column_stack([rng.uniform(1e3, 1e6, (30, 2)), np.ones(30)])
    truth = np.array([2e-6, 5e-7, 0.01])
    line = interpolation.fit(features, features @ truth)
    np.testing.assert_allclose(line.coefficients, truth, rtol=1e-6)
    # one feature, two points of the same size that differ by a factor of 2: the relative optimum is 4/3, not 3/2
    both = interpolation.fit(np.array([[1.0], [1.0], [1.0]]), np.array([1.0, 2.0, 4 / 3]))
    assert both.ms(np.array([1.0])) == pytest.approx((1 + 1 / 2 + 3 / 4) / (1 + 1 / 4 + 9 / 16))


def test_too_few_points_and_too_far_away():
    features = np.array([[10.0], [20.0], [40.0]])
    assert interpolation.fit(features[:2], np.array([1.0, 2.0])) is None
    line = interpolation.fit(features, features[:, 0])
    assert line.ms(np.array([5.0])) == pytest.approx(5.0)
    assert line.ms(np.array([80.0])) == pytest.approx(80.0)
    assert line.ms(np.array([4.9])) is None
    assert line.ms(np.array([81.0])) is None
