"""Fine-tuning under int8: the simulation is the exported integers, its gradients train, and it resumes bit for bit."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from deploy_nets import batch_norm_network, networks, pictures
from shape_toys import NETWORKS
from supernet_toys import SPACE, assert_same_trees, easy_split, noise

from danas_jax.config import ExportSettings, RetrainSettings
from danas_jax.data.batches import RETRAIN_CALIBRATION, calibration_rows
from danas_jax.deploy import fold, int8, integer, qat, quantise, ranges
from danas_jax.supernet.checkpoint import Checkpoints
from danas_jax.supernet.evaluate import calibration_batches, network_program
from danas_jax.supernet.network import Network, init_variables, normalise_pixels
from danas_jax.views.resize import deployed_view

RECIPE = RetrainSettings(epochs=4, batch_size=8, calibration_images=32)
SETTINGS = ExportSettings(calibration_images=32, calibration="minmax", qat_epochs=3, qat_learning_rate=5e-3)
TRAINING, VALIDATION = easy_split(64), easy_split(20, seed=1)
RGB = np.where(np.arange(len(SPACE.axes)) == SPACE.index["colour"], 1, SPACE.min_genes)


def float32(tree):
    return jax.tree.map(lambda leaf: np.asarray(leaf, np.float32), tree)


@pytest.mark.parametrize("layers", [networks()[3], NETWORKS["series1"]], ids=["square", "series"])
def test_every_operator_gives_the_integers_on_the_integers(layers):
    """From the exact inputs of each: whole networks are chaotic, a tie that float32 rounds otherwise spreads."""
    images = pictures(layers[0].in_shape, 32, seed=9)
    params, stats = map(float32, batch_norm_network(layers, images, seed=3)[:2])
    folded = fold.fold_batch_norm(layers, params, stats)
    model = quantise.quantise(layers, folded, ranges.min_max_ranges(layers, folded, images))
    images = pictures(model.input_shape, 16, seed=4)
    outputs = {"input": model.input} | {layer.spec.name: layer.output for layer in model.layers}
    codes = {"input": images.astype("f") - 128}
    for i, layer in enumerate(model.layers):
        found = integer.integer_forward(quantise.QuantisedModel(model.layers[: i + 1]), images)
        codes[layer.spec.name] = found.reshape(16, *layer.spec.out_shape).astype("f") - layer.output.zero_point

    @jax.jit
    def simulated(codes, params):
        return {
            layer.spec.name: qat.operator(
                layer.spec,
                {**params.get(layer.spec.name, {}), **stats.get(layer.spec.name, {})},
                [codes[name] for name in layer.spec.inputs],
                [outputs[name] for name in layer.spec.inputs],
                layer.output,
            )
            for layer in model.layers
        }

    assert {layer.op for layer in layers} == {"conv", "depthwise", "add", "avg_pool", "dense"}
    for name, found in simulated(codes, params).items():
        off = np.abs(np.asarray(found) - codes[name])
        assert off.max() <= 1, name
        assert (off == 0).mean() > 0.9995, name


def start(genes):
    """(layers, source, params, statistics) of a fresh network with the statistics of training pictures."""
    layers, source = SPACE.layers(genes, 2), SPACE.input(genes)
    params, _ = init_variables(layers, 0)
    chosen = calibration_rows(0, RETRAIN_CALIBRATION, len(TRAINING), 64)
    images = source.deployed(TRAINING.raw[chosen])
    stats = network_program(layers)[0](params, jnp.asarray(calibration_batches(images, 64)))
    return layers, source, params, jax.device_get(stats)


def tune(folder, genes=SPACE.min_genes, settings=SETTINGS, log=lambda record: None):
    chosen, _, found = int8.int8_network(*start(genes), settings, RECIPE, TRAINING, VALIDATION, 0, folder, log)
    return chosen.model, found


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    return tune(tmp_path_factory.mktemp("unbroken"))


def same(one, two):
    assert one[1] == two[1]
    for a, b in zip(one[0].layers, two[0].layers, strict=True):
        assert (a.spec, a.output) == (b.spec, b.output)
        assert_same_trees((a.kernel, a.kernel_scales, a.bias), (b.kernel, b.kernel_scales, b.bias))


def test_a_killed_tuning_ends_where_an_unbroken_one_does(unbroken, tmp_path):
    def killed(record):
        if record["epoch"] == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tune(tmp_path, log=killed)
    seen = []
    same(tune(tmp_path, log=seen.append), unbroken)
    assert [record["epoch"] for record in seen] == [2, 3]
    same(tune(tmp_path, log=seen.append), unbroken)  # finished: nothing is trained
    assert len(seen) == 2


def test_an_untrained_network_learns_in_integers_and_they_are_the_simulated_ones(tmp_path, monkeypatch):
    """>= 99 % of the logits of a trained network within 1 code of the exported integers'."""
    settings = dataclasses.replace(SETTINGS, qat_epochs=8, qat_learning_rate=1e-2, qat_distillation=0.0)
    kept, real = [], qat.fine_tune
    monkeypatch.setattr(int8, "fine_tune", lambda *given: kept.append((real(*given), given)) or kept[0][0])
    records = []
    model, found = tune(tmp_path, RGB, settings, records.append)
    assert found["tried"]["minmax"]["int8_validation"] < 0.8
    assert found["tried"]["qat"]["int8_validation"] > 0.9
    assert found["tried"]["qat"]["int8_validation"] == max(record["validation_accuracy"] for record in records)
    assert (found["chosen"], found["ranges"]) == ("qat", "minmax")
    images = deployed_view(VALIDATION.raw, 16, "rgb")
    right = (integer.integer_forward(model, images).argmax(-1) == VALIDATION.labels).mean()
    assert right == found["tried"]["qat"]["int8_validation"]
    ((params, given),) = kept
    stats = given[3]
    images = np.concatenate([images, deployed_view(noise(80, 24), 16, "rgb")])
    values = jax.jit(qat.simulation(model, stats))(params, jnp.asarray(images, "f"))
    off = np.rint(values / model.output.scale) + model.output.zero_point - integer.integer_forward(model, images)
    assert (np.abs(off) <= 1).mean() >= 0.99


