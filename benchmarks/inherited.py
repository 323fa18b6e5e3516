"""Are subnets as good inside the supernet as when they are trained alone?

The smallest, the median and the largest system of a run's trained bounds (each axis's first, middle and last value; the
lower of two middle ones): inherited (recalibrated, not retrained) against trained from scratch on the same `train`
split, with the supernet's augmentation, learning rate, decay and batch size, for the given image views. Both are judged
on the search slice and validation together, which neither has trained on; alone takes its last epoch (nothing is chosen
by these pictures), its weights averaged by `retrain.ema_decay`. `share` is (inherited - chance) / (alone - chance),
chance = 1 / classes.
Finished rows are skipped and a training resumes, so the same command goes on.

    danas train person_photos --data.path DIR --run-dir RUN
    python benchmarks/inherited.py RUN --views passes --out benchmarks/results/inherited.csv

--views passes: as many forward and backward passes of an image as all subnets of the supernet's training together;
--views pictures: as many augmented pictures as that training drew (each went through every subnet of its sandwich).
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
from pathlib import Path

import numpy as np

from danas_jax import disk, reuse, run, runtime
from danas_jax.config import RetrainSettings, native_frame
from danas_jax.config_io import read_config
from danas_jax.data.batches import SEARCH_CALIBRATION, calibration_rows
from danas_jax.data.dataset import open_data
from danas_jax.deploy.finalists import joined
from danas_jax.deploy.retrain import image_views, retrain
from danas_jax.hardware.cost import cost
from danas_jax.supernet.checkpoint import Checkpoints
from danas_jax.supernet.evaluate import subnet_evaluator
from danas_jax.supernet.network import init_variables

FIELDS = (
    "run", "subnet", "views", "resolution_px", "colour", "macs", "params", "image_views", "images",
    "inherited", "alone", "share",
)  # fmt: skip


def main() -> None:
    """Measure what is missing from the CSV."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", metavar="RUN", type=Path, help="a run whose supernet is trained")
    parser.add_argument("--views", choices=("passes", "pictures"), default="passes")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/inherited.csv"))
    options = parser.parse_args()
    runtime.keep_freed_memory()
    runtime.keep_compiled_programs()
    config = read_config(options.run / "config.json")
    space, settings = config.space, config.train
    native = native_frame(config)
    data = open_data(config.data, native, config.seed)
    classes = len(data.class_names)
    chance = 1 / classes
    training = data.load("train", "retrain")
    judging = joined(data.load("search", "retrain"), data.load("validation", "retrain"))
    payload = run.phase_payload(options.run, "train")
    lower, upper = (np.array(bound) for bound in payload["trained_bounds"])
    systems = {"smallest": lower, "median": (lower + upper) // 2, "largest": upper}
    shared = {f.name for f in dataclasses.fields(RetrainSettings)} & {f.name for f in dataclasses.fields(settings)}
    recipe = dataclasses.replace(config.retrain, **{name: getattr(settings, name) for name in shared - {"ema_decay"}})
    if options.views == "passes":
        per_epoch = image_views(dataclasses.replace(recipe, epochs=1), len(training))
        recipe = dataclasses.replace(recipe, epochs=max(1, round(payload["supernet_image_views"] / per_epoch)))
    recipe = dataclasses.replace(recipe, validate_every_epochs=recipe.epochs)
    done = set()
    if options.out.exists():
        with options.out.open() as file:
            done = {(row["run"], row["subnet"], row["views"]) for row in csv.DictReader(file)}
    else:
        options.out.write_text(",".join(FIELDS) + "\n")
    chosen = calibration_rows(config.seed, SEARCH_CALIBRATION, len(training), settings.calibration_images)
    evaluate = subnet_evaluator(
        space, disk.read_arrays(options.run / reuse.WEIGHTS), (lower, upper), training.raw[chosen], judging, 1.0,
        classes, config.seed,
    )  # fmt: skip
    for name, genes in systems.items():
        if (options.run.name, name, options.views) in done:
            continue
        genes = space.canonical(genes)
        layers, system = space.layers(genes, classes), space.input(genes)
        checkpoints = Checkpoints(options.run / "alone" / f"{name}_{options.views}")
        start, _ = init_variables(layers, config.seed)
        alone = retrain(
            layers, system, start, recipe, training, judging, config.seed, checkpoints,
            lambda event, name=name: print(name, event, flush=True),
        ).validation_accuracy  # fmt: skip
        checkpoints.close()
        inherited = float(evaluate(genes[None], "full")[0])
        figures = cost(layers, "")
        row = {
            "run": options.run.name,
            "subnet": name,
            "views": options.views,
            **system.values,
            "macs": figures["macs"],
            "params": figures["params"],
            "image_views": image_views(recipe, len(training)),
            "images": len(judging),
            "inherited": round(inherited, 4),
            "alone": round(alone, 4),
            "share": round((inherited - chance) / (alone - chance), 4) if alone > chance else "",
        }
        with options.out.open("a", newline="") as file:
            csv.DictWriter(file, FIELDS).writerow(row)
        print(row, flush=True)


if __name__ == "__main__":
    main()
