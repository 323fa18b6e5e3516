"""Every shipped space, 50 random systems each: masked, bucketed and extracted are one network, by two sets of kernels.

The supernet runs with the platform's kernels, under masks and at the subnet's own cost; the extracted networks with
XLA's own convolutions. Logits in eval and train mode and every gradient agree. Slow: a compilation per system.

In float32 that can be asked only of weights and pictures for which it is defined: where an activation lies within
rounding of 0 or of 6, ReLU6's derivative is 0 or 1 by chance, and batch statistics of constant channels or of 1x1 maps
amplify rounding without bound (XLA's own kernels are then as far from float64 as ours). So `calm_params` keep each
channel inside or below ReLU6's range (one always above would be constant: the gradient of its kernel is 0 but for
rounding); arbitrary weights, small maps included, are compared in float64.
"""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from supernet_toys import noise, random_statistics, supernet_params

from danas_jax.layers import CONV
from danas_jax.spaces import conv_tiny, mobilenetv2_tiny, ofa_proxyless, quickstart
from danas_jax.supernet import adaptive, elastic, ops
from danas_jax.supernet.buckets import bucket_of, make_buckets
from danas_jax.supernet.network import Network, normalise_pixels
from danas_jax.supernet.train import gradient_program

pytestmark = pytest.mark.slow
SPACES = {
    "quickstart": quickstart,
    "mobilenetv2_tiny": mobilenetv2_tiny,
    "conv_tiny": conv_tiny,
    "ofa_proxyless": partial(ofa_proxyless, width_multiplier=0.25),
}
CLASSES = 3


def systems(space, count):
    """Random genes, both colours and resolutions by turns; int64 [count, G]."""
    genes = space.sample(np.random.default_rng(17), count)
    genes[:, space.index["resolution_px"]] = np.arange(count) % 2
    genes[:, space.index["colour"]] = np.arange(count) // 2 % 2
    return genes


def calm_params(space):
    """Weights with which, by batch statistics, every ReLU6 is linear or always 0: no picture decides which."""
    rng = np.random.default_rng(3)
    params = supernet_params(space, CLASSES)
    for name, part in params.items():
        if "scale" not in part:
            continue
        size, kind = part["scale"].shape, name.rsplit(".")[-1]
        part["scale"] = rng.uniform(0.15, 0.3, size).astype("f")
        if kind == "project":
            part["bias"] = rng.normal(0, 0.3, size).astype("f")
        else:  # the input of a depthwise layer is not clipped: its output would be constant, its variance 0
            regions = [3.0] if kind == "expand" else [3.0, 3.0, 3.0, -6.0]
            part["bias"] = (rng.choice(regions, size) + rng.uniform(-0.3, 0.3, size)).astype("f")
    return params


def envelopes(space, genes):
    """The whole supernet at the genes' resolution, and their bucket."""
    bounds = tuple(space.min_genes.tolist()), tuple(space.max_genes.tolist())
    return {(int(genes[0]), *bounds[1][1:]), bucket_of(space, make_buckets(space, *bounds), genes)}


@cache
def forward(space, envelope, dtype):
    """jitted (params, stats, genes, images) -> logits: masked and sized by given statistics, sized by the batch's."""
    layers = elastic.envelope_layers(space, envelope, CLASSES)
    network, sizes = Network(layers), adaptive.branches_pay(space, envelope)

    @jax.jit
    def program(params, stats, genes, images):
        part, given = (elastic.slice_variables(layers, tree) for tree in (params, stats))
        x = normalise_pixels(elastic.seen(space, images, genes)).astype(dtype)
        masked = network.apply({"params": part, "batch_stats": given}, x, elastic.masks(space, genes, layers))
        sized = (adaptive.forward(space, envelope, layers, part, one, genes, x, sizes)[0] for one in (given, None))
        return masked, *sized

    return program


def targets(batch):
    return jax.nn.one_hot(jnp.arange(batch) % CLASSES, CLASSES)


