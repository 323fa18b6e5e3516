"""Does the search choose the data configuration that is right by construction?

Synthetic scenes with known truth: with `colour_cue` 0 colour tells nothing, so mono is right and the resolution must
be high enough for `detail_px`; with `colour_cue` 1 only colour tells. Trains and searches one supernet per setting
(no retraining) and appends what was chosen to a CSV; settings already in the CSV are skipped, so it resumes.

    python benchmarks/data_truth.py --seeds 11 12 13 14 15 --out benchmarks/results/data_truth.csv
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import tempfile
from pathlib import Path

FIELDS = ("seed", "detail_px", "colour_cue", "resolution_px", "colour", "search_accuracy", "arena_device_bytes", "macs")
SETTINGS = [(detail, 0.0) for detail in (2, 4, 8, 16)] + [(4, 1.0)]  # (detail_px, colour_cue)


def chosen(seed: int, detail_px: int, colour_cue: float) -> dict:
    """Train and search once; the finalist's data configuration and figures."""
    with tempfile.TemporaryDirectory() as folder:
        flags = [
            *("--run-dir", f"{folder}/run", "--seed", str(seed)),
            *("--data.detail-px", str(detail_px), "--data.colour-cue", str(colour_cue)),
        ]
        for phase in ("train", "search"):
            subprocess.run([sys.executable, "-m", "danas_jax", phase, "known_truth", *flags], check=True)
        budget = json.loads(Path(folder, "run/search/pareto.json").read_text())["budgets"][0]
    best = next(c for c in budget["reranked"] if c["id"] == budget["finalists"][0])
    return {
        "seed": seed,
        "detail_px": detail_px,
        "colour_cue": colour_cue,
        **best["data"],
        "search_accuracy": round(best["accuracy"]["full"], 4),
        "arena_device_bytes": best["costs"]["arena_device_bytes"],
        "macs": best["costs"]["macs"],
    }


def main() -> None:
    """Run what is missing from the CSV."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[11, 12, 13, 14, 15])
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/data_truth.csv"))
    options = parser.parse_args()
    done = set()
    if options.out.exists():
        with options.out.open() as file:
            done = {(int(r["seed"]), int(r["detail_px"]), float(r["colour_cue"])) for r in csv.DictReader(file)}
    else:
        options.out.write_text(",".join(FIELDS) + "\n")
    for seed in options.seeds:
        for detail_px, colour_cue in SETTINGS:
            if (seed, detail_px, colour_cue) in done:
                continue
            row = chosen(seed, detail_px, colour_cue)
            with options.out.open("a", newline="") as file:
                csv.DictWriter(file, FIELDS).writerow(row)
            print(row, flush=True)


if __name__ == "__main__":
    main()
