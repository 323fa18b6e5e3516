"""The measuring process of `bench supernet` and `bench evaluate`: what training and search run, timed.

python -m danas_jax.bench.device SETTINGS_AS_JSON
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from functools import cached_property

import jax
import jax.numpy as jnp
import numpy as np
import optax

from danas_jax import runtime
from danas_jax.bench import work
from danas_jax.bench.workers import serve
from danas_jax.config import TrainSettings
from danas_jax.data.dataset import Split
from danas_jax.devices import Devices
from danas_jax.layers import total_macs
from danas_jax.supernet import elastic
from danas_jax.supernet.buckets import bucket_of, make_buckets
from danas_jax.supernet.distil import Distillation
from danas_jax.supernet.evaluate import subnet_evaluator, subnet_forward
from danas_jax.supernet.guard import healthy
from danas_jax.supernet.in_flight import in_flight
from danas_jax.supernet.network import init_variables
from danas_jax.supernet.optimiser import initial_weights, make_optimiser
from danas_jax.supernet.plan import Plan
from danas_jax.supernet.train import gradient_program, update_program

_PLANNED_STEPS = 10_000  # length of the learning rate schedule; its values do not matter here


class Supernet:
    """The supernet of the settings, and its answers to the requests of `danas_jax.bench.command`."""

    def __init__(self, settings: work.Settings):
        runtime.keep_freed_memory()
        runtime.keep_compiled_programs()
        self.settings, self.space = settings, settings.search_space
        self.work = work.make_work(settings)
        recipe = TrainSettings(
            epochs=_PLANNED_STEPS,
            batch_size=settings.batch,
            random_subnets=work.RANDOM_SUBNETS,
            compute_dtype=settings.compute_dtype,
        )
        self.bounds = self.space.min_genes, self.space.max_genes
        plan = Plan(self.space, recipe, self.bounds, settings.batch, settings.seed)
        self.passes = [plan.passes(step) for step in range(work.SANDWICHES)]
        self.layers = elastic.envelope_layers(self.space, tuple(self.space.max_genes.tolist()), settings.num_classes)
        self.forwards: dict[elastic.Envelope, Callable] = {}
        params, self.stats = jax.device_put(init_variables(self.layers, settings.seed))
        optimiser = make_optimiser(recipe, plan.steps)
        self.weights = initial_weights(optimiser, params, averaged=False)
        self.health, self.steps = healthy(), 0
        self.update = update_program(recipe, optimiser, Devices(None))
        self.distillation = Distillation(recipe.distillation, recipe.label_weight)
        self.views, self.labels = jnp.asarray(self.work.images), jnp.asarray(self.work.labels)
        one_hot = jax.nn.one_hot(self.labels, settings.num_classes)
        self.targets = optax.smooth_labels(one_hot, recipe.label_smoothing)
        jax.block_until_ready((self.weights, self.views, self.targets))

    def step(self) -> None:
        """What supernet/train.py does in a step, but for drawing and augmenting the batch."""
        targets, losses, grads = self.targets, [], []
        for i, (genes, envelope) in enumerate(self.passes[self.steps % len(self.passes)]):
            program = gradient_program(
                self.space, envelope, self.settings.num_classes, compute_dtype=self.settings.compute_dtype
            )
            loss, logits, grad = program(self.weights["params"], self.views, targets, jnp.asarray(genes, jnp.int32))
            if i == 0:
                targets = self.distillation.targets(logits, targets)
            losses.append(loss)
            grads.append(grad)
        self.health, self.weights = self.update(self.health, self.weights, losses, grads, self.steps)
        self.steps += 1

    def genes(self) -> dict:
        """The genes of every pass of the first steps, for the other side."""
        return {"sandwiches": [[one.genes.tolist() for one in passes] for passes in self.passes]}

    def first_step(self) -> dict:
        """Seconds of the first step: tracing, compiling (or reading the cache) and one run."""
        started = time.perf_counter()
        self.step()
        jax.block_until_ready(self.weights)
        return {"seconds": time.perf_counter() - started}

    def train(self) -> dict:
        """Mean milliseconds of one sandwich step over a turn."""
        started = time.perf_counter()
        for _ in range(work.STEPS):
            self.step()
        jax.block_until_ready(self.weights)
        step_s = (time.perf_counter() - started) / work.STEPS
        return {"sandwich_step_ms": 1e3 * step_s, "images_per_s": self.settings.batch / step_s}

    @cached_property
    def _buckets(self) -> tuple[elastic.Envelope, ...]:
        lower, upper = (tuple(bound.tolist()) for bound in self.bounds)
        return make_buckets(self.space, lower, upper)

    def _forward(self, envelope: elastic.Envelope) -> Callable:
        """jitted (params, stats, images, genes) -> logits: the forward inside supernet/evaluate.py, by its buckets."""
        layers = elastic.envelope_layers(self.space, envelope, self.settings.num_classes)

        @jax.jit
        def program(params, stats, images, genes):
            part, given = (elastic.slice_variables(layers, tree) for tree in (params, stats))
            return subnet_forward(self.space, envelope, layers, part, genes)[1](given, images)

        return program

    @cached_property
    def _evaluator(self):
        search = Split(self.work.search, self.work.search_labels, tuple(map(str, range(len(self.work.search)))))
        params = jax.device_get(self.weights["params"])  # the search phase reads them from a file
        return subnet_evaluator(
            self.space, params, self.bounds, self.work.calibration, search, 1.0, self.settings.num_classes,
            self.settings.seed,
        )  # fmt: skip

    def _logits(self, genes: np.ndarray) -> None:
        envelope = bucket_of(self.space, self._buckets, genes)
        if envelope not in self.forwards:
            self.forwards[envelope] = self._forward(envelope)
        program = self.forwards[envelope]
        jax.block_until_ready(program(self.weights["params"], self.stats, self.views, genes.astype(np.int32)))

    def first_evaluation(self) -> dict:
        """Seconds of the first turn of `evaluate`, in which every program of it is compiled or read."""
        started = time.perf_counter()
        for genes in self.work.subnets:
            self._logits(genes)
        self.evaluate()
        return {"seconds": time.perf_counter() - started}

    def evaluate(self) -> dict:
        """Mean milliseconds of a random subnet's forward of the batch; subnets recalibrated and judged per second.

        Both as a population is evaluated: on a CPU two at a time.
        """
        started = time.perf_counter()
        for _ in in_flight(self._logits, np.tile(self.work.subnets, (work.FORWARD_ROUNDS, 1))):
            pass
        forward_s = (time.perf_counter() - started) / (work.FORWARD_ROUNDS * len(self.work.subnets))
        started = time.perf_counter()
        self._evaluator(self.work.subnets[: work.RECALIBRATED], "full")
        subnet_s = (time.perf_counter() - started) / work.RECALIBRATED
        return {"evaluate_forward_ms": 1e3 * forward_s, "subnets_per_s": 1 / subnet_s}

    def facts(self) -> dict:
        """The device, the largest subnet's MACs, and the memory that the process has taken at most."""
        device = jax.devices()[0]
        return {
            "max_macs": total_macs(self.layers),
            "peak_memory_bytes": _peak_memory_bytes(device),
            "device": device.platform,
            "device_kind": device.device_kind,
            "jax_version": jax.__version__,
            "compute_dtype": self.settings.compute_dtype,
        }


def _peak_memory_bytes(device: jax.Device) -> int:
    """The device's memory where it has its own, else this process's (ru_maxrss: kB on Linux, bytes on macOS)."""
    if device.platform != "cpu" and (stats := device.memory_stats()):
        return int(stats["peak_bytes_in_use"])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def main() -> None:
    """Answer requests until standard input ends."""
    supernet = Supernet(work.Settings.from_json(sys.argv[1]))
    names = ("genes", "first_step", "train", "first_evaluation", "evaluate", "facts")
    serve({name: getattr(supernet, name) for name in names})


if __name__ == "__main__":
    main()
