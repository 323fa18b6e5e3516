"""Teachers in files: what they read and answer, which output is which class, and what is refused by name."""

import sys

import numpy as np
import pytest
from deploy_nets import pictures
from pipeline_toys import config_file
from teacher_files import SIZE, onnx_file, opened, settings_of, tflite_file, tflite_model

from danas_jax import cli, disk
from danas_jax.deploy import integer
from danas_jax.deploy.export import FILES
from danas_jax.errors import UserError
from danas_jax.teachers import engines, named
from danas_jax.views.resize import grey

LITERT = "ai-edge-litert is not installed: pip install 'danas-jax[teacher]'"
PICTURES = pictures((SIZE, SIZE, 3), 21)
WEIGHTS = np.array([[9.0, 0], [0, 3], [0, -4]])


def softmax(logits):
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("channels", [3, 1])
def test_an_int8_file_answers_as_its_integers_do(tmp_path, channels):
    pytest.importorskip("ai_edge_litert", reason=LITERT)
    model = tflite_model(channels)
    teacher = opened(tflite_file(tmp_path / "t.tflite", model))
    assert teacher.size == (SIZE, SIZE) and teacher.gives_logits and not teacher.channels_first
    seen = PICTURES if channels == 3 else grey(PICTURES)
    codes = integer.integer_forward(model, seen).astype(float)
    expected = softmax((codes - model.output.zero_point) * model.output.scale)
    found = teacher.probabilities(PICTURES)
    assert found.dtype == np.float32 and found.sum(axis=1) == pytest.approx(np.ones(len(found)))
    assert np.ptp(expected[:, 0]) > 0.05
    assert np.abs(found - expected).max() < 2 * model.output.scale  # LiteRT may round to the next code


@pytest.mark.parametrize(
    ("chosen", "normal"),
    [
        ("file", lambda x: x / 255),
        ("-1..1", lambda x: x / 127.5 - 1),
        ("imagenet", lambda x: (x / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]),
    ],
)
def test_floats_with_channels_first_are_normalised(tmp_path, chosen, normal):
    teacher = opened(onnx_file(tmp_path / "t.onnx", WEIGHTS, [0, 1]), teacher_range=chosen)
    assert teacher.channels_first and teacher.shape == (SIZE, SIZE, 3)
    expected = softmax(normal(PICTURES.astype(float)).mean((1, 2)) @ WEIGHTS + [0, 1])
    assert teacher.probabilities(PICTURES) == pytest.approx(expected, abs=1e-4)


def test_unsigned_codes_are_pixels_and_probabilities_stay(tmp_path):
    path = onnx_file(tmp_path / "t.onnx", WEIGHTS / 255, [0, 0], (1, 3, SIZE, SIZE), softmax=True, inputs="UINT8")
    teacher = opened(path)
    assert not teacher.gives_logits and "probabilities" in teacher.text
    expected = softmax(PICTURES.mean((1, 2)) @ WEIGHTS / 255)
    assert teacher.probabilities(PICTURES) == pytest.approx(expected, abs=1e-4)


def test_classes_by_the_flag_are_picked_summed_and_renormalised(tmp_path):
    weights = np.random.default_rng(0).normal(0, 3, (3, 4))
    path = onnx_file(tmp_path / "t.onnx", weights, np.zeros(4))
    all_ = opened(path, "abcd").probabilities(PICTURES)
    found = opened(path, ("cat", "dog"), teacher_classes=("dog", "-", "cat", "dog")).probabilities(PICTURES)
    known = np.stack([all_[:, 2], all_[:, 0] + all_[:, 3]], axis=1)
    assert found == pytest.approx(known / known.sum(axis=1, keepdims=True), abs=1e-5)


