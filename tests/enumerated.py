"""Spaces small enough to enumerate: every system's objectives by the real cost model and a synthetic accuracy."""

from dataclasses import dataclass
from functools import cache

import numpy as np

from danas_jax.metrics import hypervolume
from danas_jax.search import feasible
from danas_jax.search.feasible import Problem
from danas_jax.space import SearchSpace, Stage
from danas_jax.views.image import ImageView

OBJECTIVES = ("error", "sram", "latency")
CLASSES = 2
NOISE = 0.003  # standard deviation of what no gene explains in a system's accuracy


def wide_space() -> SearchSpace:
    """20,736 systems, most choices in widths."""
    stages = (
        Stage(widths=(8, 12, 16), stride=2, expansions=(3, 4)),
        Stage(widths=(16, 24, 32), depths=(1, 2), stride=2, expansions=(3, 4, 6)),
        Stage(widths=(32, 48), stride=2, expansions=(3, 4)),
    )
    return SearchSpace("wide", ImageView((32, 48, 64), ("mono", "rgb")), (8, 16), stages, (32, 64))


def deep_space() -> SearchSpace:
    """24,192 systems, most choices in depth, kernels and expansions."""
    stages = (
        Stage(widths=(8, 16), depths=(1, 2), stride=2, expansions=(3, 4)),
        Stage(widths=(16, 24), depths=(1, 2, 3), stride=2, expansions=(3, 6), kernels=(3, 5)),
    )
    return SearchSpace("deep", ImageView((32, 48, 64), ("mono", "rgb")), (8, 16), stages, (64,))


def accuracy(space: SearchSpace, genes: np.ndarray, macs: np.ndarray, seed: int) -> np.ndarray:
    """Synthetic accuracy of genes [N, G]: more MACs help less and less, genes and pairs of genes matter, and noise."""
    rng = np.random.default_rng(seed)
    axes = len(space.axes)
    weight, pair = rng.normal(0.3, 0.3, axes), rng.normal(0, 0.5, (axes, axes)) / axes
    share = genes / np.maximum(1, space.cardinalities - 1)
    score = 0.6 * np.log(macs / macs.min()) + share @ weight + ((share @ pair) * share).sum(axis=1)
    return 0.5 + 0.45 / (1 + np.exp(1 - score)) + rng.normal(0, NOISE, len(genes))


@dataclass(frozen=True, eq=False)
class Table:
    """Everything about a space: its systems int64 [N, G], objectives [N, 3] over their maxima, the front's volume."""

    space: SearchSpace
    genes: np.ndarray
    objectives: np.ndarray
    row_of: np.ndarray  # row of each combination of genes, -1 where it stands for no system
    volume: float

    @property
    def evaluations(self) -> int:
        """5 % of the systems."""
        return len(self.genes) // 20

    def problem(self) -> Problem:
        """Nothing is too large: what is measured is the front."""
        return Problem(self.space, self.space.min_genes, self.space.max_genes, lambda genes: np.zeros(len(genes)))

    def look_up(self, genes: np.ndarray) -> np.ndarray:
        """Objectives [M, 3] of canonical genes [M, G]."""
        return self.objectives[self.row_of[np.ravel_multi_index(tuple(genes.T), self.space.cardinalities)]]

    def share(self, genes: np.ndarray) -> float:
        """Hypervolume of these systems as a share of the true front's."""
        return hypervolume(self.look_up(genes), np.ones(3)) / self.volume


def table(space: SearchSpace, costs: dict[str, np.ndarray], genes: np.ndarray, seed: int = 0) -> Table:
    """The table of all `genes` [N, G] of `space` with these costs."""
    error = 1 - accuracy(space, genes, costs["macs"], seed)
    objectives = np.column_stack([error, costs["arena_device_bytes"], costs["latency_ms"]])
    objectives /= objectives.max(axis=0)
    row_of = np.full(np.prod(space.cardinalities), -1)
    row_of[np.ravel_multi_index(tuple(genes.T), space.cardinalities)] = np.arange(len(genes))
    return Table(space, genes, objectives, row_of, hypervolume(objectives, np.ones(3)))


@cache
def every_system(space: SearchSpace) -> np.ndarray:
    """Every system once, int64 [N, G]: the obvious way, which the strategy `exhaustive` is tested against."""
    grid = np.indices(space.cardinalities).reshape(len(space.axes), -1).T
    return feasible.fresh(space.canonical(grid), space.min_genes[None][:0])
