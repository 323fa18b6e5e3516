"""Masks, envelopes and slices are one network: equal logits, statistics and gradients, and one compilation for all."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from supernet_toys import CLASSES, SPACE, noise, random_genes, random_statistics, supernet_params

from danas_jax.layers import CONV
from danas_jax.supernet import elastic, ops
from danas_jax.supernet.network import Network, normalise_pixels
from danas_jax.supernet.train import gradient_program, shape_envelope
from danas_jax.views.resize import deployed_view

pytestmark = pytest.mark.usefixtures("strict_types")
GENES = random_genes(12)
BATCH = 6
PX, COLOUR = SPACE.index["resolution_px"], SPACE.index["colour"]


def resolution(genes):
    return SPACE.view.resolutions_px[genes[PX]]


def views(genes, seed=0):
    """Colour pictures at the genes' resolution."""
    return noise(BATCH, resolution(genes), seed)


def widest(genes):
    return shape_envelope(SPACE, SPACE.max_genes, (int(genes[PX]),))


def bucket(genes):
    """A tighter envelope that holds the genes: narrow where the subnet is, so that slices and masks both have work."""
    bound = SPACE.max_genes
    for axis in ("resolution_px", "stem.width", "s1.depth"):
        bound[SPACE.index[axis]] = genes[SPACE.index[axis]]
    return tuple(bound.tolist())


@cache
def masked_program(envelope):
    """(params, stats, genes, images) -> eval logits, train logits and the batch's statistics, under masks."""
    layers = elastic.envelope_layers(SPACE, envelope, CLASSES)
    network = Network(layers)

    @jax.jit
    def program(params, stats, genes, images):
        masks = elastic.masks(SPACE, genes, layers)
        part = {
            "params": elastic.slice_variables(layers, params),
            "batch_stats": elastic.slice_variables(layers, stats),
        }
        x = normalise_pixels(elastic.seen(SPACE, images, genes))
        train, found = network.apply(part, x, masks, train=True, mutable=["batch_stats"])
        return network.apply(part, x, masks), train, found["batch_stats"]

    return program


def extracted(params, stats, genes, images):
    """The same three of the stand-alone network, which reads the deployed view (one channel in mono)."""
    layers = SPACE.layers(genes, CLASSES)
    network = Network(layers)
    own = elastic.subnet_params(layers, SPACE.input(genes), params)
    part = {"params": own, "batch_stats": elastic.slice_variables(layers, stats)}
    colour = SPACE.view.colours[genes[COLOUR]]
    x = normalise_pixels(jnp.asarray(deployed_view(images, images.shape[1], colour)))
    assert layers[0].in_shape[2] == part["params"]["stem"]["kernel"].shape[2] == x.shape[-1]

    @jax.jit
    def program(part, x):
        train, found = network.apply(part, x, train=True, mutable=["batch_stats"])
        return network.apply(part, x), train, found["batch_stats"]

    return program(part, x)


@pytest.fixture(scope="module")
def params():
    return supernet_params()


@pytest.fixture(scope="module")
def stats(params):
    return random_statistics(params, spread=0.5)


def traced(genes):
    return jnp.asarray(genes, jnp.int32)


@pytest.mark.parametrize("genes", GENES, ids=lambda g: SPACE.candidate_id(g))
def test_masked_equals_enveloped_equals_extracted(params, stats, genes):
    images = views(genes)
    alone = extracted(params, stats, genes, images)
    assert np.ptp(alone[0], axis=0).max() > 1e-3  # logits that tell the pictures apart, well above the tolerance
    assert np.ptp(alone[1], axis=0).max() > 0.1
    for envelope in (widest(genes), bucket(genes)):
        masked = masked_program(envelope)(params, stats, traced(genes), images)
        for ours, theirs in zip(masked[:2], alone[:2], strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)
        for name, part in alone[2].items():
            for kind, array in part.items():
                np.testing.assert_allclose(masked[2][name][kind][: len(array)], array, rtol=1e-5, atol=1e-5)


def test_the_sample_has_every_kind_of_system():
    for axis, count in zip(GENES.T, SPACE.cardinalities, strict=True):
        assert set(axis) == set(range(count))
    assert len({(g[PX], g[COLOUR]) for g in GENES}) == 4


def targets():
    return jax.nn.one_hot(jnp.arange(BATCH) % CLASSES, CLASSES)


