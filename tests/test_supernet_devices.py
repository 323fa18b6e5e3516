"""One to many devices: simulated ones end where one does."""

import dataclasses
import os
import pickle
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from supernet_toys import BOUNDS, SPACE, easy_split, random_genes, supernet_params

from danas_jax.config import TrainSettings
from danas_jax.devices import ONE, batch_devices
from danas_jax.errors import UserError
from danas_jax.supernet.checkpoint import Checkpoints
from danas_jax.supernet.evaluate import slice_parts, subnet_answers
from danas_jax.supernet.in_flight import on_devices
from danas_jax.supernet.train import train

STEPS = 20
SMALLEST_PX = np.where(np.arange(len(SPACE.axes)) == SPACE.index["resolution_px"], 0, SPACE.max_genes)
ADAMW = TrainSettings(epochs=10, batch_size=16)
SGD = dataclasses.replace(ADAMW, optimiser="sgd", learning_rate=4e-2, weight_decay=1e-4)


def trained(folder: Path, recipes: dict, resident: str) -> dict:
    """{optimiser: (logged losses, params)} after 20 steps."""
    found = {}
    for name, settings in recipes.items():
        checkpoints, records = Checkpoints(folder / f"{name} {resident}"), []
        bounds = SPACE.min_genes, SMALLEST_PX
        params = train(SPACE, settings, bounds, easy_split(40), 2, 0, checkpoints, records.append, resident)
        checkpoints.close()
        assert records[-1]["step"] == STEPS
        found[name] = records[-1]["loss"], params
    return found


def evaluated() -> dict[int, np.ndarray]:
    """{subnet: logits of 30 pictures} of seven subnets, which no number of devices divides."""
    genes, images = random_genes(7), easy_split(30, num_classes=3)
    genes[:, SPACE.index["resolution_px"]] = 0
    parts = slice_parts(images, 0.5, 0)
    answers = subnet_answers(SPACE, supernet_params(), BOUNDS, easy_split(16).raw, parts, 3)
    return {answer.row: answer.logits for answer in answers(genes, "full")}


def placed() -> list[set]:
    """On which devices the results of eight pieces of work lie."""
    return [array.devices() for array in on_devices(lambda i: jax.numpy.ones(3) * i, range(8))]


def everything(folder: Path) -> dict:
    """What the subprocess with many devices does, and this one."""
    both = {"adamw": ADAMW, "sgd": SGD}
    return {
        "devices": jax.device_count(),
        "resident": trained(folder, both, "always"),
        "streamed": trained(folder, {"sgd": SGD}, "never"),
        "evaluated": evaluated(),
        "used": len(set.union(*placed())),
    }


def simulated(folder: Path, devices: int) -> dict:
    """`everything` in a process of its own with that many devices."""
    code = (
        f"import sys, pickle, pathlib; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "import test_supernet_devices as here\n"
        "found = here.everything(pathlib.Path(sys.argv[1]))\n"
        "pathlib.Path(sys.argv[1], 'found').write_bytes(pickle.dumps(found))"
    )
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={devices}"
    folder.mkdir()
    subprocess.run([sys.executable, "-c", code, str(folder)], env={**os.environ, "XLA_FLAGS": flags}, check=True)
    return pickle.loads((folder / "found").read_bytes())


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    return everything(tmp_path_factory.mktemp("one"))


@pytest.mark.parametrize(
    "devices", [4, pytest.param(2, marks=pytest.mark.slow), pytest.param(8, marks=pytest.mark.slow)]
)
def test_many_devices_agree_with_one(tmp_path, one, devices):
    """Losses with AdamW, which turns rounding into steps where a gradient is near 0; weights with SGD."""
    many = simulated(tmp_path / "many", devices)
    assert (many["devices"], many["used"], one["devices"], one["used"]) == (devices, devices, 1, 1)
    assert many["resident"]["adamw"][0] == pytest.approx(one["resident"]["adamw"][0], rel=1e-3)
    for how in ("resident", "streamed"):
        leaves = [jax.tree.leaves(found["sgd"][1]) for found in (many[how], one["resident"])]
        for a, b in zip(*leaves, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-4)
    assert many["evaluated"].keys() == one["evaluated"].keys() == set(range(7))
    for row, logits in one["evaluated"].items():
        np.testing.assert_allclose(many["evaluated"][row], logits, rtol=1e-5, atol=1e-5)


def test_as_many_devices_as_divide_the_batch():
    device = jax.devices()[0]
    assert [batch_devices(batch, [device] * 8).count for batch in (16, 12, 10, 7, 64)] == [8, 6, 5, 7, 8]
    assert batch_devices(11, [device] * 8) == ONE


def test_every_host_has_as_many_of_them():
    class Device:
        platform = "none"

        def __init__(self, id):
            self.id, self.process_index = id, id // 4

    devices = [Device(i) for i in range(8)]  # two hosts of four
    assert [d.id for d in batch_devices(12, devices, 2).mesh.devices] == [0, 1, 2, 4, 5, 6]
    assert batch_devices(16, devices, 2).count == 8
    assert [d.id for d in batch_devices(2, devices, 2).mesh.devices] == [0, 4]
    with pytest.raises(UserError, match=r"train.batch_size = 15: there are 2 hosts, give a multiple of 2"):
        batch_devices(15, devices, 2)
