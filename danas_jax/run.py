"""The run directory: its configuration, metrics, phase markers and the lock. See docs/run_directory.md."""

from __future__ import annotations

import contextlib
import fcntl
import json
import math
import os
import time
from collections.abc import Generator
from pathlib import Path

from danas_jax import config_io, disk, schema, untrusted
from danas_jax.config import Config
from danas_jax.errors import UserError
from danas_jax.provenance import provenance

_LOCK_TRIES, _LOCK_PAUSE_S = 5, 0.02  # `holder` takes the lock for an instant


def append_metrics(run_dir: Path | str, record: dict) -> None:
    """Append one event to metrics.jsonl, e.g. {"phase": "train", "step": 10, "loss": 0.6}. NaN becomes null."""
    path = Path(run_dir) / "metrics.jsonl"
    record = {k: disk.plain(v) if hasattr(v, "tolist") else v for k, v in record.items()}
    record = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in record.items()}
    line = (json.dumps(record, allow_nan=False, default=disk.plain) + "\n").encode()
    with disk.writing(path), open(path, "a+b") as file:
        end = file.seek(0, os.SEEK_END)
        if end:
            file.seek(end - 1)
            if file.read(1) != b"\n":  # a kill in the middle of a write: drop the torn line
                file.seek(0)
                file.truncate(file.read().rfind(b"\n") + 1)
        file.write(line)


def read_metrics(run_dir: Path | str) -> list[dict]:
    """The events of metrics.jsonl in order; a torn last line is ignored, damage elsewhere is a UserError."""
    records, damage = scan_metrics(run_dir)
    if damage:
        raise UserError(damage[0])
    return records


def scan_metrics(run_dir: Path | str) -> tuple[list[dict], list[str]]:
    """The events of metrics.jsonl that can be read, in order, and a sentence for each line that cannot."""
    path = Path(run_dir) / "metrics.jsonl"
    if not path.exists():
        return [], []
    records, damage = [], []
    # What follows the last newline is empty or torn.
    for number, line in enumerate(path.read_bytes().split(b"\n")[:-1], 1):
        try:
            record = untrusted.loads(line)
            if not isinstance(record, dict):
                raise ValueError("a JSON object is expected")
        except ValueError as error:
            damage.append(f"{path}, line {number} is damaged: {error}")
        else:
            records.append(record)
    return records, damage


def run_directory(config: Config) -> Path:
    """Where the run of `config` lives: `config.run_dir`, else runs/<name>."""
    return Path(config.run_dir or f"runs/{config.name}")


def open_run(config: Config) -> Path:
    """Create the run directory of `config`, or check that the existing one was made with the same `config`.

    Returns its path. UserError lists each field that differs (run_dir itself may).
    """
    folder = run_directory(config)
    saved = folder / "config.json"
    visible = _refuse_foreign(folder)
    if saved.exists() and (visible - {"config.json", "provenance.json"} or (folder / ".phases").exists()):
        differing = config_io.differences(config_io.read_config(saved), config)
        if differing:
            raise UserError(
                f"{folder} was made with another configuration:\n  "
                + "\n  ".join(differing)
                + "\ngive the same settings, or another --run-dir"
            )
    else:
        # A run stopped before it computed anything (a wrong data.path, say) may start again with other settings.
        with disk.writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        disk.write_json(saved, config_io.to_json(config))
    _record_provenance(folder)
    return folder


def _refuse_foreign(folder: Path) -> set[str]:
    """Names of the files that a person sees in `folder`; UserError when it is somebody's, but no run's."""
    if folder.exists() and not folder.is_dir():
        raise UserError(f"run_dir = {folder}: is a file, give a folder")
    visible = {p.name for p in folder.iterdir() if not p.name.startswith(".")} if folder.is_dir() else set()
    if visible and "config.json" not in visible:
        raise UserError(f"run_dir = {folder}: is not empty and holds no config.json; give another --run-dir")
    return visible


def _record_provenance(folder: Path) -> None:
    """Append this session to provenance.json unless the last one was the same but for its time."""
    path = folder / "provenance.json"
    sessions = disk.read_json(path).get("sessions", []) if path.exists() else []
    now = provenance()
    if not sessions or {**sessions[-1], "time": ""} != {**now, "time": ""}:
        disk.write_json(path, {"sessions": [*sessions, now]})


def phase_done(run_dir: Path | str, phase: str) -> bool:
    """Whether `mark_done` was called for `phase`."""
    return (Path(run_dir) / ".phases" / f"{phase}.json").exists()


def mark_done(run_dir: Path | str, phase: str, payload: dict | None = None) -> None:
    """Remember that `phase` finished, with what later phases need to know; call it after the phase's last file."""
    disk.write_json(Path(run_dir) / ".phases" / f"{phase}.json", payload or {})


def phase_payload(run_dir: Path | str, phase: str) -> dict:
    """What `mark_done` was given for `phase`; UserError where the file is damaged."""
    path = Path(run_dir) / ".phases" / f"{phase}.json"
    found = disk.read_json(path)
    schema.check(found, {"time_s?": schema.NUMBER}, f"{path} is damaged")
    return found


@contextlib.contextmanager
def opened(config: Config) -> Generator[Path]:
    """The run directory of `config`, created or checked (`open_run`), and kept from other processes meanwhile.

    What killed processes left half-written there is removed.
    """
    folder = run_directory(config)
    with lock(folder):
        for path in folder.rglob(".*.tmp"):
            if disk.TEMPORARY.fullmatch(path.name):
                with disk.writing(path):
                    path.unlink()
        yield open_run(config)


@contextlib.contextmanager
def lock(run_dir: Path | str) -> Generator[None]:
    """Keep other processes out of the run directory; UserError naming the process that is in it."""
    _refuse_foreign(Path(run_dir))
    with exclusive(run_dir):
        yield


@contextlib.contextmanager
def exclusive(folder: Path | str) -> Generator[None]:
    """Keep other processes out of a folder, made where it is missing; UserError naming the process that is in it.

    A crash leaves nothing to clean up: the kernel releases flock when the process ends.
    """
    path = Path(folder) / ".lock"
    with disk.writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = open(path, "a+")  # noqa: SIM115 - held below
    with file:
        for tries_left in reversed(range(_LOCK_TRIES)):
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if tries_left:
                    time.sleep(_LOCK_PAUSE_S)
                    continue
                file.seek(0)
                owner = file.read().strip() or "?"
                raise UserError(f"{folder} is in use by process {owner}; wait for it or stop it") from error
        with disk.writing(path):
            file.truncate(0)
            file.write(f"{os.getpid()}\n")
            file.flush()
        yield


def holder(run_dir: Path | str) -> str:
    """The process that is in the run directory: its id, "?" where it has not said it yet, "" where there is none.

    Nothing is written, and a process that died is never taken for one at work, even if its id is another's now.
    """
    with contextlib.suppress(FileNotFoundError), open(Path(run_dir) / ".lock") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # closing gives it back
        except BlockingIOError:
            return file.read().strip() or "?"
    return ""
