"""Stages of plain convolutions: one network under masks, by branches, as a mixture, alone, in int8 and moved over."""

import dataclasses
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from supernet_toys import CLASSES, SPACE, noise, random_genes, random_statistics, supernet_params

from danas_jax import config_io
from danas_jax.deploy.fold import fold_batch_norm
from danas_jax.deploy.integer import integer_forward
from danas_jax.deploy.quantise import quantise
from danas_jax.deploy.ranges import min_max_ranges
from danas_jax.deploy.tflite_writer import write_tflite
from danas_jax.deploy.verify import run_tflm
from danas_jax.errors import UserError
from danas_jax.report.systems import arch_lines
from danas_jax.space import SearchSpace, Stage
from danas_jax.spaces import mobilenetv2_tiny, quickstart
from danas_jax.supernet import adaptive, elastic, mixture
from danas_jax.supernet.network import Network, init_variables, normalise_pixels
from danas_jax.transfer.match import transferred
from danas_jax.transfer.source import Source
from danas_jax.views.resize import deployed_view

pytestmark = pytest.mark.usefixtures("strict_types")
CONV = Stage(widths=(16, 24), depths=(1, 3), stride=2, kernels=(3, 5), block="conv")
CONVS = dataclasses.replace(SPACE, name="convs", stages=(CONV, dataclasses.replace(SPACE.stages[1], stride=1)))
ENVELOPE = tuple(CONVS.max_genes.tolist())
LAYERS = elastic.envelope_layers(CONVS, ENVELOPE, CLASSES)
GENES = random_genes(6, CONVS)


@pytest.fixture(scope="module")
def params():
    return supernet_params(CONVS)


@pytest.fixture(scope="module")
def stats(params):
    return random_statistics(params)


def alone(params, stats, genes, images):
    """Logits of the stand-alone network, on its deployed view."""
    layers = CONVS.layers(genes, CLASSES)
    own = elastic.subnet_params(layers, CONVS.input(genes), params)
    x = deployed_view(images, images.shape[1], CONVS.view.colours[genes[CONVS.index["colour"]]])
    part = {"params": own, "batch_stats": elastic.slice_variables(layers, stats)}
    return layers, part, np.asarray(jax.jit(Network(layers).apply)(part, normalise_pixels(jnp.asarray(x))))


def test_what_the_genes_mean():
    genes = CONVS.max_genes
    layers = {layer.name: layer for layer in CONVS.layers(genes, CLASSES) if layer.name.startswith("s0")}
    assert list(layers) == ["s0.b0.conv", "s0.b1.conv", "s0.b1.add", "s0.b2.conv", "s0.b2.add"]
    assert layers["s0.b0.conv"].weight_shape == (5, 5, 8, 24) and layers["s0.b0.conv"].stride == 2
    assert layers["s0.b1.conv"].weight_shape == (5, 5, 24, 24) and layers["s0.b1.conv"].activation == "relu6"
    genes[CONVS.index["s0.b1.kernel"]] = 0
    assert {layer.name: layer for layer in CONVS.layers(genes, CLASSES)}["s0.b1.conv"].kernel == (3, 3)
    np.testing.assert_array_equal(CONVS.encode(*CONVS.decode(genes)), genes)
    assert "stage of 24 (conv): k5 e1, k3 e1, k5 e1" in arch_lines(CONVS.describe(genes)["arch"])
    assert "(conv)" not in "".join(arch_lines(SPACE.describe(SPACE.max_genes)["arch"]))


def test_masks_and_branches_are_the_network_alone(params, stats):
    def branches(sizes):
        def run(genes, images):
            x = normalise_pixels(elastic.seen(CONVS, images, genes))
            return adaptive.forward(CONVS, ENVELOPE, LAYERS, params, stats, genes, x, sizes)[0]

        return jax.jit(run)

    @jax.jit
    def masked(genes, images):
        x, masks = normalise_pixels(elastic.seen(CONVS, images, genes)), elastic.masks(CONVS, genes, LAYERS)
        return Network(LAYERS).apply({"params": params, "batch_stats": stats}, x, masks)

    programs = [masked, branches(True), branches(False)]
    told = []
    for i, genes in enumerate(GENES):
        images = noise(8, CONVS.view.resolutions_px[1], seed=i)
        genes = np.array([1, *genes[1:]])
        expected = alone(params, stats, genes, images)[2]
        told.append(np.ptp(expected, axis=0).max())
        for program in programs:
            found = program(jnp.asarray(genes, jnp.int32), jnp.asarray(images))
            np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5)
    assert np.median(told) > 0.01  # logits that tell the pictures apart
    assert all(program._cache_size() == 1 for program in programs)


