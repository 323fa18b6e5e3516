"""What became of the pictures without labels."""

from __future__ import annotations

from danas_jax.report.blocks import Block, Fold, Section, TextTable
from danas_jax.report.files import RunFiles

_PHASES = {"train": "the supernet", "search": "the search's systems", "retrain": "finalists and baselines"}


def section(files: RunFiles) -> Section:
    """Who was taught with how many by whom, and which copies were left out; nothing where there were none."""
    found = files.unlabelled
    if not found:
        return Section("Unlabelled pictures", [])
    rows = [
        (who, part["teacher"], *(f"{part[key]:,}" for key in ("pictures", "shown", "per_epoch", "labelled")))
        for who, part in ((who, found.get(phase)) for phase, who in _PHASES.items())
        if part
    ]
    columns = ("of", "taught by", "pictures", "learned from", "of an epoch", "with a label, of an epoch")
    blocks: list[Block] = [TextTable("", columns, rows, numbers_from=2)]
    if found["copies"]:
        copies = [(c["file"], c["split"], c["of"], "yes" if c["mirrored"] else "") for c in found["copies"]]
        columns = ("file", "split", "copy of", "mirrored")
        title = f"{len(copies):,} copies of pictures that judge, left out"
        blocks.append(Fold(title, [TextTable("", columns, copies, numbers_from=len(columns))]))
    return Section("Unlabelled pictures", blocks)
