"""Config: frozen dataclasses, one per phase. Every field is a flag: `--search.population 128`.

Units end a field's name; 1 kB = 1,024 B; fields are always bytes. config_checks.py says what values may be.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, replace
from typing import Literal

from danas_jax.classification import Metric
from danas_jax.space import SearchSpace
from danas_jax.spaces import quickstart
from danas_jax.views.base import Axis, DataConfig
from danas_jax.views.image import ImageData, ImageView

Balance = Literal["none", "balanced"]
Sampling = Literal["uniform", "balanced"]


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
    count_input_pipeline: bool = False  # what makes the input is on the board, and counts
    camera_px: int = 0  # height of the camera's frames, of the view's aspect; a flag sets 0 to the native one [px]
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

    # synthetic: made on the spot; the others read data.path, see docs/data.md
    source: Literal["synthetic", "folder", "csv", "npz", "tfds"] = "synthetic"
    modality: Literal["image", "audio", "series"] = "image"  # what an example is; series come from npz
    path: str = ""  # folder, .csv manifest, .npz or a folder of them; tfds: name, name:version or a prepared folder
    cache_dir: str = ""  # of decoded examples, for all runs; "" = in the user's cache folder, "none" = no cache
    resident: Literal["auto", "always", "never"] = "auto"  # on the device as a whole, else streamed; auto: if it fits
    data_dir: str = ""  # tfds: where sets are prepared, "" = ~/tensorflow_datasets
    split_names: tuple[str, ...] = ()  # tfds: what the set calls its splits, e.g. train=train_quality
    input_field: str = ""  # what holds an example, "" = tfds: the supervised input, csv: file, npz: x
    label_field: str = ""  # what holds its class, "" = tfds: the supervised target, csv: label, npz: y
    sample_rate_hz: int = 16000  # audio: clips of another rate are resampled to this one [Hz]
    clip_s: float = 1.0  # audio: shorter clips lie in the middle of zeros, of longer ones the middle is taken [s]
    search_fraction: float = 0.2  # share of train held out to rank subnets, by group where known
    limit_per_class: int = 0  # use at most this many training images of each class, 0 = all (for learning curves)
    unlabelled: str = ""  # folder of pictures without classes that train with soft labels (docs/unlabelled.md)
    unlabelled_share: float = 1.0  # of them in an epoch at most, the others wait for their turn; 1 = each once an epoch
    unlabelled_confidence_min: float = 0.0  # least probability of its likeliest class from which one is learned
    unlabelled_balance: bool = False  # equally many of each likeliest class: of the larger ones the surest
    multi_label: bool = False  # any number of classes an example: csv label "a;b" or "", npz y of 0 and 1 [N, classes]
    group_field: str = ""  # column (metadata.csv, csv), array or feature whose equal values stay in one derived split
    group_pattern: str = ""  # files: regular expression whose first group, found in the file's name, is the group
    slice_fields: tuple[str, ...] = ()  # columns, arrays or features whose values get figures of their own
    validation_fraction: float = 0.15  # share for validation where the folder has no splits
    test_fraction: float = 0.15  # share for test where the folder has no splits
    max_unreadable_fraction: float = 0.05  # more unreadable images than this end the run
    native_resolution_px: int = 0  # height at which pictures are decoded; 0 = the highest resolution in use [px]
    fit: Literal["stretch", "crop", "pad"] = "stretch"  # pictures of another shape: squashed, their centre, beside grey
    resize: Literal["area"] = "area"  # the deployed resize, integer arithmetic
    train_images: int = 2000  # synthetic: images in train
    validation_images: int = 400  # synthetic: images in validation
    test_images: int = 400  # synthetic: images in test
    detail_px: int = 8  # synthetic: size of the deciding detail in a 128 px scene [px]
    colour_cue: float = 0.0  # synthetic: share of the label that only colour tells, 0 to 1


def kind_of(axis: Axis) -> str:
    """What an axis is called in `TrainStage.elastic`: `kernel` for `s2.b1.kernel`, `resolution` for `resolution_px`."""
    last = axis.name.rsplit(".")[-1]
    return re.sub("_(px|hz|s|ms)$", "", last)


def elastic_kinds(space: SearchSpace) -> tuple[str, ...]:
    """The kinds of axes of a space."""
    return tuple(dict.fromkeys(map(kind_of, space.axes)))


@dataclass(frozen=True)
class TrainStage:
    """A row of progressive training: what is elastic up to a share of the steps; the other axes stay largest."""

    until_fraction: float  # share of all steps at which this row ends, the next one begins
    elastic: tuple[str, ...] = ()  # kinds of axes: resolution, colour, kernel, depth, expansion, width, ...


@dataclass(frozen=True)
class TeacherSettings:
    """A trained network in a file, whose answers are targets beside the labels (docs/teachers.md)."""

    teacher: str = ""  # .tflite, .onnx or a danas run's folder (or its export/NAME); "" = labels alone
    teacher_sha256: str = ""  # of the file, hexadecimal; found at the start
    teacher_classes: tuple[str, ...] = ()  # of its outputs, in order, "-" = none of ours; () = the file's, else ours
    teacher_range: Literal["file", "0..1", "-1..1", "0..255", "imagenet"] = "file"  # of its input; file: floats 0..1
    teacher_output: Literal["file", "logits", "probabilities"] = "file"  # what it answers; file: by what it answers
    teacher_weight: float = 0.5  # share of its answers in the targets
    teacher_temperature: float = 1.0  # of its answers: above 1 softer
    teacher_views: int = 4  # crops of each picture that it sees, in turn over the epochs; 0 = the whole picture, once

    @property
    def teacher_share(self) -> float:
        """Share of the teacher's answers in what the labels have together with it."""
        return self.teacher_weight