@pytest.mark.parametrize("genes", GENES, ids=str)
def test_one_hot_shares_are_the_masks(genes):
    shares = np.eye(int(CONVS.cardinalities.max()), dtype=np.float32)[genes]
    mixed = mixture.mixed_masks(CONVS, jnp.asarray(shares), LAYERS)
    jax.tree.map(np.testing.assert_array_equal, mixed, dict(elastic.masks(CONVS, jnp.asarray(genes), LAYERS)))


def test_the_int8_file_answers_as_the_integers_do(params, stats):
    images = noise(24, 24)
    layers, part, logits = alone(params, stats, CONVS.max_genes, images)
    folded = fold_batch_norm(layers, *(jax.tree.map(np.asarray, part[name]) for name in ("params", "batch_stats")))
    model = quantise(layers, folded, min_max_ranges(layers, folded, images))
    answers = run_tflm(write_tflite(model, {}), images)
    np.testing.assert_array_equal(answers, integer_forward(model, images))
    real = (answers.astype(np.float32) - model.output.zero_point) * model.output.scale
    assert np.abs(real - logits).max() < 0.2 * np.ptp(logits)


def test_a_deeper_network_answers_as_the_shallower_one(params):
    shallow = dataclasses.replace(CONVS, stages=(dataclasses.replace(CONV, depths=(2,)), CONVS.stages[1]))
    source = Source(Path("it.npz"), supernet_params(shallow), ("ant", "bee", "cat"))
    begun = transferred(LAYERS, init_variables(LAYERS, 9)[0], source, source.classes)
    assert {row.block: row.what for row in begun.rows}["s0.b2"] == "fresh"
    x = normalise_pixels(jnp.asarray(noise(8, 24)))
    theirs = elastic.envelope_layers(shallow, tuple(shallow.max_genes.tolist()), CLASSES)
    ours, expected = (
        np.asarray(jax.jit(partial(Network(layers).apply, train=True))({"params": given}, x))
        for layers, given in ((LAYERS, begun.params), (theirs, source.params))
    )
    assert np.ptp(expected) > 0.1
    np.testing.assert_allclose(ours, expected, atol=2e-5)


def test_other_spaces_keep_their_ids():
    assert (quickstart().fingerprint, mobilenetv2_tiny().fingerprint) == ("12c7e36f9861", "d3fe0501a142")
    assert CONVS.fingerprint != dataclasses.replace(
        CONVS, stages=(dataclasses.replace(CONV, block="inverted_residual"), CONVS.stages[1])
    ).fingerprint  # fmt: skip


def test_a_config_keeps_the_kind_of_its_blocks():
    config = dataclasses.replace(config_io.load_config("quickstart"), space=CONVS)
    assert config_io.from_json(config_io.to_json(config)).space == CONVS
    wrong = dataclasses.replace(CONV, block="dense")
    with pytest.raises(UserError, match=r"space.stages\[0\].block = 'dense': one of 'inverted_residual', 'conv'"):
        config_io.to_json(dataclasses.replace(config, space=dataclasses.replace(CONVS, stages=(wrong,))))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"expansions": (3, 4)}, r"expansions = \(3, 4\): conv blocks expand nothing"),
        ({"kernels": (1, 3)}, r"kernels = \(1, 3\): with a stride 1 mixes with no other value"),
    ],
)
def test_what_a_stage_cannot_be(change, message):
    with pytest.raises(UserError, match=r"space.stages\[0\]." + message):
        SearchSpace("wrong", SPACE.view, (8,), (dataclasses.replace(CONV, **change),), (8,))
