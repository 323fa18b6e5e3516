"""Exported networks and their firmware projects, for the tests of danas_jax.deploy.firmware."""

import ctypes
import hashlib
import json
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
from danas_jax.layers import LayerBuilder
from danas_jax.views.audio import AudioView
from danas_jax.views.base import NetworkInput
from danas_jax.views.frame import aspect_of
from danas_jax.views.series import SensorSet, SeriesView

WARNINGS = ["-Wall", "-Wextra", "-Werror", "-O2"]
STRICT = ["-std=c99", "-pedantic", *WARNINGS]
C, CPP = ["gcc", "-std=c99", *WARNINGS], ["g++", "-std=c++17", *WARNINGS]
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
    data = {
        "resolution_px": height,
        "aspect": aspect_of((height, width)),
        "colour": {1: "mono", 3: "rgb"}[channels],
        "channels": channels,
        "native_resolution_px": native_px or height,
        "resize": resize,
        "bit_depth": bit_depth,
        "fit": fit,
    }
    return tflite, _manifest(layers, tflite, model, classes, data), model


def _manifest(layers, tflite, model, classes, data):
    return {
        "id": "toy",
        "classes": classes,
        "data": data,
        "input": {"dtype": "int8", "scale": 1 / 128, "zero_point": 0, "shape": [1, *model.input_shape]},
        "output": {
            "dtype": "int8",
            "scale": model.output.scale,
            "zero_point": model.output.zero_point,
            "shape": [1, len(classes)],
        },
        "memory": {"predicted": cost(layers), "measured": {}},
        "sha256": hashlib.sha256(tflite).hexdigest(),
    }


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


def built(folder, kind, operators, bench):
    """The project compiled with the fakes in place of Arduino's or Zephyr's headers and TFLM's."""
    need("gcc", "g++")
    source = folder / "src" if kind == "zephyr" else folder
    flags = ["-I", FAKES, f"-DFAKE_OPERATORS={operators}", f"-DDANAS_BENCH={bench}", "-c"]
    objects = []
    for file in (*sorted(source.glob("*.c")), *sorted(source.glob("*.cpp"))):
        objects.append(f"{file.name}.o")
        command(*(C if file.suffix == ".c" else CPP), *flags, file, "-o", objects[-1], cwd=folder)
    if kind == "arduino":
        objects.append("sketch.o")
        command(*CPP, *flags, "-I", source, FAKES / "arduino_main.cpp", "-o", "sketch.o", cwd=folder)
    command("g++", *objects, "-o", "program", cwd=folder)
    return "./program"


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


SOUND = AudioView(16000, (16000,), (10,), clips_s=(0.3,), native_clip_s=0.5)
MFCC = AudioView(8000, (4000,), (12,), (6,), windows_ms=(40,), hops_ms=(30,), clips_s=(0.4,), native_clip_s=0.4)
ACC = SeriesView(50, (25,), (0.9,), (SensorSet("acc", (0, 2, 3)),), (900, 32768, 4100, 50))
VIEWS = {"log-mel": SOUND, "mfcc": MFCC, "series": ACC}
SAMPLES = {"log-mel": (8000,), "mfcc": (3200,), "series": (55, 4)}  # of a raw example


def exported_view(name, seed=0):
    """(tflite, manifest, model) of a random network of two classes behind one of VIEWS."""
    view = VIEWS[name]
    source = NetworkInput(view, view.data(**{axis.name: axis.values[0] for axis in view.axes}))
    net = LayerBuilder(source.shape)
    net.conv("stem", 6, kernel=(3, min(3, source.shape[1])))
    net.depthwise("depthwise", (3, min(3, source.shape[1])), stride=2)
    net.conv("project", 8)
    net.dense("classifier", 2)
    layers = net.build()
    model = int8_network(layers, seed)
    classes, data = ["no", "yes"], source.manifest(SAMPLES[name])
    stored = {name: value for name, value in data.items() if name != "view"}
    tflite = write_tflite(model, {"data": stored, "classes": classes})
    manifest = _manifest(layers, tflite, model, classes, data)
    return tflite, json.loads(json.dumps(manifest)), model


def raw_examples(name, count, seed=0):
    """int16 [count, ...] as one of VIEWS reads them: waves of all levels in noise, the last one at full scale."""
    rng, samples = np.random.default_rng(seed), SAMPLES[name]
    times = np.arange(samples[0]).reshape(-1, *[1] * (len(samples) - 1))
    shape = count, *[1] * len(samples)
    waves = np.sin(rng.uniform(0.02, 1, shape) * times) + rng.normal(0, 0.3, (count, *samples))
    raw = 2 ** rng.uniform(6, 13, shape) * waves
    raw[-1] = np.where(waves[-1] > 0, 32767, -32768)
    return raw.round().clip(-32768, 32767).astype(np.int16)
