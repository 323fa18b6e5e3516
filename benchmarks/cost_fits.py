"""How does the time of each step grow, from 1,000 to 1,000,000 candidates or images? Fitted: t = a n^b.

    python benchmarks/cost_fits.py                     # all steps: results/cost_fits.csv, cost_fits_*.svg
    python benchmarks/cost_fits.py --steps dedupe split                  # these anew, the others as they were
    python benchmarks/cost_fits.py --most 10000 --out DIR

The steps are those of cost_steps.py; cost_fits_times.csv keeps what was measured. What is timed is this process's share
of a core, without waiting for disks or for other processes, with one thread for products. Each step is timed at every
size (small ones three times, the fastest counts), and no further once it took more than --patience-s. b and its
standard error are those of the line through the logarithms from a hundredth of the largest size on. A step grows faster
than n log n where t / (n log n) rises by more than SLACK over that range: an array that no longer fits the caches
explains as much.
"""

from __future__ import annotations

import argparse
import csv
import os
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy is imported

import numpy as np
from cost_steps import STEPS, Step

from danas_jax.report.blocks import Axis, Chart, Point, Series
from danas_jax.report.svg import svg

SIZES = (1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000)
SLACK = 4.0
Times = dict[str, list[tuple[int, float]]]  # (n, seconds) of each step
TIMES = "cost_fits_times.csv"
TOGETHER = 5  # steps in one chart, which has as many colours
FIELDS = (
    "step",
    "unit",
    "largest_n",
    "seconds_there",
    "exponent",
    "exponent_error",
    "a_s",
    "rise_over_n_log_n",
    "faster",
)


def seconds(step: Step, size: int, folder: Path) -> float:
    """The fastest of a few times."""
    best = np.inf
    for _ in range(3 if size <= 30_000 else 1):
        with tempfile.TemporaryDirectory(dir=folder) as place:
            work = step.prepare(size, Path(place))
            began = time.process_time()
            work()
            best = min(best, time.process_time() - began)
            del work
    return best


def measured(step: Step, most: int, patience_s: float, folder: Path) -> list[tuple[int, float]]:
    """(n, seconds) of each size."""
    found: list[tuple[int, float]] = []
    for size in SIZES:
        if size > min(most, step.most) or (found and found[-1][1] > patience_s):
            break
        found.append((size, seconds(step, size, folder)))
    return found


def fitted(found: list[tuple[int, float]]) -> dict:
    """The row of a step's (n, seconds)."""
    n, t = np.array(found).T
    far = n >= n[-1] / 100
    x, y = np.log(n[far]), np.log(t[far])
    b, a = np.polyfit(x, y, 1)
    left = y - (a + b * x)
    spread = np.sqrt(left @ left / max(1, len(x) - 2) / np.square(x - x.mean()).sum())
    share = t / (n * np.log(n))
    rise = float(share[-1] / share[far][0])
    return {
        "largest_n": int(n[-1]),
        "seconds_there": f"{t[-1]:.4g}",
        "exponent": f"{b:.2f}",
        "exponent_error": f"{spread:.2f}",
        "a_s": f"{np.exp(a):.3g}",
        "rise_over_n_log_n": f"{rise:.2f}",
        "faster": "yes" if rise > SLACK else "no",
    }


def chart(unit: str, times: Sequence[tuple[str, list[tuple[int, float]]]]) -> Chart:
    """Times over sizes, both as powers of ten."""
    series = [
        Series(name, [Point(float(np.log10(n)), float(np.log10(t))) for n, t in found], i, line=True, radius=3.0)
        for i, (name, found) in enumerate(times)
    ]
    x, y = Axis(f"{unit}, power of ten"), Axis("seconds of a core, power of ten")
    return Chart("cost_fits", f"Time of each step over {unit}", x, y, series)


def known(folder: Path) -> Times:
    """What was measured before."""
    found: Times = {}
    if (folder / TIMES).exists():
        with (folder / TIMES).open(newline="") as file:
            for row in csv.DictReader(file):
                found.setdefault(row["step"], []).append((int(row["n"]), float(row["seconds"])))
    return found


def write(folder: Path, times: Times) -> list[dict]:
    """The times, the table and the charts, of the steps so far; the rows of the table."""
    times = {name: times[name] for name in STEPS if name in times}
    rows = [{"step": name, "unit": STEPS[name].unit, **fitted(found)} for name, found in times.items()]
    tables = {
        TIMES: (("step", "n", "seconds"), [(name, n, f"{t:.3g}") for name, found in times.items() for n, t in found]),
        "cost_fits.csv": (FIELDS, [[row[field] for field in FIELDS] for row in rows]),
    }
    for name, (fields, lines) in tables.items():
        with (folder / name).open("w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([fields, *lines])
    for unit in dict.fromkeys(step.unit for step in STEPS.values()):
        of_unit = [(name, found) for name, found in times.items() if STEPS[name].unit == unit]
        for i, start in enumerate(range(0, len(of_unit), TOGETHER), 1):
            (folder / f"cost_fits_{unit}_{i}.svg").write_text(
                svg(chart(unit, of_unit[start : start + TOGETHER])) + "\n"
            )
    return rows


def main() -> None:
    """Measure, fit, write and name."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", nargs="+", choices=sorted(STEPS), default=list(STEPS))
    parser.add_argument("--most", type=int, default=SIZES[-1], help="largest size (1,000,000)")
    parser.add_argument("--patience-s", type=float, default=8.0, help="a longer step is not tried at larger sizes (8)")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    options = parser.parse_args()
    times, rows = known(options.out), list[dict]()
    with tempfile.TemporaryDirectory() as folder:
        for name in options.steps:
            times[name] = measured(STEPS[name], options.most, options.patience_s, Path(folder))
            print(name, [f"{n}: {t:.3g}" for n, t in times[name]], flush=True)
            rows = write(options.out, times)
    faster = [row["step"] for row in rows if row["faster"] == "yes"]
    print(f"faster than n log n: {', '.join(faster) or 'none'}")
    print(f"most memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GB")


if __name__ == "__main__":
    sys.exit(main())
