"""What each step of the supernet's training does: images, data configuration, subnets and progressive stage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np

from danas_jax.config import TrainSettings, elastic_kinds, kind_of
from danas_jax.data.balance import Pool, shown_order
from danas_jax.space import Bounds, SearchSpace
from danas_jax.supernet.buckets import bucket_of, make_buckets
from danas_jax.supernet.elastic import Envelope


class Pass(NamedTuple):
    """One subnet's forward and backward pass of a step, inside an envelope that decides the program."""

    genes: np.ndarray
    envelope: Envelope


def in_shape(space: SearchSpace, genes: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """`genes` [G] with these shape genes."""
    moved = genes.copy()
    moved[list(space.shape_axes)] = shape
    return moved


def shape_envelope(space: SearchSpace, genes: np.ndarray, shape: tuple[int, ...]) -> Envelope:
    """`genes` as an envelope with these shape genes."""
    return tuple(int(g) for g in in_shape(space, genes, shape))


@dataclass(frozen=True)
class Plan:
    """What each step does: a pure function of (seed, step), so that a resumed run repeats nothing and skips nothing."""

    space: SearchSpace
    settings: TrainSettings
    bounds: Bounds
    images: int  # of an epoch
    seed: int
    labels: np.ndarray | None = None  # of all images, int32; rows of a balanced sampling depend on them
    pool: Pool | None = None  # images without a label

    @property
    def steps_per_epoch(self) -> int:
        """Steps of one pass over the images, the last incomplete batch left out."""
        return max(1, self.images // self.settings.batch_size)

    @property
    def steps(self) -> int:
        """Steps of the whole training."""
        return self.steps_per_epoch * self.settings.epochs

    def rows(self, step: int) -> np.ndarray:
        """The step's images, int64 [B]."""
        epoch, within = divmod(step, self.steps_per_epoch)
        order = self._orders(epoch)
        size = self.settings.batch_size
        return np.resize(order[within * size : (within + 1) * size], size)

    @cached_property
    def _orders(self) -> Callable[[int], np.ndarray]:
        """The order of an epoch's images. Kept: of a million images it takes 20 ms, longer than a step may."""
        return lru_cache(maxsize=2)(self._order)

    def _order(self, epoch: int) -> np.ndarray:
        balanced = self.settings.sampling == "balanced"
        return shown_order(self.images, self.labels, self.pool, balanced, self.seed, 1, epoch)

    def elastic(self, step: int) -> tuple[str, ...]:
        """The kinds of axes that are elastic at a step: those of its progressive stage, all after the last one."""
        for stage in self.settings.stages:
            if step < round(stage.until_fraction * self.steps):
                return stage.elastic
        return elastic_kinds(self.space)

    def step_bounds(self, step: int) -> Bounds:
        """The bounds with the lower one lifted to the upper one wherever an axis is not elastic yet."""
        lower, upper = self.bounds
        elastic = self.elastic(step)
        free = [kind_of(axis) in elastic for axis in self.space.axes]
        return np.where(free, lower, upper), upper

    def shape(self, step: int) -> tuple[int, ...]:
        """Shape genes of the step: every combination equally often within each round of that many steps."""
        shapes = self.space.shape_genes(*self.step_bounds(step))
        count = len(shapes)
        return shapes[np.random.default_rng([self.seed, 2, step // count]).permutation(count)[step % count]]

    def sandwich(self, step: int) -> list[np.ndarray]:
        """Genes of the largest, the smallest and the random subnets, all in the step's shape."""
        lower, upper = self.step_bounds(step)
        rng = np.random.default_rng([self.seed, 3, step])
        random_genes = rng.integers(lower, upper + 1, (self.settings.random_subnets, len(lower)))
        shape = self.shape(step)
        return [self.space.canonical(in_shape(self.space, genes, shape)) for genes in (upper, lower, *random_genes)]

    def passes(self, step: int) -> list[Pass]:
        """The subnets of a step, the teacher of the others first.

        That is the sandwich, and before it, with `full_resolution` and another shape drawn, the largest subnet in the
        largest one. The smallest subnet has an envelope of its own; the random ones run in their buckets.
        """
        lower, upper = self.step_bounds(step)
        shape, highest = self.shape(step), self.largest_shape(upper)
        largest, smallest, *others = self.sandwich(step)
        buckets = make_buckets(self.space, tuple(lower.tolist()), tuple(upper.tolist()))
        passes = [
            Pass(largest, shape_envelope(self.space, upper, shape)),
            Pass(smallest, shape_envelope(self.space, lower, shape)),
            *(Pass(genes, bucket_of(self.space, buckets, genes)) for genes in others),
        ]
        if self.settings.full_resolution and shape != highest:
            passes.insert(0, Pass(self.space.canonical(upper), shape_envelope(self.space, upper, highest)))
        return passes

    def largest_shape(self, upper: np.ndarray) -> tuple[int, ...]:
        """Shape genes of the upper bound [G]."""
        return tuple(int(upper[axis]) for axis in self.space.shape_axes)

    def image_views(self) -> int:
        """Image views the training spends: one image forward and backward through one subnet = one view."""
        passes = self.steps * (2 + self.settings.random_subnets)
        if self.settings.full_resolution:
            highest = self.largest_shape(self.bounds[1])
            passes += sum(self.shape(step) != highest for step in range(self.steps))
        return passes * self.settings.batch_size