def extracted(space, genes, params, stats, images, monkeypatch):
    """(eval logits, train logits, gradients) of the stand-alone network on the deployed view, by XLA's convolutions."""
    layers = space.layers(genes, CLASSES)
    network, source = Network(layers), space.input(genes)
    x = normalise_pixels(jnp.asarray(source.deployed(images)))
    x = x.astype(params["stem"]["scale"].dtype)
    own = elastic.subnet_params(layers, source, params)

    def run(own, stats, x):
        def loss(own):
            logits = network.apply({"params": own}, x, train=True)
            return optax.softmax_cross_entropy(logits, targets(len(images))).mean(), logits

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
    cuts = [(have - own) // 2 for have, own in zip(shape, layer.kernel, strict=False)]
    taps = [slice(cut, cut + own) for cut, own in zip(cuts, layer.kernel, strict=True)]
    inputs = [slice(None if layer.name == "stem" else layer.in_shape[2])] if layer.op == CONV else []
    return (*taps, *inputs, width)


def check(space, params, count, batch, logits_bound, gradient_bound, monkeypatch):
    """`count` systems on `batch` pictures each; `gradient_bound(largest gradient of a tensor)` is what may differ."""
    dtype = params["stem"]["scale"].dtype.name
    stats = random_statistics(params)
    used = set()
    for i, genes in enumerate(systems(space, count)):
        images = noise(batch, space.decode(genes)[0].resolution_px, seed=i)
        layers, logits, train, own = extracted(space, genes, params, stats, images, monkeypatch)
        traced = jnp.asarray(genes, jnp.int32)
        by_name = {layer.name: layer for layer in layers}
        for envelope in envelopes(space, genes):
            used.add(envelope)
            what = f"{space.name} {genes} in {envelope}"
            masked, sized, sized_train = forward(space, envelope, dtype)(params, stats, traced, images)
            for found, expected in ((masked, logits), (sized, logits), (sized_train, train)):
                np.testing.assert_allclose(found, expected, rtol=0, atol=logits_bound, err_msg=what)
            program = gradient_program(space, envelope, CLASSES, compute_dtype=dtype)
            _, found, grads = program(params, images, targets(batch), traced)
            np.testing.assert_allclose(found, train, rtol=0, atol=logits_bound, err_msg=what)
            for layer, parts in grads.items():
                for part, array in parts.items():
                    array = np.array(array)
                    if layer in own:
                        mine = np.asarray(own[layer][part])
                        where = place(by_name[layer], part, array.shape)
                        np.testing.assert_allclose(
                            array[where], np.broadcast_to(mine, array[where].shape), rtol=0,
                            atol=gradient_bound(np.abs(mine).max()), err_msg=f"{what} {layer}/{part}",
                        )  # fmt: skip
                        array[where] = 0
                    assert not np.any(array), f"{what} {layer}/{part}: gradient outside the subnet"
    programs = [gradient_program(space, envelope, CLASSES, compute_dtype=dtype) for envelope in used]
    assert all(program._cache_size() == 1 for program in programs)


@pytest.mark.usefixtures("strict_types")
@pytest.mark.parametrize("name", SPACES)
def test_fifty_systems_are_the_networks_they_become(name, monkeypatch):
    space = SPACES[name]((96, 128))
    check(space, calm_params(space), 50, 16, 1e-5, lambda largest: 1e-4 * largest + 1e-6, monkeypatch)


@pytest.mark.parametrize("name", SPACES)
def test_arbitrary_weights_and_small_maps_in_float64(name, monkeypatch):
    space = SPACES[name]((32, 48))
    with jax.enable_x64(True):
        params = jax.tree.map(lambda leaf: leaf.astype("float64"), supernet_params(space, CLASSES))
        check(space, params, 12, 4, 1e-9, lambda largest: 1e-9 * largest + 1e-9, monkeypatch)
