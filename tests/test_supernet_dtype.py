"""bfloat16 activations: params, statistics, logits, loss and gradients stay float32 and close to those of float32."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from supernet_toys import CLASSES, SPACE, noise, supernet_params

from danas_jax.supernet import ops
from danas_jax.supernet.distil import label_loss
from danas_jax.supernet.train import gradient_program

pytestmark = pytest.mark.usefixtures("strict_types")


def test_gradients_in_bfloat16_point_the_same_way():
    params, genes = supernet_params(), jnp.asarray(SPACE.max_genes, jnp.int32)
    inputs = params, noise(16, 24), jax.nn.one_hot(jnp.arange(16) % CLASSES, CLASSES), genes
    envelope = tuple(SPACE.max_genes.tolist())
    found = [gradient_program(SPACE, envelope, CLASSES, label_loss, kind)(*inputs) for kind in ("float32", "bfloat16")]
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(found))
    assert float(found[1][0]) == pytest.approx(float(found[0][0]), rel=0.02)
    assert float(found[1][0]) != float(found[0][0])
    one, two = (np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(out[2])]) for out in found)
    assert one @ two / np.linalg.norm(one) / np.linalg.norm(two) > 0.99


def test_statistics_are_summed_in_float32():
    """A mean of 1 + 2^-9 over many positions: sums in bfloat16, of 8 bits, would lose it."""
    x = jnp.where(jnp.arange(4096) % 2 == 0, 1.0, 1.0 + 2**-7).astype(jnp.bfloat16).reshape(16, 16, 16, 1)
    y, mean, var = ops.batch_norm_train(x, jnp.ones(1), jnp.zeros(1))
    assert (y.dtype, mean.dtype, var.dtype) == (jnp.bfloat16, jnp.float32, jnp.float32)
    assert float(mean[0]) == pytest.approx(1 + 2**-8, rel=1e-5)
    assert float(var[0]) == pytest.approx(2**-16, rel=1e-3)
