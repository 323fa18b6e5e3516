"""A CSV manifest: files, labels, splits, groups and slices; what is wrong is named with its line."""

import numpy as np
import pytest
from PIL import Image
from wav_files import wav

from danas_jax.config import DataSettings
from danas_jax.data.dataset import open_data
from danas_jax.errors import UserError

PX = 16


def pictures(root, count=24, folder="my pictures"):
    """`count` pictures; their rows [file, label]."""
    (root / folder).mkdir(parents=True, exist_ok=True)
    rows = []
    for i in range(count):
        pixels = np.full((20, 20, 3), 5 * i, np.uint8)
        Image.fromarray(pixels).save(root / folder / f"bild ä {i:02d}.png")
        rows.append([f"{folder}/bild ä {i:02d}.png", ("cat", "dog")[i % 2]])
    return rows


def write(root, rows, columns="file,label"):
    path = root / "list.csv"
    path.write_text("\n".join([columns, *(",".join(row) for row in rows)]) + "\n", encoding="utf-8-sig")
    return path


def opened(path, **changes):
    return open_data(DataSettings(source="csv", path=str(path), **changes), PX, seed=0)


def refused(path, message, **changes):
    with pytest.raises(UserError) as caught:
        opened(path, **changes)
    assert message in str(caught.value)


def test_splits_are_derived_where_there_is_no_column(tmp_path):
    data = opened(write(tmp_path, pictures(tmp_path, 40)))
    assert {split: len(items) for split, items in data.items.items()} == {
        "train": 22,
        "search": 6,
        "validation": 6,
        "test": 6,
    }
    split = data.load("test", "test")
    for name, image, label in zip(split.names, split.raw, split.labels, strict=True):
        number = int(name[-6:-4])
        assert (image == 5 * number).all()
        assert label == number % 2


def test_given_splits_groups_and_slices(tmp_path):
    rows = [
        [*row, ("train", "train", "val", "test")[i // 2 % 4], f"p{i // 8}", "day"]
        for i, row in enumerate(pictures(tmp_path, 48))
    ]
    rows[-1][3] = ""
    path = write(tmp_path, rows, "file,label,split,who,light")
    data = opened(path, group_field="who", slice_fields=("light", "who"))
    assert {split: len(items) for split, items in data.items.items() if split != "search"} == {
        "train": 24 - len(data.items["search"]),
        "validation": 12,
        "test": 12,
    }
    assert not set(data.items["train"].groups) & set(data.items["search"].groups)
    assert set(data.load("validation", "retrain").slices["light"].tolist()) == {"day"}
    assert "1 of 48 images have no 'who': each is a group of its own" in data.warnings
    assert "6 groups are in both train and test, e.g. p0" in data.warnings


def test_own_columns_for_file_and_label(tmp_path):
    rows = [[label, file] for file, label in pictures(tmp_path, 40)]
    path = write(tmp_path, rows, "what,where")
    assert opened(path, input_field="where", label_field="what").class_names == ("cat", "dog")
    refused(path, "has no column 'file', it has ['what', 'where']")
    refused(path, "has no column 'label', it has", input_field="where")


def test_clips(tmp_path):
    for i in range(40):
        wav(tmp_path / f"{i}.wav", np.full(160, i))
    path = write(tmp_path, [[f"{i}.wav", "ab"[i % 2]] for i in range(40)])
    split = opened(path, modality="audio", clip_s=0.01).load("test", "test")
    assert [int(clip[0]) for clip in split.raw] == [int(name[:-4]) for name in split.names]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows.append(["../out.png", "cat"]), "line 26: file = '../out.png': give a file inside"),
        (lambda rows: rows.append(["a/../../out.png", "cat"]), "line 26: file = 'a/../../out.png': give a file inside"),
        (lambda rows: rows.append(["/etc/passwd", "cat"]), "line 26: file = '/etc/passwd': give a file inside"),
        (lambda rows: rows.append(["", "cat"]), "line 26: file = '': give a file inside"),
        (lambda rows: rows.append(list(rows[3])), "is in line 5 already"),
        (lambda rows: rows[7].__setitem__(1, ""), "line 9: label is empty"),
        (lambda rows: rows.clear(), "no rows below the header"),
        (lambda rows: [row.__setitem__(1, "cat") for row in rows], "only one class, 'cat'"),
    ],
)
def test_bad_rows_are_named(tmp_path, change, message):
    rows = pictures(tmp_path)
    change(rows)
    refused(write(tmp_path, rows), message)


def test_bad_splits_are_named(tmp_path):
    rows = [[*row, "train"] for row in pictures(tmp_path)]
    rows[4][2] = "tset"
    refused(write(tmp_path, rows, "file,label,split"), "line 6: split = 'tset': give train, validation or test")
    rows[4][2] = "test"
    refused(write(tmp_path, rows, "file,label,split"), "class 'dog' is in train but not in test")
    rows[5] = [rows[5][0], "emu", "test"]
    rows[7][2] = "test"
    refused(write(tmp_path, rows, "file,label,split"), "class 'emu' is in test but not in train")
    refused(write(tmp_path, [[*row[:2], "test"] for row in rows], "file,label,split"), "no images in train")


def test_missing_files_count_as_unreadable(tmp_path):
    rows = pictures(tmp_path, 40)
    (tmp_path / rows[3][0]).unlink()
    (tmp_path / rows[4][0]).write_bytes(b"")
    data = opened(write(tmp_path, rows))
    assert "2 of 40 images cannot be read" in data.warnings[0]
    assert "(No such file or directory)" in data.warnings[0]
    refused(write(tmp_path, rows), "above data.max_unreadable_fraction = 0.01", max_unreadable_fraction=0.01)


def test_a_name_of_thousands_of_characters_is_told_short(tmp_path):
    rows = pictures(tmp_path, 40)
    rows[3][0] = "a" * 5000 + ".png"
    warning = opened(write(tmp_path, rows)).warnings[0]
    assert "1 of 40 images cannot be read: aaa" in warning and "aaa.png (File name too long)" in warning
    assert len(warning) < 300


def test_what_is_no_manifest(tmp_path):
    refused(tmp_path / "none.csv", "no such file")
    refused(tmp_path, "it is a folder, give a .csv file")
    (tmp_path / "bytes.csv").write_bytes(b"file,label\n\xff\xfe,cat\n")
    refused(tmp_path / "bytes.csv", "cannot be read as UTF-8 CSV")
    (tmp_path / "empty.csv").write_text("")
    refused(tmp_path / "empty.csv", "has no column 'file', it has []")
    path = write(tmp_path, pictures(tmp_path))
    refused(path, "data.group_field = 'who': ", group_field="who")
    refused(path, "has no column 'light'", slice_fields=("light",))


def test_a_changed_file_changes_the_fingerprint(tmp_path):
    rows = pictures(tmp_path, 40)
    path = write(tmp_path, rows)
    before = opened(path).fingerprint
    assert opened(path).fingerprint == before
    Image.new("RGB", (20, 20), "red").save(tmp_path / rows[0][0])
    changed = opened(path).fingerprint
    rows[0][1] = "dog"
    assert len({before, changed, opened(write(tmp_path, rows)).fingerprint}) == 3
