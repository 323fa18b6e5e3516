"""Several programs at a time: on a CPU, while one runs what a core does alone, another has the other core; else one
for each device."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from contextvars import ContextVar
from itertools import cycle, islice
from queue import SimpleQueue
from threading import Event
from typing import TypeVar

import jax

from danas_jax.errors import Interrupted
from danas_jax.supernet import ops

Item = TypeVar("Item")
Result = TypeVar("Result")

_GIVEN_UP: ContextVar[Event | None] = ContextVar("given_up", default=None)  # of the `in_flight` that a thread works for


def programs_in_flight() -> int:
    """How many independent programs run at a time: an accelerator queues them itself.

    Random `ofa_proxyless` subnets on 2 cores: 5.3 ms a forward one at a time, 4.3 with two, 4.1 with three
    (docs/design.md).
    """
    return 3 if ops.on_cpu() else 1


def in_flight(
    run: Callable[[Item], Result],
    items: Iterable[Item],
    at_a_time: int | None = None,
    devices: Sequence[jax.Device] = (),
) -> Iterator[Result]:
    """run(item) of each, in order, `at_a_time` (`programs_in_flight`); what has not begun is dropped where one fails.

    Several `devices` share the items, each has one at a time or more: what an item makes lies on its device.
    `run` waits for its program, and its programs are compiled before: two threads would compile one twice. Long work
    calls `go_on`, so that it ends, too, where another fails or the user stops it.
    """
    given_up, failures = Event(), []
    at_a_time = max(at_a_time or programs_in_flight(), len(devices))
    free: SimpleQueue[jax.Device | None] = SimpleQueue()
    for device in islice(cycle(devices if len(devices) > 1 else (None,)), at_a_time):
        free.put(device)

    def work(item: Item) -> Result:
        _GIVEN_UP.set(given_up)
        go_on()
        device = free.get()
        try:
            with jax.default_device(device) if device else nullcontext():
                return run(item)
        except BaseException as error:
            failures.append(error)
            given_up.set()
            raise
        finally:
            free.put(device)

    with ThreadPoolExecutor(at_a_time) as pool:
        try:
            yield from pool.map(work, items)
        except Interrupted:  # the first to be asked for need not be the first that failed
            raise failures[0] from None
        finally:
            given_up.set()
            pool.shutdown(wait=True, cancel_futures=True)


def on_devices(run: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """`in_flight` of work that is not split itself (a small network's training): each on one of this host's devices."""
    return in_flight(run, items, devices=jax.local_devices())


def go_on() -> None:
    """Raise Interrupted where the `in_flight` that this thread works for has given up; else, and elsewhere, nothing."""
    given_up = _GIVEN_UP.get()
    if given_up is not None and given_up.is_set():
        raise Interrupted
