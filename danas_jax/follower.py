"""The part that every host but the first has in a run: it trains and evaluates with it, and writes nothing."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from danas_jax import config_io, disk, reuse, runtime
from danas_jax.config import Config, native_frame
from danas_jax.data.dataset import open_data
from danas_jax.errors import UserError
from danas_jax.hosts import Hosts
from danas_jax.space import Bounds
from danas_jax.supernet.checkpoint import NoCheckpoints
from danas_jax.supernet.train import train
from danas_jax.teachers.unlabelled import all_taught
from danas_jax.trained import evaluator

_TRIES, _PAUSE_S = 20, 0.5  # a network's disk shows another host's file a little later


def follow(hosts: Hosts) -> None:
    """Do this host's part of each phase that the first one tells, until the run ends there."""
    runtime.keep_freed_memory()
    runtime.keep_compiled_programs()
    while (order := hosts.hear()) is not None:
        config, (lower, upper) = config_io.from_json(order["config"]), map(np.array, order["bounds"])
        part = {"train": _train, "search": _search}[order["phase"]]
        part(hosts, config, Path(order["folder"]), (lower, upper))


def _train(hosts: Hosts, config: Config, folder: Path, bounds: Bounds) -> None:
    data = open_data(config.data, native_frame(config), config.seed)
    split = all_taught(data, data.load("train", "train"), config.train, config, "train", folder)
    train(
        config.space, config.train.scaled, bounds, split, len(data.class_names), config.seed, NoCheckpoints(),
        resident=config.data.resident,
    )  # fmt: skip


def _search(hosts: Hosts, config: Config, folder: Path, bounds: Bounds) -> None:
    data = open_data(config.data, native_frame(config), config.seed)
    training, slice_ = data.load("train", "search"), data.load("search", "search")
    weights = _seen(folder / reuse.WEIGHTS)
    hosts.serve(evaluator(config, disk.read_arrays(weights), training, slice_, len(data.class_names), bounds))


def _seen(path: Path) -> Path:
    for _ in range(_TRIES):
        if path.exists():
            return path
        time.sleep(_PAUSE_S)
    raise UserError(f"{path}: not there on this host; give a --run-dir on a disk that all hosts see")
