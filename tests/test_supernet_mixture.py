"""Mixtures of subnets: one-hot shares are the subnet itself, and the slopes are the loss's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from supernet_toys import BOUNDS, CLASSES, SPACE, easy_split, noise, random_genes, supernet_params

from danas_jax.supernet import elastic, mixture
from danas_jax.supernet.distil import label_loss
from danas_jax.supernet.network import Network, normalise_pixels
from danas_jax.supernet.plan import shape_envelope

pytestmark = pytest.mark.usefixtures("strict_types")
VALUES = int(SPACE.cardinalities.max())
LARGEST = tuple(SPACE.max_genes.tolist())


def one_hot(genes):
    return np.eye(VALUES, dtype=np.float32)[genes]


def random_shares(seed):
    shares = np.random.default_rng(seed).random((len(SPACE.axes), VALUES)) * (
        np.arange(VALUES) < SPACE.cardinalities[:, None]
    )
    return (shares / shares.sum(-1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("genes", random_genes(12), ids=str)
def test_one_hot_shares_are_the_subnet(genes):
    layers = elastic.envelope_layers(SPACE, LARGEST, CLASSES)
    mixed = mixture.mixed_masks(SPACE, jnp.asarray(one_hot(genes)), layers)
    hard = elastic.masks(SPACE, jnp.asarray(genes), layers)
    assert mixed.keys() == hard.keys()
    for name in hard:
        for kind in hard[name]:
            np.testing.assert_array_equal(np.asarray(mixed[name][kind]), np.asarray(hard[name][kind]), f"{name} {kind}")


def test_a_mixture_is_the_expected_mask():
    layers = elastic.envelope_layers(SPACE, LARGEST, CLASSES)
    shares = random_shares(1)
    drawn = np.stack(
        [np.random.default_rng(i).choice(VALUES, 4000, p=row / row.sum()) for i, row in enumerate(shares)], axis=1
    )
    mean = jax.tree.map(
        lambda leaf: np.asarray(leaf).mean(0),
        jax.vmap(lambda genes: elastic.masks(SPACE, genes, layers))(jnp.asarray(drawn)),
    )
    mixed = mixture.mixed_masks(SPACE, jnp.asarray(shares), layers)
    for name in mean:
        for kind in mean[name]:
            np.testing.assert_allclose(np.asarray(mixed[name][kind]), mean[name][kind], atol=0.04)


@pytest.mark.parametrize("resolution", [0, 1])
def test_the_loss_of_one_hot_shares_is_the_subnets(resolution):
    genes = random_genes(4)[3]
    envelope = shape_envelope(SPACE, SPACE.max_genes, (resolution,))
    layers = elastic.envelope_layers(SPACE, envelope, CLASSES)
    images, labels = noise(6, SPACE.view.resolutions_px[resolution]), np.arange(6, dtype=np.int32) % CLASSES
    params = supernet_params()
    loss, _ = mixture.slope_program(SPACE, envelope, CLASSES)(one_hot(genes), params, images, labels)
    x = normalise_pixels(elastic.seen(SPACE, jnp.asarray(images), jnp.asarray(genes)))
    part = elastic.slice_variables(layers, params)
    masks = elastic.masks(SPACE, jnp.asarray(genes), layers)
    logits = Network(layers).apply({"params": part}, x, masks, train=True)
    assert float(loss) == pytest.approx(float(label_loss(logits, jax.nn.one_hot(labels, CLASSES))), abs=1e-5)


def test_slopes_are_those_of_finite_differences():
    split = easy_split(40, num_classes=CLASSES)
    slopes = mixture.mixture_slopes(SPACE, supernet_params(), BOUNDS, split, CLASSES, 32)
    shares = random_shares(2).astype(np.float64)
    loss, slope = slopes(shares, 1, [5])
    assert slopes(shares, 1, [5])[0] == loss != slopes(shares, 1, [6])[0]
    for name in ("colour", "stem.width", "s1.width", "s1.depth", "s1.b0.expansion", "s1.b1.kernel", "head.width"):
        i = SPACE.index[name]
        step = np.zeros_like(shares)
        step[i, 0] = 2e-3
        difference = (slopes(shares + step, 1, [5])[0] - slopes(shares - step, 1, [5])[0]) / 4e-3
        assert slope[i, 0] == pytest.approx(difference, abs=0.02 + 0.05 * abs(difference)), name
    assert np.abs(slope[SPACE.index["s1.depth"]]).max() > 1e-4
    assert not slope[SPACE.index["resolution_px"]].any()
