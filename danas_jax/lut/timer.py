"""Timing on a machine whose speed changes: readings count only while it runs at its best pace.

The pace is told by a reference inference, timed right before and after each reading. On the shared machine where this
was built the same layer took half as long again in one reading of twenty; three readings that this lets through differ
by 0.4 % (median over 968 layers; column `spread` of benchmarks/results/lut_host_tflm/table.csv).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import NamedTuple

from danas_jax.lut.hosts import Inference

MAX_PACE = 1.03  # the reference's time over its best one, up to which a reading counts
REFERENCE_RUNS = 3  # before and after a reading; the fastest counts
FIRST_RUNS = 2000  # of the reference, to find its best time
READING_MS = 2.0  # how long the inferences of one reading take together
MIN_RUNS, MAX_RUNS = 3, 100  # inferences of one reading; the fastest counts
WAIT_S = 1.0  # for the best pace, then a reading is scaled


class Reading(NamedTuple):
    """Milliseconds of an inference; `steady` where the machine ran at its best pace, else scaled to that pace."""

    ms: float
    steady: bool


class Timer:
    """Times inferences. `best_ms` is the reference's best time [ms], known from before or found while timing."""

    def __init__(self, reference: Inference, best_ms: float = math.inf, clock: Callable[[], float] = time.perf_counter):
        self.reference, self.clock = reference, clock
        self.best_ms = min(best_ms, self._fastest(reference, FIRST_RUNS))

    def _fastest(self, inference: Inference, runs: int) -> float:
        """Least time of one of `runs` inferences [ms]."""
        least = math.inf
        for _ in range(runs):
            start = self.clock()
            inference()
            least = min(least, self.clock() - start)
        return 1e3 * least

    def read(self, inference: Inference) -> Reading:
        """The least time of a few inferences, the first one not counted."""
        first = self._fastest(inference, 1)
        runs = round(min(max(READING_MS / max(first, 1e-6), MIN_RUNS), MAX_RUNS))
        until = self.clock() + WAIT_S
        nearest, scaled = math.inf, math.inf
        while self.clock() < until or scaled == math.inf:
            before = self._fastest(self.reference, REFERENCE_RUNS)
            ms = self._fastest(inference, runs)
            after = self._fastest(self.reference, REFERENCE_RUNS)
            self.best_ms = min(self.best_ms, before, after)
            pace = max(before, after) / self.best_ms
            if pace <= MAX_PACE:
                return Reading(ms, True)
            if pace < nearest:
                nearest, scaled = pace, ms / pace
        return Reading(scaled, False)
