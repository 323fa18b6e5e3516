"""What a run's networks make of the labels they learned from: the mean probability of each example's classes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from danas_jax import disk
from danas_jax.deploy.finalists import Finalist
from danas_jax.supernet.evaluate import BATCH, network_program

_CHUNK = 4 * BATCH  # examples of one call: one program, whatever the size of the splits


def class_probabilities(
    run_dir: Path,
    finalists: Sequence[Finalist],
    parts: Sequence[np.ndarray],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[np.ndarray]:
    """Of the raw examples [N, ...] of each of `parts` the mean over the retrained `finalists`, float64 [N, classes].

    Each network is the float one that retraining left, and reads its deployed view.
    """
    sums = [np.zeros((len(raw), finalists[0].layers[-1].out_shape[2])) for raw in parts]
    done, total = 0, len(finalists) * sum(map(len, parts))
    for finalist in finalists:
        weights = disk.read_arrays(run_dir / "retrain" / finalist.name / "weights.npz")
        predict = network_program(finalist.layers)[1]
        for raw, summed in zip(parts, sums, strict=True):
            for start in range(0, len(raw), _CHUNK):
                rows = np.minimum(np.arange(start, start + _CHUNK), len(raw) - 1)  # filled up with the last one
                codes = finalist.source.deployed(raw[rows])
                logits = predict(weights["params"], weights["stats"], codes.reshape(-1, BATCH, *codes.shape[1:]))
                found = np.asarray(jax.nn.softmax(jnp.asarray(logits).reshape(_CHUNK, -1)), np.float64)
                here = min(_CHUNK, len(raw) - start)
                summed[start : start + here] += found[:here] / len(finalists)
                done += here
                progress(done, total)
    return sums
