"""Pictures whose class is known, to evaluate on: `<class>/*` or `<split>/<class>/*`. Nothing is split or left out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from danas_jax.data.decode import EXTENSIONS
from danas_jax.data.sources.folder import class_files, sub_folders
from danas_jax.data.splits import SPLIT_NAMES
from danas_jax.errors import UserError

DEFAULT_SPLIT = "validation"  # test is read only when it is asked for


@dataclass(frozen=True)
class Labelled:
    """Files of one folder, nothing decoded yet."""

    split: str  # of <split>/<class>/*, "" where the classes lie directly in the folder
    classes: tuple[str, ...]
    keys: tuple[str, ...]  # files relative to the folder
    labels: np.ndarray  # int32 [N], index into classes


def list_labelled(root: Path, split: str, classes: tuple[str, ...] = ()) -> Labelled:
    """The pictures of a split ("" = validation where there are splits) by class; () = the folders' names, sorted.

    A class may be without pictures, but a folder must be a class. UserError says what is wrong with the folder.
    """
    if not root.is_dir():
        raise UserError(f"{root}: {'is a file, give a folder' if root.exists() else 'no such folder'}")
    names = sub_folders(root)
    splits = {SPLIT_NAMES[name]: name for name in names if name in SPLIT_NAMES}
    chosen = split or (DEFAULT_SPLIT if splits else "")
    if splits and chosen not in splits:
        raise UserError(f"{root}: there is no {chosen} folder: give --split {' or '.join(splits)}")
    place = splits.get(chosen, "")
    folders = sub_folders(root / place)
    if not folders:
        raise UserError(f"{root / place}: no folders in it, expected <class>/*.jpg")
    strangers = [name for name in folders if name not in classes]
    if classes and strangers:
        raise UserError(f"{root / place}: folder {strangers[0]!r} is none of the classes {', '.join(classes)}")
    classes, keys, labels = classes or tuple(folders), [], []
    for label, name in enumerate(classes):
        found = class_files(root, place, name, EXTENSIONS, Counter()) if name in folders else []
        keys += found
        labels += [label] * len(found)
    if not keys:
        raise UserError(f"{root / place}: no jpg, jpeg or png in its folders")
    return Labelled(chosen if splits else "", classes, tuple(keys), np.array(labels, np.int32))
