"""Examples of any number of classes: figures counted by hand, losses of Bernoullis, and a whole job."""

import dataclasses
import json
import subprocess

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from PIL import Image
from pipeline_toys import TOY

from danas_jax import cli, disk, metrics, run
from danas_jax.config import Config, DataSettings, ExportSettings, RetrainSettings, SearchSettings, TrainSettings
from danas_jax.config_checks import validate
from danas_jax.config_io import to_json
from danas_jax.data.batches import label_targets
from danas_jax.data.dataset import open_data
from danas_jax.deploy.answers import Answers, figures
from danas_jax.deploy.header import EACH_LOGIT
from danas_jax.errors import UserError
from danas_jax.report import quality
from danas_jax.supernet.distil import Distillation, label_loss, share_right
from danas_jax.task import MULTI_LABEL, SINGLE_LABEL, task_of

LABELS = np.array([[1, 0, 1], [0, 0, 1], [1, 1, 0], [0, 0, 0]], np.uint8)
LOGITS = np.array([[2.0, -1.0, 0.5], [1.0, -2.0, -0.5], [3.0, -0.1, -1.0], [-1.0, 4.0, -2.0]])
CLASSES = ("red", "green", "blue")


def colours(count, px=24, seed=0):
    """uint8 [N, px, px, 3] whose channels are bright where the class of that colour is there; labels [N, 3]."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, (count, 3)).astype(np.uint8)
    levels = 50 + 130 * labels[:, None, None].astype(int) + rng.integers(-30, 31, (count, px, px, 3))
    return levels.astype(np.uint8), labels


def test_the_task_follows_from_the_labels():
    assert task_of(LABELS) is MULTI_LABEL
    assert task_of(LABELS[:, 0]) is SINGLE_LABEL


def test_figures_are_those_counted_by_hand():
    """Decisions: all but (1, red), (2, green), (1, blue), (3, green) are right: 8 of 12."""
    task = MULTI_LABEL
    np.testing.assert_allclose(task.right(LABELS, LOGITS), [1, 1 / 3, 2 / 3, 2 / 3])
    assert task.metrics["accuracy"](LABELS, LOGITS) == pytest.approx(8 / 12)
    # red: 2 of 3 said, both found: F1 0.8; green: 0; blue: 1 said of 2: 2/3
    assert task.metrics["f1"](LABELS, LOGITS) == pytest.approx((0.8 + 0 + 2 / 3) / 3)
    # red: both above both; green: image 2 above images 0 and 1, below 3; blue: 0 and 1 above both others
    assert task.metrics["auc"](LABELS, LOGITS) == pytest.approx((1 + 2 / 3 + 1) / 3)
    assert task.metrics["average_precision"](LABELS, LOGITS) == pytest.approx((1 + 0.5 + 1) / 3)
    np.testing.assert_array_equal(task.confusions(LABELS, LOGITS)[0], [[1, 1], [0, 2]])
    np.testing.assert_array_equal(task.class_counts(LABELS, 3), [2, 1, 2])
    found = figures(Answers(LOGITS, LABELS, tuple("abcd")), CLASSES, 0)
    assert set(found) >= {"accuracy", "f1", "auc", "average_precision"} and "balanced_accuracy" not in found
    red = found["per_class"][0]
    assert red == {"class": "red", "images": 2, "recall": 1.0, "precision": pytest.approx(2 / 3), "f1": 0.8}
    json.dumps(found)
    overall, tables = quality.overall_table({"here": found}), quality.tables(found)
    assert "mean average precision [95 %]" in overall.columns
    assert tables[1].rows[0] == ("red", "1", "1", "0", "2")


def test_a_class_without_examples_tells_nothing():
    labels = np.column_stack([LABELS[:, 0], np.zeros(4, np.uint8)])
    logits = LOGITS[:, :2]
    assert MULTI_LABEL.metrics["auc"](labels, logits) == 1
    assert MULTI_LABEL.metrics["average_precision"](labels, logits) == 1
    assert not MULTI_LABEL.tells_auc(labels[:, 1:]) and MULTI_LABEL.tells_auc(labels)


def test_intervals_of_shares_hold_their_mean():
    shares = np.random.default_rng(0).integers(0, 4, 400) / 3
    low, high = metrics.bootstrap_interval(shares, 0)
    half = 1.96 * shares.std() / 20
    assert (low, high) == pytest.approx((shares.mean() - half, shares.mean() + half), abs=0.005)
    difference, low, high = metrics.paired_bootstrap(shares, np.roll(shares, 1), 0)
    assert difference == pytest.approx(0, abs=1e-9) and low < 0 < high
    with pytest.raises(ValueError, match="no images"):
        metrics.bootstrap_interval(np.zeros(0), 0)


def test_the_loss_is_the_sigmoid_cross_entropy():
    logits, labels = jnp.asarray(LOGITS, jnp.float32), jnp.asarray(LABELS)
    targets = label_targets(labels, 3)
    assert targets.shape == (4, 3, 2)
    expected = optax.sigmoid_binary_cross_entropy(logits, labels.astype(jnp.float32)).mean()
    np.testing.assert_allclose(label_loss(logits, targets), expected, rtol=1e-6)
    assert float(share_right(logits, labels)) == pytest.approx(8 / 12)


@pytest.mark.parametrize("kind", ["soft_labels", "alpha"])
def test_a_student_like_its_teacher_has_no_slope(kind):
    """Each class is a Bernoulli: at the teacher's own logits distillation is at its minimum, elsewhere it is not."""
    logits, labels = jnp.asarray(LOGITS, jnp.float32), label_targets(jnp.asarray(LABELS), 3)
    distillation = Distillation(kind, 0.0)
    targets = distillation.targets(logits, labels)
    slope = jax.grad(distillation)
    np.testing.assert_allclose(slope(logits, targets), 0, atol=1e-6)
    assert np.abs(slope(-logits, targets)).max() > 0.01
    blended = Distillation(kind, 1.0)
    np.testing.assert_allclose(blended(logits, blended.targets(-logits, labels)), label_loss(logits, labels), rtol=1e-5)


