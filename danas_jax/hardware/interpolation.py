"""Time of a layer from measured layers of the same operator, kernel and stride: a line with non-negative slopes.

ms = c . features, the features being sizes that a kernel's loops run over (Key.features of layer_key.py). The sum of
squared relative errors is minimised, so a short layer counts as much as a long one.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np

MIN_POINTS = 3  # measured layers below which nothing is interpolated
EXTRAPOLATION = 2.0  # a feature may lie this factor outside the measured range


@dataclass(frozen=True)
class Fit:
    """Coefficients [F] in ms per unit of each feature, and the measured range [F] of the features."""

    coefficients: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def ms(self, features: np.ndarray) -> float | None:
        """The time [ms] at `features` [F]; None when one lies too far outside the measured range."""
        inside = (features >= self.low / EXTRAPOLATION) & (features <= self.high * EXTRAPOLATION)
        return float(features @ self.coefficients) if inside.all() else None


def fit(features: np.ndarray, ms: np.ndarray) -> Fit | None:
    """The line through measured points, features [N, F] and positive ms [N]; None with fewer than MIN_POINTS."""
    if len(ms) < MIN_POINTS:
        return None
    scale = features.max(axis=0)
    scaled = features / np.where(scale > 0, scale, 1.0) / ms[:, None]
    solution = non_negative_least_squares(scaled, np.ones(len(ms)), max_used=len(ms) - 1)
    return Fit(solution / np.where(scale > 0, scale, 1.0), features.min(axis=0), features.max(axis=0))


def non_negative_least_squares(a: np.ndarray, b: np.ndarray, max_used: int) -> np.ndarray:
    """The x >= 0 [F] with at most `max_used` entries above 0 that minimises |a x - b|, a [N, F] and b [N].

    The minimum is the plain least-squares solution on the columns that it uses, so all sets of columns are tried:
    exact, and quick for few features. Of equal errors the one with fewer columns wins.
    """
    best, error = np.zeros(a.shape[1]), float(b @ b)
    for count in range(1, min(max_used, a.shape[1]) + 1):
        for columns in map(list, combinations(range(a.shape[1]), count)):
            x = np.linalg.lstsq(a[:, columns], b, rcond=None)[0]
            residual = a[:, columns] @ x - b
            if (x >= 0).all() and residual @ residual < error * (1 - 1e-9):
                error = float(residual @ residual)
                best = np.zeros(a.shape[1])
                best[columns] = x
    return best
