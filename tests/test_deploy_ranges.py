"""Activation ranges against all values of the tensors at once."""

import numpy as np
import pytest
from deploy_nets import batch_norm_network, networks, pictures

from danas_jax.deploy import fold, kernels, quantise, ranges

PERCENTILE = 99.5


@pytest.fixture(scope="module", params=[0, 1])
def case(request):
    """(layers, found ranges, {layer: all its values on the calibration images}), found in several chunks."""
    layers = networks()[request.param]
    images = pictures(layers[0].in_shape, 24)
    folded = fold.fold_batch_norm(layers, *batch_norm_network(layers, images)[:2])
    values = {layer.name: y.reshape(-1).copy() for layer, y in quantise.float_layers(layers, folded, images)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernels, "CHUNK_ELEMENTS", kernels.CHUNK_ELEMENTS // 8)
        assert len(list(kernels.chunks(layers, 24))) > 2
        found = ranges.activation_ranges(layers, folded, images, percentile=PERCENTILE)
    return layers, found, values


def squared_error(values, low, high):
    """Of int8 in that range."""
    scale = quantise._activation_scale(low, high, [quantise.INPUT_SCALE])
    codes = np.clip(np.rint(values / scale.scale) + scale.zero_point, -128, 127)
    return np.square((codes - scale.zero_point) * scale.scale - values).mean()


def test_minmax_is_every_value_and_zero(case):
    _, found, values = case
    for name, y in values.items():
        np.testing.assert_allclose(found["minmax"][name], (min(0, y.min()), max(0, y.max())), rtol=1e-5)


def test_a_percentile_is_that_of_all_values_to_a_bin(case):
    layers, found, values = case
    narrower = 0
    for layer in layers[:-1]:
        y, (low, high) = values[layer.name], found["percentile"][layer.name]
        width, rare = np.ptp(found["minmax"][layer.name]) / ranges.BINS, 1 - PERCENTILE / 100
        assert (y > high + width / 10).mean() <= rare
        assert (y < low - width / 10).mean() <= rare
        assert high == 0 or (y > high - 1.1 * width).mean() > rare
        assert low == 0 or (y < low + 1.1 * width).mean() > rare
        narrower += high - low < 0.9 * np.ptp(found["minmax"][layer.name])
    assert narrower > 3


def test_least_squares_has_the_least_error_of_real_rounding(case):
    """Against int8 itself, on a grid of ranges of its own; the model of the error may cost 5 %."""
    layers, found, values = case
    gains = []
    for layer in [layer for layer in layers[:-1] if layer.op != "avg_pool"]:
        y, (low, high) = values[layer.name], found["minmax"][layer.name]
        shares = np.linspace(0.2, 1, 17)
        grid = min(squared_error(y, low * a, high * b) for a in shares[:: 1 if low else 17] for b in shares)
        ours = squared_error(y, *found["mse"][layer.name])
        assert ours <= 1.05 * grid, layer.name
        gains.append(ours / squared_error(y, low, high))
    assert min(gains) < 0.97


def test_outliers_are_cut_off_and_halves_of_zeros_are_not_counted():
    """One value of 4 among those of 0 to 1: clipped only where enough others gain from the finer step."""
    rng = np.random.default_rng(0)
    many, few = (np.append(rng.uniform(0, 1, count), [4.0]) for count in (2_000_000, 2_000))
    for values, cut in ((many, True), (few, False), (np.append(few, np.zeros(1_998_000)), False)):
        counts = np.histogram(values, ranges.BINS, (0, 4))[0]
        low, high = ranges._least_squares(counts, int((values == 0).sum()), (0.0, 4.0))
        assert low == 0
        assert (high < 2) == cut
        assert squared_error(values, low, high) <= squared_error(values, 0, 4)


def test_logits_keep_their_whole_range_and_other_layers_do_not():
    layers = networks()[0]
    images = pictures(layers[0].in_shape, 24)
    folded = fold.fold_batch_norm(layers, *batch_norm_network(layers, images)[:2])
    found = ranges.activation_ranges(layers, folded, images, percentile=80.0)
    for name, whole in found["minmax"].items():
        assert (found["percentile"][name] == whole) == (name == "classifier"), name
    assert found["mse"]["classifier"] == found["minmax"]["classifier"]


def test_only_what_is_asked_for(case):
    layers, found, _ = case
    images = pictures(layers[0].in_shape, 24)
    folded = fold.fold_batch_norm(layers, *batch_norm_network(layers, images)[:2])
    assert list(found) == list(ranges.METHODS)
    assert list(ranges.activation_ranges(layers, folded, images, ("mse",))) == ["mse"]


def test_a_dead_tensor_has_a_range_of_nothing():
    layers = networks()[0]
    images = pictures(layers[0].in_shape, 4)
    folded = fold.fold_batch_norm(layers, *batch_norm_network(layers, images)[:2])
    folded["stem"]["kernel"][:], folded["stem"]["bias"][:] = 0, -1
    for found in ranges.activation_ranges(layers, folded, images).values():
        assert found["stem"] == (0, 0)
        assert quantise.quantise(layers, folded, found).layers[0].output.scale > 0
