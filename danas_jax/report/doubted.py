"""The labels that somebody believes least, a run's networks or its teacher: rows, a table and a sheet of pictures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from danas_jax import disk
from danas_jax.csv_text import csv_of
from danas_jax.data.check.sheet import captioned_sheet
from danas_jax.data.dataset import Split

SHOWN = 96  # most examples on the sheet


def write_doubted(
    folder: Path,
    stem: str,
    parts: Mapping[str, Split],
    probabilities: np.ndarray,
    class_names: tuple[str, ...],
    count: int,
) -> tuple[list[dict[str, Any]], Path, Path]:
    """The `count` least believed labels of the splits `parts`, JSON-ready, and the table and sheet with them.

    `probabilities` [N, classes] are of all parts' examples, in their order; the files are `stem`.csv and .png in the
    run's report/.
    """
    labels = np.concatenate([split.labels for split in parts.values()])
    believed = probabilities[np.arange(len(labels)), labels]
    order = np.argsort(believed, kind="stable")[:count]
    places = [(name, split, row) for name, split in parts.items() for row in range(len(split))]
    answers = probabilities.argmax(axis=1)
    rows: list[dict[str, Any]] = [
        {
            "file": places[i][1].names[places[i][2]],
            "split": places[i][0],
            "label": class_names[labels[i]],
            "probability": float(believed[i]),
            "answer": class_names[answers[i]],
            "answer_probability": float(probabilities[i, answers[i]]),
        }
        for i in order
    ]
    examples = [places[i][1].raw[places[i][2]] for i in order[:SHOWN]]
    captions = [(r["file"][-24:], f"{r['label']} {r['probability']:.0%}, says {r['answer']}") for r in rows[:SHOWN]]
    table, sheet = (folder / "report" / f"{stem}.{kind}" for kind in ("csv", "png"))
    disk.write_text(table, csv_of(rows))
    disk.write_bytes(sheet, captioned_sheet(examples, captions))
    return rows, table, sheet
