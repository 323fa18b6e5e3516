"""The objectives as columns: which cost each one is, and the corner that hypervolumes are measured from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from danas_jax.config import Limits
from danas_jax.hardware.cost import BOUNDS

OBJECTIVE_COSTS = {  # objective of SearchSettings -> key of the cost dictionary; `error` is 1 - accuracy
    "sram": "arena_device_bytes",
    "flash": "flash_bytes",
    "macs": "macs",
    "latency": "latency_ms",
}


def columns(names: Sequence[str], accuracy: np.ndarray, cost: dict[str, np.ndarray]) -> np.ndarray:
    """The objectives as columns, float64 [N, K], all minimised."""
    columns = [1 - accuracy if name == "error" else cost[OBJECTIVE_COSTS[name]] for name in names]
    return np.column_stack(columns).astype(np.float64)


def corner(names: Sequence[str], limits: Limits, largest: dict[str, np.ndarray]) -> np.ndarray:
    """The corner the hypervolume is measured from: error 1, and each cost's limit or, without one, the largest's."""
    limit_of = {keys[0]: getattr(limits, name) for name, keys in BOUNDS.items()}
    found = []
    for name in names:
        key = OBJECTIVE_COSTS.get(name)
        found.append(1.0 if key is None else float(limit_of[key] or largest[key][0]))
    return np.array(found)
