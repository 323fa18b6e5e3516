"""Does a supernet of other photographs help where few are labelled? From scratch against --train.init-from.

PHOTOS is the folder of person photographs: <split>/<class>/*.jpg and a metadata.csv with the columns file, label, split
and source. For each seed a supernet is trained on the pictures of --sources (`danas train CONFIG`), then on
--per-class training pictures of each class of --target, by one recipe and the same views:

    scratch           fresh weights, --epochs
    transfer          begins with the sources' supernet, --epochs
    transfer_quarter  begins with it, a quarter of --epochs (a schedule of its own, so its end is a fair end)

A row of the CSV is a point of one training: balanced accuracy on the target's validation pictures of the smallest, the
median and the largest subnet (BN recalibrated, not retrained). The last row of a training also has them on the target's
test pictures, which are read there and nowhere else: note it in benchmarks/results/test_reads.csv.
Points that are there are not measured again, trainings resume from the last one: the same command goes on.

    python benchmarks/transfer.py PHOTOS --work runs/transfer --seeds 0 1 2 --out benchmarks/results/transfer.csv
"""

from __future__ import annotations

import argparse
import csv
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from danas_jax import cli, disk, run, runtime
from danas_jax.config import Config, native_frame
from danas_jax.data.batches import SEARCH_CALIBRATION, calibration_rows
from danas_jax.data.dataset import open_data
from danas_jax.data.metadata import read_table
from danas_jax.deploy.finalists import joined
from danas_jax.overrides import config_of
from danas_jax.space import Bounds
from danas_jax.supernet.checkpoint import Checkpoints
from danas_jax.supernet.evaluate import scored, subnet_answers
from danas_jax.supernet.plan import Plan
from danas_jax.supernet.train import train
from danas_jax.transfer.start import beginning

STARTS = {"scratch": 1, "transfer": 1, "transfer_quarter": 4}  # by how much its epochs are fewer
SUBNETS = ("smallest", "median", "largest")
FIELDS = (
    "config", "seed", "start", "epochs", "step", "steps", "image_views", "per_class",
    *(f"{split}_{subnet}" for split in ("validation", "test") for subnet in SUBNETS),
)  # fmt: skip


class Points(Checkpoints):
    """Checkpoints of a training at the given steps alone; `measure(step, params)` comes before each."""

    def __init__(self, folder: Path, steps: set[int], measure: Callable[[int, dict], None]):
        super().__init__(folder)
        self.steps, self.measure = steps, measure

    def save(self, step: int, state: Any) -> None:
        """Measure and save, where this step is a point."""
        if step in self.steps:
            self.measure(step, state.get("average", state["params"]))
            super().save(step, state)


def write_manifests(photos: Path, folder: Path, sources: list[str], target: str) -> tuple[Path, Path]:
    """sources.csv and target.csv in `folder`, with the rows of metadata.csv; a link beside them holds the pictures."""
    table = read_table(photos / "metadata.csv")
    folder.mkdir(parents=True, exist_ok=True)
    link = folder / "photos"
    if not link.is_symlink():
        link.symlink_to(photos.resolve())
    paths = folder / "sources.csv", folder / "target.csv"
    for path, names in zip(paths, (sources, [target]), strict=True):
        rows = [row for row in table.rows if row["source"] in names]
        if missing := set(names) - {row["source"] for row in rows}:
            raise SystemExit(f"{photos / 'metadata.csv'}: no picture of {', '.join(sorted(missing))}")
        lines = [f"{link.name}/{row['file']},{row['label']},{row['split']},{row['source']}" for row in rows]
        text = "\n".join(("file,label,split,source", *lines)) + "\n"
        if not path.exists() or path.read_text() != text:
            disk.write_text(path, text)
    return paths


