"""Supernets of inputs that are not square: masks, branches and slices are one network, and mixtures have its masks."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from shape_toys import SERIES, SPECTROGRAM
from supernet_toys import CLASSES, supernet_params

from danas_jax.supernet import adaptive, elastic, mixture
from danas_jax.supernet.network import Network, weighted

pytestmark = pytest.mark.usefixtures("strict_types")
BATCH = 5
TARGETS = np.eye(CLASSES, dtype=np.float32)[np.arange(BATCH) % CLASSES]


@pytest.fixture(params=[SERIES, SPECTROGRAM], ids=["series", "spectrogram"])
def space(request):
    return request.param


def systems(space):
    """Three systems that see all channels, one of them with the smallest kernels and depths."""
    genes = np.stack([space.min_genes, *space.sample(np.random.default_rng(2), 2)])
    genes[:, space.index["colour"]], genes[:, space.index["resolution_px"]] = 1, 0
    genes[1, space.index["s0.b0.kernel"]], genes[2, space.index["s1.b0.kernel"]] = 0, 1
    return genes


def envelope_of(space):
    bound = space.max_genes
    bound[space.index["resolution_px"]] = 0
    return tuple(bound.tolist())


def step(logits_of):
    """jitted (params, ...) -> logits and gradients."""

    def loss(params, *rest):
        logits = logits_of(params, *rest)
        return optax.softmax_cross_entropy(logits, TARGETS).mean(), logits

    return jax.jit(jax.grad(loss, has_aux=True))


def alone(space, genes, params, x):
    """(layers, gradients, logits) of the stand-alone network of `genes`."""
    layers = space.layers(genes, CLASSES)
    own = elastic.slice_variables(layers, params)
    for name, part in own.items():
        shape = next(layer.weight_shape for layer in layers if layer.name == name)
        assert part["kernel"].shape == shape
    return layers, *step(lambda params, x: Network(layers).apply({"params": params}, x, train=True))(own, x)


def test_the_supernets_kernels(space):
    params = supernet_params(space)
    tall = {name: part["kernel"].shape[:2] for name, part in params.items() if part["kernel"].ndim > 2}
    one = space is SERIES
    assert tall["stem"] == ((3, 1) if one else (3, 3))
    assert tall["s1.b0.depthwise"] == ((5, 1) if one else (5, 5))
    height, width, _ = space.layers(space.max_genes, CLASSES)[0].in_shape
    assert height > width and (width == 1) == one


def test_in_the_supernet_as_alone(space, monkeypatch):
    """Under masks with their gradients, and with branches for expansions and kernels, as evaluation has them."""
    params, envelope = supernet_params(space), envelope_of(space)
    layers = elastic.envelope_layers(space, envelope, CLASSES)

    def logits_of(params, genes, x, sizes):
        return adaptive.forward(space, envelope, layers, params, None, genes, x, sizes)[0]

    def checked(layer, arrays, *rest):
        assert arrays["kernel"].shape == layer.weight_shape, layer.name
        return weighted(layer, arrays, *rest)

    monkeypatch.setattr(adaptive, "weighted", checked)
    masked, branched = step(partial(logits_of, sizes=False)), jax.jit(partial(logits_of, sizes=True))
    x = np.random.default_rng(0).normal(size=(BATCH, *layers[0].in_shape)).astype(np.float32)
    for genes in systems(space):
        traced = jnp.asarray(genes, jnp.int32)
        grads, logits = masked(params, traced, x)
        own_layers, own_grads, own_logits = alone(space, genes, params, x)
        assert np.ptp(own_logits, axis=0).max() > 0.1
        np.testing.assert_allclose(logits, own_logits, rtol=0, atol=2e-5)
        np.testing.assert_allclose(branched(params, traced, x), own_logits, rtol=0, atol=2e-5)
        sliced = elastic.slice_variables(own_layers, grads)
        for name, parts in own_grads.items():
            for part, expected in parts.items():
                bound = 1e-4 * np.abs(expected).max() + 1e-6
                np.testing.assert_allclose(sliced[name][part], expected, rtol=0, atol=bound, err_msg=f"{name}/{part}")
                # and nothing beyond the slice
                inside, total = (np.abs(np.asarray(g[name][part], np.float64)).sum() for g in (sliced, grads))
                assert inside == pytest.approx(total), f"{name}/{part}"
    assert masked._cache_size() == branched._cache_size() == 1


def test_masks_and_mixtures_of_one_system_are_equal(space):
    layers = elastic.envelope_layers(space, envelope_of(space), CLASSES)
    shares = np.eye(int(space.cardinalities.max()), dtype=np.float32)
    for genes in systems(space):
        masks = elastic.masks(space, jnp.asarray(genes), layers)
        mixed = mixture.mixed_masks(space, jnp.asarray(shares[genes]), layers)
        jax.tree.map(lambda a, b: np.testing.assert_array_equal(np.asarray(a), np.asarray(b)), mixed, dict(masks))
