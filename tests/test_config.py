"""CONFIG argument -> Config, strict JSON, differences and validation."""

import dataclasses
import json

import pytest

from danas_jax import config_io
from danas_jax.config import Baseline, Config, Limits, validate
from danas_jax.errors import UserError

FULL = Config(
    name="full",
    budgets=(Limits(sram_bytes=65536, latency_ms=12.5), Limits(macs=10**6, board="nano33ble")),
    baselines=(Baseline(name="b", resolution_px=64, colour="mono"),),
)


def through_json(config):
    return config_io.from_json(json.loads(json.dumps(config_io.to_json(config))))


@pytest.mark.parametrize("name", sorted(config_io.shipped_configs()))
def test_shipped_configs_survive_json_and_validate(name):
    config = config_io.load_config(name)
    assert through_json(config) == config
    if config.data.source == "folder":
        config = dataclasses.replace(config, data=dataclasses.replace(config.data, path="/pictures"))
    validate(config)


def test_both_configs_are_shipped():
    assert {"quickstart", "person_photos"} <= set(config_io.shipped_configs())


def test_round_trip_restores_nested_tuples_and_classes():
    again = through_json(FULL)
    assert again == FULL
    assert isinstance(again.space.stages[0].widths, tuple)
    assert again.space.fingerprint == FULL.space.fingerprint


def changed(path, value):
    """FULL as JSON with the value at `path` replaced, or removed where `value` is `...`."""
    obj = json.loads(json.dumps(config_io.to_json(FULL)))
    place = obj
    for key in path[:-1]:
        place = place[key]
    if value is ...:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return obj


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("train", "epoch"), 3, r"unknown field train\.epoch \(did you mean epochs\?\)"),
        (("train", "epochs"), ..., r"missing field train\.epochs"),
        (("train", "epochs"), "3", r"train\.epochs = '3': int"),
        (("train", "epochs"), 3.5, r"train\.epochs = 3\.5: int"),
        (("train", "epochs"), True, r"train\.epochs = True: int"),
        (("train", "learning_rate"), "fast", r"train\.learning_rate"),
        (("train", "learning_rate"), float("nan"), r"train\.learning_rate = nan"),
        (("retrain", "inherit"), 1, r"retrain\.inherit = 1: bool"),
        (("data", "source"), "web", r"data\.source = 'web': one of 'synthetic', 'folder'"),
        (("budgets", 1, "macs"), "many", r"budgets\[1\]\.macs = 'many': int or null"),
        (("budgets",), {}, r"budgets = \{\}: a list"),
        (("space", "stages", 0, "widths", 1), None, r"space\.stages\[0\]\.widths\[1\] = None: int"),
        (("space", "resolutions_px"), [64, 32], r"space\.resolutions_px"),
        (("train",), [], r"train = \[\]: TrainSettings"),
    ],
)
def test_from_json_is_strict(path, value, message):
    with pytest.raises(UserError, match=message):
        config_io.from_json(changed(path, value))


def test_an_integer_is_a_float():
    assert config_io.from_json(changed(("train", "learning_rate"), 1)).train.learning_rate == 1.0


def test_differences_name_the_fields_and_leave_out_the_folder():
    other = dataclasses.replace(
        FULL,
        seed=3,
        run_dir="elsewhere",
        train=dataclasses.replace(FULL.train, epochs=99),
        budgets=(*FULL.budgets[:1], Limits(macs=7, board="nano33ble")),
    )
    assert config_io.differences(FULL, other) == [
        "seed: was 0, is 3",
        "train.epochs: was 10, is 99",
        "budgets[1].macs: was 1000000, is 7",
    ]
    assert config_io.differences(FULL, dataclasses.replace(FULL, run_dir="moved")) == []


def test_unknown_name_shows_near_misses_and_the_list():
    with pytest.raises(UserError, match=r"Did you mean quickstart\?.*person_photos"):
        config_io.load_config("quikstart")


def write(tmp_path, text):
    path = tmp_path / "mine.py"
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\n", r"mine\.py: has no function get_config"),
        ("def get_config(:\n", r"mine\.py, line 1: SyntaxError"),
        ("x = 1\nimport nonsuch_module\n", r"mine\.py, line 2: ModuleNotFoundError"),
        ("def get_config():\n    return 3\n", r"mine\.py: get_config\(\) returned int"),
        (
            "from danas_jax.config import Config\ndef get_config():\n    return Config(nam='x')\n",
            r"mine\.py, line 3: TypeError.*nam",
        ),
        (
            "from danas_jax.config import Config\ndef get_config():\n    return Config(name='x', seed='3')\n",
            r"mine\.py: seed = '3': int",
        ),
    ],
)
def test_mistakes_in_a_config_file_are_named(tmp_path, text, message):
    with pytest.raises(UserError, match=message):
        config_io.load_config(write(tmp_path, text))


def test_a_config_file_may_use_lists(tmp_path):
    text = "from danas_jax.config import *\ndef get_config():\n    return Config(name='x', budgets=[Limits(macs=5)])\n"
    assert config_io.load_config(write(tmp_path, text)).budgets == (Limits(macs=5),)


def test_a_runs_folder_is_read_as_data(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"schema_version": 1, **config_io.to_json(FULL)}))
    assert config_io.load_config(str(tmp_path)) == FULL
    (tmp_path / "config.json").write_text("import os")
    with pytest.raises(UserError, match=r"config\.json is damaged"):
        config_io.load_config(str(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps({"schema_version": 7, **config_io.to_json(FULL)}))
    with pytest.raises(UserError, match=r"schema_version is 7"):
        config_io.load_config(str(tmp_path))


def test_validate_lists_every_problem_at_once():
    bad = dataclasses.replace(FULL, seed=-1, budgets=(Limits(macs=0),))
    with pytest.raises(UserError) as caught:
        validate(bad)
    assert "seed = -1" in str(caught.value)
    assert "budgets[0].macs = 0" in str(caught.value)
