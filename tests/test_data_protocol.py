"""Who may read what, and that the splits share nothing."""

from types import SimpleNamespace

import numpy as np
import pytest

from danas_jax.config import Config, DataSettings
from danas_jax.data.dataset import PROTOCOL, SPLITS, ProtocolError, open_data
from danas_jax.phases import finalists, supernet
from danas_jax.phases.state import Run
from danas_jax.spaces import quickstart

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


class Judged(Exception):
    """Raised by a spy that has heard what it wanted."""


def test_no_phase_judges_by_what_was_trained_on(tmp_path, monkeypatch):
    """What each phase hands to its training and to its judge, by the pictures' names; nothing is trained here."""
    trained, judged, calibrated = {}, {}, {}

    def train(space, settings, bounds, split, *rest):
        trained["supernet"] = split.names
        raise Judged

    def search(config, folder, training, slice_, *rest):
        calibrated["supernet"], judged["supernet"] = training.names, slice_.names
        raise Judged

    def retrain_one(folder, finalist, config, supernet, training, validation, *rest):
        trained["retrained"], judged["retrained"] = training.names, validation.names
        raise Judged

    def export_one(folder, finalist, config, tables, training, validation, *rest):
        trained["int8"] = calibrated["int8"] = training.names
        judged["int8"] = validation.names
        return {}

    def test_once(folder, finalist, test):
        judged["test"] = test.names
        raise Judged

    config = Config(
        name="spied", space=quickstart(), data=DataSettings(train_images=40, validation_images=4, test_images=4)
    )
    state = Run(config, tmp_path, open_data(config.data, 32, 0), (np.zeros(1), np.zeros(1)), {}, lambda record: None)
    monkeypatch.setattr(supernet, "train", train)
    monkeypatch.setattr(supernet, "Trained", search)
    monkeypatch.setattr(finalists, "_finalists", lambda state: [SimpleNamespace(name="one")])
    for spy in (retrain_one, export_one, test_once):
        monkeypatch.setattr(finalists.deploy_finalists, spy.__name__, spy)
    for phase in (supernet.train_phase, supernet.search_phase, finalists.retrain_phase, finalists.export_phase):
        with pytest.raises(Judged):
            phase(state)
    assert set(judged) == {"supernet", "retrained", "int8", "test"} and all(judged.values())
    for name, used in trained.items():
        assert used and not set(used) & set(judged[name])  # not by what these weights were trained on
        assert not set(used) & set(judged["test"])
    assert not set(calibrated["supernet"]) & set(judged["supernet"])
    assert not set(calibrated["int8"]) & set(judged["int8"])
    assert set(judged["supernet"]) < set(trained["retrained"])  # which is why the search slice judges no finalist
