"""Files below a folder, as a folder or a manifest lists them: looked at, grouped, read."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from danas_jax.config import DataSettings
from danas_jax.data.sources.base import Source
from danas_jax.data.sources.readers import Reader
from danas_jax.data.splits import Items, grouped
from danas_jax.errors import Unreadable, UserError
from danas_jax.untrusted import MAX_EXAMPLE_BYTES, read_bytes


@dataclass(frozen=True)
class Files:
    """Examples named by their file, relative to `root`."""

    root: Path
    reader: Reader

    @property
    def shape(self) -> tuple[int, ...]:
        return self.reader.shape

    @property
    def dtype(self) -> np.dtype:
        return self.reader.dtype

    def read(self, key: str) -> np.ndarray:
        """One example; Unreadable names the file."""
        path = self.root / key
        try:
            content = read_bytes(path, MAX_EXAMPLE_BYTES)
        except UserError as error:
            raise Unreadable(str(path), str(error).removeprefix(f"{path}: ")) from error
        except (OSError, ValueError) as error:  # ValueError: a name that no file can have
            raise Unreadable(str(path), getattr(error, "strerror", None) or str(error)) from error
        return self.reader.encoded(content, str(path))

    def source(
        self, class_names: tuple[str, ...], splits: dict[str, Items], warnings: Iterable[str], fingerprint: str,
        bad: dict[str, str],
    ) -> Source:  # fmt: skip
        """The source of these files; `bad`: why some cannot be examples."""
        kind = self.reader
        told = class_names, splits, tuple(warnings), fingerprint, kind.noun
        return Source(*told, kind.shape, kind.dtype, self.read, bad, kind.decoding)


@dataclass(frozen=True)
class Probed:
    """What the beginnings of files tell."""

    # (key, size [B], times of the last change of its bytes and of anything about it [ns]): for the fingerprint. The
    # second time is one that copying programs cannot set, so a file replaced by one of its size and date is another.
    stamps: tuple[tuple[str, int, int, int], ...]
    bad: dict[str, str]  # {key: why it cannot be an example}
    warnings: tuple[str, ...]


def probe(files: Files, keys: Iterable[str]) -> Probed:
    """Judge files by their first bytes (20 us a file, nothing is decoded)."""
    kinds = files.reader

    def look(key: str) -> tuple[int, int, int, str, str]:
        try:
            key.encode()
        except UnicodeEncodeError:  # it could go into no table and no report
            return 0, 0, 0, "its name is not UTF-8", ""
        try:
            if not os.path.isfile(files.root / key) and os.path.exists(files.root / key):
                return 0, 0, 0, "not a regular file", ""  # a pipe would wait for ever
            with open(files.root / key, "rb") as file:
                stat = os.fstat(file.fileno())
                return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, "", kinds.probe(file.read(kinds.head_bytes))
        except (OSError, ValueError) as error:
            return 0, 0, 0, getattr(error, "strerror", None) or str(error), ""

    keys = tuple(keys)
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        looks = list(pool.map(look, keys, chunksize=256))
    stamps = tuple((key, *look[:3]) for key, look in zip(keys, looks, strict=True))
    bad = {key: reason for key, (*_, reason, _) in zip(keys, looks, strict=True) if reason}
    notes = Counter(note for *_, note in looks if note)
    told = tuple(f"{count} of {len(keys)} {kinds.noun} {note}" for note, count in sorted(notes.items()))
    return Probed(stamps, bad, told)


def file_groups(
    settings: DataSettings, keys: tuple[str, ...], column: Callable[[str], list[str]], noun: str, warnings: list[str]
) -> tuple[str, ...]:
    """The group of each file: `column(data.group_field)`, or what `data.group_pattern` finds in the file's name.

    Files of which neither is known are groups of their own, which is said in `warnings`.
    """
    if settings.group_field:
        values, what = column(settings.group_field), repr(settings.group_field)
    elif settings.group_pattern:
        found = (re.search(settings.group_pattern, os.path.basename(key)) for key in keys)
        values = [match.group(1) or "" if match else "" for match in found]
        what = f"match of {settings.group_pattern!r}"
    else:
        return grouped(keys, [""] * len(keys))
    if alone := values.count(""):
        warnings.append(f"{alone} of {len(keys)} {noun} have no {what}: each is a group of its own")
    return grouped(keys, values)
