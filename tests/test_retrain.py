"""Retraining: resumes bit for bit, keeps the best validated epoch, and the fixed networks are the published ones."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from supernet_toys import SPACE, assert_same_trees, easy_split, noise

from danas_jax.baselines import baseline_layers
from danas_jax.config import Baseline, Config, RetrainSettings, SearchSettings
from danas_jax.data.mixing import view_keys
from danas_jax.deploy import epochs, finalists
from danas_jax.deploy import retrain as module
from danas_jax.deploy.retrain import image_views, retrain
from danas_jax.layers import total_macs
from danas_jax.metrics import share_interval
from danas_jax.supernet.checkpoint import Checkpoints
from danas_jax.supernet.guard import Diverged
from danas_jax.supernet.network import init_variables
from danas_jax.tensorboard import scalars
from danas_jax.views._pictures import training_views
from danas_jax.views.image import ImageData, ImageView

SETTINGS = RetrainSettings(epochs=4, batch_size=8, calibration_images=32)
TRAINING, VALIDATION = easy_split(32), easy_split(20, seed=1)
MONO = SPACE.min_genes
VIEW = ImageView((96,))
RGB = np.where(np.arange(len(SPACE.axes)) == SPACE.index["colour"], 1, SPACE.min_genes)


def run(folder, genes=MONO, settings=SETTINGS, seed=0, checkpoints=Checkpoints, log=lambda record: None):
    layers = SPACE.layers(genes, 2)
    start, _ = init_variables(layers, seed)
    saved = checkpoints(folder)
    try:
        source = SPACE.input(genes)
        return retrain(layers, source, start, settings, TRAINING, VALIDATION, seed, saved, log)
    finally:
        saved.close()


def same(one, two):
    assert_same_trees((one.params, one.stats), (two.params, two.stats))
    assert one.validation_accuracy == two.validation_accuracy
    assert one.history == two.history


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    return run(tmp_path_factory.mktemp("unbroken"))


@pytest.mark.parametrize("where", ["log", "save"])
def test_a_killed_run_ends_where_an_unbroken_one_does(unbroken, tmp_path, where):
    """Killed between an epoch and its checkpoint, and right after a checkpoint."""

    class Killed(Checkpoints):
        def save(self, step, state):
            super().save(step, state)
            if where == "save" and step == 2:
                raise KeyboardInterrupt

    def log(record):
        if where == "log" and record["epoch"] == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, checkpoints=Killed, log=log)
    seen = []
    same(run(tmp_path, log=seen.append), unbroken)
    assert [record["epoch"] for record in seen] == [3, 4]
    same(run(tmp_path), unbroken)  # finished: nothing is trained


def test_a_killed_run_with_options_ends_where_an_unbroken_one_does(unbroken, tmp_path):
    settings = dataclasses.replace(
        SETTINGS, epochs=2, optimiser="sgd", learning_rate=2e-2, saturation_jitter=0.3, mixup=0.4, cutmix=1.0
    )

    class Killed(Checkpoints):
        def save(self, step, state):
            super().save(step, state)
            raise KeyboardInterrupt

    whole = run(tmp_path / "whole", settings=settings)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "killed", settings=settings, checkpoints=Killed)
    same(run(tmp_path / "killed", settings=settings), whole)
    assert whole.history[:2] != unbroken.history[:2]


def test_a_loss_that_is_no_number_ends_the_run_and_is_not_saved(tmp_path):
    """Learning rate 0 at step 0, absurd weights after step 1, no number at step 2: still in the first epoch."""
    said = r"the retrained network's loss is (nan|inf) at step 2 \(16 px mono, \d+ layers\)"
    with pytest.raises(Diverged, match=said):
        run(tmp_path, settings=dataclasses.replace(SETTINGS, learning_rate=1e30))
    assert not [path for path in tmp_path.iterdir() if path.name.isdigit()]


def test_it_learns_in_both_colours(unbroken, tmp_path):
    assert unbroken.history[-1]["loss"] < unbroken.history[0]["loss"]
    found = run(tmp_path, RGB, dataclasses.replace(SETTINGS, epochs=8, learning_rate=1e-2, ema_decay=0.9))
    assert found.validation_accuracy > 0.9
    assert found.params["stem"]["kernel"].shape[2] == 3
    assert unbroken.params["stem"]["kernel"].shape[2] == 1


def test_the_best_validated_epoch_is_kept(tmp_path, monkeypatch):
    """Validation is scripted: epoch 2 is best, epoch 4 only as good; what comes back is epoch 2's average."""
    script, seen = iter([0.6, 0.9, 0.7, 0.9]), []

    def validator(*arguments):
        def validate(params):
            seen.append(jax.device_get(params))
            accuracy = next(script, 0.42)
            return {"stats": len(seen)}, accuracy, accuracy

        return validate

    monkeypatch.setattr(module, "_validator", validator)
    done = run(tmp_path)
    assert [row["validation_accuracy"] for row in done.history] == [0.6, 0.9, 0.7, 0.9]
    assert_same_trees(done.params, seen[1])
    assert not np.array_equal(done.params["head"]["kernel"], seen[3]["head"]["kernel"])
    assert len(seen) == 5
    assert_same_trees(seen[4], seen[1])  # statistics and the final figure are the kept epoch's
    assert (done.stats, done.validation_accuracy) == ({"stats": 5}, 0.42)


