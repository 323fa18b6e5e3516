"""`danas data check` on data sets with known faults: each is found and named, and nothing else is."""

import csv
import json
import struct

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from danas_jax import cli
from danas_jax.config import DataSettings
from danas_jax.data.check import duplicates, measure
from danas_jax.data.check.duplicates import near_pairs
from danas_jax.data.dataset import open_source
from danas_jax.report.check_command import guessed


def picture(seed, side=160):
    """A PIL image with shapes of its own, unlike those of other seeds."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:side, 0:side] / side
    levels = sum(rng.uniform(20, 60) * np.sin(rng.uniform(-20, 20) * x + rng.uniform(-20, 20) * y) for _ in range(5))
    colours = 128 + levels[..., None] * rng.uniform(0.5, 1, 3) + rng.normal(0, 4, (side, side, 3))
    return Image.fromarray(np.clip(colours, 0, 255).astype(np.uint8))


def save(image, path, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)
    return path


@pytest.fixture
def photos(tmp_path):
    """12 + 6 + 6 pictures of cats and dogs, all different."""
    seed = 0
    for split, count in (("train", 12), ("validation", 6), ("test", 6)):
        for label in ("cat", "dog"):
            for i in range(count):
                save(picture(seed), tmp_path / "photos" / split / label / f"{i:02d}.jpg", quality=90)
                seed += 1
    return tmp_path / "photos"


def checked(capsys, path, *flags):
    """The JSON that the command prints, which is what it writes."""
    out = path.parent / "out"
    assert cli.main(["data", "check", str(path), "--out", str(out), "--json", *flags]) == 0
    found = json.loads(capsys.readouterr().out)
    assert json.loads((out / "check.json").read_text()) == found
    return found


def test_clean_data_have_no_warnings(photos, capsys):
    found = checked(capsys, photos)
    assert found["warnings"] == []
    assert found["duplicates"] == []
    assert found["counts"] == {
        "train": {"cat": 12, "dog": 12},
        "validation": {"cat": 6, "dog": 6},
        "test": {"cat": 6, "dog": 6},
    }
    assert found["sizes"]["height_px"] == {"min": 160, "median": 160.0, "max": 160}


def test_copies_across_splits_are_found_however_they_were_saved(photos, capsys):
    first = photos / "train/cat/00.jpg"
    (photos / "test/cat/copy.jpg").write_bytes(first.read_bytes())
    image = Image.open(first)
    save(image.resize((70, 90)), photos / "test/cat/small.png")
    save(ImageEnhance.Brightness(image).enhance(1.2), photos / "validation/cat/light.jpg", quality=40)
    save(Image.open(photos / "train/dog/03.jpg").crop((2, 2, 158, 158)), photos / "test/cat/other.jpg", quality=60)
    found = checked(capsys, photos)
    groups = {tuple(sorted(group["keys"])): group for group in found["duplicates"]}
    assert sorted(groups) == [
        ("test/cat/copy.jpg", "test/cat/small.png", "train/cat/00.jpg", "validation/cat/light.jpg"),
        ("test/cat/other.jpg", "train/dog/03.jpg"),
    ]
    assert not any(group["exact"] for group in groups.values())
    assert found["warnings"] == [
        "1 of 13 validation images are in train as well (0 equal, 1 alike): validation/cat/light.jpg",
        "3 of 15 test images are in train as well (1 equal, 2 alike): test/cat/copy.jpg, test/cat/other.jpg, "
        "test/cat/small.png",
        "2 of 15 test images are in validation as well (0 equal, 2 alike): test/cat/copy.jpg, test/cat/small.png",
        "1 groups of duplicates have several classes: train/dog/03.jpg = test/cat/other.jpg",
    ]
    sizes = found["sizes"]
    assert (sizes["height_px"]["min"], sizes["width_px"]["min"], sizes["width_px"]["median"]) == (90, 70, 160.0)


def test_equal_copies_within_a_split_are_a_group_without_a_leak(photos, capsys):
    (photos / "train/dog/again.jpg").write_bytes((photos / "train/dog/00.jpg").read_bytes())
    found = checked(capsys, photos)
    assert found["warnings"] == []
    (group,) = found["duplicates"]
    assert (group["keys"], group["exact"]) == (["train/dog/00.jpg", "train/dog/again.jpg"], True)


def test_blank_pictures_are_named_and_are_no_duplicates(photos, capsys):
    for i, split in enumerate(("train", "test")):
        save(Image.new("RGB", (50, 50), (i, i, i)), photos / split / "cat" / "blank.png")
        save(Image.new("RGB", (50, 50), (200, 200, 200)), photos / split / "dog" / "blank.png")
    found = checked(capsys, photos)
    assert found["duplicates"] == []
    assert len(found["blank"]) == 4
    assert found["warnings"] == [
        "4 images show nothing: train/cat/blank.png, train/dog/blank.png, test/cat/blank.png and 1 more"
    ]


def test_every_unreadable_file_is_named(photos, capsys):
    whole = (photos / "train/cat/00.jpg").read_bytes()
    for i in range(6):
        (photos / f"train/cat/empty{i}.jpg").write_bytes(b"")
    (photos / "train/cat/torn.jpg").write_bytes(whole[: len(whole) // 2])
    for file in (photos / "test/dog").iterdir():
        file.write_bytes(whole[:200])
    found = checked(capsys, photos)
    assert found["unreadable"] == {
        **{f"train/cat/empty{i}.jpg": "empty file" for i in range(6)},
        "train/cat/torn.jpg": "truncated",
        **{f"test/dog/{i:02d}.jpg": "truncated" for i in range(6)},
    }
    assert "class 'dog' has no images in test that can be read" in found["warnings"]
    named = "train/cat/empty0.jpg (empty file), train/cat/empty1.jpg (empty file), train/cat/empty2.jpg (empty file)"
    assert f"13 of 55 images cannot be read: {named} and 10 more" in found["warnings"]


def test_imbalance_is_said_from_three_to_one(photos, capsys):
    for i in range(9, 12):
        (photos / f"train/dog/{i:02d}.jpg").unlink()
    assert checked(capsys, photos)["warnings"] == []
    for i in range(4, 9):
        (photos / f"train/dog/{i:02d}.jpg").unlink()
    (warning,) = checked(capsys, photos)["warnings"]
    assert warning.startswith("class 'cat' is 3.0 times as large as 'dog' in train: search.metric balanced_accuracy")


def test_groups_in_two_splits_are_said_once_for_each_pair(photos, capsys):
    rows = [(f"{split}/cat/00.jpg", "ann") for split in ("train", "validation", "test")]
    rows += [(f"{split}/dog/00.jpg", "ben") for split in ("validation", "test")]
    with open(photos / "metadata.csv", "w", newline="") as file:
        csv.writer(file).writerows([("file", "who"), *rows])
    found = checked(capsys, photos, "--data.group-field", "who")
    assert found["shared_groups"] == {"train and validation": 1, "train and test": 1, "validation and test": 2}
    assert [w for w in found["warnings"] if "groups" in w] == [
        "1 groups are in both train and validation, e.g. ann",
        "1 groups are in both train and test, e.g. ann",
        "2 groups are in both validation and test",
    ]


def test_the_sheet_shows_train_alone_as_read_and_at_the_lowest_resolution(photos, capsys):
    save(Image.new("RGB", (40, 40), (255, 0, 0)), photos / "test/cat/red.png")
    found = checked(capsys, photos, "--resolution-px", "24")
    sheet = np.asarray(Image.open(found["sheet"])).astype(int)
    assert sheet.shape == (2 * (16 + 2 * 148), 6 * 148, 3)
    above, below = sheet[16:160, :144], sheet[164:308, :144]
    blocks = below.reshape(24, 6, 24, 6, 3)
    assert (blocks == blocks[:, :1, :, :1]).all()  # 24 px, each drawn as 6 by 6
    means = above.reshape(24, 6, 24, 6, 3).mean((1, 3))
    assert np.abs(blocks[:, 0, :, 0] - means).max() < 2
    assert not ((sheet[..., 0] > 240) & (sheet[..., 1] < 10)).any()


def test_many_chunks_measure_what_one_does(photos, capsys, monkeypatch):
    (photos / "test/cat/copy.jpg").write_bytes((photos / "train/cat/00.jpg").read_bytes())
    (photos / "train/dog/torn.jpg").write_bytes((photos / "train/cat/00.jpg").read_bytes()[:500])
    whole = checked(capsys, photos)
    monkeypatch.setattr(measure, "_CHUNK_BYTES", 5 * 144 * 144 * 3)
    assert checked(capsys, photos) == whole
    told = []
    source = open_source(DataSettings(source="folder", path=str(photos)), measure.SIDE_PX, 0)
    measure.measure(source, photos, lambda done, total: told.append((done, total)))
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert told[-1] == (50, 50)
    assert len(whole["duplicates"]) == 1


def hashes_with_neighbours(count, rng):
    hashes = rng.integers(0, 2**64, count, dtype=np.uint64)
    for changed in range(10):  # a tenth of them differ from others in 0 to 9 bits
        for _ in range(count // 100):
            target, source = rng.choice(count, 2, replace=False)
            bits = rng.choice(64, changed, replace=False)
            hashes[target] = hashes[source] ^ np.bitwise_or.reduce(np.uint64(1) << bits.astype(np.uint64), initial=0)
    return hashes


@pytest.mark.parametrize("seed", range(3))
def test_near_pairs_are_those_of_comparing_all(seed):
    hashes = hashes_with_neighbours(1500, np.random.default_rng(seed))
    distance = np.bitwise_count(hashes[:, None] ^ hashes)
    expected = np.argwhere((distance <= 7) & (np.arange(1500)[:, None] < np.arange(1500)))
    assert len(expected) > 100
    assert near_pairs(hashes).tolist() == expected.tolist()


def test_thousands_of_equal_hashes_stay_a_chain():
    pairs = near_pairs(np.full(3000, 5, np.uint64))
    assert len(pairs) < 3000 * 256
    assert set(range(2999)) <= set(pairs[pairs[:, 1] - pairs[:, 0] == 1, 0].tolist())


def test_equal_hashes_of_other_pictures_are_no_duplicates(photos, capsys, monkeypatch):
    monkeypatch.setattr(duplicates, "near_pairs", lambda hashes: np.argwhere(np.triu(np.ones([len(hashes)] * 2), 1)))
    assert checked(capsys, photos)["duplicates"] == []


def wav(path, samples, rate_hz=8000):
    data = np.asarray(samples, "<i2").tobytes()
    form = struct.pack("<HHIIHH", 1, 1, rate_hz, 2 * rate_hz, 2, 16)
    riff = b"WAVEfmt " + struct.pack("<I", 16) + form + b"data" + struct.pack("<I", len(data)) + data
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"RIFF" + struct.pack("<I", len(riff)) + riff)


def test_sound_is_measured_as_recorded(tmp_path, capsys):
    rng = np.random.default_rng(0)
    for split in ("train", "validation", "test"):
        for word in ("yes", "no"):
            for i in range(4):
                wav(tmp_path / "words" / split / word / f"{i}.wav", rng.normal(0, 900, 3000 + 100 * i))
    words = tmp_path / "words"
    wav(words / "train/yes/silent.wav", np.full(2000, 32))
    (words / "test/no/again.wav").write_bytes((words / "train/yes/1.wav").read_bytes())
    (words / "train/no/torn.wav").write_bytes((words / "train/no/1.wav").read_bytes()[:999])
    found = checked(capsys, words, "--data.sample-rate-hz", "8000", "--data.clip-s", "0.5")
    assert found["modality"] == "audio"
    assert found["sizes"] == {"samples": {"min": 2000, "median": 3100.0, "max": 3300}}
    assert found["blank"] == ["train/yes/silent.wav"]
    assert found["unreadable"] == {"train/no/torn.wav": "truncated"}
    assert found["warnings"] == [
        "1 of 27 clips cannot be read: train/no/torn.wav (truncated)",
        "1 of 9 test clips are in train as well (1 equal, 0 alike): test/no/again.wav",
        "1 groups of duplicates have several classes: train/yes/1.wav = test/no/again.wav",
        "no data.group_field: whether a speaker is in two splits cannot be told",
        "1 clips show nothing: train/yes/silent.wav",
    ]
    with Image.open(found["sheet"]) as sheet:
        assert sheet.size == (6 * 148, 2 * (16 + 148))


def test_series_of_arrays_are_measured(tmp_path, capsys):
    rng = np.random.default_rng(0)
    first = np.zeros((50, 3))
    for split, count in (("train", 40), ("test", 20)):
        x = rng.normal(0, 900, (count, 50, 3)).astype(np.int16)
        x[5] = [7, -3, 1000]
        x[6, :, 0] = 4  # one channel that stands still is no blank window
        if split == "test":
            x[9] = first
        first = x[8]
        np.savez(tmp_path / f"{split}.npz", x=x, y=np.arange(count) % 2, who=np.arange(count) // 4 + (split == "test"))
    found = checked(capsys, tmp_path, "--data.group-field", "who")
    assert (found["source"], found["modality"]) == ("npz", "series")
    assert found["sizes"]["channels"] == {"min": 3, "median": 3.0, "max": 3}
    assert sorted(found["blank"]) == ["test/000005", "train/000005"]
    assert [group["keys"] for group in found["duplicates"]] == [["train/000008", "test/000009"]]
    assert not any("group_field" in warning for warning in found["warnings"])
    again = checked(capsys, tmp_path)
    assert "no data.group_field: whether a subject is in two splits cannot be told" in again["warnings"]


def test_pictures_in_arrays_have_no_size_of_their_own(tmp_path, capsys):
    x = np.stack([np.asarray(picture(seed, 40)) for seed in range(60)])
    np.savez(tmp_path / "all.npz", x=x, y=np.arange(60) % 2)
    found = checked(capsys, tmp_path / "all.npz")
    assert (found["modality"], found["sizes"], found["duplicates"]) == ("image", {}, [])


def test_what_a_path_is_decides_the_source(tmp_path):
    save(picture(0), tmp_path / "photos/cat/0.jpg")
    wav(tmp_path / "words/yes/0.wav", [1, 2, 3])
    (tmp_path / "words/.hidden.jpg").write_text("")
    (tmp_path / "words/metadata.csv").write_text("file,who")
    np.savez(tmp_path / "pixels.npz", x=np.zeros((2, 8, 8, 3), np.uint8))
    np.savez(tmp_path / "sound.npz", x=np.zeros((2, 800), np.int16))
    (tmp_path / "series").mkdir()
    np.savez(tmp_path / "series/train.npz", x=np.zeros((2, 80, 3), np.float32))
    expected = {
        "photos": ("folder", "image"),
        "words": ("folder", "audio"),
        "list.csv": ("csv", "image"),
        "pixels.npz": ("npz", "image"),
        "sound.npz": ("npz", "audio"),
        "series": ("npz", "series"),
        "nowhere": ("folder", "image"),
    }
    for name, right in expected.items():
        settings = guessed(tmp_path / name)
        assert (settings.source, settings.modality) == right, name


def test_the_text_says_what_the_json_does(photos, capsys):
    (photos / "test/cat/copy.jpg").write_bytes((photos / "train/cat/00.jpg").read_bytes())
    assert cli.main(["data", "check", str(photos), "--out", str(photos.parent / "out")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "cat            12           6           7" in lines
    assert "height: 160 to 160 px, median 160" in lines
    assert "duplicates: 1 groups of equal examples, 0 of similar ones" in lines
    assert "warning: 1 of 13 test images are in train as well (1 equal, 0 alike): test/cat/copy.jpg" in lines


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "give the PATH first: danas data check PATH [flags]"),
        (["--json"], "give the PATH first"),
        (["nowhere"], "data.path = 'nowhere': no such folder"),
        (["nowhere", "--resolution-px", "0"], "--resolution-px = 0: give 1 to 144"),
        (["nowhere", "--data.source", "npz", "--data.modality", "image"], "nowhere"),
        (["nowhere", "--data.group-pattern", "("], "data.group_pattern = '(': no regular expression"),
    ],
)
def test_bad_input_is_named(flags, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["data", "check", *flags]) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_named(photos, capsys):
    (photos.parent / "file").write_text("")
    assert cli.main(["data", "check", str(photos), "--out", str(photos.parent / "file")]) == 2
    assert f"cannot write {photos.parent / 'file' / 'examples.png'}" in capsys.readouterr().err


def test_ctrl_c_ends_it(photos, capsys, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(measure, "read_items", stop)
    assert cli.main(["data", "check", str(photos), "--out", str(photos.parent / "out")]) == 3
    assert not (photos.parent / "out").exists()


def test_a_name_that_no_font_has(photos, capsys):
    (photos / "train/cat").rename(photos / "train/кот")
    (photos / "validation/cat").rename(photos / "validation/кот")
    (photos / "test/cat").rename(photos / "test/кот")
    found = checked(capsys, photos)
    assert found["class_names"] == ["dog", "кот"]
    with Image.open(found["sheet"]) as sheet:
        assert sheet.size == (6 * 148, 2 * (16 + 2 * 148))
