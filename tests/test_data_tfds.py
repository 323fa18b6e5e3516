"""Sets of TensorFlow Datasets, read without tensorflow: Wake Vision's shape, the catalogue's builder, sound, damage."""

import dataclasses
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds
import tfds_toys
from tensorflow_datasets.core import naming, splits

from danas_jax.config import DataSettings
from danas_jax.config_io import load_config
from danas_jax.data.dataset import open_data
from danas_jax.data.decode import read_image
from danas_jax.data.sources import tfds as source
from danas_jax.errors import UserError

PX = 48
WAKE_VISION = dataclasses.replace(load_config("wake_vision").data, search_fraction=0.2)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """The folder of a Wake-Vision-shaped set."""
    return tfds_toys.prepared(tfds_toys.WakeVisionToy, tmp_path_factory.mktemp("sets"))


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    return tfds_toys.prepared(tfds_toys.WordsToy, tmp_path_factory.mktemp("sets"))


@pytest.fixture
def copied(prepared, tmp_path):
    """A copy to damage."""
    return shutil.copytree(prepared, tmp_path / "wake_vision_toy" / "1.0.0")


def opened(path, **changes):
    return open_data(dataclasses.replace(WAKE_VISION, path=str(path), **changes), PX, seed=0)


def refused(path, message, **changes):
    with pytest.raises(UserError) as caught:
        opened(path, **changes)
    assert message in str(caught.value)


def test_wake_visions_own_splits_and_fields(prepared):
    data = opened(prepared)
    assert data.class_names == ("No", "Yes")
    assert {split: len(items) for split, items in data.items.items()} == {
        "train": 76,
        "search": 20,
        "validation": 32,
        "test": 32,
    }
    assert "16 of 32 images have no 'far'" in data.warnings  # those of no person
    split = data.load("validation", "retrain")
    for image, label, far, name in zip(split.raw, split.labels, split.slices["far"], split.names, strict=True):
        example = by_name(prepared, name)
        number = int(example["filename"].decode().split("_")[1].split(".")[0])
        expected = tfds_toys.wake_vision_example("validation", number, bytes)
        assert (image == read_image(expected["image"], PX)).all()
        assert label == expected["person"]
        assert far == {-1: "", 0: "No", 1: "Yes"}[expected["far"]]


def by_name(folder, key):
    split, row = key.split("/")
    decoders = {"image": tfds.decode.SkipDecoding()}
    return tfds.builder_from_directory(folder).as_data_source(split=split, decoders=decoders)[int(row)]


def test_a_name_finds_the_highest_version(prepared, tmp_path):
    shutil.copytree(prepared, tmp_path / "wake_vision_toy" / "1.0.0")
    shutil.copytree(prepared, tmp_path / "wake_vision_toy" / "1.0.10")
    shutil.copytree(prepared, tmp_path / "wake_vision_toy" / "1.0.9")
    found = [source.prepared_folder(name, str(tmp_path)).name for name in ("wake_vision_toy", "wake_vision_toy:1.0.0")]
    assert found == ["1.0.10", "1.0.0"]


def test_missing_splits_are_derived_by_group(prepared):
    data = opened(prepared, split_names=("train=train_quality[:50%]", "validation=validation"), group_field="filename")
    assert sum(len(data.items[split]) for split in ("train", "search")) == 48
    assert data.items["train"].groups[0].startswith("group:train_quality_")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"split_names": ()}, "no split 'train', there are ['test', 'train_large', 'train_quality', 'validation']"),
        ({"split_names": ("train=train_large", "test=tset")}, "no split 'tset', there are"),
        ({"split_names": ("train=train_quality[:x]",)}, "split 'train_quality[:x]' cannot be read"),
        ({"label_field": "human"}, "data.label_field = 'human': no such feature, there are ['age_unknown', "),
        ({"label_field": "image"}, "data.label_field = 'image': it is Image("),
        ({"slice_fields": ("far", "fax")}, "data.slice_fields[1] = 'fax': no such feature"),
        ({"group_field": "owner"}, "data.group_field = 'owner': no such feature"),
        ({"input_field": "near"}, "data.modality = 'image', but 'near' is ClassLabel("),
        ({"modality": "audio"}, "data.modality = 'audio', but 'image' is Image("),
        ({"label_field": "filename"}, "not in train"),
    ],
)
def test_what_the_set_does_not_have(prepared, changes, message):
    refused(prepared, message, **changes)


def test_what_is_not_prepared(prepared, tmp_path):
    message = f"no such set is prepared in {prepared.parent.parent}, there is wake_vision_toy; a set of the catalogue"
    refused("wake_vision", message, data_dir=str(prepared.parent.parent))
    refused("wake_vision", f"no such set is prepared in {tmp_path}; ", data_dir=str(tmp_path))
    (tmp_path / "dataset_info.json").write_text("{}")
    refused(tmp_path, "is no prepared set (FileNotFoundError")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: data[:5000] + bytes(64) + data[5064:], "validation: records 0 to 31 cannot be read: "),
        (lambda data: data[: len(data) // 2], "validation: records 0 to 31 cannot be read: "),
        (lambda data: None, "validation: records 0 to 31 cannot be read: RuntimeError: open() failed"),
    ],
)
def test_damaged_records(copied, damage, message):
    (file,) = copied.glob("*validation*")
    data = damage(file.read_bytes())
    if data is None:
        file.unlink()
    else:
        file.write_bytes(data)
    refused(copied, message)


