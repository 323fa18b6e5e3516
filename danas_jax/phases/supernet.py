"""The supernet: trained once, then searched for all budgets."""

from __future__ import annotations

from pathlib import Path

from danas_jax import disk, reuse
from danas_jax.classification import METRIC_NAMES
from danas_jax.config import Config
from danas_jax.console import Progress, say
from danas_jax.phases.state import Run
from danas_jax.report.table import search_lines, sure
from danas_jax.search import archive, pareto_json, tiers
from danas_jax.supernet.checkpoint import Checkpoints
from danas_jax.supernet.plan import Plan
from danas_jax.supernet.train import train
from danas_jax.trained import Trained
from danas_jax.transfer.start import beginning

_PER_BUDGET = ("best_accuracy", "best_interval", "hypervolume")  # of the search's records


def train_phase(state: Run) -> dict:
    """The supernet: the run's own, or another run's; none where the search needs none."""
    config = state.config
    if reason := config.search.without_supernet:
        say(f"supernet: none, {reason}")
        return reuse.payload_of(state.bounds, 0, state.data.class_names)
    if config.supernet_from:
        say(f"supernet: taken from {config.supernet_from}")
        return reuse.adopt(config, state.folder)
    return _trained(state)


def _trained(state: Run) -> dict:
    """Its own supernet, trained once, on `train` alone."""
    config = state.config
    listed = {**state.data.items, **({"unlabelled": state.data.unlabelled} if state.data.unlabelled else {})}
    counts = ", ".join(f"{split} {len(items)}" for split, items in listed.items())
    say(f"images: {counts}; classes: {', '.join(state.data.class_names)}")
    split = state.load("train", "train")
    split = state.taught("train", split, config.train, train=split)
    state.tell_hosts("train")
    folder = state.folder / "supernet" / "checkpoints"
    with Progress("train supernet") as progress, Checkpoints(folder) as checkpoints:

        def log(event: dict) -> None:
            progress.show(event)
            state.record("train")(event)
            if event["step"] == event["steps"]:
                progress.note(f"train supernet: {event['programs']} gradient programs compiled or loaded")

        begin = beginning(config.train, state.data.class_names, state.folder / "supernet", progress.note)
        params = train(
            config.space, config.train.scaled, state.bounds, split, state.num_classes, config.seed, checkpoints, log,
            config.data.resident, begin,
        )  # fmt: skip
    disk.write_arrays(state.folder / reuse.WEIGHTS, params)
    plan = Plan(config.space, config.train.scaled, state.bounds, split.epoch_images, config.seed)
    return reuse.payload_of(state.bounds, plan.image_views(), state.data.class_names)


def search_phase(state: Run) -> dict:
    """Systems for all budgets at once, by their accuracy on the search slice."""
    config, folder = state.config, state.folder / "search"
    if not config.search.finalists_per_budget:
        say("search: none, no finalists are wanted")
        disk.write_json(
            folder / "pareto.json", pareto_json.to_json(archive.nothing_searched(config.space, config.search))
        )
        return {}
    training, slice_ = state.load("train", "search"), state.load("search", "search")
    together = not config.search.without_supernet
    if together:
        state.tell_hosts("search")
    else:
        training = state.taught("search", training, config.retrain, train=training)
    saved = folder / "state.json"
    resume = disk.read_json(saved) if saved.exists() else None
    with Progress("search") as progress:

        def log(event: dict) -> None:
            best = ", ".join(sure(row["best_accuracy"], row["best_interval"]) for row in event["budgets"])
            planned = "" if event["generations"] is None else f"/{event['generations']}"
            progress.note(
                f"search generation {event['generation']}{planned}: {event['evaluations']} systems evaluated, "
                f"best {METRIC_NAMES[config.search.metric]} per budget {best}"
            )
            per_budget = {key: [row[key] for row in event["budgets"]] for key in _PER_BUDGET}
            counts = {"step": event["generation"], "steps": event["generations"], "evaluations": event["evaluations"]}
            state.record("search")({**counts, **per_budget})

        supernet = Trained(
            config, state.folder, training, slice_, state.data, state.bounds, state.latency_tables,
            progress.count, state.hosts.spread,
        )  # fmt: skip
        found = supernet.search(
            config.budgets,
            save=lambda snapshot: disk.write_json(saved, snapshot, compact=True),
            resume=resume,
            progress=log,
        )
    if together:
        state.hosts.tell(None)
    disk.write_json(folder / "pareto.json", pareto_json.to_json(found))
    disk.write_text(folder / "evaluations.csv", archive.evaluations_csv(found, config.space))
    say_answer(folder / "pareto.json", config)
    return {}


def say_answer(pareto: Path, config: Config) -> None:
    """What the search found for each budget."""
    found = pareto_json.load(pareto, config.space)
    for line in (*search_lines(found), tiers.text(found.tiers, found.metric)):
        say(line)
    say(f"fronts: {pareto}")
