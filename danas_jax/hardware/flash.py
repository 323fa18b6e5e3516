"""Flash: the size of the .tflite file that `danas_jax.deploy.tflite_writer` writes, and of file plus runtime code.

The bulk of a file is exact by construction: weights and biases padded to 16 B, their scales (4 B) and zero points
(8 B), names. What flatbuffers adds (tables, vectors, padding, shared vtables) is a constant per operator, fitted to 240
files of the writer: within 0.14 % on `quickstart` and `mobilenetv2_tiny` subnets (0.45 % with the allowance for
metadata), within 160 B for toy graphs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from danas_jax.hardware.memory import aligned

if TYPE_CHECKING:
    from danas_jax.hardware.graph import Graph

FILE_BYTES = 505  # header, root tables, the subgraph, the input tensor and an empty metadata entry
OPERATOR_BYTES = {  # with its tensors and buffers
    "CONV_2D": 319,
    "DEPTHWISE_CONV_2D": 342,
    "ADD": 130,
    "AVERAGE_POOL_2D": 188,
    "MAX_POOL_2D": 148,
    "FULLY_CONNECTED": 347,
}
METADATA_BYTES = 256  # allowance for the JSON that the exporter stores in the file

# TFLM's code for the operators of the published STM32H743 rows (mit-han-lab/tinyengine README, TFLM @ 713b6ed): flash
# less the file's size, fitted to mcunet-vww0 and -vww2, within 0.1 % on vww1 (tests/test_hardware_published.py).
RUNTIME_BYTES = 94_900


def file_bytes(graph: Graph, metadata_bytes: int = METADATA_BYTES) -> int:
    """Predicted size of the file of a graph made by `graph.from_layers` [B]; its metadata text has `metadata_bytes`."""
    total = FILE_BYTES + metadata_bytes + sum(OPERATOR_BYTES[op.name] for op in graph.operators)
    for tensor in graph.tensors:
        total += aligned(len(tensor.name) + 1, 4)  # zero-terminated
        if tensor.constant_bytes:
            total += aligned(tensor.constant_bytes, 16) + (4 + 8) * tensor.scales
    return total


def flash_bytes(file):
    """File [B] plus TFLM's code: what the board's flash must hold beside the application [B]; an int or an array."""
    return file + RUNTIME_BYTES
