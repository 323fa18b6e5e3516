"""Exported networks and their firmware projects, for the tests of danas_jax.deploy.firmware."""

import ctypes
import hashlib
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from deploy_nets import int8_network

from danas_jax.deploy.firmware.project import _source, project
from danas_jax.deploy.tflite_writer import write_tflite
from danas_jax.hardware.cost import cost
from danas_jax.views.frame import aspect_of

WARNINGS = ["-Wall", "-Wextra", "-Werror", "-O2"]
STRICT = ["-std=c99", "-pedantic", *WARNINGS]
FAKES = Path(__file__).resolve().parent / "firmware_fakes"


def need(*compilers):
    """Skip the test where one of the programs is not installed."""
    missing = [name for name in compilers if not shutil.which(name)]
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed")


def exported(layers, seed=0, classes=None, native_px=None, resize="area", bit_depth=8, fit="stretch"):
    """(tflite, manifest, model) as an export leaves them, of a network through which pictures can be told apart."""
    model = int8_network(layers, seed)
    tflite = write_tflite(model, {})
    height, width, channels = model.input_shape
    classes = classes or [f"class {i}" for i in range(layers[-1].out_shape[2])]
    colour = {1: "mono", 3: "rgb"}[channels]
    manifest = {
        "id": "toy",
        "classes": classes,
        "data": {
            "resolution_px": height,
            "aspect": aspect_of((height, width)),
            "colour": colour,
            "channels": channels,
            "native_resolution_px": native_px or height,
            "resize": resize,
            "bit_depth": bit_depth,
            "fit": fit,
        },
        "input": {"dtype": "int8", "scale": 1 / 128, "zero_point": 0, "shape": [1, height, width, channels]},
        "output": {
            "dtype": "int8",
            "scale": model.output.scale,
            "zero_point": model.output.zero_point,
            "shape": [1, len(classes)],
        },
        "memory": {"predicted": cost(layers), "measured": {}},
        "sha256": hashlib.sha256(tflite).hexdigest(),
    }
    return tflite, manifest, model


def write(folder, *arguments, **keywords):
    """Write the files of `project(...)` into `folder`."""
    for path, content in project(*arguments, **keywords).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return folder


def command(*arguments, cwd, data=b""):
    """Standard output of a program; its errors where it fails."""
    done = subprocess.run(list(map(str, arguments)), cwd=cwd, input=data, capture_output=True, check=False, timeout=300)
    assert done.returncode == 0, f"{arguments}\n{done.stdout.decode()[-2000:]}\n{done.stderr.decode()[-2000:]}"
    return done.stdout.decode()


def shared_library(folder, name):
    """`name`.c of the firmware's sources as a library for this machine, undefined behaviour trapped."""
    need("gcc")
    for file in (f"{name}.c", f"{name}.h"):
        (folder / file).write_text(_source(file))
    trap = ["-fsanitize=undefined", "-fno-sanitize-recover=all"]
    command("gcc", *STRICT, *trap, "-shared", "-fPIC", f"{name}.c", "-o", f"{name}.so", cwd=folder)
    return ctypes.CDLL(str(folder / f"{name}.so"))


@cache
def sanitizers():
    """Flags of gcc's sanitizers, none where it has none."""
    flags = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "main.c").write_text("int main(void) { return 0; }\n")
        try:
            command("gcc", *flags, "main.c", "-o", "main", cwd=folder)
            command("./main", cwd=folder)
        except AssertionError:
            return []
    return flags


def scenes(count, side, seed=0):
    """uint8 [count, side, side, 3]: smooth colours, edges and noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:side, 0:side] / side
    waves = [np.sin(rng.uniform(1, 9) * x + rng.uniform(1, 9) * y + rng.uniform(0, 6)) for _ in range(3 * count)]
    images = 128 + 90 * np.stack(waves, axis=-1).reshape(side, side, count, 3).transpose(2, 0, 1, 3)
    images = images + rng.normal(0, 12, images.shape) + rng.uniform(-60, 60, (count, 1, 1, 1))
    images[:, : side // 3, side // 2 :] = rng.integers(0, 256, (count, 1, 1, 3))
    return np.clip(images, 0, 255).astype(np.uint8)
