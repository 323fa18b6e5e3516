"""Several programs at a time on a CPU: while one runs something that a core does alone, another has the other core."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from danas_jax.supernet import ops

Item = TypeVar("Item")
Result = TypeVar("Result")


def programs_in_flight() -> int:
    """How many independent programs run at a time: an accelerator queues them itself.

    Random `ofa_proxyless` subnets on 2 cores: 5.3 ms a forward one at a time, 4.3 with two, 4.1 with three
    (docs/design.md).
    """
    return 3 if ops.on_cpu() else 1


def in_flight(run: Callable[[Item], Result], items: Iterable[Item], at_a_time: int | None = None) -> Iterator[Result]:
    """run(item) of each, in order, `at_a_time` (`programs_in_flight`); what has not begun is dropped where one fails.

    `run` waits for its program, and its programs are compiled before: two threads would compile one twice.
    """
    with ThreadPoolExecutor(at_a_time or programs_in_flight()) as pool:
        try:
            yield from pool.map(run, items)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
