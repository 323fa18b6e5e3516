"""Decode once: the raw examples of a source in one file, mapped into memory, shared by all runs that decode alike.

A store is a folder below the cache's root, named by the source's fingerprint and how it is decoded:

* `examples`: the arrays of all keys of the source, sorted, at their final size from the start (so a disk that is too
  small is known before anything is decoded), in blocks of about 16 MB;
* `digests`: a record per block, CRC-32 of the block's bytes and of who is unreadable in it; zeros = not decoded yet;
* `unreadable.jsonl`: a line per block with unreadable examples, {"block", "bad": {key: reason}}; the last one counts.

A block's bytes are on the disk before its digest is, so whatever kills the process, a block without its digest is
decoded again, as is one whose bytes have changed since. One process builds, others wait for its lock, which ends with
the process. Fingerprints hold the files' sizes and times of change, also the one that no program can set, so an edited
picture makes another store. Who cannot be read is tried again whenever the store is opened for writing.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import math
import os
import struct
import zlib
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from danas_jax.console import say
from danas_jax.data.rows import Rows
from danas_jax.data.sources.base import Progress, Source, read_into, read_items
from danas_jax.errors import Unreadable, UserError
from danas_jax.memory import free_memory_bytes

BLOCK_BYTES = 16 * 2**20
DIGEST_BYTES = 8
NONE = "none"  # as data.cache_dir: no cache
_VERSION = 1


def root(cache_dir: str) -> Path | None:
    """The folder of all stores: what `data.cache_dir` says, else $DANAS_CACHE, else in the user's cache folder.

    None = no cache.
    """
    cache_dir = cache_dir or os.environ.get("DANAS_CACHE", "")
    if cache_dir == NONE:
        return None
    if cache_dir:
        return Path(cache_dir).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "danas_jax" / "examples"


def cached_items(
    source: Source, keys: tuple[str, ...], cache_dir: str, progress: Progress | None, warnings: list[str]
) -> tuple[Rows, np.ndarray, dict[str, str]]:
    """As `read_items`, through the source's store; what stands in the cache's way is said in `warnings`.

    Without a store (switched off, a source that is cheap to read, a full or read-only disk) examples are in memory.
    """
    folder = root(cache_dir)
    if folder is None or not source.decoding:
        return _in_memory(source, keys, progress)
    try:
        with _opened(source, folder) as store:
            bad = store.complete(keys, progress)
            array = store.mapped()
    except OSError as error:
        why = error.strerror or str(error)
        warnings.append(f"cache {folder}: {why}: everything is decoded into memory, in every run (data.cache_dir)")
        return _in_memory(source, keys, progress)
    readable = np.array([key not in bad for key in keys], bool)
    chosen = np.array([store.row[key] for key in keys if key not in bad], np.int64)
    return Rows(array, chosen), readable, {key: bad[key] for key in keys if key in bad}


def _in_memory(source: Source, keys: tuple[str, ...], progress: Progress | None):
    size, free = len(keys) * math.prod(source.shape) * source.dtype.itemsize, free_memory_bytes()
    if size > free:
        raise UserError(
            f"{len(keys)} {source.noun} take {size / 1e9:.3g} GB of memory, {free / 1e9:.3g} are free: give "
            "data.cache_dir, a folder that can be written on a disk with room for them"
        )
    array, readable, bad = read_items(source, keys, progress)
    array.flags.writeable = False  # remembered and shared
    return Rows(array), readable, bad


@contextlib.contextmanager
def _opened(source: Source, folder: Path) -> Generator[Store]:
    """The source's store, locked while it is open for writing; OSError where it can be neither written nor read."""
    keys = tuple(sorted({key for items in source.splits.values() for key in items.keys}))
    made_of = [str(_VERSION), source.fingerprint, source.decoding, str(source.shape), str(source.dtype), *keys]
    name = hashlib.blake2b("\0".join(made_of).encode("utf-8", "surrogateescape"), digest_size=12).hexdigest()
    place = folder / name
    try:
        place.mkdir(parents=True, exist_ok=True)
        lock = (place / "lock").open("a")
    except OSError as error:
        if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM) and (place / "digests").exists():
            yield Store(source, keys, place, writable=False)
            return
        raise
    with lock:
        wait_for(lock, f"another process decodes the same examples: waiting for it ({place})")
        yield Store(source, keys, place, writable=True)