@pytest.mark.parametrize(("judged", "kept"), [([0.2, 0.1, 0.3, 0.2], 2), ([np.nan] * 4, 3)])
def test_the_metric_of_the_search_picks_the_epoch(tmp_path, monkeypatch, judged, kept):
    """And not accuracy; where it cannot be told the last epoch is kept, never the start."""
    script, seen = iter(zip([0.6, 0.9, 0.7, 0.8], judged, strict=True)), []

    def validate(params):
        seen.append(jax.device_get(params))
        return {}, *next(script, (0.42, 0.42))

    monkeypatch.setattr(module, "_validator", lambda *arguments: validate)
    done = run(tmp_path)
    assert_same_trees(done.params, seen[kept])
    assert not np.array_equal(seen[kept]["head"]["kernel"], seen[1]["head"]["kernel"])
    assert [row["validation_accuracy"] for row in done.history] == [0.6, 0.9, 0.7, 0.8]


def test_a_finalist_is_retrained_by_the_metric_of_its_search(tmp_path, monkeypatch):
    config = Config("toy", search=SearchSettings(metric="f1"))
    layers, source = SPACE.layers(MONO, 2), SPACE.input(MONO)
    finalist = finalists.Finalist("b", "b", "baseline", layers, source, None, None, None)

    def told(*arguments):
        raise KeyboardInterrupt(arguments[-3:])

    monkeypatch.setattr(finalists, "retrain", told)
    with pytest.raises(KeyboardInterrupt, match=r"\('f1', 'the teacher', None\)"):
        finalists.retrain_one(tmp_path, finalist, config, {}, TRAINING, VALIDATION, "the teacher", lambda record: None)


