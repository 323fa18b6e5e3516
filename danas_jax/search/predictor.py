"""Tier b: accuracies predicted from genes, with their uncertainty; fitted in milliseconds, a gather per gene to ask.

A ridge regression on what every gene is (one column per value) and how large (one column per axis), so an accuracy is
a sum of one number per gene. Its members each leave out one group of the evaluations (the delete-a-group jackknife):
their disagreement is the variance of the fit, and what each says of its own group the honest error.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from danas_jax.errors import UserError
from danas_jax.space import SearchSpace

FEWEST = 20  # evaluations that a predictor is fitted on
MEMBERS = 8  # groups of the jackknife
CHUNK = 4096  # candidates at a time: their sums stay in a core's cache
_PENALTIES = np.geomspace(1e-4, 10, 11)  # per evaluation, of weights of standardised columns


@dataclass(frozen=True)
class Predictor:
    """Accuracy as a function of genes; made by `fit`."""

    space: SearchSpace
    effects: np.ndarray  # float32 [sum of (values + 1) over the axes, MEMBERS]: what each value of each gene adds
    noise: float  # standard deviation of what genes do not explain
    left_out: np.ndarray  # of each accuracy that it was fitted on, the prediction without its group; NaN as there

    def predict(self, genes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of the accuracies of canonical genes [N, G]; float32 [N] each."""
        genes = np.asarray(genes)

        def chunk(start: int) -> tuple[np.ndarray, np.ndarray]:
            every = _sums(self.effects, _rows(self.space, genes[start : start + CHUNK]))
            mean = every.mean(axis=1)
            fit = np.square(every - mean[:, None]).mean(axis=1) * (MEMBERS - 1)
            return mean, np.sqrt(fit + np.float32(self.noise**2))

        with ThreadPoolExecutor(os.cpu_count()) as pool:  # NumPy computes without the interpreter's lock
            done = list(pool.map(chunk, range(0, max(len(genes), 1), CHUNK)))
        mean, deviation = (np.concatenate(part) for part in zip(*done, strict=True))
        return mean, deviation


def fit(space: SearchSpace, genes: np.ndarray, accuracy: np.ndarray, seed: int | list[int]) -> Predictor:
    """The predictor of `accuracy` [N] of canonical `genes` [N, G]; NaN accuracies are left out.

    `seed` deals the evaluations into groups. Raises UserError with fewer than FEWEST accuracies.
    """
    accuracy = np.asarray(accuracy, dtype=np.float64)
    known = np.flatnonzero(~np.isnan(accuracy))
    if len(known) < FEWEST:
        raise UserError(f"accuracy: {len(known)} known, a predictor is fitted on {FEWEST} or more")
    target = accuracy[known]
    basis = _basis(space)
    features = _sums(basis, _rows(space, np.asarray(genes)[known]))
    centre, scale = features.mean(axis=0), features.std(axis=0)
    scale[scale < 1e-9] = np.inf  # what never differed says nothing
    features = (features - centre) / scale
    penalty = _penalty(features, target - target.mean()) * len(target)

    group = np.random.default_rng(seed).permutation(len(target)) % MEMBERS
    left_out, effects = np.full(len(accuracy), np.nan), np.empty((len(basis), MEMBERS))
    axes = len(_offsets(space))
    for k in range(MEMBERS):
        mine = group != k
        x, mean = features[mine], target[mine].mean()
        weights = np.linalg.solve(x.T @ x + penalty * np.eye(x.shape[1]), x.T @ (target[mine] - mean))
        left_out[known[~mine]] = features[~mine] @ weights + mean
        # every axis carries its share of the constant, so that a sum over the axes is the whole prediction
        effects[:, k] = basis @ (weights / scale) + (mean - (centre / scale) @ weights) / axes
    found = Predictor(space, effects.astype(np.float32), 0.0, left_out)
    of_fit = np.square(found.predict(np.asarray(genes)[known])[1]).mean()
    unexplained = np.square(left_out[known] - target).mean() - of_fit
    return Predictor(space, found.effects, float(np.sqrt(max(unexplained, 0.0))), left_out)


def _offsets(space: SearchSpace) -> np.ndarray:
    """Where the rows of each axis begin: one per value and one for a gene of an absent block; int64 [G]."""
    return np.concatenate([[0], np.cumsum(space.cardinalities + 1)[:-1]])


def _rows(space: SearchSpace, genes: np.ndarray) -> np.ndarray:
    """Which row of a table each gene of [N, G] stands for, int64 [G, N]."""
    codes = np.where(space.active(genes), genes, space.cardinalities) + _offsets(space)
    return np.ascontiguousarray(codes.T)


def _basis(space: SearchSpace) -> np.ndarray:
    """The columns of every row of `_rows`: its value as one of many, its size from 0 to 1; float64 [rows, columns]."""
    counts, start = space.cardinalities, _offsets(space)
    table = np.zeros((int((counts + 1).sum()), int(counts.sum()) + len(counts)))
    column = 0
    for axis, count in enumerate(counts):
        values = np.arange(count)
        table[start[axis] + values, column + values] = 1
        table[start[axis] + values, -1 - axis] = values / max(1, count - 1)
        column += count
    return table


def _sums(table: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Sum over the axes of the table's rows [., K] that `rows` [G, N] name; [N, K]."""
    total = table[rows[0]]
    for row in rows[1:]:
        total += table[row]
    return total


def _penalty(features: np.ndarray, target: np.ndarray) -> float:
    """Which of the penalties has the least squared leave-one-out error, in closed form (PRESS, Allen 1974)."""
    left, values, _ = np.linalg.svd(features, full_matrices=False)
    shrink = values**2 / (values**2 + _PENALTIES[:, None] * len(target))  # [P, R]
    residual = target - (shrink * (left.T @ target)) @ left.T
    leverage = shrink @ np.square(left).T + 1 / len(target)  # the mean is fitted, too
    errors = np.square(residual / np.maximum(1 - leverage, 1e-3)).mean(axis=1)
    return float(_PENALTIES[np.argmin(errors)])
