"""Config: frozen dataclasses, one per phase. Every field is a flag: `--search.population 128`.

Units end a field's name; 1 kB = 1,024 B; fields are always bytes. `validate` reports all problems at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, Literal

from danas_jax.classification import Metric
from danas_jax.errors import UserError
from danas_jax.space import SearchSpace
from danas_jax.spaces import quickstart


@dataclass(frozen=True)
class Board:
    """One microcontroller board; sizes in bytes (1 kB = 1,024 B), the sources say where the figures are from."""

    name: str  # small letters, digits, - and _
    title: str
    core: str  # "cortex-m7", "cortex-m4f", "cortex-m0plus", "xtensa-lx7"
    clock_hz: int
    sram_bytes: int
    flash_bytes: int
    source: str
    reserved_sram_bytes: int = 4096  # kept for stack and application
    active_power_mw: float | None = None  # while it computes; None = unknown [mW]
    active_power_source: str = ""


@dataclass(frozen=True)
class Limits:
    """One budget: hard limits that every returned candidate keeps. None means no limit.

    A counted input pipeline (hardware/input_pipeline.py) is part of what `sram_bytes`, `latency_ms` and `energy_mj`
    bind.
    """

    sram_bytes: int | None = None  # tensor arena (both the 32-bit board's and the measured host's) [B]
    flash_bytes: int | None = None  # .tflite file plus runtime code [B]
    macs: int | None = None  # multiply-accumulates of one inference
    latency_ms: float | None = None  # one inference on `board` [ms]
    energy_mj: float | None = None  # of one inference on `board`, whose active power must be known [mJ]
    board: str = ""  # board of these limits and of the latency; "" = the published TFLM line at 480 MHz
    count_input_pipeline: bool = False  # the camera's frame and its resize live on the board, and are counted
    camera_px: int = 0  # side of the camera's square frames; a flag sets 0 to the pictures' native resolution [px]
    camera_grey: bool = False  # for a mono network the camera itself delivers grey, 1 byte a pixel; else always 3


@dataclass(frozen=True)
class LatencyTable:
    """A latency table (docs/lut.md): its board's budgets go by it. A config file gives the path only."""

    path: str  # absolute from the start of a run
    board: str = ""  # that the file says it is of; found at the start
    sha256: str = ""  # of the file, hexadecimal; found at the start


@dataclass(frozen=True)
class DataSettings:
    """Where the pictures come from."""

    source: Literal["synthetic", "folder"] = "synthetic"  # synthetic: made on the spot; folder: data.path
    path: str = ""  # folder source: <split>/<class>/*.jpg|png, or <class>/* (then split here)
    search_fraction: float = 0.2  # share of train held out to rank subnets, by group where known
    limit_per_class: int = 0  # use at most this many training images of each class, 0 = all (for learning curves)
    group_field: str = ""  # column of metadata.csv whose rows stay together in every derived split
    slice_fields: tuple[str, ...] = ()  # columns of metadata.csv whose values get figures of their own
    validation_fraction: float = 0.15  # share for validation where the folder has no splits
    test_fraction: float = 0.15  # share for test where the folder has no splits
    max_unreadable_fraction: float = 0.05  # more unreadable images than this end the run
    native_resolution_px: int = 0  # side at which pictures are decoded; 0 = the highest resolution in use [px]
    resize: Literal["area"] = "area"  # the deployed resize, integer arithmetic
    train_images: int = 2000  # synthetic: images in train
    validation_images: int = 400  # synthetic: images in validation
    test_images: int = 400  # synthetic: images in test
    detail_px: int = 8  # synthetic: size of the deciding detail in a 128 px scene [px]
    colour_cue: float = 0.0  # synthetic: share of the label that only colour tells, 0 to 1


ELASTIC = ("resolution", "colour", "kernel", "depth", "expansion", "width")  # the kinds of axes of a space


@dataclass(frozen=True)
class TrainStage:
    """A row of progressive training: what is elastic up to a share of the steps; the other axes stay largest."""

    until_fraction: float  # share of all steps at which this row ends, the next one begins
    elastic: tuple[str, ...] = ()  # out of ELASTIC


