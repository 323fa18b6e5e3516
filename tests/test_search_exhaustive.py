"""Strategy `exhaustive`: every system that fits once, in chunks, within the bounds; too many are refused."""

import numpy as np
import pytest
from enumerated import every_system, wide_space
from search_toys import SPACE, tiny_space, toy_accuracy, toy_costs, violation

from danas_jax import spaces
from danas_jax.config import Limits, SearchSettings
from danas_jax.errors import UserError
from danas_jax.search import exhaustive
from danas_jax.search.feasible import Problem
from danas_jax.search.runner import search


def problem_of(space, limits, lower=None, upper=None):
    costs = toy_costs(space)
    lower, upper = (space.min_genes if lower is None else lower), (space.max_genes if upper is None else upper)
    return Problem(space, lower, upper, lambda genes: violation(costs(genes, ""), limits))


def ask_all(problem, population, told=None):
    """What is asked for until nothing is, round by round."""
    state = exhaustive.init(problem, SearchSettings(population=population), 0)
    if told is not None:
        state = exhaustive.tell(state, told, np.zeros((len(told), 3)))
    asked = []
    for _ in range(20):
        genes = exhaustive.ask(state)
        if not len(genes):
            return asked
        asked.append(genes)
        state = exhaustive.tell(state, genes, np.zeros((len(genes), 3)))
    raise AssertionError("it does not end")


def same_systems(found, expected):
    return len(found) == len(expected) and (np.unique(found, axis=0) == np.unique(expected, axis=0)).all()


def test_every_system_comes_once():
    space = wide_space()
    asked = ask_all(problem_of(space, Limits()), 5000)
    assert [len(genes) for genes in asked] == [5000] * 4 + [736]
    assert same_systems(np.concatenate(asked), every_system(space))


@pytest.mark.parametrize("population", [1, 5, 100])
def test_only_what_fits_and_was_not_told_of(population):
    space = tiny_space()
    problem = problem_of(space, Limits(sram_bytes=2750))
    fitting = every_system(space)[problem.fits(every_system(space))]
    assert 3 < len(fitting) < 16
    assert same_systems(np.concatenate(ask_all(problem, population)), fitting)
    assert same_systems(np.concatenate(ask_all(problem, population, told=fitting[1:3])), np.delete(fitting, [1, 2], 0))


def test_bounds_hold_for_active_genes():
    space = wide_space()
    lower, upper = space.min_genes, space.max_genes
    lower[space.index["s1.b1.expansion"]], lower[0], upper[1] = 1, 1, 0
    problem = problem_of(space, Limits(), lower, upper)
    every = np.unique(problem.canonical(every_system(space)), axis=0)
    inside = every[(every == problem.canonical(every)).all(axis=1)]
    assert same_systems(np.concatenate(ask_all(problem, 3000)), inside)


def test_a_budget_nothing_fits_asks_for_nothing():
    assert exhaustive.ask(exhaustive.init(problem_of(SPACE, Limits(sram_bytes=10)), SearchSettings(), 0)).shape == (
        0,
        len(SPACE.axes),
    )


def test_too_many_are_refused_and_bounds_help():
    space = spaces.mobilenetv2_tiny()
    with pytest.raises(UserError, match=r"mobilenetv2_tiny has [\d,]+ combinations of genes, at most 1,000,000"):
        exhaustive.init(problem_of(space, Limits()), SearchSettings(), 0)
    upper = space.min_genes
    upper[:4] = 1
    assert len(np.concatenate(ask_all(problem_of(space, Limits(), upper=upper), 100))) == 16


def test_a_search_ends_when_every_budget_has_seen_all_that_fits_it():
    space, budgets = tiny_space(), (Limits(sram_bytes=2750), Limits(sram_bytes=4000))
    costs, evaluate = toy_costs(space), toy_accuracy(space)
    settings = SearchSettings(strategy="exhaustive", population=3, generations=1)

    def constraint(genes, limits):
        return violation(costs(genes, limits.board), limits)

    events = []
    result = search(space, settings, budgets, costs, violation, constraint, evaluate, 0, 400, progress=events.append)
    assert len(events) > settings.generations + 1 and {e["generations"] for e in events} == {None}
    every = every_system(space)
    assert same_systems(result.evaluations.genes, every[constraint(every, budgets[1]) <= 0])
