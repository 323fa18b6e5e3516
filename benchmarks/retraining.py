"""What inherited weights save: a run's finalists retrained from the supernet's weights and from scratch.

Per finalist and seed (of initial weights, order and views): from scratch, inherited with as many image views, inherited
with a third of them (--ways leaves some out); the fixed networks of the run from scratch. Validation chooses the epoch
in all of them, as in the pipeline, and gives the accuracy in the table. Finished rows are skipped and a training
resumes, so the same command goes on; the weights stay below RUN/retraining/, where benchmarks/int8_accuracy.py can take
them.

    python benchmarks/retraining.py RUN --out benchmarks/results/retraining.csv
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import itertools
from collections import defaultdict
from pathlib import Path

from danas_jax import disk, reuse, runtime
from danas_jax.config import native_frame
from danas_jax.config_io import read_config
from danas_jax.data.dataset import open_data
from danas_jax.deploy.finalists import Finalist, each_once, found, joined, retrain_one
from danas_jax.supernet.in_flight import in_flight

SCRATCH, INHERITED, A_THIRD = "scratch", "inherited", "a-third"
WAYS = (INHERITED, SCRATCH, A_THIRD)
FIELDS = ("run", "network", "kind", "resolution_px", "colour", "start", "epochs", "image_views", "seed", "accuracy")


def print_shares(rows: list[dict]) -> None:
    """Per network the mean accuracies of its seeds, and each as a share of from-scratch's distance to 0.5."""
    groups = defaultdict(list)
    for row in rows:
        groups[row["network"], row["start"], int(row["image_views"])].append(float(row["accuracy"]))
    means = {key: sum(values) / len(values) for key, values in groups.items()}
    for (network, start, views), mean in sorted(means.items()):
        most = max(v for n, s, v in means if n == network and s == SCRATCH)
        share = (mean - 0.5) / (means[network, SCRATCH, most] - 0.5)
        print(
            f"{network} {start} {views:,} views: {mean:.4f} ({len(groups[network, start, views])} seeds), {share:.3f}"
        )


def main() -> None:
    """Retrain what is missing from the CSV."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", metavar="RUN", type=Path, help="a run that has been searched")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS, help="of the finalists")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/retraining.csv"))
    options = parser.parse_args()
    runtime.keep_freed_memory()
    runtime.keep_compiled_programs()
    config = read_config(options.run / "config.json")
    data = open_data(config.data, native_frame(config), config.seed)
    chosen = each_once(found(options.run, config, len(data.class_names)))
    supernet = disk.read_arrays(options.run / reuse.WEIGHTS)
    training = joined(data.load("train", "retrain"), data.load("search", "retrain"))
    validation = data.load("validation", "retrain")

    def row_of(job: tuple[int, Finalist, str, int]) -> dict:
        seed, finalist, start, epochs = job
        recipe = dataclasses.replace(config.retrain, epochs=epochs, inherit=start == INHERITED)
        folder = options.run / "retraining" / f"{start}_{epochs}" / f"seed{seed}" / finalist.name
        retrain_one(
            folder, finalist, dataclasses.replace(config, seed=seed, retrain=recipe), supernet, training, validation,
            None, lambda event: print(finalist.name, start, seed, event, flush=True),
        )  # fmt: skip
        history = disk.read_json(folder / "history.json")
        return {
            "run": options.run.name,
            "network": finalist.name,
            "kind": finalist.kind,
            **finalist.source.values,
            "start": start,
            "epochs": epochs,
            "image_views": history["image_views"],
            "seed": seed,
            "accuracy": round(history["validation_accuracy"], 4),
        }

    if not options.out.exists():
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(",".join(FIELDS) + "\n")
    with options.out.open() as file:
        done = {tuple(row[name] for name in FIELDS[:-1] if name != "image_views") for row in csv.DictReader(file)}
    epochs = config.retrain.epochs
    ways = {INHERITED: (INHERITED, epochs), SCRATCH: (SCRATCH, epochs), A_THIRD: (INHERITED, epochs // 3)}
    jobs = [
        (seed, finalist, *ways[way])
        for seed, way, finalist in itertools.product(options.seeds, WAYS, chosen)
        if way in (options.ways if finalist.kind == "candidate" else (SCRATCH,))
    ]
    for row in in_flight(row_of, jobs):
        if tuple(str(row[name]) for name in FIELDS[:-1] if name != "image_views") not in done:
            with options.out.open("a", newline="") as file:
                csv.DictWriter(file, FIELDS).writerow(row)
    with options.out.open() as file:
        print_shares([row for row in csv.DictReader(file) if row["run"] == options.run.name])


if __name__ == "__main__":
    main()
