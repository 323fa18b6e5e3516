"""One pass over all examples of a source: what each is like in a few bytes, nothing else is kept."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from danas_jax.data import sound
from danas_jax.data.check.looks import looks
from danas_jax.data.sources.base import Progress, Source, read_items
from danas_jax.errors import Unreadable

SPLITS = ("train", "validation", "test")
SIDE_PX = 144  # pictures are read at: divisible by the sides of looks.py
_CHUNK_BYTES = 64 * 2**20  # of examples read together, so that any number of them fits
_SILENT = 33  # largest magnitude of silence: -60 dB of full scale


@dataclass(frozen=True, eq=False)
class Measured:
    """N examples of all splits, those that could be read; splits one after the other."""

    keys: tuple[str, ...]
    split: np.ndarray  # str [N]
    labels: np.ndarray  # int32 [N]
    digest: np.ndarray  # uint64 [N], of the decoded numbers: equal means the same example
    blank: np.ndarray  # bool [N]: a plain picture, silence, a series without any change
    size: np.ndarray  # int32 [N, 2] of pictures' files (height, width [px]), of clips [N, 1] (samples); 0 unknown
    dhash: np.ndarray  # uint64 [N] perceptual hash of pictures, else [0]
    thumbnail: np.ndarray  # uint8 [N, 18 * 18] grey of pictures, else [0, 0]
    unreadable: dict[str, str]  # {key: why} of the others


def measure(source: Source, root: Path, progress: Progress | None = None) -> Measured:
    """Read every example of `source`, whose files, where it has any, lie below `root`.

    `progress(done, total)` is called from this thread. Pictures are expected at SIDE_PX.
    """
    items = [(split, key) for split in SPLITS for key in source.splits[split].keys]
    labels = np.concatenate([source.splits[split].labels for split in SPLITS])
    keys, total = tuple(key for _, key in items), len(items)
    pictures = len(source.shape) == 3
    sized = _Sized(source, root, keys, _picture_size if pictures else _clip_samples, 2 if pictures else 1)
    example_bytes = int(np.prod(source.shape)) * source.dtype.itemsize
    step = max(1, _CHUNK_BYTES // example_bytes)
    chunks, readable, bad = [], [], dict(source.unreadable)
    for start in range(0, total, step):
        report = progress and (lambda done, _, start=start: progress(start + done, total))
        examples, here, reasons = read_items(sized, keys[start : start + step], report)
        chunks.append(looks(examples) if pictures else _of_samples(examples, source))
        readable.append(here)
        bad |= reasons
    kept = np.concatenate(readable)
    blank, dhash, thumbnail = (np.concatenate(part) for part in zip(*chunks, strict=True))
    return Measured(
        tuple(key for key, ok in zip(keys, kept, strict=True) if ok),
        np.array([split for split, _ in items], str)[kept],
        labels[kept],
        sized.digest[kept],
        blank,
        sized.size[kept],
        dhash,
        thumbnail,
        bad,
    )


class _Sized:
    """Examples of a source; reading one also notes its digest, and the size that its file has."""

    def __init__(
        self, source: Source, root: Path, keys: tuple[str, ...], size_of: Callable[[Path], tuple[int, ...]], axes: int
    ):
        self.shape, self.dtype = source.shape, source.dtype
        self.digest, self.size = np.zeros(len(keys), np.uint64), np.zeros((len(keys), axes), np.int32)
        self._row = {key: i for i, key in enumerate(keys)}
        self._read, self._root, self._size_of = source.read, root, size_of

    def read(self, key: str) -> np.ndarray:
        example, row = self._read(key), self._row[key]
        content = np.ascontiguousarray(example).data
        self.digest[row] = int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little")
        path = self._root / key
        if os.path.isfile(path):
            try:
                self.size[row] = self._size_of(path)
            except (OSError, ValueError, Image.DecompressionBombError) as error:
                raise Unreadable(str(path), str(error)) from error
        return example


def _picture_size(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.height, image.width


def _clip_samples(path: Path) -> tuple[int]:
    with open(path, "rb") as file:
        head = sound.header(file.read(sound.HEAD_BYTES))
    size = min(head.size, os.path.getsize(path) - head.start)  # programs that cannot go back write a size of 2^32 - 1
    return (size * 8 // (head.channels * head.bits),)


def _of_samples(examples: np.ndarray, source: Source) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """int16 [n, T] of sound or [n, T, C] of series -> (silent or constant bool [n], and nothing to compare by)."""
    low, high = examples.min(1).astype(np.int32), examples.max(1).astype(np.int32)
    blank = np.maximum(-low, high) < _SILENT if examples.ndim == 2 else (low == high).all(1)
    return blank, np.zeros(0, np.uint64), np.zeros((0, 0), np.uint8)
