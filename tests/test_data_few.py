"""Few examples: which are kept, what is said of them, and splits that stay those of a run."""

import dataclasses

import numpy as np
import pytest

from danas_jax.config import Config, DataSettings
from danas_jax.data import recorded
from danas_jax.data.dataset import open_data
from danas_jax.data.few import few_examples
from danas_jax.data.splits import Items, limit_per_class
from danas_jax.errors import UserError
from danas_jax.spaces import quickstart

SETTINGS = DataSettings(train_images=60, validation_images=120, test_images=120)


def opened(seed=0, **changes):
    return open_data(dataclasses.replace(SETTINGS, **changes), 32, seed)


def used(data, *splits):
    return {key for split in splits for key in data.items[split].keys}


def test_a_smaller_limit_takes_a_balanced_part_of_a_larger_one():
    labels = np.array([0] * 30 + [1] * 12 + [2] * 50, np.int32)
    keys = tuple(f"{i}.png" for i in range(len(labels)))
    items = Items(keys, labels, keys)
    chosen = {count: limit_per_class(items, count, 0) for count in (1, 5, 10, 20)}
    assert [np.bincount(part.labels).tolist() for part in chosen.values()] == [
        [1, 1, 1], [5, 5, 5], [10, 10, 10], [20, 12, 20],
    ]  # fmt: skip
    for less, more in ((1, 5), (5, 10), (10, 20)):
        assert set(chosen[less].keys) < set(chosen[more].keys)
    assert chosen[10].keys == limit_per_class(items, 10, 0).keys != limit_per_class(items, 10, 1).keys


def test_the_limit_is_of_train_and_search_together_and_of_nothing_else():
    whole, ten, five = opened(), opened(limit_per_class=10), opened(limit_per_class=5)
    assert ten.counts["train"] == {"absent": 8, "present": 8}
    assert ten.counts["search"] == {"absent": 2, "present": 2}
    assert used(five, "train", "search") < used(ten, "train", "search") < used(whole, "train", "search")
    assert used(five, "validation") == used(whole, "validation") and used(five, "test") == used(whole, "test")


def test_one_image_of_a_class_is_too_few_to_train_and_to_rank():
    with pytest.raises(UserError, match="class 'absent' has 1 examples in too few groups to hold out 20% for search"):
        opened(limit_per_class=1)
    two = opened(limit_per_class=2)
    assert [len(two.items[split]) for split in ("train", "search")] == [2, 2]


def test_few_examples_are_said():
    config = Config(name="few", space=quickstart(), data=dataclasses.replace(SETTINGS, limit_per_class=5))
    said = few_examples(opened(limit_per_class=5), config)
    assert len(said) == 2
    slice_, train = said
    assert "the search slice, which ranks systems, has 2 (of class 'absent' 1)" in slice_
    assert "of an accuracy of 0.8 there the 95 % interval is [0.00, 1.00]" in slice_
    assert train.startswith("few examples: train has 8: ")
    enough = dataclasses.replace(config, data=dataclasses.replace(SETTINGS, train_images=1200))
    assert few_examples(opened(train_images=1200), enough) == []


def test_classes_that_the_limit_leaves_unequal_are_said():
    data = opened()
    rows = np.flatnonzero(np.cumsum(data.items["train"].labels == 1) <= 3)  # 3 of class present
    items = {**data.items, "train": data.items["train"].where(np.isin(np.arange(len(data.items["train"])), rows))}
    uneven = dataclasses.replace(data, items=items)
    config = Config(name="uneven", space=quickstart(), data=dataclasses.replace(SETTINGS, limit_per_class=20))
    assert "data.limit_per_class = 20: class 'present' has 9 examples" in few_examples(uneven, config)[0]
    assert not any("limit_per_class" in line for line in few_examples(data, config))


def test_a_run_keeps_its_splits(tmp_path):
    recorded.refuse_others(tmp_path, opened(), "data.path = 'x'")  # an older run tells nothing
    recorded.record(tmp_path, opened(), 0, ["few"])
    before = (tmp_path / recorded.PLACE).read_bytes()
    recorded.refuse_others(tmp_path, opened(), "data.path = 'x'")
    more = opened(train_images=64)
    recorded.record(tmp_path, more, 0, [])
    assert (tmp_path / recorded.PLACE).read_bytes() == before
    with pytest.raises(UserError, match=r"data.path = 'x': .*\n  train: was 48 examples, is 5\d\n  search: was 12"):
        recorded.refuse_others(tmp_path, more, "data.path = 'x'")
    recorded.refuse_others(tmp_path, opened(validation_images=130), "x", ("train", "search"))
    with pytest.raises(UserError, match="validation: was 120 examples, is 130"):
        recorded.refuse_others(tmp_path, opened(validation_images=130), "x")


def test_as_many_other_examples_are_others(tmp_path):
    """The count alone would not tell: train and search trade two examples."""
    recorded.record(tmp_path, opened(), 0, [])
    data = opened()
    train, search = data.items["train"], data.items["search"]
    mixed = {
        "train": dataclasses.replace(train, keys=(search.keys[0], *train.keys[1:])),
        "search": dataclasses.replace(search, keys=(train.keys[0], *search.keys[1:])),
    }
    with pytest.raises(UserError, match="train: was 48 examples, is 48"):
        recorded.refuse_others(tmp_path, dataclasses.replace(data, items={**data.items, **mixed}), "x")


def test_a_damaged_record_is_named(tmp_path):
    (tmp_path / recorded.PLACE).write_text('{"schema_version": 1, "splits": []}')
    with pytest.raises(UserError, match=r"splits\.json is damaged.*: splits = \[\]: an object"):
        recorded.refuse_others(tmp_path, opened(), "x")
