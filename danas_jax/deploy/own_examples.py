"""Whether examples are those of the run that a network comes from: which of its splits, and what that means."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

from danas_jax.config import Config, native_frame
from danas_jax.config_io import read_config
from danas_jax.data.dataset import open_data
from danas_jax.data.labelled import Labelled
from danas_jax.data.labelled_arrays import place_of
from danas_jax.errors import UserError

SOURCES = ("folder", "csv", "npz")  # whose examples can be told again by their place


class OwnExamples:
    """The examples of the run that a file belongs to, by the split that they had there."""

    def __init__(self, config: Config):
        data = open_data(config.data, native_frame(config), config.seed)
        self.root = os.path.realpath(_root(Path(config.data.path).expanduser()))
        self.slice_fields = config.data.slice_fields
        self._splits = {f"{self.root}/{key}": split for split, items in data.items.items() for key in items.keys}

    def splits(self, root: Path, keys: tuple[str, ...]) -> list[str]:
        """The split of each of the examples `keys` of the place `root`; search is train, "" what is not the run's."""
        place = os.path.realpath(root)
        found = [self._splits.get(f"{place}/{key}", "") for key in keys]
        return ["train" if split == "search" else split for split in found]


def own_examples(path: Path) -> tuple[OwnExamples | None, str]:
    """(the examples of the run that exported `path`, None where there is no such run; what could not be found out)."""
    saved = path.resolve().parent.parent.parent / "config.json"
    if path.resolve().parent.parent.name != "export" or not saved.is_file():
        return None, ""
    try:
        config = read_config(saved)
        return (OwnExamples(config) if config.data.source in SOURCES else None), ""
    except UserError as error:
        return None, f"whether the network was trained on these examples is not known: {error}"


def _root(path: Path) -> Path:
    """What the keys of a source's examples are relative to."""
    return place_of(path)[0] if path.suffix == ".npz" else path.parent if path.suffix == ".csv" else path


def notes(found: Labelled, noun: str, own: OwnExamples | None) -> list[str]:
    """What the reader must know of the examples, called `noun`, before believing the figures."""
    counts = Counter(own.splits(found.root, found.keys) if own else ())
    said = {
        "train": "{} of the {} are among those that the network was trained on",
        "validation": "{} of the {} are the run's own validation split, which picked the network's epoch",
        "test": "{} of the {} are the run's own test split: this is a look at test, choose nothing by it",
    }
    lines = [text.format(counts[split], noun) for split, text in said.items() if counts[split]]
    if "test" in (found.split, found.root.resolve().name) and not counts["test"]:
        lines.append(f"these are the {noun} of a test split: choose nothing by what they say")
    return lines
