"""What a Config may say of its examples, and of who teaches besides their labels; the rest is in config_checks.py."""

from __future__ import annotations

import dataclasses
import re
from operator import attrgetter
from typing import Any

from danas_jax.config import Config, DataSettings, InitSettings, TeacherSettings
from danas_jax.errors import UserError
from danas_jax.views.image import ImageView


def learning_problems(config: Config) -> list[str]:
    """What is wrong with examples, labels, teachers and the weights to begin with."""
    problems = _teacher_problems(config) + _init_problems(config) + _unlabelled_problems(config)
    return problems + _data_problems(config.data) + _task_problems(config) + _native_problems(config)


def _native_problems(config: Config) -> list[str]:
    """What is wrong with the frame that pictures are decoded to; the resolutions of a space are checked by its view."""
    view, height_px = config.space.view, config.data.native_resolution_px
    try:
        if isinstance(view, ImageView) and height_px > max(view.resolutions_px):
            view.size("data.native_resolution_px", height_px)
    except UserError as error:
        return [str(error)]
    return []


def _task_problems(config: Config) -> list[str]:
    """What makes no sense for examples of one class, or of any number of them."""
    metric = config.search.metric
    if not config.data.multi_label:
        wrong = metric == "average_precision"
        return [f"search.metric = {metric!r}: only with data.multi_label; give accuracy, f1, auc"] if wrong else []
    problems = []
    if metric == "balanced_accuracy":
        problems.append(f"search.metric = {metric!r}: with data.multi_label give accuracy, f1, auc, average_precision")
    plain = {
        **{f"{section}.class_weights": "none" for section in ("train", "retrain")},
        **{f"{section}.sampling": "uniform" for section in ("train", "retrain")},
        "export.max_false_alarm_rate": None,
        "export.positive_class": "",
        "data.limit_per_class": 0,
    }
    for name, off in plain.items():
        if (value := attrgetter(name)(config)) != off:
            problems.append(f"{name} = {value!r}: not with data.multi_label, leave it out")
    return problems


_ONLY_OF = {  # sources that a field is for
    "path": ("folder", "csv", "npz", "tfds"),
    "slice_fields": ("folder", "csv", "npz", "tfds"),
    "group_field": ("folder", "csv", "npz", "tfds"),
    "group_pattern": ("folder", "csv"),
    "input_field": ("csv", "npz", "tfds"),
    "label_field": ("csv", "npz", "tfds"),
    "multi_label": ("csv", "npz"),
    "data_dir": ("tfds",),
    "split_names": ("tfds",),
}
_MODALITIES = {"synthetic": ("image",), "npz": ("image", "audio", "series")}  # the others: image, audio


def check_data(data: DataSettings) -> None:
    """Raise one UserError that lists every problem of a source's settings."""
    if problems := _data_problems(data):
        raise UserError("\n".join(problems))


def _data_problems(data: DataSettings) -> list[str]:
    """What is wrong with the settings of a source."""
    problems = [
        f"data.{name} = {getattr(data, name)!r}: source {data.source} does not use it, leave it out or give another"
        for name, sources in _ONLY_OF.items()
        if getattr(data, name) and data.source not in sources
    ]
    if data.source != "synthetic" and not data.path:
        problems.append(f"data.path = '': name what source {data.source} reads: --data.path PATH")
    if data.modality not in (right := _MODALITIES.get(data.source, ("image", "audio"))):
        problems.append(f"data.modality = {data.modality!r}: source {data.source} has {' or '.join(right)}")
    if data.modality != "image" and data.fit != "stretch":
        problems.append(f"data.fit = {data.fit!r}: modality {data.modality} has no pictures, leave it out")
    if data.sample_rate_hz < 1:
        problems.append(f"data.sample_rate_hz = {data.sample_rate_hz}: give 1 or more")
    elif data.clip_s * data.sample_rate_hz < 1:
        problems.append(f"data.clip_s = {data.clip_s}: give a positive number of seconds")
    if data.group_field and data.group_pattern:
        problems.append(f"data.group_pattern = {data.group_pattern!r}: leave it out, or data.group_field")
    try:
        if data.group_pattern and not re.compile(data.group_pattern).groups:
            problems.append(f"data.group_pattern = {data.group_pattern!r}: put what is the group into ( )")
    except re.error as error:
        problems.append(f"data.group_pattern = {data.group_pattern!r}: no regular expression ({error})")
    names = [entry.partition("=")[0] for entry in data.split_names]
    if len(set(names)) != len(names) or any(
        name not in ("train", "validation", "test") or not entry.partition("=")[2]
        for name, entry in zip(names, data.split_names, strict=True)
    ):
        problems.append(
            f"data.split_names = {data.split_names}: give each of train, validation and test at most once, "
            "as train=train_quality"
        )
    return problems


