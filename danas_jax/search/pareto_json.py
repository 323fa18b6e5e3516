"""What a search found <-> pareto.json."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, fields
from pathlib import Path

import numpy as np

from danas_jax import disk
from danas_jax.classification import METRIC_NAMES
from danas_jax.config import Limits
from danas_jax.config_io import load_limits
from danas_jax.errors import UserError
from danas_jax.schema import is_number
from danas_jax.search.archive import Archive, BudgetResult, Candidate, space_header
from danas_jax.search.tiers import TIERS
from danas_jax.space import SearchSpace


def to_json(archive: Archive) -> dict:
    """The content of pareto.json."""

    def candidate(c: Candidate) -> dict:
        accuracy = {"half": c.accuracy_half, "full": c.accuracy_full, "int8": c.accuracy_int8}
        return {
            "id": c.id,
            "genes": list(c.genes),
            "data": c.data,
            "arch": c.arch,
            "accuracy": accuracy,
            "intervals": c.intervals,
            "costs": c.costs,
        }

    return {
        "schema_version": disk.SCHEMA_VERSION,
        "space": archive.space,
        "objectives": list(archive.objectives),
        "metric": archive.metric,
        "tiers": archive.tiers,
        "budgets": [
            {
                "budget": asdict(result.budget),
                "front": [candidate(c) for c in result.front],
                "reranked": [candidate(c) for c in result.reranked],
                "finalists": list(result.finalists),
                "hypervolume": list(result.hypervolume),
            }
            for result in archive.budgets
        ],
    }


def load(path: str | Path, space: SearchSpace | None = None) -> Archive:
    """The archive in the pareto.json at `path`; UserError when it is missing, damaged or of another `space`."""
    return from_json(disk.read_json(path, "search again"), space, str(path))


def from_json(data: dict, space: SearchSpace | None = None, name: str = "pareto.json") -> Archive:
    """The inverse of `to_json`, strict: UserError naming the place when something is missing, added or impossible.

    With `space` every candidate's genes, id and description are checked against it.
    """
    _need(isinstance(data, dict), name, "an object")
    version = data.get("schema_version")
    _need(version == disk.SCHEMA_VERSION, f"{name}: schema_version = {version!r}", f"{disk.SCHEMA_VERSION}")
    _keys(data, ("schema_version", "space", "objectives", "metric", "tiers", "budgets"), name)
    _need(
        data["metric"] in tuple(METRIC_NAMES),
        f"{name}: metric = {data['metric']!r}",
        f"one of {', '.join(METRIC_NAMES)}",
    )
    _keys(data["tiers"], tuple(TIERS), f"{name}: tiers")
    for tier, keys in TIERS.items():
        figures = data["tiers"][tier]
        if figures is not None:
            _keys(figures, keys, f"{name}: tiers.{tier}")
            ok = all(v is None or is_number(v) for v in figures.values())
            _need(ok, f"{name}: tiers.{tier}", "an object of numbers")
    _keys(data["space"], ("name", "version", "fingerprint"), f"{name}: space")
    if space is not None and data["space"] != space_header(space):
        raise UserError(f"{name}: made in the space {data['space']}, this one is {space_header(space)}")
    _need(isinstance(data["objectives"], list), f"{name}: objectives", "a list")
    _need(isinstance(data["budgets"], list), f"{name}: budgets", "a list")
    budgets = tuple(_budget(b, space, f"{name}: budgets[{i}]") for i, b in enumerate(data["budgets"]))
    return Archive(data["space"], tuple(data["objectives"]), data["metric"], budgets, data["tiers"])


def _need(ok: bool, place: str, right: str) -> None:
    if not ok:
        raise UserError(f"{place}: must be {right}; the file is damaged, delete it and search again")


def _keys(data, expected: tuple[str, ...], place: str, optional: tuple[str, ...] = ()) -> None:
    found = sorted(key for key in data if key not in optional) if isinstance(data, dict) else data
    _need(found == sorted(expected), place, f"an object with exactly {', '.join(expected)}")


def _is_id(value) -> bool:
    """Whether it can be a candidate's, which is the name of its folders, too."""
    return isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}", value) is not None


def _budget(data: dict, space: SearchSpace | None, place: str) -> BudgetResult:
    _keys(data, ("budget", "front", "reranked", "finalists", "hypervolume"), place)
    _keys(data["budget"], tuple(f.name for f in fields(Limits)), f"{place}.budget")
    for key in ("front", "reranked", "finalists", "hypervolume"):
        _need(isinstance(data[key], list), f"{place}.{key}", "a list")
    lists = {
        key: tuple(_candidate(c, space, f"{place}.{key}[{i}]") for i, c in enumerate(data[key]))
        for key in ("front", "reranked")
    }
    known = {c.id for c in lists["reranked"]}
    _need(
        all(isinstance(i, str) and i in known for i in data["finalists"]),
        f"{place}.finalists",
        "ids that are in reranked",
    )
    _need(all(is_number(h) for h in data["hypervolume"]), f"{place}.hypervolume", "numbers")
    limits = load_limits(data["budget"], f"{place}.budget")
    return BudgetResult(limits, **lists, finalists=tuple(data["finalists"]), hypervolume=tuple(data["hypervolume"]))


def _candidate(data: dict, space: SearchSpace | None, place: str) -> Candidate:
    _keys(data, ("id", "genes", "data", "arch", "accuracy", "costs"), place, optional=("intervals",))  # of older files
    _need(_is_id(data["id"]), f"{place}.id = {data['id']!r}", "letters, digits, - and _")
    genes = data["genes"]
    ok = isinstance(genes, list) and all(isinstance(g, int) and is_number(g) and 0 <= g < 2**31 for g in genes)
    _need(ok, f"{place}.genes", "integers from 0 up")
    _keys(data["accuracy"], ("half", "full", "int8"), f"{place}.accuracy")
    for tier, value in data["accuracy"].items():
        ok = value is None or (is_number(value) and 0 <= value <= 1)
        _need(ok, f"{place}.accuracy.{tier} = {value!r}", "from 0 to 1, or null")
    intervals = data.get("intervals", {})
    _need(isinstance(intervals, dict), f"{place}.intervals", "an object")
    for tier, found in intervals.items():
        ok = isinstance(found, list) and len(found) == 2 and all(is_number(v) and 0 <= v <= 1 for v in found)
        ok = ok and data["accuracy"].get(tier) is not None
        _need(ok, f"{place}.intervals.{tier}", "two numbers from 0 to 1, of an accuracy that is there")
    ok = isinstance(data["costs"], dict) and all(v is None or is_number(v) for v in data["costs"].values())
    _need(ok, f"{place}.costs", "an object of numbers")
    plain = isinstance(data["data"], dict) and all(
        isinstance(value, int | float | str) for value in data["data"].values()
    )
    _need(plain, f"{place}.data", "an object of numbers and texts")
    if space is not None:
        try:
            checked = space.check(np.array(genes, dtype=np.int64))
        except UserError as error:
            raise UserError(f"{place}: {error}; the file is damaged, delete it and search again") from error
        meaning = json.loads(json.dumps(space.describe(checked)))
        same = data["id"] == space.candidate_id(np.array(genes))
        same = same and {"data": data["data"], "arch": data["arch"]} == meaning
        _need(same, f"{place} ({data['id']})", "what its genes mean (id, data and arch)")
    return Candidate(
        data["id"],
        tuple(genes),
        data["data"],
        data["arch"],
        data["accuracy"]["half"],
        data["accuracy"]["full"],
        data["accuracy"]["int8"],
        data["costs"],
        intervals,
    )
