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
from danas_jax.search import evolution, feasible, predictor, runner, screening
from danas_jax.search.feasible import Problem
from danas_jax.space import SearchSpace
from danas_jax.spaces import mobilenetv2_tiny

CANDIDATES = 250_000  # random systems, no two alike, that `bench cost` costs in a turn
TURNS = 5
CHECKED = 1000  # of them, how many are also costed one by one
SCREENED = 1_000_000  # random systems of mobilenetv2_tiny, no two alike, that are narrowed to SELECTED
SELECTED = 100
FITTED = 500  # systems with accuracies that the predictor is fitted on
OFA_POPULATION, OFA_GENERATIONS = 100, 500  # of the search of Once-for-all (Cai et al. 2020)
EVOLUTION_SRAM_BYTES = 64 * 1024  # its one budget here
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


def screen_seconds(num_classes: int, seed: int, candidates: int = SCREENED) -> float:
    """Seconds from `candidates` systems to the best few: predicted accuracy, all costs, what fits, fronts by crowding.

    The budget is the systems' median arena. Accuracies grow with the logarithm of the MACs, give or take 0.01.
    """
    space, rng = mobilenetv2_tiny(), np.random.default_rng([seed, 5])
    drawn = space.sample(rng, candidates + candidates // 10)
    genes = feasible.fresh(drawn, drawn[:0])[:candidates]
    few = population.costs(space, genes[:FITTED], num_classes)
    accuracy = 0.1 * np.log10(few["macs"]) + 0.01 * rng.standard_normal(len(few["macs"]))
    limits = Limits(sram_bytes=int(np.median(few["arena_host_bytes"])))
    known = predictor.fit(space, genes[:FITTED], accuracy, seed)

    started = time.perf_counter()
    mean, deviation = known.predict(genes)
    costs = population.costs(space, genes, num_classes)
    rows = np.flatnonzero(cost.violation(costs, limits) <= 0)
    promised = mean + screening.OPTIMISM * deviation
    columns = (1 - promised[rows], costs["arena_device_bytes"][rows], costs["macs"][rows])
    screening.best(np.column_stack(columns), SELECTED)
    return time.perf_counter() - started


def search_seconds(space: SearchSpace, num_classes: int, seed: int) -> tuple[float, int]:
    """(seconds, systems evaluated) of a default search whose accuracies are random numbers, costs included.

    Its one budget is the median arena of random systems, so that about half of them are repaired.
    """
    probes = space.sample(np.random.default_rng([seed, 3]), _PROBES)
    limit = int(np.median(cost.space_costs(space, probes, num_classes)["arena_host_bytes"]))
    rng, evaluated = np.random.default_rng([seed, 4]), 0

    def costs(genes: np.ndarray, board: str) -> dict[str, np.ndarray]:
        return cost.space_costs(space, genes, num_classes, board)

    def estimate(genes: np.ndarray, board: str) -> dict[str, np.ndarray]:
        return population.costs(space, genes, num_classes, board)

    def constraint(genes: np.ndarray, limits: Limits) -> np.ndarray:
        return cost.space_violation(space, genes, num_classes, limits)

    def evaluate(genes: np.ndarray, tier: str) -> np.ndarray:
        nonlocal evaluated
        evaluated += len(genes)
        return rng.random(len(genes))

    started = time.perf_counter()
    runner.search(
        space, SearchSettings(), (Limits(sram_bytes=limit),), costs, cost.violation, constraint, evaluate, seed,
        _SEARCH_IMAGES, estimate=estimate,
    )  # fmt: skip
    return time.perf_counter() - started, evaluated


def evolution_seconds(num_classes: int, seed: int) -> tuple[float, int]:
    """(seconds, size of the front) of Once-for-all's search, in mobilenetv2_tiny and for one budget.

    Accuracy is a random linear and pairwise function of the genes' values: what a predictor costs, without one. The
    space's tables are made before; networks are planned only where they are returned.
    """
    space, rng = mobilenetv2_tiny(), np.random.default_rng([seed, 6])
    limits = Limits(sram_bytes=EVOLUTION_SRAM_BYTES)
    first = np.append(0, np.cumsum(space.cardinalities)[:-1])
    values = int(space.cardinalities.sum())
    weight, pair = rng.normal(0, 0.01, values), rng.normal(0, 0.001, (values, values))
    population.tables(space, num_classes)

    def objectives(genes: np.ndarray) -> np.ndarray:
        chosen = np.zeros((len(genes), values))
        np.put_along_axis(chosen, genes + first, 1.0, axis=1)
        error = 0.5 + chosen @ weight + ((chosen @ pair) * chosen).sum(axis=1)
        costs = population.costs(space, genes, num_classes)
        return np.column_stack([error, costs["arena_device_bytes"], costs["macs"]])

    def bound(genes: np.ndarray) -> np.ndarray:
        return cost.violation(population.costs(space, genes, num_classes), limits)

    def exact(genes: np.ndarray) -> np.ndarray:
        return cost.space_violation(space, genes, num_classes, limits)

    problem = Problem(space, space.min_genes, space.max_genes, bound)
    settings = SearchSettings(population=OFA_POPULATION, generations=OFA_GENERATIONS)
    started = time.perf_counter()
    genes, _ = evolution.evolve(problem, exact, objectives, settings, seed)
    return time.perf_counter() - started, len(genes)


def main() -> None:
    """Answer requests until standard input ends."""
    settings = work.Settings.from_json(sys.argv[1])
    space, classes, seed = settings.search_space, settings.num_classes, settings.seed

    def cost_part() -> dict:
        return cost_figures(settings.whole_space, classes, seed)

    def search_part() -> dict:
        seconds, evaluated = search_seconds(space, classes, seed)
        return {
            "search_s": seconds,
            "evaluations_per_s": evaluated / seconds,
            "screen_1m_s": screen_seconds(classes, seed),
            "evolution_100x500_s": evolution_seconds(classes, seed)[0],
        }

    serve({"cost": cost_part, "search": search_part})


if __name__ == "__main__":
    main()
