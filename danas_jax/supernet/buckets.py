"""Buckets: a few envelopes per input shape, so that a random subnet does not always pay for the largest.

Genes are drawn first and bucketed after, so sampling stays unbiased: a subnet runs in the cheapest bucket that holds
it. Every bucket is one more program to compile in every shape, so a bucket must earn its place.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from danas_jax.layers import total_macs
from danas_jax.space import SearchSpace
from danas_jax.supernet.elastic import Envelope

MAX_BUCKETS = 3  # programs per shape
_SAMPLES = 2048  # random systems over which the expected cost of a bucket is taken
_LEAST_GAIN = 0.1  # of the expected MACs: a compilation takes as long as several hundred steps


@lru_cache(maxsize=32)
def make_buckets(
    space: SearchSpace, lower: Envelope, upper: Envelope, count: int = MAX_BUCKETS
) -> tuple[Envelope, ...]:
    """At most `count` gene bounds, cheapest first, the last one `upper`; the shape genes are those of `upper`.

    Greedy: starting from `upper`, the step of one gene that lowers the expected MACs of uniformly drawn systems most
    is taken until none does; then the next bucket, given those found. A subnet is taken to cost what its bucket's
    envelope costs (on a CPU it costs less: adaptive.py).
    """
    rng = np.random.default_rng(0)
    low, high = np.array(lower), np.array(upper)
    samples = space.canonical(rng.integers(low, high + 1, (_SAMPLES, len(low))))
    shape = list(space.shape_axes)
    samples[:, shape] = high[shape]
    chosen = [high]
    cost = np.full(_SAMPLES, float(_macs(space, upper)))  # of each sample, in the buckets so far
    while len(chosen) < count:
        bound, best = high, cost.mean()
        while (step := _best_step(space, samples, cost, bound, low)) is not None and step[0] < best:
            best, bound = step
        if best > (1 - _LEAST_GAIN) * cost.mean():
            break
        chosen.append(bound)
        cost = _in_bucket(space, samples, cost, bound)
    chosen.sort(key=lambda bound: _macs(space, tuple(bound.tolist())))
    return tuple(tuple(int(g) for g in bound) for bound in chosen)


def bucket_of(space: SearchSpace, buckets: tuple[Envelope, ...], genes: np.ndarray) -> Envelope:
    """The first (cheapest) of `buckets` that holds `genes` [G], in their shape.

    Shape genes are not compared: each shape has its own programs. Genes that no bucket holds are a bug of the caller
    (ValueError): they would be cut silently.
    """
    first = len(space.shape_axes)
    inside = (np.asarray(genes)[first:] <= np.array(buckets)[:, first:]).all(axis=1)
    if not inside.any():
        raise ValueError(f"genes {np.asarray(genes).tolist()} lie outside the bounds {buckets[-1]}")
    return (*(int(gene) for gene in genes[:first]), *buckets[int(np.argmax(inside))][first:])


def _best_step(
    space: SearchSpace, samples: np.ndarray, cost: np.ndarray, bound: np.ndarray, low: np.ndarray
) -> tuple[float, np.ndarray] | None:
    """(expected MACs, bound) of the best bound one gene below `bound`."""
    found = []
    for axis in range(len(bound)):
        if axis not in space.data_axes and bound[axis] > low[axis]:
            narrower = bound.copy()
            narrower[axis] -= 1
            found.append((float(_in_bucket(space, samples, cost, narrower).mean()), narrower))
    return min(found, key=lambda pair: pair[0], default=None)


def _in_bucket(space: SearchSpace, samples: np.ndarray, cost: np.ndarray, bound: np.ndarray) -> np.ndarray:
    """Cost of each sample when the bucket `bound` is there too."""
    inside = (samples <= bound).all(axis=1)
    return np.where(inside, np.minimum(cost, _macs(space, tuple(bound.tolist()))), cost)


@lru_cache(maxsize=4096)
def _macs(space: SearchSpace, envelope: Envelope) -> int:
    return total_macs(space.layers(np.array(envelope), 1))
