"""Pictures without classes in a folder and the folders in it: `data.unlabelled`. One split; all labels are -1."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import numpy as np

from danas_jax.config import DataSettings
from danas_jax.data.sources.base import Source, fingerprint_of, report_unreadable
from danas_jax.data.sources.files import Files, probe
from danas_jax.data.sources.readers import images
from danas_jax.data.splits import Items, grouped
from danas_jax.errors import UserError
from danas_jax.views.frame import Size

UNLABELLED = "unlabelled"  # the only split that it has
NO_LABEL = -1


def open_source(settings: DataSettings, native_px: Size) -> Source:
    """List the folder `settings.unlabelled` and look at its files. UserError says what is wrong with it."""
    root, where = Path(settings.unlabelled).expanduser(), f"data.unlabelled = {settings.unlabelled!r}"
    if not root.is_dir():
        problem = "it is a file, give a folder" if root.exists() else "no such folder"
        raise UserError(f"{where}: {problem}")
    warnings: list[str] = []
    files = Files(root, images(native_px, settings.fit))
    ignored: Counter[str] = Counter()
    found = _files(root, files.reader.extensions, ignored)
    if ignored:
        others = ", ".join(f"{count} {kind}" for kind, count in sorted(ignored.items()))
        warnings.append(f"unlabelled: ignored {ignored.total()} files that are not {files.reader.kinds}: {others}")
    probed = probe(files, found)
    unreadable: list[str] = []
    report_unreadable(probed.bad, len(found), settings, files.reader.noun, unreadable, where)
    warnings += [f"unlabelled: {text}" for text in (*unreadable, *probed.warnings)]
    keys = tuple(key for key in found if key not in probed.bad)
    if not keys:
        raise UserError(f"{where}: no {files.reader.kinds} in it or in its folders")
    items = Items(keys, np.full(len(keys), NO_LABEL, np.int32), grouped(keys, [""] * len(keys)))
    fingerprint = fingerprint_of([str(root.resolve()), UNLABELLED], sorted(probed.stamps))
    return files.source((), {UNLABELLED: items}, warnings, fingerprint, probed.bad)


def _files(root: Path, extensions: tuple[str, ...], ignored: Counter[str]) -> list[str]:
    """Keys (relative to root) of the visible files with one of `extensions`, sorted; the rest is counted by kind.

    A folder that links lead to twice is entered once.
    """
    here = os.stat(root)
    keys, entered = [], {(here.st_dev, here.st_ino)}

    def failed(error: OSError) -> None:
        raise UserError(f"{error.filename}: cannot be listed ({error.strerror})") from error

    for place, folders, names in os.walk(root, onerror=failed, followlinks=True):
        inside = os.path.relpath(place, root)
        kept = {name: os.stat(os.path.join(place, name)) for name in sorted(folders) if not name.startswith(".")}
        fresh = [name for name, stat in kept.items() if (stat.st_dev, stat.st_ino) not in entered]
        entered |= {(kept[name].st_dev, kept[name].st_ino) for name in fresh}
        folders[:] = fresh
        for name in names:
            extension = os.path.splitext(name)[1].lower()
            if name.startswith("."):
                continue
            if extension in extensions:
                keys.append(name if inside == "." else f"{inside}/{name}")
            else:
                ignored[extension or "without extension"] += 1
    return sorted(keys)
