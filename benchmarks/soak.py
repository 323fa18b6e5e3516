"""Hours of training and search, compressed: does anything grow in a process that saves and evaluates again and again?

    python benchmarks/soak.py --out benchmarks/results/soak.csv            # 2,000 cycles
    python benchmarks/soak.py --cycles 150 --every 10 --out soak.csv       # to see that it works

A cycle is a training step of a tiny supernet, its checkpoint, and four random subnets evaluated with the new weights
and kept in the cache of accuracies; every 25th cycle opens the checkpoints anew, reads the newest back and trains a
network for itself, of 16 shapes in turn. Every --every cycles a row of the process's memory, open files, threads,
compiled programs and of the folder's size is written. Exit code 1 where, over the second half, the memory's line
rises by more than --bound-mb per 1,000 cycles, or where the most files, threads, programs, arrays or bytes in the
folder are more in the last quarter than in the third by more than GROWTH. (Each new shape costs 0.7 MB for good,
docs/scale.md; after 400 cycles there is none.) XLA optimises little here: it compiles in half the time.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import gc
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_backend_optimization_level=0"  # before jax

import jax
import numpy as np

from danas_jax import runtime
from danas_jax.cli import _quiet
from danas_jax.config import RetrainSettings, TrainSettings
from danas_jax.data.dataset import Split
from danas_jax.deploy.retrain import retrain
from danas_jax.search.cache import AccuracyCache
from danas_jax.space import SearchSpace, Stage
from danas_jax.supernet import evaluate, train
from danas_jax.supernet.checkpoint import Checkpoints
from danas_jax.supernet.network import init_variables
from danas_jax.views.image import ImageView

SPACE = SearchSpace("soak", ImageView((12,), ("mono", "rgb")), (4, 8), (Stage((4, 8), (1, 2), 2, (2,), (3, 5)),), (8,))
BOUNDS = SPACE.min_genes, SPACE.max_genes
STEPS_PER_EPOCH, ANEW_EVERY, SUBNETS, SHAPES = 5, 25, 4, 16
FEWEST = 2 * ANEW_EVERY * SHAPES  # cycles to be judged: every shape has been seen before the second half
FIELDS = ("cycle", "time_s", "rss_mb", "open_files", "threads", "live_programs", "live_arrays", "folder_mb")
GROWTH = {"open_files": 2, "threads": 2, "live_programs": 8, "live_arrays": 200, "folder_mb": 0.5}  # of the most


def pictures(seed: int) -> Split:
    """Forty noisy bright or dark ones."""
    rng = np.random.default_rng(seed)
    labels = (np.arange(8 * STEPS_PER_EPOCH) % 2).astype(np.int32)
    raw = rng.integers(0, 216, (len(labels), 12, 12, 3)) + 40 * labels[:, None, None, None]
    return Split(raw.astype(np.uint8), labels, tuple(map(str, range(len(labels)))))


def row(cycle: int, began: float, folder: Path) -> dict:
    """What this process holds now."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    return {
        "cycle": cycle,
        "time_s": round(time.monotonic() - began, 1),
        "rss_mb": round(pages * os.sysconf("SC_PAGESIZE") / 2**20, 2),
        "open_files": len(os.listdir("/proc/self/fd")),
        "threads": threading.active_count(),
        "live_programs": len(jax.devices()[0].client.live_executables()),
        "live_arrays": len(jax.live_arrays()),
        "folder_mb": round(sum(sizes) / 2**20, 3),
    }


class Soak(Checkpoints):
    """Checkpoints whose every save ends a cycle: `each(step, state)`."""

    def __init__(self, folder: Path, each: Callable[[Checkpoints, int, dict], None]) -> None:
        super().__init__(folder)
        self._each = each

    def save(self, step: int, state: dict) -> None:
        """Save, and then the rest of the cycle."""
        super().save(step, state)
        self._each(self, step, state)


def soak(folder: Path, cycles: int, every: int, report: Callable[[dict], None]) -> None:
    """Run `cycles` cycles in `folder`; `report` gets a row every `every` of them."""
    training, slice_, began = pictures(0), pictures(1), time.monotonic()
    settings = TrainSettings(
        epochs=-(-cycles // STEPS_PER_EPOCH),
        batch_size=8,
        random_subnets=1,
        checkpoint_every_s=0,
        calibration_images=16,
    )
    recipe = RetrainSettings(epochs=1, batch_size=8, calibration_images=16)
    rng = np.random.default_rng(2)

    def each(saved: Checkpoints, step: int, state: dict) -> None:
        params = jax.device_get(state["params"])
        measure = evaluate.subnet_evaluator(SPACE, params, BOUNDS, training.raw[:16], slice_, 0.5, 2, 0)
        cached = AccuracyCache(folder / "accuracies.jsonl", str(step)).over(measure)
        found = cached(SPACE.canonical(rng.integers(BOUNDS[0], BOUNDS[1] + 1, (SUBNETS, len(BOUNDS[0])))), "half")
        assert ((found >= 0) & (found <= 1)).all()
        if step % ANEW_EVERY == 0:
            saved.wait()
            with Checkpoints(saved.folder) as again:
                assert again.restore(state)["step"] == step
            alone(step)
        if step % every == 0:
            saved.wait()
            report(row(step, began, folder))

    def alone(step: int) -> None:
        space = dataclasses.replace(SPACE, head_widths=(8 + step // ANEW_EVERY % SHAPES,))
        layers, place = space.layers(space.min_genes, 2), folder / "alone"
        start, _ = init_variables(layers, step)
        with Checkpoints(place) as saved:
            retrain(layers, space.input(space.min_genes), start, recipe, training, slice_, step, saved)
        shutil.rmtree(place)

    with Soak(folder / "checkpoints", each) as saved:
        train.train(SPACE, settings, BOUNDS, training, 2, 0, saved)


def grown(rows: list[dict], bound_mb: float) -> list[str]:
    """What grew over the second half of `rows`, a sentence each."""
    half = rows[len(rows) // 2 :]
    slope = float(np.polyfit([r["cycle"] for r in half], [r["rss_mb"] for r in half], 1)[0]) * 1000
    print(f"memory over the second half: {slope:+.2f} MB per 1,000 cycles (allowed {bound_mb:g})")
    found = [f"memory grows by {slope:.2f} MB per 1,000 cycles"] if slope > bound_mb else []
    for name, allowed in GROWTH.items():
        before, after = (max(r[name] for r in part) for part in (half[: len(half) // 2], half[len(half) // 2 :]))
        print(f"{name}: at most {before}, then {after} (allowed +{allowed:g})")
        found += [f"{name} grew from {before} to {after}"] if after - before > allowed else []
    return found


def main() -> int:
    """Run, write the table, and judge it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cycles", type=int, default=2000)
    parser.add_argument("--every", type=int, default=20, help="cycles between two rows (20)")
    parser.add_argument("--bound-mb", type=float, default=10.0, help="growth allowed per 1,000 cycles (10)")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    _quiet()
    runtime.keep_freed_memory()
    rows: list[dict] = []
    with options.out.open("w", newline="") as file, tempfile.TemporaryDirectory() as folder:
        out = csv.DictWriter(file, FIELDS, lineterminator="\n")
        out.writeheader()

        def report(found: dict) -> None:
            rows.append(found)
            out.writerow(found)
            file.flush()
            print(found, flush=True)

        soak(Path(folder), options.cycles, options.every, report)
    found = grown(rows, options.bound_mb)
    print("; ".join(found) or "nothing grows")
    if options.cycles < FEWEST:
        print(f"fewer than {FEWEST} cycles: caches of programs are still filling, so this is not judged")
        return 0
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