def test_a_damaged_picture_is_left_out(prepared, monkeypatch):
    damaged = tfds_toys.wake_vision_example("validation", 1, bytes)["image"]
    whole = read_image

    def read(picture, *given):
        return whole(picture[:99] if picture == damaged else picture, *given)

    monkeypatch.setattr("danas_jax.data.decode.read_image", read)
    split = opened(prepared, cache_dir="none").load("validation", "retrain")
    assert len(split) == 31
    assert "1 of 32 images cannot be read: validation/000000" in split.warnings[0]


def test_a_set_prepared_as_tfrecord(copied):
    info = copied / "dataset_info.json"
    info.write_text(info.read_text().replace('"array_record"', '"tfrecord"'))
    refused(copied, "is prepared as tfrecord: prepare it again, as array_record, in another data_dir")


def test_tables_of_large_sets_are_kept(prepared, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(source, "_KEPT_FROM", 32)
    before = opened(prepared)
    kept = sorted((tmp_path / "danas_jax" / "tables").iterdir())
    assert len(kept) == 3
    monkeypatch.setattr(source, "_text", None)  # nothing is listed again
    again = opened(prepared)
    for split in again.items:
        assert again.items[split].keys == before.items[split].keys
        assert (again.items[split].labels == before.items[split].labels).all()
        assert (again.items[split].slices["far"] == before.items[split].slices["far"]).all()
    kept[0].write_bytes(b"damaged")
    with pytest.raises(UserError, match="cannot be read: TypeError"):
        opened(prepared)


def sound(words, **changes):
    settings = {"source": "tfds", "modality": "audio", "path": str(words), "clip_s": 0.25, **changes}
    return open_data(DataSettings(**settings), 0, seed=0)


def test_sound(words, tmp_path):
    data = sound(words, group_field="speaker")
    split = data.load("test", "test")
    assert (data.class_names, split.raw.shape, split.raw.dtype) == (("down", "up"), (12, 4000), np.int16)
    assert (split.raw[:, 2000] == np.where(split.labels, 100, -100)).all()
    assert not set(data.items["train"].groups) & set(data.items["validation"].groups)
    stored = shutil.copytree(words, tmp_path / "words")
    tfds_toys.as_sound(stored, 16000)
    np.testing.assert_array_equal(sound(stored).load("test", "test").raw, split.raw)
    tfds_toys.as_sound(shutil.copytree(words, tmp_path / "slow"), 8000)
    slow = sound(tmp_path / "slow")
    assert "clips are at 8000 Hz: resampled to 16000 Hz" in slow.warnings
    assert np.abs(np.abs(slow.load("test", "test").raw[:, 1500:2500].astype(int)) - 100).max() <= 1


def test_the_catalogues_wake_vision(tmp_path):
    """The catalogue's own builder, its examples mocked: none can be downloaded here."""
    builder = tfds.builder("wake_vision", data_dir=str(tmp_path))
    template = naming.ShardedFileTemplate(
        data_dir=builder.data_dir, dataset_name=builder.name, filetype_suffix="array_record"
    )
    builder.info.set_splits(
        splits.SplitDict(
            [
                splits.SplitInfo(name=split, shard_lengths=[count], num_bytes=0, filename_template=template)
                for split, count in tfds_toys.SPLITS.items()
            ]
        )
    )
    os.makedirs(builder.data_dir)
    builder.info.write_to_directory(builder.data_dir)

    class Examples(list):
        def __getitems__(self, rows):
            return [self[row] for row in rows]

    def examples(self, split, decoders):
        assert list(decoders) == ["image"]
        return Examples(tfds_toys.wake_vision_example(split, i, bytes) for i in range(tfds_toys.SPLITS[split]))

    with tfds.testing.mock_data(as_data_source_fn=examples, data_dir=builder.data_dir):
        data = opened("wake_vision", data_dir=str(tmp_path))
        assert data.class_names == ("No", "Yes")
        test = data.load("test", "test")
    assert set(test.slices) == set(load_config("wake_vision").data.slice_fields)
    assert test.raw.shape == (32, PX, PX, 3)


def test_the_paper_s_largest_network_is_mobilenetv2():
    from danas_jax.hardware.cost import space_costs

    config = load_config("paper_wake_vision")
    costs = space_costs(config.space, config.space.max_genes[None], 2, "")
    assert round(costs["macs"][0] / 1e6, 1) == 299.5  # published for 224 px, two classes
    (resolutions,) = (axis.values for axis in config.space.axes if axis.name == "resolution_px")
    assert resolutions == (32, 64, 96, 128, 160, 192, 224)


def test_the_library_is_an_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    refused("wake_vision", "tensorflow_datasets is not installed: pip install 'danas-jax[tfds]'")


def test_danas_run_wake_vision_imports_no_tensorflow(prepared, tmp_path):
    code = (
        "import sys\nfrom danas_jax.cli import main\nstatus = main(sys.argv[1:])\n"
        "assert 'tensorflow_datasets' in sys.modules\nassert 'tensorflow' not in sys.modules\nsys.exit(status)"
    )
    flags = ["run", "wake_vision", "--smoke", "--data.path", str(prepared), "--data.search-fraction", "0.2"]
    done = subprocess.run(
        [sys.executable, "-c", code, *flags], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    figures = (tmp_path / "runs/wake_vision-smoke/summary.json").read_text()
    assert '"far"' in figures
