"""Where a teacher and the labels disagree most: report/teacher.json, teacher_doubts.csv and .png of a run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from danas_jax import disk
from danas_jax.data.dataset import Split
from danas_jax.data.soft_labels import SoftLabels
from danas_jax.report.doubted import write_doubted
from danas_jax.report.files import TEACHER

STEM, COUNT = "teacher_doubts", 50


def write_doubts(
    folder: Path, teacher: str, soft: SoftLabels, parts: Mapping[str, Split], class_names: tuple[str, ...]
) -> str:
    """Write the files of what `teacher` (a file's name) says about the labels of `parts`; returns a line for people.

    `soft` is of all examples of the parts, in their order.
    """
    means = soft.means
    rows, table, sheet = write_doubted(folder, STEM, parts, means, class_names, COUNT)
    right = {}
    first = 0
    for name, split in parts.items():
        right[name] = float((means[first : first + len(split)].argmax(axis=1) == split.labels).mean())
        first += len(split)
    agreement = sum(right[name] * len(split) for name, split in parts.items()) / first
    found = {
        "teacher": teacher,
        "views": soft.views,
        "examples": {name: len(split) for name, split in parts.items()},
        "agreement": agreement,
        "agreement_by_split": right,
        "doubts": rows,
    }
    disk.write_json(folder / "report" / TEACHER, found)
    return (
        f"teacher: agrees with {agreement:.1%} of {first:,} labels; the {len(rows)} that it believes least: "
        f"{table}, pictures: {sheet}"
    )
