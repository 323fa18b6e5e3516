"""Arrays in .npz files of which nobody vouches for the headers: memory is asked for where the file can hold as much."""

from __future__ import annotations

import math
import os
import sys
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from danas_jax.errors import UserError

MAX_DEFLATE = 1032  # bytes that one byte of deflate's can become
MAX_FACTOR, MAX_PACKED_BYTES = 100, 256 * 2**20  # what is packed tighter than that may unpack to so much
# What zipfile, NumPy's headers (a Python literal inside) and the decompressors raise; RuntimeError: encryption, and a
# compression that zipfile does not know (NotImplementedError) or nesting (RecursionError).
_DAMAGE = (
    *(OSError, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError, TypeError, SyntaxError, KeyError),
    *(tokenize.TokenError, MemoryError, OverflowError, UserWarning),
)
_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


class Npz:
    """An open file; made by `opened`. Its methods raise UserError naming the file and the array."""

    def __init__(self, path: Path | str, archive: zipfile.ZipFile):
        self.path, self._archive = path, archive
        self.names = tuple(n.removesuffix(".npy") for n in archive.namelist() if n.endswith(".npy"))

    def header(self, name: str) -> tuple[tuple[int, ...], np.dtype]:
        """Shape and type of an array, of which nothing else is read."""
        entry = self._archive.getinfo(f"{name}.npy")
        with self._archive.open(entry) as file:
            version = npy.read_magic(file)
            if version not in _HEADERS:
                raise UserError(f"{self.path}: {name} has version {version} of the .npy format: save it again")
            with warnings.catch_warnings():
                warnings.simplefilter("error", UserWarning)  # NumPy's guesses at what a header means
                shape, _, dtype = _HEADERS[version](file)
            held = entry.file_size - file.tell()
        if dtype.hasobject:
            raise UserError(f"{self.path}: {name} holds Python objects, which are not read: save plain numbers or text")
        if min(shape, default=0) < 0 or dtype.kind == "V" or not dtype.itemsize:
            raise UserError(f"{self.path}: {name} is {dtype} {shape}: give an array of numbers or text")
        size = math.prod(shape) * dtype.itemsize
        if size != held:
            raise UserError(f"{self.path}: {name} should have {size} bytes for {dtype} {shape}, {held} are there")
        self._check(f"{self.path}: {name} {shape}", size, entry)
        return shape, dtype

    def _check(self, what: str, size: int, entry: zipfile.ZipInfo) -> None:
        packed = entry.compress_size
        machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        if packed > os.path.getsize(self.path) or entry.file_size > MAX_DEFLATE * packed + 1024:
            raise UserError(f"{what} claims {size:.3g} bytes, more than the file can hold")
        if size > MAX_FACTOR * packed and size > MAX_PACKED_BYTES:
            raise UserError(f"{what} unpacks {packed:.3g} bytes to {size:.3g}: save it with np.savez, not compressed")
        if size > machine:
            raise UserError(f"{what} takes {size:.3g} bytes, this machine has {machine:.3g}")

    def array(self, name: str) -> np.ndarray:
        """An array, never unpickled."""
        self.header(name)
        with self._archive.open(f"{name}.npy") as file:
            values = npy.read_array(file, allow_pickle=False)
        if values.dtype.kind == "U":
            codes = np.ascontiguousarray(values).reshape(-1).view(np.dtype("u4").newbyteorder(values.dtype.byteorder))
            if codes.max(initial=0) > sys.maxunicode:  # Python's text ends there, NumPy's does not
                raise UserError(f"{self.path}: {name} holds text that is none")
        return values


@contextmanager
def opened(path: Path | str) -> Generator[Npz]:
    """The arrays of a file; UserError naming it where it is missing or damaged."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield Npz(path, archive)
    except _DAMAGE as error:
        told = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise UserError(f"{path}: cannot be read as .npz ({told})") from error
