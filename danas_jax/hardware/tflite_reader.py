"""Reads any int8 .tflite file of one subgraph into a Graph (graph.py has its figures).

Field numbers are those of TFLite's public schema (version 3); the generated classes of the tflite-micro wheel would
load its runtime.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from math import prod
from pathlib import Path

from danas_jax import untrusted
from danas_jax.errors import UserError
from danas_jax.hardware.flatbuffer import File, Table
from danas_jax.hardware.graph import WEIGHTED, Graph, Operator, Tensor, activations

MAX_FILE_BYTES = 64 * 2**20
MAX_TENSORS_BYTES = 2**30  # of all tensors together: what runs them asks for as much
MAX_RANK = 8
IDENTIFIER = b"TFL3"
SCHEMA_VERSION = 3
EXTERNAL = 2  # Buffer.offset from here on: the data lie outside the flatbuffer, at that place of the file

TYPES = {  # TensorType -> (name, bytes per element)
    0: ("float32", 4),
    1: ("float16", 2),
    2: ("int32", 4),
    3: ("uint8", 1),
    4: ("int64", 8),
    6: ("bool", 1),
    7: ("int16", 2),
    9: ("int8", 1),
}
PADDINGS = {0: "same", 1: "valid"}
ACTIVATIONS = {0: "none", 1: "relu", 2: "relu_n1_to_1", 3: "relu6", 4: "tanh", 5: "sign_bit"}
POOLS = ("AVERAGE_POOL_2D", "MAX_POOL_2D")
WINDOWED = ("CONV_2D", "DEPTHWISE_CONV_2D", *POOLS)  # options: padding=0, stride w=1, h=2
OPTIONS = {  # operator -> (BuiltinOptions, id of fused_activation_function)
    "CONV_2D": (1, 3),
    "DEPTHWISE_CONV_2D": (2, 4),
    "AVERAGE_POOL_2D": (5, 5),
    "MAX_POOL_2D": (5, 5),
    "FULLY_CONNECTED": (8, 0),
    "CONCATENATION": (10, 1),
    "ADD": (11, 0),
}
INPUTS = {"ADD": 2, "PAD": 2, "MEAN": 2, "STRIDED_SLICE": 4}  # that an operator cannot do without; the others 1
READ = {*OPTIONS, "QUANTIZE", "PAD", "MEAN", "SHAPE", "STRIDED_SLICE", "PACK", "RESHAPE", "SOFTMAX"}
# BuiltinOperator by its code, so that an operator that is not read can be named
NAMES = """
ADD AVERAGE_POOL_2D CONCATENATION CONV_2D DEPTHWISE_CONV_2D DEPTH_TO_SPACE DEQUANTIZE EMBEDDING_LOOKUP FLOOR
FULLY_CONNECTED HASHTABLE_LOOKUP L2_NORMALIZATION L2_POOL_2D LOCAL_RESPONSE_NORMALIZATION LOGISTIC LSH_PROJECTION LSTM
MAX_POOL_2D MUL RELU RELU_N1_TO_1 RELU6 RESHAPE RESIZE_BILINEAR RNN SOFTMAX SPACE_TO_DEPTH SVDF TANH CONCAT_EMBEDDINGS
SKIP_GRAM CALL CUSTOM EMBEDDING_LOOKUP_SPARSE PAD UNIDIRECTIONAL_SEQUENCE_RNN GATHER BATCH_TO_SPACE_ND SPACE_TO_BATCH_ND
TRANSPOSE MEAN SUB DIV SQUEEZE UNIDIRECTIONAL_SEQUENCE_LSTM STRIDED_SLICE BIDIRECTIONAL_SEQUENCE_RNN EXP TOPK_V2 SPLIT
LOG_SOFTMAX DELEGATE BIDIRECTIONAL_SEQUENCE_LSTM CAST PRELU MAXIMUM ARG_MAX MINIMUM LESS NEG PADV2 GREATER GREATER_EQUAL
LESS_EQUAL SELECT SLICE SIN TRANSPOSE_CONV SPARSE_TO_DENSE TILE EXPAND_DIMS EQUAL NOT_EQUAL LOG SUM SQRT RSQRT SHAPE POW
ARG_MIN FAKE_QUANT REDUCE_PROD REDUCE_MAX PACK LOGICAL_OR ONE_HOT LOGICAL_AND LOGICAL_NOT UNPACK REDUCE_MIN FLOOR_DIV
REDUCE_ANY SQUARE ZEROS_LIKE FILL FLOOR_MOD RANGE RESIZE_NEAREST_NEIGHBOR LEAKY_RELU SQUARED_DIFFERENCE MIRROR_PAD ABS
SPLIT_V UNIQUE CEIL REVERSE_V2 ADD_N GATHER_ND COS WHERE RANK ELU REVERSE_SEQUENCE MATRIX_DIAG QUANTIZE MATRIX_SET_DIAG
ROUND HARD_SWISH IF WHILE NON_MAX_SUPPRESSION_V4 NON_MAX_SUPPRESSION_V5 SCATTER_ND SELECT_V2 DENSIFY SEGMENT_SUM
BATCH_MATMUL
"""
BUILTIN = NAMES.split()


@contextmanager
def _within(where: str) -> Generator[None]:
    """Says in which part of the file a UserError arose."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{where}: {error}") from None


