"""The objectives as columns: which cost each one is, and the corner that hypervolumes are measured from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from danas_jax.config import Limits
from danas_jax.errors import UserError
from danas_jax.hardware import boards
from danas_jax.hardware.cost import needed

OBJECTIVE_COSTS = {  # objective of SearchSettings -> key of the cost dictionary; beside `error` and `energy`
    "sram": "arena_device_bytes",
    "flash": "flash_bytes",
    "macs": "macs",
    "latency": "latency_ms",
}
LIMITS = {  # objective -> field of Limits
    "sram": "sram_bytes",
    "flash": "flash_bytes",
    "macs": "macs",
    "latency": "latency_ms",
    "energy": "energy_mj",
}


def check(names: Sequence[str], budgets: Sequence[Limits]) -> None:
    """UserError naming every budget whose energy counts, as an objective or a limit, on a board of unknown power."""
    problems = []
    for i, limits in enumerate(budgets):
        if limits.energy_mj is not None:
            asked = f"budgets[{i}].energy_mj = {limits.energy_mj:g}"
        elif "energy" in names:
            asked = f"budgets[{i}], of which search.objectives minimises the energy"
        else:
            continue
        if boards.energy_mj(limits.board, 0.0) is None:
            problems.append(f"{asked}: {boards.no_power_text(limits.board)}")
    if problems:
        raise UserError("\n".join(problems))


def columns(names: Sequence[str], accuracy: np.ndarray, cost: dict[str, np.ndarray], limits: Limits) -> np.ndarray:
    """The objectives as columns, float64 [N, K], all minimised: 1 - `accuracy` [N], and costs on the limits' board.

    Energy is the board's: that of a counted input pipeline, too.
    """
    return np.column_stack([_column(name, accuracy, cost, limits) for name in names]).astype(np.float64)


def _column(name: str, accuracy: np.ndarray, cost: dict[str, np.ndarray], limits: Limits) -> np.ndarray:
    if name == "error":
        return 1 - accuracy
    return needed(cost, limits)["energy_mj"] if name == "energy" else cost[OBJECTIVE_COSTS[name]]


def corner(names: Sequence[str], limits: Limits, largest: dict[str, np.ndarray]) -> np.ndarray:
    """The corner the hypervolume is measured from: error 1, and each cost's limit or, without one, the largest's."""
    highest = columns(names, np.zeros(1), largest, limits)[0]
    bounds = [getattr(limits, LIMITS[name]) if name in LIMITS else None for name in names]
    return np.array([float(bound or high) for bound, high in zip(bounds, highest, strict=True)])
