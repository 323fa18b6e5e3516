"""Strategy `exhaustive`: every system of a small space that fits, once, in the order of its genes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from danas_jax.config import SearchSettings
from danas_jax.errors import UserError
from danas_jax.search import state as shared
from danas_jax.search.feasible import Problem
from danas_jax.search.state import State, tell

__all__ = ["ask", "init", "tell"]

MAX_COMBINATIONS = 1_000_000  # of genes: each round looks through those not told of, about 2 us each
LISTED_AT_ONCE = 16_384


def init(problem: Problem, settings: SearchSettings, seed: int | Sequence[int]) -> State:
    """A search that has not begun; UserError where the bounds hold more than MAX_COMBINATIONS of genes."""
    combinations = math.prod(_radices(problem))
    if combinations > MAX_COMBINATIONS:
        raise UserError(
            f"search.strategy = 'exhaustive': the space {problem.space.name} has {combinations:,} combinations of "
            f"genes, at most {MAX_COMBINATIONS:,} are listed: choose evolution, or fewer values"
        )
    return shared.init(problem, settings, seed)


def ask(state: State) -> np.ndarray:
    """The next systems: canonical, fitting, never told of before; int64 [N, G], N <= population, 0 at the end."""
    problem, radices = state.problem, _radices(state.problem)
    unseen = np.ones(math.prod(radices), dtype=bool)
    told = np.clip(state.known.genes, problem.lower, problem.upper) - problem.lower
    unseen[np.ravel_multi_index(tuple(told.T), radices)] = False
    left = np.flatnonzero(unseen)
    found = np.empty((0, len(radices)), dtype=np.int64)
    for start in range(0, len(left), LISTED_AT_ONCE):
        digits = np.unravel_index(left[start : start + LISTED_AT_ONCE], radices)
        genes = np.stack(digits, axis=1) + problem.lower
        systems = problem.canonical(genes)
        # Of all combinations that mean one system, the one with its inactive genes at their lower bounds counts.
        systems = systems[(np.clip(systems, problem.lower, problem.upper) == genes).all(axis=1)]
        found = np.concatenate([found, systems[problem.fits(systems)]])
        if len(found) >= state.settings.population:
            break
    return found[: state.settings.population]


def _radices(problem: Problem) -> tuple[int, ...]:
    """How many values each gene has within the bounds."""
    return tuple(int(room) for room in problem.upper - problem.lower + 1)
