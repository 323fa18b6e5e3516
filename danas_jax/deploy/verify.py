"""Proof that a .tflite file is what the search promised: TFLM's answers, its operators, its memory."""

from __future__ import annotations

import os
import re
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable
from functools import partial

import numpy as np
from tflite_micro.python.tflite_micro import runtime
from tflite_micro.tensorflow.lite.micro.python import schema_py_generated as schema

from danas_jax.deploy.integer import integer_forward
from danas_jax.deploy.quantise import QuantisedModel
from danas_jax.hardware.graph import NAMES

_SILENCED = threading.Lock()
ALIGNMENT = 16  # bytes; of an arena and of what lies in it
ALLOWED_OPERATORS = tuple(NAMES.values())
_OPERATOR_NAMES = {code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}


class VerificationError(RuntimeError):
    """The exported file is not what it should be: a bug of the exporter, never of the user's input."""


def _silenced(action: Callable):
    """(result or exception, text) of an action that prints through C's stdout and stderr.

    Short, please: what other threads print meanwhile is lost. One at a time, or the process would end up silent.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    with _SILENCED, tempfile.TemporaryFile() as file:
        saved = [os.dup(fd) for fd in (1, 2)]
        try:
            for fd in (1, 2):
                os.dup2(file.fileno(), fd)
            try:
                result = action()
            except Exception as error:  # the wheel raises RuntimeError, ValueError or SystemError
                result = error
        finally:
            for fd, copy in zip((1, 2), saved, strict=True):
                os.dup2(copy, fd)
                os.close(copy)
        file.seek(0)
        return result, file.read().decode(errors="replace")


def operators(tflite: bytes) -> list[str]:
    """Names of the operators of a .tflite file in execution order."""
    graph = schema.Model.GetRootAsModel(tflite, 0)
    subgraph = graph.Subgraphs(0)
    codes = [graph.OperatorCodes(i) for i in range(graph.OperatorCodesLength())]
    numbers = [max(code.BuiltinCode(), code.DeprecatedBuiltinCode()) for code in codes]
    indices = [subgraph.Operators(i).OpcodeIndex() for i in range(subgraph.OperatorsLength())]
    return [_OPERATOR_NAMES.get(numbers[index], f"code {numbers[index]}") for index in indices]


def shapes(tflite: bytes) -> tuple[list[int], list[int]]:
    """(input shape, output shape) of a .tflite file, batch axis included."""
    subgraph = schema.Model.GetRootAsModel(tflite, 0).Subgraphs(0)
    ends = subgraph.Tensors(subgraph.Inputs(0)), subgraph.Tensors(subgraph.Outputs(0))
    found = [[tensor.Shape(i) for i in range(tensor.ShapeLength())] for tensor in ends]
    return found[0], found[1]


def _interpreter(tflite: bytes, arena_bytes: int) -> runtime.Interpreter:
    """An interpreter with that arena; VerificationError with TFLM's own words when it cannot be set up."""
    made, text = _silenced(lambda: runtime.Interpreter.from_bytes(tflite, arena_size=arena_bytes))
    if isinstance(made, Exception):
        raise VerificationError(f"TFLM refuses the file in an arena of {arena_bytes} B: {text.strip() or made}")
    return made


