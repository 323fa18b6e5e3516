"""Answers of networks whose BN statistics are set from calibration images: supernet subnets and stand-alone nets.

Statistics are pooled over batches as (mean, M2) by Chan's formula (Chan, Golub, LeVeque 1979), in float32: averaging
batch variances would drop the variance of the means, raw sums of squares would cancel.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache, lru_cache, partial
from itertools import chain
from operator import itemgetter
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from danas_jax.classification import Metric
from danas_jax.data.dataset import Split
from danas_jax.devices import population_devices
from danas_jax.errors import UserError
from danas_jax.layers import LayerSpec
from danas_jax.memory import AtOnce, Batches, activation_bytes, at_once
from danas_jax.space import Bounds, SearchSpace
from danas_jax.supernet import adaptive, elastic, ops
from danas_jax.supernet.buckets import bucket_of, make_buckets
from danas_jax.supernet.in_flight import in_flight
from danas_jax.supernet.network import Network, normalise_pixels
from danas_jax.task import task_of

BATCH = 64  # images per evaluation batch


def pool_statistics(run_batch: Callable[[jax.Array], dict], batches: jax.Array) -> dict:
    """Pool the {"mean", "var"} leaves of run_batch(batches[i]) over equally sized batches [K, B, ...]."""

    def merge(carry, batch):
        count, pooled = carry
        found = run_batch(batch)

        def one(layer, old):
            delta = layer["mean"] - old["mean"]
            mean = old["mean"] + delta / (count + 1.0)
            # In units of one batch: M2 / batch size, so `var` sums batch variances plus the spread of the means.
            return {"mean": mean, "var": old["var"] + layer["var"] + delta * delta * count / (count + 1.0)}

        return (count + 1.0, {name: one(found[name], pooled[name]) for name in found}), None

    shapes = jax.eval_shape(run_batch, batches[0])
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    (count, pooled), _ = lax.scan(merge, (jnp.zeros(()), zeros), batches)
    return {name: {"mean": leaf["mean"], "var": leaf["var"] / count} for name, leaf in pooled.items()}


def batches(images: np.ndarray, labels: np.ndarray, size: int = BATCH) -> tuple[np.ndarray, np.ndarray]:
    """[N, ...] -> [K, size, ...] and labels [K, size, ...], the last batch filled up with label -1 (never right)."""
    count = -(-len(images) // size)
    pad = count * size - len(images)
    images = np.concatenate([images, np.repeat(images[:1], pad, axis=0)])
    labels = np.concatenate([labels, np.full((pad, *labels.shape[1:]), -1).astype(labels.dtype)])
    return images.reshape(count, size, *images.shape[1:]), labels.reshape(count, size, *labels.shape[1:])


def calibration_batches(images: np.ndarray, count: int) -> np.ndarray:
    """The first `count` images (whole batches only, at least one) as [K, size, ...]."""
    count = min(count, len(images))
    size = min(BATCH, count)
    return images[: count // size * size].reshape(count // size, size, *images.shape[1:])


def _forward(network: Network, params: dict, masks, to_input):
    """(statistics of a batch in train mode, logits with given statistics) of a network."""

    def statistics(images):
        x, variables = normalise_pixels(to_input(images)), {"params": params}
        return network.apply(variables, x, masks, train=True, mutable=["batch_stats"])[1]["batch_stats"]

    def logits(stats, images):
        variables = {"params": params, "batch_stats": stats}
        return network.apply(variables, normalise_pixels(to_input(images)), masks)

    return statistics, logits


def subnet_forward(
    space: SearchSpace, envelope: elastic.Envelope, layers: tuple[LayerSpec, ...], params: dict, genes: jax.Array
) -> tuple[Callable, Callable]:
    """(images -> a batch's statistics, (statistics, images) -> logits) of one subnet of the envelope; traced.

    One at a time on a CPU it leaves out what its genes leave out (adaptive.py), else that is masked: many at a time
    cannot each take their own branch.
    """
    if subnets_per_launch() > 1:
        masks = elastic.masks(space, genes, layers)
        return _forward(Network(layers), params, masks, lambda x: elastic.seen(space, x, genes))

    sizes = adaptive.branches_pay(space, envelope)

    def run(statistics, images):
        x = normalise_pixels(elastic.seen(space, images, genes))
        return adaptive.forward(space, envelope, layers, params, statistics, genes, x, sizes)

    return lambda images: run(None, images)[1], lambda statistics, images: run(statistics, images)[0]


@cache
def _subnet_program(space: SearchSpace, envelope: elastic.Envelope, num_classes: int) -> Callable:
    """jitted (params, genes [P, G], calibration [K, B, ...], images [M, B, ...]) -> (logits [P, M, B, classes], stats).

    The statistics {layer: {"mean", "var"}} are [P, C] of the envelope's widths. P is a multiple of this host's devices.
    """
    layers = elastic.envelope_layers(space, envelope, num_classes)

    def one(params, genes, calibration, images):
        statistics, logits = subnet_forward(space, envelope, layers, params, genes)
        stats = pool_statistics(statistics, calibration)
        return lax.map(partial(logits, stats), images), stats

    def program(params, genes, calibration, images):
        part = elastic.slice_variables(layers, params)
        if len(genes) == 1:  # the shape is static: a population of one needs no batched kernels
            return jax.tree.map(lambda leaf: leaf[None], one(part, genes[0], calibration, images))
        return jax.vmap(lambda row: one(part, row, calibration, images))(genes)

    return jax.jit(population_devices().each(program, (False, True, False, False)))


def subnets_per_launch() -> int:
    """Subnets that a device evaluates by one call of a program: a CPU is busy with one, an accelerator is not."""
    return 1 if ops.on_cpu() else 8


def part_of_slice(search: Split, fraction: float, seed: int) -> Split:
    """The fixed part of the search slice that ranks during the search ("half")."""
    order = np.random.default_rng([seed, 4]).permutation(len(search))
    rows = np.sort(order[: max(1, round(fraction * len(search)))])
    return Split(search.raw[rows], search.labels[rows], tuple(search.names[i] for i in rows))


class Answers(NamedTuple):
    """What one recalibrated subnet says of the images of a part of the search slice."""

    row: int  # of the genes asked for
    logits: np.ndarray  # [N, classes]
    stats: dict  # its BN statistics, {layer: {"mean", "var"}} at its envelope's widths


def subnet_answers(
    space: SearchSpace, params: dict, bounds: Bounds, calibration: np.ndarray, parts: dict[str, Split], num_classes: int
) -> Callable[[np.ndarray, str], Iterator[Answers]]:
    """answers(genes [N, G], name of one of `parts`) -> those of each subnet, in the order that they are found.

    Every subnet is recalibrated on `calibration` examples [M, ...] first. The population is split over this host's
    devices.
    """
    devices = population_devices()
    params = devices.replicate(params)
    views: dict[tuple[int, ...], tuple] = {}

    def in_shape(shape: tuple[int, ...]) -> tuple:
        # Deployed codes, made once per shape; what is taken away from them is a gene inside the program.
        if shape not in views:
            source = space.costliest_input(shape)
            sets = {
                name: Batches(batches(source.codes(part.raw), part.labels)[0], devices.replicate)
                for name, part in parts.items()
            }
            calibrating = calibration_batches(source.codes(calibration), len(calibration))
            views[shape] = devices.replicate(calibrating), sets
        return views[shape]

    buckets = make_buckets(space, *(tuple(int(g) for g in bound) for bound in bounds))
    largest = elastic.envelope_layers(space, tuple(int(g) for g in bounds[1]), num_classes)
    together = at_once(subnets_per_launch(), max(len(calibration), BATCH) * activation_bytes(largest))
    subnets = AtOnce("evaluation", "subnets", together, "give a lower --train.calibration-images", devices.count)

    def answers(genes: np.ndarray, name: str) -> Iterator[Answers]:
        envelopes = [bucket_of(space, buckets, row) for row in genes]
        images = len(parts[name])

        def launch(envelope: elastic.Envelope, chunk: np.ndarray) -> list[Answers]:
            return subnets.over(chunk, partial(run, envelope))

        def run(envelope: elastic.Envelope, chunk: np.ndarray, size: int) -> list[Answers]:
            calibrating, sets = in_shape(envelope[: len(space.shape_axes)])
            launched = np.resize(chunk, size)  # the last one is filled up: one shape, one compilation
            program = _subnet_program(space, envelope, num_classes)
            tried = jnp.asarray(genes[launched], jnp.int32)
            found = [jax.device_get(program(params, tried, calibrating, piece)) for piece in sets[name]]
            stats = found[0][1]
            logits = np.concatenate([logits.reshape(size, -1, num_classes) for logits, _ in found], axis=1)
            logits = logits[:, :images]  # the rest is padding
            each = [jax.tree.map(itemgetter(i), stats) for i in range(len(chunk))]
            return list(map(Answers, chunk, logits, each))

        for envelope in dict.fromkeys(envelopes):
            rows, size = np.array([i for i, found in enumerate(envelopes) if found == envelope]), subnets.total
            chunks = [rows[i : i + size] for i in range(0, len(rows), size)]
            first = launch(envelope, chunks[0])  # alone: it makes the views and compiles the program
            for done in chain([first], in_flight(partial(launch, envelope), chunks[1:])):
                yield from done

    return answers


def scored(
    answers: Callable[[np.ndarray, str], Iterator[Answers]],
    parts: dict[str, Split],
    metric: Metric,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Callable[[np.ndarray, str], np.ndarray]:
    """evaluate(genes [N, G], name of one of `parts`) -> `metric` [N] of the subnets' `answers`.

    Raises UserError where a part's labels tell no ROC-AUC.
    """
    for name, part in parts.items():
        if metric == "auc" and not task_of(part.labels).tells_auc(part.labels):
            raise UserError(
                f"search.metric = {metric!r}: the {len(part)} images that it is measured on ({name} search slice) are "
                "of one class; give more images, or accuracy"
            )

    def evaluate(genes: np.ndarray, name: str) -> np.ndarray:
        found = np.empty(len(genes))
        for done, answer in enumerate(answers(genes, name), 1):
            found[answer.row] = task_of(parts[name].labels).metrics[metric](parts[name].labels, answer.logits)
            progress(done, len(genes))
        return found

    return evaluate


def slice_parts(search: Split, half_fraction: float, seed: int) -> dict[str, Split]:
    """The search slice as a whole and its ranking part, by tier."""
    return {"full": search, "half": part_of_slice(search, half_fraction, seed)}


def subnet_evaluator(
    space: SearchSpace,
    params: dict,
    bounds: Bounds,
    calibration: np.ndarray,
    search: Split,
    half_fraction: float,
    num_classes: int,
    seed: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
    metric: Metric = "accuracy",
) -> Callable[[np.ndarray, str], np.ndarray]:
    """evaluate(genes [N, G], "half" | "full") -> exact supernet `metric` [N] on that part of the search slice.

    Every subnet is recalibrated on `calibration` examples [M, ...] first. "half" is a fixed part of the slice.
    Raises UserError where the slice's labels tell no ROC-AUC.
    """
    parts = slice_parts(search, half_fraction, seed)
    return scored(subnet_answers(space, params, bounds, calibration, parts, num_classes), parts, metric, progress)


@lru_cache(maxsize=32)  # a search that trains each system would keep the programs of hundreds
def network_program(layers: tuple[LayerSpec, ...]) -> tuple[Callable, Callable]:
    """A stand-alone network, jitted: (params, calibration) -> stats; (params, stats, images [M, B, ...]) -> logits."""
    network = Network(layers)

    @jax.jit
    def calibrate(params, calibration):
        return pool_statistics(_forward(network, params, None, lambda x: x)[0], calibration)

    @jax.jit
    def predict(params, stats, images):
        logits = _forward(network, params, None, lambda x: x)[1]
        return lax.map(lambda batch: logits(stats, batch), images)

    return calibrate, predict
