"""Networks trained alone, from nothing, each once: what it gave is kept in a table that outlives the run."""

from __future__ import annotations

import dataclasses
import hashlib
import math
import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import jax
import numpy as np

from danas_jax import disk
from danas_jax.classification import Metric
from danas_jax.config import Config, InitSettings, RetrainSettings
from danas_jax.data.dataset import Split
from danas_jax.data.metadata import read_table
from danas_jax.deploy.retrain import float_logits, image_views, retrain
from danas_jax.errors import UserError
from danas_jax.layers import LayerSpec
from danas_jax.memory import Batches
from danas_jax.supernet.checkpoint import Checkpoints
from danas_jax.supernet.evaluate import batches
from danas_jax.supernet.in_flight import on_devices
from danas_jax.supernet.network import init_variables
from danas_jax.task import task_of
from danas_jax.views.base import NetworkInput


class Table:
    """Results by what they depend on, in a CSV file that only grows; safe for several threads.

    `judges` name the accuracies of a result. UserError when the file is no such table.
    """

    def __init__(self, path: Path, judges: Sequence[str]):
        self.path, self._lock = path, threading.Lock()
        self._accuracies = tuple(f"{name}_accuracy" for name in judges)
        self.fields = ("key", "system", "seed", "epochs", "image_views", *self._accuracies)
        self._known: dict[str, tuple[float, ...]] = {}
        if path.exists():
            table = read_table(path)
            if table.columns != self.fields:
                raise UserError(f"{path}: not a table of trained networks, its columns should be {self.fields}")
            self._known = {row["key"]: self._parsed(row) for row in table.rows}

    def _parsed(self, row: dict[str, str]) -> tuple[float, ...]:
        found = []
        for name in self._accuracies:
            try:
                found.append(float(row[name]))
            except (TypeError, ValueError):
                found.append(math.nan)
            if not 0 <= found[-1] <= 1:
                raise UserError(f"{self.path}, row {row['key']}: {name} = {row[name]!r}: a number from 0 to 1 is right")
        return tuple(found)

    def get(self, key: str) -> tuple[float, ...] | None:
        """The accuracies of `key`, None where it is not known."""
        return self._known.get(key)

    def add(self, key: str, system: str, seed: int, epochs: int, views: int, accuracies: tuple[float, ...]) -> None:
        """Keep a result; the file is the old one or the new one, whatever kills the process."""
        with self._lock:
            self._known[key] = accuracies
            old = self.path.read_text() if self.path.exists() else ",".join(self.fields) + "\n"
            row = (key, system, seed, epochs, views, *(f"{accuracy:.6f}" for accuracy in accuracies))
            disk.write_text(self.path, old + ",".join(map(str, row)) + "\n")


@dataclasses.dataclass(frozen=True)
class Alone:
    """Training by one recipe on `training`; the last epoch counts, so that nothing is chosen by a result.

    `judges` are splits that it was not trained on, by the names that `table` has for them.
    """

    recipe: RetrainSettings
    training: Split
    judges: Mapping[str, Split]
    metric: Metric
    table: Table
    checkpoints: Path

    @property
    def _recipe(self) -> RetrainSettings:
        settings = dataclasses.replace(self.recipe, inherit=False, distillation=0.0)
        return dataclasses.replace(settings, validate_every_epochs=settings.epochs)

    def key(self, layers: tuple[LayerSpec, ...], source: NetworkInput, seed: int) -> str:
        """Everything that a result depends on, as 16 hexadecimal digits: the examples, not where they lie."""
        examples = [split.content for split in (self.training, *self.judges.values())]
        recipe, soft = dataclasses.asdict(self._recipe), self.training.soft_labels
        taught = {name: recipe.pop(name) for name in list(recipe) if name.startswith("teacher")}
        for field in dataclasses.fields(InitSettings):  # here everything begins with fresh weights
            del recipe[field.name]
        if soft is not None:  # where the teacher's file lies changes nothing
            recipe |= {"soft_labels": soft.fingerprint} | {
                name: taught[name] for name in ("teacher_weight", "teacher_temperature")
            }
        parts = (layers, source.values, recipe, self.metric, seed, examples)
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]

    def accuracies(
        self, name: str, layers: tuple[LayerSpec, ...], source: NetworkInput, seed: int, log: Callable[[dict], None]
    ) -> tuple[float, ...]:
        """The network's `metric` on each judge; trained where the table does not know it, resuming. `name` is for it.

        `log` as in epochs.py.
        """
        key = self.key(layers, source, seed)
        if known := self.table.get(key):
            return known
        folder, recipe = self.checkpoints / key, self._recipe
        start, _ = init_variables(layers, seed)
        smallest = min(self.judges.values(), key=len)  # somebody has to judge the last epoch
        with Checkpoints(folder) as saved:
            done = retrain(layers, source, start, recipe, self.training, smallest, seed, saved, log, self.metric)
        found = tuple(
            _judged(layers, source, done.params, done.stats, judge, self.metric) for judge in self.judges.values()
        )
        self.table.add(key, name, seed, recipe.epochs, image_views(recipe, self.training.epoch_images), found)
        shutil.rmtree(folder)
        return found


def trained_evaluator(
    config: Config,
    folder: Path,
    training: Split,
    parts: Mapping[str, Split],
    num_classes: int,
    progress: Callable[[int, int], None],
) -> Callable[[np.ndarray, str], np.ndarray]:
    """evaluate(genes [N, G], name of one of `parts`) -> `search.metric` [N] of each system after a short training.

    `search.training_epochs` by the retraining's recipe; the results are kept in the run's `folder`.
    """
    space, recipe = config.space, dataclasses.replace(config.retrain, epochs=config.search.training_epochs)
    table = Table(folder / "search" / "trained.csv", tuple(parts))
    checkpoints = folder / "search" / "checkpoints"
    alone = Alone(recipe, training, parts, config.search.metric, table, checkpoints)

    def one(genes: np.ndarray) -> tuple[float, ...]:
        name, layers = space.candidate_id(genes), space.layers(genes, num_classes)
        return alone.accuracies(name, layers, space.input(genes), config.seed, lambda event: None)

    def evaluate(genes: np.ndarray, tier: str) -> np.ndarray:
        column, found = list(parts).index(tier), []
        for accuracies in on_devices(one, genes):
            found.append(accuracies[column])
            progress(len(found), len(genes))
        return np.array(found)

    return evaluate


def _judged(
    layers: tuple[LayerSpec, ...], source: NetworkInput, params: dict, stats: dict, split: Split, metric: Metric
) -> float:
    """A trained float network's metric on the deployed view of a split."""
    codes = Batches(batches(source.deployed(split.raw), split.labels)[0], jax.device_put)
    logits = float_logits(layers, params, stats, codes, len(split))
    return task_of(split.labels).metrics[metric](split.labels, logits)
