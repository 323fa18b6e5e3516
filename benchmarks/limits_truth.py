"""Does more memory buy what it should? Higher resolution with more SRAM, wider networks with more flash.

One supernet of configs/limits_truth.py per seed is trained, then searched once for LIMITS SRAM limits (flash free) and
LIMITS flash limits (SRAM free), spaced by equal factors from a hair above the smallest system's need to the largest's.
A row per limit is what the search would retrain: its first finalist. `width` is the mean position of its width genes,
0 = narrowest, 1 = widest. Rows in the CSV are skipped.

    python benchmarks/limits_truth.py --seeds 21 22 23 24 25 --out benchmarks/results/limits_truth.csv
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from pathlib import Path

import numpy as np

from danas_jax import cli
from danas_jax.config import Limits
from danas_jax.metrics import kendall_tau
from danas_jax.trained import Trained, open_trained

LIMITS = 5
LOWEST = 1.1  # of the smallest need
COSTS = {"sram_bytes": "arena_host_bytes", "flash_bytes": "flash_bytes"}
RISES = {"sram_bytes": "resolution_px", "flash_bytes": "width"}  # limit -> what should rise with it
FIELDS = (
    "seed",
    "limited",
    "limit",
    "resolution_px",
    "colour",
    "width",
    "search_accuracy",
    "sram_bytes",
    "flash_bytes",
)


def budgets_of(supernet: Trained) -> list[tuple[str, Limits]]:
    """(which limit, budget) of all of them."""
    ends = [supernet.costs(bound[None]) for bound in supernet.bounds]
    found = []
    for field, cost in COSTS.items():
        low, high = (float(end[cost][0]) for end in ends)
        limits = np.geomspace(LOWEST * low, high, LIMITS).astype(int)
        found += [(field, Limits(**{field: int(limit)})) for limit in limits]
    return found


def rows_of(seed: int) -> list[dict]:
    """Train and search once; a row per budget."""
    with tempfile.TemporaryDirectory() as folder:
        code = cli.main(["train", "limits_truth", "--run-dir", folder, "--seed", str(seed)])
        if code:
            raise SystemExit(code)
        supernet = open_trained(folder)
        budgets = budgets_of(supernet)
        found = supernet.search([limits for _, limits in budgets], {"population": 8})
    space = supernet.space
    widths = [i for i, axis in enumerate(space.axes) if axis.name.endswith("width") and len(axis.values) > 1]
    rows = []
    for (limited, limits), result in zip(budgets, found.budgets, strict=True):
        best = result.candidate(result.finalists[0])
        rows.append(
            {
                "seed": seed,
                "limited": limited,
                "limit": getattr(limits, limited),
                **best.data,
                "width": round(float(np.mean(np.array(best.genes)[widths] / (space.cardinalities[widths] - 1))), 3),
                "search_accuracy": round(best.accuracy_full or 0.0, 4),
                **{field: best.costs[cost] for field, cost in COSTS.items()},
            }
        )
    return rows


def summary(rows: list[dict]) -> None:
    """Per seed and limit: what was chosen from the lowest limit to the highest, and whether it rises."""
    for limited, figure in RISES.items():
        good = 0
        seeds = list(dict.fromkeys(row["seed"] for row in rows))
        for seed in seeds:
            mine = [row for row in rows if row["seed"] == seed and row["limited"] == limited]
            chosen = np.array([float(row[figure]) for row in mine])
            tau = kendall_tau(np.arange(len(chosen)), chosen)
            rises = bool(chosen[-1] > chosen[0] and tau > 0)
            good += rises
            values = " ".join(f"{value:g}" for value in chosen)
            print(f"seed {seed}, more {limited}: {figure} {values}; tau {tau:.2f}; {'rises' if rises else 'DOES NOT'}")
        print(f"more {limited}: {figure} rises in {good} of {len(seeds)} seeds")


def main() -> None:
    """Run what is missing from the CSV and print what was chosen."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[21, 22, 23, 24, 25])
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/limits_truth.csv"))
    options = parser.parse_args()
    if not options.out.exists():
        options.out.write_text(",".join(FIELDS) + "\n")
    with options.out.open() as file:
        rows = list(csv.DictReader(file))
    for seed in options.seeds:
        if str(seed) in {row["seed"] for row in rows}:
            continue
        new = [{name: str(value) for name, value in row.items()} for row in rows_of(seed)]
        with options.out.open("a", newline="") as file:
            csv.DictWriter(file, FIELDS, lineterminator="\n").writerows(new)
        rows += new
    summary([row for row in rows if int(row["seed"]) in options.seeds])


if __name__ == "__main__":
    main()
