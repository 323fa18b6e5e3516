"""Damaged and foreign models, manifests that disagree, pictures that are none, boards too small: exit code 2, named."""

import numpy as np
import pytest
from deploy_exports import CLASSES, change, export
from deploy_nets import pictures
from PIL import Image
from tflite_files import OP, TYPE, changed, schema

from danas_jax import cli
from danas_jax.config import Config, Limits
from danas_jax.deploy import classifier
from danas_jax.deploy.finalists import Finalist, export_one
from danas_jax.disk import write_json
from danas_jax.errors import UserError
from danas_jax.hardware.flash import RUNTIME_BYTES
from danas_jax.views.base import NetworkInput
from danas_jax.views.image import ImageData, ImageView

BOARDS = """
[small]
title = "a board"
core = "cortex-m7"
clock_hz = 240_000_000
sram_bytes = {sram}
flash_bytes = {flash}
reserved_sram_bytes = 1000
source = "made up"
"""


@pytest.fixture
def folder(tmp_path):
    """An export, and beside it pictures/<class>/*.png."""
    export(tmp_path / "e")
    for i, name in enumerate(CLASSES):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for j in range(2):
            Image.fromarray(pictures((96, 96, 3), 1, 2 * i + j)[0]).save(tmp_path / "pictures" / name / f"{j}.png")
    return tmp_path


def refused(capsys, *arguments):
    """What `danas ARGUMENTS` says when it ends with 2."""
    assert cli.main(list(map(str, arguments))) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("danas: ")
    assert "Traceback" not in captured.err
    return captured.err


def in_float(subgraph, code):
    """Every tensor float32, as a converter without quantisation leaves it."""
    for tensor in subgraph.tensors:
        tensor.type, tensor.quantization, tensor.buffer = TYPE.FLOAT32, None, 0


def unknown_operator(subgraph, code):
    subgraph.operators[0].opcodeIndex = code(OP.HARD_SWISH)


def two_inputs(subgraph, code):
    subgraph.inputs = np.array([subgraph.inputs[0]] * 2, np.int32)


def two_outputs(subgraph, code):
    subgraph.outputs = np.array([subgraph.outputs[0], subgraph.operators[0].outputs[0]], np.int32)


def no_scale(subgraph, code):
    subgraph.tensors[subgraph.outputs[0]].quantization = None


def map_out(subgraph, code):
    """The output is a map, as a detector's."""
    subgraph.outputs = np.array([subgraph.operators[0].outputs[0]], np.int32)


def float_input(subgraph, code):
    """float32 pixels in front of a QUANTIZE: a converter's default."""
    first = subgraph.tensors[subgraph.inputs[0]]
    subgraph.tensors.append(schema.TensorT(name="pixels", shape=first.shape, type=TYPE.FLOAT32))
    subgraph.operators.insert(
        0,
        schema.OperatorT(
            opcodeIndex=code(OP.QUANTIZE), inputs=[len(subgraph.tensors) - 1], outputs=[subgraph.inputs[0]]
        ),
    )
    subgraph.inputs = np.array([len(subgraph.tensors) - 1], np.int32)


def crashing(subgraph, code):
    """A tensor that an ADD reads has no scale, on which TFLM aborts its process."""
    add = next(o for o in subgraph.operators if isinstance(o.builtinOptions, schema.AddOptionsT))
    subgraph.tensors[add.inputs[0]].quantization.scale = None


def edited(edit):
    return lambda data: changed(data, edit)


