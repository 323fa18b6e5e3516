"""The search itself: one strategy per budget in lock step over shared evaluations, then re-ranking and finalists.

The last round is no strategy's: it looks at the data twins of the best, the same networks seeing one step less data
(grey for colour, the next lower resolution), which may do as well or better.

The saved state is the list of evaluations, round by round. Everything else follows from it: a resumed search tells
its strategies the same rounds again, so it continues as if it had never stopped.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from danas_jax.config import Limits, SearchSettings
from danas_jax.errors import UserError
from danas_jax.hardware.cost import needed
from danas_jax.metrics import pareto_mask, share_interval
from danas_jax.search import (
    evolution,
    exhaustive,
    feasible,
    finalists,
    gradient,
    objectives,
    predictor,
    random_search,
    saved,
    screening,
    tiers,
)
from danas_jax.search.archive import (
    Archive,
    BudgetResult,
    Evaluations,
    candidates,
    number,
    space_header,
)
from danas_jax.search.feasible import Problem
from danas_jax.search.gains import Gains, Violation
from danas_jax.search.state import State
from danas_jax.space import SearchSpace

STRATEGIES = {
    "evolution": evolution,
    "gradient": gradient,
    "random": random_search,
    "exhaustive": exhaustive,
}  # modules with init, ask and tell
_SAVE_SOON_S, _SAVE_EVERY = 0.1, 20  # a save that takes longer follows 20 times its time after the last one
Costs = Callable[[np.ndarray, str], dict[str, np.ndarray]]
Constraint = Callable[[np.ndarray, Limits], np.ndarray]
Evaluate = Callable[[np.ndarray, str], np.ndarray]


@dataclass
class _Round:
    """What one generation evaluated: genes [N, G], accuracy on the half slice [N], costs per board."""

    genes: np.ndarray
    half: np.ndarray
    costs: dict[str, dict[str, np.ndarray]]


def search(
    space: SearchSpace,
    settings: SearchSettings,
    budgets: Sequence[Limits],
    costs: Costs,
    violation: Violation,
    constraint: Constraint,
    evaluate: Evaluate,
    seed: int,
    search_images: int,
    bounds: tuple[np.ndarray, np.ndarray] | None = None,
    estimate: Costs | None = None,
    slopes: gradient.Slopes | None = None,
    save: Callable[[dict], None] = lambda state: None,
    resume: dict | None = None,
    progress: Callable[[dict], None] = lambda event: None,
) -> Archive:
    """Search all `budgets` at once; returns fronts, re-ranked candidates and finalists of each.

    costs(genes [N, G], board) -> {cost: [N]}; violation(costs, limits) -> [N], 0 or less fits;
    constraint(canonical genes [N, G], limits) -> [N], 0 or less exactly where that violation is, else any number above;
    evaluate(genes [N, G], tier) -> accuracy [N], or what `settings.metric` is, NaN = failed: "half" on the ranking part
    of the search slice, "full" on all of it, "int8" on all of it, quantised. It is as sure as an accuracy on
    `search_images` images.
    estimate: `costs` by lower bounds, which are quick; for screening, `costs` itself where it is left out.
    slopes: the supernet's gradient (supernet/mixture.py), which the strategy `gradient` needs.
    `save` gets a JSON-ready state after every generation (less often where that takes long); as `resume` it continues
    to the identical archive.
    Raises UserError when nothing fits a budget (with the smallest need), `resume` is of another search, or energy
    counts on a board of unknown power.
    """
    objectives.check(settings.objectives, budgets)
    lower, upper = bounds if bounds is not None else (space.min_genes, space.max_genes)
    boards = list(dict.fromkeys(limits.board for limits in budgets))

    def keeping(limits: Limits) -> Callable[[np.ndarray], np.ndarray]:
        return lambda genes: constraint(genes, limits)

    problems = [Problem(space, lower, upper, keeping(limits)) for limits in budgets]
    strategy = STRATEGIES[settings.strategy]
    if strategy is gradient and slopes is None:
        raise UserError("search.strategy = 'gradient': needs the slopes of a supernet")
    states: list[State] = [strategy.init(problem, settings, (seed, i)) for i, problem in enumerate(problems)]
    largest = {board: costs(problems[0].canonical(upper[None]), board) for board in boards}
    references = [objectives.corner(settings.objectives, limits, largest[limits.board]) for limits in budgets]
    header = saved.header(space, settings, budgets, seed, search_images, lower, upper)
    rounds: list[_Round] = []
    images = {"half": settings.evaluation_fraction * search_images, "full": search_images, "int8": search_images}
    gains = [
        Gains(limits, violation, settings.objectives, corner)
        for limits, corner in zip(budgets, references, strict=True)
    ]
    tested: saved.Tested = {tier: {} for tier in ("full", "int8")[: 1 + settings.rerank_int8]}

    def absorb(genes: np.ndarray, half: np.ndarray) -> None:
        done = _Round(genes, half, {board: costs(genes, board) for board in boards})
        rounds.append(done)
        for i, gained in enumerate(gains):
            fits, scores = gained.absorb(done.half, done.costs[gained.limits.board])
            states[i] = strategy.tell(states[i], genes[fits], scores)

    def snapshot() -> dict:
        half = [{"genes": r.genes.tolist(), "half": [number(a) for a in r.half]} for r in rounds]
        memory = [state.memory() for state in states if isinstance(state, gradient.Learner)]
        return {**header, "rounds": half, "tested": saved.rows(tested), "memory": memory}

    if resume is not None:
        old_rounds, tested = saved.read(resume, header, len(lower), tested)
        for genes, half in old_rounds:
            absorb(genes, half)
        for i, (state, memory) in enumerate(zip(states, resume.get("memory", []), strict=False)):
            if isinstance(state, gradient.Learner):
                states[i] = state.remembering(memory)

    quick = [screening.Quick(estimate or costs, violation, limits, settings.objectives) for limits in budgets]

    def learn() -> None:
        """What a strategy does with the supernet between its rounds."""
        for i, state in enumerate(states):
            if isinstance(state, gradient.Learner) and slopes is not None:
                states[i] = gradient.learn(state, quick[i], slopes)

    def ask() -> list[np.ndarray]:
        """What every budget wants evaluated; screened as soon as there is enough to learn from."""
        screened = settings.screen and strategy in (evolution, gradient)  # random is what they have to beat
        genes = np.concatenate([r.genes for r in rounds]) if screened and rounds else np.empty((0, len(lower)))
        half = np.concatenate([r.half for r in rounds]) if len(genes) else np.empty(0)
        if np.sum(~np.isnan(half)) < predictor.FEWEST:
            return [strategy.ask(state) for state in states]
        known = predictor.fit(space, genes, half, [seed, len(rounds)])
        return [screening.ask(strategy, *each, known) for each in zip(states, quick, strict=True)]

    due_s = -math.inf
    while len(rounds) <= settings.generations or strategy is exhaustive:  # which ends by itself
        learn()
        asked = ask()
        if not rounds:
            _refuse_impossible(asked, problems, budgets, costs)
        wanted = np.concatenate(asked)
        genes = wanted[feasible.fresh_rows(wanted, wanted[:0])]
        if not len(genes):
            break  # every budget has seen all that fits it
        absorb(genes, _accuracy(evaluate, genes, "half"))
        if time.monotonic() >= due_s:
            began_s = time.monotonic()
            save(snapshot())
            took_s = time.monotonic() - began_s
            # What many systems take long to save is saved less often: a resumed search does the rest again.
            due_s = began_s + (_SAVE_EVERY * took_s if took_s > _SAVE_SOON_S else 0)
        planned = None if strategy is exhaustive else settings.generations + 1
        progress(_event(rounds, gains, planned, images["half"], seed))

    def ranked() -> tuple[Evaluations, list[np.ndarray], list[np.ndarray]]:
        """All evaluations, and per budget the rows that fit and those that deserve the whole search slice."""
        every = Evaluations(
            genes=np.concatenate([r.genes for r in rounds]),
            half=np.concatenate([r.half for r in rounds]),
            full=np.full(sum(len(r.genes) for r in rounds), np.nan),
            int8=np.full(sum(len(r.genes) for r in rounds), np.nan),
            costs={board: _joined(rounds, board) for board in boards},
            images={tier: images[tier] for tier in ("half", *tested)},
            seed=seed,
        )
        fitting = [np.flatnonzero(violation(every.costs[limits.board], limits) <= 0) for limits in budgets]
        picks = zip(fitting, budgets, strict=True)
        return every, fitting, [_pick(every, rows, limits, settings, search_images) for rows, limits in picks]

    every, fitting, picked = ranked()
    best = [every.genes[rows] for rows in picked]
    twins = np.concatenate([feasible.data_twins(p, genes) for p, genes in zip(problems, best, strict=True)])
    twins = feasible.fresh(twins, every.genes)
    if len(rounds) <= settings.generations + 1 and len(twins):  # a resumed search may have them already
        absorb(twins, _accuracy(evaluate, twins, "half"))
        save(snapshot())
        every, fitting, picked = ranked()
    union = np.unique(np.concatenate(picked))
    for tier, known in tested.items():
        missing = np.array([i for i in union if every.genes[i].tobytes() not in known], dtype=np.int64)
        if missing.size:
            found = _accuracy(evaluate, every.genes[missing], tier)
            known.update({every.genes[i].tobytes(): float(a) for i, a in zip(missing, found, strict=True)})
            save(snapshot())
        getattr(every, tier)[union] = [known[every.genes[i].tobytes()] for i in union]
    results = []
    for limits, fits, rows, gained in zip(budgets, fitting, picked, gains, strict=True):
        results.append(_result(space, every, limits, fits, rows, gained.volumes, settings, search_images))
    trust = tiers.figures(space, every.genes, every.half, every.full, every.int8, seed)
    return Archive(space_header(space), tuple(settings.objectives), settings.metric, tuple(results), trust, every)


def _result(
    space: SearchSpace,
    every: Evaluations,
    limits: Limits,
    fits: np.ndarray,
    rows: np.ndarray,
    history: list[float],
    settings: SearchSettings,
    search_images: int,
) -> BudgetResult:
    """One budget's answer: `fits` are the rows that keep its limits, `rows` those evaluated on the whole slice."""
    cost = {key: column[rows] for key, column in every.costs[limits.board].items()}
    accuracy = every.int8[rows] if settings.rerank_int8 else every.full[rows]
    arena, macs = cost["arena_device_bytes"], cost["macs"]
    margin, count = settings.error_margin, settings.finalists_per_budget
    chosen = rows[finalists.choose(accuracy, arena, macs, search_images, margin, count)]
    here = {key: column[fits] for key, column in every.costs[limits.board].items()}
    front = np.flatnonzero(pareto_mask(objectives.columns(settings.objectives, every.half[fits], here, limits)))
    front = fits[front[np.lexsort((here["macs"][front], here["arena_device_bytes"][front]))]]
    return BudgetResult(
        budget=limits,
        front=candidates(space, every, limits.board, front),
        reranked=candidates(space, every, limits.board, rows[np.lexsort((macs, arena, -accuracy))]),
        finalists=tuple(space.candidate_id(every.genes[i]) for i in chosen),
        hypervolume=tuple(history),
    )


