"""Many candidates narrowed to the few that are evaluated: predicted accuracy, bounded costs, non-dominated selection.

A strategy proposes `settings.screen` candidates where it would propose `settings.population`, under limits that cost
an array operation instead of a plan. The predictor is optimistic: an accuracy counts for its mean and OPTIMISM
standard deviations more, so what it does not know is tried. Everything follows from the evaluations so far and the
state's (seed, round), so a resumed search asks for the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from danas_jax.config import Limits
from danas_jax.metrics import pareto_mask
from danas_jax.search import feasible, nsga2, objectives
from danas_jax.search.predictor import Predictor
from danas_jax.search.state import State

OPTIMISM = 1.0  # standard deviations
CELLS = 65_536  # of the grid that throws out most of many points


class Strategy(Protocol):
    """The part of a strategy's module that is asked here."""

    def ask(self, state: State) -> np.ndarray:
        """The next candidates of `state`."""
        ...


@dataclass(frozen=True)
class Quick:
    """One budget's costs by lower bounds: what may fit, and the objectives of what does."""

    costs: Callable[[np.ndarray, str], dict[str, np.ndarray]]
    violation: Callable[[dict[str, np.ndarray], Limits], np.ndarray]
    limits: Limits
    objectives: Sequence[str]

    def may_fit(self, genes: np.ndarray) -> np.ndarray:
        """Violation [N] of genes [N, G], above 0 only where nothing fits."""
        return self.violation(self.costs(genes, self.limits.board), self.limits)

    def scores(self, genes: np.ndarray, accuracy: np.ndarray) -> np.ndarray:
        """Objectives [N, K] of genes [N, G] with `accuracy` [N], minimised."""
        return objectives.columns(self.objectives, accuracy, self.costs(genes, self.limits.board), self.limits)


def ask(strategy: Strategy, state: State, quick: Quick, predictor: Predictor) -> np.ndarray:
    """The next candidates of `strategy`, screened: canonical, fitting, never told of before; int64 [N, G].

    N <= population, 0 at the end of the space.
    """
    wide = replace(
        state,
        problem=replace(state.problem, constraint=quick.may_fit),
        settings=replace(state.settings, population=max(state.settings.screen, state.settings.population)),
    )
    genes = strategy.ask(wide)
    mean, deviation = predictor.predict(genes)
    promised = quick.scores(genes, mean + OPTIMISM * deviation)
    count, survivors = state.settings.population, len(state.genes)
    # Against the survivors: what they dominate comes late, what lies between two of them is crowded.
    order = best(np.concatenate([state.objectives, promised]), survivors + 2 * count)
    found = genes[order[order >= survivors] - survivors]
    found = found[state.problem.fits(found)][:count]
    if len(found) < count:
        found = np.concatenate([found, feasible.fresh(strategy.ask(state), found)])[:count]
    return found


def best(objectives: np.ndarray, count: int) -> np.ndarray:
    """The `count` best rows of `objectives` [N, K] (or all), best first, as `nsga2.select` orders them; int64.

    For very many rows: only as many fronts are taken off as are needed. NaN rows come last.
    """
    objectives = np.asarray(objectives, dtype=np.float64)
    known = ~np.isnan(objectives).any(axis=1)
    left, taken, rank = np.flatnonzero(known), [], []
    while len(left) and sum(map(len, taken)) < count:
        front = _front(objectives[left])
        rank.append(np.full(int(front.sum()), len(taken)))
        taken.append(left[front])
        left = left[~front]
    taken.append(np.flatnonzero(~known)[: max(0, count - sum(map(len, taken)))])
    rank.append(np.full(len(taken[-1]), len(taken)))
    rows, ranks = np.concatenate(taken), np.concatenate(rank)
    return rows[np.lexsort((-nsga2.crowding(objectives[rows], ranks), ranks))][:count]


def _front(points: np.ndarray) -> np.ndarray:
    """`pareto_mask` [N] of points [N, K] without NaN, for many: a grid first throws out most of them.

    Its cells are ranges of all objectives but the first. What lies in a cell below another's in every direction is
    better in all of these, so its least first objective decides.
    """
    if points.shape[1] == 1:
        return points[:, 0] == points.min()
    sides = max(2, int(CELLS ** (1 / (points.shape[1] - 1))))
    sample = points[:: max(1, len(points) // CELLS)]
    cells = []
    for column, seen in zip(points.T[1:], sample.T[1:], strict=True):
        edges = np.unique(np.quantile(seen, np.linspace(0, 1, sides)[1:]))
        cells.append(np.searchsorted(edges, column, side="right"))
    least = np.full((sides,) * len(cells), np.inf)
    np.minimum.at(least, tuple(cells), points[:, 0])
    for axis in range(least.ndim):
        np.minimum.accumulate(least, axis=axis, out=least)
    below = np.pad(least, 1, constant_values=np.inf)[tuple(cells)]  # the padding moves every cell by one
    left = np.flatnonzero(points[:, 0] < below)
    mask = np.zeros(len(points), dtype=bool)
    mask[left[pareto_mask(points[left])]] = True
    return mask
