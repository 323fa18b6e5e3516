#!/usr/bin/env python3
"""The same training on 1, 2, 4 and 8 simulated devices and on two processes as hosts: one curve?

    python benchmarks/scaling.py

Writes results/scaling_curves.csv, a row for each setup and step, and prints each setup's largest relative difference
from one device. A toy: what it shows is that the numbers agree, not how fast anything is. Exit code 1 where a loss
differs by more than 1e-3.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from danas_jax.config import TrainSettings
from danas_jax.data.dataset import Split
from danas_jax.hosts import join
from danas_jax.space import SearchSpace, Stage
from danas_jax.views.image import ImageView

RESULTS = Path(__file__).resolve().parent / "results" / "scaling_curves.csv"
TOLERANCE = 1e-3
SETUPS = ((1, 1), (2, 1), (4, 1), (8, 1), (1, 2))  # devices of each host, hosts
SPACE = SearchSpace("tiny", ImageView((12,), ("mono", "rgb")), (4, 8), (Stage((4, 8), (1, 2), 2, (2,), (3, 5)),), (8,))
SETTINGS = TrainSettings(epochs=4, batch_size=16, learning_rate=1e-2)
PICTURES = 128


def pictures() -> Split:
    """Bright or dark ones, noisy enough for a loss that falls slowly."""
    rng = np.random.default_rng(0)
    labels = (np.arange(PICTURES) % 2).astype(np.int32)
    raw = rng.integers(0, 216, (PICTURES, 12, 12, 3)) + 40 * labels[:, None, None, None]
    return Split(raw.astype(np.uint8), labels, tuple(map(str, range(PICTURES))))


def curve() -> None:
    """Train, and print the loss of each step as JSON; what each process of a setup does."""
    hosts = join()
    from danas_jax.supernet import train as training
    from danas_jax.supernet.checkpoint import Checkpoints, NoCheckpoints

    training._LOG_EVERY_S = -1.0  # every step
    losses: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        checkpoints = Checkpoints(Path(folder)) if hosts.leads else NoCheckpoints()
        bounds = SPACE.min_genes, SPACE.max_genes
        training.train(SPACE, SETTINGS, bounds, pictures(), 2, 0, checkpoints, lambda r: losses.append(r["loss"]))
        checkpoints.close()
    print(json.dumps(losses), flush=True)


def measured(devices: int, hosts: int) -> list[float]:
    """The curve of a setup, in processes of its own."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{found.getsockname()[1]}"
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={devices}"
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags}
    if hosts > 1:
        environment |= {"JAX_COORDINATOR_ADDRESS": address, "JAX_NUM_PROCESSES": str(hosts)}
    processes = [
        subprocess.Popen(
            [sys.executable, __file__, "--curve"], stdout=subprocess.PIPE, text=True,
            env={**environment, "JAX_PROCESS_ID": str(i)} if hosts > 1 else environment,
        )
        for i in range(hosts)
    ]  # fmt: skip
    outputs = [process.communicate()[0] for process in processes]
    if any(process.returncode for process in processes):
        sys.exit(f"{devices} devices on {hosts} hosts: exit codes {[process.returncode for process in processes]}")
    return json.loads(outputs[0].strip().splitlines()[-1])


def main() -> int:
    """Measure all setups and write the table."""
    rows, worst = ["devices_per_host,hosts,step,loss,relative_difference"], 0.0
    first: np.ndarray | None = None
    for devices, hosts in SETUPS:
        losses = np.array(measured(devices, hosts))
        first = losses if first is None else first
        apart = np.abs(losses - first) / np.abs(first)
        worst = max(worst, float(apart.max()))
        print(f"{devices} devices on {hosts} hosts: loss {losses[0]:.4f} to {losses[-1]:.4f}, ", end="")
        print(f"largest relative difference {apart.max():.1e}", flush=True)
        for step, (loss, difference) in enumerate(zip(losses, apart, strict=True), 1):
            rows.append(f"{devices},{hosts},{step},{loss:.7f},{difference:.2e}")
    RESULTS.write_text("\n".join(rows) + "\n")
    return int(worst > TOLERANCE)


if __name__ == "__main__":
    curve() if sys.argv[1:] == ["--curve"] else sys.exit(main())
