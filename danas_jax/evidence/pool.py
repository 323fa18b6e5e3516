"""A pool of systems to rank: equally many from every budget's slice of the space, the same for the same seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from danas_jax.config import Limits
from danas_jax.errors import UserError

_DRAWS = 2048  # systems drawn at a time
_ROUNDS = 100  # of draws, before a slice is left short


@dataclass(frozen=True)
class Pool:
    """Systems and the slice of each: the first of the budgets, from small to large, that it fits."""

    genes: np.ndarray  # canonical, int64 [N, G], by slice
    slices: np.ndarray  # int64 [N]
    budgets: tuple[Limits, ...]  # of the slices, ascending


def draw(
    sample: Callable[[np.random.Generator, int], np.ndarray],
    fits: Callable[[np.ndarray, Limits], np.ndarray],
    budgets: Sequence[Limits],
    count: int,
    seed: int,
) -> Pool:
    """`count` systems, dealt evenly to the slices of `budgets`; a slice that hardly holds any gets fewer.

    `sample(rng, n)` draws canonical genes [n, G], `fits(genes, budget)` says which keep a budget, bool [n]. Raises
    UserError when fewer than two systems fit.
    """
    ordered = tuple(sorted(budgets, key=_size))
    wanted = [count // len(ordered) + (i < count % len(ordered)) for i in range(len(ordered))]
    found: list[list[np.ndarray]] = [[] for _ in ordered]
    known: set[bytes] = set()
    rng = np.random.default_rng([seed, 7])
    for _ in range(_ROUNDS):
        genes = sample(rng, _DRAWS)
        fitting = np.stack([fits(genes, budget) for budget in ordered])
        for row, first in zip(genes[fitting.any(axis=0)], fitting.argmax(axis=0)[fitting.any(axis=0)], strict=True):
            if len(found[first]) < wanted[first] and row.tobytes() not in known:
                known.add(row.tobytes())
                found[first].append(row)
        if all(len(part) == want for part, want in zip(found, wanted, strict=True)):
            break
    chosen = [(row, i) for i, part in enumerate(found) for row in part]
    if len(chosen) < 2:
        raise UserError(f"--pool = {count}: {len(chosen)} systems fit the budgets, ranking needs 2 or more")
    return Pool(np.array([row for row, _ in chosen]), np.array([i for _, i in chosen]), ordered)


def _size(limits: Limits) -> tuple[float, ...]:
    """What orders budgets: memory first."""
    bounds = (limits.sram_bytes, limits.flash_bytes, limits.macs, limits.latency_ms)
    return tuple(np.inf if bound is None else float(bound) for bound in bounds)
