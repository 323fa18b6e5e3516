"""Pictures without labels: which are read, which are shown when, what they teach, and what is left out by name."""

import dataclasses
import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from supernet_toys import SPACE, easy_split

from danas_jax.config import Config, DataSettings, RetrainSettings, SearchSettings, TrainSettings
from danas_jax.config_checks import validate
from danas_jax.data import recorded
from danas_jax.data.balance import Pool
from danas_jax.data.batches import class_weights_of, training_batch
from danas_jax.data.check.copies import copies
from danas_jax.data.dataset import ProtocolError, Split, open_data
from danas_jax.data.rows import Rows, as_rows
from danas_jax.data.soft_labels import SoftLabels
from danas_jax.data.sources.unlabelled import open_source
from danas_jax.data.splits import Items, limit_per_class
from danas_jax.deploy import retrain as retraining
from danas_jax.errors import UserError
from danas_jax.supernet.checkpoint import Checkpoints
from danas_jax.supernet.distil import Distillation, share_right
from danas_jax.supernet.evaluate import network_program
from danas_jax.supernet.network import init_variables
from danas_jax.supernet.plan import Plan
from danas_jax.supernet.train import in_place_confidence_min
from danas_jax.teachers.unlabelled import all_taught, labelled_alone, shown

RNG = np.random.default_rng(5)


def scenes(count, size=48, seed=0):
    """Smooth random pictures, uint8 [count, size, size, 3]."""
    coarse = np.random.default_rng(seed).integers(0, 256, (count, 7, 7, 3), np.uint8)
    return np.stack([np.asarray(Image.fromarray(one).resize((size, size), Image.Resampling.BICUBIC)) for one in coarse])


def saved(folder, pictures, **options):
    folder.mkdir(parents=True, exist_ok=True)
    for i, picture in enumerate(pictures):
        Image.fromarray(picture).save(folder / f"{i}.{'jpg' if options else 'png'}", **options)
    return folder


def settings(folder, **values):
    return DataSettings(unlabelled=str(folder), cache_dir="none", **values)


# Which pictures there are


def test_pictures_are_found_in_folders_of_any_depth(tmp_path):
    saved(tmp_path, scenes(2))
    saved(tmp_path / "a" / "b", scenes(1))
    saved(tmp_path / ".hidden", scenes(1))
    (tmp_path / "notes.txt").write_text("x")
    os.symlink(tmp_path / "a", tmp_path / "a" / "b" / "loop")
    os.symlink(tmp_path, tmp_path / "a" / "root")
    source = open_source(settings(tmp_path), (24, 24))
    assert source.splits["unlabelled"].keys == ("0.png", "1.png", "a/b/0.png")
    assert set(source.splits["unlabelled"].labels) == {-1}
    assert source.warnings == ("unlabelled: ignored 1 files that are not jpg, jpeg or png: 1 .txt",)


