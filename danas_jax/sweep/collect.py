"""What the runs of a sweep found, from their folders alone: one table by budget, one front, what is not there yet."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from danas_jax import disk, run, schema, untrusted
from danas_jax.csv_text import csv_text
from danas_jax.errors import UserError
from danas_jax.evidence import rank_command
from danas_jax.metrics import pareto_mask
from danas_jax.report import table
from danas_jax.report.files import read_summary
from danas_jax.sweep.plan import PLAN

LIMITS = ("sram_bytes", "flash_bytes", "macs", "latency_ms", "energy_mj")  # the order of budgets
TRAINED = "trained.csv"  # of all jobs that rank, for `danas rank --trained`
_KEPT = ("name", "kind", "genes", "data", "arch", "budget", "predicted", "measured", "accuracy")
_WRONG = (AttributeError, IndexError, KeyError, TypeError, ValueError)  # of JSON that is no summary


def collect(folder: Path) -> dict[str, Any]:
    """Everything `danas sweep collect` prints, JSON-ready (docs/sweeps.md).

    A run that is missing, at work or damaged is named in "unfinished". UserError where the folder holds no sweep.
    """
    commands, notes = _jobs(folder)
    rows, unfinished, seen = [], [], {}
    for name, command in commands.items():
        if command == "rank":
            continue
        if state := _unfinished(folder / name, "summary.json"):
            unfinished.append({"job": name, **state})
            continue
        try:
            summary = read_summary(folder / name)
            rows += _rows(name, summary)
            seen.setdefault((tuple(summary["classes"]), summary["search_metric"]), name)
        except (UserError, *_WRONG) as error:
            why = str(error) if isinstance(error, UserError) else f"summary.json: {type(error).__name__}: {error}"
            unfinished.append({"job": name, "state": "damaged", "why": why})
    if len(seen) > 1:
        notes.append(f"other classes or another metric, so not to be compared: {', '.join(seen.values())}")
    for row, on_front in zip(rows, pareto_mask(_objectives(rows)), strict=True):
        row["on_front"] = bool(on_front)
    rows.sort(key=_order)
    ranked = _ranked(folder, [name for name, command in commands.items() if command == "rank"], unfinished)
    return {
        "schema_version": disk.SCHEMA_VERSION,
        "dir": str(folder),
        "rows": rows,
        "unfinished": unfinished,
        "ranked": ranked,
        "notes": notes,
    }


def _jobs(folder: Path) -> tuple[dict[str, str], list[str]]:
    """The command of every job by its name: those of the plan, then other runs in the folder; and notes."""
    if not folder.is_dir():
        raise UserError(f"DIR = {folder}: no such folder")
    commands, notes = {}, []
    if (folder / PLAN).exists():
        try:
            plan = disk.read_json(folder / PLAN)
            schema.check(plan, {"jobs": [{"name": str, "command": str}]}, PLAN)
            for job in plan["jobs"]:
                untrusted.inside(folder, job["name"], "name of a job")
            commands = {job["name"]: job["command"] for job in plan["jobs"]}
        except UserError as error:
            notes.append(f"{PLAN} is damaged, so runs that never began are not known: {error}")
    others = sorted(path.parent.name for path in folder.glob("*/config.json"))
    commands |= {name: "run" for name in others if name not in commands}
    if not commands:
        raise UserError(f"DIR = {folder}: holds no runs and no {PLAN}, so it is not a sweep's folder")
    return commands, notes


def _unfinished(folder: Path, result: str) -> dict[str, str] | None:
    """Why a run has no `result`; None where it has."""
    if (folder / result).exists():
        return None
    if process := run.holder(folder):
        return {"state": "running", "why": f"process {process}; danas status {folder}"}
    if not (folder / "config.json").exists():
        return {"state": "missing", "why": "it has not begun"}
    return {"state": "stopped", "why": f"danas status {folder}"}


def _rows(name: str, summary: dict[str, Any]) -> list[dict[str, Any]]:
    shown = table.rows(summary)
    return [
        {"job": name, "seed": summary["seed"], **{key: entry[key] for key in _KEPT}, "shown": list(cells)}
        for entry, cells in zip(summary["finalists"], shown, strict=True)
    ]


def _objectives(rows: Sequence[dict[str, Any]]) -> np.ndarray:
    """Error on validation (test chooses nothing), arena and MACs of each row, [N, 3]; NaN where not known."""
    values = [
        (
            None if (accuracy := row["accuracy"].get("int8_validation")) is None else 1.0 - accuracy,
            row["predicted"].get("arena_device_bytes"),
            row["predicted"].get("macs"),
        )
        for row in rows
    ]
    return np.array(values, dtype=float).reshape(-1, 3)


def _order(row: dict[str, Any]) -> tuple[Any, ...]:
    """By budget, those without one (baselines) last; of a budget the most accurate on validation first."""
    budget = row["budget"]
    limits = [math.inf if (budget or {}).get(key) is None else budget[key] for key in LIMITS]
    return budget is None, limits, str((budget or {}).get("board", "")), -(row["accuracy"].get("int8_validation") or 0)


def _ranked(folder: Path, names: Sequence[str], unfinished: list[dict[str, str]]) -> dict[str, Any] | None:
    """The tables of networks trained alone as one, which a last `danas rank` reads; None where no job ranks."""
    if not names:
        return None
    header, merged = None, {}
    for name in names:
        if state := _unfinished(folder / name, rank_command.RESULT):
            unfinished.append({"job": name, **state})
        path = folder / name / "rank" / "trained.csv"
        if not path.exists():
            continue
        try:
            first, *rows = [row for row in csv.reader(io.StringIO(path.read_text())) if row]
            header = header or first
            if any(len(row) != len(header) for row in rows) or first != header:
                raise ValueError("its columns are not those of the other tables")
        except (OSError, ValueError, csv.Error) as error:
            unfinished.append({"job": name, "state": "damaged", "why": f"{path}: {error}"})
            continue
        merged |= {row[0]: row for row in rows}
    if header is None:
        return {"networks": 0, "table": None}
    disk.write_text(folder / TRAINED, csv_text([header, *merged.values()]))
    return {"networks": len(merged), "table": str(folder / TRAINED)}


def print_collected(found: dict[str, Any]) -> None:
    """The table, a star for what is on the front, and a line for each run that is not in it."""
    if found["rows"]:
        cells = [(row["job"], "*" if row["on_front"] else "", *row["shown"]) for row in found["rows"]]
        table.print_rows(f"{found['dir']}: finalists", ("job", "front", *table.COLUMNS), cells, 5)
        print("front (*): no network is better in int8 validation accuracy, arena or MACs and no worse in the others")
    for row in found["unfinished"]:
        print(f"{row['job']}: {row['state']}, {row['why']}")
    if (ranked := found["ranked"]) and ranked["table"]:
        print(f"{ranked['networks']} networks trained alone: danas rank ... --trained {ranked['table']}")
    for note in found["notes"]:
        print(f"warning: {note}")
