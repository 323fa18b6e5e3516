"""Whether pictures are those of the run that a network comes from: which of its splits, and what that means."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

from danas_jax.config import Config, native_resolution_px
from danas_jax.config_io import read_config
from danas_jax.data.dataset import open_data
from danas_jax.data.labelled import Labelled
from danas_jax.errors import UserError


class OwnPictures:
    """The pictures of the run that a file belongs to, by the split that they had there."""

    def __init__(self, config: Config):
        data = open_data(config.data, native_resolution_px(config), config.seed)
        self.root = os.path.realpath(os.path.expanduser(config.data.path))
        self.slice_fields = config.data.slice_fields
        self._splits = {f"{self.root}/{key}": split for split, items in data.items.items() for key in items.keys}

    def splits(self, root: Path, keys: tuple[str, ...]) -> list[str]:
        """The split of each of the files `keys` of the folder `root`; search is train, "" what is not the run's."""
        place = os.path.realpath(root)
        found = [self._splits.get(f"{place}/{key}", "") for key in keys]
        return ["train" if split == "search" else split for split in found]


def own_pictures(path: Path) -> tuple[OwnPictures | None, str]:
    """(the pictures of the run that exported `path`, None where there is no such run; what could not be found out)."""
    saved = path.resolve().parent.parent.parent / "config.json"
    if path.resolve().parent.parent.name != "export" or not saved.is_file():
        return None, ""
    try:
        config = read_config(saved)
        return (OwnPictures(config) if config.data.source == "folder" else None), ""
    except UserError as error:
        return None, f"whether the network was trained on these pictures is not known: {error}"


def notes(found: Labelled, root: Path, own: OwnPictures | None) -> list[str]:
    """What the reader must know of the pictures before believing the figures."""
    counts = Counter(own.splits(root, found.keys) if own else ())
    said = {
        "train": "{} of the pictures are among those that the network was trained on",
        "validation": "{} of the pictures are the run's own validation split, which picked the network's epoch",
        "test": "{} of the pictures are the run's own test split: this is a look at test, choose nothing by it",
    }
    lines = [text.format(counts[split]) for split, text in said.items() if counts[split]]
    if "test" in (found.split, root.resolve().name) and not counts["test"]:
        lines.append("these are the pictures of a test split: choose nothing by what they say")
    return lines
