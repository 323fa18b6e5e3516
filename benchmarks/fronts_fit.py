"""Does every system that a search returned run in the memory of its budget?

Every candidate of a run's pareto.json (fronts and re-ranked) is exported with random weights, which memory does not
depend on, and TensorFlow Lite Micro finds the smallest arena that it runs in. Prints a row per budget; exit code 1
where a candidate needs more than its budget's SRAM or its file more than the flash.

    danas train person_boards --data.path DIR --run-dir RUN && danas search RUN
    python benchmarks/fronts_fit.py RUN --out benchmarks/results/person_boards.csv
"""

from __future__ import annotations

import argparse
import csv
import sys
from pathlib import Path

import numpy as np

from danas_jax.config_io import read_config
from danas_jax.deploy.tflite_writer import random_model, write_tflite
from danas_jax.deploy.verify import measure_arena
from danas_jax.search import pareto_json

FIELDS = (
    "board", "sram_bytes", "flash_bytes", "candidates", "largest_arena_measured_bytes", "largest_file_bytes",
    "best_half", "best_full", "resolution_px", "colour", "finalist_full", "finalist_arena_measured_bytes", "all_fit",
)  # fmt: skip


def main() -> None:
    """Measure every candidate once."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", metavar="RUN", type=Path, help="a run whose search is done")
    parser.add_argument("--classes", type=int, default=2)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    space = read_config(options.run / "config.json").space
    found = pareto_json.load(options.run / "search" / "pareto.json", space)
    measured: dict[str, tuple[int, int]] = {}
    rows = []
    for result in found.budgets:
        candidates = {c.id: c for c in result.front + result.reranked}
        for name, candidate in candidates.items():
            if name not in measured:
                data = write_tflite(random_model(space.layers(np.array(candidate.genes), options.classes), seed=0), {})
                measured[name] = measure_arena(data)["arena_bytes"], len(data)
        arenas, files = zip(*(measured[name] for name in candidates), strict=True)
        limits, first = result.budget, candidates[result.finalists[0]]
        fit = max(arenas) <= (limits.sram_bytes or np.inf) and max(files) <= (limits.flash_bytes or np.inf)
        row = {
            "board": limits.board,
            "sram_bytes": limits.sram_bytes,
            "flash_bytes": limits.flash_bytes,
            "candidates": len(candidates),
            "largest_arena_measured_bytes": max(arenas),
            "largest_file_bytes": max(files),
            "best_half": round(max(c.accuracy_half or 0.0 for c in candidates.values()), 4),
            "best_full": round(max(c.accuracy_full or 0.0 for c in result.reranked), 4),
            **first.data,
            "finalist_full": round(first.accuracy_full or 0.0, 4),
            "finalist_arena_measured_bytes": measured[first.id][0],
            "all_fit": bool(fit),
        }
        rows.append(row)
        print(row, flush=True)
    with options.out.open("w", newline="") as file:
        out = csv.DictWriter(file, FIELDS, lineterminator="\n")
        out.writeheader()
        out.writerows(rows)
    print(f"{len(measured)} different systems measured; all fit: {all(row['all_fit'] for row in rows)}")
    sys.exit(not all(row["all_fit"] for row in rows))


if __name__ == "__main__":
    main()
