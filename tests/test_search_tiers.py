"""How far the cheap accuracies may be trusted: the figures by hand, and what is said of too little."""

import numpy as np
import pytest

from danas_jax.metrics import kendall_tau
from danas_jax.search import predictor, tiers
from danas_jax.spaces import quickstart

SPACE = quickstart()


def test_the_half_slice_by_hand():
    genes = SPACE.sample(np.random.default_rng(0), 4)
    half, full = np.array([0.5, 0.6, 0.7, 0.9]), np.array([0.51, 0.63, 0.62, np.nan])
    int8 = np.array([np.nan, 0.60, 0.57, np.nan])
    found = tiers.figures(SPACE, genes, half, full, int8, 0)
    assert found["half"]["systems"] == 3 and found["predictor"] is None
    assert found["half"]["mean_absolute_error"] == pytest.approx((0.01 + 0.03 + 0.08) / 3)
    assert found["half"]["kendall_tau"] == pytest.approx(1 / 3)
    assert found["int8"] == {"systems": 2, "mean_absolute_error": pytest.approx(0.04), "kendall_tau": 1.0}
    assert tiers.text(found, "f1") == (
        "F1 tiers: half: mean error 0.0400, Kendall's tau 0.33 (3 systems); "
        "int8: mean error 0.0400, Kendall's tau 1.00 (2 systems); predictor: too few systems to tell"
    )
    found = tiers.figures(SPACE, genes, np.full(4, 0.5), np.full(4, 0.6), np.full(4, np.nan), 0)
    assert found["half"]["kendall_tau"] is None and "accuracy tiers: half: mean error 0.1000, Kendall's tau -" in (
        tiers.text(found, "accuracy")
    )
    assert found["int8"] is None


def test_the_predictor_is_judged_by_what_it_had_not_seen():
    """Of 60 systems it knows each one's noise, so its error on them says nothing."""
    rng = np.random.default_rng(1)
    genes, none = SPACE.sample(rng, 61), np.full(61, np.nan)
    half = 0.5 + 0.01 * (genes @ rng.standard_normal(len(SPACE.axes))) + 0.01 * rng.standard_normal(61)
    half[3] = np.nan
    found = tiers.figures(SPACE, genes, half, none, none, 0)
    assert found["half"] is None
    known = ~np.isnan(half)
    fitted = predictor.fit(SPACE, genes[known], half[known], 0)
    mean, deviation = fitted.predict(genes[known])
    seen, unseen = np.abs(mean - half[known]), np.abs(fitted.left_out - half[known])
    covered = (unseen <= 2 * deviation).mean()
    assert unseen.mean() > 1.2 * seen.mean() and covered < (seen <= 2 * deviation).mean()
    assert found["predictor"] == {
        "systems": 60,
        "mean_absolute_error": unseen.mean(),
        "kendall_tau": kendall_tau(fitted.left_out, half[known]),
        "coverage_2_std": covered,
    }
    assert f"within 2 std {covered:.0%} (60 systems)" in tiers.text(found, "accuracy")