@dataclass(frozen=True)
class InitSettings:
    """A network whose weights a training begins with (docs/transfer.md)."""

    init_from: str = ""  # a danas run's folder (its supernet) or a .npz of weights from one; "" = fresh weights
    init_sha256: str = ""  # of the file and of its classes' names, hexadecimal; found at the start
    init_classes: tuple[str, ...] = ()  # of its classifier, in order; () = as its run says, if it lies in one
    init_rate: float = 1.0  # learning rate of the values that come over, relative to the others; 0 = they stay


@dataclass(frozen=True)
class TrainSettings(TeacherSettings, InitSettings):
    """The supernet, trained once with the sandwich rule and in-place distillation."""

    epochs: int = 10  # passes over train (without the search slice)
    batch_size: int = 64  # images per step, of all devices together
    batch_scale: int = 1  # larger steps by a rule: K times batch_size and a learning rate to match, see `scaled`
    random_subnets: int = 1  # random subnets per step beside the largest and the smallest
    optimiser: Literal["adamw", "sgd"] = "adamw"  # sgd: Nesterov momentum 0.9, takes about 10 times the learning rate
    learning_rate: float = 4e-3  # peak of the warm-up + cosine schedule
    weight_decay: float = 1e-2  # kernels only (not BN, not bias); for sgd (part of its gradient) 1e-4 is usual
    warmup_fraction: float = 0.05  # share of the steps spent warming up
    gradient_clip: float = 1.0  # global norm
    compute_dtype: Literal["float32", "bfloat16"] = "float32"  # of activations and products; the rest is float32
    label_smoothing: float = 0.1  # of the labels
    class_weights: Balance = "none"  # of the labels in the loss; balanced: images / (classes * images of the class)
    sampling: Sampling = "uniform"  # of an epoch; balanced: every class equally often, small ones repeat themselves
    distillation: Literal["soft_labels", "alpha"] = "soft_labels"  # of the smaller subnets; alpha: alpha-divergence
    label_weight: float = 0.0  # share of the labels in the smaller subnets' loss, 0 to 1; the rest is distillation
    stages: tuple[TrainStage, ...] = ()  # progressive training; after the last row everything is elastic
    full_resolution: bool = False  # each step the largest subnet also learns, and teaches, at the highest resolution
    ema_decay: float = 0.0  # of the average of the weights that is searched, 0 = the weights themselves
    crop_area_min: float = 0.35  # random resized crop: smallest area share
    colour_jitter: float = 0.2  # brightness and contrast, relative
    saturation_jitter: float = 0.0  # distance of the colours from grey, relative
    time_shift: float = 0.1  # sound and series: moved to and fro by at most this share of their length
    gain_jitter: float = 0.2  # sound and series: amplitude, relative
    noise: float = 0.0  # sound and series: white noise, at most this share of full scale (standard deviation)
    mixup: float = 0.0  # blend pairs of pictures: parameter of the Beta distribution of the shares, 0 = never
    cutmix: float = 0.0  # paste boxes of one picture into another, likewise; with both, one of them per batch
    calibration_images: int = 256  # images that set a subnet's BN statistics
    checkpoint_every_s: float = 60.0  # seconds between checkpoints (wall clock) [s]

    @property
    def scaled(self) -> TrainSettings:
        """The recipe of a step of K = `batch_scale` batches: the same images in a K-th of the steps.

        The learning rate is multiplied by sqrt(K) for adamw (Malladi et al. 2022), by K for sgd (Goyal et al. 2017),
        and the weights' average forgets the same images: its decay is raised to the power K.
        """
        factor = self.batch_scale if self.optimiser == "sgd" else math.sqrt(self.batch_scale)
        return replace(
            self,
            batch_size=self.batch_size * self.batch_scale,
            batch_scale=1,
            learning_rate=self.learning_rate * factor,
            ema_decay=self.ema_decay**self.batch_scale,
        )


