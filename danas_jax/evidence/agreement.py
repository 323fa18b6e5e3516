"""How well a score orders systems whose accuracy is known, and how sure that is. NumPy."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping

import numpy as np

from danas_jax.metrics import kendall_tau, spearman

TOP = (1, 3, 5)  # how many a search would retrain
RESAMPLES = 1000


def top(values: np.ndarray, count: int) -> np.ndarray:
    """Indices of the `count` highest of `values` [N]; of equal ones the first."""
    return np.argsort(-np.asarray(values), kind="stable")[:count]


def regret(score: np.ndarray, accuracy: np.ndarray, count: int) -> float:
    """What is lost by training only the `count` systems of the highest `score`: best `accuracy` minus theirs."""
    return float(np.max(accuracy) - np.max(accuracy[top(score, count)]))


def precision(score: np.ndarray, accuracy: np.ndarray, count: int) -> float:
    """Share of the `count` systems of the highest `score` that are among the `count` most accurate."""
    return len(np.intersect1d(top(score, count), top(accuracy, count))) / min(count, len(score))


def agreement(score: np.ndarray, accuracies: np.ndarray) -> dict[str, float | None]:
    """Kendall's tau, Spearman's rho, and regret and precision of the top, of `score` [N].

    `accuracies` [S, N] are those of S trainings of each system: every figure is the mean over them. None where one is
    not defined (all scores alike).
    """
    figures: dict[str, Callable[[np.ndarray], float]] = {
        "kendall_tau": lambda accuracy: kendall_tau(score, accuracy),
        "spearman": lambda accuracy: spearman(score, accuracy),
    }
    for count in (count for count in TOP if count < len(score)):
        figures[f"regret_at_{count}"] = lambda accuracy, count=count: regret(score, accuracy, count)
        figures[f"precision_at_{count}"] = lambda accuracy, count=count: precision(score, accuracy, count)
    means = {name: float(np.mean([of(accuracy) for accuracy in accuracies])) for name, of in figures.items()}
    return {name: None if np.isnan(value) else value for name, value in means.items()}


def ceiling_tau(others: np.ndarray, accuracies: np.ndarray) -> float:
    """The tau of one training's accuracy against another's: what any score could reach, mean over all ordered pairs.

    `others` [S, N]: the accuracies of the same trainings on other images, as a score has them. NaN with one training.
    """
    count = len(accuracies)
    pairs = [kendall_tau(others[i], accuracies[j]) for i in range(count) for j in range(count) if i != j]
    return float(np.mean(pairs)) if pairs else float("nan")


def tau_intervals(
    scores: Mapping[str, np.ndarray], accuracies: np.ndarray, others: np.ndarray, reference: str, seed: int
) -> dict[str, dict[str, list[float] | None]]:
    """{score: {"tau": 95 % interval, "difference": 90 % interval of `reference`'s tau minus its own}} by bootstrap.

    Systems are resampled, the same ones for every score; a "ceiling" is among the scores where there are two trainings.
    """
    rng, count = np.random.default_rng([seed, 8]), accuracies.shape[1]
    drawn: dict[str, list[float]] = {name: [] for name in (*scores, "ceiling")}
    for _ in range(RESAMPLES):
        rows = rng.integers(0, count, count)
        seen = accuracies[:, rows]
        for name, score in scores.items():
            drawn[name].append(float(np.mean([kendall_tau(score[rows], accuracy) for accuracy in seen])))
        drawn["ceiling"].append(ceiling_tau(others[:, rows], seen))
    taus = {name: np.array(values) for name, values in drawn.items()}
    return {
        name: {"tau": _interval(of, 2.5), "difference": _interval(taus[reference] - of, 5.0)}
        for name, of in taus.items()
    }


def _interval(values: np.ndarray, percent: float) -> list[float] | None:
    """The middle of `values` without `percent` % at either end; None where none is a number."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # all NaN: said by None
        low, high = np.nanpercentile(values, [percent, 100 - percent])
    return None if np.isnan(low) else [float(low), float(high)]
