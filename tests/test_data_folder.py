"""Folders as people have them: every bad input named, nothing silently wrong."""

import csv
import dataclasses
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from danas_jax.config import DataSettings
from danas_jax.data.balance import Pool
from danas_jax.data.dataset import Split, open_data
from danas_jax.data.decode import read_image
from danas_jax.errors import UserError

PX = 24


def picture(path: Path, seed: int = 0, size: tuple[int, int] = (30, 20), mode: str = "RGB", **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    bands = len(Image.new(mode, (1, 1)).getbands())
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], bands), dtype=np.uint8)
    Image.fromarray(pixels.squeeze(), mode if bands > 1 else None).save(path, **options)
    return path


def fill(root: Path, *places: str, count: int = 20) -> Path:
    for number, place in enumerate(places):
        for i in range(count):
            picture(root / place / f"{i:03d}.jpg", 1000 * number + i)
    return root


def opened(root: Path, **changes):
    return open_data(DataSettings(source="folder", path=str(root), **changes), PX, seed=1)


def refused(root: Path, message: str, **changes) -> None:
    with pytest.raises(UserError) as caught:
        opened(root, **changes)
    assert message in str(caught.value)


@pytest.fixture
def flat(tmp_path) -> Path:
    """<class>/*: 40 cats, 40 dogs."""
    return fill(tmp_path, "cat", "dog", count=40)


@pytest.fixture
def split(tmp_path) -> Path:
    """<split>/<class>/*, validation spelt val."""
    return fill(tmp_path, *(f"{s}/{c}" for s in ("train", "val", "test") for c in ("cat", "dog")))


def test_flat_folder_is_split_by_hash(flat):
    data = opened(flat)
    assert data.class_names == ("cat", "dog")
    assert data.counts == {
        "train": {"cat": 22, "dog": 22},
        "search": {"cat": 6, "dog": 6},
        "validation": {"cat": 6, "dog": 6},
        "test": {"cat": 6, "dog": 6},
    }
    keys = [key for items in data.items.values() for key in items.keys]
    assert len(keys) == len(set(keys)) == 80
    assert [items.keys for items in opened(flat).items.values()] == [items.keys for items in data.items.values()]
    other = open_data(DataSettings(source="folder", path=str(flat)), PX, seed=2)
    assert other.items["test"].keys != data.items["test"].keys
    assert any("no test split: 12 images taken out of train" in text for text in data.warnings)


def test_split_folder_is_kept(split):
    data = opened(split)
    assert {name: len(items) for name, items in data.items.items()} == {
        "train": 32,
        "search": 8,
        "validation": 40,
        "test": 40,
    }
    assert all(key.startswith("val/") for key in data.items["validation"].keys)
    assert data.warnings == ()
    validation = data.load("validation", "retrain")
    assert validation.raw.shape == (40, PX, PX, 3)
    assert validation.names[0] == "val/cat/000.jpg"
    assert not np.asarray(validation.raw).flags.writeable


def test_a_missing_split_comes_out_of_train(tmp_path):
    data = opened(fill(tmp_path, "train/cat", "train/dog", "test/cat", "test/dog"))
    assert len(data.items["validation"]) == 6
    assert len(data.items["test"]) == 40
    assert data.warnings == ("no validation split: 6 images taken out of train (seed 1)",)


