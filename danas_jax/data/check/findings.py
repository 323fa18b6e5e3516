"""What the measurements of a data set say: figures, and warnings that a person can act on."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from danas_jax.config import DataSettings
from danas_jax.data.check.measure import SPLITS, Measured
from danas_jax.data.sources.base import Source
from danas_jax.errors import shortened

IMBALANCE = 3.0  # ratio of the largest to the smallest class of train from which accuracy alone misleads
_EXAMPLES = 3  # named in a warning; all of them are in the JSON


def findings(source: Source, measured: Measured, group: np.ndarray, settings: DataSettings) -> dict[str, Any]:
    """JSON-ready figures and `warnings` of a measured source; `group` as of `duplicate_groups`."""
    counts = {
        split: {
            name: int(((measured.split == split) & (measured.labels == label)).sum())
            for label, name in enumerate(source.class_names)
        }
        for split in SPLITS
    }
    groups = _groups(source, measured, group)
    shared = _shared_groups(source)
    blank = [measured.keys[row] for row in np.flatnonzero(measured.blank)]
    warnings = [
        *source.warnings,
        *_missing(counts, source.noun),
        *_imbalance(counts["train"]),
        *_unreadable(measured, source.noun),
        *_leaks(measured, group, source.noun),
        *_disagreements(groups),
        # of train and the others the source itself has warned
        *(f"{n} groups are in both {pair}" for pair, n in shared.items() if n and "train" not in pair),
        *_unknown_groups(source, settings),
        *([f"{len(blank)} {source.noun} show nothing: {_named(blank)}"] if blank else []),
    ]
    return {
        "class_names": list(source.class_names),
        "counts": counts,
        "sizes": _sizes(measured, source, settings),
        "unreadable": measured.unreadable,
        "blank": blank,
        "duplicates": groups,
        "shared_groups": shared,
        "warnings": warnings,
    }


def _named(keys: list[str]) -> str:
    more = f" and {len(keys) - _EXAMPLES} more" if len(keys) > _EXAMPLES else ""
    return ", ".join(keys[:_EXAMPLES]) + more


def _sizes(measured: Measured, source: Source, settings: DataSettings) -> dict[str, dict[str, float]]:
    """Smallest, median and largest of each size that is known, by its name and unit."""
    if len(source.shape) == 3:
        columns = {"height_px": measured.size[:, 0], "width_px": measured.size[:, 1]}
    elif settings.modality == "audio":
        columns = {"samples": measured.size[:, 0]}
    else:
        columns = {"samples": np.array(source.shape[:1]), "channels": np.array(source.shape[1:])}
    known = {name: values[values > 0] for name, values in columns.items()}
    return {
        name: {"min": int(values.min()), "median": float(np.median(values)), "max": int(values.max())}
        for name, values in known.items()
        if len(values)
    }


def _groups(source: Source, measured: Measured, group: np.ndarray) -> list[dict[str, Any]]:
    """Each group of duplicates: files, their splits and classes, whether all are equal to the number."""
    rows = np.flatnonzero(group >= 0)
    rows = rows[np.argsort(group[rows], kind="stable")]
    parts = np.split(rows, np.flatnonzero(np.diff(group[rows])) + 1) if len(rows) else []
    return [
        {
            "keys": [measured.keys[row] for row in part],
            "splits": measured.split[part].tolist(),
            "classes": [source.class_names[label] for label in measured.labels[part]],
            "exact": len(np.unique(measured.digest[part])) == 1,
        }
        for part in parts
    ]


def _leaks(measured: Measured, group: np.ndarray, noun: str) -> list[str]:
    """Of the later split of each pair, how many examples the earlier one has as well."""
    lines = []
    for earlier, later in itertools.combinations(SPLITS, 2):
        known = np.unique(group[(measured.split == earlier) & (group >= 0)])
        leaked = np.flatnonzero((measured.split == later) & np.isin(group, known))
        if len(leaked):
            equal = np.isin(measured.digest[leaked], measured.digest[measured.split == earlier]).sum()
            total = int((measured.split == later).sum())
            keys = [measured.keys[row] for row in leaked]
            lines.append(
                f"{len(leaked)} of {total} {later} {noun} are in {earlier} as well "
                f"({equal} equal, {len(leaked) - equal} alike): {_named(keys)}"
            )
    return lines


def _disagreements(groups: list[dict[str, Any]]) -> list[str]:
    """Duplicates of different classes: at least one of the labels is wrong, or the classes overlap."""
    apart = [" = ".join(group["keys"][:_EXAMPLES]) for group in groups if len(set(group["classes"])) > 1]
    return [f"{len(apart)} groups of duplicates have several classes: {_named(apart)}"] if apart else []


def _missing(counts: dict[str, dict[str, int]], noun: str) -> list[str]:
    return [
        f"class {name!r} has no {noun} in {split} that can be read"
        for split, by_class in counts.items()
        for name, count in by_class.items()
        if not count
    ]


def _imbalance(train: dict[str, int]) -> list[str]:
    largest, smallest = max(train, key=train.__getitem__), min(train, key=train.__getitem__)
    ratio = train[largest] / max(1, train[smallest])
    if ratio < IMBALANCE:
        return []
    return [
        f"class {largest!r} is {ratio:.1f} times as large as {smallest!r} in train: "
        "search.metric balanced_accuracy, f1 or auc says more than accuracy, and train.class_weights balanced (and "
        "retrain's) lets each class count the same"
    ]


def _unreadable(measured: Measured, noun: str) -> list[str]:
    if not measured.unreadable:
        return []
    named = [f"{shortened(key)} ({reason})" for key, reason in measured.unreadable.items()]
    return [f"{len(named)} of {len(measured.keys) + len(named)} {noun} cannot be read: {_named(named)}"]


def _unknown_groups(source: Source, settings: DataSettings) -> list[str]:
    """Recordings are cut into many examples, so without groups a leak cannot be seen."""
    known = any(group.startswith("group:") for items in source.splits.values() for group in items.groups)
    if known or settings.modality == "image":
        return []
    who = "speaker" if settings.modality == "audio" else "subject"
    return [f"no data.group_field: whether a {who} is in two splits cannot be told"]


def _shared_groups(source: Source) -> dict[str, int]:
    """{"train and test": groups in both} of every pair of splits."""
    sets = {split: {g for g in source.splits[split].groups if g.startswith("group:")} for split in SPLITS}
    return {f"{a} and {b}": len(sets[a] & sets[b]) for a, b in itertools.combinations(SPLITS, 2)}
