"""init / ask / tell: determinism, hard limits, duplicates, exhaustion, repair; evolution against random."""

from functools import cache

import numpy as np
import pytest
from search_toys import SPACE, tiny_space, toy_accuracy, toy_costs, violation

from danas_jax.config import Limits, SearchSettings
from danas_jax.metrics import hypervolume, pareto_mask
from danas_jax.search import evolution, feasible, random_search
from danas_jax.search.feasible import Problem
from danas_jax.search.state import generator

STRATEGIES = [evolution, random_search]
SETTINGS = SearchSettings(population=16, generations=4, objectives=("error", "sram", "macs"))


def problem_of(space, limits, lower=None, upper=None):
    costs = toy_costs(space)
    lower = space.min_genes if lower is None else lower
    upper = space.max_genes if upper is None else upper
    return Problem(space, lower, upper, lambda genes: violation(costs(genes, ""), limits))


def scores(space, genes, evaluate):
    costs = toy_costs(space)(genes, "")
    return np.column_stack([1 - evaluate(genes, "half"), costs["arena_device_bytes"], costs["macs"]])


def run(strategy, problem, settings, seed, rounds):
    evaluate, asked = toy_accuracy(problem.space), []
    state = strategy.init(problem, settings, seed)
    for _ in range(rounds):
        genes = strategy.ask(state)
        asked.append(genes)
        state = strategy.tell(state, genes, scores(problem.space, genes, evaluate))
    return state, asked


@cache
def everything(space):
    """Every system of a small space once, sorted."""
    grid = np.indices(space.cardinalities).reshape(len(space.axes), -1).T
    return np.unique(space.canonical(grid), axis=0)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("sram", [4500, 6000, None])
def test_every_candidate_fits_and_is_new_and_canonical(strategy, sram):
    problem = problem_of(SPACE, Limits(sram_bytes=sram, macs=2_000_000))
    state, asked = run(strategy, problem, SETTINGS, 3, 6)
    genes = np.concatenate(asked)
    assert [len(a) for a in asked] == [16] * 6
    assert (problem.constraint(genes) <= 0).all()
    assert len(np.unique(genes, axis=0)) == len(genes)
    assert (SPACE.canonical(genes) == genes).all()
    assert ((genes >= 0) & (genes <= SPACE.max_genes)).all()
    assert len(state.genes) == 16 and len(state.known) == 96


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_bounds_hold_for_active_genes(strategy):
    lower, upper = SPACE.min_genes, SPACE.max_genes
    lower[SPACE.index["s1.b1.kernel"]] = 1
    lower[0], upper[0], upper[1] = 1, 1, 0
    problem = problem_of(SPACE, Limits(sram_bytes=8000), lower, upper)
    _, asked = run(strategy, problem, SETTINGS, 0, 4)
    genes = np.concatenate(asked)
    assert (genes[:, 0] == 1).all() and (genes[:, 1] == 0).all()
    deep = genes[:, SPACE.index["s1.depth"]] == 1
    assert deep.any() and (genes[deep, SPACE.index["s1.b1.kernel"]] == 1).all()


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_same_seed_same_candidates_and_ask_is_pure(strategy):
    problem = problem_of(SPACE, Limits(sram_bytes=5000))
    one, two, other = (np.concatenate(run(strategy, problem, SETTINGS, seed, 4)[1]) for seed in (5, 5, 6))
    assert (one == two).all() and not (one == other).all()
    state = strategy.init(problem, SETTINGS, 5)
    assert (strategy.ask(state) == strategy.ask(state)).all()


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("sram", [2750, None])
def test_a_small_space_is_exhausted_exactly(strategy, sram):
    space = tiny_space()
    problem = problem_of(space, Limits(sram_bytes=sram))
    every = everything(space)
    fitting = every[problem.fits(every)]
    assert sram is None or 0 < len(fitting) < len(every)
    settings = SearchSettings(population=5)
    state, asked = run(strategy, problem, settings, 1, 12)
    found = np.concatenate(asked)
    assert {g.tobytes() for g in found} == {g.tobytes() for g in fitting} and len(found) == len(fitting)
    assert len(asked[-1]) == 0 and len(state.known) == len(fitting)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_an_impossible_budget_asks_for_nothing(strategy):
    problem = problem_of(SPACE, Limits(sram_bytes=10))
    assert strategy.ask(strategy.init(problem, SETTINGS, 0)).shape == (0, len(SPACE.axes))


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("slack", [0, 800, 2000])
def test_a_nearly_impossible_budget_finds_exactly_the_few_that_fit(strategy, slack):
    smallest = int(toy_costs(SPACE)(SPACE.min_genes[None], "")["arena_host_bytes"][0])
    problem = problem_of(SPACE, Limits(sram_bytes=smallest + slack))
    every = everything(SPACE)
    fitting = every[problem.fits(every)]
    assert 1 <= len(fitting) < 1e-3 * len(every)  # rejection alone would starve
    _, asked = run(strategy, problem, SETTINGS, 0, 12)
    found = np.concatenate(asked)
    assert len(found) == len(fitting) and (np.unique(found, axis=0) == fitting).all() and len(asked[-1]) == 0


