"""A subnet at its own cost: the same numbers as under masks, and what its genes leave out is really not computed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from supernet_toys import CLASSES, SPACE, noise, random_genes, random_statistics, supernet_params

from danas_jax.spaces import mobilenetv2_tiny, ofa_proxyless, quickstart
from danas_jax.supernet import adaptive, elastic
from danas_jax.supernet.network import Network, normalise_pixels

pytestmark = pytest.mark.usefixtures("strict_types")
ENVELOPE = tuple(SPACE.max_genes.tolist())
LAYERS = elastic.envelope_layers(SPACE, ENVELOPE, CLASSES)


@pytest.fixture(params=[True, False], ids=["branches", "masks"])
def branches(request):
    return request.param


def program(sizes):
    """jitted (params, statistics or None, genes, images) -> (logits, statistics found)."""

    @jax.jit
    def run(params, given, genes, images):
        x = normalise_pixels(elastic.seen(SPACE, images, genes))
        return adaptive.forward(SPACE, ENVELOPE, LAYERS, params, given, genes, x, sizes)

    return run


def masked(params, given, genes, images):
    """The same of the envelope under masks."""
    x, masks = normalise_pixels(elastic.seen(SPACE, images, genes)), elastic.masks(SPACE, genes, LAYERS)
    if given is None:
        logits, found = Network(LAYERS).apply({"params": params}, x, masks, train=True, mutable=["batch_stats"])
        return logits, found["batch_stats"]
    return Network(LAYERS).apply({"params": params, "batch_stats": given}, x, masks), {}


def test_equal_to_masks(branches):
    params, run = supernet_params(), program(branches)
    given = random_statistics(params)
    for i, genes in enumerate(random_genes(8)):
        images, traced = noise(16, 24, seed=i), jnp.asarray(genes, jnp.int32)
        for stats in (given, None):
            logits, found = run(params, stats, traced, images)
            expected, theirs = masked(params, stats, traced, images)
            np.testing.assert_allclose(logits, expected, rtol=0, atol=2e-5)
            own = {layer.name: layer.out_shape[2] for layer in SPACE.layers(genes, CLASSES) if layer.batch_norm}
            assert set(found) == (set(given) if stats is None else set())
            for name, new in found.items():
                assert new["mean"].shape == given[name]["mean"].shape
                live = own.get(name, 0)
                for kind in ("mean", "var"):
                    np.testing.assert_allclose(new[kind][:live], theirs[name][kind][:live], rtol=1e-4, atol=1e-5)
                assert np.isfinite(new["var"]).all()
                if name not in own:
                    assert not np.any(new["mean"])
    assert run._cache_size() == 2  # with and without statistics: not one for each subnet


def test_what_genes_leave_out_is_not_computed(branches):
    """Not-a-numbers where the smallest subnet has nothing: a block beyond its depth, and channels and taps it cuts."""
    params, genes = supernet_params(), SPACE.min_genes
    own = {layer.name: layer for layer in SPACE.layers(genes, CLASSES)}
    absent = [layer for layer in LAYERS if layer.weight_shape and layer.name not in own]
    assert absent
    for layer in absent:
        params[layer.name] = jax.tree.map(lambda leaf: np.full_like(leaf, np.nan), params[layer.name])
    if branches:
        hidden = own["s1.b0.depthwise"].out_shape[2]
        entry = next(layer for layer in LAYERS if layer.name == "s1.b0.expand").in_shape[2]
        cut = hidden // own["s1.b0.expand"].in_shape[2] * entry  # its expansion of the envelope's entry
        kernel = np.array(params["s1.b0.depthwise"]["kernel"])
        assert cut < kernel.shape[2] and kernel.shape[0] == 5
        kernel[:, :, cut:] = np.nan
        kernel[0] = kernel[-1] = kernel[:, 0] = kernel[:, -1] = np.nan
        params["s1.b0.depthwise"] = {**params["s1.b0.depthwise"], "kernel": kernel}
    traced, images = jnp.asarray(genes, jnp.int32), noise(16, 24)
    logits, found = program(branches)(params, None, traced, images)
    assert np.isfinite(logits).all()
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(found))
    assert not np.isfinite(masked(params, None, traced, images)[0]).all()


def test_branches_only_where_they_pay():
    pays = {
        space.name: adaptive.branches_pay(space, tuple(space.max_genes.tolist()))
        for space in (quickstart(), mobilenetv2_tiny(), ofa_proxyless((64,), width_multiplier=0.5))
    }
    assert pays == {"quickstart": False, "mobilenetv2_tiny": False, "ofa_proxyless": True}
    smallest = ofa_proxyless((64,))
    assert not adaptive.branches_pay(smallest, tuple(smallest.min_genes.tolist()))  # nothing to choose from
