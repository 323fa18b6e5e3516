"""Damaged files against every parser of danas: only a UserError or success is right, in time and in memory.

    python benchmarks/bad_input.py --cases 2000 --seed 1
    python benchmarks/bad_input.py --parsers wav npz --cases 1 --start 731 --seed 1    # that case again
    python benchmarks/bad_input.py --engine atheris --cases 100000 --out FILE.csv

What makes the cases (`--engine`):
* own: bits flipped, files cut off, chunks repeated, removed and mixed, numbers made huge, brackets nested. A case is a
  function of (seed, parser, number), so a failure is one line to repeat.
* atheris (pip install atheris): the same changes, and libFuzzer's, to files that have led to new lines of danas before.
* hypothesis: values of JSON, cells of TOML and CSV, words of binaries; a failing file is made smaller.
The last two keep a failing file in --keep, as its number does not tell it.

What is right: a case ends by itself or with a UserError (of one in 500 by a command of danas with exit code 0 or 2).
It takes at most 5 s of this process's CPU time, as the clock says little on a machine at work, and 60 s by the clock,
which is for what waits for ever. A part takes at most 1 GiB. A refusal names the file, or of a JSON, TOML or CSV file a
field or a place in it (Trial._told).

With --out each parser has a row of a CSV file, written after every --part cases, and the same command goes on there. A
row with failures is begun again.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import io
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from bad_input_parsers import PARSERS
from bad_input_trial import Tally, from_text

from danas_jax import disk
from danas_jax.csv_text import csv_of
from danas_jax.provenance import provenance

ENGINES = ("own", "atheris", "hypothesis")
FIELDS = ("parser", "engine", "seed", "cases", "read", "refused", "failed", "slowest_cpu_s", "growth_mb", "commit")


def part(engine: str, name: str, folder: Path, seed: int, start: int, cases: int, keep: Path) -> Tally:
    """`cases` cases from `start` on, in a process of its own."""
    answer = folder / "answer.json"
    answer.parent.mkdir(parents=True, exist_ok=True)
    answer.unlink(missing_ok=True)
    place = (engine, name, folder, answer, seed, start, cases, keep)
    command = [sys.executable, str(Path(__file__).with_name("bad_input_part.py")), *map(str, place)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if not answer.exists():
        return Tally(Counter(crash=1), failures=[f"{name}: ended with {done.returncode}: {done.stderr[-2000:]}"])
    return from_text(answer.read_text())


class Rows:
    """The rows of a CSV file by parser, engine and seed; in memory where there is no file."""

    def __init__(self, path: Path | None, engine: str, seed: int):
        self._path, self._key = path, (engine, str(seed))
        text = path.read_text() if path and path.exists() else ""
        self._rows = {(r["parser"], r["engine"], r["seed"]): r for r in csv.DictReader(io.StringIO(text))}

    def tally(self, name: str) -> Tally:
        """What is known of a parser; nothing where there were failures."""
        row = self._rows.get((name, *self._key))
        if row is None or int(row["failed"]):
            return Tally()
        cases = Counter(read=int(row["read"]), refused=int(row["refused"]))
        return Tally(cases, float(row["slowest_cpu_s"]), int(row["growth_mb"]) * 2**20)

    def keep(self, name: str, tally: Tally) -> None:
        """Write the row of a parser."""
        ends, commit = tally.cases, (provenance()["git_commit"] or "")[:7]
        values = (name, *self._key, ends.total(), ends["read"], ends["refused"], ends["crash"])
        values += (f"{tally.slowest_s:.2f}", -(-tally.growth_bytes // 2**20), commit)
        self._rows[(name, *self._key)] = dict(zip(FIELDS, map(str, values), strict=True))
        if self._path:
            disk.write_text(self._path, csv_of([self._rows[key] for key in sorted(self._rows)]))


def main(arguments: list[str] | None = None) -> int:
    """Run the campaign and print a table; 1 when any case failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parsers", nargs="+", choices=sorted(PARSERS), default=list(PARSERS))
    parser.add_argument("--cases", type=int, default=2000, help="per parser (2000)")
    parser.add_argument("--start", type=int, default=0, help="number of the first case (0); not with --out")
    parser.add_argument("--part", type=int, default=10_000, help="cases of one process (10000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--engine", choices=ENGINES, default="own")
    parser.add_argument("--keep", type=Path, default=Path("bad_input"), help="failing files of the others (bad_input/)")
    parser.add_argument("--out", type=Path, help="CSV file to go on with")
    options = parser.parse_args(arguments)
    if options.out and options.start:
        parser.error("--start: the rows of --out say where to go on")
    print(
        f"{'parser':<12}{'cases':>9}{'read':>9}{'refused':>9}{'failed':>8}{'slowest s':>11}{'grew MB':>9}", flush=True
    )
    failures: list[str] = []
    rows = Rows(options.out, options.engine, options.seed)
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(KeyboardInterrupt):
        for name in options.parsers:
            tally = rows.tally(name)
            while (done := tally.cases.total()) < options.cases and not tally.failures:
                size = min(options.part, options.cases - done)
                place = Path(folder) / name
                tally.add(part(options.engine, name, place, options.seed, options.start + done, size, options.keep))
                rows.keep(name, tally)
            ends = tally.cases
            cells = (name, ends.total(), ends["read"], ends["refused"], ends["crash"], f"{tally.slowest_s:.2f}")
            print("".join(f"{cell:<12}" for cell in (*cells, round(tally.growth_bytes / 2**20))), flush=True)
            failures += tally.failures
    unique = {re.sub(r"case \d+|file \w+", "", line): line for line in reversed(failures)}
    print("\n".join(list(unique.values())[:40]), file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
