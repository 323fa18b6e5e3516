"""NSGA-II's operators against known fronts and slow definitions."""

import numpy as np

from danas_jax.search import nsga2


def test_ranks_of_known_fronts():
    points = np.array([[1, 4], [2, 2], [4, 1], [2, 5], [3, 3], [5, 5], [2, 2]])
    assert nsga2.ranks(points).tolist() == [0, 0, 0, 1, 1, 2, 0]


def test_constraint_domination():
    points = np.array([[9, 9], [0, 0], [1, 1], [8, 8], [0, 0]])
    violation = np.array([0.0, 5.0, 2.0, -1.0, np.nan])
    assert nsga2.ranks(points, violation).tolist() == [1, 3, 2, 0, 4]
    assert nsga2.select(points, violation, 2).tolist() == [3, 0]


def test_nan_objectives_rank_last():
    points = np.array([[np.nan, 0.0], [5, 5], [1, 1]])
    assert nsga2.ranks(points).tolist() == [2, 1, 0]
    assert nsga2.ranks(points, np.array([0.0, 0.0, 9.0])).tolist() == [2, 0, 1]
    assert nsga2.select(points, None, 3).tolist() == [2, 1, 0]
    assert nsga2.ranks(np.zeros((0, 2))).size == 0 and nsga2.select(np.zeros((0, 2)), None, 3).size == 0


def test_crowding_by_hand():
    points = np.array([[0, 10], [1, 6], [4, 4], [10, 0], [1, 6], [3, 20]])
    rank = np.array([0, 0, 0, 0, 0, 1])
    distance = nsga2.crowding(points, rank)
    assert np.isinf(distance[[0, 3, 5]]).all()
    np.testing.assert_allclose(distance[[1, 2]], [(0.4 + 0.6) / 2, (0.9 + 0.6) / 2])
    assert distance[4] == 0  # a copy


def test_crowding_ignores_an_objective_without_spread():
    distance = nsga2.crowding(np.array([[0, 3, 7], [1, 2, 7], [3, 0, 7]]), np.zeros(3, int))
    assert np.isinf(distance[[0, 2]]).all() and np.isclose(distance[1], 2 / 3)


def test_selection_prefers_spread_on_the_last_front():
    points = np.array([[0, 10], [4.9, 5.1], [5, 5], [10, 0], [2, 8]])
    assert set(nsga2.select(points, None, 4)) == {0, 3, 4, 2}


def test_tournament_and_variation_stay_in_bounds():
    rng = np.random.default_rng(0)
    rank, distance = np.array([0, 0, 3]), np.array([1.0, np.inf, np.inf])
    wins = np.bincount(nsga2.tournament(rng, rank, distance, 3000), minlength=3)
    assert wins[1] > wins[0] > wins[2]
    lower, upper = np.array([0, 1, 2, 0]), np.array([5, 1, 3, 9])
    genes = rng.integers(lower, upper + 1, size=(4000, 4))
    children = nsga2.crossover(rng, genes, genes[::-1])
    assert ((children == genes) | (children == genes[::-1])).all()
    mutated = nsga2.mutate(rng, genes, lower, upper, rate=0.3)
    assert ((mutated >= lower) & (mutated <= upper)).all()
    changed = (mutated != genes).mean(axis=0)
    assert changed[1] == 0 and 0.25 < changed[3] < 0.3
    assert (np.abs(mutated - genes).max(axis=0) > 1)[[0, 3]].all()  # resets beside steps
    assert (nsga2.mutate(rng, genes, lower, upper, rate=0.0) == genes).all()


def test_fathers_are_like_their_mothers():
    rng = np.random.default_rng(0)
    objectives = np.column_stack([np.arange(50.0), 1000 - 20 * np.arange(50.0)])
    rank, distance = np.zeros(50, int), np.zeros(50)
    mothers, fathers = nsga2.mates(rng, objectives, rank, distance, 4000)
    assert (mothers != fathers).all() and len(np.unique(mothers)) == 50
    assert 4 < np.abs(mothers - fathers).mean() < 8  # of six uniform draws the nearest; of one it is 17 away
    objectives[:25] = np.nan
    mothers, fathers = nsga2.mates(rng, objectives, rank, distance, 4000)
    assert (fathers[mothers >= 25] >= 25).mean() > 0.95  # what failed is near nothing