def extracted_gradients(params, genes, images):
    """Gradients of the stand-alone network's own params, and the layers."""
    layers = SPACE.layers(genes, CLASSES)
    network = Network(layers)
    x = normalise_pixels(jnp.asarray(deployed_view(images, images.shape[1], SPACE.view.colours[genes[COLOUR]])))

    def loss(own):
        return optax.softmax_cross_entropy(network.apply({"params": own}, x, train=True), targets()).mean()

    value, grads = jax.jit(jax.value_and_grad(loss))(elastic.subnet_params(layers, SPACE.input(genes), params))
    return layers, value, grads


def spread(layer, part, array, shape):
    """An own gradient at its place in a supernet's tensor of `shape`, zeros elsewhere; stem inputs each get it."""
    full = np.zeros(shape, np.float32)
    if part != "kernel" or array.ndim == 2:
        full[: len(array)] = array
    else:
        cuts = [(have - own) // 2 for have, own in zip(shape, layer.kernel, strict=False)]
        place = [slice(cut, cut + own) for cut, own in zip(cuts, layer.kernel, strict=True)]
        inputs = [slice(None if layer.name == "stem" else layer.in_shape[2])] if layer.op == CONV else []
        full[(*place, *inputs, slice(layer.out_shape[2]))] = array
    return full


@pytest.fixture(params=["cpu", "xla"])
def form(request, monkeypatch):
    """Kernels, and jumping over blocks or masking them, as on a CPU and as elsewhere."""
    gradient_program.cache_clear()
    monkeypatch.setattr(ops, "on_cpu", lambda: request.param == "cpu")
    yield
    gradient_program.cache_clear()


@pytest.mark.parametrize("genes", GENES[[0, 3, 6, 9]], ids=lambda g: SPACE.candidate_id(g))
def test_gradients_agree_and_nothing_leaks_outside_the_slice(params, genes, form):
    images = views(genes)
    layers, value, own = extracted_gradients(params, genes, images)
    by_name = {layer.name: layer for layer in layers}
    for envelope in (widest(genes), bucket(genes)):
        loss, _, grads = gradient_program(SPACE, envelope, CLASSES)(params, images, targets(), traced(genes))
        assert float(loss) == pytest.approx(float(value), abs=1e-5)
        assert jax.tree.map(jnp.shape, grads) == jax.tree.map(jnp.shape, params)
        for name, parts in grads.items():
            for part, found in parts.items():
                if name not in own:
                    assert not np.any(found), f"{name}/{part} of a block that is not there"
                    continue
                expected = spread(by_name[name], part, own[name][part], found.shape)
                inside = spread(by_name[name], part, np.ones_like(own[name][part]), found.shape) > 0
                assert not np.any(np.asarray(found)[~inside]), f"{name}/{part} outside the slice"
                bound = 1e-4 * np.abs(expected).max() + 1e-6
                np.testing.assert_allclose(found, expected, rtol=0, atol=bound, err_msg=f"{name}/{part}")


def test_vmapped_equals_looped(params, stats):
    genes = GENES[GENES[:, PX] == 1]
    program, images = masked_program(widest(genes[0])), views(genes[0])
    together = jax.vmap(program, in_axes=(None, None, 0, None))(params, stats, traced(genes), images)
    for i, row in enumerate(genes):
        alone = program(params, stats, traced(row), images)
        for ours, theirs in zip(jax.tree.leaves(together), jax.tree.leaves(alone), strict=True):
            np.testing.assert_allclose(ours[i], theirs, rtol=1e-5, atol=1e-5)


def test_one_compilation_for_many_genes_of_one_input_shape(params):
    program = gradient_program(SPACE, tuple(SPACE.max_genes.tolist()), CLASSES)
    program._clear_cache()
    images = noise(BATCH, SPACE.view.resolutions_px[1])
    losses = {
        float(program(params, images, targets(), traced(row))[0]) for row in SPACE.sample(np.random.default_rng(9), 8)
    }
    assert len(losses) > 1
    assert program._cache_size() == 1


def test_colour_is_the_deployed_view(params):
    images = noise(4, 16, seed=3)
    for colour, name in enumerate(SPACE.view.colours):
        genes = SPACE.min_genes
        genes[COLOUR] = colour
        found = np.asarray(elastic.seen(SPACE, jnp.asarray(images), traced(genes)))
        np.testing.assert_array_equal(found, np.broadcast_to(deployed_view(images, 16, name), images.shape))
