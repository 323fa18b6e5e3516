"""How much fits on the device (on this machine, for a CPU), and what happens where it does not. No jax to import it."""

from __future__ import annotations

import contextlib
import math
import os
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from danas_jax.console import say
from danas_jax.errors import UserError
from danas_jax.layers import LayerSpec

SHARE = 0.4  # of the free memory, up to which something stays on the device
PIECE_SHARE = 0.05  # of the free memory, for a piece of what does not stay: several are there at a time
CGROUP = Path("/sys/fs/cgroup")
_FILES = (  # limit, in use, and of that what files can give back; version 2, version 1
    ("memory.max", "memory.current", "memory.stat", "inactive_file"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat", "total_inactive_file"),
)
Result = TypeVar("Result")


def free_memory_bytes() -> int:
    """What this machine can give without swapping, or its control group (a container) where that is less [B]."""
    return max(0, min(_machine_bytes(), _group_bytes(CGROUP)))


def _machine_bytes() -> int:
    with contextlib.suppress(OSError, StopIteration), open("/proc/meminfo") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("MemAvailable"))
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _group_bytes(root: Path) -> int:
    for limit, used, stat, inactive in _FILES:
        with contextlib.suppress(OSError, ValueError):  # no such group, or its limit is "max"
            free = int((root / limit).read_text()) - int((root / used).read_text())
            fields = dict(line.split() for line in (root / stat).read_text().splitlines())
            return free + int(fields.get(inactive, 0))
    return 2**63


def device_free_bytes() -> int:
    """What is free on the device that this thread works on; of a CPU, on this machine [B]."""
    import jax

    device = jax.config.jax_default_device or jax.local_devices()[0]  # ty: ignore[missing-attribute]
    stats = device.memory_stats() if device.platform != "cpu" else None
    return stats["bytes_limit"] - stats["bytes_in_use"] if stats else free_memory_bytes()


def fits(size_bytes: int) -> bool:
    """Whether so much may stay on the device."""
    return size_bytes <= SHARE * device_free_bytes()


def out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that the device's memory did not suffice."""
    import jax

    return isinstance(error, jax.errors.JaxRuntimeError) and "RESOURCE_EXHAUSTED" in str(error)


@contextlib.contextmanager
def enough_for(what: str, remedy: str) -> Generator[None]:
    """UserError that names `what` did not fit and the `remedy`, where nothing can be done without asking."""
    try:
        yield
    except Exception as error:
        if not out_of_memory(error):
            raise
        raise UserError(f"{what}: the device's memory does not suffice; {remedy}") from error


class AtOnce:
    """How many items each of some devices works at a time: halved where memory runs out, and said. Thread-safe."""

    def __init__(self, work: str, items: str, size: int, remedy: str, devices: int = 1):
        self.size, self._work, self._items, self._remedy, self._devices = size, work, items, remedy, devices
        self._lock = threading.Lock()

    @property
    def total(self) -> int:
        """Of all devices together."""
        return self.size * self._devices

    def over(self, items: np.ndarray, run: Callable[[np.ndarray, int], list[Result]]) -> list[Result]:
        """run(at most `total` of the items, `total`) of all of them, in order.

        UserError with the remedy where memory does not suffice for one.
        """
        found: list[Result] = []
        done = 0
        while done < len(items):
            size = self.size
            total = size * self._devices
            try:
                found += run(items[done : done + total], total)
            except Exception as error:
                if not out_of_memory(error):
                    raise
                self._halve(size, error)
            else:
                done += total
        return found

    def _halve(self, size: int, error: Exception) -> None:
        with self._lock:
            if self.size < size:  # another thread did
                return
            if size == 1:
                raise UserError(
                    f"{self._work}: the device's memory does not suffice for one of the {self._items}; {self._remedy}"
                ) from error
            self.size = size // 2
            before = size * self._devices
            say(f"{self._work}: out of memory with {before} {self._items} at a time, {self.total} from now on")


def activation_bytes(layers: Sequence[LayerSpec]) -> int:
    """What an image takes at the widest place of a forward pass in float32, and as much again for the compiler [B]."""
    return 2 * 4 * max(math.prod(layer.in_shape) + math.prod(layer.out_shape) for layer in layers)


def at_once(most: int, each_bytes: int) -> int:
    """`most`, halved until so many items of `each_bytes` fit on the device; at least 1."""
    while most > 1 and not fits(most * each_bytes):
        most //= 2
    return most


class Batches:
    """Batches [M, B, ...] to go through: on the device where they fit, else sent in equal pieces, each time again."""

    def __init__(self, batches: np.ndarray, place: Callable[[np.ndarray], Any]):
        self._place, self._batches = place, batches
        self._whole = None
        if fits(batches.nbytes):
            try:
                self._whole = place(batches)
            except Exception as error:
                if not out_of_memory(error):
                    raise
                say(f"out of memory with {batches.nbytes:,} B of images on the device, they are sent in pieces")
        self._size = max(1, min(len(batches), int(PIECE_SHARE * device_free_bytes() // max(1, batches[:1].nbytes))))

    def __iter__(self) -> Iterator[Any]:
        """Arrays [m, B, ...] on the device, one after another; the last one is filled up."""
        if self._whole is not None:
            yield self._whole
            return
        for start in range(0, len(self._batches), self._size):
            rows = np.arange(start, start + self._size).clip(max=len(self._batches) - 1)
            yield self._place(self._batches[rows])
