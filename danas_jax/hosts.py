"""Several hosts at one run. The first one leads: it alone has the run directory, says what is next, and writes.

The others train and evaluate with it (follower.py). What they tell each other beside arrays goes through the key-value
store of jax's coordination service, where waiting costs nothing. When one host's process ends early, that service
ends the others.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from danas_jax.cluster import Cluster, cluster_of
from danas_jax.console import say

Evaluate = Callable[[np.ndarray, str], np.ndarray]
HEARTBEAT_S = 30  # without a sign of life for this long a host is taken for dead
_POLL_MS = 500  # of those who wait: a signal is heard in between


class Hosts:
    """The hosts of this run, seen from number `index` of `count`; `store` is the coordination service's client."""

    def __init__(self, count: int = 1, index: int = 0, store: Any = None):
        self.count, self.index, self._store = count, index, store
        self._orders = 0

    @property
    def leads(self) -> bool:
        """Whether this is the host that writes."""
        return self.index == 0

    def tell(self, order: dict | None) -> None:
        """Leader: the next thing that all others `hear`; None ends what they listen to."""
        if self.count > 1:
            self._store.key_value_set(self._key(), json.dumps(order))
            self._orders += 1

    def hear(self) -> dict | None:
        """Others: the next thing that the leader tells."""
        order = json.loads(self._get(self._key()))
        self._orders += 1
        return order

    def spread(self, evaluate: Evaluate) -> Evaluate:
        """Leader: `evaluate` of which every host that `serve`s does its share: each count-th row of the genes."""
        if self.count == 1:
            return evaluate

        def together(genes: np.ndarray, tier: str) -> np.ndarray:
            self.tell({"genes": genes.tolist(), "tier": tier})
            found = np.empty(len(genes))
            found[:: self.count] = evaluate(genes[:: self.count], tier)
            for host in range(1, self.count):
                key = self._key(host)
                found[host :: self.count] = json.loads(self._get(key))
                self._store.key_value_delete(key)
            return found

        return together

    def serve(self, evaluate: Evaluate) -> None:
        """Others: do this host's share of what the leader evaluates, until it tells None."""
        while (order := self.hear()) is not None:
            genes = np.array(order["genes"])[self.index :: self.count]
            found = evaluate(genes, order["tier"]).tolist() if len(genes) else []
            self._store.key_value_set(self._key(self.index), json.dumps(found))

    def _key(self, host: int | None = None) -> str:
        return f"danas/{self._orders}" if host is None else f"danas/{self._orders}/{host}"

    def _get(self, key: str) -> str:
        from jax.errors import JaxRuntimeError

        while True:
            try:
                return self._store.blocking_key_value_get(key, _POLL_MS)
            except JaxRuntimeError as error:
                if "DEADLINE_EXCEEDED" not in str(error):
                    raise


ALONE = Hosts()


def join() -> Hosts:
    """The hosts that the environment names, after all of them have come; UserError on values that cannot be.

    Only the leader's progress is shown from here on.
    """
    cluster = cluster_of(os.environ, lambda text: say(f"warning: {text}"))
    if cluster is None:
        return ALONE
    hosts = Hosts(cluster.count, cluster.index, _joined(cluster))
    if hosts.leads:
        say(f"hosts: {cluster.count}, by {cluster.kind}'s variables; the first is {cluster.coordinator}")
    else:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - until the process ends
    return hosts


def _joined(cluster: Cluster) -> Any:
    import jax
    from jax._src import distributed  # the store has no public name; orbax takes it from here, too

    jax.config.update("jax_enable_preemption_service", False)  # it would take SIGTERM from us
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(cluster.coordinator, cluster.count, cluster.index, heartbeat_timeout_seconds=HEARTBEAT_S)
    return distributed.global_state.client


def leave(code: int) -> None:
    """End a failed process at once where it is one of several: a tidy end would wait for the others' end."""
    distributed = sys.modules.get("jax._src.distributed")
    if distributed is not None and distributed.global_state.client is not None:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
