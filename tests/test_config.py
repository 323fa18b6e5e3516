"""CONFIG argument -> Config, strict JSON, differences and validation."""

import dataclasses
import json

import pytest

from danas_jax import config_io, overrides
from danas_jax.config import Baseline, Config, DataSettings, Limits, TrainSettings, TrainStage
from danas_jax.config_checks import validate
from danas_jax.errors import UserError
from danas_jax.views.image import ImageData

FULL = Config(
    name="full",
    budgets=(Limits(sram_bytes=65536, latency_ms=12.5), Limits(macs=10**6, board="nano33ble")),
    baselines=(Baseline(name="b", data=ImageData(64, "mono")),),
)


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


def test_validate_lists_every_problem_at_once():
    bad = dataclasses.replace(FULL, seed=-1, budgets=(Limits(macs=0),))
    with pytest.raises(UserError) as caught:
        validate(bad)
    assert "seed = -1" in str(caught.value)
    assert "budgets[0].macs = 0" in str(caught.value)


@pytest.mark.parametrize("section", ["train", "retrain"])
@pytest.mark.parametrize(
    ("key", "wrong", "right"),
    [
        ("epochs", [0], [1]),
        ("batch_size", [0], [1]),
        ("calibration_images", [0], [1]),
        ("learning_rate", [0.0, -1.0], [1e-3]),
        ("gradient_clip", [0.0], [1.0]),
        ("weight_decay", [-0.1], [0.0]),
        ("warmup_fraction", [-0.1, 1.0], [0.0, 0.9]),
        ("label_smoothing", [-0.1, 1.0], [0.0, 0.9]),
        ("ema_decay", [-0.1, 1.0], [0.0, 0.999]),
        ("crop_area_min", [0.0, 1.1], [0.01, 1.0]),
        ("colour_jitter", [-0.1, 1.0], [0.0, 0.9]),
        ("saturation_jitter", [-0.1, 1.1], [0.0, 1.0]),
        ("mixup", [-0.1], [0.0, 2.0]),
        ("cutmix", [-0.1], [0.0, 2.0]),
    ],
)
def test_the_recipes_have_ranges(section, key, wrong, right):
    for value in wrong + right:
        settings = dataclasses.replace(getattr(FULL, section), **{key: value})
        config = dataclasses.replace(FULL, **{section: settings})
        if value in right:
            validate(config)
        else:
            with pytest.raises(UserError, match=rf"^{section}\.{key} = {value}: give "):
                validate(config)


@pytest.mark.parametrize(
    ("section", "changes", "message"),
    [
        ("train", {"label_weight": -0.1}, r"^train\.label_weight = -0\.1: give a share from 0 to 1"),
        ("train", {"label_weight": 1.1}, r"^train\.label_weight = 1\.1: give a share from 0 to 1"),
        ("train", {"random_subnets": -1}, r"^train\.random_subnets = -1: give 0 or more"),
        ("train", {"checkpoint_every_s": -1.0}, r"^train\.checkpoint_every_s = -1\.0: give 0 or more"),
        ("train", {"batch_size": 1, "mixup": 0.2}, r"^train\.batch_size = 1: mixup and cutmix need 2 or more"),
        (
            "train",
            {"class_weights": "balanced", "sampling": "balanced"},
            r"^train\.class_weights = 'balanced': .*leave one",
        ),
        ("retrain", {"batch_size": 1, "cutmix": 0.2}, r"^retrain\.batch_size = 1: mixup and cutmix need 2 or more"),
        ("retrain", {"validate_every_epochs": 0}, r"^retrain\.validate_every_epochs = 0: give 1 or more"),
        ("search", {"finalists_per_budget": -1}, r"^search\.finalists_per_budget = -1: give 0 or more"),
        ("search", {"error_margin": -0.1}, r"^search\.error_margin = -0\.1: give 0 or more"),
        ("search", {"rerank": 0}, r"^search\.rerank = 0: give 1 or more"),
        ("search", {"mutation_rate": 1.5}, r"^search\.mutation_rate = 1\.5: give a share from 0 to 1"),
        ("data", {"limit_per_class": -1}, r"^data\.limit_per_class = -1: give 0 or more"),
        ("data", {"limit_per_class": 1}, r"^data\.limit_per_class = 1: give 2 or more"),
        ("data", {"search_fraction": 1.0}, r"^data\.search_fraction = 1\.0: give a share between 0 and 1"),
        ("data", {"test_fraction": 0.5}, r"^data\.test_fraction = 0\.5: give a share below 0\.5"),
        (
            "data",
            {"slice_fields": ("source",)},
            r"^data\.slice_fields = \('source',\): source synthetic does not",
        ),
        ("export", {"verify_images": 0}, r"^export\.verify_images = 0: give 1 or more"),
        ("export", {"percentile": 50.0}, r"^export\.percentile = 50\.0: give a percentage above 50, up to 100"),
        ("export", {"percentile": 100.1}, r"^export\.percentile = 100\.1: give a percentage above 50, up to 100"),
        ("export", {"qat_epochs": -1}, r"^export\.qat_epochs = -1: give 0 or more"),
        ("export", {"qat_learning_rate": 0.0}, r"^export\.qat_learning_rate = 0\.0: give a positive number"),
        ("export", {"max_false_alarm_rate": 1.0}, r"^export\.max_false_alarm_rate = 1\.0: give 0 up to below 1"),
        ("export", {"max_false_alarm_rate": -0.1}, r"^export\.max_false_alarm_rate = -0\.1: give 0 up to below 1"),
    ],
)
def test_what_cannot_be_is_refused(section, changes, message):
    config = dataclasses.replace(FULL, **{section: dataclasses.replace(getattr(FULL, section), **changes)})
    with pytest.raises(UserError, match=message):
        validate(config)


