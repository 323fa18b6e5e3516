"""The files of a firmware project: what is shipped with danas, and what is generated for one network."""

from __future__ import annotations

import math
from importlib import resources
from string import Template

import numpy as np

from danas_jax.deploy.firmware.c_config import c_config
from danas_jax.deploy.firmware.c_layers import c_layers
from danas_jax.deploy.firmware.front_end import FrontEnd
from danas_jax.deploy.header import c_header
from danas_jax.deploy.quantise import QuantisedModel
from danas_jax.hardware import runtimes
from danas_jax.hardware.graph import from_layers
from danas_jax.hardware.tflm import ALIGNMENT

NOISE_EXAMPLES = 3  # in examples.bin where none are given

_PROGRAM = (
    *("program.c", "program.h", "network.h", "board.h", "front_end.h"),
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
        **{name: name for name in (*_PROGRAM, "network.c", "layers.h", "kernels.c", "startup.c", "examples.S")},
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
    front_end: FrontEnd,
    board: str = "",
    examples: np.ndarray | None = None,
) -> dict[str, bytes]:
    """Content of every file of a project, by its path in the project's folder; `model` is what `tflite` holds.

    `board`, where known, is named in the bench mode's output. `examples` [N, *front_end.shape] go into the emulated
    board of a bare project (None: noise).
    """
    inside = "src/" if kind == "zephyr" else ""
    words = front_end.words._asdict()
    sender = Template(_source("sender.txt")).substitute(words)
    told = {"id": manifest["id"], "count": f"{NOISE_EXAMPLES} {front_end.noun}", "sender": sender, **words}
    text = {path: _source(name) for path, name in _COPIED[kind].items()}
    text |= {f"{inside}{name}": _source(name) for name in front_end.sources}
    text |= {f"{inside}{name}": content for name, content in front_end.generated.items()}
    text["README.md"] = Template(_source(f"{kind}_README.md")).substitute(told)
    text[f"{inside}model.h"] = c_header(tflite, manifest)
    text[f"{inside}firmware_config.h"] = c_config(model, front_end, board, tflm_arena_bytes(model))
    files = {}
    if kind == "bare":
        text["layers.c"] = c_layers(model)
        if examples is None:
            lowest, highest = np.iinfo(front_end.dtype).min, np.iinfo(front_end.dtype).max
            shape = (NOISE_EXAMPLES, *front_end.shape)
            examples = np.random.default_rng(0).integers(lowest, highest, shape, front_end.dtype, endpoint=True)
        files["examples.bin"] = examples.astype(front_end.dtype.newbyteorder("<")).tobytes()
    return {path: content.encode() for path, content in text.items()} | files