@pytest.mark.parametrize(
    ("damage", "commands", "message"),
    [
        (lambda data: b"", "evaluate predict cost", "the file is empty"),
        (lambda data: b"Once upon a time\n" * 9, "evaluate predict cost", "no .tflite file"),
        (lambda data: data[: len(data) // 2], "evaluate predict cost", "damaged or cut off"),
        (lambda data: b"\xff\xff\xff\x0fTFL3" + bytes(64), "evaluate predict cost", "damaged or cut off"),
        (edited(in_float), "evaluate predict cost", "needs int8 input, kernel and output, has float32"),
        (edited(unknown_operator), "evaluate predict cost", "(HARD_SWISH): this operator is not read"),
        (edited(two_inputs), "evaluate predict", "2 inputs, a classifier has one"),
        (edited(two_outputs), "evaluate predict", "2 outputs, a classifier has one"),
        (edited(map_out), "evaluate predict", "not one number for each of two or more classes"),
        (edited(no_scale), "evaluate predict", "no scale and zero point"),
        (edited(float_input), "evaluate predict", "its input is float32: give a network quantised to int8"),
        (edited(crashing), "evaluate", "TFLM crashes on it (SIGABRT)"),
    ],
)
def test_models(folder, capsys, damage, commands, message):
    path = folder / "model.tflite"
    path.write_bytes(damage((folder / "e" / "model_int8.tflite").read_bytes()))
    arguments = {"evaluate": [path, folder / "pictures"], "predict": [path, folder / "pictures"], "cost": [path]}
    for command in commands.split():
        said = refused(capsys, command, *arguments[command])
        assert message in said, command
        assert "model.tflite" in said


def swap_outputs(m):
    m["output"]["zero_point"] += 1


def test_a_model_that_does_not_end(folder, capsys, monkeypatch):
    (folder / "e" / "manifest.json").unlink()
    monkeypatch.setattr(classifier, "TRIAL_S", 0)
    said = refused(capsys, "evaluate", folder / "e" / "model_int8.tflite", folder / "pictures")
    assert "one inference takes more than 0 s: is the file damaged?" in said


@pytest.mark.parametrize("command", ["predict", "evaluate"])
@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda m: m.update(sha256="0" * 64), "keep the two files together"),
        (lambda m: m["classes"].append("cow"), "3 classes, the file gives 2"),
        (lambda m: (m["data"].update(resolution_px=32), m["input"].update(shape=[1, 32, 32, 1])), "the file reads"),
        (lambda m: m["data"].update(resolution_px=32), "its data configuration says"),
        (swap_outputs, "the file gives scale"),
    ],
)
def test_manifests_that_disagree(folder, capsys, command, edit, message):
    change(folder / "e", edit)
    said = refused(capsys, command, folder / "e" / "model_int8.tflite", folder / "pictures")
    assert message in said
    assert "manifest.json" in said


