"""Files that nobody vouches for: read as data, inside their folder, and looked at before memory is asked for."""

import contextlib
import io
import json
import os
import struct
import warnings
import zipfile
import zlib

import numpy as np
import pytest
from deploy_exports import CLASSES, change, export
from PIL import Image

from danas_jax import cli, config_io, disk, npz, reuse, untrusted
from danas_jax.config import Config, DataSettings
from danas_jax.config_checks import validate
from danas_jax.data import decode, sound
from danas_jax.data.dataset import open_data
from danas_jax.deploy.alone import Table
from danas_jax.deploy.firmware.command import exported_finalists
from danas_jax.deploy.predict import load_export, model_path
from danas_jax.errors import Unreadable, UserError
from danas_jax.hardware import boards, tflite_reader
from danas_jax.search.cache import AccuracyCache
from danas_jax.spaces import quickstart


def refused(message, call, *arguments):
    with pytest.raises(UserError) as caught:
        call(*arguments)
    assert message in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", ["../x", "/etc/hostname", "a/../../x", "..", ".", "", "a\0", None, 3, ["x"]])
def test_names_stay_inside(tmp_path, name):
    refused(f"{name!r}: give a path inside", untrusted.inside, tmp_path, name, "x.json: file")


def test_names_that_are_inside(tmp_path):
    for name in ("a", "a/b.c", "a/../b", "..a"):
        assert untrusted.inside(tmp_path, name, "x") == tmp_path / name


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "NaN", "1e999", "-Infinity", "9" * 5000, "\xff"])
def test_json_that_is_none(text):
    with pytest.raises(ValueError):  # noqa: PT011 - each reader names its file
        untrusted.loads(text.encode("latin1"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": {"b": [0, [NaN]], "c": 1}}', "b = NaN: not a number"),
        ('{"a": 1e999, "a": 1}', "a = 1e999: not a number"),
        ('{"a": "NaN", "b": 1.5, "c": -Infinity}', "c = -Infinity: not a number"),
        ('{"a": 1, "b": ' + "9" * 5000 + "}", r"b = 9{40}\.\.\. \(5000 digits\): not a number"),
        ('{"": NaN}', "'' = NaN: not a number"),
        ("[NaN]", "^NaN is not a number"),
        ('{"a": 1e999, "b": ' + "[" * 100_000, "nested too deeply"),
        ("[1,]", "line 1 column"),
    ],
)
def test_json_that_is_none_is_told_by_its_place(text, message):
    with pytest.raises(ValueError, match=message):
        untrusted.loads(text)


def test_size_and_pipes_are_looked_at_first(tmp_path):
    path, pipe = tmp_path / "a", tmp_path / "pipe"
    path.write_bytes(b"12345")
    os.mkfifo(pipe)
    assert untrusted.read_bytes(path, 5) == b"12345"
    refused("larger than the 4 bytes", untrusted.read_bytes, path, 4)
    refused("is a pipe", untrusted.read_bytes, pipe, 4)


def npy(descr, shape, body=b""):
    text = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\0" + struct.pack("<H", len(text)) + text.encode() + body


def zipped(path, content, compression=zipfile.ZIP_STORED, name="x.npy"):
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr(name, content)
    return path


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (npy("<i8", (2**40,)), "x should have 8796093022208 bytes"),
        (npy("<i8", "(-1,)"), "give an array of numbers or text"),
        (npy("<U0", (10**9,)), "give an array of numbers or text"),
        (npy("|O", (1,), b"\x80\x04."), "holds Python objects"),
        (npy("|V4", (1,), bytes(4)), "give an array of numbers or text"),
        (npy("<i8", "(" * 99), "cannot be read as .npz"),
        (b"\x93NUMPY\x03\0" + bytes(90), "version (3, 0)"),
        (b"", "cannot be read as .npz"),
    ],
)
def test_headers_of_arrays_that_cannot_be(tmp_path, content, message):
    refused(message, disk.read_arrays, zipped(tmp_path / "a.npz", content))


