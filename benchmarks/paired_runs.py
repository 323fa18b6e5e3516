"""What a setting is worth: the same networks in two kinds of runs, on the same pictures, a run of each kind a seed.

    python benchmarks/paired_runs.py --before RUN RUN RUN --after RUN RUN RUN --out FILE.csv

The i-th run after belongs to the i-th before. Of each budget (a baseline by its name) int8 accuracy before and after,
and the difference with the 95 % interval of a paired bootstrap over pictures, means over the seeds; on validation and
test, whose answers the runs have kept: nothing is read again. A network that is in one run of a pair only is an error.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np

from danas_jax import disk
from danas_jax.csv_text import csv_of
from danas_jax.deploy.answers import answers_path, read_answers
from danas_jax.metrics import paired_bootstrap
from danas_jax.report.table import budget_text

SPLITS = {"validation": "int8_validation", "test": "int8_test"}


def networks_of(run: Path) -> dict[str, str]:
    """Name of the network that each budget, or each baseline, got."""
    entries = disk.read_json(run / "summary.json")["finalists"]
    return {budget_text(e["budget"]) if e["kind"] == "candidate" else e["name"]: e["name"] for e in entries}


def right(run: Path, name: str, kind: str) -> np.ndarray:
    """Which pictures the int8 network gets right, bool [N]."""
    return read_answers(answers_path(run / "export" / name, kind)).right


def rows(before: list[Path], after: list[Path]) -> list[dict]:
    """A row of each budget and split."""
    pairs: dict[str, list[tuple[Path, Path, str]]] = defaultdict(list)
    for old, new in zip(before, after, strict=True):
        if (known := networks_of(old)) != networks_of(new):
            raise SystemExit(f"{old} and {new} hold other networks: {known}, {networks_of(new)}")
        for title, name in known.items():
            pairs[title].append((old, new, name))
    found = []
    for title, runs in pairs.items():
        for split, kind in SPLITS.items():
            old = np.array([right(a, name, kind) for a, _, name in runs], float)
            new = np.array([right(b, name, kind) for _, b, name in runs], float)
            difference, low, high = paired_bootstrap(new.mean(axis=0), old.mean(axis=0), 0)
            values = {"before": old.mean(), "after": new.mean(), "difference": difference, "low": low, "high": high}
            row: dict = {"network": title, "split": split, "seeds": len(runs)}
            row |= {key: round(float(value), 4) for key, value in values.items()}
            row["by_seed"] = " ".join(f"{a:.4f}>{b:.4f}" for a, b in zip(old.mean(1), new.mean(1), strict=True))
            found.append(row)
    return found


def main() -> None:
    """Print the table, and write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", nargs="+", type=Path, required=True)
    parser.add_argument("--after", nargs="+", type=Path, required=True)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if len(options.before) != len(options.after):
        parser.error("--after: as many runs as --before")
    found = rows(options.before, options.after)
    for row in found:
        print(", ".join(f"{key} {value}" for key, value in row.items()))
    if options.out:
        disk.write_text(options.out, csv_of(found))


if __name__ == "__main__":
    main()
