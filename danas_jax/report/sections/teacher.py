"""What the teacher makes of the labels."""

from __future__ import annotations

from danas_jax.report.blocks import Block, Fold, Section, Text, TextTable
from danas_jax.report.files import RunFiles
from danas_jax.report.table import share


def section(files: RunFiles) -> Section:
    """Agreement, and the labels that it believes least; nothing where there was no teacher."""
    found = files.teacher
    if not found:
        return Section("Teacher", [])
    views = f"the mean of {found['views']} crops" if found["views"] else "the whole picture"
    by_split = ", ".join(
        f"{share(value)} of {found['examples'][name]:,} in {name}"
        for name, value in found["agreement_by_split"].items()
    )
    rows = [
        (r["file"], r["split"], r["label"], share(r["probability"]), r["answer"], share(r["answer_probability"]))
        for r in found["doubts"]
    ]
    columns = ("file", "split", "label", "believed", "the teacher says", "with")
    blocks: list[Block] = [
        Text(f"{found['teacher']} agrees with the labels: {by_split} (judged by {views})."),
        Fold("The labels that it believes least", [TextTable("", columns, rows, numbers_from=len(columns))]),
        Text("A hard picture is no error, and teachers err: look before a label is changed.", quiet=True),
    ]
    return Section("Teacher", blocks)