def test_groups_stay_together(flat):
    with open(flat / "metadata.csv", "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["file", "who"])
        for name in ("cat", "dog"):
            for i in range(40):
                rows.writerow([f"{name}/{i:03d}.jpg", f"p{i // 4}"])
    data = opened(flat, group_field="who")
    groups = [set(items.groups) for items in data.items.values()]
    assert sum(map(len, groups)) == len(set.union(*groups)) == 10
    assert all(data.counts[s][c] >= 4 for s in data.counts for c in data.class_names)
    refused(flat, "has no column 'whom', it has ['file', 'who']", group_field="whom")
    (flat / "metadata.csv").unlink()
    refused(flat, "data.group_field = 'who': there is no", group_field="who")


def test_files_without_a_group_are_said(flat):
    (flat / "metadata.csv").write_text("file,who\ncat/000.jpg,a\ncat/001.jpg,\n")
    assert "79 of 80 images have no 'who'" in " ".join(opened(flat, group_field="who").warnings)


def test_a_group_across_given_splits_is_said(split):
    (split / "metadata.csv").write_text("file,who\ntrain/cat/000.jpg,ann\ntest/cat/000.jpg,ann\n")
    assert "1 groups are in both train and test, e.g. ann" in opened(split, group_field="who").warnings


def test_values_of_metadata_go_with_the_images(split):
    (split / "metadata.csv").write_text("file,who,where\ntest/cat/000.jpg,ann,in\ntest/dog/001.jpg,ben,\n")
    data = opened(split, slice_fields=("who", "where"))
    assert "118 of 120 images have no 'who'" in data.warnings
    assert "119 of 120 images have no 'where'" in data.warnings
    (split / "test/cat/002.jpg").write_bytes(b"\xff\xd8 broken")
    test = data.load("test", "test")
    assert set(test.slices) == {"who", "where"}
    said = {name: value for name, value in zip(test.names, test.slices["who"].tolist(), strict=True) if value}
    assert said == {"test/cat/000.jpg": "ann", "test/dog/001.jpg": "ben"}
    assert opened(split).load("test", "test").slices == {}


def test_values_that_metadata_does_not_have(split):
    assert "no metadata.csv beside the images: no figures by who" in opened(split, slice_fields=("who",)).warnings
    (split / "metadata.csv").write_text("file,where\n")
    refused(split, "data.slice_fields = ('who',): ", slice_fields=("who",))
    refused(split, "metadata.csv has no column 'who', it has ['file', 'where']", slice_fields=("who",))


def test_one_group_only_cannot_be_split(flat):
    rows = [f"{c}/{i:03d}.jpg,all" for c in ("cat", "dog") for i in range(40)]
    (flat / "metadata.csv").write_text("\n".join(["file,who", *rows]))
    refused(flat, "in too few groups to hold out 15% for test", group_field="who")


def test_missing_folder(tmp_path):
    refused(tmp_path / "nowhere", "nowhere': no such folder")
    (tmp_path / "file").write_text("x")
    refused(tmp_path / "file", "it is a file, give a folder")


def test_no_classes(tmp_path):
    refused(tmp_path, "no class folders in it, expected <class>/*.jpg")
    (tmp_path / "train").mkdir()
    refused(tmp_path, "no class folders in train")


def test_one_class_only(tmp_path):
    refused(fill(tmp_path, "cat", count=1), "only one class, 'cat', in it; give two or more")


def test_empty_class(split):
    for file in (split / "val/dog").iterdir():
        file.unlink()
    (split / "val/dog/x.gif").write_bytes(b"GIF89a")
    refused(split, "class 'dog' has no jpg, jpeg or png in val/dog/ (validation split)")


def test_a_class_must_be_in_every_split(split):
    fill(split, "test/emu", count=1)
    refused(split, "class 'emu' is in test but not in train")
    os.rename(split / "test/emu", split / "train/emu")
    refused(split, "class 'emu' is in train but not in validation")


def test_no_train_folder(tmp_path):
    refused(fill(tmp_path, "test/cat", "val/cat", count=1), "there is test, val but no train folder")


def test_other_files_are_counted(flat):
    (flat / "cat/a.gif").write_bytes(b"GIF89a")
    (flat / "cat/b.GIF").write_bytes(b"GIF89a")
    (flat / "dog/notes.txt").write_text("x")
    (flat / "dog/.DS_Store").write_text("x")
    assert "ignored 3 entries that are not jpg, jpeg or png files: 2 .gif, 1 .txt" in opened(flat).warnings


def test_unreadable_images_are_named_and_counted(split):
    (split / "train/cat/000.jpg").write_bytes(b"")
    (split / "train/dog/001.jpg").write_text("not an image")
    data = opened(split)
    assert data.warnings == (
        "2 of 120 images cannot be read: train/cat/000.jpg (empty file), "
        "train/dog/001.jpg (not an image inside) (left out)",
    )
    assert "train/cat/000.jpg" not in data.items["train"].keys + data.items["search"].keys


def test_many_unreadable_images_end_the_run(split):
    for i in range(7):
        (split / f"train/cat/{i:03d}.jpg").write_bytes(b"")
    refused(split, "7 of 120 images cannot be read: train/cat/000.jpg (empty file), ")
    refused(split, "(empty file) and 2 more; that is 5.8%, above data.max_unreadable_fraction = 0.05")
    assert len(opened(split, max_unreadable_fraction=0.1).items["train"]) == 26


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_truncated_images_are_left_out_while_decoding(split):
    cut(split / "val/cat/003.jpg")
    data = opened(split)
    validation = data.load("validation", "export")
    assert len(validation) == len(validation.raw) == len(validation.names) == 39
    assert validation.warnings == ("validation: 1 of 40 images cannot be read: val/cat/003.jpg (truncated) (left out)",)
    whole = read_image(split / "val/cat/004.jpg", PX)
    assert (validation.raw[validation.names.index("val/cat/004.jpg")] == whole).all()
    for i in range(4, 8):
        cut(split / f"val/dog/{i:03d}.jpg")
    with pytest.raises(UserError, match=r"5 of 40 images cannot be read.*12\.5%, above data\.max_unreadable"):
        opened(split).load("validation", "retrain")


def test_a_class_without_one_readable_image(split):
    for file in (split / "val/dog").iterdir():
        cut(file)
    with pytest.raises(UserError, match="none of the images of class 'dog' in validation can be read"):
        opened(split, max_unreadable_fraction=0.9).load("validation", "retrain")


def test_unicode_and_blank_names(tmp_path):
    root = fill(tmp_path / "my pictures", "kätzchen und co", "犬")
    assert opened(root).load("search", "search").names[0].startswith("kätzchen und co/")


def test_a_name_that_is_not_utf8_is_left_out_and_said(flat):
    picture(Path(os.fsdecode(os.fsencode(flat / "cat") + b"/caf\xe9.png")))
    data = opened(flat)
    assert "1 of 81 images cannot be read: cat/caf\\udce9.png (its name is not UTF-8) (left out)" in data.warnings
    assert sum(map(len, data.items.values())) == 80


def test_fingerprint_follows_the_files(flat):
    before = opened(flat).fingerprint
    assert opened(flat).fingerprint == before
    picture(flat / "cat/new.png")
    assert opened(flat).fingerprint != before


def test_content_is_that_of_a_copy_elsewhere_and_not_of_another_picture(split, tmp_path_factory):
    def content(root):
        return opened(root).load("validation", "retrain").content

    copy = tmp_path_factory.mktemp("elsewhere") / "photographs"
    shutil.copytree(split, copy, copy_function=shutil.copyfile)  # with times of its own
    assert opened(copy).fingerprint != opened(split).fingerprint
    assert content(copy) == content(split)
    picture(copy / "val/cat/000.jpg", seed=99)
    assert content(copy) != content(split)
    relabelled = tmp_path_factory.mktemp("another") / "photographs"
    shutil.copytree(split, relabelled)
    (relabelled / "val/cat/000.jpg").rename(relabelled / "val/dog/x.jpg")
    assert content(relabelled) != content(split)


def test_content_follows_the_labels_alone():
    raw = np.zeros((3, 2, 2, 3), np.uint8)
    one, other = (Split(raw, np.array(labels, np.int32), ("a", "b", "c")) for labels in ([0, 1, 0], [0, 1, 1]))
    assert one.content != other.content
    assert one.content == dataclasses.replace(one, warnings=("said",)).content


def test_content_follows_what_an_epoch_shows_of_those_without_a_label():
    split = Split(np.zeros((3, 2, 2, 3), np.uint8), np.array([-1, -1, 0], np.int32), ("a", "b", "c"))
    pools = [Pool(2, np.arange(2), 2), Pool(2, np.arange(2), 1), Pool(2, np.arange(1, 2), 1)]
    found = {dataclasses.replace(split, pool=pool).content for pool in (None, *pools)}
    assert len(found) == 4
    assert dataclasses.replace(split, pool=Pool(2, np.arange(2), 2)).content in found


def test_a_picture_of_the_native_size_is_untouched(tmp_path):
    path = picture(tmp_path / "a.png", size=(PX, PX))
    assert (read_image(path, PX) == np.asarray(Image.open(path))).all()


def test_the_whole_picture_is_squashed(tmp_path):
    pixels = np.zeros((20, 60, 3), np.uint8)
    pixels[:, 30:] = 200
    Image.fromarray(pixels).save(tmp_path / "a.png")
    out = read_image(tmp_path / "a.png", PX)
    assert out[:, : PX // 2 - 2].max() == 0
    assert out[:, PX // 2 + 2 :].min() == 200


def test_exif_orientation(tmp_path):
    pixels = np.zeros((PX, PX, 3), np.uint8)
    pixels[:, PX // 2 :] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # shown a quarter turn clockwise: the right half ends below
    Image.fromarray(pixels).save(tmp_path / "a.jpg", exif=exif, quality=95)
    out = read_image(tmp_path / "a.jpg", PX)
    assert out[:8].max() < 30
    assert out[-8:].min() > 220


def test_alpha_lies_on_white(tmp_path):
    pixels = np.zeros((PX, PX, 4), np.uint8)
    pixels[: PX // 2, :, 3] = 255
    Image.fromarray(pixels).save(tmp_path / "a.png")
    out = read_image(tmp_path / "a.png", PX)
    assert out[: PX // 2].max() == 0
    assert out[PX // 2 :].min() == 255


def test_sixteen_bits_become_eight(tmp_path):
    levels = np.linspace(0, 65535, PX * PX).astype(np.uint16).reshape(PX, PX)
    Image.fromarray(levels).save(tmp_path / "a.png")
    assert (read_image(tmp_path / "a.png", PX)[..., 1] == levels >> 8).all()


@pytest.mark.parametrize(("mode", "name"), [("CMYK", "a.jpg"), ("L", "a.jpg"), ("LA", "a.png"), ("P", "a.png")])
def test_other_modes_become_rgb(tmp_path, mode, name):
    Image.new(mode, (40, 30)).save(tmp_path / name)
    assert read_image(tmp_path / name, PX).shape == (PX, PX, 3)


def test_a_large_photograph(tmp_path):
    """Decoded at a reduced size, it still is the same picture."""
    y, x = np.mgrid[:600, :800]
    pixels = np.stack([x // 4, y // 3, (x + y) // 6], -1).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.jpg", quality=95)
    exact = np.asarray(Image.fromarray(pixels).resize((PX, PX), Image.Resampling.BICUBIC)).astype(int)
    assert np.abs(read_image(tmp_path / "a.jpg", PX) - exact).mean() < 2


def test_person_photos(shared):
    root = shared / "data" / "person_photos"
    if not root.is_dir():
        pytest.skip(f"{root} is not there")
    data = open_data(DataSettings(source="folder", path=str(root)), 160, seed=0)
    assert data.class_names == ("no_person", "person")
    assert data.counts["validation"] == {"no_person": 828, "person": 768}
    assert sum(data.counts["train"].values()) + sum(data.counts["search"].values()) == 3872 + 3794
    assert len(data.items["search"]) == 1533
    grouped = open_data(DataSettings(source="folder", path=str(root), group_field="source"), 160, seed=0)
    assert not set(grouped.items["train"].groups) & set(grouped.items["search"].groups)
    some = data.items["search"].keys[7]
    assert (read_image(root / some, 160) == np.asarray(Image.open(root / some))).all()