def wait_for(lock: IO, text: str) -> None:
    """Take the lock of an open file, which ends with it; `text` is said where another process has it."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say(text)
        fcntl.flock(lock, fcntl.LOCK_EX)


@dataclass
class Store:
    """One source's decoded examples."""

    source: Source
    keys: tuple[str, ...]
    place: Path
    writable: bool

    def __post_init__(self) -> None:
        self.row = {key: row for row, key in enumerate(self.keys)}
        size = int(np.prod(self.source.shape)) * self.source.dtype.itemsize
        self.per_block = max(1, BLOCK_BYTES // size)
        self.example_bytes = size
        self.blocks = -(-len(self.keys) // self.per_block)

    def mapped(self) -> np.ndarray:
        """All examples, read-only [M, *shape]."""
        return np.memmap(self.place / "examples", self.source.dtype, "r", shape=(len(self.keys), *self.source.shape))

    def complete(self, keys: Sequence[str], progress: Progress | None) -> Mapping[str, str]:
        """Decode what is missing or damaged of the blocks that hold `keys`; returns {unreadable key: reason}.

        OSError where the disk is too small, or the store is incomplete and cannot be written.
        """
        needed = sorted({self.row[key] // self.per_block for key in keys})
        self._make_room()
        bad = self._unreadable()
        digests = np.fromfile(self.place / "digests", np.uint8).reshape(-1, DIGEST_BYTES)
        missing = [block for block, fine in zip(needed, self._verified(needed, digests, bad), strict=True) if not fine]
        if missing and not self.writable:
            raise OSError(errno.EROFS, "is incomplete and cannot be written")
        if self.writable:  # a disk or a network that was away may be back, permissions given
            mended = {block for block in needed for key in bad.get(block, ()) if not self._unread(key)}
            missing = sorted({*missing, *mended})
        done, total = 0, sum(len(self._keys(block)) for block in missing)
        for block in missing:
            bad[block] = self._decode(block, known=block in bad)
            done += len(self._keys(block))
            if progress:
                progress(done, total)
        return {key: reason for block in needed for key, reason in bad.get(block, {}).items()}

    def _make_room(self) -> None:
        sizes = {"examples": len(self.keys) * self.example_bytes, "digests": self.blocks * DIGEST_BYTES}
        for name, size in sizes.items():
            path = self.place / name
            if path.exists() and path.stat().st_size == size:
                continue
            if not self.writable:
                raise OSError(errno.EROFS, "is incomplete and cannot be written")
            temporary = path.with_suffix(".new")
            try:
                with temporary.open("wb") as file:
                    os.posix_fallocate(file.fileno(), 0, size)
                temporary.replace(path)
            except OSError as error:
                temporary.unlink(missing_ok=True)
                if error.errno == errno.ENOSPC:
                    raise OSError(errno.ENOSPC, f"{size / 2**30:.2f} GB are needed and not free") from error
                raise

    def _unread(self, key: str) -> str:
        """Why an example cannot be read, "" where it can."""
        try:
            self.source.read(key)
        except Unreadable as error:
            return error.reason
        return ""

    def _keys(self, block: int) -> tuple[str, ...]:
        return self.keys[block * self.per_block : (block + 1) * self.per_block]

    def _unreadable(self) -> dict[int, dict[str, str]]:
        """Unreadable examples by block; a line that a kill has torn counts as not written, so its digest differs."""
        found: dict[int, dict[str, str]] = {}
        path = self.place / "unreadable.jsonl"
        for line in path.read_bytes().splitlines() if path.exists() else ():
            try:
                entry = json.loads(line)
                found[int(entry["block"])] = {str(key): str(why) for key, why in entry["bad"].items()}
            except (ValueError, KeyError, TypeError, AttributeError):
                continue
        return found

    def _verified(self, blocks: list[int], digests: np.ndarray, bad: dict[int, dict[str, str]]) -> list[bool]:
        """Whether each block's bytes are those of its digest."""
        size = self.per_block * self.example_bytes

        def fine(block: int) -> bool:
            if not digests[block].any():
                return False
            with (self.place / "examples").open("rb") as file:
                return digests[block].tobytes() == _digest(os.pread(file.fileno(), size, block * size), bad.get(block))

        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            return list(pool.map(fine, blocks))

    def _decode(self, block: int, known: bool) -> dict[str, str]:
        """Write a block and then its digest; returns who is unreadable in it, whose bytes are zeros.

        `known`: a line about the block is there already.
        """
        keys = self._keys(block)
        array = np.zeros((len(keys), *self.source.shape), self.source.dtype)
        bad = read_into(array, self.source, keys)
        _write(self.place / "digests", bytes(DIGEST_BYTES), block * DIGEST_BYTES)
        _write(self.place / "examples", array.tobytes(), block * self.per_block * self.example_bytes)
        if bad or known:  # a line of its own, whatever an earlier kill has torn
            with (self.place / "unreadable.jsonl").open("ab") as file:
                file.write(b"\n" + json.dumps({"block": block, "bad": bad}).encode() + b"\n")
        _write(self.place / "digests", _digest(array.tobytes(), bad), block * DIGEST_BYTES)
        return bad


def _digest(content: bytes, bad: Mapping[str, str] | None) -> bytes:
    # Not against an attacker: CRC-32 runs at 6.6 GB/s of a core here, BLAKE2b at 1.3. "{}" has one that is not 0.
    return struct.pack("<II", zlib.crc32(content), zlib.crc32(json.dumps(bad or {}, sort_keys=True).encode()))


def _write(path: Path, content: bytes, start: int) -> None:
    """In place, on the disk when this returns."""
    with path.open("r+b") as file:
        written = 0
        while written < len(content):
            written += os.pwrite(file.fileno(), content[written:], start + written)
        os.fsync(file.fileno())
