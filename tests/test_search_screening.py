"""Very many candidates narrowed to a few: the same selection as NSGA-II's, and fronts without all pairs."""

import numpy as np
import pytest
from search_toys import SPACE, tiny_space, toy_accuracy, toy_costs, violation

from danas_jax.config import Limits, SearchSettings
from danas_jax.metrics import pareto_mask
from danas_jax.search import evolution, nsga2, predictor, screening
from danas_jax.search.feasible import Problem
from danas_jax.search.runner import search


@pytest.mark.parametrize("columns", [1, 2, 3, 4, 6])
@pytest.mark.parametrize("values", [4, 1_000_000])
def test_the_grid_throws_out_nothing_of_the_front(columns, values, monkeypatch):
    monkeypatch.setattr(screening, "CELLS", 500)
    rng = np.random.default_rng(columns)
    for count in (1, 5, 300, 4000):
        points = rng.integers(0, values, (count, columns)).astype(float)
        assert (screening._front(points) == pareto_mask(points)).all()


@pytest.mark.parametrize("count", [1, 100, 799, 900])
def test_selection_is_nsga2s(count):
    points = np.random.default_rng(0).random((800, 3))
    points[5] = np.nan
    assert (screening.best(points, count) == nsga2.select(points, None, count)).all()


def test_nothing_to_select_from():
    assert screening.best(np.empty((0, 3)), 5).shape == (0,)


def test_the_same_front_with_fewer_evaluations():
    """Evaluations until the hypervolume that a search without the predictor ends with; figures with `pytest -s`."""
    costs, budgets = toy_costs(SPACE), (Limits(sram_bytes=7000),)

    def history(screen, seed):
        """(evaluations, hypervolume) after every generation."""
        settings = SearchSettings(population=20, generations=10, screen=screen)
        found = []
        search(
            SPACE, settings, budgets, costs, violation, lambda genes, limits: violation(costs(genes, ""), limits),
            toy_accuracy(SPACE, seed=seed), seed, 400,
            progress=lambda event: found.append((event["evaluations"], event["budgets"][0]["hypervolume"])),
        )  # fmt: skip
        return np.array(found).T

    needed = []
    for seed in range(5):
        (evaluations, plain), (screened_evaluations, screened) = history(0, seed), history(1000, seed)
        goal = 0.999 * plain[-1]
        assert screened[-1] >= goal
        needed.append((evaluations[np.argmax(plain >= goal)], screened_evaluations[np.argmax(screened >= goal)]))
        print(
            "seed {}: 99.9 % of {:.4f} after {:.0f} evaluations, screened {:.0f}".format(seed, plain[-1], *needed[-1])
        )
    before, after = np.sum(needed, axis=0)
    print(f"screened / unscreened evaluations, all seeds: {after / before:.2f}")
    assert after <= 0.6 * before


def screened(space, limits, settings, bound=1.0):
    """A screened first round after 30 evaluations, where the quick costs are `bound` of the real ones."""
    costs, rng = toy_costs(space), np.random.default_rng(0)
    problem = Problem(space, space.min_genes, space.max_genes, lambda genes: violation(costs(genes, ""), limits))

    def quick(genes, board):
        return {key: column * bound for key, column in costs(genes, board).items()}

    genes = space.sample(rng, 40)
    accuracy = toy_accuracy(space)(genes, "half")
    state = evolution.tell(
        evolution.init(problem, settings, 0),
        genes,
        screening.Quick(costs, violation, limits, settings.objectives).scores(genes, accuracy),
    )
    known = predictor.fit(space, genes, accuracy, 0)
    low = screening.Quick(quick, violation, limits, settings.objectives)
    return state, screening.ask(evolution, state, low, known)


def test_what_is_asked_for_fits_is_new_and_promises_more():
    settings, limits = SearchSettings(population=16, screen=500), Limits(sram_bytes=6000)
    state, genes = screened(SPACE, limits, settings, bound=0.8)  # much of what may fit does not
    assert len(genes) == 16 and state.problem.fits(genes).all()
    both = np.concatenate([state.known.genes, genes])
    assert len(np.unique(both, axis=0)) == len(both) and (SPACE.canonical(genes) == genes).all()
    measured = toy_accuracy(SPACE)
    assert measured(genes, "half").max() > measured(evolution.ask(state), "half").max()


def test_where_bounds_mislead_the_strategy_fills_up():
    """By these bounds everything fits, so what promises most does not."""
    state, genes = screened(SPACE, Limits(sram_bytes=4000), SearchSettings(population=16, screen=500), bound=0.01)
    assert len(genes) == 16 and state.problem.fits(genes).all()
    assert len(np.unique(genes, axis=0)) == 16


def test_a_small_space_is_screened_to_its_end():
    """Fewer are left than are asked for, then none."""
    space = tiny_space()
    state, genes = screened(space, Limits(), SearchSettings(population=30, screen=500))
    assert len(state.known) + len(genes) == 32
