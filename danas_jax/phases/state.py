"""What every phase of a run needs, and how it loads pictures and tells what it does."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from danas_jax import config_io, disk, run
from danas_jax.config import Config, RetrainSettings, TrainSettings
from danas_jax.console import Progress, say
from danas_jax.data.dataset import Data, Split
from danas_jax.deploy.teacher import Teacher
from danas_jax.hardware import lut
from danas_jax.hosts import ALONE, Hosts
from danas_jax.report.files import UNLABELLED
from danas_jax.report.teacher_doubts import write_doubts
from danas_jax.space import Bounds
from danas_jax.teachers.unlabelled import all_taught, labelled_alone


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
    began: float = dataclasses.field(default_factory=time.monotonic)  # of the phase, if it had had one session [s]

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.data.class_names)

    @property
    def time_s(self) -> float:
        """What the phase has taken so far, of earlier sessions what they had recorded."""
        return round(time.monotonic() - self.began, 2)

    def load(self, split: str, phase: str) -> Split:
        """A split for a phase, decoded with progress; what could not be decoded is said once."""
        first = not self.data.decoded(split)
        with Progress(f"reading {split}") as progress:
            loaded = self.data.load(split, phase, progress.count)
        for warning in loaded.warnings if first else ():
            say(f"warning: {warning}")
        return loaded

    def taught(
        self,
        phase: str,
        training: Split,
        settings: TrainSettings | RetrainSettings,
        own: Teacher | None = None,
        **parts: Split,
    ) -> Split:
        """`training`, made of `parts`, behind the unlabelled pictures, with the soft labels of its teacher.

        That is the one that `settings` name, else for the unlabelled ones `own`.
        """
        config, names = self.config, self.data.class_names
        if config.data.unlabelled:
            self.load("unlabelled", phase)
            self.load("test", "copies")  # with progress, like the other two
        found = all_taught(self.data, training, settings, config, phase, self.folder, own, self._note_unlabelled)
        if settings.teacher and (soft := labelled_alone(found)) is not None:
            say(write_doubts(self.folder, Path(settings.teacher).name, soft, parts, names))
        return found

    def _note_unlabelled(self, found: dict[str, Any]) -> None:
        """What became of the unlabelled pictures in one phase, beside what is known of the others."""
        path = self.folder / "report" / UNLABELLED
        known = disk.read_json(path) if path.exists() else {}
        disk.write_json(path, {"folder": self.config.data.unlabelled, **known, **found})

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
            times = {"unix_time_s": round(time.time(), 2), "phase_time_s": self.time_s}
            record = {"phase": phase, **times, **event}
            run.append_metrics(self.folder, record)
            self.to_tensorboard(record)

        return log

    def training_log(self, phase: str, name: str, progress: Progress) -> Callable[[dict], None]:
        """A logger of the training of network `name`: shown and into metrics.jsonl."""

        def log(event: dict) -> None:
            progress.show(event)
            self.record(phase)({"name": name, **event})

        return log