@dataclass(frozen=True)
class TrainSettings:
    """The supernet, trained once with the sandwich rule and in-place distillation."""

    epochs: int = 10  # passes over train (without the search slice)
    batch_size: int = 64  # images per step
    random_subnets: int = 1  # random subnets per step beside the largest and the smallest
    optimiser: Literal["adamw", "sgd"] = "adamw"  # sgd: Nesterov momentum 0.9, takes about 10 times the learning rate
    learning_rate: float = 4e-3  # peak of the warm-up + cosine schedule
    weight_decay: float = 1e-2  # kernels only (not BN, not bias); for sgd (part of its gradient) 1e-4 is usual
    warmup_fraction: float = 0.05  # share of the steps spent warming up
    gradient_clip: float = 1.0  # global norm
    compute_dtype: Literal["float32", "bfloat16"] = "float32"  # of activations and products; the rest is float32
    label_smoothing: float = 0.1  # of the labels
    distillation: Literal["soft_labels", "alpha"] = "soft_labels"  # of the smaller subnets; alpha: alpha-divergence
    label_weight: float = 0.0  # share of the labels in the smaller subnets' loss, 0 to 1; the rest is distillation
    stages: tuple[TrainStage, ...] = ()  # progressive training; after the last row everything is elastic
    full_resolution: bool = False  # each step the largest subnet also learns, and teaches, at the highest resolution
    ema_decay: float = 0.0  # of the average of the weights that is searched, 0 = the weights themselves
    crop_area_min: float = 0.35  # random resized crop: smallest area share
    colour_jitter: float = 0.2  # brightness and contrast, relative
    saturation_jitter: float = 0.0  # distance of the colours from grey, relative
    mixup: float = 0.0  # blend pairs of pictures: parameter of the Beta distribution of the shares, 0 = never
    cutmix: float = 0.0  # paste boxes of one picture into another, likewise; with both, one of them per batch
    calibration_images: int = 256  # images that set a subnet's BN statistics
    checkpoint_every_s: float = 60.0  # seconds between checkpoints (wall clock) [s]


@dataclass(frozen=True)
class SearchSettings:
    """The search over the trained supernet's subnets."""

    # evolution: NSGA-II; gradient: by the supernet's gradient; exhaustive: every system of a small space
    strategy: Literal["evolution", "gradient", "random", "exhaustive"] = "evolution"
    population: int = 32  # candidates kept per generation and budget
    generations: int = 6  # rounds of exact evaluation after the first population
    screen: int = 2000  # candidates a generation that a predictor narrows to `population` (not for random); 0 = none
    gradient_steps: int = 20  # gradient: steps through the supernet before every generation, for each budget
    gradient_batch: int = 64  # gradient: images of a step; each passes forward and backward at two resolutions
    evaluation_fraction: float = 0.5  # share of the search slice that ranks during evolution
    rerank: int = 6  # best candidates per budget evaluated on the whole search slice
    rerank_int8: bool = True  # and with simulated int8, which then decides about the finalists
    finalists_per_budget: int = 1  # retrained and exported per budget
    mutation_rate: float = 0.1  # per gene
    objectives: tuple[str, ...] = ("error", "sram", "macs")  # minimised together; also flash, latency, energy
    metric: Metric = "accuracy"  # that is searched for and picks the retrained epoch; error = 1 - metric


