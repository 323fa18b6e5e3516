"""`danas run` on photographs of a wide camera at 4:3, and what follows it: predict, evaluate, firmware, cost."""

import json

import numpy as np
import pytest
from deploy_exports import change
from firmware_toys import command, need
from PIL import Image
from pipeline_toys import config_file

from danas_jax import cli
from danas_jax.data.decode import read_image
from danas_jax.deploy.firmware.emulator import answers
from danas_jax.deploy.predict import Predictor, load_export
from danas_jax.deploy.verify import run_tflm
from danas_jax.views.frame import placed
from danas_jax.views.resize import deployed_view, view_of

SIDES = 40, 64  # height and width of the photographs; 40 x 53 of them are seen


def photographs(folder, count=24):
    """Red or blue in the middle half, the other way round at the sides that are cropped."""
    rng = np.random.default_rng(0)
    for label, name in enumerate(("blue", "red")):
        (folder / name).mkdir(parents=True)
        for i in range(count):
            pixels = rng.integers(60, 120, (*SIDES, 3))
            pixels[:, 16:48, 2 * (1 - label)] += 90
            pixels[:, :5, 2 * label] += 130
            Image.fromarray(pixels.astype(np.uint8)).save(folder / name / f"{i}.png")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a run and of its photographs."""
    folder = tmp_path_factory.mktemp("aspect")
    photographs(folder / "photos")
    data = ["--data.source", "folder", "--data.path", str(folder / "photos"), "--data.fit", "crop"]
    camera = ["--limits.count-input-pipeline", "--limits.camera-px", "24"]
    flags = [*data, "--data.cache-dir", str(folder / "cache"), *camera]
    assert cli.main(["run", config_file(folder, "WIDE"), "--run-dir", str(folder / "run"), *flags]) == 0
    return folder


@pytest.fixture(scope="module")
def exported(finished):
    (entry,) = json.loads((finished / "run" / "summary.json").read_text())["finalists"]
    return entry, finished / "run" / "export" / entry["name"]


def test_the_network_reads_frames_of_the_aspect(finished, exported):
    entry, folder = exported
    tflite, manifest = load_export(folder)
    height = entry["data"]["resolution_px"]
    width = 4 * height // 3
    assert manifest["input"]["shape"][1:3] == [height, width]
    assert (manifest["data"]["aspect"], manifest["data"]["fit"]) == ("4:3", "crop")
    assert manifest["data"]["native_resolution_px"] == 18
    assert entry["on_board"]["input_pipeline_bytes"] == 3 * (24 * 32 + 4 * width)
    assert (entry["predicted"]["input_px"], entry["predicted"]["input_width_px"]) == (height, width)
    assert f"{width}x{height} px rgb" in (finished / "run" / "report" / "index.html").read_text()
    assert len(tflite) == entry["measured"]["file_bytes"]


def test_predict_sees_the_centre(finished, exported, tmp_path, capsys):
    predictor = Predictor(exported[1])
    assert (predictor.native_px, predictor.fit) == ((18, 24), "crop")
    file = finished / "photos" / "red" / "3.png"
    seen = placed(SIDES, (18, 24), "crop")[0]
    Image.fromarray(np.asarray(Image.open(file))[seen.slices]).save(tmp_path / "centre.png")
    views = [predictor.views(path)[str(path)] for path in (file, tmp_path / "centre.png")]
    assert views[0].shape[:2] == predictor.source.shape[:2]
    assert (views[0] == views[1]).all()  # what is cut off is not even looked at
    assert cli.main(["predict", str(finished / "run"), str(file), "--json"]) == 0
    assert "scores" in capsys.readouterr().out


def test_evaluate_answers_as_tflm_does_to_the_deployed_views(finished, exported, capsys):
    tflite, manifest = load_export(exported[1])
    photos = finished / "photos"
    assert cli.main(["evaluate", str(finished / "run"), str(photos), "--split", "validation", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    confusion = np.zeros((2, 2), int)
    answered = {name: [] for name in manifest["classes"]}
    for label, name in enumerate(manifest["classes"]):
        files = sorted((photos / name).glob("*.png"))
        frames = np.stack([read_image(file, (18, 24), fit="crop") for file in files])
        answered[name] = run_tflm(tflite, deployed_view(frames, *view_of(manifest["data"]))).argmax(axis=1)
        for answer in answered[name]:
            confusion[label, answer] += 1
    assert (np.array(found["figures"]["confusion"]) <= confusion).all()  # validation is a part of them
    copy = finished / "copy" / "model.tflite"  # without its manifest it is known by its own words
    copy.parent.mkdir(exist_ok=True)
    copy.write_bytes(tflite)
    assert cli.main(["evaluate", str(copy), str(photos), "--json"]) == 0
    whole = json.loads(capsys.readouterr().out)
    assert whole["known_by"] == "its metadata"
    assert whole["figures"]["confusion"] == confusion.tolist()
    assert cli.main(["evaluate", str(copy), str(photos), "--fit", "pad"]) == 2
    assert "--fit: its metadata says it already" in capsys.readouterr().err


def test_the_firmware_answers_as_tflm_does(finished, exported, tmp_path):
    """Frames as the counted camera delivers them, higher than the pictures that the network was trained on."""
    need("gcc", "make")
    assert cli.main(["export", str(finished / "run"), "--firmware", "bare", "--firmware", "arduino"]) == 0
    tflite, manifest = load_export(exported[1])
    project = exported[1] / "firmware" / "bare"
    assert "frames of 32 x 24 pixels" in (project / "README.md").read_text()
    assert ".resize((32, 24)" in (exported[1] / "firmware" / "arduino" / "README.md").read_text()
    frames = np.random.default_rng(0).integers(0, 256, (5, 24, 32, 3), dtype=np.uint8)
    for file in project.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    command("make", "host", "CC=gcc", cwd=tmp_path)
    found = answers(command("./host", cwd=tmp_path, data=frames.tobytes()))
    assert (found.logits == run_tflm(tflite, deployed_view(frames, *view_of(manifest["data"])))).all()


def test_cost_counts_the_cameras_frame(exported, capsys):
    _, manifest = load_export(exported[1])
    width = manifest["input"]["shape"][2]
    assert cli.main(["cost", str(exported[1]), "--camera-px", "24", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["input_pipeline_bytes"] == 3 * (24 * 32 + 4 * width)
    assert cli.main(["cost", str(exported[1]), "--camera-px", "25"]) == 2
    assert "a frame of the network's aspect is no whole number of pixels wide: give a multiple of 3" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        ({"aspect": "3:2"}, "its data configuration says"),
        ({"aspect": "8:6"}, "give it in lowest terms, 4:3"),
        ({"aspect": 4}, "is missing or wrong"),
        ({"fit": "letterbox"}, "data.fit = 'letterbox': stretch, crop, pad are known"),
        ({"native_resolution_px": 19}, "data.native_resolution_px = 19: of aspect 4:3"),
        ({"native_resolution_px": 6300}, "data.native_resolution_px = 6300: export again"),  # 8,400 px wide
    ],
)
def test_a_damaged_manifest_is_refused(exported, tmp_path, capsys, edit, message):
    for name in ("model_int8.tflite", "manifest.json"):
        (tmp_path / name).write_bytes((exported[1] / name).read_bytes())
    change(tmp_path, lambda manifest: manifest["data"].update(edit))
    assert cli.main(["predict", str(tmp_path), str(tmp_path)]) == 2
    assert message in capsys.readouterr().err
