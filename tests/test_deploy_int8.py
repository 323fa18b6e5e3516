"""Which int8 network is exported: every way is judged by its integers on validation."""

import dataclasses

import numpy as np
import pytest
from deploy_nets import batch_norm_network, pictures
from supernet_toys import SPACE, noise

from danas_jax.config import ExportSettings, RetrainSettings
from danas_jax.data.dataset import Split
from danas_jax.deploy import fold, int8, integer, quantise, ranges
from danas_jax.deploy.int8 import Attempt, best

SETTINGS = ExportSettings(calibration_images=24, percentile=80.0)  # so low that it costs accuracy


@pytest.fixture(scope="module")
def case():
    """(layers, source, params, stats, training, validation): labels are what the float network says, 1 in 8 turned."""
    genes = SPACE.max_genes
    layers, source = SPACE.layers(genes, 3), SPACE.input(genes)
    params, stats, _ = batch_norm_network(layers, pictures(layers[0].in_shape, 64))
    training, images = (noise(count, 24, seed) for count, seed in ((40, 1), (160, 2)))
    folded = fold.fold_batch_norm(layers, params, stats)
    view = source.deployed(images)
    logits = quantise.float_forward(layers, folded, view)
    params["classifier"]["bias"] -= logits.mean(0)  # or it says the same of every picture
    labels = (logits - logits.mean(0)).argmax(-1).astype(np.int32)
    assert min(np.bincount(labels)) > 16
    labels[::8] = (labels[::8] + 1) % 3
    names = tuple(map(str, range(160)))
    return (
        *(layers, source, params, stats),
        *(Split(training, np.zeros(40, np.int32), names[:40]), Split(images, labels, names)),
    )


def run(case, settings=SETTINGS, folder=None):
    layers, source, params, stats, training, validation = case
    chosen, judge, found = int8.int8_network(
        layers, source, params, stats, settings, RetrainSettings(), training, validation, 0, folder
    )
    assert found["float_validation"] == (judge.float_logits.argmax(-1) == validation.labels).mean()
    return chosen.model, found


def test_every_calibration_is_tried_and_reported_as_it_is(case):
    layers, source, params, stats, _, validation = case
    model, found = run(case)
    assert list(found["tried"]) == list(ranges.METHODS)
    assert found["float_validation"] == 140 / 160
    assert found["tried"]["percentile"]["int8_validation"] < 0.8
    folded = fold.fold_batch_norm(layers, params, stats)
    images = source.deployed(validation.raw)
    expected = quantise.float_forward(layers, folded, images)
    for method in ranges.METHODS:
        one, alone = run(case, dataclasses.replace(SETTINGS, calibration=method))
        assert alone["chosen"] == alone["ranges"] == method
        assert alone["tried"] == {method: found["tried"][method]}
        codes = integer.integer_forward(one, images)
        assert alone["tried"][method]["int8_validation"] == (codes.argmax(-1) == validation.labels).mean()
        logits = (codes.astype(np.float64) - one.output.zero_point) * one.output.scale
        assert alone["tried"][method]["logit_error"] == pytest.approx(np.square(logits - expected).mean(), rel=1e-4)
        if method == found["chosen"]:
            assert all(np.array_equal(a.bias, b.bias) for a, b in zip(one.layers, model.layers, strict=True))
    order = sorted(found["tried"].items(), key=lambda item: (-item[1]["int8_validation"], item[1]["logit_error"]))
    assert found["chosen"] == order[0][0]


def test_validation_decides_and_only_training_pictures_calibrate(case):
    """Other validation pictures: other accuracies, the very same networks."""
    *start, training, validation = case
    part = Split(validation.raw[:60], validation.labels[:60], validation.names[:60])
    settings = dataclasses.replace(SETTINGS, calibration="mse")
    (one, found), (two, fewer) = run(case, settings), run((*start, training, part), settings)
    assert [layer.output for layer in one.layers] == [layer.output for layer in two.layers]
    assert found["tried"]["mse"]["logit_error"] != fewer["tried"]["mse"]["logit_error"]
    darker = Split(training.raw // 2, training.labels, training.names)
    other = run((*start, darker, validation), settings)[0]
    assert [layer.output for layer in one.layers] != [layer.output for layer in other.layers]


def test_a_lower_percentile_clips_more(case):
    narrow, wide = (
        run(case, dataclasses.replace(SETTINGS, calibration="percentile", percentile=value))[0]
        for value in (95.0, 100.0)
    )
    scales = [(a.output.scale, b.output.scale) for a, b in zip(narrow.layers, wide.layers, strict=True)]
    assert all(a <= b for a, b in scales)
    assert sum(a < b for a, b in scales) > 3


def test_of_equally_accurate_ones_the_nearest_to_float_is_taken(case):
    model = run(case)[0]
    attempts = [
        Attempt(name, model, np.empty((0, 3)), np.arange(10) < right, error)
        for name, right, error in (("a", 8, 0.1), ("b", 9, 0.3), ("c", 9, 0.2))
    ]
    assert best(attempts).name == "c"
    assert best(attempts[:2]).name == "b"
