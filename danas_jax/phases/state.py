"""What every phase of a run needs, and how it loads pictures and tells what it does."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path

from danas_jax import config_io, run
from danas_jax.config import Config, RetrainSettings, TrainSettings
from danas_jax.console import Progress, say
from danas_jax.data.dataset import Data, Split
from danas_jax.hardware import lut
from danas_jax.hosts import ALONE, Hosts
from danas_jax.report.teacher_doubts import write_doubts
from danas_jax.space import Bounds
from danas_jax.teachers.soft_labels import taught


@dataclasses.dataclass(frozen=True)
class Run:
    """What every phase needs: the configuration, where it lives, its pictures and the pruned space."""

    config: Config
    folder: Path
    data: Data
    bounds: Bounds
    latency_tables: lut.Tables
    to_tensorboard: Callable[[dict], None]
    hosts: Hosts = ALONE

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.data.class_names)

    def load(self, split: str, phase: str) -> Split:
        """A split for a phase, decoded with progress; what could not be decoded is said once."""
        first = not self.data.decoded(split)
        with Progress(f"reading {split}") as progress:
            loaded = self.data.load(split, phase, progress.count)
        for warning in loaded.warnings if first else ():
            say(f"warning: {warning}")
        return loaded

    def taught(self, training: Split, settings: TrainSettings | RetrainSettings, **parts: Split) -> Split:
        """`training`, made of `parts`, with the soft labels of the teacher that `settings` name, if they do."""
        config, names = self.config, self.data.class_names
        found = taught(training, settings, config.seed, names, config.data.cache_dir, self.folder)
        if found.soft_labels is not None:
            say(write_doubts(self.folder, Path(settings.teacher).name, found.soft_labels, parts, names))
        return found

    def tell_hosts(self, phase: str) -> None:
        """The other hosts do their part of `phase`, with the data read that this one has read before (follower.py)."""
        self.hosts.tell(
            {
                "phase": phase,
                "config": config_io.to_json(self.config),
                "folder": str(self.folder.resolve()),
                "bounds": [bound.tolist() for bound in self.bounds],
            }
        )

    def record(self, phase: str) -> Callable[[dict], None]:
        """A logger into metrics.jsonl, and from there into TensorBoard's event files."""

        def log(event: dict) -> None:
            record = {"phase": phase, "unix_time_s": round(time.time(), 2), **event}
            run.append_metrics(self.folder, record)
            self.to_tensorboard(record)

        return log

    def training_log(self, phase: str, name: str, progress: Progress) -> Callable[[dict], None]:
        """A logger of the training of network `name`: shown and into metrics.jsonl."""

        def log(event: dict) -> None:
            progress.show(event)
            self.record(phase)({"name": name, **event})

        return log
