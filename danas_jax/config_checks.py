"""What the values of a Config may be: every problem at once, each by field, value and what would be right."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any

from danas_jax.baselines import baseline_layers
from danas_jax.config import Config, Limits, TrainStage, elastic_kinds
from danas_jax.config_checks_data import learning_problems
from danas_jax.errors import UserError
from danas_jax.space import SearchSpace
from danas_jax.views.audio import AudioView
from danas_jax.views.frame import size
from danas_jax.views.image import ImageData, ImageView


def validate(config: Config) -> None:
    """Raise one UserError that lists every problem: field, value and what would be right."""
    problems: list[str] = []

    def need(ok: Callable[[Any], bool], right: str, *names: str) -> None:
        for name in names:
            value = attrgetter(name)(config)
            if not ok(value):
                problems.append(f"{name} = {value!r}: {right}")

    def both(*keys: str) -> list[str]:
        return [f"{section}.{key}" for section in ("train", "retrain") for key in keys]

    need(lambda v: v >= 1, "give 1 or more", *both("epochs", "batch_size", "calibration_images"))
    need(lambda v: v >= 1, "give 1 or more", "search.population", "search.rerank", "search.training_epochs")
    need(lambda v: v >= 1, "give 1 or more", "retrain.validate_every_epochs", "train.batch_scale")
    need(lambda v: v >= 1, "give 1 or more", "export.calibration_images", "export.verify_images")
    need(lambda v: v >= 0, "give 0 or more", "train.random_subnets", "search.generations", "search.screen", "seed")
    need(lambda v: v >= 0, "give 0 or more", "search.gradient_steps", "search.error_margin", "export.qat_epochs")
    need(lambda v: v >= 0, "give 0 or more", "search.finalists_per_budget")
    need(lambda v: v >= 2, "give 2 or more", "search.gradient_batch")
    need(lambda v: v >= 0, "give 0 or more", "data.train_images", "data.detail_px", "data.limit_per_class")
    need(lambda v: v != 1, "give 2 or more (one to train on, one to rank by), or 0 for all", "data.limit_per_class")
    need(lambda v: v >= 0, "give 0 or more", "train.checkpoint_every_s", *both("weight_decay", "mixup", "cutmix"))
    need(lambda v: v >= 0, "give 0 or more", *both("teacher_views"))
    need(lambda v: v > 0, "give a positive number", *both("teacher_temperature"))
    need(lambda v: 0 <= v <= 1, "give a share from 0 to 1", *both("teacher_weight", "init_rate"))
    need(lambda v: v > 0, "give a positive number", "export.qat_learning_rate", *both("learning_rate", "gradient_clip"))
    need(lambda v: 0 <= v < 1, "give 0 up to below 1", *both("warmup_fraction", "label_smoothing", "ema_decay"))
    need(lambda v: 0 <= v < 1, "give 0 up to below 1", *both("colour_jitter", "gain_jitter"))
    need(
        lambda v: 0 <= v <= 1,
        "give a share from 0 to 1",
        "train.label_weight",
        "retrain.distillation",
        "export.qat_distillation",
        "data.colour_cue",
        "search.mutation_rate",
    )
    need(lambda v: 0 <= v <= 1, "give a share from 0 to 1", *both("saturation_jitter", "time_shift", "noise"))
    need(lambda v: 0 < v <= 1, "give a share in (0, 1]", "search.evaluation_fraction", *both("crop_area_min"))
    need(lambda v: 50 < v <= 100, "give a percentage above 50, up to 100", "export.percentile")
    need(lambda v: 0 < v < 1, "give a share between 0 and 1", "data.search_fraction")
    need(lambda v: 0 < v < 0.5, "give a share below 0.5", "data.validation_fraction", "data.test_fraction")
    if not config.search.finalists_per_budget:
        if not config.baselines:
            problems.append("search.finalists_per_budget = 0: nothing to do without baselines, give 1 or more")
        if config.retrain.distillation:
            problems.append("retrain.distillation: needs a supernet, give 0 with search.finalists_per_budget = 0")
    if config.search.accuracy_from == "training":  # there is no supernet
        for name, value, right in (
            ("search.strategy", config.search.strategy != "gradient", "another strategy"),
            ("search.rerank_int8", not config.search.rerank_int8, "False"),
            ("retrain.inherit", not config.retrain.inherit, "False"),
            ("retrain.distillation", not config.retrain.distillation, "0"),
            ("supernet_from", not config.supernet_from, "none"),
            ("train.init_from", not config.train.init_from, "none"),
        ):
            if not value:
                problems.append(f"{name}: needs a supernet, give {right} with search.accuracy_from = 'training'")
    for section in ("train", "retrain"):
        settings = getattr(config, section)
        if settings.batch_size == 1 and (settings.mixup or settings.cutmix):
            problems.append(f"{section}.batch_size = 1: mixup and cutmix need 2 or more")
        if settings.class_weights == settings.sampling == "balanced":
            problems.append(f"{section}.class_weights = 'balanced': {section}.sampling balances already, leave one out")
    problems += _stage_problems(config.train.stages, config.space)
    problems += learning_problems(config)
    if config.data.modality != config.space.view.kind:
        problems.append(
            f"data.modality = {config.data.modality!r}: the space's view is of kind {config.space.view.kind!r}"
        )
    elif isinstance(config.space.view, AudioView) and config.data.sample_rate_hz != config.space.view.native_rate_hz:
        problems.append(
            f"data.sample_rate_hz = {config.data.sample_rate_hz}: the space's view takes sound at its native_rate_hz, "
            f"{config.space.view.native_rate_hz}"
        )
    need(lambda v: v is None or 0 <= v < 1, "give 0 up to below 1, or leave it out", "export.max_false_alarm_rate")
    if not config.budgets:
        problems.append("budgets is empty: give at least one, e.g. --limits.sram-bytes 65536")
    for i, limits in enumerate(config.budgets):
        for key in ("sram_bytes", "flash_bytes", "macs", "latency_ms", "energy_mj"):
            value = getattr(limits, key)
            if value is not None and value <= 0:
                problems.append(f"budgets[{i}].{key} = {value}: give a positive number or leave it out")
        problems += [f"budgets[{i}].{text}" for text in _camera_problems(limits, config.space)]
    known = {"error", "sram", "flash", "macs", "latency", "energy"}
    if not set(config.search.objectives) <= known or "error" not in config.search.objectives:
        problems.append(f"search.objectives = {config.search.objectives}: choose from {sorted(known)}, with error")
    names = [baseline.name for baseline in config.baselines]
    if len(set(names)) != len(names) or any(n in ("", ".", "..") or {"/", "\0"} & set(n) for n in names):
        problems.append(f"baselines: names {names} must be different, not empty and without '/'")
    for baseline in config.baselines:
        if not isinstance(baseline.data, config.space.view.config):
            wanted = ", ".join(axis.name for axis in config.space.view.axes)
            problems.append(f"baselines: {baseline.name}: data = {baseline.data}: give {wanted}, as the space has")
            continue
        try:
            config.space.view.only(baseline.data)
        except UserError as error:
            problems.append(f"baselines: {baseline.name}: data = {baseline.data}: as in a space, {error}")
            continue
        view, data = config.space.view, baseline.data
        if isinstance(view, ImageView) and isinstance(data, ImageData) and data.aspect != view.aspect:
            problems.append(
                f"baselines: {baseline.name}: data.aspect = {data.aspect!r}: pictures are decoded to the space's "
                f"aspect, give {view.aspect!r}"
            )
        try:
            baseline_layers(baseline, config.space.view, num_classes=2)
        except UserError as error:
            problems.append(f"baselines: {baseline.name}: {error}")
    if problems:
        raise UserError("\n".join(problems))


def _stage_problems(stages: tuple[TrainStage, ...], space: SearchSpace) -> list[str]:
    """What is wrong with the rows of progressive training."""
    kinds = elastic_kinds(space)
    problems = []
    before, last = set(), 0.0
    for i, stage in enumerate(stages):
        name, elastic = f"train.stages[{i}]", set(stage.elastic)
        if not last < stage.until_fraction <= 1:
            problems.append(f"{name}.until_fraction = {stage.until_fraction}: give a share in ({last}, 1]")
        if not elastic <= set(kinds) or len(elastic) != len(stage.elastic):
            problems.append(f"{name}.elastic = {stage.elastic}: choose each once from {kinds}")
        elif not before <= elastic:
            problems.append(f"{name}.elastic = {stage.elastic}: keep what was elastic before: {sorted(before)}")
        elif stage.until_fraction == 1 and elastic != set(kinds):
            problems.append(f"{name}.until_fraction = 1: end below 1, or {set(kinds) - elastic} is never trained")
        before, last = elastic, stage.until_fraction
    return problems


def _camera_problems(limits: Limits, space: SearchSpace) -> list[str]:
    """What is wrong with the input pipeline of a budget."""
    if limits.count_input_pipeline:
        if not isinstance(space.view, ImageView):
            wrong = limits.camera_px or limits.camera_grey
            return [f"camera_px = {limits.camera_px}: the view is of {space.view.kind}, leave it out"] if wrong else []
        largest_px = max(space.view.resolutions_px)
        if limits.camera_px < largest_px:  # the resize only shrinks
            return [f"camera_px = {limits.camera_px}: give at least the space's highest resolution, {largest_px}"]
        try:
            size(limits.camera_px, space.view.aspect)
        except ValueError as error:
            return [f"camera_px = {limits.camera_px}: {error}"]
    elif limits.camera_px or limits.camera_grey:
        return ["count_input_pipeline = False: set it too, or leave camera_px and camera_grey out"]
    return []
