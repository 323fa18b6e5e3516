"""What a search found: fronts and finalists per budget (pareto_json.py), and every evaluation -> evaluations.csv."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field

import numpy as np

from danas_jax.classification import Metric
from danas_jax.config import Limits, SearchSettings
from danas_jax.csv_text import csv_text
from danas_jax.metrics import share_interval
from danas_jax.search.tiers import TIERS
from danas_jax.space import SearchSpace
from danas_jax.views import data_text


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
