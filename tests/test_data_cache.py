"""The cache of decoded examples: what is decoded when, and what survives kills, damage, other processes, full disks."""

import dataclasses
import errno
import itertools
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from danas_jax.config import DataSettings
from danas_jax.data import cache
from danas_jax.data.dataset import open_data
from danas_jax.data.rows import Rows
from danas_jax.data.sources.base import Source
from danas_jax.data.splits import Items
from danas_jax.errors import Unreadable, UserError

SHAPE = (7, 5)
KEYS = tuple(f"{i:03d}" for i in range(50))


def example(key):
    return np.random.default_rng(int(key)).integers(-1000, 1000, SHAPE).astype(np.int16)


class Counting:
    """Reads examples and remembers which; `broken` ones cannot be read."""

    def __init__(self, broken=()):
        self.seen, self.broken = [], broken

    def __call__(self, key):
        self.seen.append(key)
        if key in self.broken:
            raise Unreadable(key, "truncated")
        return example(key)


def source(read, **changes):
    items = Items(KEYS, np.zeros(len(KEYS), np.int32), KEYS)
    made = Source(("a", "b"), {"train": items}, (), "fingerprint", "windows", SHAPE, np.dtype(np.int16), read)
    return dataclasses.replace(made, decoding="as it is", **changes)


def load(read, folder, keys=KEYS, **changes):
    warnings = []
    found = cache.cached_items(source(read, **changes), keys, str(folder), None, warnings)
    return *found, warnings


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Eight examples to a block."""
    monkeypatch.setattr(cache, "BLOCK_BYTES", 8 * 7 * 5 * 2)


def store(folder):
    (place,) = folder.iterdir()
    return place


def test_examples_are_decoded_once(tmp_path):
    first, second = Counting(), Counting()
    raw, readable, bad, warnings = load(first, tmp_path)
    assert sorted(first.seen) == list(KEYS)
    again, *_ = load(second, tmp_path)
    assert second.seen == []
    for rows in (raw, again):
        assert rows.shape == (50, *SHAPE) and rows.dtype == np.int16
        np.testing.assert_array_equal(np.asarray(rows), [example(key) for key in KEYS])
    assert readable.all() and not bad and not warnings


def test_a_split_is_rows_in_its_own_order(tmp_path):
    keys = ("031", "002", "017")
    raw, *_ = load(Counting(), tmp_path, keys)
    np.testing.assert_array_equal(raw[np.array([2, 0])], [example("017"), example("031")])
    np.testing.assert_array_equal(raw[1:], [example("002"), example("017")])
    np.testing.assert_array_equal(raw[:, 3], [example("031")[3], example("002")[3], example("017")[3]])
    np.testing.assert_array_equal(raw[1, 3:, 2], example("002")[3:, 2])
    np.testing.assert_array_equal(np.asarray(raw), [example(key) for key in keys])


def test_only_blocks_that_are_asked_for_are_decoded(tmp_path):
    read = Counting()
    load(read, tmp_path, ("009",))
    assert sorted(read.seen) == list(KEYS[8:16])


def test_a_flipped_byte_is_found_and_its_block_decoded_again(tmp_path):
    load(Counting(), tmp_path)
    with (store(tmp_path) / "examples").open("r+b") as file:
        file.seek(8 * 70 * 2 + 3)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 4]))
    read = Counting()
    raw, *_ = load(read, tmp_path)
    assert sorted(read.seen) == list(KEYS[16:24])
    np.testing.assert_array_equal(np.asarray(raw), [example(key) for key in KEYS])


@pytest.mark.parametrize("name", ["examples", "digests", "unreadable.jsonl"])
def test_a_missing_or_cut_file_is_made_again(tmp_path, name):
    load(Counting({"020"}), tmp_path)
    path = store(tmp_path) / name
    path.write_bytes(path.read_bytes()[:-30])
    read = Counting({"020"})
    raw, readable, bad, _ = load(read, tmp_path)
    assert bad == {"020": "truncated"} and len(raw) == 49 and not readable[20]
    assert read.seen, "something had to be decoded again"
    np.testing.assert_array_equal(raw[19:21], [example("019"), example("021")])


def test_unreadable_examples_are_remembered_and_tried_again(tmp_path):
    broken = {"005", "049"}
    load(Counting(broken), tmp_path)
    read = Counting(broken)
    raw, readable, bad, _ = load(read, tmp_path)
    assert sorted(read.seen) == sorted(broken)
    assert bad == {"005": "truncated", "049": "truncated"}
    assert len(raw) == readable.sum() == 48
    for read, seen in ((Counting({"049"}), ["005", "049", *KEYS[:8]]), (Counting({"049"}), ["049"])):
        raw, _, bad, _ = load(read, tmp_path)  # the first is back: its block is decoded once more
        assert sorted(read.seen) == sorted(seen)
        assert bad == {"049": "truncated"}
        np.testing.assert_array_equal(np.asarray(raw), [example(key) for key in KEYS[:49]])


@pytest.mark.parametrize("changes", [{"fingerprint": "other"}, {"decoding": "otherwise"}])
def test_another_source_or_decoding_has_another_store(tmp_path, changes):
    load(Counting(), tmp_path)
    made = dataclasses.replace(source(read := Counting()), **changes)
    cache.cached_items(made, KEYS, str(tmp_path), None, [])
    assert len(read.seen) == 50
    assert len(list(tmp_path.iterdir())) == 2


def test_cheap_sources_and_none_are_read_into_memory(tmp_path):
    for cache_dir, decoding in (("none", "as it is"), (str(tmp_path), "")):
        made = dataclasses.replace(source(Counting()), decoding=decoding)
        raw, _, _ = cache.cached_items(made, KEYS, cache_dir, None, [])
        np.testing.assert_array_equal(np.asarray(raw), [example(key) for key in KEYS])
    assert not list(tmp_path.iterdir())


_BUILDER = """
import os, sys, time
sys.path.insert(0, {tests!r})
import test_data_cache as toys
from danas_jax.data import cache
cache.BLOCK_BYTES = 8 * 7 * 5 * 2
class Slow(toys.Counting):
    def __call__(self, key):
        time.sleep(0.02)
        if key == {dies!r}:
            os.kill(os.getpid(), 9)
        print("read", flush=True)
        return super().__call__(key)
