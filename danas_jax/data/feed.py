"""The raw examples of a training's steps, on the device: all of them when they fit, else streamed ahead of the steps.

What a step reads is `rows(step)`, a pure function, so a resumed training needs no state of this. Both ways give the
same numbers: a view is a function of (seed, example, view number).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from typing import Literal

import jax
import numpy as np

from danas_jax.console import say
from danas_jax.data.rows import Rows
from danas_jax.devices import ONE, Devices
from danas_jax.memory import fits, out_of_memory

Resident = Literal["auto", "always", "never"]
_AHEAD = 2  # batches that are gathered and sent while a step runs


class Feed:
    """`batch(step)` gives what data/batches.py takes: raw examples, and where in them those of the step's rows lie."""

    def __init__(
        self,
        raw: np.ndarray | Rows,
        rows: Callable[[int], np.ndarray],
        steps: int,
        resident: Resident = "auto",
        devices: Devices = ONE,
    ):
        here = fits(raw.nbytes) if resident == "auto" else resident == "always"
        self.resident = bool(devices.from_first(np.asarray(here)))  # one program on all hosts
        self.rows = lru_cache(maxsize=2 + _AHEAD)(rows)  # the step asks for them, too
        self._raw, self._steps, self._devices = raw, steps, devices
        self._whole = self._placed(resident) if self.resident else None
        self.resident = self._whole is not None
        # Of the thread that trains: the one that gathers has none.
        self._own = jax.config.jax_default_device  # ty: ignore[missing-attribute]
        self._pool = None if self.resident else ThreadPoolExecutor(1)
        self._ahead: dict[int, Future] = {}
        self.waited_s = 0.0  # of all calls together: what a streamed step waited for its examples

    def _placed(self, resident: Resident) -> jax.Array | None:
        try:
            return jax.block_until_ready(self._devices.replicate(np.asarray(self._raw)))
        except Exception as error:  # several hosts must agree, and cannot any more
            if resident != "auto" or jax.process_count() > 1 or not out_of_memory(error):
                raise
        say(f"training: out of memory with all {len(self._raw)} examples on the device, streamed from now on")
        return None

    def batch(self, step: int) -> tuple[jax.Array, np.ndarray | None]:
        """(raw [N, ...] and the step's rows, or raw [B, ...] and 0..B-1, or, split over several devices, and None)."""
        if self._whole is not None:
            return self._whole, self.rows(step)
        assert self._pool is not None
        for coming in range(step, min(step + 1 + _AHEAD, self._steps)):
            if coming not in self._ahead:
                self._ahead[coming] = self._pool.submit(self._gathered, coming)
        started = time.monotonic()
        found = self._ahead.pop(step).result()
        self.waited_s += time.monotonic() - started
        return found, np.arange(len(found)) if self._devices.mesh is None else None

    def _gathered(self, step: int) -> jax.Array:
        with jax.default_device(self._own):
            part = self._raw[self._devices.rows_here(self.rows(step))]
            return jax.block_until_ready(self._devices.batch_of(part))

    def close(self) -> None:
        """Stop gathering."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