def _teacher_problems(config: Config) -> list[str]:
    """What makes no sense with a teacher, or without one."""
    problems = []
    for section in ("train", "retrain"):
        settings = getattr(config, section)
        if not settings.teacher:
            problems += _needless(settings, TeacherSettings(), section, "teacher")
            continue
        if section == "train" and (config.search.accuracy_from == "training" or not config.search.finalists_per_budget):
            problems.append("train.teacher: teaches the supernet, which this run has none of, leave it out")
        if config.data.modality != "image" or config.data.multi_label:
            problems.append(f"{section}.teacher: knows pictures of one class each only, leave it out")
        if section == "retrain" and settings.teacher_weight + settings.distillation > 1:
            problems.append(
                f"retrain.teacher_weight = {settings.teacher_weight}: with retrain.distillation = "
                f"{settings.distillation} more than 1, the share of all targets"
            )
    return problems


def _init_problems(config: Config) -> list[str]:
    """What says something about weights to begin with where there are none."""
    problems = []
    for section in ("train", "retrain"):
        settings = getattr(config, section)
        if not settings.init_from:
            problems += _needless(settings, InitSettings(), section, "init_from")
        elif not config.search.finalists_per_budget:
            problems.append(f"{section}.init_from: baselines begin with fresh weights, leave it out without finalists")
    return problems


def _needless(settings: Any, off: TeacherSettings | InitSettings, section: str, main: str) -> list[str]:
    """What differs from `off`, of whose fields `main` is not given."""
    values = {field.name: getattr(settings, field.name) for field in dataclasses.fields(off)}
    flag = f"--{section}.{main.replace('_', '-')}"
    return [
        f"{section}.{name} = {value!r}: give {flag}, too"
        for name, value in values.items()
        if value != getattr(off, name)
    ]


def _unlabelled_problems(config: Config) -> list[str]:
    """What makes no sense with unlabelled pictures, or without them."""
    data, start = config.data, DataSettings()
    options = ("unlabelled_share", "unlabelled_confidence_min", "unlabelled_balance")
    if not data.unlabelled:
        changed = [name for name in options if getattr(data, name) != getattr(start, name)]
        return [f"data.{name} = {getattr(data, name)}: give --data.unlabelled, too" for name in changed]
    problems, where = [], f"data.unlabelled = {data.unlabelled!r}"
    if data.modality != "image" or data.multi_label:
        problems.append(f"{where}: pictures of one class each only, leave it out")
    if not 0 < data.unlabelled_share <= 1:
        problems.append(f"data.unlabelled_share = {data.unlabelled_share}: give a share in (0, 1]")
    if not 0 <= data.unlabelled_confidence_min <= 1:
        problems.append(f"data.unlabelled_confidence_min = {data.unlabelled_confidence_min}: give 0 to 1")
    supernet = not config.search.without_supernet
    if not config.retrain.teacher and not supernet:
        problems.append(f"{where}: no supernet and no teacher to say what they show: give --retrain.teacher FILE")
    if supernet and not config.train.teacher:
        for name in ("mixup", "cutmix"):  # the half of a pair that has no target would be learned as the other
            if getattr(config.train, name):
                problems.append(f"train.{name}: with data.unlabelled it needs --train.teacher FILE, or give 0")
    return problems
