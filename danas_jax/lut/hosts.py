"""The runtimes of this machine: a .tflite file becomes an inference that can be timed. One thread each."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata

import numpy as np

from danas_jax.deploy import verify
from danas_jax.errors import UserError

BOARD = "host"  # of the tables of this machine
Inference = Callable[[], object]


def _input(shape: np.ndarray) -> np.ndarray:
    return np.random.default_rng(0).integers(-128, 128, shape).astype(np.int8)


def _tflm(tflite: bytes) -> Inference:
    interpreter = verify.load(tflite)
    interpreter.set_input(_input(interpreter.get_input_details(0)["shape"]), 0)
    return interpreter.invoke


def _litert(tflite: bytes) -> Inference:
    try:
        package = importlib.import_module("ai_edge_litert.interpreter")  # an extra
    except ImportError:
        raise UserError(
            "--runtime = host-litert: ai-edge-litert is not installed here: pip install 'danas_jax[export]'"
        ) from None
    interpreter = package.Interpreter(model_content=tflite, num_threads=1)
    interpreter.allocate_tensors()
    details = interpreter.get_input_details()[0]
    interpreter.set_tensor(details["index"], _input(details["shape"]))
    return interpreter.invoke


@dataclass(frozen=True)
class Host:
    """One of them: `runtime` as tables name it, the package it comes in, its kernels, and how it starts a file.

    `start` raises UserError when the package is not installed.
    """

    runtime: str
    package: str
    kernels: str
    start: Callable[[bytes], Inference]

    def describe(self) -> dict:
        """What a table's first line says of it: version and kernels."""
        return {"version_of_runtime": f"{self.package} {metadata.version(self.package)}", "kernels": self.kernels}


HOSTS = {
    "host-tflm": Host("tflm", "tflite-micro", "reference kernels of the wheel", _tflm),
    "host-litert": Host("litert", "ai-edge-litert", "the interpreter's default (XNNPACK), 1 thread", _litert),
}
