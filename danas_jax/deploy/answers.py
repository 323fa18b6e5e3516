"""A network's answers on labelled images, kept so that no figure needs a second look, and the figures of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from danas_jax import disk
from danas_jax.classification import f1_scores, precisions, recalls
from danas_jax.data.dataset import Split
from danas_jax.resampling import figure_interval
from danas_jax.task import task_of

KINDS = ("float_validation", "int8_validation", "int8_test")  # what is kept of every exported network


@dataclass(frozen=True, eq=False)
class Answers:
    """Logits of images whose class is known, in file order."""

    logits: np.ndarray  # [N, classes]: int8 codes as the network gives them, or real numbers
    labels: np.ndarray  # int [N], index of the class; with any number of classes 0 and 1 [N, classes]
    names: tuple[str, ...]  # of the images
    slices: Mapping[str, np.ndarray] = field(default_factory=dict)  # metadata's field -> each image's value, str [N]

    @property
    def right(self) -> np.ndarray:
        """Which images the highest logit gets right (of equal ones the first), bool [N].

        With any number of classes the share of right decisions, float64 [N]; the logits must be real numbers then.
        """
        return task_of(self.labels).right(self.labels, self.logits)


def real_valued(answers: Answers, output: Mapping[str, float]) -> Answers:
    """Answers in codes as real numbers, by a manifest's "output"."""
    logits = (answers.logits.astype(np.float64) - output["zero_point"]) * output["scale"]
    return dataclasses.replace(answers, logits=logits)


def answers_of(logits: np.ndarray, split: Split) -> Answers:
    """`logits` [N, classes] as the answers on a split."""
    return Answers(logits, split.labels, split.names, split.slices)


def answers_path(folder: Path, kind: str) -> Path:
    """Where an export's folder keeps the answers of one of KINDS."""
    return folder / "answers" / f"{kind}.npz"


def write_answers(path: Path, answers: Answers) -> None:
    """Keep `answers` in an .npz file, atomically."""
    named = {"logits": answers.logits, "labels": answers.labels, "names": np.array(answers.names, str)}
    disk.write_arrays(path, {**named, "slices": dict(answers.slices)})


def read_answers(path: Path) -> Answers:
    """What `write_answers` kept; UserError naming the file when it is missing or damaged."""
    found = disk.read_arrays(path)
    return Answers(found["logits"], found["labels"], tuple(found["names"].tolist()), found.get("slices", {}))


def figures(answers: Answers, classes: tuple[str, ...], seed: int) -> dict:
    """Everything about real-valued logits of `classes`, ready for JSON (docs/run_directory.md); None = not defined.

    A slice is the images of one value of a field. ValueError without images.
    """
    confusion = task_of(answers.labels).confusions(answers.labels, answers.logits)
    if confusion.ndim == 2:
        columns = confusion.sum(axis=1), recalls(confusion), precisions(confusion), f1_scores(confusion)
        per_class = list(zip(*columns, strict=True))
    else:
        per_class = [(of[1].sum(), recalls(of)[1], precisions(of)[1], f1_scores(of)[1]) for of in confusion]
    return {
        **_overall(answers, seed),
        "confusion": confusion.tolist(),
        "per_class": [
            {
                "class": name,
                "images": int(images),
                "recall": _number(recall),
                "precision": float(precision),
                "f1": _number(f1),
            }
            for name, (images, recall, precision, f1) in zip(classes, per_class, strict=True)
        ],
        "slices": {
            name: {value: _overall(_where(answers, values == value), seed) for value in np.unique(values).tolist()}
            for name, values in answers.slices.items()
        },
    }


def _overall(answers: Answers, seed: int) -> dict:
    """The figures that are one number each, and the 95 % interval of each, None where it is not defined."""
    metrics = task_of(answers.labels).metrics
    intervals = {name: figure_interval(name, answers.labels, answers.logits, seed) for name in metrics}
    return {
        "images": len(answers.labels),
        **{name: _number(metric(answers.labels, answers.logits)) for name, metric in metrics.items()},
        **{f"{name}_interval": found and list(found) for name, found in intervals.items()},
    }


def _where(answers: Answers, chosen: np.ndarray) -> Answers:
    """The answers on the images of a bool mask [N]."""
    rows = np.flatnonzero(chosen)
    return Answers(answers.logits[rows], answers.labels[rows], tuple(answers.names[i] for i in rows))


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
