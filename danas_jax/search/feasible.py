"""New candidates that keep hard limits: duplicates out, repair towards the smallest network, exhaustion noticed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np

from danas_jax.space import SearchSpace

PROPOSAL_ROUNDS = 8  # attempts to fill a request by proposals before the neighbours of what is known are listed
FRONTIER_ROWS = 4096  # rows whose neighbours are listed at a time


@dataclass(frozen=True)
class Problem:
    """Where to search: the space, bounds of the genes (int64 [G], inclusive) and what must fit.

    `constraint` maps canonical genes [N, G] to a violation [N]; 0 or less fits, NaN does not.
    """

    space: SearchSpace
    lower: np.ndarray
    upper: np.ndarray
    constraint: Callable[[np.ndarray], np.ndarray]

    def canonical(self, genes: np.ndarray) -> np.ndarray:
        """Genes [N, G] inside the bounds, and those of inactive blocks 0 (which may lie below the bound)."""
        return self.space.canonical(np.clip(genes, self.lower, self.upper))

    def fits(self, genes: np.ndarray) -> np.ndarray:
        """Which of the canonical genes [N, G] keep every limit, bool [N]."""
        return np.asarray(self.constraint(genes)) <= 0 if len(genes) else np.zeros(0, dtype=bool)


@dataclass(frozen=True)
class Known:
    """Systems that were told of; `with_more` makes a larger one without sorting all of them again."""

    parts: tuple[np.ndarray, ...]  # canonical genes int16 [., G] in the order told
    keys: np.ndarray  # of the same systems, sorted; uint64 [M]

    @classmethod
    def of(cls, genes: np.ndarray) -> Known:
        """Of genes [M, G], each once."""
        return cls((np.asarray(genes, dtype=np.int16),), np.sort(keys(genes)))

    @property
    def genes(self) -> np.ndarray:
        """All of them, int64 [M, G]."""
        return np.concatenate(self.parts).astype(np.int64)

    def __len__(self) -> int:
        return len(self.keys)

    def fresh_rows(self, genes: np.ndarray) -> np.ndarray:
        """Indices of the rows of `genes` [N, G] that are not known; of equal rows the first; ascending."""
        new, first = np.unique(keys(genes), return_index=True)
        old = np.zeros(len(new), dtype=bool)
        if len(self):
            old = self.keys[np.minimum(np.searchsorted(self.keys, new), len(self) - 1)] == new
        return np.sort(first[~old])

    def with_more(self, genes: np.ndarray) -> Known:
        """These and `genes` [N, G], each once and none of them known."""
        new = np.sort(keys(genes))
        joined = np.insert(self.keys, np.searchsorted(self.keys, new), new)
        return Known((*self.parts, genes.astype(np.int16)), joined)


def keys(genes: np.ndarray) -> np.ndarray:
    """One number per row of genes [N, G], uint64 [N]; the same for two different systems once in some 2^59 pairs."""
    genes = np.asarray(genes)
    return genes.astype(np.uint64) @ _weights(genes.shape[1])


@cache
def _weights(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 2**64, count, dtype=np.uint64) | np.uint64(1)


def fresh_rows(genes: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Indices of the rows of `genes` [N, G] that are not in `known` [M, G]; of equal rows the first; ascending."""
    return Known.of(known).fresh_rows(genes)


