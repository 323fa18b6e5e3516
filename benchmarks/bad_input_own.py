"""The seeded cases of bad_input.py: each is a function of (seed, parser, number) alone."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

from bad_input_changes import damaged, mutate
from bad_input_trial import GROWTH_BYTES, Parser, Tally, Trial


def case(parser: Parser, seed: int, number: int) -> bytes:
    """The file of a case."""
    random = Random(f"{seed}/{parser.name}/{number}")
    data = random.choice(parser.valid)
    if parser.kind == "json" and random.random() < 0.6:
        for _ in range(random.choice((1, 1, 2, 3))):
            data = json.dumps(damaged(json.loads(data), random)).encode()
        return data
    return parser.packed(random) if parser.packed and random.random() < 0.5 else mutate(data, random)


def campaign(parser: Parser, folder: Path, seed: int, start: int, cases: int) -> Tally:
    """`cases` cases from `start` on; files are written into `folder`."""
    trial = Trial(parser, folder)
    for number in range(start, start + cases):
        trial.run(case(parser, seed, number), f"seed {seed}, case {number}")
        if trial.tally.growth_bytes > GROWTH_BYTES:
            break  # the maximum stays, so nothing more can be told
    return trial.tally
