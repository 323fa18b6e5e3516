"""How long a training step is held up by a checkpoint: written at once, and while training goes on.

    python benchmarks/checkpoint_hold.py --out benchmarks/results/checkpoint_hold.csv

Of each config's largest subnet params, average and AdamW's moments are saved; products of matrices stand for training.
`held_ms`: how long `save` takes; `cost_ms`: that, and what the steps are slower while the rest is written. Medians.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
import time
from pathlib import Path
from statistics import median

import jax
import jax.numpy as jnp
import numpy as np

from danas_jax.cli import _quiet
from danas_jax.config import Config
from danas_jax.config_io import load_config
from danas_jax.supernet.checkpoint import Checkpoints
from danas_jax.supernet.elastic import envelope_layers
from danas_jax.supernet.network import init_variables
from danas_jax.supernet.optimiser import initial_weights, make_optimiser
from danas_jax.supernet.plan import shape_envelope

FIELDS = ("config", "state_mb", "arrays", "way", "held_ms", "cost_ms")
STEPS = 60  # between two saves


class AtOnce(Checkpoints):
    """As it was before: `save` returns when all is on the disk."""

    def save(self, step: int, state: dict) -> None:
        """Written when this returns."""
        super().save(step, state)
        self.wait()


def weights(config: Config, classes: int) -> dict:
    """The state of a supernet's training, on the device."""
    space = config.space
    largest = shape_envelope(space, space.max_genes, tuple(space.max_genes[: len(space.shape_axes)]))
    params, _ = init_variables(envelope_layers(space, largest, classes), 0)
    state = {**initial_weights(make_optimiser(config.train, 1000), params, averaged=True), "step": np.asarray(0)}
    return jax.block_until_ready(jax.device_put(state))


def seconds(steps: int) -> float:
    """Of `steps` training steps."""
    matrix = jnp.ones((500, 500), jnp.float32)
    began = time.perf_counter()
    for _ in range(steps):
        jax.block_until_ready(_product(matrix))
    return time.perf_counter() - began


@jax.jit
def _product(matrix: jax.Array) -> jax.Array:
    return jnp.tanh(matrix @ matrix / 500)


def measured(kind: type[Checkpoints], state: dict, saves: int) -> tuple[float, float]:
    """(held_ms, cost_ms) of one way to save."""
    held, cost = [], []
    with tempfile.TemporaryDirectory() as folder, kind(Path(folder)) as saved:
        saved.save(0, state)  # imports, threads
        for step in range(1, saves + 1):
            saved.wait()
            alone = seconds(STEPS)
            began = time.perf_counter()
            saved.save(step, state)
            held.append(time.perf_counter() - began)
            cost.append(held[-1] + seconds(STEPS) - alone)
    return 1e3 * median(held), 1e3 * median(cost)


def main() -> None:
    """Measure both ways for each config."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--configs", nargs="+", default=["quickstart", "person_photos", "paper_wake_vision"])
    parser.add_argument("--saves", type=int, default=9)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    _quiet()
    seconds(STEPS)
    rows = []
    for name in options.configs:
        state = weights(load_config(name), 2)
        leaves = jax.tree.leaves(state)
        for way, kind in (("at once", AtOnce), ("while training goes on", Checkpoints)):
            held_ms, cost_ms = measured(kind, state, options.saves)
            size = round(sum(leaf.nbytes for leaf in leaves) / 1e6, 1)
            rows.append(
                dict(zip(FIELDS, (name, size, len(leaves), way, f"{held_ms:.1f}", f"{cost_ms:.0f}"), strict=True))
            )
            print(rows[-1], flush=True)
    with options.out.open("w", newline="") as file:
        out = csv.DictWriter(file, FIELDS, lineterminator="\n")
        out.writeheader()
        out.writerows(rows)


if __name__ == "__main__":
    main()