read = Slow()
toys.load(read, sys.argv[1])
print("decoded", len(read.seen), flush=True)
"""


def builder(folder, dies=""):
    code = _BUILDER.format(tests=os.path.dirname(__file__), dies=dies)
    return subprocess.Popen([sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE, text=True)


def test_a_killed_build_goes_on_at_the_block_where_it_was(tmp_path):
    with builder(tmp_path, dies="029") as child:
        assert child.wait(60) == -signal.SIGKILL
    read = Counting()
    raw, *_ = load(read, tmp_path)
    assert sorted(read.seen) == list(KEYS[24:])
    np.testing.assert_array_equal(np.asarray(raw), [example(key) for key in KEYS])


def test_of_two_processes_one_builds_and_the_other_waits(tmp_path):
    with builder(tmp_path) as one, builder(tmp_path) as two:
        said = [child.communicate(timeout=60)[0] for child in (one, two)]
    decoded = sorted(int(text.split()[-1]) for text in said)
    assert decoded == [0, 50]
    assert sum("another process decodes the same examples: waiting" in text for text in said) == 1


def test_a_read_only_folder_serves_what_is_there(tmp_path, monkeypatch):
    load(Counting(), tmp_path)
    refuse(monkeypatch, errno.EROFS, "mkdir")
    read = Counting()
    raw, _, _, warnings = load(read, tmp_path)
    assert read.seen == [] and not warnings
    np.testing.assert_array_equal(np.asarray(raw), [example(key) for key in KEYS])


def refuse(monkeypatch, number, name):
    def refused(*_, **__):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(cache.Path if name == "mkdir" else cache.os, name, refused)


@pytest.mark.parametrize(
    ("number", "name", "message"),
    [
        (errno.EROFS, "mkdir", "Read-only file system"),
        (errno.EACCES, "mkdir", "Permission denied"),
        (errno.ENOSPC, "posix_fallocate", "0.00 GB are needed and not free"),
        (errno.ENOSPC, "pwrite", "No space left on device"),
    ],
)
def test_without_a_place_to_write_examples_are_in_memory_and_it_is_said(tmp_path, monkeypatch, number, name, message):
    refuse(monkeypatch, number, name)
    raw, _, _, (warning,) = load(Counting(), tmp_path)
    np.testing.assert_array_equal(np.asarray(raw), [example(key) for key in KEYS])
    assert message in warning and "data.cache_dir" in warning
    monkeypatch.undo()
    monkeypatch.setattr(cache, "BLOCK_BYTES", 8 * 7 * 5 * 2)
    read = Counting()
    load(read, tmp_path)
    assert len(read.seen) == 50  # nothing half-written is believed


def test_memory_that_is_too_small_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "free_memory_bytes", lambda: 3000)
    with pytest.raises(UserError, match=r"50 windows take 3\.5e-06 GB of memory, 3e-06 are free: give data\.cache_dir"):
        load(Counting(), "none")
    load(Counting(), tmp_path)  # mapped: the memory need not hold them


def test_a_cpu_reads_the_store_in_place(tmp_path):
    import jax

    raw, *_ = load(Counting(), tmp_path)
    whole = np.asarray(raw)
    assert not whole.flags.writeable
    assert jax.device_put(whole).unsafe_buffer_pointer() == whole.ctypes.data


def folder_store(root, place):
    settings = DataSettings(source="folder", path=str(root), cache_dir=str(place))
    return open_data(settings, 24, seed=1).load("validation", "retrain")


@pytest.fixture
def photos(tmp_path):
    root = tmp_path / "photos"
    for split, name in itertools.product(("train", "validation", "test"), ("cat", "dog")):
        (root / split / name).mkdir(parents=True)
        for i in range(6):
            noise = np.random.default_rng([i, len(split)]).integers(0, 256, (24, 24, 3), dtype=np.uint8)
            Image.fromarray(noise).save(root / split / name / f"{i}.png")
    return root


def test_a_file_replaced_by_one_of_its_size_and_date_is_decoded_again(photos, tmp_path):
    place, changed = tmp_path / "store", photos / "validation" / "cat" / "3.png"
    assert folder_store(photos, place).raw[:].any(axis=(1, 2, 3)).all()
    was = changed.stat()
    Image.fromarray(np.zeros((24, 24, 3), np.uint8)).save(changed)
    changed.write_bytes(changed.read_bytes().ljust(was.st_size, b"\0"))
    os.utime(changed, ns=(was.st_atime_ns, was.st_mtime_ns))  # as rsync and tar do
    assert (changed.stat().st_size, changed.stat().st_mtime_ns) == (was.st_size, was.st_mtime_ns)
    split = folder_store(photos, place)
    assert not split.raw[split.names.index("validation/cat/3.png")].any()


def test_equal_names_sizes_and_dates_elsewhere_are_other_pictures(photos, tmp_path):
    place = tmp_path / "store"
    folder_store(photos, place)
    folder_store(shutil.copytree(photos, tmp_path / "twin", copy_function=os.link), place)
    assert len(list(place.iterdir())) == 2


def test_checking_is_faster_than_a_disk(tmp_path, monkeypatch):
    """A gigabyte a second on an idle core; a tenth of it is asked for here."""
    monkeypatch.setattr(cache, "BLOCK_BYTES", 16 * 2**20)
    content = np.zeros(16 * 2**20, np.uint8).tobytes()
    started = time.process_time()
    cache._digest(content, None)
    assert time.process_time() - started < 0.16


def test_rows_in_a_stretch_are_not_copied():
    array = np.arange(640, dtype=np.int64).reshape(80, 8)
    assert np.shares_memory(np.asarray(Rows(array, np.arange(8, 40))), array) == (array.ctypes.data % 64 == 0)
    scattered = Rows(array, np.array([3, 1]))
    assert np.asarray(scattered) is scattered.whole
    np.testing.assert_array_equal(scattered.joined(Rows(array, np.array([7]))), array[[3, 1, 7]])
    np.testing.assert_array_equal(scattered.joined(Rows(array + 1)), np.concatenate([array[[3, 1]], array + 1]))
    assert scattered.nbytes == 2 * 8 * 8


@pytest.mark.parametrize(
    "index",
    [3, slice(1, 4), np.array([2, 0]), (slice(None), 1), (..., 2), (..., slice(0, 2)), (0, 3), ..., (1, ..., 0)],
)
def test_rows_are_indexed_as_an_array_is(index):
    array, chosen = np.arange(10 * 4 * 3).reshape(10, 4, 3), np.array([7, 1, 5, 2])
    np.testing.assert_array_equal(Rows(array, chosen)[index], array[chosen][index])