def staged(*rows):
    return dataclasses.replace(FULL, train=dataclasses.replace(FULL.train, stages=tuple(TrainStage(*r) for r in rows)))


STAGED = staged((0.25, ()), (0.5, ("resolution", "kernel")), (0.75, ("kernel", "resolution", "depth")))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([(0.0, ())], r"^train\.stages\[0\]\.until_fraction = 0\.0: give a share in \(0\.0, 1\]"),
        ([(0.5, ()), (0.5, ())], r"^train\.stages\[1\]\.until_fraction = 0\.5: give a share in \(0\.5, 1\]"),
        ([(1.5, ())], r"^train\.stages\[0\]\.until_fraction = 1\.5: give"),
        ([(0.5, ("size",))], r"^train\.stages\[0\]\.elastic = \('size',\): choose each once from \('resolution',"),
        ([(0.5, ("width", "width"))], r"^train\.stages\[0\]\.elastic = \('width', 'width'\): choose each once"),
        ([(0.2, ("width",)), (0.5, ("depth",))], r"^train\.stages\[1\]\.elastic = .*keep what was.*\['width'\]"),
        ([(1.0, ("width",))], r"^train\.stages\[0\]\.until_fraction = 1: end below 1"),
    ],
)
def test_stages_that_cannot_be_are_refused(rows, message):
    with pytest.raises(UserError, match=message):
        validate(staged(*rows))


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


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"path": "/pictures"}, r"data\.path = '/pictures': source synthetic does not use it"),
        ({"source": "npz"}, r"data\.path = '': name what source npz reads: --data\.path PATH"),
        ({"source": "folder", "path": "x", "data_dir": "y"}, r"data\.data_dir = 'y': source folder does not use it"),
        (
            {"source": "folder", "path": "x", "modality": "series"},
            r"data\.modality = 'series': source folder has",
        ),
        ({"modality": "audio"}, r"data\.modality = 'audio': source synthetic has image"),
        ({"sample_rate_hz": 0}, r"data\.sample_rate_hz = 0: give 1 or more"),
        ({"clip_s": -1.0}, r"data\.clip_s = -1\.0: give a positive number of seconds"),
        ({"source": "csv", "path": "x", "group_pattern": "("}, r"data\.group_pattern = '\(': no regular expression"),
        (
            {"source": "csv", "path": "x", "group_pattern": "a"},
            r"data\.group_pattern = 'a': put what is the group",
        ),
        (
            {"source": "csv", "path": "x", "group_pattern": "(a)", "group_field": "b"},
            r"data\.group_pattern = '\(a\)': leave it out, or data\.group_field",
        ),
        ({"source": "tfds", "path": "x", "split_names": ("train",)}, r"data\.split_names = \('train',\): give each of"),
        ({"source": "tfds", "path": "x", "split_names": ("dev=a",)}, r"data\.split_names = \('dev=a',\): give each of"),
        ({"source": "tfds", "path": "x", "split_names": ("test=a", "test=b")}, r"data\.split_names = .*: give each of"),
    ],
)
def test_settings_of_a_source_that_cannot_be(changes, message):
    config = dataclasses.replace(FULL, data=DataSettings(**changes))
    with pytest.raises(UserError, match=message):
        validate(config)


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


def test_sound_is_read_at_the_rate_that_the_view_takes():
    config = config_io.load_config("speech_commands")
    right = dataclasses.replace(config, data=dataclasses.replace(config.data, path="/words"))
    validate(right)
    wrong = dataclasses.replace(right, data=dataclasses.replace(right.data, sample_rate_hz=8000))
    with pytest.raises(UserError, match=r"data\.sample_rate_hz = 8000: .*native_rate_hz, 16000"):
        validate(wrong)


def test_a_run_without_finalists_is_of_baselines_without_a_supernet():
    none = dataclasses.replace(FULL.search, finalists_per_budget=0)
    retrain = dataclasses.replace(FULL.retrain, distillation=0.0)
    validate(dataclasses.replace(FULL, search=none, retrain=retrain))
    with pytest.raises(UserError, match=r"^search\.finalists_per_budget = 0: nothing to do without baselines"):
        validate(dataclasses.replace(FULL, search=none, retrain=retrain, baselines=()))
    taught = dataclasses.replace(FULL.retrain, distillation=0.1)
    with pytest.raises(UserError, match=r"^retrain\.distillation: needs a supernet, give 0"):
        validate(dataclasses.replace(FULL, search=none, retrain=taught))


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
