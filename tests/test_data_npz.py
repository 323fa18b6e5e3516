"""Arrays in .npz files: series, pictures and sound, by one scale, by groups; what is wrong is named with its array."""

import io
import zipfile

import numpy as np
import pytest

from danas_jax.config import DataSettings
from danas_jax.data.dataset import open_data
from danas_jax.errors import UserError

STEPS, CHANNELS = 8, 3


def windows(count=60, seed=0, classes=3):
    """The arrays of a set of series: windows whose first value is their number."""
    rng = np.random.default_rng(seed)
    x = rng.integers(-2000, 2000, (count, STEPS, CHANNELS)).astype(np.int16)
    x[:, 0, 0] = np.arange(count)
    return {"x": x, "y": np.arange(count) % classes, "subject": np.arange(count) // 6}


def write(path, **arrays):
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **arrays)
    return path


def opened(path, seed=0, native_px=0, **changes):
    settings = {"source": "npz", "modality": "series", "path": str(path), **changes}
    return open_data(DataSettings(**settings), native_px, seed)


def refused(path, message, **changes):
    with pytest.raises(UserError) as caught:
        opened(path, **changes)
    assert message in str(caught.value)


def test_one_file_is_split_by_group(tmp_path):
    arrays = windows()
    data = opened(write(tmp_path / "all.npz", **arrays), group_field="subject")
    assert (data.class_names, data.shape) == (("0", "1", "2"), (STEPS, CHANNELS))
    groups = [set(items.groups) for items in data.items.values()]
    assert sum(map(len, groups)) == len(set.union(*groups)) == 10
    split = data.load("test", "test")
    rows = split.raw[:, 0, 0]
    assert (split.raw == arrays["x"][rows]).all()
    assert (split.labels == arrays["y"][rows]).all()
    assert split.raw.dtype == np.int16


def test_every_file_is_brought_to_the_scale_of_train(tmp_path):
    train, test = windows(), windows(30, seed=1)
    write(tmp_path / "train.npz", **train, scale=0.002, classes=np.array(["sit", "run", "jump"]))
    write(tmp_path / "test.npz", **test, scale=0.001)
    data = opened(tmp_path, slice_fields=("subject",))
    assert data.class_names == ("sit", "run", "jump")
    split = data.load("test", "test")
    assert (split.raw == np.rint(test["x"] / 2)).all()
    assert split.slices["subject"].tolist() == [str(n) for n in test["subject"]]
    assert data.warnings == ("no validation split: 9 windows taken out of train (seed 0)",)
    write(tmp_path / "test.npz", **test, scale=np.array([0.002, 0.002, 0.2]))
    data = opened(tmp_path)
    assert "values of test go beyond the range of train: cut" in data.warnings
    images = data.load("test", "test").raw
    assert (images[..., :2] == test["x"][..., :2]).all()
    assert (images[..., 2] == np.clip(test["x"][..., 2].astype(int) * 100, -32768, 32767)).all()


def test_floats_take_their_scale_from_train_alone(tmp_path):
    arrays = windows()
    arrays["x"] = arrays["x"].astype(np.float32) / 1000
    path = write(tmp_path / "all.npz", **arrays)
    before = opened(path).load("train", "train").raw
    held = [int(key.split("/")[1]) for key in opened(path).items["test"].keys]
    arrays["x"][held] *= 50
    data = opened(write(path, **arrays))
    np.testing.assert_array_equal(data.load("train", "train").raw, before)
    assert np.asarray(data.load("test", "test").raw).max() == 32767
    assert any("go beyond the range of train" in text for text in data.warnings)
    kept = np.concatenate([data.load(split, "retrain").raw for split in ("train", "search")])
    assert np.abs(kept.astype(int)).max(axis=(0, 1)).tolist() == [16384] * CHANNELS


def test_windows_without_a_channel_axis(tmp_path):
    arrays = windows()
    data = opened(write(tmp_path / "all.npz", **{**arrays, "x": arrays["x"][..., 0]}))
    assert data.load("test", "test").raw.shape[1:] == data.shape == (STEPS, 1)


def test_pictures(tmp_path):
    x = np.random.default_rng(0).integers(0, 256, (40, 12, 12), dtype=np.uint8)
    data = opened(write(tmp_path / "all.npz", x=x, y=np.arange(40) % 2), modality="image", native_px=12)
    split = data.load("test", "test")
    for name, image in zip(split.names, split.raw, strict=True):
        assert (image == x[int(name.split("/")[1])][..., None]).all()
    assert opened(tmp_path / "all.npz", modality="image", native_px=24).load("test", "test").raw.shape[1] == 24


def test_sound(tmp_path):
    x = np.tile(np.linspace(-1, 1, 40)[:, None], (1, 50)).astype(np.float32)
    data = opened(write(tmp_path / "all.npz", x=x, y=np.arange(40) % 2), modality="audio", clip_s=100 / 16000)
    split = data.load("test", "test")
    for name, clip in zip(split.names, split.raw, strict=True):
        value = np.rint(32768 * x[int(name.split("/")[1]), 0].astype(float)).clip(-32768, 32767)
        assert (clip[25:75] == value).all()
        assert not clip[:25].any()
        assert not clip[75:].any()


