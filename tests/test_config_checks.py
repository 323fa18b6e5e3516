"""What a Config may not say: every problem is named at once."""

import dataclasses

import pytest
from config_toys import FULL, staged

from danas_jax import config_io
from danas_jax.config import DataSettings, Limits
from danas_jax.config_checks import validate
from danas_jax.errors import UserError


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
        ("train", {"teacher_weight": 0.9}, r"^train\.teacher_weight = 0\.9: give --train\.teacher, too"),
        ("retrain", {"teacher_views": 2}, r"^retrain\.teacher_views = 2: give --retrain\.teacher, too"),
        ("retrain", {"teacher_range": "imagenet"}, r"^retrain\.teacher_range = 'imagenet': give --retrain\.teacher"),
        ("train", {"init_rate": 0.5}, r"^train\.init_rate = 0\.5: give --train\.init-from, too"),
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
    for changes, message in (
        ({"train": dataclasses.replace(FULL.train, teacher="t.onnx")}, r"^train\.teacher: teaches the supernet"),
        ({"train": dataclasses.replace(FULL.train, init_from="a.npz")}, r"^train\.init_from: baselines begin"),
        ({"retrain": dataclasses.replace(retrain, init_from="a.npz")}, r"^retrain\.init_from: baselines begin"),
    ):
        with pytest.raises(UserError, match=message):
            validate(dataclasses.replace(FULL, search=none, **{"retrain": retrain} | changes))
    taught = dataclasses.replace(FULL.retrain, distillation=0.1)
    with pytest.raises(UserError, match=r"^retrain\.distillation: needs a supernet, give 0"):
        validate(dataclasses.replace(FULL, search=none, retrain=taught))