def _one_of(what: str, table: dict, value: int):
    """What `value` stands for in an enumeration of the schema."""
    if value not in table:
        raise UserError(f"{what} {value} is not read (only {', '.join(map(str, table))})")
    return table[value]


def _buffer_bytes(buffer: Table) -> int:
    """Bytes of constant data [B]."""
    offset = buffer.number(1, "Q")
    if offset < EXTERNAL:
        return buffer.vector(0, 1)[1]
    size = buffer.number(2, "Q")
    buffer.file.check(offset, size)
    return size


def _scales(quantisation: Table | None) -> int:
    """How many scales a tensor has; 0 where scales or zero points are missing, which TFLM takes for none."""
    if quantisation is None or not quantisation.vector(3, 8)[1]:
        return 0
    return quantisation.vector(2, 4)[1]


def _tensor(table: Table, buffers: list[int]) -> Tensor:
    shape, name, buffer = table.integers(0), table.text(3), table.number(2, "I")
    kind, element = _one_of("tensor type", TYPES, table.number(1, "b"))
    if buffer >= len(buffers):
        raise UserError(f"buffer {buffer} of {len(buffers)}")
    if len(shape) > MAX_RANK or min(shape, default=0) < 0:
        raise UserError(f"its shape {list(shape[: MAX_RANK + 1])} needs up to {MAX_RANK} dimensions of known size")
    size = element * prod(shape)
    if buffers[buffer] not in (0, size):
        raise UserError(f"{buffers[buffer]} B of data, {size} B by its shape {list(shape)} and type {kind}")
    return Tensor(name, shape, kind, size, buffers[buffer], buffer, _scales(table.table(4)))


def _operator_name(code: Table) -> str:
    number = max(code.number(0, "b"), code.number(3, "i"))  # codes above 127 are only in the newer, wider field
    name = BUILTIN[number] if 0 <= number < len(BUILTIN) else f"builtin operator {number}"
    return f"CUSTOM {code.text(1)}" if name == "CUSTOM" else name


def _check_weighted(name: str, operands: list[Tensor | None]) -> None:
    """Operands in the order input, kernel, output[, bias]: what `macs` and `params` rely on."""
    given = [t for t in operands[:3] if t is not None]
    if len(given) < 3 or any(t.type != "int8" for t in given):
        raise UserError(f"needs int8 input, kernel and output, has {', '.join(t.type for t in given)}")
    x, kernel, y = (t.shape for t in given)
    rank = 2 if name == "FULLY_CONNECTED" else 4
    fits = len(kernel) == rank and min(*kernel, *y, *x, 1) > 0 and (rank == 2 or len(x) == len(y) == 4)
    if fits and name == "FULLY_CONNECTED":
        fits = kernel[:1] == y[-1:] and prod(x) * kernel[0] == prod(y) * kernel[1]
    elif fits and name == "CONV_2D":
        fits = kernel[0] == y[3] and x[3] % kernel[3] == 0  # fewer input channels in the kernel: groups
    elif fits:
        fits = kernel[0] == 1 and kernel[3] == y[3] and y[3] % x[3] == 0  # more outputs than inputs: depth multiplier
    bias = operands[3]
    if not fits or (bias is not None and prod(bias.shape) != y[-1]):
        shapes = ", ".join(str(list(t.shape)) for t in operands if t is not None)
        raise UserError(f"shapes of input, kernel, output and bias do not fit: {shapes}")


