"""The structured cases of bad_input.py, drawn by hypothesis: values of JSON, cells of TOML and CSV, words of binaries.

Batches of a seed each, so that memory does not grow. A failing file is made smaller, and kept.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import struct
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import hypothesis
from bad_input_changes import NUMBERS, places
from bad_input_trial import GROWTH_BYTES, Parser, Tally, Trial
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Flaky

BATCH = 500
_CELL = re.compile(r'[^\s,=\[\]{}:"x-]+')
_ANY_TEXT = st.text(max_size=20) | st.sampled_from(NUMBERS) | st.integers().map(str) | st.floats().map(str)
_LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
_WORDS = st.one_of(
    *(st.integers(0, 2 ** (8 * struct.calcsize(f)) - 1).map(lambda n, f=f: struct.pack(f"<{f}", n)) for f in "BHIQ"),
    st.floats(width=32).map(lambda x: struct.pack("<f", x)),
    st.binary(max_size=16),
)
Draw = Callable[[st.SearchStrategy], Any]


@st.composite
def _json(draw: Draw, valid: tuple[bytes, ...]) -> bytes:
    """A valid document in which values are others: drawn ones, or from another place of it."""
    value = json.loads(draw(st.sampled_from(valid)))
    for _ in range(draw(st.integers(1, 4))):
        found = list(places(value))
        if not found:
            break
        holder, key = draw(st.sampled_from(found))
        keys = [k for _, k in found if isinstance(k, str)]
        names = st.text(max_size=8) | (st.sampled_from(keys) if keys else st.nothing())
        drawn = _LEAVES | st.lists(_LEAVES, max_size=3) | st.dictionaries(names, _LEAVES, max_size=3)
        action = draw(st.sampled_from(("drawn", "drawn", "another", "gone", "added")))
        if action == "gone":
            del holder[key]
        elif action == "added" and isinstance(holder, dict):
            holder[draw(names)] = draw(drawn)
        elif action == "another":
            other, there = draw(st.sampled_from(found))
            holder[key] = json.loads(json.dumps(other[there]))
        else:
            holder[key] = draw(drawn)
    return json.dumps(value).encode()


@st.composite
def _lines(draw: Draw, valid: tuple[bytes, ...]) -> bytes:
    """A valid text in which cells and lines are others."""
    lines = draw(st.sampled_from(valid)).decode().split("\n")
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(lines) - 1))
        cells = list(_CELL.finditer(lines[at]))
        action = draw(st.sampled_from(("cell", "cell", "cell", "another", "line", "twice", "gone")))
        if action in ("cell", "another") and cells:
            cell = draw(st.sampled_from(cells))
            others = _CELL.findall(draw(st.sampled_from(lines))) if action == "another" else []
            new = draw(st.sampled_from(others) if others else _ANY_TEXT)
            lines[at] = lines[at][: cell.start()] + new + lines[at][cell.end() :]
        elif action == "line":
            lines.insert(at, draw(_ANY_TEXT))
        elif action == "twice":
            lines.insert(draw(st.integers(0, len(lines))), lines[at])
        elif action == "gone" and len(lines) > 1:
            del lines[at]
    return "\n".join(lines).encode()


@st.composite
def _spans(draw: Draw, valid: tuple[bytes, ...]) -> bytes:
    """A valid file in which spans are words of some type, bytes, nothing, or a span from elsewhere."""
    content = draw(st.sampled_from(valid))
    for _ in range(draw(st.integers(1, 4))):
        size = draw(st.sampled_from((0, 1, 2, 4, 4, 8, 64, 512)))
        start, source = (draw(st.integers(0, len(content))) for _ in range(2))
        new = draw(_WORDS) if draw(st.integers(0, 3)) else content[source : source + size]
        content = content[:start] + new + content[start + size :]
    return content


def files(parser: Parser) -> st.SearchStrategy[bytes]:
    """Damaged files of a parser's kind."""
    valid = parser.valid
    if parser.kind == "json":
        return st.one_of(_json(valid), _json(valid), _json(valid), _spans(valid))
    if parser.kind == "lines":
        return st.one_of(_lines(valid), _lines(valid), _lines(valid), _spans(valid))
    packed = parser.packed
    return _spans(valid) if packed is None else _spans(valid) | st.integers(0, 2**64).map(lambda n: packed(Random(n)))


def campaign(parser: Parser, folder: Path, seed: int, start: int, cases: int, keep: Path) -> Tally:
    """`cases` cases in batches from number `start` on; the smallest failing file of a batch goes to `keep`."""
    trial = Trial(parser, folder)
    tally = trial.tally
    while (done := tally.cases.total()) < cases and tally.growth_bytes <= GROWTH_BYTES:
        told = len(tally.failures)
        smallest = _batch(trial, f"{seed}/{parser.name}/{start + done}", cases)
        if smallest is not None:
            keep.mkdir(parents=True, exist_ok=True)
            (keep / f"{parser.name}.{_digest(smallest)}").write_bytes(smallest)
            tally.failures[told:] = tally.failures[-1:]
    return tally


def _batch(trial: Trial, seed: str, cases: int) -> bytes | None:
    """Up to BATCH more cases, `cases` in all; the smallest failing file, None where all went right."""
    failing: list[bytes] = []

    @hypothesis.seed(seed)
    @settings(
        max_examples=BATCH, database=None, deadline=None, report_multiple_bugs=False,
        phases=(Phase.generate, Phase.shrink), suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(files(trial.parser))
    def batch(content: bytes) -> None:
        if (failing or trial.tally.cases.total() < cases) and not trial.run(content, f"file {_digest(content)}"):
            failing.append(content)
            raise AssertionError

    with contextlib.suppress(AssertionError, Flaky):  # the tally has it
        batch()
    return failing[-1] if failing else None  # hypothesis runs the smallest last


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