@dataclass(frozen=True)
class RetrainSettings:
    """Retraining of the finalists and, by the same recipe, of the baselines."""

    epochs: int = 10  # passes over train and search slice
    batch_size: int = 64  # images per step
    optimiser: Literal["adamw", "sgd"] = "adamw"  # sgd: Nesterov momentum 0.9
    learning_rate: float = 2e-3  # peak of the warm-up + cosine schedule
    weight_decay: float = 1e-2  # kernels only (not BN, not bias)
    warmup_fraction: float = 0.05  # share of the steps spent warming up
    gradient_clip: float = 1.0  # global norm
    compute_dtype: Literal["float32", "bfloat16"] = "float32"  # of activations and products; the rest is float32
    label_smoothing: float = 0.1  # of the labels
    crop_area_min: float = 0.35  # random resized crop: smallest area share
    colour_jitter: float = 0.2  # brightness and contrast, relative
    saturation_jitter: float = 0.0  # distance of the colours from grey, relative
    mixup: float = 0.0  # blend pairs of pictures, parameter of the Beta distribution of the shares, 0 = never
    cutmix: float = 0.0  # paste boxes of one picture into another, likewise; with both, one of them per batch
    distillation: float = 0.0  # share of the supernet's largest subnet's answers in the targets; the rest is the labels
    inherit: bool = True  # start subnets from the supernet's weights (baselines always start afresh)
    ema_decay: float = 0.998  # of the weights that are validated and exported
    calibration_images: int = 1024  # images that set the final BN statistics
    validate_every_epochs: int = 1  # early choice: the best epoch on validation is exported


@dataclass(frozen=True)
class ExportSettings:
    """int8 files and their proof."""

    calibration_images: int = 256  # training images that set the activation ranges
    calibration: Literal["minmax", "percentile", "mse", "best"] = "best"  # how; best: whichever validates best in int8
    percentile: float = 99.99  # of a tensor's values that a range by percentile keeps at either end [%]
    qat_epochs: int = 0  # quantisation-aware fine-tuning, exported where it validates better; 0 = none
    qat_learning_rate: float = 2e-4  # its peak; the rest is the retraining's recipe
    verify_images: int = 32  # images on which TFLM and the integer simulation must agree bit for bit
    max_false_alarm_rate: float | None = None  # two classes: of the negatives called positive; None = higher logit wins
    positive_class: str = ""  # the class that is to be detected, "" = the second one


@dataclass(frozen=True)
class Baseline:
    """A fixed network trained, exported and tested like a finalist."""

    name: str  # folder name under retrain/ and export/
    network: Literal["mobilenet_v1", "ds_cnn"] = "mobilenet_v1"  # see danas_jax/baselines.py
    resolution_px: int = 96  # input size [px]
    colour: Literal["mono", "rgb"] = "rgb"  # input colour
    width_multiplier: float = 0.25  # of the published channel widths


@dataclass(frozen=True)
class Config:
    """Everything a run depends on."""

    name: str  # the run directory defaults to runs/<name>
    seed: int = 0  # of data synthesis, splits, initialisation, sampling and search
    run_dir: str = ""  # where the run lives; "" = runs/<name>
    supernet_from: str = ""  # folder of a run whose trained supernet is searched here; "" = train one
    data: DataSettings = field(default_factory=DataSettings)
    space: SearchSpace = field(default_factory=quickstart)
    train: TrainSettings = field(default_factory=TrainSettings)
    search: SearchSettings = field(default_factory=SearchSettings)
    retrain: RetrainSettings = field(default_factory=RetrainSettings)
    export: ExportSettings = field(default_factory=ExportSettings)
    budgets: tuple[Limits, ...] = (Limits(sram_bytes=64 * 1024, flash_bytes=512 * 1024),)
    boards: tuple[Board, ...] = ()  # boards of the budgets that are the user's own, as they were at the start
    latency_tables: tuple[LatencyTable, ...] = ()  # in place of the published lines, one per board of the budgets
    baselines: tuple[Baseline, ...] = ()