def test_a_bomb_is_not_unpacked(tmp_path, monkeypatch):
    path = zipped(tmp_path / "a.npz", npy("<i8", (2**17,), bytes(2**20)), zipfile.ZIP_DEFLATED)
    assert disk.read_arrays(path)["x"].shape == (2**17,)
    monkeypatch.setattr(npz, "MAX_PACKED_BYTES", 2**19)
    refused("save it with np.savez, not compressed", disk.read_arrays, path)
    monkeypatch.setattr(npz, "MAX_DEFLATE", 9)
    refused("more than the file can hold", disk.read_arrays, path)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"classes": np.array(3)}, "classes is int64 (): give a list of names"),
        ({"classes": np.array([2**31], "u4").view("U1")}, "classes holds text that is none"),
        ({"y": np.array([0, 1, 2**40, 0])}, "y goes up to 1099511627776"),
        ({"scale": np.array([np.inf])}, "scale is float64 (1,): give a positive number"),
        ({"scale": np.array([1e-300])}, "scale is float64 (1,): give a positive number"),
    ],
)
def test_arrays_of_series(tmp_path, changed, message):
    arrays = {"x": np.zeros((4, 9, 2), np.int16), "y": np.arange(4) % 2, **changed}
    np.savez(tmp_path / "all.npz", **arrays)
    settings = DataSettings(source="npz", modality="series", path=str(tmp_path / "all.npz"))
    refused(message, open_data, settings, 0, 0)


@pytest.mark.parametrize("kind", [[], {}, None, "x"])
def test_the_kind_of_a_view(kind):
    obj = config_io.to_json(config_io.load_config("quickstart"))
    obj["space"]["view"]["kind"] = kind
    refused("space.view.kind", config_io.from_json, obj)


def test_an_array_below_an_array(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, **{"a": np.ones(2), "a/b": np.ones(2)})
    refused("a/b is below an array", disk.read_arrays, path)


def png(width, height):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_pictures_of_too_many_pixels():
    with pytest.raises(Unreadable, match=r"13000 x 9000 pixels: more than 89,478,485"):
        decode.read_image(png(13_000, 9_000), 32, "a.png")
    with pytest.raises(Unreadable, match=r"a\.png: cannot be read"):
        decode.read_image(png(60_000, 60_000), 32, "a.png")


def test_a_damaged_orientation_is_no_crash():
    buffer, exif = io.BytesIO(), Image.Exif()
    exif[274] = 6
    Image.new("RGB", (9, 9)).save(buffer, "JPEG", exif=exif)
    content = buffer.getvalue()
    for place in range(len(content) - 60):
        broken = content[:place] + b"\xff" * 4 + content[place + 4 :]
        with warnings.catch_warnings(), contextlib.suppress(Unreadable):
            warnings.simplefilter("ignore")  # Pillow's of damaged orientations
            assert decode.read_image(broken, 8, "a.jpg").shape == (8, 8, 3)


@pytest.mark.parametrize(
    ("rate_hz", "samples", "message"),
    [(999_983, 99, "no simple ratio"), (100, 2**22, "too long to be resampled")],
)
def test_rates_that_would_take_the_memory(rate_hz, samples, message):
    with pytest.raises(ValueError, match=message):
        sound.fitted(np.zeros(samples, np.int16), rate_hz, 999_900 if rate_hz > 999 else 16_000, 10)


@pytest.mark.parametrize("edit", [{"tflite": "../outside.tflite"}, {"tflite": "/etc/hostname"}, {"tflite": 7}])
def test_a_summary_that_points_out_of_its_run(tmp_path, edit, capsys):
    finalist = {"kind": "candidate", "accuracy": {"int8_validation": 1.0}, "files": edit}
    disk.write_json(tmp_path / "summary.json", {"finalists": [finalist]})
    refused("files.tflite", model_path, tmp_path)
    assert cli.main(["predict", str(tmp_path), str(tmp_path)]) == 2


def test_firmware_of_a_name_that_leaves_the_run(tmp_path):
    finalist = {"kind": "candidate", "name": "../../elsewhere", "budget": {"sram_bytes": 5}}
    disk.write_json(tmp_path / "summary.json", {"finalists": [finalist]})
    refused("finalists.name = '../../elsewhere': give a path inside", exported_finalists, tmp_path)
    disk.write_json(tmp_path / "summary.json", {"finalists": [{**finalist, "budget": {"x": 5}}]})
    refused("unknown field", exported_finalists, tmp_path)


