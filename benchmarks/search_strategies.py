"""Evolution, gradient and random search over one trained supernet, compared by the images that pass through it.

Every search gets the run's own budgets. An exact evaluation costs the calibration images and the half slice, a step of
`gradient` three passes of its batch (forward, and a backward pass counts as 2) at each of its resolutions. Seeds are
those of the search: the supernet and the slice stay. Finished rows are skipped, so the same command goes on; accuracies
measured before are not measured again, so times tell nothing.

    danas train person_photos --data.path DIR --run-dir RUN
    python benchmarks/search_strategies.py RUN --out benchmarks/results/search_strategies.csv
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np

from danas_jax import trained as trained_module
from danas_jax.metrics import accuracy_standard_error
from danas_jax.supernet.mixture import Slopes, mixture_slopes
from danas_jax.trained import Trained, open_trained

SETTINGS = {
    "evolution": {"strategy": "evolution", "population": 16, "generations": 5},
    "random": {"strategy": "random", "population": 16, "generations": 5},
    "gradient": {"strategy": "gradient", "population": 6, "generations": 3, "gradient_steps": 10},
}
PASSES_PER_STEP = 3  # of every image of a gradient step: forward 1, backward 2
FIELDS = (
    "run", "strategy", "seed", "sram_bytes", "evaluations", "gradient_calls", "images", "best_half", "best_full",
    "hypervolume",
)  # fmt: skip


def searched(supernet: Trained, strategy: str, seed: int) -> list[dict]:
    """One search; a row per budget."""
    calls = {"exact": 0, "slopes": 0}
    exact, make = supernet.evaluate, mixture_slopes

    def evaluate(genes: np.ndarray, tier: str = "half") -> np.ndarray:
        calls["exact"] += len(genes) if tier == "half" else 0
        return exact(genes, tier)

    def counted(*given) -> Slopes:
        slopes = make(*given)

        def call(*asked):
            calls["slopes"] += 1
            return slopes(*asked)

        return call

    config = supernet.config
    settings = {"gradient_batch": config.search.gradient_batch, "rerank_int8": False, **SETTINGS[strategy]}
    trained_module.mixture_slopes = counted
    supernet.evaluate = evaluate  # ty: ignore[invalid-assignment]
    try:
        found = supernet.search(config.budgets, settings, seed=seed)
    finally:
        trained_module.mixture_slopes = make
        supernet.evaluate = exact  # ty: ignore[invalid-assignment]
    half = round(config.search.evaluation_fraction * supernet.search_images)
    each = min(config.train.calibration_images, half) + half
    images = calls["exact"] * each + calls["slopes"] * settings["gradient_batch"] * PASSES_PER_STEP
    return [
        {
            "strategy": strategy,
            "seed": seed,
            "sram_bytes": result.budget.sram_bytes,
            "evaluations": calls["exact"],
            "gradient_calls": calls["slopes"],
            "images": images,
            "best_half": round(max(c.accuracy_half for c in result.front + result.reranked if c.accuracy_half), 4),
            "best_full": round(max(c.accuracy_full for c in result.reranked if c.accuracy_full), 4),
            "hypervolume": round(result.hypervolume[-1], 5),
        }
        for result in found.budgets
    ]


def summary(rows: list[dict], images: int) -> None:
    """Means over the seeds, per budget and strategy."""
    for sram in dict.fromkeys(int(row["sram_bytes"]) for row in rows):
        for strategy in SETTINGS:
            mine = [row for row in rows if row["strategy"] == strategy and int(row["sram_bytes"]) == sram]
            if not mine:
                continue
            mean = {key: np.mean([float(row[key]) for row in mine]) for key in FIELDS[4:]}
            error = accuracy_standard_error(mean["best_full"], images)
            print(
                f"{sram} B, {strategy}: {len(mine)} seeds, images {mean['images']:.0f}, best half "
                f"{mean['best_half']:.4f}, best full {mean['best_full']:.4f} (standard error {error:.4f}), "
                f"hypervolume {mean['hypervolume']:.4f}"
            )


def main() -> None:
    """Measure what is missing from the CSV and print the means."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", metavar="RUN", type=Path, help="a run whose supernet is trained")
    parser.add_argument("--seeds", type=int, nargs="+", default=[11, 12, 13, 14, 15])
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/search_strategies.csv"))
    options = parser.parse_args()
    if not options.out.exists():
        options.out.write_text(",".join(FIELDS) + "\n")
    with options.out.open() as file:
        rows = [row for row in csv.DictReader(file) if row["run"] == options.run.name]
    done = {(row["strategy"], int(row["seed"])) for row in rows}
    supernet = open_trained(options.run)
    for seed in options.seeds:
        for strategy in SETTINGS:
            if (strategy, seed) in done:
                continue
            new = [{"run": options.run.name, **row} for row in searched(supernet, strategy, seed)]
            with options.out.open("a", newline="") as file:
                csv.DictWriter(file, FIELDS, lineterminator="\n").writerows(new)
            rows += new
            print(*new, sep="\n", flush=True)
    summary(rows, supernet.search_images)


if __name__ == "__main__":
    main()
