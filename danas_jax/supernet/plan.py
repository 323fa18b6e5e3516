"""What each step of the supernet's training does: images, data configuration, subnets and progressive stage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from danas_jax.config import ELASTIC, TrainSettings
from danas_jax.space import Bounds, SearchSpace
from danas_jax.supernet.buckets import bucket_of, make_buckets
from danas_jax.supernet.elastic import Envelope


class Pass(NamedTuple):
    """One subnet's forward and backward pass of a step, inside an envelope that decides the program."""

    genes: np.ndarray
    envelope: Envelope


def resolution_envelope(space: SearchSpace, genes: np.ndarray, resolution: int) -> Envelope:
    """`genes` as an envelope at the resolution of that gene value."""
    bound = genes.copy()
    bound[space.index["resolution_px"]] = resolution
    return tuple(int(g) for g in bound)


@dataclass(frozen=True)
class Plan:
    """What each step does: a pure function of (seed, step), so that a resumed run repeats nothing and skips nothing."""

    space: SearchSpace
    settings: TrainSettings
    bounds: Bounds
    images: int
    seed: int

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
        order = np.random.default_rng([self.seed, 1, epoch]).permutation(self.images)
        size = self.settings.batch_size
        return np.resize(order[within * size : (within + 1) * size], size)

    def elastic(self, step: int) -> tuple[str, ...]:
        """The kinds of axes that are elastic at a step: those of its progressive stage, all after the last one."""
        for stage in self.settings.stages:
            if step < round(stage.until_fraction * self.steps):
                return stage.elastic
        return ELASTIC

    def step_bounds(self, step: int) -> Bounds:
        """The bounds with the lower one lifted to the upper one wherever an axis is not elastic yet."""
        lower, upper = self.bounds
        elastic = self.elastic(step)
        free = [(axis.name.rsplit(".")[-1].removesuffix("_px") in elastic) for axis in self.space.axes]
        return np.where(free, lower, upper), upper

    def resolution(self, step: int) -> int:
        """Gene value of the step's resolution: every one equally often within each round of that many steps."""
        axis = self.space.index["resolution_px"]
        low, high = (int(bound[axis]) for bound in self.step_bounds(step))
        count = high - low + 1
        return low + int(np.random.default_rng([self.seed, 2, step // count]).permutation(count)[step % count])

    def sandwich(self, step: int) -> list[np.ndarray]:
        """Genes of the largest, the smallest and the random subnets, all at the step's resolution."""
        lower, upper = self.step_bounds(step)
        rng = np.random.default_rng([self.seed, 3, step])
        random_genes = rng.integers(lower, upper + 1, (self.settings.random_subnets, len(lower)))
        resolution = self.resolution(step)
        rows = []
        for genes in (upper, lower, *random_genes):
            genes = genes.copy()
            genes[self.space.index["resolution_px"]] = resolution
            rows.append(self.space.canonical(genes))
        return rows

    def passes(self, step: int) -> list[Pass]:
        """The subnets of a step, the teacher of the others first.

        That is the sandwich, and before it, with `full_resolution` and a lower resolution drawn, the largest subnet at
        the highest one. The smallest subnet has an envelope of its own; the random ones run in their buckets.
        """
        lower, upper = self.step_bounds(step)
        resolution, highest = self.resolution(step), int(upper[self.space.index["resolution_px"]])
        largest, smallest, *others = self.sandwich(step)
        buckets = make_buckets(self.space, tuple(lower.tolist()), tuple(upper.tolist()))
        passes = [
            Pass(largest, resolution_envelope(self.space, upper, resolution)),
            Pass(smallest, resolution_envelope(self.space, lower, resolution)),
            *(Pass(genes, bucket_of(buckets, genes)) for genes in others),
        ]
        if self.settings.full_resolution and resolution < highest:
            passes.insert(0, Pass(self.space.canonical(upper), resolution_envelope(self.space, upper, highest)))
        return passes

    def image_views(self) -> int:
        """Image views the training spends: one image forward and backward through one subnet = one view."""
        passes = self.steps * (2 + self.settings.random_subnets)
        if self.settings.full_resolution:
            highest = int(self.bounds[1][self.space.index["resolution_px"]])
            passes += sum(self.resolution(step) < highest for step in range(self.steps))
        return passes * self.settings.batch_size