def test_a_manifest_of_several_classes_a_file(tmp_path):
    rows = ["file,label"]
    for i in range(60):
        names = [name for k, name in enumerate("abc") if i >> k & 1]
        Image.fromarray(np.full((8, 8, 3), 4 * i, np.uint8)).save(tmp_path / f"{i}.png")
        rows.append(f"{i}.png,{'; '.join(names)}")
    (tmp_path / "list.csv").write_text("\n".join(rows))
    settings = DataSettings(source="csv", path=str(tmp_path / "list.csv"), multi_label=True)
    data = open_data(settings, 8, 0)
    assert data.class_names == ("a", "b", "c")
    train = data.load("train", "train")
    assert train.labels.dtype == np.uint8
    for name, has in zip(train.names, train.labels, strict=True):
        assert [int(name.split(".")[0]) >> k & 1 for k in range(3)] == has.tolist()
    for split, share in (("search", 0.14), ("validation", 0.15), ("test", 0.15)):
        labels = data.items[split].labels
        assert labels.sum(axis=0) == pytest.approx(np.full(3, 30 * share), abs=2.5)  # every class in every split
        assert (~labels.any(axis=1)).any()  # and files without any
    assert data.counts["train"]["a"] == train.labels[:, 0].sum()


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.zeros(6, np.int32), "give 0 and 1"),
        (np.full((6, 2), 2), "give 0 and 1"),
        (np.zeros((6, 2)), "give 0 and 1"),
        (np.ones((6, 3), np.uint8), "different numbers of classes"),
    ],
)
def test_bad_arrays_are_named(tmp_path, y, message):
    np.savez(tmp_path / "train.npz", x=np.zeros((6, 8, 8, 3), np.uint8), y=y, classes=["a", "b"])
    with pytest.raises(UserError, match=message):
        open_data(DataSettings(source="npz", path=str(tmp_path), multi_label=True), 8, 0)


