"""One damaged file after another against a parser: what becomes of each, and whether that is right."""

from __future__ import annotations

import contextlib
import io
import json
import re
import resource
import signal
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from danas_jax import cli
from danas_jax.errors import UserError

CASE_S = 5.0  # of this process's CPU time, that one case may take
HANG_S = 60  # by the clock: a case that waits takes no CPU time
GROWTH_BYTES = 2**30  # that the process may grow by, over all cases of a part
CLI_EVERY = 500  # cases, of which one is also read by a command of danas
_PLACE = re.compile(
    r"\b(line|column|char|position|byte|bytes|offset|row|item|cells?)\b.{0,12}\d|nested too deeply|end of document|"
    r"\b(images|clips) cannot be read: |\bno rows\b|unknown fields?\b| = .*: not a number JSON|"
    r"larger than the [\d,]+ bytes"
)
_KEY = re.compile(r'"(\w+)":')
_FIELD = re.compile(r"^[ \t]*(?:\[+)?([\w-]+)(?:\]+)?[ \t]*(?:=|$)", re.MULTILINE)


@dataclass(frozen=True)
class Parser:
    """`read` takes a file at a path that ends in `file`; `packed` makes a damaged file that mutation cannot reach.

    `kind`: json, lines (TOML, CSV, a JSON document a line) or bytes. `command`: arguments of danas that read the file.
    `words`: what else messages call its fields.
    """

    name: str
    valid: tuple[bytes, ...]
    read: Callable[[Path], object]
    file: str
    kind: str = "bytes"
    packed: Callable[[Random], bytes] | None = None
    command: Callable[[Path], list[str]] | None = None
    words: tuple[str, ...] = ()


class Hang(BaseException):
    """A case that does not end; no danas code catches it."""


@dataclass
class Tally:
    """What became of a parser's cases."""

    cases: Counter[str] = field(default_factory=Counter)  # read, refused, crash
    slowest_s: float = 0.0  # CPU time
    growth_bytes: int = 0
    failures: list[str] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        """Those of another part of the campaign."""
        self.cases += other.cases
        self.slowest_s = max(self.slowest_s, other.slowest_s)
        self.growth_bytes = max(self.growth_bytes, other.growth_bytes)
        self.failures += other.failures


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
        if self.parser.command and (end := _by_command(self.parser.command(self._path))) != "read":
            raise AssertionError(f"{self.parser.name}: a valid file ends a command with {end}")
        self._fields = {name for content in self.parser.valid for name in _fields(self.parser, content)}
        self._fields |= {*self.parser.words}
        self._before = _memory_bytes()

    def run(self, content: bytes, name: str) -> bool:
        """Whether the parser did as it should."""
        tally, parser = self.tally, self.parser
        self._path.write_bytes(content)
        began = time.process_time()
        end, message = _outcome(parser.read, self._path)
        if parser.command and end in ("read", "refused") and tally.cases.total() % CLI_EVERY == 0:
            by_command = _by_command(parser.command(self._path))
            end = by_command if by_command.startswith("crash") else end
        spent_s = time.process_time() - began
        tally.slowest_s = max(tally.slowest_s, spent_s)
        tally.growth_bytes = _memory_bytes() - self._before
        if spent_s > CASE_S:
            end = f"crash: took {spent_s:.1f} s"
        elif tally.growth_bytes > GROWTH_BYTES:
            end = f"crash: grew by {tally.growth_bytes / 2**20:.0f} MB"
        elif end == "refused" and not self._told(message, content):
            end = f"crash: names no place: {message[:300]}"
        tally.cases[end.partition(":")[0]] += 1
        if end.startswith("crash"):
            tally.failures.append(f"{parser.name}, {name}: {end}")
        return not end.startswith("crash")

    def _told(self, message: str, content: bytes) -> bool:
        """Whether a refusal names the file, or of a JSON, TOML or CSV file a field or a place in it.

        Where such a file has no field at all its name suffices.
        """
        rest = message.replace(str(self._path.parent), "").replace(self._path.name, "")
        if self.parser.kind == "bytes" or not (fields := _fields(self.parser, content)):
            return self._path.name in message
        return bool(_PLACE.search(rest)) or not (self._fields | fields).isdisjoint(re.findall(r"\w+", rest))


def _fields(parser: Parser, content: bytes) -> set[str]:
    """The names of fields in a file: JSON's keys, TOML's keys and tables, a CSV's columns."""
    text = content[:10_000].decode(errors="replace")
    found = set(_KEY.findall(text))
    if parser.kind == "lines":
        found |= set(_FIELD.findall(text))
        first = next((line for line in text.splitlines() if not line.startswith("#")), "")
        found |= set(re.findall(r"\w+", first))
    return {name for name in found if len(name) > 1}


def _memory_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@contextlib.contextmanager
def _no_longer_than(seconds: int) -> Iterator[None]:
    def stop(*_: object) -> None:
        raise Hang

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _outcome(read: Callable[[Path], object], path: Path) -> tuple[str, str]:
    """What became of a file: read, refused or crash (and why); and the refusal's message."""
    try:
        with warnings.catch_warnings(), _no_longer_than(HANG_S):
            warnings.simplefilter("error", RuntimeWarning)  # NumPy's overflows: a number that should have been refused
            read(path)
    except UserError as error:
        return "refused", str(error)
    except (Exception, Hang) as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        ours = [f for f in traceback.extract_tb(error.__traceback__) if "danas_jax" in f.filename]
        where = f"{Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else f"{place.filename}:{place.lineno}"
        return f"crash: {type(error).__name__} at {where}: {str(error)[:200]}", ""
    return "read", ""


def _by_command(arguments: list[str]) -> str:
    """What became of the file that a danas command reads; in this process."""
    out, told = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(told), _no_longer_than(HANG_S):
            code = cli.main(arguments)
    except (Exception, SystemExit, Hang) as error:
        return f"crash: danas {arguments[0]}: {type(error).__name__}: {error}"
    if code == cli.OK:
        return "read"
    message = told.getvalue()
    if code == cli.BAD_INPUT and message.startswith("danas: ") and "Traceback" not in message:
        return "refused"
    return f"crash: danas {arguments[0]} ended with {code}: {message[-300:]}"


def written(tally: Tally) -> str:
    """A tally as JSON."""
    return json.dumps(vars(tally))


def from_text(text: str) -> Tally:
    """The inverse of `written`."""
    found = json.loads(text)
    return Tally(**{**found, "cases": Counter(found["cases"])})
