"""Intervals, rank correlations and hypervolume against known values."""

import numpy as np
import pytest
from scipy import stats

from danas_jax import metrics


def test_standard_error_and_wilson():
    assert metrics.accuracy_standard_error(0.5, 100) == pytest.approx(0.05)
    assert np.isnan(metrics.accuracy_standard_error(0.5, 0))
    low, high = metrics.wilson_interval(8, 10)
    assert (low, high) == pytest.approx((0.4901625, 0.9433178), abs=1e-5)
    assert metrics.wilson_interval(10, 10)[1] == pytest.approx(1.0)
    assert metrics.wilson_interval(0, 0) == (0.0, 1.0)


def test_bootstrap_interval_matches_the_binomial():
    correct = np.arange(1000) < 800
    low, high = metrics.bootstrap_interval(correct, seed=0)
    assert low == pytest.approx(0.8 - 1.96 * 0.01265, abs=0.003)
    assert high == pytest.approx(0.8 + 1.96 * 0.01265, abs=0.003)
    assert metrics.bootstrap_interval(correct, seed=0) == (low, high)
    assert metrics.share_interval(0.8, 1000, seed=0) == (low, high)
    with pytest.raises(ValueError, match="no images"):
        metrics.bootstrap_interval(np.zeros(0, bool), seed=0)


def test_a_perfect_score_on_few_images_is_not_sure():
    """Every resample of it is perfect, too: the bootstrap would say that there is no error."""
    for correct in (np.ones(5, bool), np.ones(5)):
        assert metrics.bootstrap_interval(correct, seed=0) == metrics.wilson_interval(5, 5)
    assert metrics.share_interval(0.0, 1, seed=0) == pytest.approx((0.0, 0.793), abs=1e-3)
    assert metrics.share_interval(1.0, 2.4, seed=0) == metrics.wilson_interval(2, 2)
    with pytest.raises(ValueError, match="no images"):
        metrics.share_interval(0.5, 0, seed=0)


def test_paired_bootstrap_keeps_the_pairing():
    rng = np.random.default_rng(1)
    a = rng.random(2000) < 0.7
    b = a.copy()
    b[:40] = False  # b errs where a is right now and then: the paired interval is far narrower than two separate ones
    difference, low, high = metrics.paired_bootstrap(a, b, seed=3)
    assert difference == pytest.approx(a.mean() - b.mean())
    assert 0 < low < difference < high < 0.03
    flipped = metrics.paired_bootstrap(b, a, seed=3)
    assert flipped[0] == -difference and flipped[2] < 0
    index = rng.integers(0, 2000, size=(2000, 2000))
    slow = a[index].mean(axis=1) - b[index].mean(axis=1)
    assert (low, high) == pytest.approx(np.quantile(slow, [0.025, 0.975]), abs=0.0015)
    with pytest.raises(ValueError, match="same images"):
        metrics.paired_bootstrap(a, b[1:], seed=0)


@pytest.mark.parametrize("values", [3, 1000])
def test_rank_correlations_equal_scipy(values, monkeypatch):
    monkeypatch.setattr(metrics, "PAIRS_AT_ONCE", 500)  # several chunks
    rng = np.random.default_rng(values)
    a, b = rng.integers(0, values, size=(2, 60))
    b = b + a // 2
    assert metrics.kendall_tau(a, b) == pytest.approx(stats.kendalltau(a, b).statistic)
    assert metrics.spearman(a, b) == pytest.approx(stats.spearmanr(a, b).statistic)
    assert np.isnan(metrics.kendall_tau(a, np.ones(60))) and np.isnan(metrics.spearman(a, np.ones(60)))


def test_kendall_tau_is_that_of_all_pairs_with_ties():
    rng = np.random.default_rng(0)
    for count, values in [(n, k) for n in (2, 3, 7, 80) for k in (2, 5, 1000)]:
        a, b = rng.integers(0, values, (2, count))
        signs = [np.sign(x[:, None] - x) for x in (a, b)]
        untied = np.prod([float(np.count_nonzero(sign)) for sign in signs])
        expected = (signs[0] * signs[1]).sum() / np.sqrt(untied) if untied else np.nan
        assert metrics.kendall_tau(a, b) == pytest.approx(expected, nan_ok=True)


def test_hypervolume_by_hand():
    assert metrics.hypervolume(np.array([[0.25], [0.5]]), np.ones(1)) == pytest.approx(0.75)
    stairs = np.array([[1, 3], [2, 2], [3, 1], [3, 3], [5, 0]])  # one dominated, one beyond the reference
    assert metrics.hypervolume(stairs, np.array([4, 4])) == pytest.approx(6)
    assert metrics.hypervolume(np.array([[0, 0, 0]]), np.array([2, 3, 4])) == pytest.approx(24)
    three = np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]])  # three 2 x 1 x 1 boxes that share the unit cube at (1, 1, 1)
    assert metrics.hypervolume(three, np.array([2, 2, 2])) == pytest.approx(4)
    assert metrics.hypervolume(np.array([[0, 0, 0, 1], [1, 1, 1, 0]]), np.full(4, 2.0)) == pytest.approx(8 + 1)
    assert metrics.hypervolume(np.array([[np.nan, 0]]), np.ones(2)) == 0
    assert metrics.hypervolume(np.zeros((0, 3)), np.ones(3)) == 0


@pytest.mark.parametrize("objectives", [2, 3, 4])
def test_hypervolume_equals_counting_cells(objectives, monkeypatch):
    monkeypatch.setattr(metrics, "PAIRS_AT_ONCE", 50)
    points = np.random.default_rng(objectives).integers(0, 8, size=(25, objectives))
    cells = np.indices((8,) * objectives).reshape(objectives, -1).T
    covered = (cells[:, None] >= points).all(axis=2).any(axis=1).sum()
    assert metrics.hypervolume(points, np.full(objectives, 8)) == pytest.approx(covered)


def test_pareto_mask_keeps_equal_rows_and_drops_nan():
    points = np.array([[1, 2], [1, 2], [2, 1], [2, 2], [np.nan, 0]])
    assert metrics.pareto_mask(points).tolist() == [True, True, True, False, False]
    many = np.random.default_rng(0).integers(0, 6, size=(200, 3))
    dominated = ((many[:, None] <= many).all(2) & (many[:, None] < many).any(2)).any(0)
    assert (metrics.pareto_mask(many) == ~dominated).all()
