"""Predictions from files, and the messages for everything that can be wrong with them."""

import hashlib
import json

import numpy as np
import pytest
from deploy_exports import CLASSES, change, export
from PIL import Image

from danas_jax import disk
from danas_jax.deploy import integer, predict
from danas_jax.errors import UserError
from danas_jax.views.resize import deployed_view


@pytest.fixture
def picture(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (96, 96, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    return tmp_path / "a.png"


def test_scores_are_the_softmax_of_the_integer_network(tmp_path, picture):
    model = export(tmp_path / "e")
    found = predict.predict_files(tmp_path / "e" / "model_int8.tflite", picture)
    assert [entry["file"] for entry in found] == [str(picture)]
    side, _, channels = model.input_shape
    view = deployed_view(np.asarray(Image.open(picture))[None], side, {1: "mono", 3: "rgb"}[channels])
    logits = (integer.integer_forward(model, view)[0].astype(float) - model.output.zero_point) * model.output.scale
    expected = np.exp(logits) / np.exp(logits).sum()
    np.testing.assert_allclose([found[0]["scores"][name] for name in CLASSES], expected, rtol=1e-6)
    assert found[0]["label"] == CLASSES[int(expected.argmax())]


@pytest.mark.parametrize("native", [96, None])
def test_a_folder_of_pictures_of_any_size_and_mode(tmp_path, picture, native):
    export(tmp_path / "e", native=native)
    (tmp_path / "more").mkdir()
    Image.open(picture).resize((20, 10)).convert("L").save(tmp_path / "more" / "small.jpg")
    Image.open(picture).resize((300, 100)).convert("RGBA").save(tmp_path / "more" / "wide.PNG")
    (tmp_path / "more" / "notes.txt").write_text("no image")
    found = predict.predict_files(tmp_path / "e", tmp_path / "more")
    assert [entry["file"].rsplit("/")[-1] for entry in found] == ["small.jpg", "wide.PNG"]
    assert all(sum(entry["scores"].values()) == pytest.approx(1) for entry in found)


def test_run_directory_means_its_best_candidate(tmp_path, picture):
    finalists = []
    for name, accuracy, kind in (("a", 0.7, "candidate"), ("b", 0.8, "candidate"), ("c", 0.9, "baseline")):
        export(tmp_path / "run" / "export" / name, seed=ord(name))
        files = {"tflite": f"export/{name}/model_int8.tflite"}
        finalists.append({"id": name, "kind": kind, "accuracy": {"int8_validation": accuracy}, "files": files})
    (tmp_path / "run" / "summary.json").write_text(json.dumps({"schema_version": 1, "finalists": finalists}))
    best = predict.predict_files(tmp_path / "run" / "export" / "b", picture)
    assert predict.predict_files(tmp_path / "run", picture) == best
    assert predict.predict_files(tmp_path / "run" / "export" / "a", picture) != best


def corrupt_head(folder):
    (folder / "model_int8.tflite").write_bytes(b"no model")


def corrupt_byte(folder):
    path = folder / "model_int8.tflite"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def hollow(folder):
    """A file that names itself TFL3 and points nowhere, with the right digest."""
    data = b"\xff\xff\xff\x0fTFL3" + bytes(64)
    (folder / "model_int8.tflite").write_bytes(data)
    change(folder, lambda m: m.update(sha256=hashlib.sha256(data).hexdigest()))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda folder: (folder / "manifest.json").unlink(),
            r"manifest\.json: cannot be read .*; give a finished run, or export again",
        ),
        (lambda folder: (folder / "manifest.json").write_text("{"), r"manifest\.json is damaged: Expecting"),
        (
            lambda folder: (folder / "manifest.json").write_text("[]"),
            r"manifest\.json is damaged: a JSON object is expected",
        ),
        (lambda folder: change(folder, lambda m: m.pop("data")), "field data is missing"),
        (lambda folder: change(folder, lambda m: m["data"].update(colour="grey")), "colours = .*(.grey.,)"),
        (lambda folder: change(folder, lambda m: m["data"].update(resolution_px=20)), "says"),
        (lambda folder: change(folder, lambda m: m["data"].update(native_resolution_px=3)), "native_resolution_px = 3"),
        (lambda folder: change(folder, lambda m: m["output"].update(scale=0)), "the file gives scale"),
        (lambda folder: change(folder, lambda m: m.update(classes=["one"])), "1 classes, the file gives 2"),
        (lambda folder: change(folder, lambda m: m.update(classes=[])), "a list of names is right"),
        (
            lambda folder: (folder / "model_int8.tflite").unlink(),
            r"summary\.json: cannot be read .*; give a finished run, or export again",
        ),
        (corrupt_head, "no .tflite file"),
        (corrupt_byte, "sha256"),
        (hollow, "damaged"),
    ],
)
def test_damaged_exports_are_named(tmp_path, picture, damage, message):
    export(tmp_path / "e")
    damage(tmp_path / "e")
    with pytest.raises(UserError, match=message):
        predict.predict_files(tmp_path / "e", picture)


def test_manifest_of_another_shape_than_the_file(tmp_path, picture):
    export(tmp_path / "e")

    def shrink(manifest):
        manifest["data"]["resolution_px"] = 20
        manifest["input"]["shape"][1:3] = [20, 20]

    change(tmp_path / "e", shrink)
    with pytest.raises(UserError, match="the file reads"):
        predict.predict_files(tmp_path / "e", picture)


def test_bad_images_are_named(tmp_path):
    export(tmp_path / "e")
    with pytest.raises(UserError, match=r"none\.png does not exist"):
        predict.predict_files(tmp_path / "e", tmp_path / "none.png")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG broken")
    with pytest.raises(UserError, match=r"broken\.png: cannot be read"):
        predict.predict_files(tmp_path / "e", tmp_path / "broken.png")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds nothing to predict"):
        predict.predict_files(tmp_path / "e", tmp_path / "empty")
    with pytest.raises(UserError, match=r"nowhere\.tflite does not exist"):
        predict.predict_files(tmp_path / "nowhere.tflite", tmp_path / "empty")


def test_a_summary_without_candidates(tmp_path, picture):
    disk.write_json(tmp_path / "summary.json", {"finalists": []})
    with pytest.raises(UserError, match="lists no exported candidate"):
        predict.predict_files(tmp_path, picture)
    disk.write_json(tmp_path / "summary.json", {"finalists": [{"kind": "candidate"}]})
    with pytest.raises(UserError, match="accuracy"):
        predict.predict_files(tmp_path, picture)
