"""TensorBoard event files: metrics.jsonl's numbers in <run>/tensorboard/<phase>[/<network>]/events.out.tfevents.*.

They are derived: a session writes them anew from metrics.jsonl, and only then appends. So what a kill tore, or what a
resumed run did again, is in none. tensorboardX (its protobuf) is optional; without it a run only lacks these files.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import struct
import time
from collections.abc import Callable, Generator, Iterable
from io import FileIO
from pathlib import Path
from typing import Any

from danas_jax import disk, run
from danas_jax.console import say
from danas_jax.records import Owner, owner, position, series
from danas_jax.schema import is_number

FOLDER = "tensorboard"  # in the run directory
_PREFIX = "events.out.tfevents."
_NO_SCALARS = {"phase", "name", "step", "steps", "epoch", "epochs", "unix_time_s", "phase_time_s"}


@contextlib.contextmanager
def writer(run_dir: Path | str) -> Generator[Callable[[dict], None]]:
    """A function that brings a record, already in metrics.jsonl, into the event files as well.

    Several threads may call it, each for networks of its own. Where tensorboardX is missing, or a file cannot be
    written, one line says so and nothing else is different.
    """
    files: _Files | None = None
    try:
        files = _Files(Path(run_dir))
    except ModuleNotFoundError:
        say("tensorboard: no event files; pip install tensorboardX, and the next run of this folder writes them")
    except Exception as error:  # an optional package may fail as it likes: its protobuf is of another time, say
        say(f"tensorboard: no event files: {error}")

    def write(record: dict) -> None:
        nonlocal files
        if files is not None:
            try:
                files.add(record)
            except Exception as error:  # and so may a disk, or a metrics.jsonl that somebody edited
                files = None
                say(f"tensorboard: no more event files: {error}")

    with contextlib.closing(files) if files is not None else contextlib.nullcontext():
        yield write


class _Files:
    """The open event files of a session, one per series."""

    def __init__(self, run_dir: Path):
        event: Any = importlib.import_module("tensorboardX.proto.event_pb2")  # generated: no checker knows its members
        summary: Any = importlib.import_module("tensorboardX.proto.summary_pb2")
        from tensorboardX.record_writer import masked_crc32c

        self._event, self._start = event.Event, event.SessionLog(status=event.SessionLog.START)
        self._summary, self._checksum = summary.Summary, masked_crc32c
        self._run_dir, self._open = run_dir, dict[Owner, FileIO]()
        for whose, rows in series(run.scan_metrics(run_dir)[0]).items():
            self._write_anew(whose, rows)

    def add(self, record: dict) -> None:
        """Append a record; the first of a session may be of an earlier step than the file's last, so all is written."""
        whose = owner(record)
        if whose in self._open:
            self._open[whose].write(
                self._frames([record])
            )  # one call: a kill tears nothing, and no step waits for disk
        else:
            path = self._write_anew(whose, series(run.scan_metrics(self._run_dir)[0]).get(whose, []))
            self._open[whose] = open(path, "ab", buffering=0)  # noqa: SIM115 - closed in `close`

    def close(self) -> None:
        """Close what is open."""
        for file in self._open.values():
            file.close()

    def _write_anew(self, whose: Owner, rows: list[dict]) -> Path:
        """One file of `rows` alone in the place of the earlier ones, where they are not just that.

        It has a name of its own and begins by telling a TensorBoard that watches to forget what it has read. The
        earlier files are emptied, not removed: it would wait for them for ever.
        """
        parts = [re.sub(r"^\.|[^\w.-]", "_", part) for part in whose if part]  # names are texts that anybody may write
        folder = self._run_dir.joinpath(FOLDER, *parts)
        earlier = [path for path in sorted(folder.glob(f"{_PREFIX}*")) if path.stat().st_size]
        forget = [self._event(file_version="brain.Event:2"), self._event(step=0, session_log=self._start)]
        data = b"".join(map(self._frame, forget)) + self._frames(rows)
        if [path.read_bytes() for path in earlier] == [data]:
            return earlier[0]
        path = folder / f"{_PREFIX}{time.time_ns()}.{os.getpid()}"
        disk.write_bytes(path, data)
        for old in earlier:
            os.truncate(old, 0)
        return path

    def _frames(self, rows: Iterable[dict]) -> bytes:
        return b"".join(self._frame(self._event_of(row)) for row in rows)

    def _event_of(self, record: dict):
        values = [self._summary.Value(tag=tag, simple_value=number) for tag, number in scalars(record).items()]
        at, when = position(record), record.get("unix_time_s", 0.0)
        return self._event(wall_time=when, step=at, summary=self._summary(value=values))

    def _frame(self, event) -> bytes:
        """A record of the TFRecord format: length, its checksum, bytes, their checksum."""
        data = event.SerializeToString()
        length = struct.pack("<Q", len(data))
        sums = (struct.pack("<I", self._checksum(part)) for part in (length, data))
        return length + next(sums) + data + next(sums)


def scalars(record: dict) -> dict[str, float]:
    """The numbers of a record by tag; of a list (one per budget) `key/0`, `key/1` ..."""
    found = {}
    for key, value in record.items():
        many = isinstance(value, list)
        for i, number in enumerate(value if many else [value]):
            if key not in _NO_SCALARS and is_number(number):
                found[f"{key}/{i}" if many else key] = float(number)
    return found