def test_neighbours_complete_what_proposals_miss():
    space = tiny_space()
    problem, none = problem_of(space, Limits()), feasible.Known.of(np.empty((0, len(space.axes))))

    def stuck(rng, count):
        return np.repeat(space.max_genes[None], count, axis=0)

    rng = np.random.default_rng(0)
    assert len(feasible.collect(problem, none, stuck, rng, 7)) == 7
    every = feasible.collect(problem, none, stuck, rng, 100)
    assert (np.unique(every, axis=0) == everything(space)).all() and len(every) == len(everything(space))
    assert len(feasible.collect(problem, feasible.Known.of(every[:-3]), stuck, rng, 100)) == 3


def test_a_system_above_a_smallest_one_that_does_not_fit_is_found():
    def only_one(genes):
        return np.abs(genes - lonely).sum(axis=1)

    lonely = SPACE.min_genes
    lonely[[2, 3]] = 1
    problem = Problem(SPACE, SPACE.min_genes, SPACE.max_genes, only_one)
    assert (evolution.ask(evolution.init(problem, SETTINGS, 0)) == lonely).all()
    assert len(evolution.ask(evolution.init(problem, SETTINGS, 0))) == 1


def test_every_round_draws_its_own_numbers():
    state = evolution.init(problem_of(SPACE, Limits()), SETTINGS, (1, 2))
    later = evolution.tell(state, SPACE.min_genes[None], np.zeros((1, 3)))
    assert generator(state).random() == generator(state).random() != generator(later).random()


def test_repair_is_tight_and_leaves_fitting_rows_alone():
    problem = problem_of(SPACE, Limits(sram_bytes=6000))
    rng = np.random.default_rng(0)
    genes = SPACE.sample(rng, 300)
    fits = problem.fits(genes)
    fixed = feasible.repair(problem, genes, rng)
    assert len(fixed) == 300 and problem.fits(fixed).all() and 0 < fits.sum() < 300
    assert (fixed[fits] == genes[fits]).all() and (fixed <= genes).all()
    assert len(np.unique(fixed[~fits], axis=0)) > 0.5 * (~fits).sum()  # not all at the smallest network


def test_tell_drops_what_does_not_fit_and_what_is_known():
    problem = problem_of(SPACE, Limits(sram_bytes=6000))
    state = evolution.init(problem, SETTINGS, 0)
    genes = evolution.ask(state)
    state = evolution.tell(state, np.concatenate([genes, genes, SPACE.max_genes[None]]), np.zeros((33, 3)))
    assert len(state.known) == 16 and problem.fits(state.genes).all()


def test_evolution_beats_random():
    settings = SearchSettings(population=20, objectives=SETTINGS.objectives)
    problem, evaluate = problem_of(SPACE, Limits(sram_bytes=7000)), toy_accuracy(SPACE)
    largest = scores(SPACE, SPACE.max_genes[None], evaluate)[0]
    reference = np.array([1, 7000, largest[2]])
    volumes, best = {}, {}
    for strategy in STRATEGIES:
        values = []
        for seed in range(5):
            _, asked = run(strategy, problem, settings, seed, 10)
            points = scores(SPACE, np.concatenate(asked), evaluate)
            values.append((hypervolume(points / reference, np.ones(3)), 1 - points[:, 0].min()))
        volumes[strategy], best[strategy] = np.mean(values, axis=0)
    assert volumes[evolution] > volumes[random_search] + 0.002
    assert best[evolution] > best[random_search]


def test_evolve_on_a_bound_returns_only_what_fits_exactly():
    evaluate, limits = toy_accuracy(SPACE), Limits(sram_bytes=6000)
    exact = problem_of(SPACE, limits).constraint
    loose = problem_of(SPACE, Limits(sram_bytes=6600))
    refused = []

    def checked(genes):
        found = exact(genes)
        refused.append(int((found > 0).sum()))
        return found

    def objectives(genes):
        return scores(SPACE, genes, evaluate)

    genes, found = evolution.evolve(loose, checked, objectives, SETTINGS, 0)
    assert refused[0] > 0 and len(genes) > SETTINGS.population // 2
    assert (exact(genes) <= 0).all() and (found == objectives(genes)).all() and pareto_mask(found).all()
    assert (evolution.evolve(loose, exact, objectives, SETTINGS, 0)[0] == genes).all()
    nothing = problem_of(SPACE, Limits(sram_bytes=10))
    assert len(evolution.evolve(nothing, nothing.constraint, objectives, SETTINGS, 0)[0]) == 0


def test_known_systems_are_told_apart():
    rng = np.random.default_rng(0)
    every = everything(SPACE)[rng.permutation(len(everything(SPACE)))]
    assert len(np.unique(feasible.keys(every))) == len(every) > 100_000
    known = feasible.Known.of(every[:50]).with_more(every[50:80])
    asked = np.concatenate([every[40:90], every[85:95]])
    assert known.fresh_rows(asked).tolist() == [*range(40, 50), *range(55, 60)]
    assert (known.genes == every[:80]).all() and len(known) == 80