def test_shares_that_do_not_sum_to_one_are_warned_of_and_may_be_named(tmp_path, capsys):
    """Outputs of sigmoids look like logits within 0 to 1, whose softmax is sure of nothing."""
    path = onnx_file(tmp_path / "t.onnx", np.eye(3)[:, :2] / 4, [0.1, 0.5])
    assert opened(path).gives_logits
    assert "--retrain.teacher-output probabilities" in capsys.readouterr().out
    shares = PICTURES.mean((1, 2))[:, :2] / 255 / 4 + [0.1, 0.5]
    expected = shares / shares.sum(axis=1, keepdims=True)
    named = opened(path, teacher_output="probabilities")
    assert named.probabilities(PICTURES) == pytest.approx(expected, abs=1e-4)
    assert "probabilities" in named.text and not capsys.readouterr().out
    assert opened(onnx_file(tmp_path / "u.onnx", WEIGHTS, [0, 1]), teacher_output="logits").gives_logits


def test_a_trial_asks_for_one_picture_where_a_file_takes_any_number(tmp_path):
    path = onnx_file(tmp_path / "t.onnx", WEIGHTS, [0, 1])
    content = path.read_bytes()
    assert engines.load(content, ".onnx", "it", batch=1).source.shape[0] == 1
    assert engines.load(content, ".onnx", "it").source.shape[0] > 1


def exported(folder, name, accuracy, seed):
    """An export of a run, whose outputs are named in the other order than the data's."""
    place = folder / "export" / name
    place.mkdir(parents=True)
    metadata = {"classes": ["present", "absent"], "data": {"colour": "rgb", "bit_depth": 2}}
    tflite_file(place / FILES["tflite"], tflite_model(seed=seed), metadata)
    return {
        "name": name,
        "accuracy": {"int8_validation": accuracy},
        "files": {"tflite": f"export/{name}/{FILES['tflite']}"},
    }


def test_a_run_teaches_by_its_best_network_and_its_names(tmp_path):
    pytest.importorskip("ai_edge_litert", reason=LITERT)
    entries = [exported(tmp_path, name, accuracy, i) for i, (name, accuracy) in enumerate((("a", 0.5), ("b", 0.9)))]
    disk.write_json(tmp_path / "summary.json", {"finalists": entries})
    best = tmp_path / "export" / "b"
    assert settings_of(tmp_path) == settings_of(best) == settings_of(best / FILES["tflite"])
    assert settings_of(tmp_path / "export" / "a").teacher_sha256 != settings_of(best).teacher_sha256
    teacher = opened(tmp_path)
    assert teacher.bit_depth == 2
    coarse = (PICTURES & 192) + 32
    plain = tflite_file(tmp_path / "plain.tflite", tflite_model(seed=1))  # the same weights, no names
    assert teacher.probabilities(PICTURES) == pytest.approx(opened(plain).probabilities(coarse)[:, ::-1], abs=1e-6)


def nan(path):
    return onnx_file(path / "t.onnx", WEIGHTS, [np.nan, 0])


def folder(path):
    (path / "pictures").mkdir()
    return path / "pictures"


def text(suffix):
    def write(path):
        (path / f"t.{suffix}").write_text("not a network\n" * 9)
        return path / f"t.{suffix}"

    return write