@pytest.mark.parametrize(
    ("section", "changes", "field"),
    [
        ("search", SearchSettings(metric="balanced_accuracy"), "search.metric"),
        ("export", ExportSettings(max_false_alarm_rate=0.1), "export.max_false_alarm_rate"),
        ("train", TrainSettings(class_weights="balanced"), "train.class_weights"),
        ("retrain", RetrainSettings(sampling="balanced"), "retrain.sampling"),
        ("data", DataSettings(source="npz", path="x", multi_label=True, limit_per_class=3), "data.limit_per_class"),
        ("data", DataSettings(source="folder", path="x", multi_label=True), "data.multi_label"),
    ],
)
def test_what_makes_no_sense_is_refused(section, changes, field):
    config = Config("m", data=DataSettings(source="npz", path="x", multi_label=True))
    validate(config)
    with pytest.raises(UserError, match=rf"^{field} = "):
        validate(dataclasses.replace(config, **{section: changes}))
    with pytest.raises(UserError, match=r"only with data\.multi_label"):
        validate(Config("m", search=SearchSettings(metric="average_precision")))


def test_the_header_decides_on_each_class(tmp_path):
    (tmp_path / "t.c").write_text(
        "#include <stdint.h>\n#define DANAS_MODEL_OUTPUT_ZERO_POINT (-7)\n" + EACH_LOGIT + "int main(void) {"
        "int8_t x[3] = {-6, -7, -8}; return 4 * danas_model_has_class(x, 0) + 2 * danas_model_has_class(x, 1)"
        " + danas_model_has_class(x, 2); }"
    )
    subprocess.run(["cc", "-std=c99", "-Wall", "-Werror", tmp_path / "t.c", "-o", tmp_path / "t"], check=True)
    assert subprocess.run([tmp_path / "t"], check=False).returncode == 4


@pytest.mark.slow
def test_the_whole_job(tmp_path, capsys):
    """Bright channels are found, each on its own, by the exported file; the report and the commands know the task."""
    for seed, (split, count) in enumerate({"train": 320, "validation": 48, "test": 64}.items()):
        x, y = colours(count, seed=seed)
        np.savez(tmp_path / f"{split}.npz", x=x, y=y, classes=CLASSES)
    config = dataclasses.replace(
        TOY,
        data=DataSettings(source="npz", path=str(tmp_path), multi_label=True),
        train=dataclasses.replace(TOY.train, epochs=3, distillation="alpha"),
        search=dataclasses.replace(TOY.search, metric="average_precision", finalists_per_budget=1),
        retrain=dataclasses.replace(TOY.retrain, epochs=10, distillation=0.2),
        budgets=TOY.budgets[1:],
        run_dir=str(tmp_path / "run"),
    )
    disk.write_json(tmp_path / "c.json", to_json(config))
    run.open_run(config)
    assert cli.main(["run", str(tmp_path / "run")]) == 0
    summary = json.loads((tmp_path / "run/summary.json").read_text())
    (finalist,) = summary["finalists"]
    found = finalist["figures"]["int8_test"]
    assert found["accuracy"] == pytest.approx(finalist["accuracy"]["int8_test"])
    assert found["accuracy"] > 0.9
    assert found["average_precision"] > 0.9
    header = (tmp_path / "run" / finalist["files"]["header"]).read_text()
    assert "danas_model_has_class" in header and "danas_model_class(" not in header
    assert "mean average precision" in (tmp_path / "run/report/index.html").read_text()
    pictures, labels = colours(8, seed=9)
    (tmp_path / "pictures").mkdir()
    for i, picture in enumerate(pictures):
        Image.fromarray(picture).save(tmp_path / "pictures" / f"{i}.png")
    capsys.readouterr()
    assert cli.main(["predict", str(tmp_path / "run"), str(tmp_path / "pictures"), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["predictions"]
    said = np.array([[name in row["labels"] for name in CLASSES] for row in rows])
    assert (said == labels).mean() > 0.85
    assert all((score > 0.5) == (name in row["labels"]) for row in rows for name, score in row["scores"].items())
    assert cli.main(["predict", str(tmp_path / "run"), str(tmp_path / "pictures")]) == 0
    for command in (["data", "suspects", str(tmp_path / "run")], ["evaluate", str(tmp_path / "run"), str(tmp_path)]):
        assert cli.main(command) == 2
        assert "multi_label" in capsys.readouterr().err
    assert cli.main(["export", str(tmp_path / "run"), "--firmware", "bare"]) == 2
    assert "multi_label" in capsys.readouterr().err
