"""One compilation per (input shape, bucket): 200 random systems through evaluation and through training's gradients."""

import jax.numpy as jnp
import numpy as np
import pytest
from supernet_toys import BOUNDS, CLASSES, SPACE, noise, supernet_params

from danas_jax.data.dataset import Split
from danas_jax.supernet import evaluate
from danas_jax.supernet.buckets import MAX_BUCKETS, bucket_of, make_buckets
from danas_jax.supernet.train import gradient_program

pytestmark = pytest.mark.usefixtures("strict_types")
GENES = SPACE.sample(np.random.default_rng(21), 200)


@pytest.fixture(scope="module")
def envelopes():
    buckets = make_buckets(SPACE, *(tuple(bound.tolist()) for bound in BOUNDS))
    assert 1 < len(buckets) <= MAX_BUCKETS
    found = [bucket_of(SPACE, buckets, row) for row in GENES]
    assert len(set(found)) == 2 * len(buckets)  # every bucket at both resolutions
    assert len({tuple(row) for row in GENES.tolist()}) > 150
    return found


def test_evaluation_compiles_once_per_shape_and_bucket(envelopes):
    evaluate._subnet_program.cache_clear()
    split = Split(noise(64, 24), np.zeros(64, np.int32), tuple(map(str, range(64))))
    run = evaluate.subnet_evaluator(SPACE, supernet_params(), BOUNDS, noise(64, 24, seed=1), split, 0.5, CLASSES, 0)
    run(GENES, "full")
    assert evaluate._subnet_program.cache_info().currsize == len(set(envelopes))
    assert all(evaluate._subnet_program(SPACE, e, CLASSES)._cache_size() == 1 for e in set(envelopes))


def test_gradients_compile_once_per_shape_and_bucket(envelopes):
    gradient_program.cache_clear()
    params, targets = supernet_params(), jnp.zeros((4, CLASSES))
    for genes, envelope in zip(GENES, envelopes, strict=True):
        views = noise(4, SPACE.view.resolutions_px[genes[0]]).astype(np.float32)
        gradient_program(SPACE, envelope, CLASSES)(params, views, targets, jnp.asarray(genes, jnp.int32))
    assert gradient_program.cache_info().currsize == len(set(envelopes))
    assert all(gradient_program(SPACE, e, CLASSES)._cache_size() == 1 for e in set(envelopes))
