"""The measuring process of `bench cost` and `bench search`: plain Python and NumPy, no jax.

python -m danas_jax.bench.host SETTINGS_AS_JSON
"""

from __future__ import annotations

import statistics
import sys
import time

import numpy as np

from danas_jax.bench import work
from danas_jax.bench.workers import serve
from danas_jax.config import Limits, SearchSettings
from danas_jax.hardware import cost, population
from danas_jax.search import feasible, runner
from danas_jax.space import SearchSpace

CANDIDATES = 250_000  # random systems, no two alike, that `bench cost` costs in a turn
TURNS = 5
CHECKED = 1000  # of them, how many are also costed one by one
_PROBES = 64  # random systems whose median arena becomes the search's budget
_SEARCH_IMAGES = 1000


def cost_figures(
    space: SearchSpace, num_classes: int, seed: int, candidates: int = CANDIDATES, checked: int = CHECKED
) -> dict[str, float]:
    """Rates of costing random systems as a population and one by one, and how far both agree; keys in docs/bench.md."""
    drawn = space.sample(np.random.default_rng([seed, 2]), candidates)
    genes = feasible.fresh(drawn, drawn[:0])
    started = time.perf_counter()
    population.tables(space, num_classes)
    tables_s = time.perf_counter() - started
    turns_s = []
    for _ in range(TURNS):
        started = time.perf_counter()
        population.costs(space, genes, num_classes)
        turns_s.append(time.perf_counter() - started)
    few = genes[:checked]
    started = time.perf_counter()
    single = [cost.cost(space.layers(row, num_classes)) for row in few]
    single_s = time.perf_counter() - started
    found = population.costs(space, few, num_classes)
    exact = {key: np.array([figures[key] for figures in single]) for key in found}
    arenas = ("arena_device_bytes", "arena_host_bytes")
    errors = np.array([1 - found[key] / exact[key] for key in arenas])
    return {
        "candidates_per_s": len(genes) / statistics.median(turns_s),
        "single_candidates_per_s": len(few) / single_s,
        "cost_tables_s": tables_s,
        "differing_figures": int(sum((found[key] != exact[key]).sum() for key in found if key not in arenas)),
        "arena_bound_error_min": float(errors.min()),
        "arena_bound_error_mean": float(errors.mean()),
        "arena_bound_error_max": float(errors.max()),
    }


def search_seconds(space: SearchSpace, num_classes: int, seed: int) -> tuple[float, int]:
    """(seconds, systems evaluated) of a default search whose accuracies are random numbers, costs included.

    Its one budget is the median arena of random systems, so that about half of them are repaired.
    """
    probes = space.sample(np.random.default_rng([seed, 3]), _PROBES)
    limit = int(np.median(cost.space_costs(space, probes, num_classes)["arena_host_bytes"]))
    rng, evaluated = np.random.default_rng([seed, 4]), 0

    def costs(genes: np.ndarray, board: str) -> dict[str, np.ndarray]:
        return cost.space_costs(space, genes, num_classes, board)

    def constraint(genes: np.ndarray, limits: Limits) -> np.ndarray:
        return cost.space_violation(space, genes, num_classes, limits)

    def evaluate(genes: np.ndarray, tier: str) -> np.ndarray:
        nonlocal evaluated
        evaluated += len(genes)
        return rng.random(len(genes))

    started = time.perf_counter()
    budgets = (Limits(sram_bytes=limit),)
    runner.search(space, SearchSettings(), budgets, costs, cost.violation, constraint, evaluate, seed, _SEARCH_IMAGES)
    return time.perf_counter() - started, evaluated


def main() -> None:
    """Answer requests until standard input ends."""
    settings = work.Settings.from_json(sys.argv[1])
    space, classes, seed = settings.search_space, settings.num_classes, settings.seed

    def cost_part() -> dict:
        return cost_figures(settings.whole_space, classes, seed)

    def search_part() -> dict:
        seconds, evaluated = search_seconds(space, classes, seed)
        return {"search_s": seconds, "evaluations_per_s": evaluated / seconds}

    serve({"cost": cost_part, "search": search_part})


if __name__ == "__main__":
    main()