@dataclass(frozen=True)
class SearchSettings:
    """The search over the trained supernet's subnets."""

    # supernet: of the weights that it shares; training: each system is trained for itself, and there is no supernet
    accuracy_from: Literal["supernet", "training"] = "supernet"
    training_epochs: int = 3  # of each system with accuracy_from training; the rest is the retraining's recipe
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
    finalists_per_budget: int = 1  # retrained and exported per budget; 0 = no search, the baselines alone
    error_margin: float = 0.0  # standard errors below the best within which the smaller arena is taken; 0 = the best
    mutation_rate: float = 0.1  # per gene
    objectives: tuple[str, ...] = ("error", "sram", "macs")  # minimised together; also flash, latency, energy
    metric: Metric = "accuracy"  # that is searched for and picks the retrained epoch; error = 1 - metric

    @property
    def without_supernet(self) -> str:
        """Why the run needs no supernet; "" where it does."""
        if not self.finalists_per_budget:
            return "no finalists are wanted"
        return "the search trains each system for itself" if self.accuracy_from == "training" else ""


@dataclass(frozen=True)
class RetrainSettings(TeacherSettings, InitSettings):
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
    class_weights: Balance = "none"  # of the labels in the loss; balanced: images / (classes * images of the class)
    sampling: Sampling = "uniform"  # of an epoch; balanced: every class equally often, small ones repeat themselves
    crop_area_min: float = 0.35  # random resized crop: smallest area share
    colour_jitter: float = 0.2  # brightness and contrast, relative
    saturation_jitter: float = 0.0  # distance of the colours from grey, relative
    time_shift: float = 0.1  # sound and series: moved to and fro by at most this share of their length
    gain_jitter: float = 0.2  # sound and series: amplitude, relative
    noise: float = 0.0  # sound and series: white noise, at most this share of full scale (standard deviation)
    mixup: float = 0.0  # blend pairs of pictures, parameter of the Beta distribution of the shares, 0 = never
    cutmix: float = 0.0  # paste boxes of one picture into another, likewise; with both, one of them per batch
    distillation: float = 0.0  # share of the supernet's largest subnet's answers in the targets; the rest is the labels
    inherit: bool = True  # without init_from: start subnets from the supernet's weights (baselines always afresh)
    ema_decay: float = 0.998  # of the weights that are validated and exported
    calibration_images: int = 1024  # images that set the final BN statistics
    validate_every_epochs: int = 1  # early choice: the best epoch on validation is exported

    @property
    def teacher_share(self) -> float:
        """As in `TeacherSettings`: what is not the supernet's answers."""
        return self.teacher_weight / (1 - self.distillation) if self.distillation < 1 else 0.0


@dataclass(frozen=True)
class ExportSettings:
    """int8 files and their proof."""

    calibration_images: int = 256  # training images that set the activation ranges
    calibration: Literal["minmax", "percentile", "mse", "best"] = "best"  # how; best: whichever validates best in int8
    percentile: float = 99.99  # of a tensor's values that a range by percentile keeps at either end [%]
    qat_epochs: int = 0  # quantisation-aware fine-tuning, exported where it validates better; 0 = none
    qat_learning_rate: float = 2e-4  # its peak; the rest is the retraining's recipe
    qat_distillation: float = 1.0  # share of the float network's own answers in its targets; the rest is the labels
    verify_images: int = 32  # images on which TFLM and the integer simulation must agree bit for bit
    max_false_alarm_rate: float | None = None  # two classes: of the negatives called positive; None = higher logit wins
    positive_class: str = ""  # the class that is to be detected, "" = the second one


@dataclass(frozen=True)
class Baseline:
    """A fixed network trained, exported and tested like a finalist."""

    name: str  # folder name under retrain/ and export/
    network: str = "mobilenet_v1"  # a name in danas_jax/networks.py
    data: DataConfig = field(default_factory=lambda: ImageData(96, "rgb"))  # of the view's kind
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
    """Height at which pictures are decoded: the highest in use, or what the data settings ask; 0 for others [px]."""
    if not isinstance(config.space.view, ImageView):
        return 0
    fixed = (baseline.data.resolution_px for baseline in config.baselines if isinstance(baseline.data, ImageData))
    return max(*config.space.view.resolutions_px, *fixed, config.data.native_resolution_px)


def native_frame(config: Config) -> tuple[int, int]:
    """(height, width) at which pictures are decoded [px], (0, 0) for others; UserError where the width is not whole."""
    height_px, view = native_resolution_px(config), config.space.view
    return view.size("data.native_resolution_px", height_px) if isinstance(view, ImageView) else (0, 0)
