"""What int8 costs in accuracy: the float network, every calibration and fine-tuning, on a run's validation pictures.

Per network of a run (finalists and baselines, as retrained) and seed (of the calibration pictures and of the
fine-tuning's batches): int8 accuracy on validation minus float's in percentage points. `ptq` is the calibration that
the export would choose, `qat` what fine-tuning gives (of its epochs and the untuned network the best), `exported` the
better of both; `qat_epochs_accuracy` is that of the best epoch, empty where the fine-tuning was resumed. Several runs,
say of other seeds, go into the same table. Finished rows are skipped and a fine-tuning resumes, so the same command
goes on.

    python benchmarks/int8_accuracy.py RUN [RUN ...] --out benchmarks/results/int8_accuracy.csv

With --weights the networks are those that benchmarks/retraining.py made, one per seed:

    python benchmarks/int8_accuracy.py RUN --weights "retraining/{start}_18/seed{seed}"

The export chooses on the same pictures, as its early choice does, so these figures are a little too good: of four
networks the best, and of the epochs the best.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
from collections import defaultdict
from pathlib import Path

from danas_jax import disk, runtime
from danas_jax.config import native_frame
from danas_jax.config_io import read_config
from danas_jax.data.dataset import open_data
from danas_jax.deploy.finalists import each_once, found, joined
from danas_jax.deploy.int8 import QAT, int8_network
from danas_jax.deploy.ranges import METHODS

SHARES = ("float", *METHODS, QAT)
POINTS = (*(f"{name}_points" for name in METHODS), "ptq_points", "qat_points", "exported_points")
RECIPE = ("qat_epochs", "qat_learning_rate", "qat_distillation")
FIELDS = (
    *("run", "network", "kind", "resolution_px", "colour", "seed", "images", *RECIPE),
    *SHARES,
    *("qat_epochs_accuracy", "ptq", "exported"),
    *POINTS,
)


def measured(found: dict) -> dict:
    """A row's figures from what `int8_network` tried."""
    tried = {name: result["int8_validation"] for name, result in found["tried"].items()}
    accuracy = {"float": found["float_validation"], **tried}
    points = {name: 100 * (accuracy[name] - accuracy["float"]) for name in tried}
    points |= {"ptq": points[found["ranges"]], "exported": points[found["chosen"]]}
    return {
        **{name: round(accuracy[name], 4) for name in SHARES},
        "ptq": found["ranges"],
        "exported": found["chosen"],
        **{f"{name}_points": round(value, 2) for name, value in points.items()},
    }


def print_means(rows: list[dict]) -> None:
    """Per network the mean of its seeds, in points."""
    groups = defaultdict(list)
    for row in rows:
        groups[row["run"], row["network"]].append(row)
    for (folder, network), group in groups.items():
        means = ", ".join(f"{name} {sum(float(row[name]) for row in group) / len(group):+.2f}" for name in POINTS)
        print(f"{folder} {network}, mean of {len(group)} seeds: {means}")


def read_rows(path: Path) -> list[dict]:
    """The finished rows; starts the table where there is none."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(",".join(FIELDS) + "\n")
    with path.open() as file:
        return list(csv.DictReader(file))


def main() -> None:
    """Measure what is missing from the CSV."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", metavar="RUN", type=Path, nargs="+", help="a run whose finalists are retrained")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--qat-epochs", type=int, default=4)
    parser.add_argument("--weights", default="retrain", help="folder in RUN; {start} = inherited, or scratch if fixed")
    parser.add_argument("--qat-learning-rate", type=float, help="the run's export.qat_learning_rate, unless given")
    parser.add_argument("--qat-distillation", type=float, help="the run's export.qat_distillation, unless given")
    parser.add_argument("--networks", nargs="+", help="of the run, all unless given")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/int8_accuracy.csv"))
    options = parser.parse_args()
    runtime.keep_freed_memory()
    runtime.keep_compiled_programs()
    rows = read_rows(options.out)
    for folder in options.runs:
        config = read_config(folder / "config.json")
        asked = {"qat_learning_rate": options.qat_learning_rate, "qat_distillation": options.qat_distillation}
        settings = dataclasses.replace(
            config.export,
            calibration="best",
            qat_epochs=options.qat_epochs,
            **{name: value for name, value in asked.items() if value is not None},
        )
        data = open_data(config.data, native_frame(config), config.seed)
        training = joined(data.load("train", "export"), data.load("search", "export"))
        validation = data.load("validation", "export")
        for finalist in each_once(found(folder, config, len(data.class_names))):
            if options.networks and finalist.name not in options.networks:
                continue
            for seed in options.seeds:
                start = "inherited" if finalist.kind == "candidate" and config.retrain.inherit else "scratch"
                trained = folder / options.weights.format(start=start, seed=seed) / finalist.name
                row = {
                    "run": folder.name,
                    "network": finalist.name,
                    "kind": finalist.kind,
                    **finalist.source.values,
                    "seed": seed,
                    "images": len(validation),
                    **{name: getattr(settings, name) for name in RECIPE},
                }
                if any(all(done[name] == str(value) for name, value in row.items()) for done in rows):
                    continue
                weights = disk.read_arrays(trained / "weights.npz")
                saved = (
                    folder / "int8_accuracy" / finalist.name / "_".join(str(row[name]) for name in ("seed", *RECIPE))
                )
                epochs: list[float] = []

                def log(event, name=finalist.name, seed=seed, epochs=epochs):
                    print(name, seed, event, flush=True)
                    epochs.append(event["validation_accuracy"])

                *_, tried = int8_network(
                    finalist.layers, finalist.source, weights["params"], weights["stats"], settings, config.retrain,
                    training, validation, seed, saved, log,
                )  # fmt: skip
                row |= measured(tried)
                row["qat_epochs_accuracy"] = round(max(epochs), 4) if len(epochs) == settings.qat_epochs else ""
                with options.out.open("a", newline="") as file:
                    csv.DictWriter(file, FIELDS).writerow(row)
                print(row, flush=True)
    print_means(read_rows(options.out))


if __name__ == "__main__":
    main()
