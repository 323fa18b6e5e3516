"""NSGA-II's operators on whole populations: ranks, crowding, selection, variation of integer genes.

Objectives [N, K] are minimised. A violation of 0 or less means feasible. A row with a NaN objective counts as
violating without end, so it comes last everywhere.
"""

from __future__ import annotations

import numpy as np

CANDIDATE_FATHERS = 6  # per mother


def ranks(objectives: np.ndarray, violation: np.ndarray | None = None) -> np.ndarray:
    """Constrained non-domination rank of every row, 0 = best, int64 [N]; needs O(N^2) memory.

    Feasible rows are ranked by Pareto dominance; every infeasible row comes after them, less `violation` [N] first.
    """
    objectives = np.asarray(objectives, dtype=np.float64)
    violation = _violation(objectives, violation)
    result = np.zeros(len(objectives), dtype=np.int64)
    feasible = np.flatnonzero(violation <= 0)
    result[feasible] = _pareto_ranks(objectives[feasible])
    infeasible = np.flatnonzero(violation > 0)
    if infeasible.size:
        first = result[feasible].max() + 1 if feasible.size else 0
        result[infeasible] = first + np.unique(violation[infeasible], return_inverse=True)[1]
    return result


def _violation(objectives: np.ndarray, violation: np.ndarray | None) -> np.ndarray:
    violation = np.zeros(len(objectives)) if violation is None else np.asarray(violation, dtype=np.float64)
    return np.where(np.isnan(violation) | np.isnan(objectives).any(axis=1), np.inf, violation)


def _pareto_ranks(points: np.ndarray) -> np.ndarray:
    no_worse = np.ones((len(points), len(points)), dtype=bool)
    better = np.zeros_like(no_worse)
    for column in points.T:
        no_worse &= column[:, None] <= column
        better |= column[:, None] < column
    dominates = no_worse & better  # [i, j]: i dominates j
    dominators = dominates.sum(axis=0)
    result = np.full(len(points), -1, dtype=np.int64)
    rank = 0
    while (front := np.flatnonzero((dominators == 0) & (result < 0))).size:
        result[front] = rank
        dominators -= dominates[front].sum(axis=0)
        rank += 1
    return result


def crowding(objectives: np.ndarray, rank: np.ndarray) -> np.ndarray:
    """Crowding distance of every row within its own rank, float64 [N]: infinite at the ends of a front.

    Per objective the gap between the two neighbours over the front's extent, averaged over the objectives; the
    second and later of equal rows get 0, so that copies leave first.
    """
    objectives = np.asarray(objectives, dtype=np.float64)
    distance = np.zeros(len(objectives))
    table = np.column_stack([rank, objectives])
    _, rows = np.unique(table, axis=0, return_index=True)  # first of each set of equal rows, NaN rows included
    rows = np.sort(rows)
    rank = np.asarray(rank)[rows]
    for column in objectives[rows].T:
        order = np.lexsort((column, rank))
        value, front = column[order], rank[order]
        first = np.append(True, front[1:] != front[:-1]) if front.size else np.zeros(0, dtype=bool)
        last = np.append(first[1:], True)[: front.size]
        segment = np.cumsum(first) - 1
        extent = (value[last] - value[first])[segment]
        with np.errstate(invalid="ignore", divide="ignore"):
            gap = value[1:] - value[:-1]
            below = np.where(first, np.inf, np.append(np.inf, gap)[: value.size]) / extent
            above = np.where(last, np.inf, np.append(gap, np.inf)[: value.size]) / extent
        # An objective on which the front does not differ says nothing about crowding.
        flat = ~(extent > 0)
        distance[rows[order]] += np.where(flat, 0.0, below + above) / objectives.shape[1]
    sizes = np.bincount(rank)[rank] if rank.size else rank
    distance[rows[sizes <= 2]] = np.inf
    return distance


def select(objectives: np.ndarray, violation: np.ndarray | None, count: int) -> np.ndarray:
    """Environmental selection: indices of the `count` best rows (or all), best first, by rank, then by crowding."""
    rank = ranks(objectives, violation)
    return np.lexsort((-crowding(objectives, rank), rank))[:count]


def tournament(rng: np.random.Generator, rank: np.ndarray, distance: np.ndarray, count: int) -> np.ndarray:
    """Winners of `count` binary tournaments, indices int64 [count]: lower rank, then larger crowding distance."""
    first, second = rng.integers(0, len(rank), size=(2, count))
    better = (rank[second] < rank[first]) | ((rank[second] == rank[first]) & (distance[second] > distance[first]))
    return np.where(better, second, first)


def mates(
    rng: np.random.Generator, objectives: np.ndarray, rank: np.ndarray, distance: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Indices of `count` mothers and of a father for each, int64 [count]: alike in their objectives [N, K].

    All win a binary tournament; of CANDIDATE_FATHERS the nearest becomes the father, over the extent of each objective,
    the mother itself last. Children of unlike parents seldom lie near the front (Ishibuchi and Shibata 2003, "A
    similarity-based mating scheme for evolutionary multiobjective optimization").
    """
    winners = tournament(rng, rank, distance, (1 + CANDIDATE_FATHERS) * count).reshape(-1, count)
    mothers, fathers = winners[0], winners[1:]
    place = np.nan_to_num(objectives, nan=np.inf)
    finite = place[np.isfinite(place).all(axis=1)]
    if len(finite):
        place = place / np.where(np.ptp(finite, axis=0) > 0, np.ptp(finite, axis=0), 1.0)
    with np.errstate(invalid="ignore"):
        apart = ((place[fathers] - place[mothers]) ** 2).sum(axis=2)
    apart = np.where((fathers == mothers) | np.isnan(apart), np.inf, apart)
    return mothers, fathers[np.argmin(apart, axis=0), np.arange(count)]


def crossover(rng: np.random.Generator, mothers: np.ndarray, fathers: np.ndarray) -> np.ndarray:
    """Uniform crossover of two [N, G] populations: every gene from either parent; [N, G]."""
    return np.where(rng.random(mothers.shape) < 0.5, mothers, fathers)


def mutate(
    rng: np.random.Generator,
    genes: np.ndarray,
    lower: np.ndarray,
    upper: np.ndarray,
    rate: float,
) -> np.ndarray:
    """Every gene of [N, G] changes with probability `rate`: half by one step, half to any value in its bounds [G]."""
    step = np.where(rng.random(genes.shape) < 0.5, -1, 1)
    # A step out of the bounds is taken the other way: values at the ends are not stickier than the others.
    step = np.where((genes + step < lower) | (genes + step > upper), -step, step)
    reset = rng.integers(lower, upper + 1, size=genes.shape)
    changed = np.where(rng.random(genes.shape) < 0.5, genes + step, reset)
    return np.clip(np.where(rng.random(genes.shape) < rate, changed, genes), lower, upper)
