"""Strategy `evolution`: NSGA-II over integer genes in which every candidate ever returned keeps the hard limits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from danas_jax.config import SearchSettings
from danas_jax.metrics import pareto_mask
from danas_jax.search import feasible, nsga2
from danas_jax.search.feasible import Problem
from danas_jax.search.state import State, generator, init, tell

__all__ = ["ask", "evolve", "init", "tell"]

Proposal = Callable[[np.random.Generator, int], np.ndarray]
REFILLS = 8  # rounds after the last one that may fill the places of survivors that do not fit


def ask(state: State) -> np.ndarray:
    """The next candidates: canonical, fitting, never told of before; int64 [N, G], N <= population, 0 at the end."""
    propose = _breed(state) if len(state.genes) else _start(state)
    return feasible.collect(state.problem, state.known, propose, generator(state), state.settings.population)


def evolve(
    problem: Problem,
    exact: Callable[[np.ndarray], np.ndarray],
    objectives: Callable[[np.ndarray], np.ndarray],
    settings: SearchSettings,
    seed: int,
) -> tuple[np.ndarray, np.ndarray]:
    """A whole search where objectives are cheap: the front's genes, int64 [N, G], and objectives, float64 [N, K].

    For very many candidates: `problem.constraint` may be a lower bound, so that none is planned; `exact`, a violation
    like it, decides about the survivors of the last round. Whatever is returned keeps it; N may be 0.
    objectives(canonical genes [M, G]) -> [M, K], minimised, NaN = failed. After the first round `settings.generations`
    follow.
    """
    state = init(problem, settings, seed)

    def after_a_round(state: State) -> State:
        genes = ask(state)
        return tell(state, genes, objectives(genes)) if len(genes) else state

    for _ in range(settings.generations + 1):
        state = after_a_round(state)
    state, dropped = _fitting(state, exact)
    for _ in range(REFILLS):
        if not dropped:
            break
        state, dropped = _fitting(after_a_round(state), exact)
    front = pareto_mask(state.objectives)
    return state.genes[front], state.objectives[front]


def _fitting(state: State, exact: Callable[[np.ndarray], np.ndarray]) -> tuple[State, int]:
    """The state without the survivors that do not fit, and how many these are; they stay known."""
    fits = exact(state.genes) <= 0 if len(state.genes) else np.zeros(0, dtype=bool)
    return replace(state, genes=state.genes[fits], objectives=state.objectives[fits]), int((~fits).sum())


def _start(state: State) -> Proposal:
    problem = state.problem

    def propose(rng: np.random.Generator, count: int) -> np.ndarray:
        # The smallest system anchors the cheap end of the front. A quarter starts at the largest: repair leaves
        # these as large as the budget allows, where uniform samples seldom are.
        top = np.broadcast_to(problem.upper, (count // 8, len(problem.upper)))
        uniform = feasible.sample(problem, rng, count - 1 - len(top))
        return feasible.repair(problem, np.concatenate([problem.lower[None], top, uniform]), rng)

    return propose


def _breed(state: State) -> Proposal:
    problem = state.problem
    rank = nsga2.ranks(state.objectives)
    distance = nsga2.crowding(state.objectives, rank)

    def propose(rng: np.random.Generator, count: int) -> np.ndarray:
        mothers, fathers = nsga2.mates(rng, state.objectives, rank, distance, count)
        children = nsga2.crossover(rng, state.genes[mothers], state.genes[fathers])
        return nsga2.mutate(rng, children, problem.lower, problem.upper, state.settings.mutation_rate)

    return propose
