"""The rows of a comparison: which runs answer "does choosing the data pay?", at equal effort and equal limits."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, replace

import numpy as np

from danas_jax.baselines import baseline_layers, references
from danas_jax.config import (
    Baseline,
    Config,
    InitSettings,
    Limits,
    TeacherSettings,
    TrainSettings,
    native_resolution_px,
)
from danas_jax.errors import UserError
from danas_jax.evidence import JOINT, NO_SUPERNET, RANDOM, REFERENCES
from danas_jax.hardware import cost, lut
from danas_jax.space import Bounds, SearchSpace
from danas_jax.supernet.plan import Plan
from danas_jax.views.base import DataConfig, NetworkInput, View
from danas_jax.views.frame import terms
from danas_jax.views.image import ImageData, ImageView

FIXED_RESOLUTIONS_PX, FIXED_COLOURS = (48, 64, 96, 128, 160), ("rgb", "mono")
_STEPS_COUNTED = 200  # of a training, which stand for all of them
_EPOCHS = (0.5, 2.0)  # of the joint training's, at least and at most


@dataclass(frozen=True)
class Row:
    """One run of the comparison; a budget that nothing of it fits is left out of its config."""

    name: str  # what is compared, e.g. "data-aware" or "96 px rgb"
    config: Config
    left_out: tuple[tuple[Limits, str], ...] = ()  # budgets, and what the smallest system needs more
    share: float = 1.0  # of the search time of the others

    @property
    def key(self) -> str:
        """Its name as a file name, with its share and seed."""
        return re.sub(r"[^A-Za-z0-9.]+", "_", f"{self.name} {self.share:g} seed {self.config.seed}")


def costliest(view: View, **values: float | str) -> DataConfig:
    """The last value of every axis but of those given."""
    return view.data(**({axis.name: axis.values[-1] for axis in view.axes} | values))


def data_from_text(view: View, text: str) -> DataConfig:
    """`rate_hz=50,sensors=acc`: every axis that is left out is at its costliest. UserError for another axis."""
    given = dict(entry.partition("=")[::2] for entry in text.split(","))
    kinds = {axis.name: type(axis.values[0]) for axis in view.axes}
    if unknown := sorted(set(given) - set(kinds)):
        raise UserError(f"--fixed {text}: no axis {unknown[0]!r}, give {', '.join(kinds)}")
    try:
        found = costliest(view, **{name: kinds[name](value) for name, value in given.items()})
        view.only(found)
    except (ValueError, UserError) as error:
        raise UserError(f"--fixed {text}: {error}") from error
    return found


def usual_fixed(view: View, native_px: int) -> list[DataConfig]:
    """What one fixes without a search: of pictures the common resolutions in colour and grey, else the costliest.

    No picture is shown higher than `native_px`, as which it was decoded, nor in a size that a view cannot have.
    """
    if not isinstance(view, ImageView):
        return [costliest(view)]
    heights = dict.fromkeys(usual_height_px(view, px) for px in FIXED_RESOLUTIONS_PX)
    held = [px for px in heights if px <= native_px]
    pictures = [costliest(view, resolution_px=px, colour=colour) for px in held for colour in FIXED_COLOURS]
    return [data for data in pictures if _possible(view, data)]


def usual_height_px(view: ImageView, resolution_px: int) -> int:
    """A common resolution as a height of the view's aspect: the next one below whose width is a whole number [px]."""
    step = terms(view.aspect)[1]
    return resolution_px // step * step


def _possible(view: View, data: DataConfig) -> bool:
    try:
        view.only(data)
    except UserError:
        return False
    return True


def fitting_references(config: Config, num_classes: int) -> tuple[Baseline, ...]:
    """Published networks that fit one of the budgets at their usual input, which the decoded pictures must hold.

    Those that the config has already are left out.
    """
    known = {baseline.name for baseline in config.baselines}
    found = []
    for baseline in references(config.space.view):
        if isinstance(baseline.data, ImageData) and baseline.data.resolution_px > native_resolution_px(config):
            continue
        layers = baseline_layers(baseline, config.space.view, num_classes)
        figures = cost.cost(layers, source=NetworkInput(config.space.view, baseline.data))
        fits = any(cost.fits(as_arrays(figures), limits)[0] for limits in config.budgets)
        if baseline.name not in known and fits:
            found.append(baseline)
    return tuple(found)


def as_arrays(costs: dict[str, float]) -> dict[str, np.ndarray]:
    """One network's costs as arrays [1]; what is not known (latency without a board) is NaN, which keeps no limit."""
    known = {"input_width_px": costs.get("input_px"), **costs}  # a row that was kept before aspects is of squares
    return {key: np.array([np.nan if known.get(key) is None else known[key]], float) for key in cost.COST_KEYS}


