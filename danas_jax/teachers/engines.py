"""What runs a teacher's file: LiteRT for .tflite, onnxruntime for .onnx (extra `teacher`). One network, one interface.

A process of its own tries each file first: both engines are native code, and nobody vouches for the file.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import prod
from typing import Any, NamedTuple

import numpy as np

from danas_jax import untrusted
from danas_jax.errors import UserError

TRIAL_S = 120  # that one inference of a file may take
_BATCH = 32  # pictures of a call, where the model takes any number


class Quantisation(NamedTuple):
    """real = scale * (code - zero_point)."""

    scale: float
    zero_point: int


class End(NamedTuple):
    """Input or output of a network."""

    shape: tuple[int, ...]  # the first number is that of examples
    dtype: np.dtype
    quantisation: Quantisation | None  # of integers, where the file has it


@dataclass(frozen=True, eq=False)
class Engine:
    """A network in its engine: `calls` run it, each from one thread at a time."""

    name: str
    source: End  # its shape's first number: examples of one call
    target: End
    calls: Sequence[Callable[[np.ndarray], np.ndarray]]

    @property
    def outputs(self) -> int:
        """Numbers that it gives for an example."""
        return prod(self.target.shape[1:])

    def run(self, inputs: np.ndarray) -> np.ndarray:
        """Outputs [N, outputs] of inputs [N, ...] of the input's shape and type, on all calls at once."""
        size, count = self.source.shape[0], len(inputs)
        missing = -count % size
        padded = np.concatenate([inputs, np.repeat(inputs[-1:], missing, axis=0)]) if missing else inputs
        starts = np.arange(0, len(padded), size)

        def share(call: int) -> list[np.ndarray]:
            return [self.calls[call](padded[i : i + size]) for i in starts[call :: len(self.calls)]]

        found = np.empty((len(starts), size, self.outputs), self.target.dtype)
        with ThreadPoolExecutor(len(self.calls)) as pool:
            for call, answers in enumerate(pool.map(share, range(len(self.calls)))):
                for i, answer in enumerate(answers):
                    found[call + i * len(self.calls)] = answer.reshape(size, -1)
        return found.reshape(-1, self.outputs)[:count]


def load(content: bytes, suffix: str, where: str, threads: int | None = None, batch: int = _BATCH) -> Engine:
    """The network in the bytes of a `.tflite` or `.onnx` file; UserError naming `where` for what is none.

    A network that takes any number of pictures gets `batch` at a time.
    """
    threads = threads or min(16, len(os.sched_getaffinity(0)))
    return _litert(content, where, threads) if suffix == ".tflite" else _onnx(content, where, threads, batch)


def try_file(content: bytes, suffix: str, where: str) -> None:
    """UserError when one inference of the file ends the engine's process, or does not end."""
    code = f"from danas_jax.teachers import engines; engines.run_trial({suffix!r})"
    untrusted.try_apart(code, content, TRIAL_S, "LiteRT" if suffix == ".tflite" else "onnxruntime", where)


def run_trial(suffix: str) -> None:
    """One inference of the network on stdin, in a process of its own."""
    engine = load(sys.stdin.buffer.read(), suffix, "stdin", threads=1, batch=1)
    engine.run(np.zeros(engine.source.shape, engine.source.dtype))


def _package(module: str, package: str, where: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UserError(f"{where}: {package} is not installed: pip install 'danas-jax[teacher]'") from error


def _refused(where: str, engine: str, error: Exception) -> UserError:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return UserError(f"{where}: {engine} does not run it: {' '.join(lines)[:300]}")


def _litert(content: bytes, where: str, threads: int) -> Engine:
    package = _package("ai_edge_litert.interpreter", "ai-edge-litert", where)

    def started() -> Any:
        try:
            interpreter = package.Interpreter(model_content=content, num_threads=1)
            interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise _refused(where, "LiteRT", error) from error
        return interpreter

    # An interpreter for each core: one with several threads leaves them waiting between small layers.
    interpreters = [started() for _ in range(threads)]
    taken, given = interpreters[0].get_input_details(), interpreters[0].get_output_details()
    _one_each(taken, given, where)

    def end(details: dict[str, Any]) -> End:
        found = details["quantization_parameters"]
        known = len(found["scales"]) == len(found["zero_points"]) == 1
        quantisation = Quantisation(float(found["scales"][0]), int(found["zero_points"][0])) if known else None
        return End(tuple(map(int, details["shape"])), np.dtype(details["dtype"]), quantisation)

    def call(interpreter: Any) -> Callable[[np.ndarray], np.ndarray]:
        def run(inputs: np.ndarray) -> np.ndarray:
            try:
                interpreter.set_tensor(taken[0]["index"], inputs)
                interpreter.invoke()
            except (ValueError, RuntimeError) as error:
                raise _refused(where, "LiteRT", error) from error
            return interpreter.get_tensor(given[0]["index"])

        return run

    return Engine("LiteRT", end(taken[0]), end(given[0]), [call(i) for i in interpreters])


_ONNX_TYPES = {"tensor(float)": "float32", "tensor(float16)": "float16", "tensor(uint8)": "uint8"}
_ONNX_TYPES |= {"tensor(int8)": "int8", "tensor(double)": "float64"}


def _onnx(content: bytes, where: str, threads: int, batch: int) -> Engine:
    onnxruntime = _package("onnxruntime", "onnxruntime", where)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what is wrong comes as an exception, too
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions have no base of their own
        raise _refused(where, "onnxruntime", error) from error
    _one_each(session.get_inputs(), session.get_outputs(), where)

    def end(of: Any) -> End:
        if of.type not in _ONNX_TYPES:
            raise UserError(f"{where}: {of.name} is {of.type}: give one of {', '.join(_ONNX_TYPES)}")
        first, *others = of.shape or [1]
        if not all(isinstance(size, int) and size > 0 for size in others):
            raise UserError(f"{where}: {of.name} is {of.shape}: give a network with a fixed height, width and output")
        count = first if isinstance(first, int) and first > 0 else batch
        return End((count, *others), np.dtype(_ONNX_TYPES[of.type]), None)

    source, target = session.get_inputs()[0].name, session.get_outputs()[0].name

    def run(inputs: np.ndarray) -> np.ndarray:
        try:
            return np.asarray(session.run([target], {source: inputs})[0])
        except Exception as error:
            raise _refused(where, "onnxruntime", error) from error

    return Engine("onnxruntime", end(session.get_inputs()[0]), end(session.get_outputs()[0]), [run] * threads)


def _one_each(inputs: Sequence, outputs: Sequence, where: str) -> None:
    for name, found in (("input", inputs), ("output", outputs)):
        if len(found) != 1:
            raise UserError(f"{where}: {len(found)} {name}s, a classifier has one")
