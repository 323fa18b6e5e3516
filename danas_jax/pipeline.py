"""The phases in order, each resumable: train, search, retrain, export (with the one look at test), report."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from danas_jax import config_io, reuse, run, runtime, tensorboard
from danas_jax.classification import METRIC_NAMES
from danas_jax.config import Config, RetrainSettings, TrainSettings, native_frame
from danas_jax.console import Progress, say
from danas_jax.data.dataset import Data, Split, open_data
from danas_jax.deploy import finalists as deploy_finalists
from danas_jax.deploy import operating_point
from danas_jax.deploy.finalists import Finalist
from danas_jax.deploy.teacher import largest_subnet
from danas_jax.errors import UserError
from danas_jax.hardware import boards, lut, run_tables
from danas_jax.hardware import cost as hardware
from danas_jax.hosts import ALONE, Hosts
from danas_jax.report.derived import derive
from danas_jax.report.html import write_report
from danas_jax.report.table import budget_text, print_table, search_lines, share
from danas_jax.report.teacher_doubts import write_doubts
from danas_jax.search import archive, objectives, tiers
from danas_jax.space import Bounds
from danas_jax.supernet.checkpoint import Checkpoints
from danas_jax.supernet.in_flight import on_devices
from danas_jax.supernet.plan import Plan
from danas_jax.supernet.train import train
from danas_jax.teachers.soft_labels import taught
from danas_jax.trained import Trained


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


def run_phases(config: Config, phases: tuple[str, ...], run_dir: Path, hosts: Hosts = ALONE) -> None:
    """Run `phases` in order; those already done are skipped. UserError on bad input before anything is computed.

    Of several `hosts` this is the one that leads.
    """
    folder = Path(run_dir)
    runtime.keep_freed_memory()
    runtime.keep_compiled_programs()
    if phases == ("report",):  # needs neither the data, which may be gone, nor that anything fits

        def validation() -> Split:
            return open_data(config.data, native_frame(config), config.seed).load("validation", "export")

        report_phase(folder, config, validation)
        return
    boards.remember(config.boards)
    tables = run_tables.load(config.latency_tables, config.budgets)
    for table in tables.values():
        say(f"latency on {table.board}: by {table.source} ({table.runtime}, {len(table.rows)} rows)")
    data = open_data(config.data, native_frame(config), config.seed)
    for warning in data.warnings:
        say(f"warning: {warning}")
    operating_point.check(config.export, data.class_names)
    bounds = _bounds(config, folder, len(data.class_names), tables)
    wanted = any(phase != "report" and not run.phase_done(folder, phase) for phase in phases)
    with tensorboard.writer(folder) if wanted else contextlib.nullcontext(lambda record: None) as to_tensorboard:
        _each_phase(Run(config, folder, data, bounds, tables, to_tensorboard, hosts), phases)


def _each_phase(state: Run, phases: tuple[str, ...]) -> None:
    config, folder = state.config, state.folder
    steps = {"train": train_phase, "search": search_phase, "retrain": retrain_phase, "export": export_phase}
    for phase in phases:
        if phase == "report":
            report_phase(folder, config, lambda: state.load("validation", "export"))
        elif run.phase_done(folder, phase):
            say(f"{phase}: done before")
            if phase == phases[-1] == "search":
                _say_answer(folder / "search" / "pareto.json", config)
        else:
            missing = [p for p in list(steps)[: list(steps).index(phase)] if not run.phase_done(folder, p)]
            if missing:
                raise UserError(f"{phase} needs {missing[0]} first: danas {missing[0]} (or danas run) on {folder}")
            started = time.monotonic()
            payload = steps[phase](state)
            run.mark_done(folder, phase, {**payload, "time_s": round(time.monotonic() - started, 1)})


def _feasible_bounds(config: Config, num_classes: int, tables: lut.Tables) -> Bounds:
    """Gene bounds after dropping what no budget can hold; UserError when nothing fits one of the budgets."""
    for limits in config.budgets:
        reserve = boards.reserve_text(limits)
        say(f"budget: {budget_text(dataclasses.asdict(limits))}{f' ({reserve})' if reserve else ''}")
    objectives.check(config.search.objectives, config.budgets)
    problems = [
        f"budgets[{i}]: nothing fits: {need}"
        for i, limits in enumerate(config.budgets)
        if (need := hardware.smallest_need(config.space, num_classes, limits, tables))
    ]
    if problems:
        raise UserError("\n".join(problems))
    lower, upper, dropped = hardware.prune(config.space, config.budgets, num_classes, tables)
    if dropped:
        say(f"pruned, no budget can hold: {', '.join(dropped)}")
    return lower, upper


def _bounds(config: Config, folder: Path, num_classes: int, tables: lut.Tables) -> Bounds:
    """The feasible bounds inside those that were trained, where the supernet is another run's."""
    bounds = _feasible_bounds(config, num_classes, tables)
    if not config.supernet_from:
        return bounds
    adopted = run.phase_done(folder, "train")
    trained = run.phase_payload(folder, "train") if adopted else reuse.source_payload(config)
    bounds, lost = reuse.narrowed(config.space, bounds, trained)
    if lost:
        say(
            f"warning: the supernet of {config.supernet_from} was pruned for smaller budgets, and what was pruned is "
            f"not searched: {', '.join(lost)}"
        )
    return bounds


