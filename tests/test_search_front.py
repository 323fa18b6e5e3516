"""Evolution finds the true front of spaces that can be enumerated, and as well as pymoo's NSGA-II; equal operators.

Hypervolumes are those of everything evaluated, as shares of the true front's. `pytest -s` prints them.
"""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from enumerated import CLASSES, OBJECTIVES, deep_space, every_system, table, wide_space
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.problem import Problem as PymooProblem
from pymoo.core.repair import Repair
from pymoo.operators.crossover.ux import UX
from pymoo.operators.mutation.pm import PM
from pymoo.operators.repair.rounding import RoundingRepair
from pymoo.operators.sampling.rnd import IntegerRandomSampling
from pymoo.operators.survival.rank_and_crowding.metrics import FunctionalDiversity, calc_crowding_distance
from pymoo.util.nds.non_dominated_sorting import NonDominatedSorting

from danas_jax.config import SearchSettings
from danas_jax.hardware import cost
from danas_jax.search import evolution, nsga2

SEEDS = range(10)
SETTINGS = SearchSettings(objectives=OBJECTIVES)
SPACES = {space.name: space for space in (wide_space(), deep_space())}
STORED = json.loads(Path(__file__).with_name("populations.json").read_text())


@cache
def truth_of(name, seed):
    """Every arena planned; `seed` is the accuracy's."""
    genes = every_system(SPACES[name])
    return table(SPACES[name], cost.space_costs(SPACES[name], genes, CLASSES), genes, seed)


@cache
def evolved(truth, seed):
    """The systems that evolution evaluates, as many as allowed."""
    state, asked = evolution.init(truth.problem(), SETTINGS, seed), []
    while sum(map(len, asked)) < truth.evaluations:
        asked.append(evolution.ask(state))
        state = evolution.tell(state, asked[-1], truth.look_up(asked[-1]))
    return np.concatenate(asked)[: truth.evaluations]


def evolved_by_pymoo(truth, seed):
    """The same with pymoo's NSGA-II, uniform crossover and polynomial mutation; it, too, meets no system twice."""
    space, asked = truth.space, []

    class Canonical(Repair):
        def _do(self, problem, X, **kwargs):  # noqa: N803
            return space.canonical(np.around(X))

    class Enumerated(PymooProblem):
        def __init__(self):
            super().__init__(n_var=len(space.axes), n_obj=3, xl=space.min_genes, xu=space.max_genes, vtype=int)

        def _evaluate(self, x, out, *arguments, **options):
            asked.append(x.copy())
            out["F"] = truth.look_up(x)

    mutation = PM(prob=1.0, eta=3.0, vtype=float, repair=RoundingRepair())
    algorithm = NSGA2(
        pop_size=SETTINGS.population,
        sampling=IntegerRandomSampling(),
        crossover=UX(),
        mutation=mutation,
        repair=Canonical(),
        eliminate_duplicates=True,
    )
    algorithm.setup(Enumerated(), termination=("n_eval", truth.evaluations), seed=seed)
    while algorithm.has_next():
        algorithm.next()
    return np.concatenate(asked)[: truth.evaluations]


def shares(truth, evolve):
    return np.array([truth.share(evolve(truth, seed)) for seed in SEEDS])


# The accuracies, and the second space, beyond the first take a minute.
TRUTHS = [
    pytest.param(name, seed, marks=() if (name, seed) == ("wide", 0) else pytest.mark.slow)
    for name in SPACES
    for seed in range(4)
]


@pytest.mark.parametrize(("name", "seed"), TRUTHS)
def test_evolution_finds_the_front_with_a_twentieth_of_the_evaluations(name, seed):
    truth = truth_of(name, seed)
    assert len(truth.genes) >= 20_000
    found = shares(truth, evolved)
    print(f"{name}, accuracy {seed}: evolution {found.min():.4f} at least, {found.mean():.4f} in the mean")
    assert (found >= 0.99).all()


@pytest.mark.parametrize(("name", "seed"), TRUTHS)
def test_evolution_is_as_good_as_pymoo(name, seed):
    ours, theirs = (shares(truth_of(name, seed), evolve) for evolve in (evolved, evolved_by_pymoo))
    print(f"{name}, accuracy {seed}: evolution {ours.mean():.4f}, pymoo {theirs.mean():.4f}")
    assert ours.mean() >= 0.998 * theirs.mean()


@pytest.mark.parametrize("name", STORED)
def test_ranks_and_crowding_are_pymoos(name):
    objectives = np.array(STORED[name], dtype=np.float64)
    rank = nsga2.ranks(objectives)
    fronts = NonDominatedSorting().do(objectives)
    assert [sorted(front) for front in fronts] == [np.flatnonzero(rank == r).tolist() for r in range(rank.max() + 1)]
    crowding = nsga2.crowding(objectives, rank)
    pymoos = FunctionalDiversity(calc_crowding_distance, filter_out_duplicates=True)
    for front in fronts:
        np.testing.assert_allclose(crowding[front], pymoos.do(objectives[front]), rtol=1e-12)
