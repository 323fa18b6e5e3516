"""Folding and post-training quantisation."""

import numpy as np
import pytest
from deploy_nets import batch_norm_network, networks, pictures

from danas_jax.deploy import fold, integer, quantise, ranges, tflite_writer, verify


def random_weights(layers, seed=0):
    return batch_norm_network(layers, pictures(layers[0].in_shape, 64), seed=seed)[:2]


@pytest.mark.parametrize("case", [0, 1])
def test_folding_keeps_the_function(case):
    layers = networks()[case]
    params, stats = random_weights(layers)
    images = pictures(layers[0].in_shape, 12, seed=1)
    ours = quantise.float_forward(layers, fold.fold_batch_norm(layers, params, stats), images)
    expected = batch_norm_network(layers, images, params, stats)[2]
    np.testing.assert_allclose(ours, expected, atol=1e-4, rtol=1e-4)


def test_fold_names_the_layer_of_a_wrong_kernel():
    layers = networks()[0]
    params, stats = random_weights(layers)
    params["head"]["kernel"] = params["head"]["kernel"][..., :-1]
    with pytest.raises(ValueError, match="head"):
        fold.fold_batch_norm(layers, params, stats)
    params, stats = random_weights(layers)
    stats["stem"]["var"][0] = np.nan
    with pytest.raises(ValueError, match="stem"):
        fold.fold_batch_norm(layers, params, stats)


def quantised(layers, change=None, seed=0):
    folded = fold.fold_batch_norm(layers, *random_weights(layers, seed))
    if change:
        change(folded)
    found = ranges.min_max_ranges(layers, folded, pictures(layers[0].in_shape, 64))
    return folded, quantise.quantise(layers, folded, found)


def check(layers, folded, model, tolerance):
    images = pictures(layers[0].in_shape, 64)
    codes = integer.integer_forward(model, images)
    ours = (codes.astype(np.float64) - model.output.zero_point) * model.output.scale
    theirs = quantise.float_forward(layers, folded, images)
    error = np.abs(ours - theirs).mean() / np.abs(theirs).mean()
    assert error < tolerance, error
    verify.verify(tflite_writer.write_tflite(model, {}), model, images[:4])


@pytest.mark.parametrize("case", [0, 1, 2, 3])
def test_int8_logits_stay_close_to_float(case):
    layers = networks()[case]
    folded, model = quantised(layers)
    check(layers, folded, model, 0.12)
    for layer in model.layers:
        if layer.kernel is not None:
            count = 1 if layer.spec.op == "dense" else layer.spec.out_shape[2]
            assert layer.kernel_scales.shape == (count,) and layer.bias.dtype == np.int32
            tops = np.abs(layer.kernel.astype(int)).reshape(-1, layer.kernel.shape[-1]).max(axis=0)
            assert (tops == 127).all() if layer.spec.op != "dense" else tops.max() == 127
        if layer.spec.op == "avg_pool":
            assert layer.output == model.layers[-3].output


def test_dead_and_tiny_channels():
    layers = networks()[1]

    def kill(folded):
        folded["stem"]["kernel"][..., 0] = 0
        folded["stem"]["kernel"][..., 1] = 1e-20
        folded["stem"]["bias"][:2] = (0.5, 3.0)
        folded["s0.b0.project"]["kernel"][:] = 0
        folded["s0.b0.project"]["bias"][:] = 0
        folded["s1.b0.depthwise"]["kernel"][:] = 0
        folded["s1.b0.depthwise"]["bias"][:] = -100

    folded, model = quantised(layers, kill)
    for layer in model.layers:
        assert layer.output.scale > 0
        assert layer.kernel_scales is None or (layer.kernel_scales > 0).all()
    check(layers, folded, model, 0.12)
    stem = model.layers[0]
    steps = stem.bias[:2] * (stem.kernel_scales[:2] / 128)
    np.testing.assert_allclose(steps, [0.5, 3.0], rtol=1e-3)


def test_activations_that_are_not_finite_are_refused():
    layers = networks()[0]
    folded, _ = quantised(layers)
    folded["classifier"]["kernel"][0, 0] = np.nan
    with pytest.raises(ValueError, match="classifier"):
        ranges.min_max_ranges(layers, folded, pictures(layers[0].in_shape, 2))


def test_input_is_pixel_minus_128():
    layers = networks()[0]
    _, model = quantised(layers)
    assert model.input == quantise.Scale(1 / 128, 0)