BAD = {
    "classes": (
        lambda p: onnx_file(p / "t.onnx", np.ones((3, 5)), np.ones(5)),
        "5 outputs, the data have 2 classes (absent, present)",
    ),
    "unknown op": (lambda p: onnx_file(p / "t.onnx", WEIGHTS, [0, 1], op="Frobnicate"), "onnxruntime does not run it"),
    "rank 5": (
        lambda p: onnx_file(p / "t.onnx", WEIGHTS, [0, 1], (1, 3, 2, 16, 16)),
        "its input is [1, 3, 2, 16, 16], not",
    ),
    "NaN": (nan, "it answers NaN or infinity"),
    "text as onnx": (text("onnx"), "onnxruntime does not run it"),
    "text as tflite": (text("tflite"), "LiteRT does not run it"),
    "text": (text("txt"), "give a .tflite or .onnx file, or the folder of a run"),
    "missing": (lambda p: p / "gone.tflite", "No such file"),
    "no run": (folder, "holds no summary.json"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_teachers_are_named(tmp_path, case):
    make, message = BAD[case]
    if case == "text as tflite":
        pytest.importorskip("ai_edge_litert", reason=LITERT)
    path = make(tmp_path)
    with pytest.raises(UserError, match=r"retrain\.teacher") as refused:
        opened(path)
    assert message in str(refused.value)


@pytest.mark.parametrize("case", ["NaN", "missing", "no run"])
def test_bad_teachers_end_with_exit_code_2(tmp_path, monkeypatch, capsys, case):
    monkeypatch.chdir(tmp_path)
    flags = ["--train.teacher", str(BAD[case][0](tmp_path)), "--data.train-images", "24"]
    assert cli.main(["train", config_file(tmp_path, "TAUGHT"), *flags]) == 2
    said = capsys.readouterr().err
    assert "train.teacher = " in said and BAD[case][1] in said and "Traceback" not in said


@pytest.mark.parametrize(("module", "suffix"), [("ai_edge_litert.interpreter", "tflite"), ("onnxruntime", "onnx")])
def test_a_missing_package_is_named_with_its_extra(tmp_path, monkeypatch, module, suffix):
    path = text(suffix)(tmp_path)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UserError, match=r"is not installed: pip install 'danas-jax\[teacher\]'"):
        opened(path)


def test_names_that_do_not_fit_are_refused(tmp_path):
    path = onnx_file(tmp_path / "t.onnx", WEIGHTS, [0, 1])
    with pytest.raises(UserError, match="2 outputs, 3 names"):
        opened(path, teacher_classes=("absent", "present", "other"))
    with pytest.raises(UserError, match="none of its outputs is present, they are absent, person"):
        opened(path, teacher_classes=("absent", "person"))
    with pytest.raises(UserError, match="its input has no scale"):
        opened(onnx_file(tmp_path / "u.onnx", WEIGHTS, [0, 1], inputs="UINT8"), teacher_range="0..1")


def test_a_changed_file_is_refused_and_a_lost_one_keeps_its_digest(tmp_path):
    path = tmp_path / "t.onnx"
    known = settings_of(onnx_file(path, WEIGHTS, [0, 1]))
    onnx_file(path, WEIGHTS, [0, 2])
    with pytest.raises(UserError, match="has changed since the run began"):
        opened_with(known)
    assert named.resolved(known, "retrain").teacher_sha256 != known.teacher_sha256
    path.unlink()
    assert named.resolved(known, "retrain") == known
    with pytest.raises(UserError, match="No such file"):
        opened_with(known)


def opened_with(known):
    from danas_jax.teachers.teacher import open_teacher

    return open_teacher(known, "retrain", ("absent", "present"))


def test_the_shared_detector_agrees_with_the_labels(shared):
    pytest.importorskip("ai_edge_litert", reason=LITERT)
    path, pictures_ = shared / "models" / "person_teacher_144px.tflite", shared / "data" / "person_photos"
    if not path.is_file() or not pictures_.is_dir():
        pytest.skip(f"{path} and {pictures_} are not there")
    from danas_jax.config import DataSettings
    from danas_jax.data.dataset import open_source

    source = open_source(DataSettings(source="folder", path=str(pictures_)), (144, 144), 0)
    items = source.splits["validation"]
    rows = np.linspace(0, len(items.keys) - 1, 100).astype(int)
    shown = np.stack([source.read(items.keys[i]) for i in rows])
    teacher = opened(path, source.class_names)
    assert not teacher.gives_logits  # codes that cannot be negative: shares, though they do not sum to 1
    found = teacher.probabilities(shown)
    assert found.sum(axis=1) == pytest.approx(np.ones(100), abs=1e-5)
    assert (found.argmax(axis=1) == items.labels[rows]).mean() >= 0.85
