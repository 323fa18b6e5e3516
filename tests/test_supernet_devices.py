"""Data parallelism: eight simulated devices end where one does."""

import dataclasses
import os
import pickle
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from supernet_toys import SPACE, easy_split

from danas_jax.config import TrainSettings
from danas_jax.supernet.checkpoint import Checkpoints
from danas_jax.supernet.devices import Devices, batch_devices
from danas_jax.supernet.train import train

DEVICES, STEPS = 8, 20
SMALLEST_PX = np.where(np.arange(len(SPACE.axes)) == SPACE.index["resolution_px"], 0, SPACE.max_genes)
ADAMW = TrainSettings(epochs=10, batch_size=16)
SGD = dataclasses.replace(ADAMW, optimiser="sgd", learning_rate=4e-2, weight_decay=1e-4)


def both(folder: Path) -> dict:
    """{optimiser: (logged losses, params)} after 20 steps; the subprocess runs this, too."""
    found = {}
    for settings in (ADAMW, SGD):
        checkpoints, records = Checkpoints(folder / settings.optimiser), []
        bounds = SPACE.min_genes, SMALLEST_PX
        params = train(SPACE, settings, bounds, easy_split(40), 2, 0, checkpoints, records.append)
        checkpoints.close()
        assert records[-1]["step"] == STEPS
        found[settings.optimiser] = records[-1]["loss"], params
    return found


def test_eight_devices_agree_with_one(tmp_path):
    """Losses with AdamW, which turns rounding into steps where a gradient is near 0; weights with SGD."""
    code = (
        f"import sys, pickle, pathlib; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "import jax, test_supernet_devices as here\n"
        "found = here.both(pathlib.Path(sys.argv[1]))\n"
        "pathlib.Path(sys.argv[1], 'found').write_bytes(pickle.dumps((jax.device_count(), found)))"
    )
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={DEVICES}"
    many_folder = tmp_path / "many"
    many_folder.mkdir()
    subprocess.run([sys.executable, "-c", code, str(many_folder)], env={**os.environ, "XLA_FLAGS": flags}, check=True)
    count, many = pickle.loads((many_folder / "found").read_bytes())
    one = both(tmp_path / "one")
    assert (count, jax.device_count()) == (DEVICES, 1)
    assert many["adamw"][0] == pytest.approx(one["adamw"][0], rel=1e-3)
    for a, b in zip(*(jax.tree.leaves(found["sgd"][1]) for found in (many, one)), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)


def test_as_many_devices_as_divide_the_batch():
    device = jax.devices()[0]
    counts = [batch_devices(batch, [device] * 8).mesh for batch in (16, 12, 10, 7, 64)]
    assert [1 if mesh is None else mesh.size for mesh in counts] == [8, 6, 5, 7, 8]
    assert batch_devices(11, [device] * 8) == Devices(None)
