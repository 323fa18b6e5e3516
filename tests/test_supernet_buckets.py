"""Buckets: each subnet runs in the cheapest envelope that holds it, and a bucket is made only where it pays."""

import numpy as np
import pytest
from supernet_toys import BOUNDS, SPACE

from danas_jax.layers import total_macs
from danas_jax.spaces import mobilenetv2_tiny, ofa_proxyless, quickstart
from danas_jax.supernet.buckets import MAX_BUCKETS, bucket_of, make_buckets

SPACES = {"toy": SPACE, "quickstart": quickstart(), "tiny": mobilenetv2_tiny(), "ofa": ofa_proxyless((64,))}


def bounds_of(space):
    return tuple(space.min_genes.tolist()), tuple(space.max_genes.tolist())


def macs(space, envelope):
    return total_macs(space.layers(np.array(envelope), 2))


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES.keys())
def test_a_subnet_runs_in_the_cheapest_bucket_that_holds_it(space):
    buckets = make_buckets(space, *bounds_of(space))
    assert 1 <= len(buckets) <= MAX_BUCKETS
    assert buckets[-1] == bounds_of(space)[1]
    costs = [macs(space, bucket) for bucket in buckets]
    assert costs == sorted(costs)
    for genes in space.sample(np.random.default_rng(3), 50):
        found = bucket_of(SPACE, buckets, genes)
        assert found[0] == genes[0]  # its own resolution
        assert (genes <= np.array(found)).all()
        cheaper = buckets[: [b[1:] for b in buckets].index(found[1:])]
        assert not any((genes[1:] <= np.array(b)[1:]).all() for b in cheaper)


@pytest.mark.parametrize("name", ["toy", "quickstart"])
def test_buckets_save_a_tenth_of_the_expected_macs(name):
    space = SPACES[name]
    buckets = make_buckets(space, *bounds_of(space))
    assert len(buckets) > 1
    samples = space.sample(np.random.default_rng(4), 2000)
    spent = np.mean([macs(space, (buckets[-1][0], *bucket_of(SPACE, buckets, genes)[1:])) for genes in samples])
    assert spent < 0.92 * macs(space, buckets[-1])  # other draws than those the buckets were chosen on


def test_a_pruned_space_has_buckets_inside_its_bounds():
    lower, upper = (bound.copy() for bound in BOUNDS)
    width = SPACE.index["s1.width"]
    lower[width] = upper[width] = 1
    for bucket in make_buckets(SPACE, tuple(lower.tolist()), tuple(upper.tolist())):
        assert bucket[width] == 1
        assert (np.array(bucket) <= upper).all()


def test_genes_outside_the_bounds_are_not_cut_silently():
    small = tuple(SPACE.min_genes.tolist())
    with pytest.raises(ValueError, match="outside the bounds"):
        bucket_of(SPACE, (small,), SPACE.max_genes)