@pytest.mark.parametrize("command", ["predict", "evaluate"])
@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda path: path.write_bytes(b""), "0.png"),
        (lambda path: path.write_text("a letter"), "not an image inside"),
        (lambda path: path.write_bytes(path.read_bytes()[:200]), "0.png"),
        # a picture of real numbers has no colours
        (lambda path: Image.fromarray(np.zeros((9, 9), np.float32)).save(path, format="TIFF"), "not an image inside"),
    ],
)
def test_pictures_that_are_none(folder, capsys, command, spoil, reason):
    spoil(folder / "pictures" / "cat" / "0.png")
    said = refused(capsys, command, folder / "e", folder / "pictures")
    assert "0.png" in said
    assert reason in said


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16"])
def test_pictures_of_any_mode_are_made_rgb(folder, capsys, mode):
    """Black and white look the same in each of them, so the network says the same."""
    black_white = (pictures((96, 96, 1), 1, 5)[0, ..., 0] > 127).astype(np.uint8) * 255
    for name in ("plain.png", "other"):
        (folder / name).mkdir()
    Image.fromarray(black_white).convert("RGB").save(folder / "plain.png" / "a.png")
    if mode == "I;16":
        Image.fromarray(black_white.astype(np.uint16) * 257).save(folder / "other" / "a.png")
    elif mode == "CMYK":
        Image.fromarray(black_white).convert("RGB").convert("CMYK").save(folder / "other" / "a.jpg", quality=100)
    else:
        Image.fromarray(black_white).convert(mode).save(folder / "other" / "a.png")
    said = []
    for name in ("plain.png", "other"):
        assert cli.main(["predict", str(folder / "e"), str(folder / name)]) == 0
        said.append(capsys.readouterr().out.split()[:2])
    assert said[0][0] == said[1][0]
    assert float(said[0][1][:-1]) == pytest.approx(float(said[1][1][:-1]), abs=0 if mode != "CMYK" else 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{e}", "{none}"], "no such folder"),
        (["{e}", "{e}/manifest.json"], "is a file, give a folder, a .csv manifest or .npz arrays"),
        (["{e}", "{e}"], "no folders in it"),
        (["{e}", "{strange}"], "folder 'cow' is none of the classes cat, dog"),
        (["{alone}", "{strange}"], "1 classes, the network has 2 outputs"),
        (["{alone}", "{pictures}", "--classes", "cat"], "--classes: 1 names"),
        (["{alone}", "{pictures}", "--colour", "rgb"], "reads 1 channel"),
        (["{alone}", "{pictures}", "--mean", "1"], "give both"),
        (["{alone}", "{pictures}", "--mean", "1", "--std", "0"], "std above 0"),
        (["{alone}", "{pictures}", "--mean", "1", "2", "--std", "1"], "--mean: 2 numbers, give 1 or 1"),
        (["{e}", "{pictures}", "--classes", "cat", "dog"], "its manifest says it already"),
        (["{e}", "{pictures}", "--split", "test"], "it has no splits, leave --split out"),
        (["{e}", "{splits}"], "there is no validation split: give --split test or train"),
        (["{e}", "{pictures}", "--slice-fields", "who"], "there is no"),
        (["{e}", "{pictures}", "--board", "smal"], "board = 'smal' is not known"),
        (["{none}", "{pictures}"], "does not exist"),
    ],
)
def test_what_evaluate_is_given(folder, capsys, arguments, message):
    export(folder / "alone")
    (folder / "alone" / "manifest.json").unlink()
    for place in ("strange/cow", "splits/train/cat", "splits/test/cat"):
        (folder / place).mkdir(parents=True)
        Image.new("RGB", (9, 9)).save(folder / place / "a.png")
    places = {name: folder / name for name in ("e", "none", "strange", "pictures", "splits")}
    places["alone"] = folder / "alone" / "model_int8.tflite"
    assert message in refused(capsys, "evaluate", *(text.format(**places) for text in arguments))


@pytest.mark.parametrize(("sram", "flash", "what"), [(1 << 20, 60_000, "flash"), (12_000, 1 << 20, "SRAM")])
def test_a_model_over_the_boards_memory(folder, capsys, monkeypatch, sram, flash, what):
    (folder / "boards.toml").write_text(BOARDS.format(sram=sram, flash=flash))
    monkeypatch.setenv("DANAS_BOARDS", str(folder / "boards.toml"))
    model = folder / "e" / "model_int8.tflite"
    for command in (["cost", model], ["cost", model, "--json"], ["evaluate", model, folder / "pictures"]):
        said = refused(capsys, *command, "--board", "small")
        assert "does not fit small" in said
        assert f"{what} with" in said and "too much" in said
    assert cli.main(["evaluate", str(model), str(folder / "pictures"), "--board", "stm32f746"]) == 0


@pytest.mark.parametrize("over", [0, 1])
def test_an_exported_file_over_the_budgets_flash(tmp_path, over):
    """The phase goes on exactly up to the limit; nothing is exported again to find out."""
    write_json(tmp_path / "export" / "f" / "measured.json", {"measured": {"file_bytes": 50_000}})
    budget = Limits(flash_bytes=50_000 + RUNTIME_BYTES - over)
    finalist = Finalist(
        "f", "f", "candidate", (), NetworkInput(ImageView((48,)), ImageData(48, "mono")), None, budget, None
    )
    arguments = (tmp_path, finalist, Config("c"), {}, None, None, (), print)
    if not over:
        assert export_one(*arguments)["measured"]["file_bytes"] == 50_000
        return
    with pytest.raises(UserError, match=r"finalist f: .* take 144,900 B of flash, its budget gives 144,899 B"):
        export_one(*arguments)
