"""The files of a firmware project: what is shipped with danas, and what is generated for one network."""

from __future__ import annotations

import math
from importlib import resources
from string import Template

import numpy as np

from danas_jax.deploy.firmware.c_config import Frame, c_config
from danas_jax.deploy.firmware.c_layers import c_layers
from danas_jax.deploy.header import c_header
from danas_jax.deploy.quantise import QuantisedModel
from danas_jax.hardware import runtimes
from danas_jax.hardware.graph import from_layers
from danas_jax.hardware.tflm import ALIGNMENT

NOISE_FRAMES = 3  # in frames.bin where no pictures are given

_PROGRAM = (
    *("program.c", "program.h", "network.h", "board.h", "preprocess.c", "preprocess.h"),
    *("result.c", "result.h", "bench.c", "bench.h", "text.c", "text.h"),
)
# kind -> {file of the project: file of sources/}
_COPIED = {
    "arduino": {name: name for name in (*_PROGRAM, "tflm_network.cpp", "arduino.ino", "board_arduino.cpp")},
    "zephyr": {
        **{f"src/{name}": name for name in (*_PROGRAM, "tflm_network.cpp", "board_zephyr.c")},
        "src/main.c": "zephyr_main.c",
        "CMakeLists.txt": "zephyr_CMakeLists.txt",
        "prj.conf": "zephyr_prj.conf",
    },
    "bare": {
        **{name: name for name in (*_PROGRAM, "network.c", "layers.h", "kernels.c", "startup.c", "frames.S")},
        **{name: name for name in ("board_emulated.c", "board_host.c", "bare.ld")},
        "main.c": "bare_main.c",
        "Makefile": "bare.mk",
    },
}


def tflm_arena_bytes(model: QuantisedModel) -> int:
    """Tensor arena for TFLM with CMSIS-NN's kernels, the most of the two, and what that figure may be off by [B]."""
    runtime = runtimes.CMSIS_NN
    ram = runtimes.ram_bytes(from_layers([layer.spec for layer in model.layers]), runtime)
    return ALIGNMENT * math.ceil(ram * (1 + runtime.ram_error_percent / 100) / ALIGNMENT)


def _source(name: str) -> str:
    return (resources.files("danas_jax.deploy.firmware.sources") / name).read_text(encoding="utf-8")


def project(
    kind: str,
    tflite: bytes,
    manifest: dict,
    model: QuantisedModel,
    frame: Frame,
    board: str = "",
    frames: np.ndarray | None = None,
) -> dict[str, bytes]:
    """Content of every file of a project, by its path in the project's folder; `model` is what `tflite` holds.

    `board`, where known, is named in the bench mode's output. `frames` uint8 [N, S, S, C] go into the emulated board
    of a bare project (None: noise).
    """
    inside = "src/" if kind == "zephyr" else ""
    colour = "R, G, B" if frame.channels == 3 else "grey"
    words = {
        "id": manifest["id"],
        "frame": f"frames of {frame.shape[1]} x {frame.shape[0]} pixels, {colour}, 8 bits each ({frame.bytes} bytes)",
        "frame_size": f"{frame.shape[1]}, {frame.shape[0]}",
        "frame_mode": "RGB" if frame.channels == 3 else "L",
        "frame_count": NOISE_FRAMES,
    }
    text = {path: _source(name) for path, name in _COPIED[kind].items()}
    text["README.md"] = Template(_source(f"{kind}_README.md")).substitute(words)
    text[f"{inside}model.h"] = c_header(tflite, manifest)
    text[f"{inside}firmware_config.h"] = c_config(model, frame, board, tflm_arena_bytes(model))
    files = {}
    if kind == "bare":
        text["layers.c"] = c_layers(model)
        if frames is None:
            frames = np.random.default_rng(0).integers(0, 256, (NOISE_FRAMES, *frame.shape), dtype=np.uint8)
        files["frames.bin"] = frames.tobytes()
    return {path: content.encode() for path, content in text.items()} | files
