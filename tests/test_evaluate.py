"""`danas evaluate`: exported and foreign files on folders of pictures; figures by hand, notes, flags."""

import dataclasses
import json

import numpy as np
import pytest
from deploy_exports import CLASSES, change, export
from deploy_nets import pictures
from PIL import Image
from tflite_files import OP, TYPE, changed, quantised, schema

from danas_jax import cli
from danas_jax.config import Config, DataSettings
from danas_jax.config_io import to_json
from danas_jax.data.dataset import open_data
from danas_jax.deploy import predict
from danas_jax.deploy.classifier import End, Normalisation, parse_classifier
from danas_jax.disk import write_json
from danas_jax.spaces import quickstart
from danas_jax.views.frame import FITS, placed
from danas_jax.views.image import ImageView

PX = 96


def picture(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pictures((PX, PX, 3), 1, seed)[0]).save(path)


def fill(root, *places, count=6):
    for number, place in enumerate(places):
        for i in range(count):
            picture(root / place / f"{i}.png", 100 * number + i)
    return root


@pytest.fixture
def flat(tmp_path):
    return fill(tmp_path / "pictures", "cat", "dog")


@pytest.fixture
def split(tmp_path):
    return fill(tmp_path / "pictures", *(f"{s}/{c}" for s in ("train", "val", "test") for c in CLASSES))


@pytest.fixture
def model(tmp_path):
    """An export in the folder of a run; its file."""
    export(tmp_path / "run" / "export" / "e")
    return tmp_path / "run" / "export" / "e" / "model_int8.tflite"


