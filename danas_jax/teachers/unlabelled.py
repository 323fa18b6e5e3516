"""Pictures without labels behind a training's own: copies left out, soft labels made, the unsure ones not shown.

What says what they show: the teacher's file that the settings name; in retraining without one the supernet's largest
subnet, asked once about whole pictures; in the supernet's training without one the largest subnet at each step
(supernet/distil.py), of which nothing is known here.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from danas_jax import disk
from danas_jax.config import Config, DataSettings, RetrainSettings, TrainSettings
from danas_jax.console import Progress, say
from danas_jax.data.balance import Pool
from danas_jax.data.check.copies import Copy, copies
from danas_jax.data.dataset import PROTOCOL, Data, Split
from danas_jax.data.rows import as_rows
from danas_jax.data.soft_labels import SoftLabels
from danas_jax.data.sources.unlabelled import UNLABELLED
from danas_jax.deploy.finalists import joined
from danas_jax.deploy.teacher import Teacher, whole_answers
from danas_jax.errors import UserError
from danas_jax.teachers.soft_labels import taught

ANSWERS = "retrain/unlabelled.npz"  # in a run: what its largest subnet says
_NAMED = 5  # copies, in the warning


def all_taught(
    data: Data,
    training: Split,
    settings: TrainSettings | RetrainSettings,
    config: Config,
    phase: str,
    folder: Path,
    own: Teacher | None = None,
    note: Callable[[dict[str, Any]], None] = lambda found: None,
) -> Split:
    """`training` with its teacher's soft labels and, before its own, with the pictures of `data.unlabelled`.

    `own` teaches these where `settings` name no teacher; a retraining with neither leaves them out. `note` gets what
    became of them, JSON-ready. UserError where none is left.
    """
    learned = own is not None or bool(settings.teacher) or isinstance(settings, TrainSettings)
    asked = config.data.unlabelled and learned
    copied: list[dict[str, Any]] = []
    if asked:
        pictures, copied = _without_copies(data, phase, config.data)
        count = len(pictures)
        training = dataclasses.replace(joined(pictures, training), pool=Pool(count, np.arange(count), count))
    training = taught(training, settings, config.seed, data.class_names, config.data.cache_dir, folder)
    if not asked:
        return training
    if own is not None and not settings.teacher:
        training = dataclasses.replace(training, soft_labels=_own_answers(own, training, folder / ANSWERS))
    training, figures = shown(training, config.data)
    teacher = Path(settings.teacher).name or ("the largest subnet" if own else "the largest subnet, at each step")
    note({"copies": copied, phase: {"teacher": teacher, **figures}})
    say(
        f"{phase}: unlabelled: {figures['shown']:,} of {figures['pictures']:,} are learned from, taught by {teacher}; "
        f"an epoch shows {figures['per_epoch']:,} of them and {figures['labelled']:,} with a label"
    )
    return training


def labelled_alone(split: Split) -> SoftLabels | None:
    """The soft labels of the examples that have a label."""
    soft = split.soft_labels
    return soft and dataclasses.replace(soft, table=soft.table[:, split.labelled])


def shown(split: Split, settings: DataSettings) -> tuple[Split, dict[str, int]]:
    """`split` with those of its unlabelled pictures that confidence and balance leave, and how many of what there are.

    Both go by the mean of the soft labels over the views; where there are none, whoever makes them at each step gets
    the confidence, and nothing is balanced. UserError where none is left.
    """
    count, labelled = split.pool.count if split.pool else 0, len(split.labelled)
    rows, classes, left = np.arange(count), None, settings.unlabelled_confidence_min
    if split.soft_labels is not None:
        means = split.soft_labels.table[:, :count].astype(np.float32).mean(axis=0)
        likeliest, sureness, left = means.argmax(axis=1), means.max(axis=1), 0.0
        rows = np.flatnonzero(sureness >= settings.unlabelled_confidence_min)
        if settings.unlabelled_balance:
            rows = _balanced(rows, likeliest, sureness, means.shape[1])
        classes = likeliest[rows]
        if not len(rows):
            counts = np.bincount(likeliest, minlength=means.shape[1]).tolist()
            raise UserError(
                f"data.unlabelled = {settings.unlabelled!r}: data.unlabelled_confidence_min = "
                f"{settings.unlabelled_confidence_min:g} and data.unlabelled_balance = {settings.unlabelled_balance} "
                f"leave none of {count:,} pictures: by likeliest class they are {counts}, the surest is "
                f"{sureness.max():.3f}"
            )
    per_epoch, share = len(rows), settings.unlabelled_share
    if share < 1:
        per_epoch = min(per_epoch, max(1, int(labelled * share / (1 - share))))
    figures = {"pictures": count, "shown": len(rows), "per_epoch": per_epoch, "labelled": labelled}
    return dataclasses.replace(split, pool=Pool(count, rows, per_epoch, classes, left)), figures


def _balanced(rows: np.ndarray, likeliest: np.ndarray, sureness: np.ndarray, num_classes: int) -> np.ndarray:
    """Of each class as many of `rows` as the smallest has, the surest ones, ascending."""
    surest_first = rows[np.argsort(-sureness[rows], kind="stable")]
    of_class = [surest_first[likeliest[surest_first] == label] for label in range(num_classes)]
    fewest = min(map(len, of_class))
    return np.sort(np.concatenate([part[:fewest] for part in of_class]))


def _without_copies(data: Data, phase: str, settings: DataSettings) -> tuple[Split, list[dict[str, Any]]]:
    """The unlabelled pictures but for copies of those that judge, which are said and listed."""
    pictures = data.load(UNLABELLED, phase)
    judging = {split: data.load(split, "copies") for split in PROTOCOL["copies"]}
    with Progress("unlabelled: looking for copies") as progress:
        found = copies(pictures.raw, {name: split.raw for name, split in judging.items()}, progress.count)
    if not found:
        return pictures, []
    listed = [_entry(copy, pictures, judging) for copy in found]
    named = ", ".join(f"{entry['file']} ({entry['split']} {entry['of']})" for entry in listed[:_NAMED])
    rest = f" and {len(listed) - _NAMED} more" if len(listed) > _NAMED else ""
    text = f"{len(listed)} of {len(pictures)} unlabelled pictures are copies of pictures that judge"
    if len(listed) == len(pictures):
        raise UserError(f"data.unlabelled = {settings.unlabelled!r}: {text}, so none is left: {named}{rest}")
    say(f"warning: {text}, left out: {named}{rest} (all: report/unlabelled.json)")
    kept = np.setdiff1d(np.arange(len(pictures)), [copy.row for copy in found])
    names = tuple(pictures.names[i] for i in kept)
    return Split(as_rows(pictures.raw).of(kept), pictures.labels[kept], names, scale=pictures.scale), listed


def _entry(copy: Copy, pictures: Split, judging: dict[str, Split]) -> dict[str, Any]:
    of = judging[copy.name].names[copy.of_row]
    return {"file": pictures.names[copy.row], "split": copy.name, "of": of, "mirrored": copy.mirrored}


def _own_answers(own: Teacher, training: Split, path: Path) -> SoftLabels:
    """What the run's own network says of whole unlabelled pictures, asked once and kept at `path`; 0 of the rest."""
    count = training.pool.count if training.pool else 0
    asked = Split(training.raw[:count], training.labels[:count], training.names[:count])
    digest = np.frombuffer(asked.content.encode(), np.uint8)
    kept = disk.read_arrays(path) if path.exists() else {}
    if not np.array_equal(kept.get("content", ()), digest):
        kept = {"content": digest, "probabilities": whole_answers(own, training.raw[:count]).astype(np.float16)}
        disk.write_arrays(path, kept)
    answers = kept["probabilities"]
    table = np.concatenate([answers, np.zeros((len(training) - count, answers.shape[1]), np.float16)])[None]
    table.flags.writeable = False
    return SoftLabels(table, 0, 0, hashlib.sha256(answers.tobytes()).hexdigest()[:16])
