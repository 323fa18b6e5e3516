"""What a search found: fronts and finalists per budget <-> pareto.json, and every evaluation -> evaluations.csv."""

from __future__ import annotations

import json
import math
import re
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

import numpy as np

from danas_jax import untrusted
from danas_jax.classification import METRIC_NAMES, Metric
from danas_jax.config import Limits, SearchSettings
from danas_jax.config_io import load_limits
from danas_jax.csv_text import csv_text
from danas_jax.errors import UserError
from danas_jax.metrics import share_interval
from danas_jax.search.tiers import TIERS
from danas_jax.space import SearchSpace
from danas_jax.views import data_text

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Candidate:
    """One evaluated system; `costs` as in docs/design.md, for the board of its budget; None = not measured.

    An `accuracy` is what the archive's metric says.
    """

    id: str
    genes: tuple[int, ...]
    data: dict
    arch: dict
    accuracy_half: float | None
    accuracy_full: float | None
    accuracy_int8: float | None
    costs: dict
    intervals: dict = field(default_factory=dict)  # tier -> 95 % [low, high] of its accuracy, where it is measured


@dataclass(frozen=True)
class BudgetResult:
    """What one budget gets. Every candidate in it keeps the budget's limits."""

    budget: Limits
    front: tuple[Candidate, ...]  # non-dominated over the objectives, error by the half slice; smallest arena first
    reranked: tuple[Candidate, ...]  # those evaluated on the whole search slice, best (where measured, by int8) first
    finalists: tuple[str, ...]  # ids out of `reranked`, first choice first
    hypervolume: tuple[float, ...]  # after each generation: share of the box below the budget's limits, 0 to 1

    def candidate(self, candidate_id: str) -> Candidate:
        """The candidate of this id; KeyError when it is in neither list."""
        return {c.id: c for c in self.front + self.reranked}[candidate_id]


@dataclass(frozen=True)
class Evaluations:
    """Every exact evaluation, as arrays [N]; costs per board name."""

    genes: np.ndarray
    half: np.ndarray  # accuracy on the fixed part of the search slice
    full: np.ndarray  # accuracy on the whole search slice, NaN where not measured
    int8: np.ndarray  # the same with simulated int8
    costs: dict[str, dict[str, np.ndarray]]
    images: dict[str, float]  # tier -> on how many images an accuracy is as sure as these are
    seed: int  # of the intervals

    def intervals(self, row: int) -> dict[str, list[float]]:
        """{tier: 95 % bootstrap interval of its accuracy}, of the tiers in which the row is measured."""
        found = {tier: number(getattr(self, tier)[row]) for tier in self.images}
        return {
            tier: list(share_interval(value, self.images[tier], self.seed))
            for tier, value in found.items()
            if value is not None
        }


@dataclass(frozen=True)
class Archive:
    """The result of a search. `evaluations` live in evaluations.csv, not in pareto.json."""

    space: dict  # name, version, fingerprint
    objectives: tuple[str, ...]
    metric: Metric  # what every accuracy here is
    budgets: tuple[BudgetResult, ...]
    tiers: dict[str, dict | None]  # how far the cheap accuracies may be trusted, see tiers.py
    evaluations: Evaluations | None = field(default=None, compare=False, repr=False)


def space_header(space: SearchSpace) -> dict:
    """What identifies the space that genes belong to."""
    return {"name": space.name, "version": space.version, "fingerprint": space.fingerprint}


def nothing_searched(space: SearchSpace, settings: SearchSettings) -> Archive:
    """The archive of a run that wants no finalists."""
    return Archive(space_header(space), tuple(settings.objectives), settings.metric, (), dict.fromkeys(TIERS))


def number(value) -> int | float | None:
    """A Python number for JSON; None for NaN and infinity."""
    value = value.item() if isinstance(value, np.generic) else value
    return value if value is None or math.isfinite(value) else None


def candidates(space: SearchSpace, evaluations: Evaluations, board: str, rows: np.ndarray) -> tuple[Candidate, ...]:
    """The `rows` of `evaluations` as candidates with the costs of `board`."""
    costs = evaluations.costs[board]
    return tuple(
        Candidate(
            id=space.candidate_id(evaluations.genes[i]),
            genes=tuple(int(g) for g in evaluations.genes[i]),
            **space.describe(evaluations.genes[i]),
            accuracy_half=number(evaluations.half[i]),
            accuracy_full=number(evaluations.full[i]),
            accuracy_int8=number(evaluations.int8[i]),
            costs={key: number(column[i]) for key, column in costs.items()},
            intervals=evaluations.intervals(i),
        )
        for i in rows
    )


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
        "schema_version": SCHEMA_VERSION,
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
    try:
        data = untrusted.loads(untrusted.read_bytes(path, untrusted.MAX_JSON_BYTES))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); run the search first") from error
    except ValueError as error:
        raise UserError(f"{path}: not JSON ({error}); delete it and search again") from error
    return from_json(data, space, str(path))


