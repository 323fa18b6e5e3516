"""How well a run's supernet ranks: its score of a pool of systems against each of them trained alone.

The supernet scores on the search slice, as in the search; what was trained alone on `train` is judged on validation, so
no score profits from the images of its judge. The ceiling is measured alike: one training's accuracy on the search
slice against another's on validation.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from danas_jax import runtime
from danas_jax.config import Config
from danas_jax.console import Progress, say
from danas_jax.deploy.alone import Alone, Table
from danas_jax.deploy.retrain import image_views
from danas_jax.evidence.agreement import agreement, ceiling_tau, tau_intervals
from danas_jax.evidence.pool import Pool, draw
from danas_jax.evidence.zero_cost import naswot
from danas_jax.hardware.cost import COST_KEYS
from danas_jax.metrics import share_interval
from danas_jax.provenance import provenance
from danas_jax.report.table import budget_text
from danas_jax.search import predictor
from danas_jax.supernet.in_flight import on_devices
from danas_jax.task import task_of
from danas_jax.teachers.unlabelled import all_taught
from danas_jax.trained import Trained, open_trained

SUPERNET = "supernet"
JUDGES = ("search", "validation")
ZERO_COST_IMAGES = 64
FITTED_ON = 64  # systems outside the pool that the predictor learns from


@dataclass(frozen=True)
class RankSettings:
    """What `danas rank` asks beside the run: how many systems, which of them, how often each is trained."""

    count: int
    pool_seed: int
    seeds: tuple[int, ...]
    table: Path | None  # of trained networks; None = in the run's folder


@dataclass(frozen=True)
class Ranked:
    """The pool with everything known of it."""

    pool: Pool
    ids: tuple[str, ...]
    described: tuple[dict, ...]  # data and architecture of each
    costs: dict[str, np.ndarray]  # [N] per key of COST_KEYS
    scores: dict[str, np.ndarray]  # [N] per score, the higher the better
    search: np.ndarray  # accuracy of each training [S, N] on the search slice
    validation: np.ndarray  # and on validation
    images: float  # of validation, as sure as an accuracy on so many


def rank(config: Config, folder: Path, settings: RankSettings) -> dict[str, Any]:
    """Train what is missing and return everything `danas rank` prints, JSON-ready. Resumes; see RankSettings.

    Raises UserError where the run has no trained supernet, or hardly anything fits its budgets.
    """
    runtime.keep_freed_memory()
    runtime.keep_compiled_programs()
    supernet = open_trained(folder)
    ranked = _ranked(config, folder, supernet, settings)
    return _result(config, ranked, settings)


def _ranked(config: Config, folder: Path, supernet: Trained, settings: RankSettings) -> Ranked:
    space, classes = supernet.space, supernet.num_classes
    pool = draw(
        supernet.sample, lambda genes, limits: supernet.violation(genes, limits) <= 0, config.budgets,
        settings.count, settings.pool_seed,
    )  # fmt: skip
    if len(pool.genes) < settings.count:
        say(f"warning: {len(pool.genes)} systems instead of {settings.count}: a budget's slice holds no more")
    costs = supernet.costs(pool.genes)
    with Progress("rank: supernet"):
        scores = {SUPERNET: supernet.evaluate(pool.genes, "full"), **_cheap_scores(pool, supernet, settings)}
    scores |= {"macs": costs["macs"].astype(float), "params": costs["params"].astype(float)}
    data = supernet.data
    splits = {name: data.load(name, "retrain") for name in ("train", "search", "validation")}
    layers = [space.layers(genes, classes) for genes in pool.genes]
    inputs = [space.input(genes) for genes in pool.genes]
    with Progress("rank: zero-cost score"):
        seen = splits["train"].raw[:ZERO_COST_IMAGES]
        scores["naswot"] = np.array(
            [naswot(net, source.deployed(seen), settings.pool_seed) for net, source in zip(layers, inputs, strict=True)]
        )
    training = all_taught(data, splits["train"], config.retrain, config, "retrain", folder)
    alone = Alone(
        config.retrain, training, {name: splits[name] for name in JUDGES},
        config.search.metric, Table(settings.table or folder / "rank" / "trained.csv", JUDGES),
        folder / "rank" / "checkpoints",
    )  # fmt: skip
    ids = tuple(space.candidate_id(genes) for genes in pool.genes)
    jobs = list(itertools.product(range(len(settings.seeds)), range(len(ids))))
    missing = sum(alone.table.get(alone.key(layers[i], inputs[i], settings.seeds[s])) is None for s, i in jobs)
    views = image_views(alone.recipe, alone.training.epoch_images)
    say(f"rank: {len(jobs)} trainings of {views:,} image views each, {missing} of them still to do")

    def train(job: tuple[int, int]) -> tuple[float, ...]:
        s, i = job
        return alone.accuracies(ids[i], layers[i], inputs[i], settings.seeds[s], lambda event: None)

    results: list[tuple[float, ...]] = []
    with Progress("rank: trained alone") as progress:
        for result in on_devices(train, jobs):
            results.append(result)
            progress.count(len(results), len(jobs))
    search, validation = np.array(results).T.reshape(len(JUDGES), len(settings.seeds), len(ids))
    described = tuple(space.describe(genes) for genes in pool.genes)
    labels = splits["validation"].labels
    images = task_of(labels).equivalent_images(labels, config.search.metric)
    return Ranked(pool, ids, described, costs, scores, search, validation, images)


def _cheap_scores(pool: Pool, supernet: Trained, settings: RankSettings) -> dict[str, np.ndarray]:
    """The predictor that screens candidates in the search, fitted on systems outside the pool."""
    others = supernet.sample(np.random.default_rng([settings.pool_seed, 9]), FITTED_ON)
    inside = {row.tobytes() for row in pool.genes}
    others = np.array([row for row in others if row.tobytes() not in inside])
    if len(others) < predictor.FEWEST:
        return {}
    fitted = predictor.fit(supernet.space, others, supernet.evaluate(others, "half"), settings.pool_seed)
    return {"predictor": fitted.predict(pool.genes)[0].astype(float)}


def _result(config: Config, ranked: Ranked, settings: RankSettings) -> dict[str, Any]:
    """The figures of every score, overall and within each budget's slice."""
    slices = {"all": np.ones(len(ranked.ids), bool)}
    for i, limits in enumerate(ranked.pool.budgets):
        slices[budget_text(vars(limits))] = ranked.pool.slices == i
    parts = {}
    for name, rows in slices.items():
        if rows.sum() < 2:
            continue
        scores = {score: values[rows] for score, values in ranked.scores.items()}
        accuracies, others = ranked.validation[:, rows], ranked.search[:, rows]
        intervals = tau_intervals(scores, accuracies, others, SUPERNET, settings.pool_seed)
        ceiling = ceiling_tau(others, accuracies)
        ends = [float(accuracies.mean(0).min()), float(accuracies.mean(0).max())]
        parts[name] = {
            "systems": int(rows.sum()),
            "accuracy_range": ends,
            "range_intervals": [list(share_interval(end, ranked.images, settings.pool_seed)) for end in ends],
            "ceiling": {
                "kendall_tau": None if np.isnan(ceiling) else ceiling,
                "tau_interval": intervals["ceiling"]["tau"],
            },
            "scores": {
                score: {
                    **agreement(values, accuracies),
                    "tau_interval": intervals[score]["tau"],
                    "supernet_minus_this_90": intervals[score]["difference"],
                }
                for score, values in scores.items()
            },
        }
    return {
        "name": config.name,
        "pool_seed": settings.pool_seed,
        "training_seeds": list(settings.seeds),
        "epochs": config.retrain.epochs,
        "parts": parts,
        "systems": [
            {
                "id": ranked.ids[i],
                "genes": ranked.pool.genes[i].tolist(),
                "data": ranked.described[i]["data"],
                "slice": int(ranked.pool.slices[i]),
                "costs": {key: float(ranked.costs[key][i]) for key in COST_KEYS if key in ranked.costs},
                "scores": {name: float(values[i]) for name, values in ranked.scores.items()},
                "alone_search": ranked.search[:, i].tolist(),
                "alone_validation": ranked.validation[:, i].tolist(),
            }
            for i in range(len(ranked.ids))
        ],
        "provenance": provenance(),
    }
