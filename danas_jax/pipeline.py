"""The phases in order, each resumable: train, search, retrain, export (with the one look at test), report."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable
from pathlib import Path

from danas_jax import reuse, run, runtime, tensorboard
from danas_jax.config import Config, native_frame
from danas_jax.console import say
from danas_jax.data import recorded
from danas_jax.data.dataset import Split, open_data
from danas_jax.data.few import few_examples
from danas_jax.deploy import operating_point
from danas_jax.errors import UserError
from danas_jax.hardware import boards, lut, run_tables
from danas_jax.hardware import cost as hardware
from danas_jax.hosts import ALONE, Hosts
from danas_jax.phases.finalists import export_phase, retrain_phase
from danas_jax.phases.state import Run
from danas_jax.phases.supernet import say_answer, search_phase, train_phase
from danas_jax.records import spent_s
from danas_jax.report.derived import derive
from danas_jax.report.files import read_summary
from danas_jax.report.html import write_report
from danas_jax.report.table import budget_text, print_table
from danas_jax.search import objectives
from danas_jax.space import Bounds
from danas_jax.supernet.elastic import envelope_layers
from danas_jax.transfer.start import Start


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
    recorded.refuse_others(folder, data, f"data.path = {config.data.path!r}")
    recorded.refuse_other_pile(folder, data, f"data.unlabelled = {config.data.unlabelled!r}")
    for warning in (*data.warnings, *few_examples(data, config)):
        say(f"warning: {warning}")
    operating_point.check(config.export, data.class_names)
    bounds = _bounds(config, folder, len(data.class_names), tables)
    if config.supernet_from:
        where = f"supernet_from = {config.supernet_from}"
        recorded.refuse_others(Path(config.supernet_from), data, where, ("train", "search"))
    _check_starts(config, folder, phases, bounds, data.class_names)
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
                say_answer(folder / "search" / "pareto.json", config)
        else:
            missing = [p for p in list(steps)[: list(steps).index(phase)] if not run.phase_done(folder, p)]
            if missing:
                raise UserError(f"{phase} needs {missing[0]} first: danas {missing[0]} (or danas run) on {folder}")
            recorded.record(folder, state.data, config.data.limit_per_class, few_examples(state.data, config))
            earlier_s = spent_s(run.scan_metrics(folder)[0], phase)
            here = dataclasses.replace(state, began=time.monotonic() - earlier_s)
            payload = steps[phase](here)
            run.mark_done(folder, phase, {**payload, "time_s": round(here.time_s, 1)})


def _check_starts(
    config: Config, folder: Path, phases: tuple[str, ...], bounds: Bounds, classes: tuple[str, ...]
) -> None:
    """UserError where weights to begin with are no network's, or have no block of ours.

    Those that are gone are left for what begins with them: where it has begun they are not needed.
    """
    layers = envelope_layers(config.space, tuple(bounds[1].tolist()), len(classes))
    for phase, settings in (("train", config.train), ("retrain", config.retrain)):
        if phase in phases and not run.phase_done(folder, phase) and Path(settings.init_from).is_file():
            Start.of(settings, phase, classes).check(layers)


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


def report_phase(folder: Path, config: Config, validation: Callable[[], Split]) -> None:
    """The table on the terminal and report/; `validation` loads that split, for examples."""
    path = folder / "summary.json"
    if path.exists():
        print_table(read_summary(folder))
        for warning in derive(folder, config, validation):
            say(f"warning: {warning}")
    say(f"report: {write_report(folder)}")
