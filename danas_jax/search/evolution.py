"""Strategy `evolution`: NSGA-II over integer genes in which every candidate ever returned keeps the hard limits."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from danas_jax.search import feasible, nsga2
from danas_jax.search.state import State, generator, init, tell

__all__ = ["ask", "init", "tell"]

Proposal = Callable[[np.random.Generator, int], np.ndarray]


def ask(state: State) -> np.ndarray:
    """The next candidates: canonical, fitting, never told of before; int64 [N, G], N <= population, 0 at the end."""
    propose = _breed(state) if len(state.genes) else _start(state)
    return feasible.collect(state.problem, state.known, propose, generator(state), state.settings.population)


def _start(state: State) -> Proposal:
    problem = state.problem

    def propose(rng: np.random.Generator, count: int) -> np.ndarray:
        # The smallest system anchors the cheap end of the front. A quarter starts at the largest: repair leaves
        # these as large as the budget allows, where uniform samples seldom are.
        top = np.broadcast_to(problem.upper, (count // 8, len(problem.upper)))
        uniform = feasible.sample(problem, rng, count - 1 - len(top))
        return np.concatenate([problem.lower[None], top, uniform])

    return propose


def _breed(state: State) -> Proposal:
    problem = state.problem
    rank = nsga2.ranks(state.objectives)
    distance = nsga2.crowding(state.objectives, rank)

    def propose(rng: np.random.Generator, count: int) -> np.ndarray:
        mothers, fathers = nsga2.tournament(rng, rank, distance, 2 * count).reshape(2, count)
        children = nsga2.crossover(rng, state.genes[mothers], state.genes[fathers])
        return nsga2.mutate(rng, children, problem.lower, problem.upper, state.settings.mutation_rate)

    return propose
