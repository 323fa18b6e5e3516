"""Who may read what, and that the splits share nothing."""

import pytest

from danas_jax.config import DataSettings
from danas_jax.data.dataset import PROTOCOL, SPLITS, ProtocolError, open_data

ALLOWED = {
    ("train", "train"),
    ("search", "train"),
    ("search", "search"),
    ("retrain", "train"),
    ("retrain", "search"),
    ("retrain", "validation"),
    ("export", "train"),
    ("export", "search"),
    ("export", "validation"),
    ("test", "test"),
    ("copies", "search"),
    ("copies", "validation"),
    ("copies", "test"),
}


@pytest.fixture(scope="module")
def data():
    return open_data(DataSettings(train_images=20, validation_images=4, test_images=4), 32, seed=0)


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("phase", PROTOCOL)
def test_the_protocol_table(data, phase, split):
    if (phase, split) in ALLOWED:
        assert len(data.load(split, phase)) == len(data.items[split])
    else:
        with pytest.raises(ProtocolError, match=f"phase '{phase}' asked for split '{split}'"):
            data.load(split, phase)


@pytest.mark.parametrize(("split", "phase"), [("train", "report"), ("everything", "train"), ("test", "")])
def test_unknown_names_are_refused(data, split, phase):
    with pytest.raises(ProtocolError):
        data.load(split, phase)


def test_a_bug_is_no_user_error():
    assert issubclass(ProtocolError, RuntimeError)


def test_what_was_decoded_does_not_open_it_to_others(data):
    data.load("test", "test")
    with pytest.raises(ProtocolError):
        data.load("test", "search")


def test_splits_are_disjoint(data):
    keys = [key for split in SPLITS for key in data.items[split].keys]
    assert len(keys) == len(set(keys)) == 28


def test_the_search_slice_follows_the_seed_and_the_fraction():
    def slice_of(seed, fraction):
        settings = DataSettings(train_images=100, search_fraction=fraction)
        return open_data(settings, 32, seed).items["search"].keys

    assert slice_of(0, 0.2) == slice_of(0, 0.2) != slice_of(1, 0.2)
    assert len(slice_of(0, 0.3)) == 30