def fresh(genes: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Rows of `genes` [N, G] that are not in `known` [M, G], each once, in the order of their first appearance."""
    return genes[fresh_rows(genes, known)]


def sample(problem: Problem, rng: np.random.Generator, count: int) -> np.ndarray:
    """Uniform over every axis within the bounds, canonical; int64 [count, G]."""
    shape = (count, len(problem.lower))
    return problem.canonical(rng.integers(problem.lower, problem.upper + 1, size=shape))


def repair(problem: Problem, genes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The canonical rows of `genes` [N, G] that fit, and the others moved down until they fit; [M, G], M <= N.

    Each row walks unit steps of its genes down to the lower bound in a random order of its own; bisection finds a
    step where it begins to fit, so a row costs log2(steps) calls of the constraint. Without a fitting lower bound
    the infeasible rows are dropped. Whatever is returned was checked.
    """
    genes = problem.canonical(genes)
    bad = np.flatnonzero(~problem.fits(genes))
    if not bad.size:
        return genes
    bottom = problem.canonical(problem.lower[None])
    if not problem.fits(bottom)[0]:
        return np.delete(genes, bad, axis=0)
    start = np.clip(genes[bad], problem.lower, problem.upper)
    room = start - problem.lower
    # Step l of gene g has a random place in the row's order; a share common to the gene makes some rows give up one
    # property entirely (resolution, say) before they touch another, which keeps the repaired rows diverse.
    levels = np.arange(max(1, int(room.max())))
    place = rng.random((*room.shape, 1)) + rng.random((*room.shape, levels.size))
    place = np.where(levels < room[..., None], place, np.inf).reshape(len(bad), -1)
    order = np.argsort(np.argsort(place, axis=1), axis=1).reshape(*room.shape, levels.size)

    def walked(steps: np.ndarray) -> np.ndarray:
        down = (order < np.minimum(steps, total)[:, None, None]).sum(axis=2)
        return problem.canonical(start - down)

    total = room.sum(axis=1)
    low, high = np.zeros_like(total), total.copy()  # low does not fit, high fits (it is the lower bound)
    while (high - low > 1).any():
        middle = (low + high) // 2
        fits = problem.fits(walked(middle))
        low, high = np.where(fits, low, middle), np.where(fits, middle, high)
    genes[bad] = walked(high)
    return genes


def neighbours(problem: Problem, genes: np.ndarray) -> np.ndarray:
    """Every system one step of one gene away from canonical genes [N, G]; canonical [2 N G, G], duplicates kept."""
    steps = np.concatenate([np.eye(genes.shape[1], dtype=np.int64), -np.eye(genes.shape[1], dtype=np.int64)])
    return problem.canonical((genes[:, None] + steps).reshape(-1, genes.shape[1]))


def data_twins(problem: Problem, genes: np.ndarray) -> np.ndarray:
    """The fitting systems that differ from `genes` [N, G] by one step less of one data gene; canonical [M, G]."""
    less = np.zeros((len(problem.space.data_axes), genes.shape[1]), dtype=np.int64)
    less[np.arange(len(less)), problem.space.data_axes] = 1
    twins = problem.canonical((genes[:, None] - less).reshape(-1, genes.shape[1]))
    return twins[problem.fits(twins)]


def collect(
    problem: Problem,
    known: Known,
    propose: Callable[[np.random.Generator, int], np.ndarray],
    rng: np.random.Generator,
    count: int,
) -> np.ndarray:
    """Up to `count` canonical genes that fit and are not `known`; fewer only when no more were reachable.

    `propose(rng, n)` gives raw genes [n, G]; they are repaired where too few of them fit. When its proposals run dry,
    all neighbours of fitting systems are listed, ring by ring: complete where smaller genes never cost more. Always
    ends; [N, G], N may be 0.
    """
    found = np.empty((0, len(problem.lower)), dtype=np.int64)
    for _ in range(PROPOSAL_ROUNDS):
        genes = problem.canonical(propose(rng, 2 * count))
        genes = genes[known.fresh_rows(genes)]
        fits = problem.fits(genes)
        if len(found) + fits.sum() >= count:
            return np.concatenate([found, genes[fits]])[:count]
        genes = repair(problem, genes, rng)
        genes = genes[known.fresh_rows(genes)]
        found = np.concatenate([found, genes])
        if len(found) >= count:
            return found[:count]
        known = known.with_more(genes)
    # The arena is not quite monotone: where the smallest genes do not fit, a system two steps above them may.
    bottom = problem.canonical(problem.lower[None])
    if not problem.fits(bottom)[0]:
        bottom = neighbours(problem, fresh(neighbours(problem, bottom), bottom))
    bottom = bottom[known.fresh_rows(bottom)]
    bottom = bottom[problem.fits(bottom)]
    found, known = np.concatenate([found, bottom]), known.with_more(bottom)
    waiting = known.genes[rng.permutation(len(known))]
    while len(waiting) and len(found) < count:
        ring = neighbours(problem, waiting[:FRONTIER_ROWS])
        ring = ring[known.fresh_rows(ring)]
        ring = ring[problem.fits(ring)]
        ring = ring[rng.permutation(len(ring))]
        found, known = np.concatenate([found, ring]), known.with_more(ring)
        waiting = np.concatenate([waiting[FRONTIER_ROWS:], ring])
    return found[:count]
