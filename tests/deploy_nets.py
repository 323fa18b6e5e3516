"""Networks and pictures for the tests of danas_jax.deploy."""

import numpy as np

from danas_jax.deploy import fold, kernels, quantise, ranges
from danas_jax.layers import BN_EPSILON, LayerBuilder
from danas_jax.spaces import mobilenetv2_tiny, quickstart


def networks():
    """8 subnets, mono and rgb by turns: 6 of quickstart and 2 of mobilenetv2_tiny, with 2 to 7 classes."""
    cases = []
    for space, count in ((quickstart(), 6), (mobilenetv2_tiny(resolutions_px=(32, 48)), 2)):
        genes = space.sample(np.random.default_rng(3), count)
        genes[:, 1] = np.arange(count) % 2
        cases += [space.layers(g, 2 + i) for i, g in enumerate(genes)]
    return cases


def pictures(shape, count=8, seed=0):
    """uint8 [count, *shape] that differ in brightness and structure, so that wrong arithmetic shows in the logits."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 256, (count, 4, 4, shape[2]))
    images = blocks.repeat(-(-shape[0] // 4), axis=1).repeat(-(-shape[1] // 4), axis=2)[:, : shape[0], : shape[1]]
    noise = rng.integers(-30, 31, images.shape) + rng.integers(-100, 101, (count, 1, 1, 1))
    return np.clip(images + noise, 0, 255).astype(np.uint8)


def batch_norm_network(layers, images, params=None, stats=None, seed=0):
    """(params, stats, logits) of a network with batch norm in float64; without params, random ones are drawn.

    Without stats they are those of `images`, as in training, so that every layer carries signal.
    """
    rng = np.random.default_rng(seed)
    drawn, measured = params is None, stats is None
    params, stats = {} if drawn else params, {} if measured else stats
    tensors = {"input": (images.astype(np.float64) - 128) / 128}
    for layer in layers:
        x = tensors[layer.inputs[0]]
        width = layer.out_shape[2]
        if drawn and layer.weight_shape:
            spread = np.sqrt(2 / (np.prod(layer.weight_shape) / width))
            params[layer.name] = {
                "kernel": rng.normal(0, spread, layer.weight_shape),
                "bias": rng.normal(0, 0.3, width),
            }
        if layer.op == "add":
            y = x + tensors[layer.inputs[1]]
        elif layer.op == "avg_pool":
            y = x.mean(axis=(1, 2), keepdims=True)
        elif layer.op == "max_pool":
            y = kernels.max_pool(x, layer.kernel, layer.stride)
        elif layer.op == "dense":
            y = kernels.dense(x, params[layer.name]["kernel"]) + params[layer.name]["bias"]
        else:
            p = params[layer.name]
            y = (kernels.conv if layer.op == "conv" else kernels.depthwise)(x, p["kernel"], layer.stride)
            if drawn:
                p["scale"] = rng.uniform(0.7, 1.5, width)
            if measured:
                stats[layer.name] = {"mean": y.mean(axis=(0, 1, 2)), "var": y.var(axis=(0, 1, 2))}
            s = stats[layer.name]
            y = (y - s["mean"]) / np.sqrt(s["var"] + BN_EPSILON) * p["scale"] + p["bias"]
        if layer.activation != "none":
            y = np.clip(y, 0, 6 if layer.activation == "relu6" else None)
        tensors[layer.name] = y
    return params, stats, y.reshape(len(y), -1)


def int8_network(layers, seed=0, calibrating=32):
    """A quantised network of random weights through which pictures can be told apart."""
    images = pictures(layers[0].in_shape, calibrating, seed=9)
    params, stats, _ = batch_norm_network(layers, images, seed=seed)
    folded = fold.fold_batch_norm(layers, params, stats)
    return quantise.quantise(layers, folded, ranges.min_max_ranges(layers, folded, images))


def odd_network():
    """Layers with kernels of 5 and 7, strides of odd maps, a residual sum, and a classifier on a 9x9 map."""
    net = LayerBuilder((33, 33, 1), activation="relu")
    net.conv("stem", 6, kernel=5, stride=2)
    net.depthwise("wide", 7, stride=2)
    net.conv("project", 6, activate=False)
    entry = net.last
    net.depthwise("more", 3)
    net.conv("back", 6, activate=False)
    net.add("sum", entry)
    net.dense("flat", 3)
    return net.build()
