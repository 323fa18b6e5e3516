"""Supernet subnets as int8 before any retraining: folded, quantised and simulated to the integer."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import cache

import numpy as np

from danas_jax.classification import Metric
from danas_jax.data.batches import INT8_SLICE, calibration_rows
from danas_jax.data.dataset import Split
from danas_jax.deploy.fold import fold_batch_norm
from danas_jax.deploy.integer import integer_forward
from danas_jax.deploy.quantise import quantise
from danas_jax.deploy.ranges import min_max_ranges
from danas_jax.space import SearchSpace
from danas_jax.supernet.elastic import slice_variables, subnet_params
from danas_jax.supernet.evaluate import Answers
from danas_jax.supernet.in_flight import in_flight
from danas_jax.task import task_of
from danas_jax.views.base import NetworkInput

IMAGES = 512  # of the search slice that are simulated, at 1 to 2 ms of a core each (docs/design.md)


def int8_evaluator(
    space: SearchSpace,
    params: dict,
    answers: Callable[[np.ndarray, str], Iterator[Answers]],
    calibration: np.ndarray,
    search: Split,
    num_classes: int,
    metric: Metric,
    seed: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Callable[[np.ndarray], np.ndarray]:
    """evaluate(genes [N, G]) -> `metric` [N] of the subnets in int8 on the whole search slice; NaN = failed.

    `answers(genes, "full")` are the float subnets' on `search` (supernet/evaluate.py); `calibration`
    examples [M, ...] set the activation ranges. At most IMAGES fixed images of the slice are simulated: what int8
    changes there is added to the metric of all, as the answers of both to one image differ less than those to two
    images.
    """
    rows = simulated_rows(search.labels, seed)
    judge = task_of(search.labels).metrics[metric]

    @cache
    def views(source: NetworkInput) -> tuple[np.ndarray, np.ndarray]:
        return source.deployed(calibration), source.deployed(search.raw[rows])

    def simulated(task: tuple[np.ndarray, Answers, tuple[np.ndarray, np.ndarray]]) -> tuple[int, float]:
        genes, answer, (calibrating, images) = task
        if not np.isfinite(answer.logits).all():
            return answer.row, np.nan
        layers = space.layers(genes, num_classes)
        own, stats = subnet_params(layers, space.input(genes), params), slice_variables(layers, answer.stats)
        folded = fold_batch_norm(layers, own, stats)
        model = quantise(layers, folded, min_max_ranges(layers, folded, calibrating))
        logits = (integer_forward(model, images) - float(model.output.zero_point)) * model.output.scale
        change = judge(search.labels[rows], logits) - judge(search.labels[rows], answer.logits[rows])
        return answer.row, float(np.clip(judge(search.labels, answer.logits) + change, 0, 1))

    def evaluate(genes: np.ndarray) -> np.ndarray:
        found = np.empty(len(genes))
        tasks = ((genes[a.row], a, views(space.input(genes[a.row]))) for a in answers(genes, "full"))
        for done, (row, value) in enumerate(in_flight(simulated, tasks, os.cpu_count()), 1):
            found[row] = value
            progress(done, len(genes))
        return found

    return evaluate


def simulated_rows(labels: np.ndarray, seed: int) -> np.ndarray:
    """Which images of the search slice are simulated, ascending int64; all where a class would not be among them."""
    rows, seen = calibration_rows(seed, INT8_SLICE, len(labels), IMAGES), task_of(labels).classes_seen
    return rows if seen(labels[rows]) == seen(labels) else np.arange(len(labels))
