"""A trained supernet and all that a search asks of it: for the search phase, and for notebooks (docs/notebook.md).

It reads train (calibration) and the search slice, never validation or test.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from danas_jax import disk, reuse, run
from danas_jax.config import Config, Limits, native_frame
from danas_jax.config_io import read_config
from danas_jax.data import recorded
from danas_jax.data.batches import SEARCH_CALIBRATION, calibration_rows
from danas_jax.data.dataset import Data, Split, open_data
from danas_jax.deploy.alone import trained_evaluator
from danas_jax.deploy.simulate import int8_evaluator
from danas_jax.errors import UserError
from danas_jax.hardware import boards, lut, population, run_tables
from danas_jax.hardware import cost as hardware
from danas_jax.hosts import Evaluate
from danas_jax.search import feasible, runner
from danas_jax.search.archive import Archive
from danas_jax.search.cache import AccuracyCache
from danas_jax.search.feasible import Problem
from danas_jax.space import Bounds
from danas_jax.supernet.evaluate import scored, slice_parts, subnet_answers
from danas_jax.supernet.mixture import mixture_slopes
from danas_jax.task import task_of
from danas_jax.teachers.unlabelled import all_taught


class Trained:
    """The supernet in a run's `folder`, searched inside `bounds`; `latency_tables` time networks for their boards.

    `training` and `slice_` are the train and search splits of the run's `data`; `progress(done, total)` hears of every
    evaluation. With `search.accuracy_from` training there is no supernet: every system is trained for itself, which
    takes minutes. `spread` lets other hosts take part in the evaluations.
    """

    def __init__(
        self,
        config: Config,
        folder: Path,
        training: Split,
        slice_: Split,
        data: Data,
        bounds: Bounds,
        latency_tables: lut.Tables,
        progress: Callable[[int, int], None] = lambda done, total: None,
        spread: Callable[[Evaluate], Evaluate] = lambda evaluate: evaluate,
    ):
        self.config, self.space, self.bounds, self.data = config, config.space, bounds, data
        settings, self.latency_tables = config.search, latency_tables
        self.num_classes = num_classes = len(data.class_names)
        self.search_images = round(task_of(slice_.labels).equivalent_images(slice_.labels, settings.metric))
        parts = slice_parts(slice_, settings.evaluation_fraction, config.seed)
        self._half, self._params = parts["half"], {}
        if settings.accuracy_from == "training":
            self._evaluate = trained_evaluator(config, folder, training, parts, num_classes, progress)
            return
        names = tuple(training.names[i] for i in _calibration(config, training)) + tuple(slice_.names)
        cache = AccuracyCache(folder / reuse.ACCURACIES, reuse.accuracy_key(config, folder, names))
        self._params = disk.read_arrays(folder / reuse.WEIGHTS)
        measure = evaluator(config, self._params, training, slice_, num_classes, bounds, progress)
        self._evaluate = cache.over(spread(measure))

    @property
    def _problem(self) -> Problem:
        return Problem(self.space, *self.bounds, lambda genes: np.zeros(len(genes)))

    def sample(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """Random systems inside the bounds, canonical; int64 [count, G]."""
        return feasible.sample(self._problem, rng, count)

    def evaluate(self, genes: np.ndarray, tier: str = "half") -> np.ndarray:
        """The run's `search.metric` [N] of genes [N, G], recalibrated; NaN where it failed.

        `tier` is "half" (a fixed part of the search slice), "full" (all of it) or "int8" (all of it, quantised, see
        deploy/simulate.py). Raises UserError for genes outside the bounds that were trained.
        """
        genes = np.atleast_2d(self.space.canonical(genes))
        outside = (self._problem.canonical(genes) != genes).any(axis=1)
        if outside.any():
            name = self.space.candidate_id(genes[np.argmax(outside)])
            raise UserError(f"genes[{np.argmax(outside)}] ({name}): outside the bounds that were trained; see .bounds")
        return self._evaluate(genes, tier)

    def costs(self, genes: np.ndarray, board: str = "") -> dict[str, np.ndarray]:
        """Costs of genes [N, G], one array [N] per key of hardware.cost.COST_KEYS; latency on `board`."""
        return hardware.space_costs(self.space, genes, self.num_classes, board, self.latency_tables)

    def _estimate(self, genes: np.ndarray, board: str) -> dict[str, np.ndarray]:
        return population.costs(self.space, genes, self.num_classes, board, self.latency_tables)

    def violation(self, genes: np.ndarray, limits: Limits) -> np.ndarray:
        """0 for genes [N, G] that keep `limits`, else more, float64 [N]."""
        return hardware.space_violation(self.space, genes, self.num_classes, limits, self.latency_tables)

    def search(
        self,
        budgets: Sequence[Limits],
        settings: dict[str, Any] | None = None,
        seed: int | None = None,
        **hooks: Any,
    ) -> Archive:
        """Fronts, re-ranked candidates and finalists of each budget; `settings` replace the run's SearchSettings.

        `seed` (the run's where it is left out) is that of the search alone: slice and calibration stay. `hooks` are
        save, resume and progress of `search.runner.search`. Raises UserError when nothing fits a budget, or for
        settings of the measuring, which are the run's.
        """
        chosen = replace(self.config.search, **(settings or {}))
        for name in ("metric", "evaluation_fraction", "accuracy_from"):
            was, now = getattr(self.config.search, name), getattr(chosen, name)
            if was != now:
                raise UserError(
                    f"search.{name} = {now!r}: this run's accuracies are measured with {was!r}; leave it out"
                )
        slopes = None
        if chosen.strategy == "gradient":
            slopes = mixture_slopes(
                self.space, self._params, self.bounds, self._half, self.num_classes, chosen.gradient_batch
            )
        return runner.search(
            self.space, chosen, budgets, self.costs, hardware.violation, self.violation, self.evaluate,
            self.config.seed if seed is None else seed, self.search_images, bounds=self.bounds,
            estimate=self._estimate, slopes=slopes, **hooks,
        )  # fmt: skip


def evaluator(
    config: Config,
    params: dict,
    training: Split,
    slice_: Split,
    num_classes: int,
    bounds: Bounds,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Evaluate:
    """What measures a supernet's subnets: (genes [N, G], tier) -> the run's `search.metric` [N], see `Trained`."""
    space, metric = config.space, config.search.metric
    parts = slice_parts(slice_, config.search.evaluation_fraction, config.seed)
    calibration = training.raw[_calibration(config, training)]
    answers = subnet_answers(space, params, bounds, calibration, parts, num_classes)
    exact = scored(answers, parts, metric, progress)
    int8 = int8_evaluator(space, params, answers, calibration, slice_, num_classes, metric, config.seed, progress)
    return lambda genes, tier: int8(genes) if tier == "int8" else exact(genes, tier)


def _calibration(config: Config, training: Split) -> np.ndarray:
    """Which images set the subnets' BN statistics."""
    return calibration_rows(config.seed, SEARCH_CALIBRATION, len(training), config.train.calibration_images)


def open_trained(folder: str | Path) -> Trained:
    """The supernet of a run whose train phase is done, with every bound it was trained in.

    Raises UserError when there is none, or its data are not there.
    """
    folder = Path(folder)
    if not (folder / "config.json").is_file() or not run.phase_done(folder, "train"):
        raise UserError(f"{folder}: holds no trained supernet; give a run's folder (`danas train` makes one)")
    config = read_config(folder / "config.json")
    boards.remember(config.boards)
    tables = run_tables.load(config.latency_tables, config.budgets)
    data = open_data(config.data, native_frame(config), config.seed)
    recorded.refuse_others(folder, data, f"{folder}: data.path = {config.data.path!r}")
    low, high = (np.array(bound) for bound in run.phase_payload(folder, "train")["trained_bounds"])
    splits = data.load("train", "search"), data.load("search", "search")
    with run.lock(folder):
        if config.search.accuracy_from == "training":
            splits = all_taught(data, splits[0], config.retrain, config, "search", folder), splits[1]
        return Trained(config, folder, *splits, data, (low, high), tables)
