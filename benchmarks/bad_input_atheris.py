"""The coverage-guided cases of bad_input.py: one parser, in this process, which atheris (libFuzzer) ends."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path
from random import Random

import atheris  # pip install atheris; no part of danas needs it

with atheris.instrument_imports(include=["danas_jax"]):
    from bad_input_changes import MAX_BYTES, damaged, mutate
    from bad_input_parsers import PARSERS
    from bad_input_trial import GROWTH_BYTES, Trial, written


def run(name: str, folder: Path, answer: Path, seed: int, cases: int, keep: Path) -> None:
    """Run `cases` cases and write their tally to `answer`; failing files go to `keep`. Does not return.

    Files that led to new lines stay in `folder`, where a next part begins with them.
    """
    with atheris.instrument_imports(include=["danas_jax"]):  # what a parser imports when it is made or first used
        parser = PARSERS[name]()
        trial = Trial(parser, folder / "trial")
    corpus = folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for i, content in enumerate(parser.valid):
        (corpus / str(i)).write_bytes(content)

    def one(content: bytes) -> None:
        if not trial.run(content, f"file {(digest := hashlib.sha256(content).hexdigest()[:16])}"):
            keep.mkdir(parents=True, exist_ok=True)
            (keep / f"{name}.{digest}").write_bytes(content)
        if trial.tally.cases.total() >= cases or trial.tally.growth_bytes > GROWTH_BYTES:
            answer.write_text(written(trial.tally))
            os._exit(0)  # libFuzzer's own end runs into the interpreter's

    def changed(content: bytes, most: int, number: int) -> bytes:
        random = Random(f"{seed}/{number}")
        if random.random() < 0.3:
            return atheris.Mutate(content, most)
        if parser.packed and random.random() < 0.3:
            return parser.packed(random)[:most]
        if parser.kind == "json" and random.random() < 0.6:
            try:
                return json.dumps(damaged(json.loads(content), random)).encode()[:most]
            except (ValueError, RecursionError):
                pass
        return mutate(content, random)[:most]

    flags = [
        "-runs=-1",
        f"-seed={seed + 1}",
        f"-max_len={MAX_BYTES}",
        "-rss_limit_mb=0",
        "-timeout=0",
        "-verbosity=0",
    ]
    atheris.Setup([sys.argv[0], *flags, str(corpus)], one, custom_mutator=changed)
    atheris.Fuzz()