def training_macs(space: SearchSpace, config: Config, bounds: Bounds, images: int, num_classes: int) -> float:
    """Multiply-accumulates of the supernet's training, forward passes alone, estimated from some of its steps."""
    plan = Plan(space, config.train.scaled, bounds, images, config.seed)
    steps = np.linspace(0, plan.steps - 1, min(plan.steps, _STEPS_COUNTED)).astype(int)
    genes = np.array([passed.genes for step in steps for passed in plan.passes(int(step))])
    macs = cost.space_costs(space, genes, num_classes)["macs"].sum() / len(steps)
    return float(macs * plan.steps * plan.settings.batch_size)


@dataclass(frozen=True)
class Planner:
    """Makes the rows of one comparison from its config; `images` are those that a supernet trains on."""

    config: Config
    images: int
    num_classes: int
    tables: lut.Tables

    def joint(self) -> Row:
        """The search over data and architecture."""
        return Row(JOINT, replace(self.config, baselines=()))

    def references(self) -> Row:
        """The baselines of the config alone, by the same recipe."""
        search = replace(self.config.search, finalists_per_budget=0)
        retrain = replace(self.config.retrain, distillation=0.0, **asdict(InitSettings()))
        return Row(REFERENCES, replace(self.config, search=search, train=self._no_supernets(), retrain=retrain))

    def random(self, joint_folder: str) -> Row:
        """Random systems of the same supernet, as many as the joint search measures."""
        search = replace(self.config.search, strategy="random")
        return Row(RANDOM, replace(self.config, search=search, supernet_from=joint_folder, baselines=()))

    def fixed(self, data: DataConfig) -> Row:
        """The same search with nothing to choose but the architecture, for as many training MACs as the joint one.

        So its epochs are the joint's by the ratio of their MACs an epoch; at least half as many and at most twice.
        """
        config = self.config
        space = replace(config.space, view=config.space.view.only(data))
        needs = [cost.smallest_need(space, self.num_classes, limits, self.tables) for limits in config.budgets]
        left_out = tuple((limits, need) for limits, need in zip(config.budgets, needs, strict=True) if need)
        budgets = tuple(limits for limits, need in zip(config.budgets, needs, strict=True) if not need)
        epochs = config.train.epochs
        if budgets:
            low, high = (max(1, round(share * epochs)) for share in _EPOCHS)
            ratio = self._macs(config.space, config.budgets) / self._macs(space, budgets)
            epochs = int(np.clip(round(epochs * ratio), low, high))
        train = replace(config.train, epochs=epochs)
        return Row(data.text, replace(config, space=space, budgets=budgets, baselines=(), train=train), left_out)

    def no_supernet(self) -> Row:
        """Evolution over systems that are each trained briefly, as many as the joint training's MACs pay for."""
        config, settings = self.config, self.config.search
        rng = np.random.default_rng([config.seed, 10])
        lower, upper, _ = cost.prune(config.space, config.budgets, self.num_classes, self.tables)
        genes = config.space.canonical(rng.integers(lower, upper + 1, (1000, len(lower))))
        one = cost.space_costs(config.space, genes, self.num_classes)["macs"].mean()
        count = self._macs(config.space, config.budgets) / (one * self.images * settings.training_epochs)
        population = max(4, round(count**0.5))
        search = replace(
            settings,
            accuracy_from="training",
            strategy="evolution",
            population=population,
            generations=max(1, round(count / population) - 1),
            screen=0,
            rerank_int8=False,
        )
        retrain = replace(config.retrain, inherit=False, distillation=0.0)
        return Row(
            NO_SUPERNET, replace(config, search=search, train=self._no_supernets(), retrain=retrain, baselines=())
        )

    def _no_supernets(self) -> TrainSettings:
        """Without what only a supernet's training takes."""
        return replace(self.config.train, **asdict(InitSettings()), **asdict(TeacherSettings()))

    def _macs(self, space: SearchSpace, budgets: tuple[Limits, ...]) -> float:
        lower, upper, _ = cost.prune(space, budgets, self.num_classes, self.tables)
        return training_macs(space, self.config, (lower, upper), self.images, self.num_classes)


def shorter(row: Row, share: float) -> Row:
    """The same row with that share of the supernet's epochs."""
    train = replace(row.config.train, epochs=max(1, round(share * row.config.train.epochs)))
    return replace(row, config=replace(row.config, train=train), share=share)