def found(capsys, *arguments):
    assert cli.main(["evaluate", *map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def confusion(model, folder):
    """By `danas predict`, a picture at a time."""
    result = np.zeros((2, 2), int)
    for row in predict.predict_files(model, folder):
        result[CLASSES.index(row["file"].split("/")[-2]), CLASSES.index(row["label"])] += 1
    return result.tolist()


def alone(model, tmp_path, metadata=None):
    """The same network without a manifest."""
    export(tmp_path / "alone", metadata=metadata)
    (tmp_path / "alone" / "manifest.json").unlink()
    return tmp_path / "alone" / "model_int8.tflite"


def test_an_export_is_known_by_its_manifest(model, flat, capsys):
    result = found(capsys, model, flat)
    assert result["schema_version"] == 1
    assert (result["known_by"], result["classes"], result["split"]) == ("its manifest", CLASSES, None)
    assert result["figures"]["confusion"] == confusion(model, flat)
    assert result["figures"]["images"] == 12
    assert np.array(result["figures"]["confusion"]).sum(axis=0).min() > 0  # both answers occur
    assert (result["operating_point"], result["notes"]) == (None, [])
    assert found(capsys, model.parent, flat)["figures"] == result["figures"]


def test_a_copy_is_known_by_what_the_file_says(model, flat, tmp_path, capsys):
    data = json.loads((model.parent / "manifest.json").read_text())["data"]
    copy = alone(model, tmp_path, {"data": data, "classes": CLASSES})
    result = found(capsys, copy, flat)
    assert result["known_by"] == "its metadata"
    assert result["figures"] == found(capsys, model, flat)["figures"]


def test_a_foreign_file_takes_flags(model, flat, tmp_path, capsys):
    """Pictures of the network's own side need no resize, so all that is known by flags gives the same figures."""
    side = parse_classifier(model.read_bytes(), "").shape[0]
    for path in flat.rglob("*.png"):
        Image.open(path).resize((side, side)).save(path)
    change(model.parent, lambda m: m["data"].update(native_resolution_px=side))
    expected = found(capsys, model, flat)["figures"]
    foreign = alone(model, tmp_path)
    result = found(capsys, foreign, flat)
    assert (result["known_by"], result["classes"]) == ("its tensors and flags", CLASSES)
    assert result["figures"] == expected
    assert found(capsys, foreign, flat, "--mean", "128", "--std", "128")["figures"] == expected
    assert found(capsys, foreign, flat, "--mean", "0", "--std", "255")["figures"] != expected
    turned = found(capsys, foreign, flat, "--classes", "dog", "cat")
    assert turned["classes"] == ["dog", "cat"]
    assert turned["figures"]["accuracy"] == pytest.approx(1 - expected["accuracy"])
    assert cli.main(["evaluate", str(foreign), str(flat)]) == 0
    assert "classes: cat, dog (the folders' names, sorted: is that right?)" in capsys.readouterr().out


def test_uint8_pixels_in_and_softmax_out(model, flat, tmp_path, capsys):
    """The same network between a QUANTIZE and a SOFTMAX, as converters leave it."""

    def dress(subgraph, code):
        first, last = subgraph.tensors[subgraph.inputs[0]], subgraph.tensors[subgraph.outputs[0]]
        subgraph.tensors += [
            quantised("pixels", first.shape, TYPE.UINT8, 1 / 128, 128),
            quantised("probabilities", last.shape, TYPE.INT8, 1 / 256, -128),
        ]
        pixels, probabilities = len(subgraph.tensors) - 2, len(subgraph.tensors) - 1
        before = schema.OperatorT(opcodeIndex=code(OP.QUANTIZE), inputs=[pixels], outputs=[subgraph.inputs[0]])
        after = schema.OperatorT(
            opcodeIndex=code(OP.SOFTMAX),
            inputs=[subgraph.outputs[0]],
            outputs=[probabilities],
            builtinOptionsType=schema.BuiltinOptions.SoftmaxOptions,
            builtinOptions=schema.SoftmaxOptionsT(beta=1.0),
        )
        subgraph.operators = [before, *subgraph.operators, after]
        subgraph.inputs, subgraph.outputs = np.array([pixels], np.int32), np.array([probabilities], np.int32)

    plain = alone(model, tmp_path)
    (tmp_path / "dressed.tflite").write_bytes(changed(plain.read_bytes(), dress))
    dressed = parse_classifier((tmp_path / "dressed.tflite").read_bytes(), "")
    assert dressed.input == End("uint8", 1 / 128, 128)
    assert dressed.is_softmax
    logits = dressed.logits(np.array([[-128, 127], [0, -1]], np.int8))
    np.testing.assert_allclose(np.exp(logits), [[1 / 512, 255 / 256], [0.5, 127 / 256]])
    expected, result = (found(capsys, path, flat)["figures"] for path in (plain, tmp_path / "dressed.tflite"))
    assert result["confusion"] == expected["confusion"]
    assert result["auc"] == pytest.approx(expected["auc"], abs=0.1)  # 256 steps of probability tie some pictures


def test_normalisation_is_quantised_by_the_tensor():
    table = dataclasses.replace(parse_classifier(quantised_conv(), ""), input=End("int8", 0.02, 10))._input_table(
        Normalisation((100.0, 120.0, 128.0), (50.0,))
    )
    assert table.dtype == np.int8
    assert table[[0, 100, 255], [0, 0, 0]].tolist() == [-90, 10, 127]  # -2 and 3.1 over 0.02: the last is cut off
    assert table[120].tolist() == [30, 10, 2]


def quantised_conv(shape=(8, 8, 3)):
    """The bytes of a network of 3 channels."""
    from danas_jax.deploy.tflite_writer import random_model, write_tflite
    from danas_jax.layers import LayerBuilder

    net = LayerBuilder(shape)
    net.conv("a", 4)
    net.pool("b")
    net.dense("c", 2)
    return write_tflite(random_model(net.build()), {})


def test_grey_for_a_network_of_three_channels(flat, tmp_path, capsys):
    """--colour mono feeds grey into each channel: what the same pictures give without their colour."""
    (tmp_path / "rgb.tflite").write_bytes(quantised_conv())
    grey = found(capsys, tmp_path / "rgb.tflite", flat, "--colour", "mono")["figures"]
    for path in flat.rglob("*.png"):
        pixels = np.asarray(Image.open(path).resize((8, 8), Image.Resampling.BICUBIC)).astype(int)
        level = (77 * pixels[..., 0] + 150 * pixels[..., 1] + 29 * pixels[..., 2] + 128) >> 8
        Image.fromarray(level.astype(np.uint8)).save(path)
    assert found(capsys, tmp_path / "rgb.tflite", flat)["figures"] == grey


def test_a_foreign_file_of_a_wide_input_takes_a_fit(flat, tmp_path, capsys):
    """--fit crop sees of a picture what is left when its rest is cut off."""
    (tmp_path / "wide.tflite").write_bytes(quantised_conv((8, 16, 3)))
    fitted = {fit: found(capsys, tmp_path / "wide.tflite", flat, "--fit", fit)["figures"] for fit in FITS}
    whole = found(capsys, tmp_path / "wide.tflite", flat)["figures"]
    assert whole == fitted["stretch"] and whole not in (fitted["crop"], fitted["pad"])
    for path in flat.rglob("*.png"):
        pixels = np.asarray(Image.open(path))
        Image.fromarray(pixels[placed(pixels.shape[:2], (8, 16), "crop")[0].slices]).save(path)
    assert found(capsys, tmp_path / "wide.tflite", flat)["figures"] == fitted["crop"]


def test_validation_unless_another_split_is_named(model, split, capsys):
    result = found(capsys, model, split)
    assert (result["split"], result["notes"]) == ("validation", [])
    assert result["figures"]["confusion"] == confusion(model, split / "val")
    tested = found(capsys, model, split, "--split", "test")
    assert tested["figures"]["confusion"] == confusion(model, split / "test")
    assert "these are the images of a test split" in tested["notes"][0]
    assert found(capsys, model, split / "test")["notes"] == tested["notes"]
    assert found(capsys, model, split / "test")["figures"] == tested["figures"]


def config_of(data, **changes):
    space = dataclasses.replace(quickstart(), view=ImageView((64, PX)))
    return Config("run", space=space, data=DataSettings(source="folder", path=str(data), **changes))


def test_a_runs_own_test_split_is_a_look_at_test(model, split, capsys):
    write_json(model.parents[2] / "config.json", to_json(config_of(split)))
    notes = {s: found(capsys, model, split, "--split", s)["notes"] for s in ("train", "validation", "test")}
    assert notes["train"] == ["12 of the images are among those that the network was trained on"]
    assert "12 of the images are the run's own validation split" in notes["validation"][0]
    assert notes["test"] == [
        "12 of the images are the run's own test split: this is a look at test, choose nothing by it"
    ]
    assert found(capsys, model, split / "test")["notes"] == notes["test"]


def test_a_runs_own_folder_without_splits_has_the_runs(model, tmp_path, capsys):
    flat = fill(tmp_path / "pictures", *CLASSES, count=20)
    (flat / "metadata.csv").write_text(
        "file,who\n" + "".join(f"{c}/{i}.png,{'ann' if i % 2 else 'ben'}\n" for c in CLASSES for i in range(20))
    )
    config = config_of(flat, slice_fields=("who",))
    write_json(model.parents[2] / "config.json", to_json(config))
    own = open_data(config.data, PX, config.seed)
    for split in ("validation", "test"):
        result = found(capsys, model, flat, "--split", split)
        assert (result["split"], result["figures"]["images"]) == (split, len(own.items[split])) == (split, 6)
        assert len(result["notes"]) == 1
        assert sum(row["images"] for row in result["figures"]["slices"]["who"].values()) == 6
    assert found(capsys, model, flat) == found(capsys, model, flat, "--split", "validation")
    assert found(capsys, model, flat, "--split", "train")["figures"]["images"] == 28  # with the search slice


def test_a_run_whose_pictures_are_gone(model, flat, tmp_path, capsys):
    write_json(model.parents[2] / "config.json", to_json(config_of(tmp_path / "gone")))
    assert "whether the network was trained on these examples is not known" in found(capsys, model, flat)["notes"][0]


def test_slices_and_operating_point(model, flat, capsys):
    (flat / "metadata.csv").write_text("file,who\ncat/0.png,ann\ncat/1.png,ann\ndog/1.png,ben\n")
    change(
        model.parent,
        lambda m: m.update(
            operating_point={"positive_class": "cat", "threshold_codes": -255, "max_false_alarm_rate": 0.5}
        ),
    )
    result = found(capsys, model, flat, "--slice-fields", "who")
    assert {value: row["images"] for value, row in result["figures"]["slices"]["who"].items()} == {
        "": 9,
        "ann": 2,
        "ben": 1,
    }
    assert result["operating_point"]["here"]["detection_rate"] == 1.0
    assert result["operating_point"]["here"]["false_alarm_rate"] == 1.0
    assert cli.main(["evaluate", str(model), str(flat), "--slice-fields", "who"]) == 0
    shown = capsys.readouterr().out
    assert "operating point cat from -255 codes on: detects 1.000" in shown
    assert [line.split()[:2] for line in shown.splitlines() if line.strip().startswith(("ann", "(none)"))] == [
        ["(none)", "9"],
        ["ann", "2"],
    ]
    matrix = result["figures"]["confusion"]
    assert f"cat  {matrix[0][0]:>3}  {matrix[0][1]:>3}" in shown


def test_a_class_without_pictures_is_no_error(model, flat, capsys):
    for path in (flat / "dog").iterdir():
        path.unlink()
    (flat / "dog").rmdir()
    figures = found(capsys, model, flat)["figures"]
    assert figures["per_class"][1]["recall"] is None
    assert figures["images"] == 6