def fine_tuned(folder, untuned_accuracy, judged, settings=SETTINGS):
    """(params at the start, after fine-tuning whose every epoch is `judged` so), of the smallest network."""
    layers, source, params, stats = start(SPACE.min_genes)
    folded = fold.fold_batch_norm(layers, params, stats)
    images = deployed_view(TRAINING.raw[:32], source.shape[0], "mono")
    model = quantise.quantise(layers, folded, ranges.min_max_ranges(layers, folded, images))
    saved = Checkpoints(folder)
    found = qat.fine_tune(
        model, source, params, stats, lambda params: (judged, judged), settings, RECIPE, TRAINING, 0, saved,
        untuned_accuracy,
    )  # fmt: skip
    saved.close()
    return params, found


def test_the_untuned_network_stays_where_no_epoch_is_better(tmp_path):
    assert_same_trees(*fine_tuned(tmp_path / "worse", 0.7, 0.6))
    params, found = fine_tuned(tmp_path / "better", 0.7, 0.8)
    assert not np.array_equal(params["stem"]["kernel"], found["stem"]["kernel"])


def test_it_learns_the_float_networks_answers_not_the_labels(tmp_path, monkeypatch):
    """With labels turned round the steps are the same ones, where all of the targets are the network's own."""
    turned = dataclasses.replace(TRAINING, labels=1 - TRAINING.labels)
    for share, same in ((1.0, True), (0.5, False)):
        settings = dataclasses.replace(SETTINGS, qat_epochs=1, qat_distillation=share)
        kernels = []
        for training in (TRAINING, turned):
            monkeypatch.setitem(globals(), "TRAINING", training)
            found = fine_tuned(tmp_path / f"{share}_{len(kernels)}", -1, 0.5, settings)[1]
            kernels.append(found["classifier"]["kernel"])
        assert np.array_equal(*kernels) == same
        monkeypatch.undo()


def test_without_rounding_it_is_the_float_network_and_so_are_its_gradients(strict_types, monkeypatch):
    """Folding, scales and clipping lose nothing of either; rounding is straight through."""
    slope = jax.vmap(jax.value_and_grad(qat._rounded))(jnp.array([-2.5, -0.4, 0.5, 7.2]))
    np.testing.assert_array_equal(slope, [[-3, 0, 1, 7], [1, 1, 1, 1]])
    monkeypatch.setattr(qat, "_rounded", lambda x: x)
    layers, _, params, stats = start(RGB)
    images = deployed_view(TRAINING.raw[:32], 16, "rgb")
    folded = fold.fold_batch_norm(layers, params, stats)
    found = ranges.min_max_ranges(layers, folded, images)
    wide = {name: (1.1 * low, 1.1 * high) for name, (low, high) in found.items()}
    model = quantise.quantise(layers, folded, wide)
    views = jnp.asarray(images, jnp.float32)
    towards = jnp.asarray(np.random.default_rng(0).normal(size=(32, 2)), jnp.float32)

    def plain(params):
        return Network(layers).apply({"params": params, "batch_stats": stats}, normalise_pixels(views))

    def simulated(params):
        return qat.simulation(model, stats)(params, views)

    one, two = (
        jax.jit(jax.value_and_grad(lambda p, run=run: (run(p) * towards).sum()))(params) for run in (plain, simulated)
    )
    assert float(one[0]) == pytest.approx(float(two[0]), rel=0.01)
    for name in params:
        a, b = (np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree[name])]) for tree in (one[1], two[1]))
        assert np.linalg.norm(a - b) < 0.01 * np.linalg.norm(a), name


def test_it_is_the_retrainings_recipe_at_another_learning_rate_on_further_views(monkeypatch):
    layers, source, params, stats = start(SPACE.min_genes)
    folded = fold.fold_batch_norm(layers, params, stats)
    model = quantise.quantise(layers, folded, dict.fromkeys((layer.name for layer in layers), (-4.0, 6.0)))
    calls = []
    monkeypatch.setattr(qat, "fit", lambda *given, **named: calls.append((given, named)) or ("best", []))
    recipe = dataclasses.replace(RECIPE, validate_every_epochs=3, cutmix=0.3)
    assert qat.fine_tune(model, source, params, stats, len, SETTINGS, recipe, TRAINING, 7, None, 0.7) == "best"
    ((given, named),) = calls
    expected = dataclasses.replace(recipe, epochs=3, learning_rate=5e-3, distillation=1.0, validate_every_epochs=1)
    assert given[1:9] == (len, params, source, expected, TRAINING, 2, 7, None)
    teacher = named.pop("teacher")
    assert (teacher.layers, teacher.source) == (layers, source)
    assert teacher.variables == {"params": params, "batch_stats": stats}
    assert named == {"first_view": 4, "start_metric": 0.7}
    assert given[10]("loss is nan at step 2") == (
        f"the fine-tuned network's loss is nan at step 2 (16 px mono, {len(layers)} layers): give a lower "
        "--export.qat-learning-rate (in another --run-dir), or --export.qat-epochs 0"
    )