def test_validation_may_be_rarer_but_the_last_epoch_always_counts(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(module, "_validator", lambda *a: lambda params: (calls.append(1), 0.5 + len(calls) / 100, 0.5))
    done = run(tmp_path, settings=dataclasses.replace(SETTINGS, validate_every_epochs=3))
    assert [row["validation_accuracy"] is None for row in done.history] == [True, True, False, False]


def test_validation_pictures_decide_and_training_pictures_do_not(tmp_path, unbroken):
    """The figure is that of the validation split: with its labels turned round it is turned round."""
    layers = SPACE.layers(MONO, 2)
    source = SPACE.input(MONO)
    turned = dataclasses.replace(VALIDATION, labels=1 - VALIDATION.labels)
    found = [
        module._validator(layers, source, SETTINGS, TRAINING, v, 0, "auc")(unbroken.params)[1:]
        for v in (VALIDATION, turned)
    ]
    assert found[0][0] == pytest.approx(unbroken.validation_accuracy)
    assert np.sum(found, axis=0) == pytest.approx(1.0)
    assert found[0][0] != found[0][1]


def test_the_average_moves_on_from_the_start(tmp_path):
    """ema_decay 0 is the plain weights; a high decay lags behind them but has left the start after 16 steps."""
    start, _ = init_variables(SPACE.layers(MONO, 2), 0)
    one = dataclasses.replace(SETTINGS, epochs=1)
    plain = run(tmp_path / "plain", settings=dataclasses.replace(one, ema_decay=0.0)).params["head"]["kernel"]
    slow = run(tmp_path / "slow", settings=dataclasses.replace(one, ema_decay=0.9999)).params["head"]["kernel"]
    moved, lagging = np.abs(plain - start["head"]["kernel"]).max(), np.abs(slow - start["head"]["kernel"]).max()
    assert 0 < lagging < moved


def test_views_and_order_are_those_of_their_numbers(tmp_path):
    """An epoch that starts at view 1 is another one than the first, and the same every time."""
    layers, source = SPACE.layers(MONO, 2), SPACE.input(MONO)
    start, _ = init_variables(layers, 0)
    one = dataclasses.replace(SETTINGS, epochs=1)

    def loss(folder, **first):
        saved, seen = Checkpoints(tmp_path / folder), []

        def logits_of(params, views):
            return (views / 128 - 1).mean((1, 2)) @ params["head"]["kernel"][0, 0, :1, :2]

        epochs.fit(
            logits_of, lambda params: (0.5, 0.5), start, source, one, TRAINING, 2, 0, saved, seen.append, str, **first
        )
        saved.close()
        return seen[0]["loss"]

    assert loss("a") == loss("b", first_view=0) != loss("c", first_view=1) == loss("d", first_view=1)


def test_image_views_are_the_images_of_all_steps():
    assert image_views(SETTINGS, 35) == 4 * 4 * 8
    assert image_views(SETTINGS, 3) == 4 * 8


def test_mobilenet_v1_quarter_is_the_published_network():
    """96 px, rgb, 2 classes: MACs and params counted by hand from the published table."""
    layers = baseline_layers(Baseline("m", "mobilenet_v1", ImageData(96, "rgb"), 0.25), VIEW, 2)
    assert total_macs(layers) == 7_489_664
    assert sum(layer.params for layer in layers) == 210_850
    assert layers[-1].in_shape == (1, 1, 256)
    assert sum(layer.op == "depthwise" for layer in layers) == 13
    mono = baseline_layers(Baseline("m", "mobilenet_v1", ImageData(96, "mono"), 0.25), VIEW, 2)
    assert total_macs(layers) - total_macs(mono) == 48 * 48 * 8 * 9 * 2


def views(seed, ids, view, images):
    keys = view_keys(seed, jnp.asarray(ids), view)
    return np.asarray(training_views(keys, jnp.asarray(images), 12, 0.35, 0.2))


def test_a_view_is_a_function_of_seed_image_and_number():
    """Whatever else is in the batch, in whatever order."""
    images = noise(4, 16)
    found = views(0, [5, 6, 7, 8], 3, images)
    assert found.shape == (4, 12, 12, 3)
    assert found.dtype == np.float32
    assert (found >= 0).all() and (found <= 255).all()
    np.testing.assert_array_equal(views(0, [8, 6], 3, images[[3, 1]]), found[[3, 1]])
    same = np.repeat(images[:1], 2, axis=0)
    one, two = views(0, [5, 6], 3, same)
    assert not np.array_equal(one, two)
    assert not np.array_equal(views(0, [5], 4, images[:1])[0], one)
    assert not np.array_equal(views(1, [5], 3, images[:1])[0], one)
    np.testing.assert_array_equal(one, found[0])


def test_a_view_without_crop_and_jitter_is_the_picture_or_its_mirror():
    ramp = np.broadcast_to((np.arange(12, dtype=np.uint8) * 20)[None, :, None], (12, 12, 3))
    keys = view_keys(0, jnp.arange(16), 0)
    found = np.asarray(training_views(keys, jnp.asarray(np.repeat(ramp[None], 16, 0)), 12, 1.0, 0.0))
    mirrored = found[:, 0, 0, 0] > found[:, 0, -1, 0]
    assert 0 < mirrored.sum() < 16
    assert np.abs(np.where(mirrored[:, None], found[:, 0, ::-1, 0], found[:, 0, :, 0]) - ramp[0, :, 0]).max() < 40


def test_an_epochs_accuracy_is_logged_with_its_interval():
    """As lists, which event files read alike before and after metrics.jsonl."""
    seen = []
    log = module.with_interval(seen.append, images=20, seed=3)
    log({"epoch": 1, "validation_accuracy": 0.5})
    log({"epoch": 2})
    assert seen[1] == {"epoch": 2}
    low, high = seen[0]["validation_interval"]
    assert (low, high) == share_interval(0.5, 20, 3)
    assert scalars(seen[0]) == scalars(json.loads(json.dumps(seen[0])))
    assert scalars(seen[0])["validation_interval/0"] == low
