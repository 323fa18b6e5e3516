"""int8 of supernet subnets: that of the network each becomes, on the very images."""

import numpy as np
import pytest
from supernet_toys import BOUNDS, CLASSES, SPACE, noise, random_genes, supernet_params

from danas_jax.classification import METRICS
from danas_jax.data.dataset import Split
from danas_jax.deploy import simulate
from danas_jax.deploy.fold import fold_batch_norm
from danas_jax.deploy.integer import integer_forward
from danas_jax.deploy.quantise import quantise
from danas_jax.deploy.ranges import min_max_ranges
from danas_jax.supernet import elastic, evaluate
from danas_jax.supernet.evaluate import calibration_batches, network_program, subnet_answers

CALIBRATION = noise(64, 24, seed=4)
GENES = random_genes(6)[[0, 1, 2, 5]]  # both colours, both resolutions
PARAMS = supernet_params()


@pytest.fixture(scope="module")
def search():
    """Labels that the largest network gives in float, so that what int8 changes is wrong."""
    images = noise(75, 24, seed=3)
    split = Split(images, np.zeros(75, np.int32), tuple(map(str, range(75))))
    (answer,) = answers(split)(GENES[1:2], "full")
    return Split(images, answer.logits.argmax(-1).astype(np.int32), split.names)


def answers(split):
    return subnet_answers(SPACE, PARAMS, BOUNDS, CALIBRATION, {"full": split}, CLASSES)


def evaluator(split, metric="accuracy", **changes):
    given = changes.pop("answers", answers(split))
    return simulate.int8_evaluator(SPACE, PARAMS, given, CALIBRATION, split, CLASSES, metric, 0, **changes)


def int8_logits(genes, images):
    """Of the extracted network: its own calibration, folded, quantised, simulated; in units of the scale."""
    layers, source = SPACE.layers(genes, CLASSES), SPACE.input(genes)
    calibrating, images = (source.deployed(x) for x in (CALIBRATION, images))
    own = elastic.subnet_params(layers, source, PARAMS)
    stats = network_program(layers)[0](own, calibration_batches(calibrating, len(calibrating)))
    folded = fold_batch_norm(layers, own, stats)
    model = quantise(layers, folded, min_max_ranges(layers, folded, calibrating))
    return (integer_forward(model, images) - float(model.output.zero_point)) * model.output.scale


@pytest.mark.parametrize("at_once", [1, 3])
def test_a_subnet_in_int8_is_the_extracted_network_in_int8(search, monkeypatch, at_once):
    """Statistics differ by rounding, which may turn an image or two. Many subnets at a time: the same."""
    monkeypatch.setattr(evaluate, "subnets_per_launch", lambda: at_once)
    evaluate._subnet_program.cache_clear()
    genes, done = random_genes(8), []
    found = evaluator(search, progress=lambda *event: done.append(event))(genes)
    expected = [(int8_logits(g, search.raw).argmax(-1) == search.labels).mean() for g in genes]
    np.testing.assert_allclose(found, expected, atol=2.01 / 75)
    assert 0.85 < found[1] < 1  # float is right everywhere
    assert done == [(i + 1, 8) for i in range(8)]
    evaluate._subnet_program.cache_clear()


@pytest.mark.parametrize("metric", ["accuracy", "auc"])
def test_of_a_large_slice_a_fixed_part_is_simulated(search, monkeypatch, metric):
    """What int8 changes on that part is added to the float network's on all; never beyond 0 or 1."""
    monkeypatch.setattr(simulate, "IMAGES", 40)
    rows, judge = simulate.simulated_rows(search.labels, 0), METRICS[metric]
    assert len(rows) == 40 and (np.diff(rows) > 0).all()
    assert rows.tolist() != simulate.simulated_rows(search.labels, 1).tolist()
    found = evaluator(search, metric)(GENES)
    for answer in answers(search)(GENES, "full"):
        int8 = int8_logits(GENES[answer.row], search.raw[rows])
        change = judge(search.labels[rows], int8) - judge(search.labels[rows], answer.logits[rows])
        assert found[answer.row] == pytest.approx(judge(search.labels, answer.logits) + change, abs=2.01 / 40)
    assert len(set(found)) > 2


def test_a_class_of_few_pictures_is_never_left_out(monkeypatch):
    monkeypatch.setattr(simulate, "IMAGES", 10)
    labels = np.repeat([0, 1], [300, 2])
    assert simulate.simulated_rows(labels, 0).tolist() == list(range(302))
    assert len(simulate.simulated_rows(np.zeros(302, int), 0)) == 10


def test_a_network_of_no_numbers_has_failed(search):
    def broken(genes, part):
        for answer in answers(search)(genes, part):
            yield answer._replace(logits=np.full_like(answer.logits, np.nan)) if answer.row == 1 else answer

    found = evaluator(search, answers=broken)(GENES[:3])
    assert np.isnan(found).tolist() == [False, True, False]
