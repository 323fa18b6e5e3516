"""Soft labels: the student's own crops, computed once and resumed, blended into the targets by stated shares."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from supernet_toys import SPACE, easy_split
from teacher_files import SIZE, onnx_file, settings_of

from danas_jax.config import Config, RetrainSettings, TrainSettings
from danas_jax.config_checks import validate
from danas_jax.config_io import differences
from danas_jax.data.batches import tempered, training_batch
from danas_jax.data.soft_labels import SoftLabels, seen
from danas_jax.deploy import alone
from danas_jax.deploy import retrain as retraining
from danas_jax.devices import Devices
from danas_jax.errors import UserError
from danas_jax.report.teacher_doubts import write_doubts
from danas_jax.supernet.checkpoint import Checkpoints
from danas_jax.supernet.evaluate import network_program
from danas_jax.supernet.network import init_variables
from danas_jax.supernet.train import batch_program
from danas_jax.teachers import soft_labels as module
from danas_jax.teachers.teacher import FileTeacher

NAMES = ("dark", "bright")
TRAINING = easy_split(40)
BRIGHT = np.array([[-9.0, 9], [-9, 9], [-9, 9]])  # of the channels' means in 0..1


@pytest.fixture
def bright(tmp_path):
    """Retraining with a teacher that tells dark pictures from bright ones, as the labels do."""
    return settings_of(onnx_file(tmp_path / "t.onnx", BRIGHT, [13.5, -13.5]), teacher_views=3)


@pytest.fixture
def asked(monkeypatch):
    """The pictures that every teacher is asked about, and how many it answers before the power fails."""
    found, limit = [], [10**9]
    real = FileTeacher.probabilities

    def probabilities(self, pictures):
        if len(found) >= limit[0]:
            raise KeyboardInterrupt
        found.append(pictures)
        return real(self, pictures)

    monkeypatch.setattr(FileTeacher, "probabilities", probabilities)
    monkeypatch.setattr(module, "PORTION", 16)
    return found, limit


def taught(settings, folder, split=TRAINING, seed=7):
    return module.taught(split, settings, seed, NAMES, str(folder), folder).soft_labels


def test_the_teacher_sees_the_students_crops(bright, asked, tmp_path):
    soft = taught(bright, tmp_path)
    assert soft.table.shape == (3, 40, 2) and soft.table.dtype == np.float16
    view, data = SPACE.view, SPACE.view.data(resolution_px=SIZE, colour="rgb")
    rows = np.array([5, 30, 5, 39])
    for step in (1, 4):  # the fourth view is the first one again
        seed, views, answers = seen(soft, 99, rows, step)
        assert seed == 7 and list(views) == [1, 1, 2, 1]
        codes, _ = training_batch(
            jnp.asarray(TRAINING.raw), jnp.asarray(TRAINING.labels), seed, jnp.asarray(rows), jnp.asarray(rows),
            jnp.asarray(views), lambda keys, raw: view.training(keys, raw, data, bright), 2, bright,
        )  # fmt: skip
        portions = [np.concatenate(asked[0][i * 3 : i * 3 + 3]) for i in range(3)]  # of 16, 16 and 8 pictures
        for i, (row, of) in enumerate(zip(rows, views, strict=True)):
            assert np.abs(portions[of][row].astype(float) - np.asarray(codes[i])).max() <= 0.51  # rounded
            assert (answers[i] == soft.table[of, row]).all()
    assert np.abs(portions[0][5].astype(float) - portions[1][5]).max() > 10


def test_a_killed_computation_goes_on_and_damage_is_found(bright, asked, tmp_path, capsys):
    found, limit = asked
    whole = taught(bright, tmp_path / "whole").table
    assert len(found) == 9
    found.clear()
    limit[0] = 4
    with pytest.raises(KeyboardInterrupt):
        taught(bright, tmp_path / "killed")
    found.clear()
    limit[0] = 10**9
    assert (taught(bright, tmp_path / "killed").table == whole).all()
    assert len(found) == 5
    found.clear()
    assert (taught(bright, tmp_path / "killed").table == whole).all() and not found
    damaged = sorted((tmp_path / "killed").rglob("*.npz"))[2]
    content = bytearray(damaged.read_bytes())
    content[len(content) // 3] ^= 1
    damaged.write_bytes(content)
    assert (taught(bright, tmp_path / "killed").table == whole).all()
    assert len(found) == 1 and "computed again" in capsys.readouterr().out


def test_a_cache_that_cannot_be_written_is_said(bright, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    found = module.taught(TRAINING, bright, 7, NAMES, str(tmp_path / "file"), tmp_path / "run")
    assert found.soft_labels.table.shape == (3, 40, 2)
    assert len(list((tmp_path / "run" / "soft_labels").rglob("*.npz"))) == 3
    assert "Not a directory: soft labels are kept in" in capsys.readouterr().out


@pytest.mark.parametrize(
    "change",
    [{"crop_area_min": 0.5}, {"teacher_range": "0..255"}, {"teacher_classes": ("bright", "dark")}, {"seed": 8}],
)
def test_what_they_depend_on_is_in_their_name(bright, asked, tmp_path, change):
    before = taught(bright, tmp_path)
    count, seed = len(asked[0]), change.get("seed", 7)
    settings = dataclasses.replace(bright, **{k: v for k, v in change.items() if k != "seed"})
    after = taught(settings, tmp_path, seed=seed)
    assert len(asked[0]) == 2 * count and after.fingerprint != before.fingerprint


def test_more_pictures_or_another_weight_compute_the_rest_alone(bright, asked, tmp_path):
    taught(bright, tmp_path)
    asked[0].clear()
    taught(dataclasses.replace(bright, teacher_weight=0.1, teacher_temperature=3.0), tmp_path)
    assert not asked[0]
    longer = easy_split(48)
    longer = dataclasses.replace(longer, raw=np.concatenate([np.asarray(TRAINING.raw), np.asarray(longer.raw)[40:]]))
    taught(bright, tmp_path, longer)
    assert len(asked[0]) == 3  # the last portion of each view


def test_no_views_are_the_whole_picture_once(bright, tmp_path):
    soft = taught(dataclasses.replace(bright, teacher_views=0), tmp_path)
    seed, view, answers = seen(soft, 99, np.array([3, 3]), 17)
    assert (seed, view) == (99, 17) and answers.shape == (2, 2)
    mean = np.asarray(TRAINING.raw)[3].mean() / 255
    assert answers[0, 1] == pytest.approx(1 / (1 + np.exp(27 - 2 * 27 * mean)), abs=0.02)
    assert (soft.means.argmax(axis=1) == TRAINING.labels).all()


def test_targets_are_blended_by_share_and_mixed_with_their_pictures():
    settings = RetrainSettings(teacher_weight=0.3, distillation=0.4, teacher_temperature=2.0, mixup=1.0)
    rng = np.random.default_rng(0)
    answers = rng.dirichlet([1, 1], 6).astype(np.float32)
    labels, rows = jnp.asarray(rng.integers(0, 2, 6)), jnp.arange(6)
    raw = jnp.eye(6, dtype=jnp.float32)[:, None, :, None]  # a picture tells who is in it

    def batch(settings, answers):
        found = training_batch(raw, labels, 0, rows, rows, 0, lambda keys, raw: raw, 2, settings, answers=answers)
        return np.asarray(found[0])[:, 0, :, 0], np.asarray(found[1])

    shares, targets = batch(settings, jnp.asarray(answers))
    assert 0 < shares[0].max() < 1
    hard = optax.smooth_labels(jax.nn.one_hot(labels, 2), settings.label_smoothing)
    soft = np.sqrt(answers) / np.sqrt(answers).sum(axis=1, keepdims=True)
    # What is 0.3 of everything is half of the 0.6 that the supernet's answers leave.
    assert targets == pytest.approx(shares @ (0.5 * np.asarray(hard) + 0.5 * soft), abs=1e-5)
    assert batch(settings, None)[1] == pytest.approx(shares @ np.asarray(hard), abs=1e-5)


def test_a_temperature_softens():
    given = jnp.array([[0.9, 0.1, 0.0]])
    assert np.asarray(tempered(given, 1.0)) == pytest.approx(np.array([[0.9, 0.1, 0]]), abs=1e-5)
    assert float(tempered(given, 4.0)[0, 0]) < 0.7


def constant(answer):
    """Soft labels of TRAINING that say the same of every example."""
    table = np.broadcast_to(np.float16([1 - answer, answer]), (2, len(TRAINING), 2))
    return dataclasses.replace(TRAINING, soft_labels=SoftLabels(table, 2, 0, f"always {answer}"))


def test_the_supernets_largest_subnet_gets_them():
    settings = TrainSettings(teacher_weight=0.25, label_smoothing=0.0)
    program = batch_program(SPACE, settings, TRAINING.labels, 2, Devices(None))
    rows, labels = np.arange(8), jnp.asarray(TRAINING.labels)
    seed, view, answers = seen(constant(1).soft_labels, 0, rows, 0)
    shape = tuple(int(gene) for gene in SPACE.max_genes[: len(SPACE.shape_axes)])
    _, targets = program(jnp.asarray(TRAINING.raw), labels, seed, rows, rows, view, shape, answers)
    assert np.asarray(targets)[:, 1] == pytest.approx(0.25 + 0.75 * TRAINING.labels[:8], abs=1e-4)


def test_a_student_follows_its_teacher_alone(tmp_path):
    recipe = RetrainSettings(
        epochs=3, batch_size=8, calibration_images=32, learning_rate=5e-2, validate_every_epochs=3, teacher_weight=1.0
    )
    layers, source = SPACE.layers(SPACE.min_genes, 2), SPACE.input(SPACE.min_genes)
    for answer in (0, 1):
        saved = Checkpoints(tmp_path / str(answer))
        start = init_variables(layers, 0)[0]
        done = retraining.retrain(layers, source, start, recipe, constant(answer), TRAINING, 3, saved)
        saved.close()
        images = source.deployed(TRAINING.raw)
        logits = network_program(layers)[1](done.params, done.stats, jnp.asarray(images[None]))[0]
        assert (np.asarray(logits).argmax(-1) == answer).all()


def test_results_kept_are_told_apart_by_answers_not_by_paths(tmp_path):
    layers, source = SPACE.layers(SPACE.min_genes, 2), SPACE.input(SPACE.min_genes)

    def key(split, **values):
        recipe = RetrainSettings(**values)
        table = alone.Table(tmp_path / "trained.csv", ("validation",))
        trained = alone.Alone(recipe, split, {"validation": TRAINING}, "accuracy", table, tmp_path)
        return trained.key(layers, source, 0)

    assert key(TRAINING) == key(TRAINING, teacher_weight=0.7)  # no teacher
    assert key(constant(1), teacher="a.onnx") == key(constant(1), teacher="b.onnx")
    keys = {key(TRAINING), key(constant(0)), key(constant(1)), key(constant(1), teacher_weight=0.7)}
    assert len(keys) == 4


def test_the_report_lists_the_labels_that_it_believes_least(bright, tmp_path):
    labels = TRAINING.labels.copy()
    labels[[4, 19]] ^= 1
    split = dataclasses.replace(TRAINING, labels=labels)
    parts = {"train": split}
    line = write_doubts(tmp_path, "t.onnx", taught(bright, tmp_path, split), parts, NAMES)
    assert "agrees with 95.0% of 40 labels" in line
    rows = (tmp_path / "report" / "teacher_doubts.csv").read_text().splitlines()
    assert {row.split(",")[0] for row in rows[1:3]} == {TRAINING.names[4], TRAINING.names[19]}
    assert (tmp_path / "report" / "teacher_doubts.png").read_bytes().startswith(b"\x89PNG")


def test_a_config_is_checked_and_told_apart_by_the_digest():
    config = Config("c", retrain=RetrainSettings(teacher="t.onnx", teacher_weight=0.6, distillation=0.5))
    with pytest.raises(
        UserError, match=r"retrain\.teacher_weight = 0\.6: with retrain\.distillation = 0\.5 more than 1"
    ):
        validate(config)
    with pytest.raises(UserError, match=r"train\.teacher_classes = \('a',\): give --train\.teacher, too"):
        validate(Config("c", train=TrainSettings(teacher_classes=("a",))))
    series = dataclasses.replace(Config("c").data, modality="series", source="npz", path="x")
    with pytest.raises(UserError, match=r"train\.teacher: knows pictures of one class each only"):
        validate(Config("c", data=series, train=TrainSettings(teacher="t.onnx")))
    one, moved = (Config("c", train=TrainSettings(teacher=t, teacher_sha256="12")) for t in ("a.onnx", "b.onnx"))
    assert differences(one, moved) == []
    other = Config("c", train=TrainSettings(teacher="a.onnx", teacher_sha256="34"))
    assert differences(one, other) == ["train.teacher_sha256: was '12', is '34'"]
