"""CONFIG argument -> Config, strict JSON and differences."""

import dataclasses
import json

import pytest
from config_toys import FULL, STAGED

from danas_jax import config_io, overrides
from danas_jax.config import Config, Limits, TrainSettings, TrainStage
from danas_jax.config_checks import validate
from danas_jax.errors import UserError


def through_json(config):
    return config_io.from_json(json.loads(json.dumps(config_io.to_json(config))))


@pytest.mark.parametrize("name", sorted(config_io.shipped_configs()))
def test_shipped_configs_survive_json_and_validate(name):
    config = config_io.load_config(name)
    assert through_json(config) == config
    if config.data.source != "synthetic" and not config.data.path:
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
        (("name",), ..., r"missing field name"),
        (("space", "stages", 0, "widths"), ..., r"missing field space\.stages\[0\]\.widths"),
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
        (("space", "view", "resolutions_px"), [64, 32], r"space\.resolutions_px"),
        (("train",), [], r"train = \[\]: TrainSettings"),
    ],
)
def test_from_json_is_strict(path, value, message):
    with pytest.raises(UserError, match=message):
        config_io.from_json(changed(path, value))


def test_a_field_that_an_earlier_version_did_not_have_takes_its_default():
    assert config_io.from_json(changed(("train", "epochs"), ...)).train.epochs == TrainSettings().epochs


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
    with pytest.raises(UserError, match=r"Did you mean quickstart .*person_photos"):
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


def test_stages_survive_json_flags_and_comparison():
    validate(STAGED)
    assert through_json(STAGED) == STAGED
    assert config_io.differences(FULL, STAGED)[0] == "train.stages: was [], is absent"
    assert "train.stages[1].elastic: was absent, is ['resolution', 'kernel']" in config_io.differences(FULL, STAGED)
    flags = ["--train.stages.0.until-fraction", "0.3", "--train.stages.0.elastic", "kernel"]
    changed = overrides.parse_flags(STAGED, flags, "danas")
    assert changed.train.stages == (TrainStage(0.3, ("kernel",)), *STAGED.train.stages[1:])
    bad = json.loads(json.dumps(config_io.to_json(STAGED)))
    bad["train"]["stages"][1]["until"] = 0.5
    with pytest.raises(UserError, match=r"unknown field train\.stages\[1\]\.until"):
        config_io.from_json(bad)


def test_a_name_of_a_prepared_set_is_no_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()
    for source, given, path in (
        ("tfds", "wake_vision:1.0.0", "wake_vision:1.0.0"),
        ("tfds", "there", str(tmp_path / "there")),
        ("folder", "elsewhere", str(tmp_path / "elsewhere")),
    ):
        flags = ["--data.source", source, "--data.path", given, "--data.data-dir", "sets"]
        data = overrides.parse_flags(FULL, flags, "danas").data
        assert (data.path, data.data_dir) == (path, str(tmp_path / "sets"))


def test_a_larger_batch_scales_the_recipe_by_a_stated_rule():
    recipe = TrainSettings(batch_size=64, learning_rate=4e-3, ema_decay=0.99, batch_scale=4)
    adamw, sgd = recipe.scaled, dataclasses.replace(recipe, optimiser="sgd").scaled
    assert (adamw.batch_size, adamw.learning_rate) == (256, pytest.approx(8e-3))
    assert (sgd.batch_size, sgd.learning_rate) == (256, pytest.approx(16e-3))
    assert adamw.ema_decay == pytest.approx(0.99**4)
    assert adamw.scaled == adamw
    assert TrainSettings().scaled == TrainSettings()
    with pytest.raises(UserError, match=r"train\.batch_scale = 0: give 1 or more"):
        validate(Config("x", train=TrainSettings(batch_scale=0)))