def test_unreadable_ones_are_named_and_left_out(tmp_path):
    saved(tmp_path, scenes(30))
    (tmp_path / "text.jpg").write_text("no picture")
    content = (tmp_path / "3.png").read_bytes()
    (tmp_path / "torn.png").write_bytes(content[: len(content) // 2])
    data = open_data(settings(tmp_path, train_images=20, validation_images=4, test_images=4), (24, 24), 0)
    assert "unlabelled: 1 of 32 images cannot be read: text.jpg (not an image inside) (left out)" in data.warnings
    split = data.load("unlabelled", "train")
    assert len(split) == 30 and split.raw.shape == (30, 24, 24, 3)
    assert "torn.png" in split.warnings[0] and split.warnings[0].startswith("unlabelled: 1 of 31")
    with pytest.raises(ProtocolError):
        data.load("unlabelled", "export")
    (tmp_path / "other.jpg").write_text("no picture")
    with pytest.raises(UserError, match=r"data\.unlabelled = .*2 of 33 images cannot be read.*max_unreadable_fraction"):
        open_source(settings(tmp_path), (24, 24))


@pytest.mark.parametrize(
    ("name", "message"), [("gone", "no such folder"), ("file", "it is a file"), ("empty", "no jpg")]
)
def test_no_pictures_are_refused(tmp_path, name, message):
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=rf"data\.unlabelled = .*{message}"):
        open_source(settings(tmp_path / name), (24, 24))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": DataSettings(unlabelled_balance=True)}, r"data\.unlabelled_balance = True: give --data\.unlabelled"),
        ({"data": DataSettings(unlabelled="u", unlabelled_share=0.0)}, r"unlabelled_share = 0\.0: give a share in"),
        ({"data": DataSettings(unlabelled="u", unlabelled_confidence_min=2)}, r"confidence_min = 2: give 0 to 1"),
        ({"data": DataSettings(unlabelled="u", source="npz", path="x", multi_label=True)}, "one class each only"),
        ({"data": DataSettings(unlabelled="u", source="npz", path="x", modality="series")}, "one class each only"),
        (
            {"data": DataSettings(unlabelled="u"), "search": SearchSettings(accuracy_from="training")},
            r"data\.unlabelled = 'u': no supernet and no teacher",
        ),
        ({"data": DataSettings(unlabelled="u"), "train": TrainSettings(mixup=0.2)}, r"train\.mixup: with"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changes, message):
    with pytest.raises(UserError, match=message):
        validate(Config("c", **changes))


def test_a_limit_takes_so_many_of_each_class_of_train_and_a_smaller_one_a_part_of_them():
    labels = np.repeat(np.int32([0, 1, 2]), [30, 5, 12])
    items = Items(tuple(f"{i}.jpg" for i in range(47)), labels, tuple(map(str, range(47))))
    eight, three = (limit_per_class(items, count, 4) for count in (8, 3))
    assert np.bincount(eight.labels).tolist() == [8, 5, 8] and np.bincount(three.labels).tolist() == [3, 3, 3]
    assert set(three.keys) < set(eight.keys) and eight.keys != limit_per_class(items, 8, 5).keys
    data = DataSettings(train_images=60, validation_images=8, test_images=8, limit_per_class=10)
    found = open_data(data, (16, 16), 0)
    assert {split: len(items) for split, items in found.items.items()} == {
        "train": 16, "search": 4, "validation": 8, "test": 8
    }  # fmt: skip


# Copies


def test_copies_are_found_saved_anew_resized_and_mirrored(tmp_path):
    pictures, others = scenes(60), scenes(40, seed=1)
    jpeg = saved(tmp_path / "jpeg", [pictures[7]], quality=40)
    small = np.asarray(Image.fromarray(pictures[8]).resize((24, 24)).resize((48, 48)))
    pile = np.stack(
        [*others, np.asarray(Image.open(jpeg / "0.jpg")), small, pictures[9, :, ::-1], pictures[3] // 2 + 40]
    )
    found = copies(Rows(pile), {"search": pictures[:5], "test": Rows(pictures[5:])})
    assert [tuple(copy) for copy in found] == [
        (40, "test", 2, False), (41, "test", 3, False), (42, "test", 4, True), (43, "search", 3, False)
    ]  # fmt: skip


def test_plain_pictures_are_no_copies():
    plain = np.full((3, 48, 48, 3), 90, np.uint8)
    assert copies(plain, {"test": plain, "search": plain[:0]}) == []


# Which are shown


def test_an_epoch_shows_labels_once_and_the_others_in_turns():
    labels = np.concatenate([np.full(10, -1), np.arange(6) % 2]).astype(np.int32)
    pool = Pool(10, np.array([0, 2, 3, 5, 8, 9]), 4)
    assert pool.epoch_images(16) == 10
    epochs = [pool.order(labels, False, 3, 1, epoch) for epoch in range(3)]
    for order in epochs:
        assert sorted(order[order >= 10]) == list(range(10, 16)) and len(order) == 10
    assert sorted(np.concatenate([order[order < 10] for order in epochs])) == sorted([0, 2, 3, 5, 8, 9] * 2)
    np.testing.assert_array_equal(epochs[1], pool.order(labels, False, 3, 1, 1))
    assert not np.array_equal(epochs[0], pool.order(labels, False, 3, 5, 0))


def test_balanced_sampling_goes_by_the_likeliest_class():
    labels = np.concatenate([np.full(12, -1), [0, 0, 0, 1]]).astype(np.int32)
    pool = Pool(12, np.arange(12), 12, np.array([0] * 10 + [1] * 2))
    order = pool.order(labels, True, 0, 1, 0)
    assert len(order) == 16 and (order >= 14).sum() and (np.isin(order, [10, 11])).sum() == 6
    assert (order == 15).sum() == 2
    plan = Plan(
        SPACE, TrainSettings(batch_size=8, sampling="balanced"), (SPACE.min_genes, SPACE.max_genes), 16, 0, labels, pool
    )
    np.testing.assert_array_equal(np.concatenate([plan.rows(0), plan.rows(1)]), order)


def pile(answers, labelled=4):
    """A split of pictures without labels and `labelled` with one, and soft labels."""
    answers = np.asarray(answers, np.float16)
    count, total = len(answers), len(answers) + labelled
    labels = np.concatenate([np.full(count, -1), np.arange(labelled) % 2]).astype(np.int32)
    table = np.concatenate([answers, np.zeros((labelled, 2), np.float16)])[None]
    split = Split(np.zeros((total, 4, 4, 3), np.uint8), labels, tuple(map(str, range(total))))
    return dataclasses.replace(
        split, soft_labels=SoftLabels(table, 0, 0, "x"), pool=Pool(count, np.arange(count), count)
    )


def test_confidence_balance_and_share_leave_some_out():
    sure = np.array([0.9, 0.6, 0.95, 0.2, 0.45, 0.1, 0.8])
    split = pile(np.stack([1 - sure, sure], axis=1))
    found, figures = shown(split, DataSettings(unlabelled_confidence_min=0.7))
    assert found.pool.shown.tolist() == [0, 2, 3, 5, 6] and found.pool.classes.tolist() == [1, 1, 0, 0, 1]
    assert figures == {"pictures": 7, "shown": 5, "per_epoch": 5, "labelled": 4} and found.epoch_images == 9
    found, _ = shown(split, DataSettings(unlabelled_confidence_min=0.7, unlabelled_balance=True))
    assert found.pool.shown.tolist() == [0, 2, 3, 5]
    found, _ = shown(split, DataSettings(unlabelled_share=0.25))
    assert found.pool.per_epoch == 1 and len(found.pool.shown) == 7
    assert shown(split, DataSettings(unlabelled_share=0.99))[0].pool.per_epoch == 7
    with pytest.raises(UserError, match=r"confidence_min = 0\.99 .* none of 7 pictures.* are \[3, 4\], .* 0\.950"):
        shown(split, DataSettings(unlabelled="u", unlabelled_confidence_min=0.99))
    assert labelled_alone(split).table.shape == (1, 4, 2) and split.labelled.tolist() == [7, 8, 9, 10]


def test_without_soft_labels_the_confidence_is_judged_at_each_step():
    split = dataclasses.replace(pile(np.full((5, 2), 0.5)), soft_labels=None)
    found, _ = shown(split, DataSettings(unlabelled_confidence_min=0.8))
    assert len(found.pool.shown) == 5 and in_place_confidence_min(found) == 0.8
    assert in_place_confidence_min(shown(pile(np.full((5, 2), 0.5)), DataSettings())[0]) == 0


def test_rows_of_two_arrays_are_gathered_when_asked_for():
    first, second = scenes(6, 8), scenes(5, 8, seed=1)
    both = as_rows(first).of(np.array([4, 1])).joined(as_rows(second))
    whole = np.concatenate([first[[4, 1]], second])
    assert both.shape == (7, 8, 8, 3) and both.nbytes == whole.nbytes and both.dtype == np.uint8
    for rows in (np.array([6, 0, 2, 0]), slice(1, 4), 5, ...):
        np.testing.assert_array_equal(both[rows], whole[rows])
    np.testing.assert_array_equal(both[np.array([2, 1]), :, 3], whole[[2, 1], :, 3])
    np.testing.assert_array_equal(np.asarray(both.joined(as_rows(second))), np.concatenate([whole, second]))


# What they teach


def targets(labels, answers, **recipe):
    chosen = RetrainSettings(label_smoothing=0.0, **recipe)
    rows, raw = jnp.arange(len(labels)), jnp.zeros((len(labels), 2, 2, 3))
    labels, weights = jnp.asarray(labels), class_weights_of(np.asarray(labels), 2, chosen)
    return np.asarray(
        training_batch(raw, labels, 0, rows, rows, 0, lambda keys, raw: raw, 2, chosen, weights, answers)[1]
    )


def test_the_answers_are_all_that_is_learned_of_one_without_a_label():
    labels, answers = np.int32([-1, 0, 1, -1]), np.float32([[0.2, 0.8], [0.5, 0.5], [0, 0], [0.9, 0.1]])
    found = targets(labels, jnp.asarray(answers), teacher_weight=0.4)
    assert found == pytest.approx(np.array([[0.2, 0.8], [0.8, 0.2], [0, 1], [0.9, 0.1]]), abs=1e-4)
    assert targets(labels, None) == pytest.approx(np.array([[0, 0], [2, 0], [0, 2], [0, 0]]))
    weighted = targets(np.int32([-1, 0, 0, 1]), None, class_weights="balanced")
    assert weighted == pytest.approx(np.array([[0, 0], [1, 0], [1, 0], [0, 2]]))
    assert float(share_right(jnp.asarray([[0.0, 1], [1, 0], [0, 1]]), jnp.array([-1, 0, 0]))) == 0.5


@pytest.mark.parametrize("kind", ["soft_labels", "alpha"])
def test_an_unsure_largest_subnet_teaches_only_what_has_a_label(kind):
    logits, students = jnp.array([[0.0, 3], [0, 0.1], [0, 0.1]]), jnp.asarray(RNG.normal(size=(3, 2)), jnp.float32)
    labels = jnp.array([[0.0, 0], [0, 0], [0, 1]])
    distillation = Distillation(kind, 0.0, 0.9)
    soft = distillation.targets(logits, labels)
    taught = np.asarray(soft[0] if kind == "alpha" else soft).sum(-1)
    assert taught == pytest.approx(np.array([1, 0, 1]), abs=1e-5)
    slopes = np.asarray(jax.grad(lambda x: distillation(x, soft))(students))
    assert np.abs(slopes[[0, 2]]).max(axis=1).min() > 1e-3 and not slopes[1].any()


def test_a_retraining_learns_from_them_and_calibrates_on_the_others(tmp_path, monkeypatch):
    easy = easy_split(48)
    labels = np.concatenate([np.full(44, -1), easy.labels[44:]]).astype(np.int32)
    answers = np.concatenate([np.eye(2)[1 - easy.labels[:44]], np.zeros((4, 2))]).astype(np.float16)[None]
    training = dataclasses.replace(
        easy, labels=labels, soft_labels=SoftLabels(answers, 0, 0, "turned round"), pool=Pool(44, np.arange(44), 44)
    )
    seen = []
    real = retraining.calibration_rows
    monkeypatch.setattr(retraining, "calibration_rows", lambda *a: seen.append(a[2]) or real(*a))
    recipe = RetrainSettings(
        epochs=4, batch_size=8, calibration_images=32, learning_rate=5e-2, validate_every_epochs=4, teacher_weight=0.0
    )
    layers, source = SPACE.layers(SPACE.min_genes, 2), SPACE.input(SPACE.min_genes)
    checkpoints = Checkpoints(tmp_path)
    start = init_variables(layers, 0)[0]
    done = retraining.retrain(layers, source, start, recipe, training, easy, 3, checkpoints)
    checkpoints.close()
    logits = network_program(layers)[1](done.params, done.stats, jnp.asarray(source.deployed(easy.raw)[None]))[0]
    assert (np.asarray(logits).argmax(-1) == 1 - easy.labels).mean() > 0.9  # what the answers say, not the labels
    assert seen == [4]


# All of it


def test_pictures_that_judge_are_left_out_and_listed(tmp_path, capsys):
    values = {"train_images": 20, "validation_images": 4, "test_images": 4}
    data = open_data(DataSettings(**values), (48, 48), 0)
    test = np.asarray(data.load("test", "test").raw)
    saved(tmp_path / "u", scenes(6))
    saved(tmp_path / "u" / "leaked", [test[2][:, ::-1]], quality=90)
    config = Config("c", data=settings(tmp_path / "u", **values))
    data, noted = open_data(config.data, (48, 48), 0), []
    training = data.load("train", "train")
    found = all_taught(data, training, config.train, config, "train", tmp_path, note=noted.append)
    assert len(found) == 6 + len(training) and found.pool.count == 6 and found.soft_labels is None
    assert found.names[:6] == tuple(f"{i}.png" for i in range(6)) and found.names[6:] == training.names
    name = data.load("test", "test").names[2]
    assert noted[0]["copies"] == [{"file": "leaked/0.jpg", "split": "test", "of": name, "mirrored": True}]
    out = capsys.readouterr().out
    assert f"1 of 7 unlabelled pictures are copies of pictures that judge, left out: leaked/0.jpg (test {name})" in out
    assert all_taught(data, training, config.retrain, config, "retrain", tmp_path).pool is None  # nobody to ask
    config = dataclasses.replace(config, data=settings(tmp_path / "u" / "leaked", **values))
    data = open_data(config.data, (48, 48), 0)
    with pytest.raises(UserError, match=r"1 of 1 unlabelled pictures are copies .*, so none is left: 0\.jpg"):
        all_taught(data, data.load("train", "train"), config.train, config, "train", tmp_path)


def test_a_run_keeps_its_pile(tmp_path):
    values = {"train_images": 20, "validation_images": 4, "test_images": 4}
    saved(tmp_path / "u", scenes(6))

    def opened(**more):
        return open_data(DataSettings(cache_dir="none", **values, **more), (48, 48), 0)

    folder = tmp_path / "run"
    folder.mkdir()
    recorded.refuse_other_pile(folder, opened(unlabelled=str(tmp_path / "u")), "it")  # an older run tells nothing
    recorded.record(folder, opened(unlabelled=str(tmp_path / "u")), 0, [])
    recorded.refuse_other_pile(folder, opened(unlabelled=str(tmp_path / "u")), "it")
    recorded.refuse_other_pile(folder, opened(), "it")
    saved(tmp_path / "u" / "more", scenes(2, seed=1))
    with pytest.raises(UserError, match=r"^it: the examples without labels .* were 6, are 8"):
        recorded.refuse_other_pile(folder, opened(unlabelled=str(tmp_path / "u")), "it")