def main() -> None:
    """Train and measure what is missing from the CSV."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", metavar="PHOTOS", type=Path)
    parser.add_argument("--config", default="person_photos", help="CONFIG of both trainings")
    parser.add_argument("--sources", nargs="+", default=["voc", "ade20k", "visual7w"])
    parser.add_argument("--target", default="flickr8k")
    parser.add_argument("--per-class", type=int, default=400, help="training pictures of each class of the target")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--starts", nargs="+", choices=STARTS, default=list(STARTS))
    parser.add_argument("--source-epochs", type=int, default=24)
    parser.add_argument("--epochs", type=int, default=96, help="on the target; a multiple of 4")
    parser.add_argument("--init-rate", type=float, default=1.0)
    parser.add_argument("--points", type=int, default=16, help="of a whole training")
    parser.add_argument("--work", type=Path, default=Path("runs/transfer"), help="folder of manifests and trainings")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/transfer.csv"))
    options = parser.parse_args()
    runtime.keep_freed_memory()
    runtime.keep_compiled_programs()
    known, few = write_manifests(options.photos, options.work / "data", options.sources, options.target)
    for seed in options.seeds:
        source = options.work / f"source-{seed}"
        common = [options.config, "--data.source", "csv", "--seed", str(seed)]
        flags = ["--data.path", str(known), "--train.epochs", str(options.source_epochs), "--run-dir", str(source)]
        if code := cli.main(["train", *common, *flags]):
            raise SystemExit(code)
        payload = run.phase_payload(source, "train")
        lower, upper = (np.array(bound) for bound in payload["trained_bounds"])
        for start in options.starts:
            flags = ["--data.path", str(few), "--data.limit-per-class", str(options.per_class)]
            flags += ["--train.epochs", str(options.epochs // STARTS[start])]
            if start != "scratch":
                flags += ["--train.init-from", str(source), "--train.init-rate", str(options.init_rate)]
            config = config_of([*common, *flags], "train")
            folder = options.work / f"{start}-{seed}"
            one_training(config, start, folder, (lower, upper), options.points // STARTS[start], options)
    print(*verdict(options.out), sep="\n", flush=True)


def one_training(
    config: Config, start: str, folder: Path, bounds: Bounds, points: int, options: argparse.Namespace
) -> None:
    """A training on the target from one start, and its rows that are missing."""
    data = open_data(config.data, native_frame(config), config.seed)
    # Nothing is searched here, so the search slice is trained on, too: all of the pictures of each class.
    training = joined(data.load("train", "retrain"), data.load("search", "retrain"))
    settings = replace(config.train.scaled, checkpoint_every_s=0.0)
    plan = Plan(config.space, settings, bounds, len(training), config.seed)
    steps = {round(plan.steps * (i + 1) / max(1, points)) for i in range(max(1, points))}
    key = {"config": config.name, "seed": config.seed, "start": start, "epochs": settings.epochs}
    key |= {"steps": plan.steps, "per_class": options.per_class}
    done = {int(row["step"]) for row in rows_of(options.out) if all(row[name] == str(key[name]) for name in key)}
    if plan.steps in done:
        return
    calibration = training.raw[
        calibration_rows(config.seed, SEARCH_CALIBRATION, len(training), settings.calibration_images)
    ]

    def accuracies(split: str, params: dict) -> dict[str, float]:
        parts = {split: data.load(split, "test" if split == "test" else "retrain")}
        answers = subnet_answers(config.space, params, bounds, calibration, parts, len(data.class_names))
        lower, upper = bounds
        genes = np.stack([config.space.canonical(one) for one in (lower, (lower + upper) // 2, upper)])
        found = scored(answers, parts, "balanced_accuracy")(genes, split)
        return {f"{split}_{name}": round(float(one), 4) for name, one in zip(SUBNETS, found, strict=True)}

    def measure(step: int, params: dict) -> None:
        if step in done:
            return
        found = accuracies("validation", params) | (accuracies("test", params) if step == plan.steps else {})
        views = round(plan.image_views() * step / plan.steps)
        row = {**key, "step": step, "image_views": views, **found}
        add_row(options.out, row)
        print(row, flush=True)

    checkpoints = Points(folder, steps, measure)
    begin = beginning(config.train, data.class_names, folder, print)
    train(
        config.space, settings, bounds, training, len(data.class_names), config.seed, checkpoints,
        lambda event: print(f"{start}, seed {config.seed}: step {event['step']}/{event['steps']}", flush=True),
        config.data.resident, begin,
    )  # fmt: skip
    checkpoints.close()


def rows_of(path: Path) -> list[dict[str, str]]:
    """What the CSV has."""
    if not path.exists():
        return []
    with path.open() as file:
        return list(csv.DictReader(file))


def add_row(path: Path, row: dict[str, Any]) -> None:
    """One more line, whole or not at all."""
    old = path.read_text() if path.exists() else ",".join(FIELDS) + os.linesep
    disk.write_text(path, old + ",".join(str(row.get(name, "")) for name in FIELDS) + os.linesep)


def verdict(path: Path) -> list[str]:
    """For each seed and subnet the balanced accuracy on the target's test pictures from each start."""
    ends = {(row["seed"], row["start"]): row for row in rows_of(path) if row["step"] == row["steps"]}
    lines = []
    for seed in dict.fromkeys(seed for seed, _ in ends):
        for subnet in SUBNETS:
            told = (f"{s} {float(ends[seed, s][f'test_{subnet}']):.4f}" for s in STARTS if (seed, s) in ends)
            lines.append(f"seed {seed}, {subnet}: test balanced accuracy {', '.join(told)}")
    return lines


if __name__ == "__main__":
    main()
