"""Liveness of the activation tensors: the RAM below which no in-order runtime without in-place operators gets.

Rules: the input buffer counts; steps run in list order; a tensor lives from the step that writes it (an input: from
step 0) to the last step that reads it; a step's inputs and outputs live together; the outputs live to the end. No step
works in place: neither does TFLM, whose planner gives RESHAPE and ADD an output of their own (measured on its wheel).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

from danas_jax.errors import UserError


def aligned(size, alignment: int):
    """`size` [B], an int or an array, rounded up."""
    return -(-size // alignment) * alignment


class Tensor(NamedTuple):
    """One tensor in RAM: its bytes, and the first and last step during which it lives (inclusive)."""

    name: str
    bytes: int
    first: int
    last: int


class Step(NamedTuple):
    """One operator as liveness sees it."""

    name: str  # for errors
    reads: Sequence[str]
    writes: Mapping[str, int]  # bytes of each tensor it writes


@dataclass(frozen=True)
class LiveSet:
    """Bytes of all tensors alive while one step runs, and their names."""

    step: int
    bytes: int
    tensors: tuple[str, ...]


def lifetimes(inputs: Mapping[str, int], steps: Sequence[Step], outputs: Sequence[str]) -> list[Tensor]:
    """The `inputs` (name -> bytes) and what each step writes in order, with lifetimes; `outputs` live to the end.

    Raises UserError for a tensor that is read, or put out, before a step writes it, or that is written twice.
    """
    sizes = dict(inputs)
    first, last = dict.fromkeys(inputs, 0), dict.fromkeys(inputs, 0)
    for i, step in enumerate(steps):
        for name in step.reads:
            if name not in sizes:
                raise UserError(f"{step.name}: its input {name!r} is written by no earlier layer")
            last[name] = i
        for name, size in step.writes.items():
            if name in sizes:
                raise UserError(f"{step.name}: its output {name!r} is given twice")
            sizes[name] = size
            first[name] = last[name] = i
    for name in outputs:
        if name not in sizes:
            raise UserError(f"the output {name!r} is written by no layer")
        last[name] = len(steps) - 1
    return [Tensor(name, size, first[name], last[name]) for name, size in sizes.items()]


def bytes_per_step(every: Sequence[Tensor], count: int) -> list[int]:
    """Bytes of the tensors alive during each of `count` steps [B]."""
    change = [0] * (count + 1)
    for tensor in every:
        change[tensor.first] += tensor.bytes
        change[tensor.last + 1] -= tensor.bytes
    return list(accumulate(change[:-1]))


def breakdown(every: Sequence[Tensor], count: int) -> list[LiveSet]:
    """What is alive during each of `count` steps."""
    return [
        LiveSet(i, total, tuple(t.name for t in every if t.first <= i <= t.last))
        for i, total in enumerate(bytes_per_step(every, count))
    ]
