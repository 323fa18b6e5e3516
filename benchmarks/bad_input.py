"""Damaged files against every parser of danas: only a UserError or success is right, in time and in memory.

Valid files are mutated: bits flipped, cut off, chunks repeated, removed and mixed, numbers made huge, brackets nested.
A case is a function of (seed, parser, number), so a campaign goes on with --start, and a failure is one line to repeat.

    python benchmarks/bad_input.py --cases 2000 --seed 1
    python benchmarks/bad_input.py --parsers wav npz --cases 1 --start 731 --seed 1    # that case again
    python benchmarks/bad_input.py --engine atheris --cases 2000 --seed 1

With `--engine atheris` (pip install atheris) the same changes are made to files that have led to new lines of danas
before; a failing file is kept in --keep, as its number does not tell it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import resource
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from bad_input_parsers import PARSERS, Parser

from danas_jax.errors import UserError

CASE_S = 5.0  # that one case may take
GROWTH_BYTES = 2**30  # that the process may grow by, over a whole parser
MAX_BYTES = 2**20  # of a mutated file
NUMBERS = (
    *("-1", "0", "1e999", "-0.0", "NaN", "4294967296", "9223372036854775808", "1" + "0" * 40, "9" * 5000),
    *('"x"', "null", "true", "[]", "{}", '"../../x"', '"/etc/hostname"', '"\\u0000"'),
)
WORDS = (b"\0" * 4, b"\xff" * 4, b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"\x01\0\0\0", b"\xff" * 8)
NESTED = (b"[", b"{", b"(", b'{"a":', b"[[", b"'''")


def mutate(data: bytes, random: Random) -> bytes:
    """One to four changes to a file."""
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        data = random.choice(CHANGES)(data, random)[:MAX_BYTES]
    return data


def _span(data: bytes, random: Random) -> tuple[int, int]:
    start = random.randrange(len(data) + 1)
    return start, min(len(data), start + random.choice((1, 2, 4, 8, 64, 512)))


def _flipped(data: bytes, random: Random) -> bytes:
    changed = bytearray(data)
    for _ in range(random.choice((1, 2, 8))):
        if changed:
            changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed)


def _cut(data: bytes, random: Random) -> bytes:
    return data[: random.randrange(len(data) + 1)]


def _removed(data: bytes, random: Random) -> bytes:
    start, end = _span(data, random)
    return data[:start] + data[end:]


def _repeated(data: bytes, random: Random) -> bytes:
    start, end = _span(data, random)
    return data[:end] + data[start:end] * random.choice((1, 2, 50)) + data[end:]


def _moved(data: bytes, random: Random) -> bytes:
    start, end = _span(data, random)
    place = random.randrange(len(data) + 1)
    return data[:place] + data[start:end] + data[place:]


def _word(data: bytes, random: Random) -> bytes:
    """A field of four or eight bytes with an extreme value."""
    place, word = random.randrange(len(data) + 1), random.choice(WORDS)
    return data[:place] + word + data[place + len(word) :]


def _number(data: bytes, random: Random) -> bytes:
    """A number or text of JSON, TOML or CSV replaced."""
    found = list(re.finditer(rb'-?\d+(\.\d+)?|"[^"\n]*"|true|false|null', data[:MAX_BYTES]))
    if not found:
        return _word(data, random)
    chosen = random.choice(found)
    return data[: chosen.start()] + random.choice(NUMBERS).encode() + data[chosen.end() :]


def _nested(data: bytes, random: Random) -> bytes:
    place = random.randrange(len(data) + 1)
    return data[:place] + random.choice(NESTED) * random.choice((3, 100, 5000, 100_000)) + data[place:]


def _line(data: bytes, random: Random) -> bytes:
    """A line repeated, removed, or a cell more or less."""
    lines = data.split(b"\n")
    row = random.randrange(len(lines))
    cells = lines[row].split(b",")
    choice = random.randrange(4)
    if choice == 0:
        lines.insert(row, lines[row])
    elif choice == 1:
        del lines[row]
    elif choice == 2:
        cells.pop(random.randrange(len(cells)))
        lines[row] = b",".join(cells)
    else:
        lines[row] = b",".join([*cells, random.choice(cells)])
    return b"\n".join(lines)


CHANGES = (_flipped, _cut, _removed, _repeated, _moved, _word, _number, _number, _nested, _line)


def damaged(value: object, random: Random) -> object:
    """JSON with one value anywhere in it replaced, removed or added: what is well-formed and still wrong."""
    value = json.loads(json.dumps(value))
    places = list(_places(value))
    if not places:
        return value
    holder, key = random.choice(places)
    choice = random.randrange(8)
    if choice == 0:
        del holder[key]
    elif choice == 1:
        other, there = random.choice(places)
        holder[key] = json.loads(json.dumps(other[there] if there in _keys(other) else None))
    elif choice == 2 and isinstance(holder, dict):
        holder[random.choice(("x", "kind", "view", ""))] = holder[key]
    else:
        wrong = (None, True, -1, 0, 1.5, 2**31, 2**63, 10**40, "", "x", "../../x", "/x", "\0", [], {}, [[]], ["x"])
        holder[key] = random.choice(wrong)
    return value


def _keys(value: dict | list) -> list:
    return list(value) if isinstance(value, dict) else list(range(len(value)))


def _places(value: object) -> Iterator[tuple]:
    if isinstance(value, dict | list):
        for key in _keys(value):
            yield value, key
            yield from _places(value[key])


@dataclass
class Tally:
    """What became of a parser's cases."""

    cases: Counter[str] = field(default_factory=Counter)  # read, refused, crash
    slowest_s: float = 0.0
    growth_bytes: int = 0
    failures: list[str] = field(default_factory=list)