def test_a_baseline_named_as_the_folder_above():
    config = config_io.load_config("quickstart")
    baseline = config_io.from_json(config_io.to_json(config_io.load_config("person_photos"))).baselines[0]
    object.__setattr__(baseline, "name", "..")
    object.__setattr__(config, "baselines", (baseline,))
    refused("baselines: names ['..']", validate, config)


def test_a_config_in_a_runs_folder_is_data(tmp_path, capsys):
    """No Python that lies in a run's folder is executed, whatever it is called."""
    disk.write_json(tmp_path / "config.json", {"name": 3})
    for name in ("config.py", "quickstart.py", "__init__.py"):
        (tmp_path / name).write_text("raise SystemExit(99)")
    assert cli.main(["run", str(tmp_path)]) == 2
    assert "config.json" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda m: m["data"].update(native_resolution_px=10**9), "native_resolution_px = 1000000000"),
        (lambda m: m["data"].update(native_resolution_px=True), "native_resolution_px = True"),
        (lambda m: m["input"].update(shape=[1, 10**400, 1, 1]), "input.shape"),
        (lambda m: m["output"].update(scale=10**400), "field output is missing or wrong"),
        (lambda m: m.update(classes=[["cat"], "dog"]), "a list of names is right"),
        (lambda m: m.update(data=[]), "field data is missing or wrong"),
    ],
)
def test_manifests(tmp_path, edit, message):
    export(tmp_path)
    assert len(load_export(tmp_path)[1]["classes"]) == len(CLASSES)
    change(tmp_path, edit)
    refused(message, load_export, tmp_path)


def test_tensors_that_would_take_the_memory(tmp_path, monkeypatch):
    export(tmp_path)
    monkeypatch.setattr(tflite_reader, "MAX_TENSORS_BYTES", 10_000)
    refused("more than 10,000 B up to here", tflite_reader.read, tmp_path / "model_int8.tflite")


@pytest.mark.parametrize("text", ["a = " + "[" * 5000, "a = " + "9" * 5000, "a = " + "{b=" * 5000])
def test_toml_that_is_none(text):
    said = refused("mine.toml: not TOML", boards.parse_boards, f"a = 1\n\n{text}", "mine.toml")
    assert "nested too deeply" in said or "at line 3" in said


@pytest.mark.parametrize("value", [10**400, 2**1024, True, "x"])
def test_numbers_of_a_config(value):
    obj = config_io.to_json(Config("c"))
    obj["train"]["learning_rate"] = value
    refused("train.learning_rate", config_io.from_json, obj)


HEAD = "key,system,seed,epochs,image_views,half_accuracy\n"


@pytest.mark.parametrize(
    "content",
    [HEAD + "a,n,0,1,2,nan\n", HEAD + "a,n,0,1,2,1e999\n", HEAD + "a,n\n", "x" * 200_000, "\xff\xfe", HEAD + "\0"],
)
def test_tables_of_trained_networks(tmp_path, content):
    path = tmp_path / "trained.csv"
    path.write_bytes(content.encode("latin1"))
    refused("trained.csv", Table, path, ("half",))


def test_accuracies_of_another_run(tmp_path):
    """Lines that no search writes are dropped, as torn ones are."""
    path = tmp_path / "accuracies.jsonl"
    good = {"tier": "half", "genes": [1, 2], "accuracy": 0.5}
    bad = [
        {**good, "genes": 3},
        {**good, "genes": [[]]},
        {**good, "tier": []},
        {**good, "accuracy": "x"},
        7,
        "[" * 9999,
    ]
    lines = [json.dumps(x) if not isinstance(x, str) else x for x in ({"schema_version": 1, "key": "k"}, *bad, good)]
    path.write_bytes("\n".join(lines).encode() + b"\n\xff\n")
    assert len(AccuracyCache(path, "k")) == 1


@pytest.mark.parametrize("bounds", [None, [[1], [2]], [[10**30], [1]], "x", [[[]], []], [[1e300] * 20, [0.0] * 20]])
def test_bounds_of_another_run(bounds):
    space = quickstart()
    wanted = (space.min_genes, space.max_genes)
    refused("trained_bounds", reuse.narrowed, space, wanted, {"trained_bounds": bounds})


def test_a_message_cannot_steer_the_terminal(capsys):
    assert cli.main(["cost", "x.tflite\x1b[2J" + "y" * 20_000]) == 2
    said = capsys.readouterr().err
    assert "\x1b" not in said
    assert len(said) < 11_000
