"""One code path for one to many devices: an axis of the arrays is split over them, everything else is on each.

Training splits the batch, over all hosts' devices: the programs are written for the whole batch, so batch statistics
and means of losses and gradients are those of the whole batch on any number of devices; the compiler inserts the
exchange between them. Evaluation splits the population, over this host's devices: each runs the program that one device
would run. On one device nothing is done, and the programs are the plain ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from danas_jax.errors import UserError


@dataclass(frozen=True)
class Devices:
    """Where arrays live: on the devices of `mesh`, of one axis, or None = plainly on one device."""

    mesh: Mesh | None

    @property
    def count(self) -> int:
        """How many there are, of all hosts."""
        return 1 if self.mesh is None else self.mesh.size

    @property
    def _whole(self) -> NamedSharding:
        assert self.mesh is not None
        return NamedSharding(self.mesh, PartitionSpec())

    @property
    def _split(self) -> NamedSharding:
        assert self.mesh is not None
        return NamedSharding(self.mesh, PartitionSpec(self.mesh.axis_names[0]))

    def replicate(self, tree: Any) -> Any:
        """`tree`, which every host has, on every device."""
        if self.mesh is None:
            return jax.device_put(tree)
        if not self._several_hosts:
            return jax.device_put(tree, self._whole)

        def placed(leaf: Any) -> jax.Array:  # device_put would compare what the hosts have, each time
            leaf = np.asarray(leaf)
            return jax.make_array_from_callback(leaf.shape, self._whole, lambda index: leaf[index])

        return jax.tree.map(placed, tree)

    def split(self, tree: Any) -> Any:
        """`tree` with the leading axis of its arrays split over the devices; traced."""
        return tree if self.mesh is None else jax.lax.with_sharding_constraint(tree, self._split)

    def whole(self, tree: Any) -> Any:
        """`tree` with every array whole on every device; traced."""
        return tree if self.mesh is None else jax.lax.with_sharding_constraint(tree, self._whole)

    def rows_here(self, rows: np.ndarray) -> np.ndarray:
        """Those of a batch's `rows` [B] that this host's devices have: the only ones that it must read."""
        if not self._several_hosts:
            return rows
        each = len(rows) // jax.process_count()
        return rows[jax.process_index() * each :][:each]

    def batch_of(self, part: np.ndarray) -> jax.Array:
        """The batch [B, ...] of which this host has `part`, the examples of `rows_here`; split over the devices."""
        return jax.device_put(part) if self.mesh is None else jax.make_array_from_process_local_data(self._split, part)

    def from_first(self, tree: Any) -> Any:
        """The first host's `tree` of arrays on every host; each gives one of the same structure and waits."""
        return multihost_utils.broadcast_one_to_all(tree) if self._several_hosts else tree

    def each(self, run: Callable, split_arguments: tuple[bool, ...]) -> Callable:
        """`run`, on each device, over its part of the arguments that are split; its results are split. To be jitted."""
        if self.mesh is None:
            return run
        split, whole = PartitionSpec(self.mesh.axis_names[0]), PartitionSpec()
        # Without the check of what varies: a scan's carry begins with zeros, which do not.
        return jax.shard_map(
            run,
            mesh=self.mesh,
            in_specs=tuple(split if each else whole for each in split_arguments),
            out_specs=split,
            check_vma=False,
        )

    @property
    def _several_hosts(self) -> bool:
        return self.mesh is not None and self.mesh.is_multi_process


ONE = Devices(None)


def batch_devices(batch_size: int, available: list | None = None, hosts: int | None = None) -> Devices:
    """As many of the available devices (default: all hosts') as divide the batch evenly, equally many of every host.

    UserError where not even the hosts divide it.
    """
    available = jax.devices() if available is None else available
    hosts = jax.process_count() if hosts is None else hosts
    if batch_size % hosts:
        raise UserError(f"train.batch_size = {batch_size}: there are {hosts} hosts, give a multiple of {hosts}")
    here = len(available) // hosts
    count = max(n for n in range(1, here + 1) if batch_size % (n * hosts) == 0)
    # Devices are listed host by host.
    chosen = [available[host * here + i] for host in range(hosts) for i in range(count)]
    return Devices(Mesh(np.array(chosen), ("batch",)) if len(chosen) > 1 else None)


def population_devices() -> Devices:
    """All devices of this host, for a population of any size: the last part of it is filled up."""
    found = jax.local_devices()
    return Devices(Mesh(np.array(found), ("population",)) if len(found) > 1 else None)
