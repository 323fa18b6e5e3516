"""What one budget has gained in a search so far, kept up round by round, so that a round costs what is new in it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from danas_jax.config import Limits
from danas_jax.metrics import hypervolume, pareto_mask
from danas_jax.search import objectives

Violation = Callable[[dict[str, np.ndarray], Limits], np.ndarray]


class Gains:
    """Of the systems that keep `limits`: how many, the best accuracy (NaN = none), the hypervolume after each round.

    `reference` [K] is the corner of the box whose share the hypervolume is, in the objectives `names`.
    """

    def __init__(self, limits: Limits, violation: Violation, names: Sequence[str], reference: np.ndarray):
        self.limits, self._violation, self._names, self._reference = limits, violation, names, reference
        self._front = np.empty((0, len(names)))  # scores that no other has beaten
        self.fitting, self.best = 0, math.nan
        self.volumes: list[float] = []

    def absorb(self, half: np.ndarray, costs: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Which of a round's systems [N] fit, bool [N], and the scores of those, minimised [M, K]."""
        fits = self._violation(costs, self.limits) <= 0
        scores = objectives.columns(self._names, half, costs, self.limits)[fits]
        self.fitting += int(fits.sum())
        self.best = float(np.fmax.reduce(half[fits], initial=self.best))
        pool = np.concatenate([self._front, scores])
        self._front = pool[pareto_mask(pool)]
        # A point exactly at a limit still fits, but would span no volume: the corner lies a hair above.
        corner = np.full(len(self._names), 1 + 1e-9)
        self.volumes.append(hypervolume(self._front / self._reference, corner))
        return fits, scores
