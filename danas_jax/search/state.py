"""What every strategy knows, and the parts of `init / ask / tell` that they share.

A strategy is a module with `init(problem, settings, seed) -> State`, `ask(state) -> genes` and
`tell(state, genes, objectives) -> State`, all pure. Randomness is drawn afresh from (seed, round) in every `ask`,
so a state needs no generator inside, and asking twice gives the same answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from danas_jax.config import SearchSettings
from danas_jax.search import nsga2
from danas_jax.search.feasible import Known, Problem


@dataclass(frozen=True)
class State:
    """A search between two rounds. Arrays are never written to."""

    problem: Problem
    settings: SearchSettings
    seed: tuple[int, ...]
    round: int  # how often it was told
    genes: np.ndarray  # the survivors, int64 [P, G], best first
    objectives: np.ndarray  # theirs, float64 [P, K], minimised
    known: Known  # every fitting system it was told of


def init(problem: Problem, settings: SearchSettings, seed: int | Sequence[int]) -> State:
    """A search that has not begun; `seed` is an integer or several."""
    seeds = (int(seed),) if isinstance(seed, (int, np.integer)) else tuple(int(s) for s in seed)
    empty = np.empty((0, len(problem.lower)), dtype=np.int64)
    return State(problem, settings, seeds, 0, empty, np.empty((0, len(settings.objectives))), Known.of(empty))


def generator(state: State) -> np.random.Generator:
    """The random numbers of this round."""
    return np.random.default_rng([*state.seed, state.round])


def tell(state: State, genes: np.ndarray, objectives: np.ndarray) -> State:
    """The state after a round: `genes` [M, G] were found to have `objectives` [M, K] (minimised, NaN = failed).

    Any evaluated system may be told of, asked for or not; those that do not fit or are known already are left out.
    """
    genes = state.problem.canonical(np.asarray(genes, dtype=np.int64).reshape(-1, len(state.problem.lower)))
    objectives = np.asarray(objectives, dtype=np.float64).reshape(len(genes), len(state.settings.objectives))
    rows = state.known.fresh_rows(genes)
    rows = rows[state.problem.fits(genes[rows])]
    pool = np.concatenate([state.genes, genes[rows]])
    scores = np.concatenate([state.objectives, objectives[rows]])
    best = nsga2.select(scores, None, state.settings.population)
    return replace(
        state,
        round=state.round + 1,
        genes=pool[best],
        objectives=scores[best],
        known=state.known.with_more(genes[rows]),
    )
