"""The measuring process of `bench cost` and `bench search`: plain Python and NumPy, no jax.

python -m danas_jax.bench.host SETTINGS_AS_JSON
"""

from __future__ import annotations

import sys
import time

import numpy as np

from danas_jax.bench import work
from danas_jax.bench.workers import serve
from danas_jax.config import Limits, SearchSettings
from danas_jax.hardware import cost
from danas_jax.search import runner
from danas_jax.space import SearchSpace

CANDIDATES = 10_000  # random systems that `bench cost` costs
_PROBES = 64  # random systems whose median arena becomes the search's budget
_SEARCH_IMAGES = 1000


def candidates_per_s(space: SearchSpace, num_classes: int, seed: int, candidates: int) -> float:
    """Random systems that `hardware.space_costs` costs in a second, nothing of them known before."""
    genes = space.sample(np.random.default_rng([seed, 2]), candidates)
    started = time.perf_counter()
    cost.space_costs(space, genes, num_classes)
    return candidates / (time.perf_counter() - started)


def search_seconds(space: SearchSpace, num_classes: int, seed: int) -> tuple[float, int]:
    """(seconds, systems evaluated) of a default search whose accuracies are random numbers, costs included.

    Its one budget is the median arena of random systems, so that about half of them are repaired.
    """
    probes = space.sample(np.random.default_rng([seed, 3]), _PROBES)
    limit = int(np.median(cost.space_costs(space, probes, num_classes)["arena_host_bytes"]))
    rng, evaluated = np.random.default_rng([seed, 4]), 0

    def costs(genes: np.ndarray, board: str) -> dict[str, np.ndarray]:
        return cost.space_costs(space, genes, num_classes, board)

    def evaluate(genes: np.ndarray, tier: str) -> np.ndarray:
        nonlocal evaluated
        evaluated += len(genes)
        return rng.random(len(genes))

    started = time.perf_counter()
    budgets = (Limits(sram_bytes=limit),)
    runner.search(space, SearchSettings(), budgets, costs, cost.violation, evaluate, seed, _SEARCH_IMAGES)
    return time.perf_counter() - started, evaluated


def main() -> None:
    """Answer requests until standard input ends."""
    settings = work.Settings.from_json(sys.argv[1])
    space, classes, seed = settings.search_space, settings.num_classes, settings.seed

    def cost_part() -> dict:
        return {"candidates_per_s": candidates_per_s(space, classes, seed, CANDIDATES)}

    def search_part() -> dict:
        seconds, evaluated = search_seconds(space, classes, seed)
        return {"search_s": seconds, "evaluations_per_s": evaluated / seconds}

    serve({"cost": cost_part, "search": search_part})


if __name__ == "__main__":
    main()