def train_phase(state: Run) -> dict:
    """The supernet, trained once on `train` alone, or another run's; none where the search trains each system."""
    config = state.config
    if not config.search.finalists_per_budget:
        say("supernet: none, no finalists are wanted")
        return reuse.payload_of(state.bounds, 0)
    if config.search.accuracy_from == "training":
        say("supernet: none, the search trains each system for itself")
        return reuse.payload_of(state.bounds, 0)
    if config.supernet_from:
        say(f"supernet: taken from {config.supernet_from}")
        return reuse.adopt(config, state.folder)
    counts = ", ".join(f"{split} {len(items)}" for split, items in state.data.items.items())
    say(f"images: {counts}; classes: {', '.join(state.data.class_names)}")
    split = state.load("train", "train")
    split = state.taught(split, config.train, train=split)
    state.tell_hosts("train")
    checkpoints = Checkpoints(state.folder / "supernet" / "checkpoints")
    with Progress("train supernet") as progress:

        def log(event: dict) -> None:
            progress.show(event)
            state.record("train")(event)
            if event["step"] == event["steps"]:
                progress.note(f"train supernet: {event['programs']} gradient programs compiled or loaded")

        params = train(
            config.space, config.train.scaled, state.bounds, split, state.num_classes, config.seed, checkpoints, log,
            config.data.resident,
        )  # fmt: skip
    checkpoints.close()
    run.write_arrays(state.folder / reuse.WEIGHTS, params)
    plan = Plan(config.space, config.train.scaled, state.bounds, len(split), config.seed)
    return reuse.payload_of(state.bounds, plan.image_views())


def search_phase(state: Run) -> dict:
    """NSGA-II over the supernet's subnets on the search slice, for all budgets at once."""
    config, folder = state.config, state.folder / "search"
    if not config.search.finalists_per_budget:
        say("search: none, no finalists are wanted")
        run.write_json(folder / "pareto.json", archive.to_json(archive.nothing_searched(config.space, config.search)))
        return {}
    training, slice_ = state.load("train", "search"), state.load("search", "search")
    if config.search.accuracy_from == "training":
        training = state.taught(training, config.retrain, train=training)
    together = config.search.accuracy_from == "supernet"
    if together:
        state.tell_hosts("search")
    saved = folder / "state.json"
    resume = run.read_json(saved) if saved.exists() else None
    with Progress("search") as progress:

        def log(event: dict) -> None:
            best = ", ".join(share(row["best_accuracy"]) for row in event["budgets"])
            planned = "" if event["generations"] is None else f"/{event['generations']}"
            progress.note(
                f"search generation {event['generation']}{planned}: {event['evaluations']} systems evaluated, "
                f"best {METRIC_NAMES[config.search.metric]} per budget {best}"
            )
            per_budget = {key: [row[key] for row in event["budgets"]] for key in ("best_accuracy", "hypervolume")}
            counts = {"step": event["generation"], "steps": event["generations"], "evaluations": event["evaluations"]}
            state.record("search")({**counts, **per_budget})

        supernet = Trained(
            config, state.folder, training, slice_, state.num_classes, state.bounds, state.latency_tables,
            progress.count, state.hosts.spread,
        )  # fmt: skip
        found = supernet.search(
            config.budgets, save=lambda snapshot: run.write_json(saved, snapshot), resume=resume, progress=log
        )
    if together:
        state.hosts.tell(None)
    run.write_json(folder / "pareto.json", archive.to_json(found))
    run.write_text(folder / "evaluations.csv", archive.evaluations_csv(found, config.space))
    _say_answer(folder / "pareto.json", config)
    return {}


