"""Data parallelism: the batch is split over the devices, everything else is on each of them.

The programs are written for the whole batch, so batch statistics and means of losses and gradients are those of the
whole batch on any number of devices; the compiler inserts the exchange between them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec


@dataclass(frozen=True)
class Devices:
    """Where arrays live. On one device nothing is done, so programs are the plain ones."""

    mesh: Mesh | None

    def replicate(self, tree: Any) -> Any:
        """`tree` on every device."""
        return tree if self.mesh is None else jax.device_put(tree, NamedSharding(self.mesh, PartitionSpec()))

    def split(self, tree: Any) -> Any:
        """`tree` with the leading axis of its arrays, the batch, split over the devices; traced."""
        if self.mesh is None:
            return tree
        return jax.lax.with_sharding_constraint(tree, NamedSharding(self.mesh, PartitionSpec("batch")))

    def whole(self, tree: Any) -> Any:
        """`tree` with every array whole on every device; traced."""
        if self.mesh is None:
            return tree
        return jax.lax.with_sharding_constraint(tree, NamedSharding(self.mesh, PartitionSpec()))


def batch_devices(batch_size: int, available: list | None = None) -> Devices:
    """As many of the available devices (default: all) as divide the batch evenly."""
    available = jax.devices() if available is None else available
    count = max(n for n in range(1, len(available) + 1) if batch_size % n == 0)
    return Devices(Mesh(np.array(available[:count]), ("batch",)) if count > 1 else None)
