"""Where a run stands, read from its folder alone: while a process works in it, and after that one died."""

from __future__ import annotations

import contextlib
import os
import shlex
import time
from collections.abc import Callable
from dataclasses import asdict
from operator import itemgetter
from pathlib import Path
from typing import Any

from danas_jax import config_io, disk, run
from danas_jax.config import Config
from danas_jax.errors import UserError
from danas_jax.records import Owner, position, series
from danas_jax.schema import is_number
from danas_jax.search import pareto_json

PHASES = ("train", "search", "retrain", "export")
_TRACE = {"train": "supernet", "search": "search", "retrain": "retrain", "export": "export"}  # folder of one that began
_RECENT = 30  # records that the speed is taken from
_SHOWN = ("epoch", "epochs", "loss", "accuracy", "validation_accuracy", "images_per_s", "evaluations")
Series = dict[Owner, list[dict[str, Any]]]


def status(run_dir: Path | str) -> dict[str, Any]:
    """What is known of a run, JSON-ready (docs/run_directory.md); nothing is written.

    Files that are damaged are named in "notes". UserError where the folder is no run, or its config.json is damaged.
    """
    folder, notes = Path(run_dir), []
    if not (folder / "config.json").is_file():
        why = "holds no config.json" if folder.is_dir() else "no such folder"
        raise UserError(f"RUN = {folder}: {why}, so it is not a run's folder")
    config = config_io.read_config(folder / "config.json")
    process = run.holder(folder)
    records, damage = run.scan_metrics(folder)
    notes += damage
    found = series(records)
    budgets, names = _budgets(folder, config, found, notes)
    networks = [_network(folder, config, name, found) for name in names]
    phases = _phases(folder, config, bool(process), found, networks, notes)
    report = folder / "report" / "index.html"
    finished = all(phase["state"] == "done" for phase in phases) and report.exists()
    disk_bytes, last_activity = _disk(folder)
    return {
        "schema_version": disk.SCHEMA_VERSION,
        "run": str(folder),
        "name": config.name,
        "state": "running" if process else "finished" if finished else "stopped",
        "process": int(process) if process.isdigit() else None,
        "phases": phases,
        "metric": config.search.metric,
        "budgets": budgets,
        "networks": networks,
        "disk_bytes": disk_bytes,
        "last_activity_unix_s": last_activity,
        "report": str(report) if report.exists() else None,
        "resume": None if process or finished else f"danas run {shlex.quote(str(folder))}",
        "notes": notes,
    }


def _tolerant(notes: list[str], read: Callable[[], Any], otherwise: Any) -> Any:
    """What `read` gives; of a damaged file a note and `otherwise`."""
    try:
        return read()
    except UserError as error:
        notes.append(str(error))
        return otherwise


def _budgets(folder: Path, config: Config, found: Series, notes: list[str]) -> tuple[list[dict], list[str]]:
    """Each budget with its best accuracy so far and its finalists; the names of all networks to retrain, once each."""
    pareto = folder / "search" / "pareto.json"
    result = _tolerant(notes, lambda: pareto_json.load(pareto), None) if pareto.exists() else None
    if result is None:
        last = found.get(("search", ""), [{}])[-1]
        none = [None] * len(config.budgets)
        best, between = (
            [one if _is_shown(one) else None for one in value] if isinstance(value := last.get(key), list) else none
            for key in ("best_accuracy", "best_interval")
        )
        return [
            {
                "budget": asdict(limits),
                "best": so_far,
                "interval": interval,
                "tier": None if so_far is None else "half",
                "finalists": [],
            }
            for limits, so_far, interval in zip(config.budgets, best, between, strict=False)
        ], []
    rows = []
    for each in result.budgets:
        row: dict[str, Any] = {"budget": asdict(each.budget), "best": None, "interval": None, "tier": None}
        for tier in ("int8", "full"):
            every = [(getattr(c, f"accuracy_{tier}"), c.intervals.get(tier)) for c in each.reranked]
            tried = [pair for pair in every if pair[0] is not None]
            if tried and row["best"] is None:
                best, interval = max(tried, key=itemgetter(0))
                row |= {"best": best, "interval": interval, "tier": tier}
        rows.append({**row, "finalists": list(each.finalists)})
    names = [name for row in rows for name in row["finalists"]] + [b.name for b in config.baselines]
    return rows, list(dict.fromkeys(names))


