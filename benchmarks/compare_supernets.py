"""Which of two supernets is better? The same systems, inherited from each (recalibrated, not retrained).

Judged on the search slice and validation together, which neither has trained on: the smallest, the median and the
largest system of the bounds that both trained, and random ones by resolution. A row per run and group: mean accuracy.

    danas train person_photos --data.path DIR --run-dir A
    danas train person_photos --data.path DIR --run-dir B --train.full-resolution
    python benchmarks/compare_supernets.py A B --out benchmarks/results/full_resolution.csv
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np

from danas_jax import disk, reuse, run, runtime
from danas_jax.config import native_frame
from danas_jax.config_io import read_config
from danas_jax.data.batches import SEARCH_CALIBRATION, calibration_rows
from danas_jax.data.dataset import open_data
from danas_jax.deploy.finalists import joined
from danas_jax.supernet.evaluate import subnet_evaluator

FIELDS = ("run", "group", "systems", "images", "accuracy", "supernet_image_views")


def main() -> None:
    """Evaluate both and write the CSV."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", metavar="RUN", type=Path, nargs=2, help="runs of one space whose supernets are trained")
    parser.add_argument("--random", type=int, default=10, help="random systems of each resolution")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    runtime.keep_freed_memory()
    runtime.keep_compiled_programs()
    config = read_config(options.runs[0] / "config.json")
    space = config.space
    data = open_data(config.data, native_frame(config), config.seed)
    training = data.load("train", "retrain")
    judging = joined(data.load("search", "retrain"), data.load("validation", "retrain"))
    payloads = [run.phase_payload(folder, "train") for folder in options.runs]
    lower = np.max([payload["trained_bounds"][0] for payload in payloads], axis=0)
    upper = np.min([payload["trained_bounds"][1] for payload in payloads], axis=0)
    groups = {"smallest": lower[None], "median": (lower + upper)[None] // 2, "largest": upper[None]}
    rng = np.random.default_rng(31)
    for resolution in range(lower[0], upper[0] + 1):
        genes = rng.integers(lower, upper + 1, (options.random, len(lower)))
        genes[:, space.index["resolution_px"]] = resolution
        groups[f"random, {space.view.resolutions_px[resolution]} px"] = genes
    chosen = calibration_rows(config.seed, SEARCH_CALIBRATION, len(training), config.train.calibration_images)
    with options.out.open("w", newline="") as file:
        out = csv.DictWriter(file, FIELDS, lineterminator="\n")
        out.writeheader()
        for folder, payload in zip(options.runs, payloads, strict=True):
            evaluate = subnet_evaluator(
                space, disk.read_arrays(folder / reuse.WEIGHTS), (lower, upper), training.raw[chosen], judging, 1.0,
                len(data.class_names), config.seed,
            )  # fmt: skip
            for group, genes in groups.items():
                accuracy = evaluate(space.canonical(genes), "full")
                row = {
                    "run": folder.name,
                    "group": group,
                    "systems": len(genes),
                    "images": len(judging),
                    "accuracy": round(float(accuracy.mean()), 4),
                    "supernet_image_views": payload["supernet_image_views"],
                }
                out.writerow(row)
                print(row, flush=True)


if __name__ == "__main__":
    main()
