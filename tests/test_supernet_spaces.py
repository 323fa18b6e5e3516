"""Every shipped space, 50 random systems each: masked, bucketed and extracted are one network, by two sets of kernels.

The supernet runs with the platform's kernels, the extracted networks with XLA's own convolutions; logits in eval and
train mode and every gradient agree. Slow: a compilation per system.
"""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from supernet_toys import noise, supernet_params

from danas_jax.data.views import deployed_view
from danas_jax.layers import CONV
from danas_jax.spaces import mobilenetv2_tiny, ofa_proxyless, quickstart
from danas_jax.supernet import elastic, ops
from danas_jax.supernet.buckets import bucket_of, make_buckets
from danas_jax.supernet.network import Network, normalise_pixels
from danas_jax.supernet.train import gradient_program

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("strict_types")]
SPACES = {
    "quickstart": quickstart((32, 48)),
    "mobilenetv2_tiny": mobilenetv2_tiny((32, 48)),
    "ofa_proxyless": ofa_proxyless((32, 48), width_multiplier=0.25),
}
COUNT, BATCH, CLASSES = 50, 4, 3


def systems(space):
    """Random genes, both colours and resolutions by turns; int64 [50, G]."""
    genes = space.sample(np.random.default_rng(17), COUNT)
    genes[:, space.index["resolution_px"]] = np.arange(COUNT) % 2
    genes[:, space.index["colour"]] = np.arange(COUNT) // 2 % 2
    return genes


def envelopes(space, genes):
    """The whole supernet at the genes' resolution, and their bucket."""
    bounds = tuple(space.min_genes.tolist()), tuple(space.max_genes.tolist())
    return {(int(genes[0]), *bounds[1][1:]), bucket_of(make_buckets(space, *bounds), genes)}


@cache
def forward(space, envelope):
    """jitted (params, stats, genes, images) -> logits with given statistics."""
    layers = elastic.envelope_layers(space, envelope, CLASSES)
    network = Network(layers)

    @jax.jit
    def program(params, stats, genes, images):
        part = {name: elastic.slice_variables(layers, t) for name, t in (("params", params), ("batch_stats", stats))}
        x = normalise_pixels(elastic.apply_colour(space, images, genes))
        return network.apply(part, x, elastic.masks(space, genes, layers))

    return program


def targets():
    return jax.nn.one_hot(jnp.arange(BATCH) % CLASSES, CLASSES)


def extracted(space, genes, params, stats, images, monkeypatch):
    """(eval logits, train logits, gradients) of the stand-alone network on the deployed view, by XLA's convolutions."""
    layers = space.layers(genes, CLASSES)
    network, data = Network(layers), space.decode(genes)[0]
    x = normalise_pixels(jnp.asarray(deployed_view(images, data.resolution_px, data.colour)))
    own = elastic.slice_variables(layers, params)

    def run(own, stats, x):
        def loss(own):
            logits = network.apply({"params": own}, x, train=True)
            return optax.softmax_cross_entropy(logits, targets()).mean(), logits

        (_, train), grads = jax.value_and_grad(loss, has_aux=True)(own)
        return network.apply({"params": own, "batch_stats": stats}, x), train, grads

    with monkeypatch.context() as patch:
        patch.setattr(ops, "on_cpu", lambda: False)
        arguments = own, elastic.slice_variables(layers, stats), x
        program = jax.jit(run).lower(*arguments).compile({"xla_backend_optimization_level": "0"})
    return layers, *program(*arguments)


def place(layer, part, shape):
    """Where a supernet's tensor of `shape` holds the layer's own: the index, with all inputs for the stem's kernel."""
    width = slice(layer.out_shape[2])
    if part != "kernel":
        return (width,)
    if len(shape) == 2:
        return slice(layer.weight_shape[0]), width
    cut = (shape[0] - layer.kernel) // 2
    inputs = [slice(None if layer.name == "stem" else layer.in_shape[2])] if layer.op == CONV else []
    return (*[slice(cut, cut + layer.kernel)] * 2, *inputs, width)


OPEN = "float32 train-mode logits differ by 5e-5 (batch 32) to 5e-3 (batch 4, 1x1 maps): BN amplifies rounding"


@pytest.mark.parametrize(
    "name",
    [
        "quickstart",
        *(pytest.param(name, marks=pytest.mark.xfail(reason=OPEN)) for name in ("mobilenetv2_tiny", "ofa_proxyless")),
    ],
)
def test_fifty_systems_are_the_networks_they_become(name, monkeypatch):
    space = SPACES[name]
    params = supernet_params(space, CLASSES)
    rng = np.random.default_rng(5)
    stats = {
        layer: {
            "mean": rng.normal(0, 0.3, part["scale"].shape).astype("f"),
            "var": rng.uniform(0.3, 2.0, part["scale"].shape).astype("f"),
        }
        for layer, part in params.items()
        if "scale" in part
    }
    used = set()
    for i, genes in enumerate(systems(space)):
        images = noise(BATCH, space.decode(genes)[0].resolution_px, seed=i)
        layers, logits, train, own = extracted(space, genes, params, stats, images, monkeypatch)
        traced = jnp.asarray(genes, jnp.int32)
        by_name = {layer.name: layer for layer in layers}
        for envelope in envelopes(space, genes):
            used.add(envelope)
            found = forward(space, envelope)(params, stats, traced, images)
            scale = max(1.0, float(jnp.abs(logits).max()))
            np.testing.assert_allclose(found, logits, rtol=0, atol=1e-5 * scale, err_msg=f"{name} {genes}")
            _, found, grads = gradient_program(space, envelope, CLASSES)(params, images, targets(), traced)
            scale = max(1.0, float(jnp.abs(train).max()))
            np.testing.assert_allclose(found, train, rtol=0, atol=1e-5 * scale, err_msg=f"{name} {genes}")
            for layer, parts in grads.items():
                for part, array in parts.items():
                    array = np.array(array)
                    if layer in own:
                        mine = np.asarray(own[layer][part])
                        where = place(by_name[layer], part, array.shape)
                        bound = 1e-4 * np.abs(mine).max() + 1e-6
                        np.testing.assert_allclose(
                            array[where], np.broadcast_to(mine, array[where].shape), rtol=0, atol=bound,
                            err_msg=f"{name} {genes} {layer}/{part}",
                        )  # fmt: skip
                        array[where] = 0
                    assert not np.any(array), f"{name} {genes} {layer}/{part}: gradient outside the subnet"
    programs = [gradient_program(space, envelope, CLASSES) for envelope in used]
    assert all(program._cache_size() == 1 for program in programs)