def _network(folder: Path, config: Config, name: str, found: Series) -> dict[str, Any]:
    """How far one finalist or baseline is: its epochs, and which of its three steps are done."""
    retrained = (folder / "retrain" / name / "history.json").exists()
    last = found.get(("retrain", name), [{}])[-1]
    return {
        "name": name,
        "epoch": config.retrain.epochs if retrained else position(last) or 0,  # that are finished
        "epochs": config.retrain.epochs,
        "loss": last.get("loss"),
        "validation_accuracy": last.get("validation_accuracy"),
        "validation_interval": last.get("validation_interval"),
        "retrained": retrained,
        "exported": (folder / "export" / name / "measured.json").exists(),
        "tested": (folder / "export" / name / "answers" / "int8_test.npz").exists(),
    }


def _phases(
    folder: Path, config: Config, held: bool, found: Series, networks: list[dict[str, Any]], notes: list[str]
) -> list[dict[str, Any]]:
    """Each phase's state; a process at work in the folder is in the first phase that is not done."""
    rows, current = [], True
    for phase in PHASES:
        if run.phase_done(folder, phase):
            payload = _tolerant(notes, lambda phase=phase: run.phase_payload(folder, phase), {})
            rows.append({"phase": phase, "state": "done", "time_s": payload.get("time_s"), "progress": None})
            continue
        logged = sorted((row for owner, of in found.items() if owner[0] == phase for row in of), key=_time)
        begun = bool(logged) or (folder / _TRACE[phase]).is_dir()
        state = "waiting" if not current else "running" if held else "interrupted" if begun else "waiting"
        progress = None
        if state != "waiting":
            progress = _progress(phase, config, logged, networks)
            progress |= _pace(phase, progress, logged, folder, held)
        rows.append({"phase": phase, "state": state, "time_s": None, "progress": progress})
        current = False
    return rows


def _progress(
    phase: str, config: Config, logged: list[dict[str, Any]], networks: list[dict[str, Any]]
) -> dict[str, Any]:
    """How much of a phase is done, in its unit, with the figures that it logged last."""
    last = logged[-1] if logged else {}
    unit, done, total = {
        "train": ("step", last.get("step", 0), last.get("steps")),
        "search": ("generation", last.get("step", 0), last.get("steps")),
        "retrain": ("epoch", sum(n["epoch"] for n in networks), len(networks) * config.retrain.epochs),
        "export": ("network", sum(n["exported"] for n in networks), len(networks)),
    }[phase]
    shown = {key: last[key] for key in _SHOWN if is_number(last.get(key))}
    if phase == "train" and "epoch" in shown:
        shown |= {"epoch": min(shown["epoch"] + 1, config.train.epochs), "epochs": config.train.epochs}  # at work
    if phase == "retrain":
        shown = {}  # they are of one network; "networks" has each one's
    return {"unit": unit, "done": done, "total": total, **shown}


def _pace(
    phase: str, progress: dict[str, Any], logged: list[dict[str, Any]], folder: Path, held: bool
) -> dict[str, float | None]:
    """Units a second over the last records of the last session (it began when it took the lock), and the time left."""
    speed = left = None
    with contextlib.suppress(OSError):
        began = (folder / ".lock").stat().st_mtime
        recent = [row for row in logged if _time(row) >= began][-_RECENT:]
        took = _time(recent[-1]) - _time(recent[0]) if recent else 0.0
        if phase != "export" and took > 0:  # which logs fine-tuning only
            steps = (position(recent[-1]) or 0) - (position(recent[0]) or 0)
            speed = (len(recent) - 1 if phase == "retrain" else steps) / took  # a record is an epoch of some network
        if speed and progress["total"]:
            age = time.time() - _time(recent[-1]) if held else 0.0
            left = max((progress["total"] - progress["done"]) / speed - age, 0.0)
    return {"per_s": speed, "left_s": left}


def _is_shown(value: object) -> bool:
    """Whether it can be an accuracy, or its interval."""
    return is_number(value) or (isinstance(value, list) and len(value) == 2 and all(map(is_number, value)))


def _time(record: dict[str, Any]) -> float:
    return float(record["unix_time_s"]) if is_number(record.get("unix_time_s")) else 0.0


def _disk(folder: Path) -> tuple[int, float]:
    """Bytes of all files, and when the last of them was written (the lock file apart); files may go meanwhile."""
    size, last = 0, 0.0
    for where, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                found = os.lstat(os.path.join(where, name))
                size += found.st_size
                last = max(last, found.st_mtime if name != ".lock" else 0.0)
    return size, last
