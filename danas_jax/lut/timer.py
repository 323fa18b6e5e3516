"""Timing on a machine whose speed changes: readings count only while it runs at its best pace, undisturbed.

The pace is told by a reference inference, timed right before and after each reading. On the shared machine where this
was built the same layer took half as long again in one reading of twenty; three readings that this lets through differ
by 0.4 % (median over 968 layers; column `spread` of benchmarks/results/lut_host_tflm/table.csv). A long inference may
lose the processor between two good references, so one during which that happened does not count either. (The time of
the thread alone would leave waiting out, too, but on that virtual machine it ran a third slow.)
"""

from __future__ import annotations

import math
import resource
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


def _interruptions() -> int:
    """How often this thread has lost its processor to other work."""
    return resource.getrusage(resource.RUSAGE_THREAD).ru_nivcsw


class Reading(NamedTuple):
    """Milliseconds of an inference; `steady` where it ran undisturbed at the machine's best pace, else an estimate."""

    ms: float
    steady: bool


class Timer:
    """Times inferences. `best_ms` is the reference's best time [ms], known from before or found while timing."""

    def __init__(
        self,
        reference: Inference,
        best_ms: float = math.inf,
        clock: Callable[[], float] = time.perf_counter,
        interruptions: Callable[[], int] = _interruptions,
    ):
        self.reference, self.clock, self.interruptions = reference, clock, interruptions
        self.best_ms = min(best_ms, self._fastest(reference, FIRST_RUNS).ms)

    def _fastest(self, inference: Inference, runs: int) -> Reading:
        """The least time of those of `runs` inferences that nothing interrupted; where each one was, of all."""
        undisturbed, least = math.inf, math.inf
        for _ in range(runs):
            before, start = self.interruptions(), self.clock()
            inference()
            ms = 1e3 * (self.clock() - start)
            least = min(least, ms)
            if self.interruptions() == before:
                undisturbed = min(undisturbed, ms)
        return Reading(undisturbed, True) if undisturbed < math.inf else Reading(least, False)

    def read(self, inference: Inference) -> Reading:
        """The least time of a few inferences, the first one not counted.

        After WAIT_S without a steady one the best estimate: an undisturbed one at the pace nearest to the best, or the
        least one, scaled to the best pace.
        """
        first = self._fastest(inference, 1).ms
        runs = round(min(max(READING_MS / max(first, 1e-6), MIN_RUNS), MAX_RUNS))
        until = self.clock() + WAIT_S
        nearest, scaled = (math.inf, math.inf), math.inf
        while self.clock() < until or scaled == math.inf:
            before = self._fastest(self.reference, REFERENCE_RUNS).ms
            ms, undisturbed = self._fastest(inference, runs)
            after = self._fastest(self.reference, REFERENCE_RUNS).ms
            self.best_ms = min(self.best_ms, before, after)
            pace = max(before, after) / self.best_ms
            if undisturbed and pace <= MAX_PACE:
                return Reading(ms, True)
            rank = (0, pace) if undisturbed else (1, ms)
            if rank < nearest:
                nearest, scaled = rank, ms / pace
        return Reading(scaled, False)