def native_resolution_px(config: Config) -> int:
    """Side at which pictures are decoded: the highest in use, or what the data settings ask for [px]."""
    used = *config.space.resolutions_px, *(baseline.resolution_px for baseline in config.baselines)
    return max(*used, config.data.native_resolution_px)


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
    need(lambda v: v >= 1, "give 1 or more", "search.population", "search.rerank")
    need(lambda v: v >= 1, "give 1 or more", "search.finalists_per_budget", "retrain.validate_every_epochs")
    need(lambda v: v >= 1, "give 1 or more", "export.calibration_images", "export.verify_images")
    need(lambda v: v >= 0, "give 0 or more", "train.random_subnets", "search.generations", "search.screen", "seed")
    need(lambda v: v >= 0, "give 0 or more", "search.gradient_steps", "export.qat_epochs")
    need(lambda v: v >= 2, "give 2 or more", "search.gradient_batch")
    need(lambda v: v >= 0, "give 0 or more", "data.train_images", "data.detail_px", "data.limit_per_class")
    need(lambda v: v >= 0, "give 0 or more", "train.checkpoint_every_s", *both("weight_decay", "mixup", "cutmix"))
    need(lambda v: v > 0, "give a positive number", "export.qat_learning_rate", *both("learning_rate", "gradient_clip"))
    need(lambda v: 0 <= v < 1, "give 0 up to below 1", *both("warmup_fraction", "label_smoothing", "ema_decay"))
    need(lambda v: 0 <= v < 1, "give 0 up to below 1", *both("colour_jitter"))
    need(
        lambda v: 0 <= v <= 1,
        "give a share from 0 to 1",
        "train.label_weight",
        "retrain.distillation",
        "data.colour_cue",
        "search.mutation_rate",
    )
    need(lambda v: 0 <= v <= 1, "give a share from 0 to 1", *both("saturation_jitter"))
    need(lambda v: 0 < v <= 1, "give a share in (0, 1]", "search.evaluation_fraction", *both("crop_area_min"))
    need(lambda v: 50 < v <= 100, "give a percentage above 50, up to 100", "export.percentile")
    need(lambda v: 0 < v < 1, "give a share between 0 and 1", "data.search_fraction")
    need(lambda v: 0 < v < 0.5, "give a share below 0.5", "data.validation_fraction", "data.test_fraction")
    for section in ("train", "retrain"):
        settings = getattr(config, section)
        if settings.batch_size == 1 and (settings.mixup or settings.cutmix):
            problems.append(f"{section}.batch_size = 1: mixup and cutmix need 2 or more")
    problems += _stage_problems(config.train.stages)
    if config.data.source == "folder":
        need(bool, "name the folder of pictures: --data.path DIR", "data.path")
    else:
        need(lambda v: not v, "synthetic scenes have no metadata.csv, leave it out", "data.slice_fields")
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
    if len(set(names)) != len(names) or any(not n or "/" in n for n in names):
        problems.append(f"baselines: names {names} must be different, not empty and without '/'")
    if problems:
        raise UserError("\n".join(problems))


def _stage_problems(stages: tuple[TrainStage, ...]) -> list[str]:
    """What is wrong with the rows of progressive training."""
    problems = []
    before, last = set(), 0.0
    for i, stage in enumerate(stages):
        name, elastic = f"train.stages[{i}]", set(stage.elastic)
        if not last < stage.until_fraction <= 1:
            problems.append(f"{name}.until_fraction = {stage.until_fraction}: give a share in ({last}, 1]")
        if not elastic <= set(ELASTIC) or len(elastic) != len(stage.elastic):
            problems.append(f"{name}.elastic = {stage.elastic}: choose each once from {ELASTIC}")
        elif not before <= elastic:
            problems.append(f"{name}.elastic = {stage.elastic}: keep what was elastic before: {sorted(before)}")
        elif stage.until_fraction == 1 and elastic != set(ELASTIC):
            problems.append(f"{name}.until_fraction = 1: end below 1, or {set(ELASTIC) - elastic} is never trained")
        before, last = elastic, stage.until_fraction
    return problems


def _camera_problems(limits: Limits, space: SearchSpace) -> list[str]:
    """What is wrong with the input pipeline of a budget."""
    if limits.count_input_pipeline:
        largest_px = max(space.resolutions_px)
        if limits.camera_px < largest_px:  # the resize only shrinks
            return [f"camera_px = {limits.camera_px}: give at least the space's highest resolution, {largest_px}"]
    elif limits.camera_px or limits.camera_grey:
        return ["count_input_pipeline = False: set it too, or leave camera_px and camera_grey out"]
    return []
