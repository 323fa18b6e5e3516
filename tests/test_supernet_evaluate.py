"""Exact accuracy: pooled statistics, what is counted, and that a subnet is evaluated as the network it becomes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from supernet_toys import BOUNDS, CLASSES, SPACE, noise, random_genes, supernet_params

from danas_jax.classification import METRICS
from danas_jax.data.dataset import Split
from danas_jax.errors import UserError
from danas_jax.supernet import elastic, evaluate
from danas_jax.supernet.buckets import bucket_of, make_buckets
from danas_jax.supernet.evaluate import batches, calibration_batches, network_program, pool_statistics, subnet_evaluator
from danas_jax.views.resize import deployed_view

pytestmark = pytest.mark.usefixtures("strict_types")
HALF = 0.4
CALIBRATION = noise(70, 24, seed=4)  # one whole batch of 64, the rest left out


@pytest.fixture(scope="module")
def params():
    return supernet_params()


@pytest.fixture(scope="module")
def search():
    labels = np.random.default_rng(6).integers(0, CLASSES, 75).astype(np.int32)  # 75 = 64 + 11: padding in play
    return Split(noise(75, 24, seed=3), labels, tuple(map(str, range(75))))


def evaluator(params, search, seed=0, **changes):
    return subnet_evaluator(
        SPACE, params, BOUNDS, CALIBRATION, changes.pop("split", search), HALF, CLASSES, seed, **changes,
    )  # fmt: skip


@pytest.mark.parametrize("mean", [0.0, 300.0])
def test_pooled_statistics_are_those_of_all_images(mean):
    rng = np.random.default_rng(0)
    x = (rng.normal(mean, 1.5, (5, 8, 4, 4, 6)) + rng.normal(0, 2, (5, 1, 1, 1, 1))).astype(np.float32)

    def run_batch(batch):
        centre = batch.mean((0, 1, 2))
        return {"a": {"mean": centre, "var": ((batch - centre) ** 2).mean((0, 1, 2))}}

    found = jax.jit(lambda x: pool_statistics(run_batch, x))(x)["a"]
    exact = x.reshape(-1, 6).astype(np.float64)
    np.testing.assert_allclose(found["mean"], exact.mean(0), rtol=1e-6, atol=1e-5)
    np.testing.assert_allclose(found["var"], exact.var(0), rtol=1e-4)
    parts = x.reshape(5, -1, 6)
    assert (exact.var(0) > 1.3 * parts.var(1).mean(0)).all()  # the spread of the means is a good part of it


def test_batches_keep_every_image_and_fill_up_with_no_label():
    images, labels = noise(7, 8), np.arange(7, dtype=np.int32)
    cut, marks = batches(images, labels, 3)
    assert cut.shape == (3, 3, 8, 8, 3)
    np.testing.assert_array_equal(cut.reshape(-1, 8, 8, 3)[:7], images)
    assert marks.reshape(-1).tolist() == [*range(7), -1, -1]


@pytest.mark.parametrize(("count", "shape"), [(70, (1, 64)), (128, (2, 64)), (10, (1, 10)), (999, (2, 64))])
def test_calibration_takes_whole_batches(count, shape):
    assert calibration_batches(noise(130, 8), count).shape[:2] == shape


def own_logits(params, genes, images, labels):
    """Logits of the extracted network, by its own programs on its own view."""
    layers = SPACE.layers(genes, CLASSES)
    source = SPACE.input(genes)
    own = elastic.subnet_params(layers, source, params)
    calibrate, predict = network_program(layers)
    view = [source.deployed(x) for x in (CALIBRATION, images)]
    stats = calibrate(own, calibration_batches(view[0], len(CALIBRATION)))
    assert view[1].shape[-1] == source.shape[2]
    return np.asarray(predict(own, stats, batches(view[1], labels)[0])).reshape(-1, CLASSES)[: len(labels)]


def test_a_subnets_accuracy_is_the_extracted_networks(params, search):
    """Both colours, both resolutions, on the whole slice and on half of it, equal to the image."""
    genes = random_genes(6)[[0, 1, 2, 5]]
    half = np.sort(np.random.default_rng([0, 4]).permutation(75)[: round(HALF * 75)])
    evaluate_subnets = evaluator(params, search)
    full, part = evaluate_subnets(genes, "full"), evaluate_subnets(genes, "half")
    for i, row in enumerate(genes):
        right = own_logits(params, row, search.raw, search.labels).argmax(-1) == search.labels
        assert full[i] == right.mean()
        assert part[i] == right[half].mean()
    assert len(set(full)) > 2  # accuracies that differ
    assert ((full > 0) & (full < 1)).all()


def test_other_metrics_are_of_the_very_logits(params, search):
    """Padding, 53 of 128 rows, counts for none of them."""
    genes = random_genes(6)[[0, 1, 2]]
    logits = [own_logits(params, row, search.raw, search.labels) for row in genes]
    found = {metric: evaluator(params, search, metric=metric)(genes, "full") for metric in METRICS}
    for metric, judge in METRICS.items():
        expected = [judge(search.labels, each) for each in logits]
        np.testing.assert_allclose(found[metric], expected, atol=1e-4 if metric == "auc" else 1e-12)
    assert len({tuple(column) for column in found.values()}) == len(METRICS)


def test_pictures_of_one_class_tell_no_auc(params, search):
    split = Split(search.raw, np.ones_like(search.labels), search.names)
    with pytest.raises(UserError, match=r"search.metric = 'auc': the 75 images .* are of one class"):
        evaluator(params, search, split=split, metric="auc")
    assert evaluator(params, search, split=split, metric="f1")(SPACE.min_genes[None], "half") >= 0


def test_padding_is_never_right(params, search):
    """Labels set to the answers: exactly 1, though 53 of 128 rows are padding; and only real images are counted."""
    genes = SPACE.max_genes
    source = SPACE.input(genes)
    layers = SPACE.layers(genes, CLASSES)
    own = elastic.subnet_params(layers, source, params)
    calibrate, predict = network_program(layers)
    view = [source.deployed(x) for x in (CALIBRATION, search.raw)]
    stats = calibrate(own, calibration_batches(view[0], 70))
    answers = np.asarray(predict(own, stats, batches(view[1], search.labels)[0])).argmax(-1).reshape(-1)[:75]
    for labels, expected in ((answers, 1.0), ((answers + 1) % CLASSES, 0.0)):
        split = Split(search.raw, labels.astype(np.int32), search.names)
        assert evaluator(params, search, split=split)(genes[None], "full").tolist() == [expected]
        assert evaluator(params, search, split=split)(genes[None], "half").tolist() == [expected]


def test_half_is_a_fixed_part_of_the_slice(params, search, monkeypatch):
    """The same images whatever is evaluated, others with another seed, as many as the fraction says."""
    taken = []
    real = evaluate.batches
    monkeypatch.setattr(evaluate, "batches", lambda *a: taken.append(a) or real(*a))
    genes = SPACE.min_genes[None]
    for seed in (0, 0, 1):
        evaluator(params, search, seed)(genes, "half")
    small = deployed_view(search.raw, 16, "rgb")
    keys = {image.tobytes(): i for i, image in enumerate(small)}
    taken = [(images, labels) for images, labels in taken if len(images) < 75]
    rows = [[keys[image.tobytes()] for image in images] for images, _ in taken]
    assert [len(r) for r in rows] == [30, 30, 30]
    assert rows[0] == rows[1] != rows[2]
    assert all(len(set(r)) == 30 for r in rows)
    assert all((labels == search.labels[r]).all() for r, (_, labels) in zip(rows, taken, strict=True))


def test_progress_and_one_program_per_input_shape_and_bucket(params, search):
    evaluate._subnet_program.cache_clear()
    seen = []
    run = evaluator(params, search, progress=lambda *event: seen.append(event))
    genes = random_genes(6)
    run(genes, "full")
    assert seen == [(i + 1, 6) for i in range(6)]
    buckets = make_buckets(SPACE, *(tuple(bound.tolist()) for bound in BOUNDS))
    envelopes = {bucket_of(SPACE, buckets, row) for row in genes}
    assert evaluate._subnet_program.cache_info().currsize == len(envelopes) == 4
    for envelope in envelopes:
        assert evaluate._subnet_program(SPACE, envelope, CLASSES)._cache_size() == 1


def test_many_at_a_time_equal_one_by_one(params, search, monkeypatch):
    genes = random_genes(7)
    alone = evaluator(params, search)(genes, "full")
    monkeypatch.setattr(evaluate, "subnets_per_launch", lambda: 3)
    evaluate._subnet_program.cache_clear()
    together = evaluator(params, search)(genes, "full")
    assert together.tolist() == alone.tolist()
    assert len(set(alone)) > 2
    assert all(program._cache_size() == 1 for program in programs_of(genes))


def programs_of(genes):
    buckets = make_buckets(SPACE, *(tuple(bound.tolist()) for bound in BOUNDS))
    return {evaluate._subnet_program(SPACE, bucket_of(SPACE, buckets, row), CLASSES) for row in genes}


def test_network_program_gives_the_statistics_of_the_calibration_images(params):
    """The stem's, by hand in float64: its input is known."""
    genes = SPACE.min_genes
    layers = SPACE.layers(genes, CLASSES)
    own = elastic.subnet_params(layers, SPACE.input(genes), params)
    images = calibration_batches(deployed_view(noise(128, 24), 16, "mono"), 128)
    stats = network_program(layers)[0](own, images)
    x = (images.reshape(-1, 16, 16, 1).astype(np.float64) - 128) / 128
    x = np.pad(x, ((0, 0), (0, 1), (0, 1), (0, 0)))  # SAME at stride 2 on an even size pads after
    y = sum(x[:, i : i + 16 : 2, j : j + 16 : 2] @ own["stem"]["kernel"][i, j] for i in range(3) for j in range(3))
    np.testing.assert_allclose(stats["stem"]["mean"], y.mean((0, 1, 2)), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(stats["stem"]["var"], y.var((0, 1, 2)), rtol=1e-4)
    assert isinstance(stats["head"]["mean"], jnp.ndarray)
