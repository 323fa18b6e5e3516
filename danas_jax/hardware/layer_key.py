"""What a layer's time depends on, as latency tables key it: from a graph's operator, from and to a table's cells."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from math import ceil, prod

import numpy as np

from danas_jax.errors import UserError
from danas_jax.hardware.annotated_csv import Line
from danas_jax.hardware.graph import WEIGHTED, Graph, Operator
from danas_jax.hardware.tflite_reader import POOLS, READ, WINDOWED

OVERHEAD = "OVERHEAD"  # the row that holds an inference's fixed time, beside that of its operators
CELLS = ("op", "input", "output", "kernel", "stride", "padding")
MAX_SIZE = 65_536  # of one dimension


@dataclass(frozen=True, order=True)
class Key:
    """What a layer's time depends on. Shapes are without the batch; `kernel` and `stride` (h, w).

    `input` is that of the first activation read; a FULLY_CONNECTED's shapes are (features,).
    """

    op: str
    input: tuple[int, ...] = ()
    output: tuple[int, ...] = ()
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    padding: str = ""

    @property
    def macs(self) -> int:
        """Multiply-accumulates; 0 without weights."""
        if self.op == "FULLY_CONNECTED":
            return prod(self.input) * prod(self.output)
        return self._taps(*self.kernel) if self.op in WEIGHTED else 0

    def _taps(self, high: int, wide: int) -> int:
        """Products of all outputs whose windows cover `high` rows and `wide` columns each."""
        return prod(self.output) * high * wide * (self.input[2] if self.op == "CONV_2D" else 1)

    @property
    def features(self) -> np.ndarray:
        """Sizes a kernel loops over, float64 [5]: products, those not in the padding, outputs, inputs, 1.

        Reference kernels skip the padding, others multiply zeros: a table tells which. Products of an operator without
        a window are its MACs, or its outputs.
        """
        outputs = prod(self.output)
        every = inside = self.macs or outputs
        if self.op in WINDOWED:
            every = self._taps(*self.kernel)
            windows = zip(self.input, self.output, self.kernel, self.stride, strict=False)
            covered = prod(_covered(*window, self.padding) for window in windows)
            inside = covered * every // (prod(self.output[:2]) * prod(self.kernel))
        return np.array([every, inside, outputs, prod(self.input), 1.0], np.float64)

    @property
    def family(self) -> tuple:
        """What has to be equal for interpolation. A pool's window is as large as its map, so it may differ."""
        return (self.op,) if self.op in POOLS else (self.op, self.kernel, self.stride, self.padding)


def _covered(size: int, out: int, kernel: int, stride: int, padding: str) -> int:
    """Taps inside the input, over all `out` windows along one axis; SAME padding as TensorFlow's."""
    before = max((out - 1) * stride + kernel - size, 0) // 2 if padding == "same" else 0
    start = np.arange(out) * stride - before
    return int(np.sum(np.clip(np.minimum(start + kernel, size) - np.maximum(start, 0), 0, None)))


def key_of(graph: Graph, operator: Operator) -> Key | None:
    """The key of an operator; None for what tables do not hold: batches, and convolutions in groups."""

    def shape(ids: tuple[int, ...]) -> tuple[int, ...]:
        full = next((graph.tensors[i].shape for i in ids if i >= 0), ())
        return full[1:] if full[:1] == (1,) and len(full) > 1 else full

    name, source, target = operator.name, shape(operator.inputs), shape(operator.outputs)
    if name == "FULLY_CONNECTED":
        kernel = graph.tensors[operator.inputs[1]].shape
        return Key(name, kernel[1:], kernel[:1]) if prod(target) == kernel[0] else None
    if name in WINDOWED and len(source) != 3:
        return None
    if name == "CONV_2D" and graph.tensors[operator.inputs[1]].shape[3] != source[2]:
        return None
    return Key(name, source, target, operator.kernel, operator.stride, operator.padding)


def _sizes(line: Line, column: str, counts: tuple[int, ...]) -> tuple[int, ...]:
    """ "24x24x16" -> (24, 24, 16), with one of `counts` many sizes."""
    cell = line.cells.get(column, "")
    sizes = tuple(map(int, cell.split("x"))) if re.fullmatch(r"[0-9]{1,5}(x[0-9]{1,5})*", cell) else ()
    if (cell and not sizes) or len(sizes) not in counts or any(not 1 <= s <= MAX_SIZE for s in sizes):
        form = {0: "nothing", 1: "one size", 2: "3x3", 3: "24x24x16 (height, width, channels)"}
        right = " or ".join(form.get(count, f"{count} sizes") for count in counts[:3])
        raise UserError(f"{line.where}: {column} = {cell!r}: give {right}, each size from 1 to {MAX_SIZE}")
    return sizes


def _pair(line: Line, column: str, windowed: bool) -> tuple[int, int]:
    """ "5x3" -> (5, 3), "3" -> (3, 3); without a window the cell is empty and (1, 1) meant."""
    sizes = _sizes(line, column, (1, 2) if windowed else (0,)) or (1,)
    return sizes[0], sizes[-1]


def cells(key: Key) -> tuple[str, ...]:
    """The cells of CELLS."""
    window = (key.kernel, key.stride) if key.op in WINDOWED else ((), ())
    return (key.op, *("x".join(map(str, sizes)) for sizes in (key.input, key.output, *window)), key.padding)


def from_cells(line: Line) -> Key:
    """The key in a table's row. Raises UserError for an unknown operator or shapes that cannot be."""
    name = line.cells["op"]
    if name == OVERHEAD:
        if any(line.cells.get(column) for column in CELLS[1:]):
            raise UserError(f"{line.where}: {OVERHEAD} is of a whole inference: leave its shapes empty")
        return Key(OVERHEAD)
    if name not in READ:
        near = difflib.get_close_matches(name.upper(), READ, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise UserError(f"{line.where}: op = {name!r}: {hint}Operators are {OVERHEAD}, {', '.join(sorted(READ))}")
    windowed, dense = name in WINDOWED, name == "FULLY_CONNECTED"
    ranks = (3,) if windowed else (1,) if dense else (1, 2, 3, 4)
    shapes = _sizes(line, "input", ranks), _sizes(line, "output", ranks)
    padding = line.cells.get("padding", "")
    if padding not in (("same", "valid") if windowed else ("",)):
        raise UserError(f"{line.where}: padding = {padding!r}: give {'same or valid' if windowed else 'nothing'}")
    key = Key(name, *shapes, _pair(line, "kernel", windowed), _pair(line, "stride", windowed), padding)
    if windowed:
        _check_window(line, key)
    return key


def _check_window(line: Line, key: Key) -> None:
    lost = (0, 0) if key.padding == "same" else (key.kernel[0] - 1, key.kernel[1] - 1)
    right = tuple(ceil((size - less) / step) for size, less, step in zip(key.input, lost, key.stride, strict=False))
    if key.output[:2] != right:
        raise UserError(
            f"{line.where}: output = {line.cells['output']!r}: its input, kernel, stride and padding "
            f"give {right[0]}x{right[1]}"
        )
    if key.op != "CONV_2D" and key.output[2] % key.input[2]:
        raise UserError(f"{line.where}: {key.input[2]} channels become {key.output[2]}: {key.op} cannot")