def case(parser: Parser, seed: int, number: int) -> bytes:
    """The file of a case."""
    random = Random(f"{seed}/{parser.name}/{number}")
    data = random.choice(parser.valid)
    if parser.json and random.random() < 0.6:
        for _ in range(random.choice((1, 1, 2, 3))):
            data = json.dumps(damaged(json.loads(data), random)).encode()
        return data
    return parser.packed(random) if parser.packed and random.random() < 0.5 else mutate(data, random)


@dataclass
class Trial:
    """A parser at work in a folder; `run` hands it a file and counts what becomes of it."""

    parser: Parser
    folder: Path
    tally: Tally = field(default_factory=Tally)

    def __post_init__(self) -> None:
        self._path = self.folder / self.parser.file
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_bytes(self.parser.valid[0])
        self.parser.read(self._path)  # a valid file is read, and libraries are imported before memory is counted
        self._before = _memory_bytes()

    def run(self, content: bytes, name: str) -> bool:
        """Whether the parser did as it should."""
        tally = self.tally
        self._path.write_bytes(content)
        began = time.perf_counter()
        end = _outcome(self.parser.read, self._path)
        spent_s = time.perf_counter() - began
        tally.slowest_s = max(tally.slowest_s, spent_s)
        tally.growth_bytes = _memory_bytes() - self._before
        if spent_s > CASE_S:
            end = f"crash: took {spent_s:.1f} s"
        elif tally.growth_bytes > GROWTH_BYTES:
            end = f"crash: grew by {tally.growth_bytes / 2**20:.0f} MB"
        tally.cases[end.partition(":")[0]] += 1
        if end.startswith("crash"):
            tally.failures.append(f"{self.parser.name}, {name}: {end}")
        return not end.startswith("crash")


def _memory_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def campaign(parser: Parser, folder: Path, seed: int, start: int, cases: int) -> Tally:
    """`cases` cases from `start` on; files are written into `folder`."""
    trial = Trial(parser, folder)
    for number in range(start, start + cases):
        trial.run(case(parser, seed, number), f"seed {seed}, case {number}")
        if trial.tally.growth_bytes > GROWTH_BYTES:
            break  # the maximum stays, so nothing more can be told
    return trial.tally


def guided(name: str, folder: Path, seed: int, cases: int, keep: Path) -> Tally:
    """`cases` cases by bad_input_atheris.py, in a process of its own: libFuzzer ends the one that it runs in."""
    answer = folder / f"{name}.json"
    command = [sys.executable, str(Path(__file__).with_name("bad_input_atheris.py")), name, str(folder), str(answer)]
    done = subprocess.run([*command, str(seed), str(cases), str(keep)], capture_output=True, text=True, check=False)
    if not answer.exists():
        return Tally(Counter(crash=1), failures=[f"{name}: ended with {done.returncode}: {done.stderr[-2000:]}"])
    found = json.loads(answer.read_text())
    return Tally(**{**found, "cases": Counter(found["cases"])})


def _outcome(read: Callable[[Path], object], path: Path) -> str:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)  # NumPy's overflows: a number that should have been refused
            read(path)
    except UserError as error:
        return "refused" if str(error) else "crash: a UserError without a word"
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        ours = [f for f in traceback.extract_tb(error.__traceback__) if "danas_jax" in f.filename]
        where = f"{Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else f"{place.filename}:{place.lineno}"
        return f"crash: {type(error).__name__} at {where}: {str(error)[:200]}"
    return "read"


def main(arguments: list[str] | None = None) -> int:
    """Run the campaign and print a table; 1 when any case failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parsers", nargs="+", choices=sorted(PARSERS), default=list(PARSERS))
    parser.add_argument("--cases", type=int, default=2000, help="per parser (2000)")
    parser.add_argument("--start", type=int, default=0, help="number of the first case (0)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--engine", choices=("own", "atheris"), default="own")
    parser.add_argument("--keep", type=Path, default=Path("bad_input"), help="atheris: failing files (bad_input/)")
    options = parser.parse_args(arguments)
    print(
        f"{'parser':<12}{'cases':>9}{'read':>9}{'refused':>9}{'failed':>8}{'slowest s':>11}{'grew MB':>9}", flush=True
    )
    failures: list[str] = []
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(KeyboardInterrupt):
        for name in options.parsers:
            place = Path(folder) / name
            if options.engine == "atheris":
                tally = guided(name, place, options.seed, options.cases, options.keep)
            else:
                tally = campaign(PARSERS[name](), place, options.seed, options.start, options.cases)
            ends = tally.cases
            print(
                f"{name:<12}{ends.total():>9}{ends['read']:>9}{ends['refused']:>9}{ends['crash']:>8}"
                f"{tally.slowest_s:>11.2f}{tally.growth_bytes / 2**20:>9.0f}",
                flush=True,
            )
            failures += tally.failures
    unique = {re.sub(r"case \d+", "", line): line for line in reversed(failures)}
    print("\n".join(list(unique.values())[:40]), file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