def _pick(every: Evaluations, rows: np.ndarray, limits: Limits, settings: SearchSettings, images: int) -> np.ndarray:
    """Which of the fitting `rows` are evaluated on the whole search slice."""
    cost = every.costs[limits.board]
    count = max(settings.rerank, settings.finalists_per_budget)
    half_images = images * settings.evaluation_fraction
    arena, macs = cost["arena_device_bytes"][rows], cost["macs"][rows]
    return rows[finalists.to_rerank(every.half[rows], arena, macs, half_images, settings.error_margin, count)]


def _accuracy(evaluate: Evaluate, genes: np.ndarray, tier: str) -> np.ndarray:
    accuracy = np.asarray(evaluate(genes, tier), dtype=np.float64)
    if accuracy.shape != (len(genes),):
        raise ValueError(f"evaluate returned {accuracy.shape} for {len(genes)} candidates")
    return accuracy


def _joined(rounds: list[_Round], board: str) -> dict[str, np.ndarray]:
    return {key: np.concatenate([r.costs[board][key] for r in rounds]) for key in rounds[0].costs[board]}


def _event(rounds: list[_Round], gains: list[Gains], planned: int | None, images: float, seed: int) -> dict:
    """What `progress` is told: counts, and per budget the best half-slice accuracy so far and the hypervolume.

    The accuracy is as sure as one on `images` images; its 95 % interval does not cover that it is the best of many.

    "generations" is how many are `planned`, None where the end is not known.
    """
    rows = []
    for gain in gains:
        best = number(gain.best)
        interval = None if best is None else list(share_interval(best, images, seed))
        row = {"best_accuracy": best, "best_interval": interval, "fitting": gain.fitting}
        rows.append({**row, "hypervolume": gain.volumes[-1]})
    evaluations = sum(len(done.half) for done in rounds)
    return {"generation": len(rounds), "generations": planned, "evaluations": evaluations, "budgets": rows}


def _refuse_impossible(
    asked: list[np.ndarray], problems: list[Problem], budgets: Sequence[Limits], costs: Costs
) -> None:
    """UserError that names the smallest network's need for every budget that nothing fits."""
    lines = []
    for i, (genes, problem, limits) in enumerate(zip(asked, problems, budgets, strict=True)):
        if len(genes):
            continue
        smallest = costs(problem.canonical(problem.lower[None]), limits.board)
        over = [
            f"needs {field} = {need[0]:g}, the limit is {limit:g}"
            for field, need in needed(smallest, limits).items()
            if (limit := getattr(limits, field)) is not None and need[0] > limit
        ]
        lines.append(f"budgets[{i}]: nothing fits; the smallest network " + ("; ".join(over) or "is refused"))
    if lines:
        raise UserError("\n".join(lines))
