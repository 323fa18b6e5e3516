"""What a bench measures: settings, and the same genes, pixels and labels for both sides (no jax)."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from danas_jax import spaces
from danas_jax.errors import UserError
from danas_jax.layers import LayerSpec
from danas_jax.space import SearchSpace

RANDOM_SUBNETS = 2  # a sandwich: the largest, the smallest and this many random subnets
STEPS = 3  # sandwich steps of one turn
FORWARDS = 20  # random subnets whose forward one turn times
FORWARD_ROUNDS = 5  # times over all of them in a turn: 20 forwards alone take a tenth of a second, too little to trust
RECALIBRATED = 4  # of these, how many are also recalibrated and evaluated in a turn
EVALUATION_BATCHES = 2  # batches that recalibrate a subnet, and as many on which it is evaluated
EVALUATION_BATCH = 64  # images in each of them, as in supernet/evaluate.py
DATA = {"space": "quickstart", "batch": 64, "resolution_px": 96}  # of `bench data` where no flag says otherwise
SANDWICHES = 15  # different ones; steps use them in turn
_DEFAULT_MULTIPLIER = 0.5  # where the space takes one


def known_spaces() -> dict[str, Callable[..., SearchSpace]]:
    """The functions of danas_jax/spaces.py by name."""
    found = inspect.getmembers(spaces, inspect.isfunction)
    return {name: make for name, make in found if make.__module__ == spaces.__name__ and not name.startswith("_")}


@dataclass(frozen=True)
class Settings:
    """What is measured. Raises UserError naming the flag when a value cannot be."""

    space: str = "ofa_proxyless"  # a function of danas_jax/spaces.py
    width_multiplier: float | None = None  # None: 0.5 where the space takes one, else 1
    batch: int = 32  # images per step and per forward
    resolution_px: int = 64  # the only resolution of the space [px]
    compute_dtype: Literal["float32", "bfloat16"] = "float32"  # of the sandwich step
    num_classes: int = 10
    seed: int = 0  # of genes, pixels and initial weights

    def __post_init__(self) -> None:
        known = known_spaces()
        if self.space not in known:
            raise UserError(f"--space = {self.space!r}: give one of {', '.join(known)}")
        takes = "width_multiplier" in inspect.signature(known[self.space]).parameters
        if self.width_multiplier is None:
            object.__setattr__(self, "width_multiplier", _DEFAULT_MULTIPLIER if takes else 1.0)
        width = self.width_multiplier
        if width is None or not 0 < width < float("inf"):
            raise UserError(f"--width-multiplier = {width}: give a positive number")
        if width != 1 and not takes:
            raise UserError(f"--width-multiplier = {width:g}: the space {self.space} has fixed widths, leave it out")
        if self.batch < 1:
            raise UserError(f"--batch = {self.batch}: give 1 or more images")
        try:
            _ = self.search_space
        except UserError as error:
            raise UserError(
                f"--resolution-px = {self.resolution_px}, --width-multiplier = {width:g}: {error}"
            ) from error

    @cached_property
    def search_space(self) -> SearchSpace:
        """The space at one resolution and in colour only, as the baseline has it."""
        return self._make(resolutions_px=(self.resolution_px,), colours=("rgb",))

    @property
    def whole_space(self) -> SearchSpace:
        """The space at all its resolutions and colours."""
        return self._make()

    def _make(self, **data_axes) -> SearchSpace:
        make = known_spaces()[self.space]
        takes = "width_multiplier" in inspect.signature(make).parameters
        options = {"width_multiplier": self.width_multiplier} if takes else {}
        return make(**data_axes, **options)

    @classmethod
    def from_json(cls, text: str) -> Settings:
        """The inverse of `to_json`."""
        return cls(**json.loads(text))

    def to_json(self) -> str:
        """As one line."""
        return json.dumps(asdict(self))


@dataclass(frozen=True, eq=False)
class Work:
    """Everything that both sides of a comparison are given; a pure function of the settings."""

    subnets: np.ndarray  # genes int64 [FORWARDS, G] to evaluate
    images: np.ndarray  # float32 [B, R, R, 3] in 0..255
    labels: np.ndarray  # int32 [B]
    calibration: np.ndarray  # uint8 [N, R, R, 3]
    search: np.ndarray  # uint8 [N, R, R, 3]
    search_labels: np.ndarray  # int32 [N]


def make_work(settings: Settings) -> Work:
    """Subnets drawn by SearchSpace.sample and noise for pictures, from the settings' seed."""
    space, px = settings.search_space, settings.resolution_px
    rng = np.random.default_rng([settings.seed, 1])
    count = EVALUATION_BATCHES * EVALUATION_BATCH

    def noise(images: int) -> np.ndarray:
        return rng.integers(0, 256, (images, px, px, 3), dtype=np.uint8)

    def classes(images: int) -> np.ndarray:
        return rng.integers(0, settings.num_classes, images).astype(np.int32)

    return Work(
        space.sample(rng, FORWARDS),
        noise(settings.batch).astype(np.float32),
        classes(settings.batch),
        noise(count),
        noise(count),
        classes(count),
    )


def write_work(path: Path, settings: Settings, sandwiches: list, recipe: dict) -> None:
    """The work as one .npz for a baseline without danas_jax: the arrays, and as JSON the networks and the counts.

    `sandwiches`: genes [K, 2 + RANDOM_SUBNETS, G] of the steps; `recipe`: the training settings to share.
    """
    work, space = make_work(settings), settings.search_space

    def layers(genes: np.ndarray | list[int]) -> list[dict]:
        return [asdict(layer) for layer in space.layers(np.asarray(genes), settings.num_classes)]

    plan = {
        "layers": layers(space.max_genes),
        "sandwiches": [[layers(genes) for genes in sandwich] for sandwich in sandwiches],
        "subnets": [layers(genes) for genes in work.subnets],
        "num_classes": settings.num_classes,
        "steps": STEPS,
        "forward_rounds": FORWARD_ROUNDS,
        "recalibrated": RECALIBRATED,
        "evaluation_batch": EVALUATION_BATCH,
        "recipe": recipe,
    }
    names = ("images", "labels", "calibration", "search", "search_labels")
    with path.open("wb") as file:
        np.savez(file, plan=np.array(json.dumps(plan)), **{name: getattr(work, name) for name in names})


def largest_layers(settings: Settings) -> tuple[LayerSpec, ...]:
    """The largest network of the space."""
    return settings.search_space.layers(settings.search_space.max_genes, settings.num_classes)