NAN = windows()["x"].astype(np.float32)
NAN[7, 2, 1] = np.nan
NAN[9, 0, 0] = np.inf


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x": NAN}, "x, row 7: not a number (2 such rows)"),
        ({"x": windows()["x"].astype(np.int64)}, "x is int64 (60, 8, 3): give int16 or float [N, T, C] or [N, T]"),
        ({"x": windows()["x"][:, 0, 0]}, "x is int16 (60,): give int16 or float"),
        ({"x": np.zeros((0, 8, 3), np.int16)}, "x is int16 (0, 8, 3): give"),
        ({"y": np.arange(59) % 3}, "y is int64 (59,): give whole numbers from 0 up, [60]"),
        ({"y": np.arange(60) % 3 - 1}, "y is int64 (60,): give whole numbers from 0 up"),
        ({"y": np.arange(60) % 3 / 2}, "y is float64 (60,): give whole numbers"),
        ({"y": np.zeros(60, int)}, "only one class, '0'; give two or more"),
        ({"y": 2 * (np.arange(60) % 2)}, "class '1' has no windows"),
        ({"subject": np.arange(6)}, "subject is (6,): give one value per example, [60]"),
        ({"scale": np.float32(0)}, "scale is float32 (): give a positive number, or [3]"),
        ({"scale": np.ones(2, np.float32)}, "scale is float32 (2,): give a positive number, or [3]"),
        ({"classes": np.array(["a", "b"])}, "y goes up to 2, but there are 2 classes"),
        ({"classes": np.array(["a", "b", "a"])}, "classes = ['a', 'b', 'a']: name each once"),
        ({"x": np.full((60, 8), None, object)}, "x holds Python objects, which are not read"),
    ],
)
def test_bad_arrays_are_named(tmp_path, changes, message):
    refused(write(tmp_path / "all.npz", **{**windows(), **changes}), message, group_field="subject")


def test_missing_arrays_and_files(tmp_path):
    refused(tmp_path / "none.npz", "no such file or folder")
    refused(tmp_path, "no train.npz in it")
    arrays = windows()
    path = write(tmp_path / "train.npz", **arrays)
    refused(path, "has no array 'who', it has ['subject', 'x', 'y']", group_field="who")
    refused(path, "has no array 'features'", input_field="features")
    write(tmp_path / "val.npz", **arrays)
    write(tmp_path / "validation.npz", **arrays)
    refused(tmp_path, "both validation.npz and val.npz are there, keep one")
    (tmp_path / "val.npz").unlink()
    write(tmp_path / "validation.npz", **{**arrays, "x": arrays["x"][:, :4]})
    refused(tmp_path, "examples of train.npz are int16 (8, 3), in validation.npz int16 (4, 3)")
    write(tmp_path / "validation.npz", **windows(classes=4))
    refused(tmp_path, "class '3' is in validation but not in train")


def test_damaged_files(tmp_path):
    path = write(tmp_path / "all.npz", **windows())
    whole = path.read_bytes()
    for damaged in (b"", b"text", whole[:300], whole[: len(whole) // 2]):
        path.write_bytes(damaged)
        refused(path, "all.npz: cannot be read as .npz")
    at = whole.index(b"x.npy") + 400
    path.write_bytes(whole[:at] + bytes([whole[at] ^ 255]) + whole[at + 1 :])
    refused(path, "cannot be read as .npz (Bad CRC-32")


def with_header(path, shape, dtype="<i2", content=b"", zeros=0):
    """all.npz whose x says `shape` and holds `content` and `zeros` bytes."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": dtype, "fortran_order": False, "shape": shape})
    np.savez(path, **{name: array for name, array in windows().items() if name != "x"})
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", header.getvalue() + content + bytes(zeros))


def test_sizes_are_believed_only_with_their_bytes(tmp_path, monkeypatch):
    path = tmp_path / "all.npz"
    with_header(path, (10**12, 8, 3), content=b"1234")
    refused(path, "x should have 48000000000000 bytes for int16 (1000000000000, 8, 3), 4 are there")
    with_header(path, (60, 8, 3), zeros=2880)
    assert len(opened(path).items["test"]) == 9
    monkeypatch.setattr("os.sysconf", lambda name: {"SC_PAGE_SIZE": 1, "SC_PHYS_PAGES": 2000}[name])
    refused(path, "x (60, 8, 3) takes 2.88e+03 bytes, this machine has 2e+03")


def test_objects_are_not_unpickled(tmp_path):
    arrays = windows()
    np.savez(tmp_path / "all.npz", x=arrays["x"], y=arrays["y"], who=np.array([{}] * 60, object))
    refused(tmp_path / "all.npz", "who holds Python objects", group_field="who")