def _operator(name: str, table: Table, tensors: tuple[Tensor, ...]) -> Operator:
    if name not in READ:
        raise UserError(f"this operator is not read (only {', '.join(sorted(READ))})")
    inputs, outputs = table.integers(1), table.integers(2)
    _check_ids(inputs, tensors, -1)
    _check_ids(outputs, tensors)
    if not outputs:
        raise UserError("it has no output")
    least = INPUTS.get(name, 1)
    if len(inputs) < least or -1 in inputs[:least]:
        raise UserError(f"its inputs are {list(inputs)}, it needs {least}")
    if any(tensors[t].constant_bytes for t in outputs):
        raise UserError("it writes a constant")
    kernel, stride, padding, activation = (1, 1), (1, 1), "", "none"
    operands = [tensors[t] if t >= 0 else None for t in (*inputs, -1, -1, -1)[:3]]
    if name in WEIGHTED:
        _check_weighted(name, [*operands[:2], tensors[outputs[0]], operands[2]])
    options = table.table(4)
    if name in OPTIONS and options is not None:
        kind, field = OPTIONS[name]
        if table.number(3, "B") != kind:
            raise UserError(f"options of kind {table.number(3, 'B')}, not {kind}")
        activation = _one_of("activation", ACTIVATIONS, options.number(field, "b"))
    if name in WINDOWED:
        if options is None:
            raise UserError("its options (stride, padding) are missing")
        padding = _one_of("padding", PADDINGS, options.number(0, "b"))
        stride = options.number(2, "i"), options.number(1, "i")
        if name in POOLS:
            kernel = options.number(4, "i"), options.number(3, "i")
        elif operands[1] is not None:
            kernel = operands[1].shape[1], operands[1].shape[2]
        if min(*stride, *kernel) < 1:
            raise UserError(f"stride {stride} and kernel {kernel} must be positive")
    return Operator(name, inputs, outputs, kernel, stride, padding, activation)


def _check_ids(ids: tuple[int, ...], tensors: tuple[Tensor, ...], least: int = 0) -> None:
    for i in ids:
        if not least <= i < len(tensors):
            raise UserError(f"tensor {i} of {len(tensors)}")


def _parse(data: bytes) -> Graph:
    if not data:
        raise UserError("the file is empty")
    if len(data) > MAX_FILE_BYTES:
        raise UserError(f"more than {MAX_FILE_BYTES} B; networks for microcontrollers are smaller")
    if data[4:8] != IDENTIFIER:
        raise UserError(f"no .tflite file: bytes 4 to 8 are {data[4:8]!r}, not {IDENTIFIER!r}")
    file = File(data)
    model = Table(file, file.follow(0))
    version, subgraphs = model.number(0, "I"), model.tables(2)
    if version != SCHEMA_VERSION:
        raise UserError(f"schema version {version}, not {SCHEMA_VERSION}")
    if len(subgraphs) != 1:
        raise UserError(f"{len(subgraphs)} subgraphs; only files with one are read")
    names = [_operator_name(code) for code in model.tables(1)]
    buffers = [_buffer_bytes(buffer) for buffer in model.tables(4)]
    tensors, operators, claimed = [], [], 0
    for i, table in enumerate(subgraphs[0].tables(0)):
        with _within(f"tensor {i}"):
            tensors.append(_tensor(table, buffers))
            claimed += tensors[-1].bytes
            if claimed > MAX_TENSORS_BYTES:
                raise UserError(f"{tensors[-1].bytes:,} B by its shape: more than {MAX_TENSORS_BYTES:,} B up to here")
    tensors = tuple(tensors)
    for i, table in enumerate(subgraphs[0].tables(3)):
        code = table.number(0, "I")
        if code >= len(names):
            raise UserError(f"operator {i}: operator code {code} of {len(names)}")
        with _within(f"operator {i} ({names[code]})"):
            operators.append(_operator(names[code], table, tensors))
    inputs, outputs = subgraphs[0].integers(1), subgraphs[0].integers(2)
    if not (inputs and outputs and operators):
        raise UserError(f"{len(inputs)} inputs, {len(outputs)} outputs, {len(operators)} operators: none may be 0")
    _check_ids((*inputs, *outputs), tensors)
    graph = Graph(tensors, tuple(operators), inputs, outputs, len(data))
    if not activations(graph):  # raises as well where something is read before it is written
        raise UserError("every tensor that the network reads or writes is empty")
    return graph


def parse(data: bytes, source: str) -> Graph:
    """The graph of a .tflite file's bytes; `source` names the file in errors.

    Raises UserError for what is no .tflite file, damaged, larger than 64 MiB, not int8, or has an operator not in READ.
    """
    with _within(source):
        return _parse(data)


def read(path: Path | str) -> Graph:
    """The graph of the .tflite file at `path`. Raises UserError as `parse` does, and when it cannot be read."""
    path = Path(path)
    try:
        if not path.is_file():  # a pipe or a device would wait for ever
            raise UserError(f"{path}: no such file")
        data = untrusted.read_bytes(path, MAX_FILE_BYTES)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read: {error}") from error
    return parse(data, str(path))
