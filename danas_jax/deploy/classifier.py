"""Any int8 classifier of pictures in a .tflite file, ours or another's, run by TFLM: uint8 pixels in, logits out."""

from __future__ import annotations

import struct
import sys
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tflite_micro.python.tflite_micro import runtime
from tflite_micro.tensorflow.lite.micro.python import schema_py_generated as schema

from danas_jax import untrusted
from danas_jax.deploy import verify
from danas_jax.errors import UserError
from danas_jax.hardware import tflite_reader
from danas_jax.hardware.graph import Graph

SMALLEST_PX = 8  # side of a picture: what is narrower is a series or sound
TRIAL_S = 120  # that one inference of a foreign file may take


class End(NamedTuple):
    """Input or output of the network: real = scale * (code - zero_point)."""

    dtype: str  # "int8" or "uint8"
    scale: float
    zero_point: int

    @property
    def lowest(self) -> int:
        """The lowest code."""
        return int(np.iinfo(self.dtype).min)


class Normalisation(NamedTuple):
    """The network reads (pixel - mean) / std, for every channel or one for all."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True)
class Classifier:
    """What is known of a network by its file alone."""

    tflite: bytes
    graph: Graph
    shape: tuple[int, int, int]  # of its input: height, width, channels
    classes: int
    input: End
    output: End

    @property
    def channels(self) -> int:
        """Channels of its input."""
        return self.shape[2]

    def require_picture(self, where: str) -> None:
        """UserError naming `where` unless its input is one picture, grey or in colour."""
        if min(self.shape[:2]) < SMALLEST_PX or self.channels not in (1, 3):
            raise UserError(
                f"{where}: its input is {[1, *self.shape]}, not [1, H, W, 1 or 3]: one picture of {SMALLEST_PX} px or "
                "more a side; sound and series of danas need their manifest.json"
            )

    @property
    def is_softmax(self) -> bool:
        """Whether it gives probabilities, not logits."""
        return self.graph.operators[-1].name == "SOFTMAX"

    def start(self) -> runtime.Interpreter:
        """An interpreter of it; UserError with TFLM's own words when it refuses the file."""
        try:
            return verify.load(self.tflite)
        except verify.VerificationError as error:
            raise UserError(f"the model does not run: {error}") from error

    def codes(
        self, interpreter: runtime.Interpreter, views: np.ndarray, normalisation: Normalisation | None = None
    ) -> np.ndarray:
        """Output codes [N, classes] of uint8 views [N, h, w, c], or [N, h, w, 1]: the same in each channel.

        Without a normalisation the 256 pixel values are the 256 codes of the input, in their order: uint8 as it is,
        int8 = pixel - 128. UserError when it does not run.
        """
        table = self._input_table(normalisation)
        channels = np.arange(self.channels)
        try:
            return verify.invoke(interpreter, (table[view, channels] for view in views))
        except verify.VerificationError as error:
            raise UserError(f"the model does not run: {error}") from error

    def logits(self, codes: np.ndarray) -> np.ndarray:
        """Real-valued logits float64 [N, classes] of output codes; of probabilities their logarithms."""
        values = (codes.astype(np.float64) - self.output.zero_point) * self.output.scale
        if not self.is_softmax:
            return values
        return np.log(np.maximum(values, self.output.scale / 2))  # a probability that was rounded to 0

    def _input_table(self, normalisation: Normalisation | None) -> np.ndarray:
        """Code of each pixel value in each channel, [256, C] of the input's type."""
        pixels = np.arange(256)[:, None]
        if normalisation is None:
            codes = np.broadcast_to(pixels + self.input.lowest, (256, self.channels))
        else:
            real = (pixels - np.array(normalisation.mean)) / np.array(normalisation.std)
            rounded = np.rint(real / self.input.scale) + self.input.zero_point
            codes = np.clip(rounded, self.input.lowest, self.input.lowest + 255) * np.ones(self.channels)
        return codes.astype(self.input.dtype)


def read_file(path: Path) -> bytes:
    """The bytes of a model; UserError when it cannot be read."""
    try:
        return untrusted.read_bytes(path, tflite_reader.MAX_FILE_BYTES)
    except OSError as error:
        raise UserError(f"model {path} cannot be read ({error.strerror}): give a .tflite file") from error


def parse_classifier(tflite: bytes, where: str) -> Classifier:
    """The classifier in a file's bytes. UserError naming `where` for what is damaged, no int8 network or no classifier.

    What TFLM itself would read without looking (the flatbuffer's structure) is checked here.
    """
    graph = tflite_reader.parse(tflite, where)
    for name, ids in (("input", graph.inputs), ("output", graph.outputs)):
        if len(ids) != 1:
            raise UserError(f"{where}: {len(ids)} {name}s, a classifier has one")
    given, taken = graph.tensors[graph.outputs[0]], graph.tensors[graph.inputs[0]]
    for name, tensor in (("input", taken), ("output", given)):
        if tensor.type not in ("int8", "uint8"):
            raise UserError(f"{where}: its {name} is {tensor.type}: give a network quantised to int8 (or uint8)")
    if len(taken.shape) != 4 or taken.shape[0] != 1 or min(taken.shape) < 1:
        raise UserError(f"{where}: its input is {list(taken.shape)}, not [1, height, width, channels]: one example")
    classes = given.shape[-1] if given.shape else 0
    if classes < 2 or prod(given.shape) != classes:
        raise UserError(f"{where}: its output is {list(given.shape)}, not one number for each of two or more classes")
    ends = [_end(tflite, i, graph.tensors[i].type, where) for i in (graph.inputs[0], graph.outputs[0])]
    return Classifier(tflite, graph, (taken.shape[1], taken.shape[2], taken.shape[3]), classes, *ends)


def _end(tflite: bytes, tensor: int, dtype: str, where: str) -> End:
    """The quantisation of a tensor of a file whose structure was checked."""
    try:
        found = schema.Model.GetRootAsModel(tflite, 0).Subgraphs(0).Tensors(tensor).Quantization()
        scale, zero_point = float(found.Scale(0)), int(found.ZeroPoint(0))
        known = found.ScaleLength() == found.ZeroPointLength() == 1
    except (AttributeError, struct.error, TypeError, ValueError, IndexError):
        known, scale, zero_point = False, 0.0, 0
    info = np.iinfo(dtype)
    if not (known and np.isfinite(scale) and scale > 0 and info.min <= zero_point <= info.max):
        raise UserError(f"{where}: tensor {tensor} has no scale and zero point of its own: give a quantised network")
    return End(dtype, scale, zero_point)


def try_foreign(classifier: Classifier, where: str) -> None:
    """UserError when one inference of a file that nobody vouches for ends TFLM's process, or does not end.

    TFLM trusts numbers (multipliers, axes) that make it crash; of 475 damaged files whose structure passed, two did.
    """
    code = "from danas_jax.deploy import classifier; classifier.run_trial()"
    untrusted.try_apart(code, classifier.tflite, TRIAL_S, "TFLM", where)


def run_trial() -> None:
    """One inference of the classifier on stdin, in a process of its own; what TFLM refuses is said later, in ours."""
    classifier = parse_classifier(sys.stdin.buffer.read(), "stdin")
    classifier.codes(classifier.start(), np.zeros((1, *classifier.shape), np.uint8))
