"""What a source is: lists of examples by split, and a way to read one. Nothing is read before a phase asks for it."""

from __future__ import annotations

import dataclasses
import hashlib
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from danas_jax.config import DataSettings
from danas_jax.data.splits import Items
from danas_jax.errors import Unreadable, UserError, shortened

Progress = Callable[[int, int], None]  # (done, total)


class Examples(Protocol):
    """Examples that can be read by name, all of one shape and dtype."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> np.dtype: ...
    @property
    def read(self) -> Callable[[str], np.ndarray]: ...


@dataclass(frozen=True, eq=False)
class Source:
    """An opened source. `read(key)` gives one raw example; Unreadable names one that cannot be, UserError a source.

    `read` is called from several threads.
    """

    class_names: tuple[str, ...]
    splits: Mapping[str, Items]  # train, validation, test
    warnings: tuple[str, ...]
    fingerprint: str  # equal means the same examples
    noun: str  # "images": what its examples are called
    shape: tuple[int, ...]  # of one example: [H, W, 3], [samples] or [samples, channels]
    dtype: np.dtype  # uint8 pictures, int16 sound and series
    read: Callable[[str], np.ndarray]
    unreadable: Mapping[str, str] = dataclasses.field(
        default_factory=dict
    )  # {key: why} of what was left out while listing
    decoding: str = ""  # how an example is made of its file, for a cache of them; "" = reading is cheap
    scale: tuple[float, ...] = ()  # what a raw number times gives its unit, one or a number per channel; () = unknown


def fingerprint_of(*parts: Iterable[Any]) -> str:
    """16 hexadecimal digits that follow from every item of `parts`."""
    digest = hashlib.sha256()
    for part in parts:
        for item in part:
            digest.update(f"{item!r}\n".encode())
        digest.update(b"\0")
    return digest.hexdigest()[:16]


def aligned(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An array at a 64 B boundary, uninitialised: on a CPU `jax.device_put` reads it in place, no copy."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    memory = np.empty(size + 64, np.uint8)
    start = -memory.ctypes.data % 64
    return memory[start : start + size].view(dtype).reshape(shape)


def read_into(
    array: np.ndarray, examples: Examples, keys: Sequence[str], progress: Progress | None = None
) -> dict[str, str]:
    """Read `keys` in parallel into the rows of `array`; {key: reason} of those that cannot be, whose rows stay.

    `progress(done, total)` is called from this thread, about a hundred times.
    """

    def read(i: int) -> str:
        try:
            array[i] = examples.read(keys[i])
        except Unreadable as error:
            return error.reason
        return ""

    bad: dict[str, str] = {}
    every = max(1, len(keys) // 100)
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for i, reason in enumerate(pool.map(read, range(len(keys)))):
            if reason:
                bad[keys[i]] = reason
            if progress and ((i + 1) % every == 0 or i + 1 == len(keys)):
                progress(i + 1, len(keys))
    return bad


def read_items(
    examples: Examples, keys: tuple[str, ...], progress: Progress | None = None
) -> tuple[np.ndarray, np.ndarray, dict[str, str]]:
    """Read `keys` in parallel: (array [M, *shape], bool [N] readable, {key: reason} of the rest).

    `progress(done, total)` is called from this thread, about a hundred times.
    """
    array = aligned((len(keys), *examples.shape), examples.dtype)
    bad = read_into(array, examples, keys, progress)
    if not bad:
        return array, np.ones(len(keys), bool), bad
    readable = np.array([key not in bad for key in keys], bool)
    kept = aligned((int(readable.sum()), *examples.shape), examples.dtype)
    np.compress(readable, array, axis=0, out=kept)
    return kept, readable, bad


def report_unreadable(
    bad: dict[str, str], total: int, settings: DataSettings, noun: str, warnings: list[str], where: str = ""
) -> None:
    """Name and count unreadable examples ({key: reason} of `total`) in `warnings`; UserError for too many.

    `where`: the setting that names their place, `data.path` where it is left out.
    """
    if not bad:
        return
    named = ", ".join(f"{shortened(key)} ({reason})" for key, reason in list(bad.items())[:5])
    named += f" and {len(bad) - 5} more" if len(bad) > 5 else ""
    named = named.encode("utf-8", "backslashreplace").decode()
    text = f"{len(bad)} of {total} {noun} cannot be read: {named}"
    if len(bad) > settings.max_unreadable_fraction * total:
        raise UserError(
            f"{where or f'data.path = {settings.path!r}'}: {text}; that is {len(bad) / total:.1%}, above "
            f"data.max_unreadable_fraction = {settings.max_unreadable_fraction:g}"
        )
    warnings.append(text + " (left out)")


def report_unknown(slices: Mapping[str, np.ndarray], noun: str, warnings: list[str]) -> None:
    """Say in `warnings` of how many examples a field of `slices` (values, str [N]) is not known."""
    for field, values in slices.items():
        if unknown := int((values == "").sum()):
            warnings.append(f"{unknown} of {len(values)} {noun} have no {field!r}")
