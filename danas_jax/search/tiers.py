"""How far the cheap accuracies may be trusted: tier by tier the error and the rank correlation with the exact one.

`half`: the half slice against the whole one, of which it is a part, on the re-ranked systems. `int8`: simulated int8
against float on the whole slice, on the same. `predictor`: what is predicted of a system without it, against its half
slice, on everything evaluated.
"""

from __future__ import annotations

import math

import numpy as np

from danas_jax.classification import METRIC_NAMES, Metric
from danas_jax.metrics import kendall_tau
from danas_jax.search import predictor
from danas_jax.space import SearchSpace

_COMMON = ("systems", "mean_absolute_error", "kendall_tau")
TIERS = {"half": _COMMON, "int8": _COMMON, "predictor": (*_COMMON, "coverage_2_std")}  # the keys of each


def figures(
    space: SearchSpace, genes: np.ndarray, half: np.ndarray, full: np.ndarray, int8: np.ndarray, seed: int
) -> dict[str, dict | None]:
    """The keys of TIERS for genes [N, G] with accuracies `half`, `full`, `int8` [N], NaN = not measured; JSON-ready.

    None for a tier with nothing to compare: `half` and `int8` need 2 systems, `predictor` predictor.FEWEST. A rank
    correlation is None where all accuracies are equal.
    """
    found: dict[str, dict | None] = dict.fromkeys(TIERS)
    for tier, cheap in (("half", half), ("int8", int8)):
        both = ~np.isnan(cheap) & ~np.isnan(full)
        if both.sum() >= 2:
            found[tier] = agreement(cheap[both], full[both])
    known = ~np.isnan(half)
    if known.sum() >= predictor.FEWEST:
        fitted = predictor.fit(space, genes[known], half[known], seed)
        deviation = fitted.predict(genes[known])[1]
        covered = np.abs(fitted.left_out - half[known]) <= 2 * deviation
        found["predictor"] = {**agreement(fitted.left_out, half[known]), "coverage_2_std": float(covered.mean())}
    return found


def agreement(cheap: np.ndarray, exact: np.ndarray) -> dict:
    """The keys of _COMMON for two accuracies [N] of the same systems; kendall_tau None where one is constant."""
    tau = kendall_tau(cheap, exact)
    return {
        "systems": len(exact),
        "mean_absolute_error": float(np.abs(cheap - exact).mean()),
        "kendall_tau": tau if math.isfinite(tau) else None,
    }


def text(found: dict[str, dict | None], metric: Metric) -> str:
    """The figures in one line for people."""
    parts = []
    for tier, row in found.items():
        if row is None:
            parts.append(f"{tier}: too few systems to tell")
            continue
        tau = "-" if row["kendall_tau"] is None else f"{row['kendall_tau']:.2f}"
        covered = f", within 2 std {row['coverage_2_std']:.0%}" if "coverage_2_std" in row else ""
        error = f"mean error {row['mean_absolute_error']:.4f}"
        parts.append(f"{tier}: {error}, Kendall's tau {tau}{covered} ({row['systems']} systems)")
    return f"{METRIC_NAMES[metric]} tiers: " + "; ".join(parts)
