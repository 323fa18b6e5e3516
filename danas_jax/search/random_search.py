"""Strategy `random`: uniform samples that fit; what any other strategy has to beat."""

from __future__ import annotations

import numpy as np

from danas_jax.search import feasible
from danas_jax.search.state import State, generator, init, tell

__all__ = ["ask", "init", "tell"]

REJECTION_SHARE = 8  # samples drawn per sample asked for before repair is used


def ask(state: State) -> np.ndarray:
    """The next candidates: canonical, fitting, never told of before; int64 [N, G], N <= population, 0 at the end."""
    problem = state.problem

    def propose(rng: np.random.Generator, count: int) -> np.ndarray:
        # Rejection keeps the samples uniform over what fits; where little fits, repair of the rest fills up.
        genes = feasible.sample(problem, rng, REJECTION_SHARE * count)
        return genes[np.argsort(~problem.fits(genes), kind="stable")][:count]

    return feasible.collect(problem, state.known, propose, generator(state), state.settings.population)