def _say_answer(pareto: Path, config: Config) -> None:
    found = archive.load(pareto, config.space)
    for line in (*search_lines(found), tiers.text(found.tiers, found.metric)):
        say(line)
    say(f"fronts: {pareto}")


def _finalists(state: Run) -> list[Finalist]:
    return deploy_finalists.found(state.folder, state.config, state.num_classes)


def retrain_phase(state: Run) -> dict:
    """Finalists and baselines, by one recipe, on train and search slice; validation picks the epoch."""
    weights = state.folder / reuse.WEIGHTS
    params = run.read_arrays(weights) if weights.exists() else {}
    parts = {name: state.load(name, "retrain") for name in ("train", "search")}
    training = deploy_finalists.joined(parts["train"], parts["search"])
    training = state.taught(training, state.config.retrain, **parts)
    validation = state.load("validation", "retrain")
    unique = deploy_finalists.each_once(_finalists(state))
    config, teacher = state.config, None
    if config.retrain.distillation:
        upper = np.array(run.phase_payload(state.folder, "train")["trained_bounds"][1])
        teacher = largest_subnet(
            config.space, params, upper, state.num_classes, training, config.retrain.calibration_images, config.seed
        )

    def work(finalist: Finalist, log: Callable[[dict], None]) -> None:
        folder = state.folder / "retrain" / finalist.name
        deploy_finalists.retrain_one(folder, finalist, config, params, training, validation, teacher, log)

    _each(state, "retrain", unique, work)
    return {}


def _each(state: Run, phase: str, chosen: list[Finalist], work: Callable[[Finalist, Callable], Any]) -> list:
    """What `work(finalist, log)` gives of each, in order; several at a time: one fills no CPU, nor all devices."""

    def with_progress(numbered: tuple[int, Finalist]) -> Any:
        number, finalist = numbered
        with Progress(f"{phase} {number}/{len(chosen)} {finalist.name}") as progress:
            return work(finalist, state.training_log(phase, finalist.name, progress))

    return list(on_devices(with_progress, enumerate(chosen, 1)))


def export_phase(state: Run) -> dict:
    """int8 files, proof on TFLM, and then, once per finalist, the test split."""
    training = deploy_finalists.joined(state.load("train", "export"), state.load("search", "export"))
    validation = state.load("validation", "export")
    chosen = _finalists(state)
    unique = deploy_finalists.each_once(chosen)

    def work(finalist: Finalist, log: Callable[[dict], None]) -> dict:
        return deploy_finalists.export_one(
            state.folder, finalist, state.config, state.latency_tables, training, validation,
            state.data.class_names, log,
        )  # fmt: skip

    names = [finalist.name for finalist in unique]
    exported = dict(zip(names, _each(state, "export", unique, work), strict=True))
    answers = {}
    test = state.load("test", "test")
    for i, finalist in enumerate(unique):
        with Progress(f"test {i + 1}/{len(unique)} {finalist.name}"):
            answers[finalist.name] = deploy_finalists.test_once(state.folder, finalist, test)
    entries = [
        deploy_finalists.summary_entry(state.folder, f, state.config, state.latency_tables, exported[f.name])
        for f in chosen
    ]
    summary = {
        "name": state.config.name,
        "seed": state.config.seed,
        "search_metric": state.config.search.metric,
        "classes": list(state.data.class_names),
        "finalists": entries,
        "comparisons": deploy_finalists.comparisons(chosen, answers, state.config.seed),
        "supernet_image_views": run.phase_payload(state.folder, "train")["supernet_image_views"],
        "times_s": {p: run.phase_payload(state.folder, p)["time_s"] for p in ("train", "search", "retrain")},
    }
    run.write_json(state.folder / "summary.json", summary)
    return {}


def report_phase(folder: Path, config: Config, validation: Callable[[], Split]) -> None:
    """The table on the terminal and report/; `validation` loads that split, for examples."""
    path = folder / "summary.json"
    if path.exists():
        print_table(run.read_json(path))
        for warning in derive(folder, config, validation):
            say(f"warning: {warning}")
    say(f"report: {write_report(folder)}")