def _roomy_arena(tflite: bytes) -> int:
    """An arena [B] that any network of this file fits in: every activation at once, and bookkeeping."""
    subgraph = schema.Model.GetRootAsModel(tflite, 0).Subgraphs(0)
    shapes = [subgraph.Tensors(i).ShapeAsNumpy() for i in range(subgraph.TensorsLength())]
    size = int(sum(np.prod(shape) + 1024 for shape in shapes)) + (1 << 18)
    return -(-size // ALIGNMENT) * ALIGNMENT


def load(tflite: bytes) -> runtime.Interpreter:
    """An interpreter of the file with ample memory; VerificationError with TFLM's own words when it refuses it."""
    return _interpreter(tflite, _roomy_arena(tflite))


def invoke(interpreter: runtime.Interpreter, inputs: Iterable[np.ndarray]) -> np.ndarray:
    """What the network answers [N, classes] to each of `inputs`, [h, w, c] of its input's type.

    VerificationError when it does not run.
    """

    def run(codes: np.ndarray) -> np.ndarray:
        interpreter.set_input(codes[None], 0)
        interpreter.invoke()
        return interpreter.get_output(0).reshape(-1)

    answers = []
    for codes in inputs:
        answer, text = _silenced(partial(run, codes))
        if isinstance(answer, Exception):
            raise VerificationError(f"TFLM stopped: {answer} {text.strip()}")
        answers.append(answer)
    return np.stack(answers)


def run_tflm(tflite: bytes, images: np.ndarray, arena_bytes: int | None = None) -> np.ndarray:
    """int8 logits [N, classes] of uint8 images [N, h, w, c], by the TFLM interpreter in `arena_bytes` (None: ample).

    VerificationError when the file does not load or run in that arena.
    """
    interpreter = _interpreter(tflite, _roomy_arena(tflite) if arena_bytes is None else arena_bytes)
    return invoke(interpreter, ((image.astype(np.int16) - 128).astype(np.int8) for image in images))


def reported(tflite: bytes, arena_bytes: int | None = None) -> dict[str, int]:
    """What TFLM reports once the network is loaded on this 64-bit host [B]: `total`, `head`, `tail`.

    Head: activations and scratch. Tail: what lives as long as the interpreter. The total exceeds their sum by the
    alignment that TFLM loses between them. VerificationError when the file does not load in `arena_bytes` (None: an
    ample one).
    """
    interpreter = _interpreter(tflite, _roomy_arena(tflite) if arena_bytes is None else arena_bytes)
    error, text = _silenced(interpreter.print_allocations)
    sizes = {name: int(size) for name, size in re.findall(r"Arena allocation (total|head|tail) (\d+) bytes", text)}
    if isinstance(error, Exception) or len(sizes) != 3:
        raise VerificationError(f"TFLM stopped: {error} {text.strip()}")
    return sizes


def measure_arena(tflite: bytes) -> dict[str, int]:
    """What TFLM needs on this 64-bit host [B]: `arena_bytes` (a size it really runs in), `head_bytes`, `tail_bytes`.

    Head and tail as in `reported`. VerificationError when the file does not run.
    """
    sizes, blank = reported(tflite), np.zeros((1, *shapes(tflite)[0][1:]), np.uint8)
    fails, step = -(-sizes["total"] // ALIGNMENT) * ALIGNMENT - ALIGNMENT, ALIGNMENT
    while not _runs_in(tflite, blank, fails + step):  # a toy graph needs far more while TFLM prepares than it reports
        fails, step = fails + step, 2 * step
        if fails > _roomy_arena(tflite):
            raise VerificationError(f"TFLM reports {sizes} but does not run in {fails} B")
    while step > ALIGNMENT:
        step //= 2
        if not _runs_in(tflite, blank, fails + step):
            fails += step
    return {"arena_bytes": fails + step, "head_bytes": sizes["head"], "tail_bytes": sizes["tail"]}


def _runs_in(tflite: bytes, images: np.ndarray, arena_bytes: int) -> bool:
    try:
        run_tflm(tflite, images, arena_bytes)
    except VerificationError:
        return False
    return True


def verify(tflite: bytes, model: QuantisedModel, images: np.ndarray) -> dict:
    """Check a file against `model` on uint8 images [N, h, w, c]; raise VerificationError or return what was measured.

    Checks: operators on the allow-list, TFLM runs in the stated arena, every logit equal to `integer_forward`'s.
    Returns arena_bytes, head_bytes, tail_bytes, file_bytes, images, operators (distinct, in order of first use).
    """
    used = list(dict.fromkeys(operators(tflite)))
    strangers = [name for name in used if name not in ALLOWED_OPERATORS]
    if strangers:
        raise VerificationError(f"operators {strangers} are not among {ALLOWED_OPERATORS}")
    memory = measure_arena(tflite)
    ours, theirs = integer_forward(model, images), run_tflm(tflite, images, memory["arena_bytes"])
    if ours.shape != theirs.shape or (ours != theirs).any():
        rows = np.flatnonzero((ours != theirs).any(axis=1)) if ours.shape == theirs.shape else np.arange(len(images))
        raise VerificationError(
            f"TFLM and the integer simulation differ on {len(rows)} of {len(images)} images, "
            f"first image {rows[0]}: {theirs[rows[0]].tolist()} and {ours[rows[0]].tolist()}"
        )
    return memory | {"file_bytes": len(tflite), "images": len(images), "operators": used}
