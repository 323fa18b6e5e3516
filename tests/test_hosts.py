"""What hosts tell each other, through a store of this process; the real one is in test_hosts_run.py."""

import threading
import time

import jax
import numpy as np
import pytest

from danas_jax import hosts
from danas_jax.hosts import Hosts


class Store(dict):
    """The coordination service's client, as far as it is used."""

    def key_value_set(self, key, value):
        assert key not in self
        self[key] = value

    def blocking_key_value_get(self, key, timeout_ms):
        until = time.monotonic() + timeout_ms / 1000
        while key not in self:
            if time.monotonic() > until:
                raise jax.errors.JaxRuntimeError("DEADLINE_EXCEEDED: GetKeyValue() timed out")
            time.sleep(0.001)
        return self[key]

    def key_value_delete(self, key):
        del self[key]


def measured(genes, tier):
    return genes.sum(axis=1) / 3 + {"half": 0.0, "full": 0.125}[tier]


@pytest.mark.parametrize("systems", [1, 2, 7, 9])
def test_evaluations_are_spread_and_come_back_in_order(systems, monkeypatch):
    monkeypatch.setattr(hosts, "_POLL_MS", 5)
    store, did = Store(), {0: [], 1: [], 2: []}

    def counted(host):
        return lambda genes, tier: did[host].append(len(genes)) or measured(genes, tier)

    others = [threading.Thread(target=Hosts(3, i, store).serve, args=(counted(i),)) for i in (1, 2)]
    for other in others:
        other.start()
    leader = Hosts(3, 0, store)
    evaluate = leader.spread(counted(0))
    rng = np.random.default_rng(0)
    for tier in ("half", "full", "half"):
        genes = rng.integers(0, 5, (systems, 4))
        np.testing.assert_array_equal(evaluate(genes, tier), measured(genes, tier))
        time.sleep(0.02)  # longer than a poll
    leader.tell(None)
    for other in others:
        other.join(10)
        assert not other.is_alive()
    assert sum(map(sum, did.values())) == 3 * systems
    assert max(map(sum, did.values())) == 3 * -(-systems // 3)


def test_nan_is_an_answer_too(monkeypatch):
    store = Store()
    other = threading.Thread(target=Hosts(2, 1, store).serve, args=(lambda genes, tier: np.full(len(genes), np.nan),))
    other.start()
    leader = Hosts(2, 0, store)
    found = leader.spread(measured)(np.ones((2, 3), int), "half")
    leader.tell(None)
    other.join(10)
    assert found[0] == 1 and np.isnan(found[1])


def test_one_host_is_alone(monkeypatch):
    monkeypatch.delenv("JAX_NUM_PROCESSES", raising=False)
    here = hosts.join()
    assert here.leads and here.count == 1
    assert here.spread(measured) is measured
    here.tell({"phase": "train"})  # nobody hears it


def test_another_failure_of_the_store_is_raised():
    class Broken(Store):
        def blocking_key_value_get(self, key, timeout_ms):
            raise jax.errors.JaxRuntimeError("UNAVAILABLE: Socket closed")

    with pytest.raises(jax.errors.JaxRuntimeError, match="Socket closed"):
        Hosts(2, 1, Broken()).hear()


def test_half_a_cluster_is_said(monkeypatch, capsys):
    monkeypatch.setenv("JAX_PROCESS_ID", "1")
    assert hosts.join().count == 1
    assert "warning: JAX_PROCESS_ID without JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES" in capsys.readouterr().out
