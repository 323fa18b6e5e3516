"""Finalists and baselines: retrained, then exported, proved, and shown the test split once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from danas_jax import disk, reuse, run
from danas_jax.console import Progress
from danas_jax.deploy import finalists as deploy_finalists
from danas_jax.deploy import told_apart
from danas_jax.deploy.finalists import Finalist
from danas_jax.deploy.teacher import largest_subnet
from danas_jax.phases.state import Run
from danas_jax.supernet.in_flight import on_devices
from danas_jax.transfer.start import Start


def retrain_phase(state: Run) -> dict:
    """Finalists and baselines, by one recipe, on train and search slice; validation picks the epoch."""
    weights = state.folder / reuse.WEIGHTS
    params = disk.read_arrays(weights) if weights.exists() else {}
    parts = {name: state.load(name, "retrain") for name in ("train", "search")}
    training = deploy_finalists.joined(parts["train"], parts["search"])
    validation = state.load("validation", "retrain")
    unique = deploy_finalists.each_once(_finalists(state))
    config, begin, teacher = state.config, None, None
    if config.retrain.init_from:
        begin = Start.of(config.retrain, "retrain", state.data.class_names)
    alone = bool(config.data.unlabelled and not config.retrain.teacher)  # then the supernet says what they show
    if config.retrain.distillation or alone:
        upper = np.array(run.phase_payload(state.folder, "train")["trained_bounds"][1])
        teacher = largest_subnet(
            config.space, params, upper, state.num_classes, training, config.retrain.calibration_images, config.seed
        )
    training = state.taught("retrain", training, config.retrain, own=teacher if alone else None, **parts)
    teacher = teacher if config.retrain.distillation else None

    def work(finalist: Finalist, log: Callable[[dict], None]) -> None:
        folder = state.folder / "retrain" / finalist.name
        deploy_finalists.retrain_one(folder, finalist, config, params, training, validation, teacher, log, begin)

    _each(state, "retrain", unique, work)
    return {}


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
    test = state.load("test", "test")
    for i, finalist in enumerate(unique):
        with Progress(f"test {i + 1}/{len(unique)} {finalist.name}"):
            deploy_finalists.test_once(state.folder, finalist, test)
    answers = {name: deploy_finalists.kept_answers(state.folder / "export" / name) for name in names}
    config = state.config
    measured = {
        name: deploy_finalists.figures_of(state.folder / "export" / name, answers[name], config.seed) for name in names
    }
    entries = [
        deploy_finalists.summary_entry(
            state.folder, f, config, state.latency_tables, exported[f.name], measured[f.name]
        )
        for f in chosen
    ]
    summary = {
        "name": config.name,
        "seed": config.seed,
        "search_metric": config.search.metric,
        "classes": list(state.data.class_names),
        "finalists": entries,
        "comparisons": deploy_finalists.comparisons(chosen, answers, config.seed),
        "pairs": told_apart.pairs(entries, answers, config.search.metric, config.seed),
        "supernet_image_views": run.phase_payload(state.folder, "train")["supernet_image_views"],
        "times_s": {p: run.phase_payload(state.folder, p)["time_s"] for p in ("train", "search", "retrain")},
    }
    disk.write_json(state.folder / "summary.json", summary)
    return {}


def _finalists(state: Run) -> list[Finalist]:
    return deploy_finalists.found(state.folder, state.config, state.num_classes)


def _each(state: Run, phase: str, chosen: list[Finalist], work: Callable[[Finalist, Callable], Any]) -> list:
    """What `work(finalist, log)` gives of each, in order; several at a time: one fills no CPU, nor all devices."""

    def with_progress(numbered: tuple[int, Finalist]) -> Any:
        number, finalist = numbered
        with Progress(f"{phase} {number}/{len(chosen)} {finalist.name}") as progress:
            return work(finalist, state.training_log(phase, finalist.name, progress))

    return list(on_devices(with_progress, enumerate(chosen, 1)))