def from_json(data: dict, space: SearchSpace | None = None, name: str = "pareto.json") -> Archive:
    """The inverse of `to_json`, strict: UserError naming the place when something is missing, added or impossible.

    With `space` every candidate's genes, id and description are checked against it.
    """
    _need(isinstance(data, dict), name, "an object")
    version = data.get("schema_version")
    _need(version == SCHEMA_VERSION, f"{name}: schema_version = {version!r}", f"{SCHEMA_VERSION}")
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
            ok = all(v is None or _is_number(v) for v in figures.values())
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


def _is_number(value, kinds: type | tuple = (int, float)) -> bool:
    return isinstance(value, kinds) and not isinstance(value, bool)


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
    _need(all(_is_number(h) for h in data["hypervolume"]), f"{place}.hypervolume", "numbers")
    limits = load_limits(data["budget"], f"{place}.budget")
    return BudgetResult(limits, **lists, finalists=tuple(data["finalists"]), hypervolume=tuple(data["hypervolume"]))


def _candidate(data: dict, space: SearchSpace | None, place: str) -> Candidate:
    _keys(data, ("id", "genes", "data", "arch", "accuracy", "costs"), place, optional=("intervals",))  # of older files
    _need(_is_id(data["id"]), f"{place}.id = {data['id']!r}", "letters, digits, - and _")
    genes = data["genes"]
    ok = isinstance(genes, list) and all(_is_number(g, int) and 0 <= g < 2**31 for g in genes)
    _need(ok, f"{place}.genes", "integers from 0 up")
    _keys(data["accuracy"], ("half", "full", "int8"), f"{place}.accuracy")
    for tier, value in data["accuracy"].items():
        ok = value is None or (_is_number(value) and 0 <= value <= 1)
        _need(ok, f"{place}.accuracy.{tier} = {value!r}", "from 0 to 1, or null")
    intervals = data.get("intervals", {})
    _need(isinstance(intervals, dict), f"{place}.intervals", "an object")
    for tier, found in intervals.items():
        ok = isinstance(found, list) and len(found) == 2 and all(_is_number(v) and 0 <= v <= 1 for v in found)
        ok = ok and data["accuracy"].get(tier) is not None
        _need(ok, f"{place}.intervals.{tier}", "two numbers from 0 to 1, of an accuracy that is there")
    ok = isinstance(data["costs"], dict) and all(v is None or _is_number(v) for v in data["costs"].values())
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


def evaluations_csv(archive: Archive, space: SearchSpace) -> str:
    """The text of evaluations.csv: one row per evaluated system, in the order of evaluation.

    A cost that differs between boards has a column per board, `latency_ms@<board>`; genes are joined by spaces.
    """
    found = archive.evaluations
    if found is None:
        raise ValueError("evaluations_csv: an archive read from pareto.json does not hold its evaluations")
    columns: dict[str, np.ndarray] = {}
    boards = list(found.costs)
    for key in found.costs[boards[0]]:
        by_board = [found.costs[board][key] for board in boards]
        if all(np.array_equal(by_board[0], other, equal_nan=True) for other in by_board):
            columns[key] = by_board[0]
        else:
            columns |= {f"{key}@{board}" if board else key: c for board, c in zip(boards, by_board, strict=True)}
    accuracies = {f"accuracy_{tier}": getattr(found, tier) for tier in ("half", "full", "int8")}
    columns = accuracies | columns
    names = [axis.name for axis in space.view.axes]
    lines: list[list] = [["id", *names, *columns, "genes"]]
    for i, genes in enumerate(found.genes):
        data, row = space.data(genes), [number(c[i]) for c in columns.values()]
        values = [getattr(data, name) for name in names]
        lines.append([space.candidate_id(genes), *values, *row, " ".join(map(str, genes))])
    return csv_text(lines)


def winning_data(archive: Archive) -> list[dict]:
    """Per budget: the data configuration of its first finalist, and the best accuracy each configuration reached.

    `{"budget", "winner": values of the data axes | None, "accuracy": {"48 px mono": best of the half slice},
    "intervals": {"48 px mono": 95 % [low, high] | None}}` over the front and the re-ranked candidates.
    """
    rows = []
    for result in archive.budgets:
        best: dict[str, float] = {}
        intervals: dict[str, list[float] | None] = {}
        for c in result.front + result.reranked:
            name, value = data_text(c.data), c.accuracy_half or 0.0
            if value > best.get(name, -1.0):
                best[name], intervals[name] = value, c.intervals.get("half")
        winner = result.candidate(result.finalists[0]).data if result.finalists else None
        rows.append({"budget": asdict(result.budget), "winner": winner, "accuracy": best, "intervals": intervals})
    return rows
