"""Checkpoints of a training loop by orbax: atomic, newest first, the last two kept, each with its checksum.

Orbax 0.12 reads an array back with flipped bits and says nothing, so the state is saved beside its CRC-32. It is one
array: tensorstore (0.1.76 to 0.1.86) never frees what it tells of each array as JSON, 0.25 kB in a save and 6 kB in a
restore. Training goes on while one is written, from a copy.
"""

from __future__ import annotations

import logging
import shutil
import zlib
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import jax
import numpy as np
import orbax.checkpoint as ocp

from danas_jax.errors import UserError

_LOG = logging.getLogger(__name__)


class Checkpoints:
    """The checkpoints below one folder. A save is complete or absent, whatever kills the process.

    As a context it waits for the last save, whatever ends it.
    """

    def __init__(self, folder: Path):
        self.folder = folder.resolve()
        self.folder.mkdir(parents=True, exist_ok=True)
        options = ocp.CheckpointManagerOptions(
            max_to_keep=2, create=False, enable_async_checkpointing=False, multiprocessing_options=_alone()
        )
        self._manager = ocp.CheckpointManager(self.folder, options=options)
        self._writer = ThreadPoolExecutor(1, "checkpoints")
        self._writing: Future | None = None

    def save(self, step: int, state: Any) -> None:
        """Begin to write `state` (a pytree of arrays) as of `step`; the caller may change its arrays at once.

        Waits for the save before, and raises what that one failed with: UserError for a full disk.
        """
        self.wait()
        copied = jax.tree.map(np.array, jax.device_get(state))  # on a CPU device_get alone is a view
        self._writing = self._writer.submit(self._write, step, copied)

    def wait(self) -> None:
        """Until nothing is being written; raises what the last save failed with, once."""
        if self._writing:
            writing = self._writing
            writing.exception()  # an interrupt here leaves it to the next call
            self._writing = None
            writing.result()

    def _write(self, step: int, state: Any) -> None:
        try:
            self._manager.save(step, args=ocp.args.StandardSave(_sealed(state)), force=True)
        except (OSError, ValueError) as error:
            if "No space left" in str(error) or "ENOSPC" in str(error):
                raise UserError(
                    f"disk full: cannot write {self.folder}; free some space, the same command resumes"
                ) from error
            raise

    def restore(self, like: Any) -> Any | None:
        """The newest readable state with the structure of `like`; None when there is none.

        A damaged checkpoint is named in a warning and set aside, and the one before it is used.
        """
        self.wait()
        like = jax.device_get(like)
        template = jax.tree.map(ocp.utils.to_shape_dtype_struct, _sealed(like))
        for step in sorted(self._manager.all_steps(), reverse=True):
            try:
                return _opened(
                    jax.device_get(self._manager.restore(step, args=ocp.args.StandardRestore(template))), like
                )
            except Exception as error:  # whatever the damage raises
                _LOG.warning(
                    "checkpoint %s of step %d is damaged, or another version wrote it (%s): trying the one before",
                    self.folder,
                    step,
                    error,
                )
                self._set_aside(step)
        return None

    def _set_aside(self, step: int) -> None:
        """Rename a step's folder, so that it can be saved again and does not count among those kept."""
        aside = self.folder / f"damaged.{step}"
        shutil.rmtree(aside, ignore_errors=True)
        (self.folder / str(step)).rename(aside)
        self._manager.reload()

    def close(self) -> None:
        """Wait for the last save, raise what it failed with, and release the folder."""
        try:
            self.wait()
        finally:
            self._writer.shutdown()
            self._manager.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            self.close()
        except Exception as failed:
            if error is None:
                raise
            _LOG.warning("the last checkpoint was not written: %s", failed)  # `error` ends the run


def _sealed(state: Any) -> dict[str, np.ndarray]:
    """The bytes of the arrays of a pytree on the host, in its order, and a checksum of them and what they are."""
    data = np.frombuffer(b"".join(np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(state)), np.uint8)
    return {"bytes": data, "crc32": np.asarray(_crc32(data, state))}


def _opened(saved: dict[str, np.ndarray], like: Any) -> Any:
    """The state of `_sealed`, of the structure of `like`; ValueError where it is another one or damaged."""
    if int(saved["crc32"]) != _crc32(saved["bytes"], like):
        raise ValueError("its checksum is another one")
    leaves, start = [], 0
    for leaf in map(np.asarray, jax.tree.leaves(like)):
        part = saved["bytes"][start : start + leaf.nbytes]
        leaves.append(part.copy().view(leaf.dtype).reshape(leaf.shape))
        start += leaf.nbytes
    return jax.tree.unflatten(jax.tree.structure(like), leaves)


def _crc32(data: np.ndarray, state: Any) -> int:
    """Of the bytes of a state, and of the names, shapes and types of its arrays."""
    named = [(jax.tree_util.keystr(path), np.asarray(leaf)) for path, leaf in jax.tree.leaves_with_path(state)]
    described = [f"{name} {leaf.shape} {leaf.dtype.name}" for name, leaf in named]
    return zlib.crc32(data.data, zlib.crc32("\n".join(described).encode()))


class NoCheckpoints(Checkpoints):
    """Those of a host that does not write: it gets what the first one restores."""

    def __init__(self):
        pass

    def save(self, step: int, state: Any) -> None:
        """Nothing."""

    def restore(self, like: Any) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


def _alone() -> ocp.options.MultiprocessingOptions:
    """Of several hosts only the first saves, which every array is whole on, and waits for no other."""
    if jax.process_count() == 1:
        return ocp.options.MultiprocessingOptions()
    me = jax.process_index()
    return ocp.options.MultiprocessingOptions(me, {me}, f"host{me}")
