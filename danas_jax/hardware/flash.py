"""Flash: the size of the .tflite file that `danas_jax.deploy.tflite_writer` writes, and of file plus runtime code.

The bulk of a file is exact by construction: weights and biases padded to 16 B, per-channel scales (4 B) and zero points
(8 B) of kernel and bias, names. What flatbuffers adds (tables, vectors, padding, shared vtables) is a constant per
operator, fitted to 240 files of the writer: within 0.14 % on `quickstart` and `mobilenetv2_tiny` subnets (0.45 % with
the allowance for metadata), within 160 B for toy graphs.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from danas_jax.layers import ADD, AVG_POOL, CONV, DENSE, DEPTHWISE, INPUT, LayerSpec

FILE_BYTES = 505  # header, root tables, the subgraph, the input tensor and an empty metadata entry
OPERATOR_BYTES = {CONV: 319, DEPTHWISE: 342, ADD: 130, AVG_POOL: 188, DENSE: 347}  # with its tensors and buffers
METADATA_BYTES = 256  # allowance for the JSON that the exporter stores in the file

# TFLM's code for these operators. Source: published STM32H743 rows (mit-han-lab/tinyengine README, TFLM @713b6ed),
# flash = weights + 30.2 B per channel + 104.5 KiB within 0.2 %; three points for two constants, so a weak one.
RUNTIME_BYTES = int(104.5 * 1024)


def _up(size: int, alignment: int) -> int:
    return -(-size // alignment) * alignment


def file_bytes(layers: Sequence[LayerSpec], metadata_bytes: int = METADATA_BYTES) -> int:
    """Predicted size of the int8 .tflite file whose metadata text has `metadata_bytes` bytes [B]."""
    total = FILE_BYTES + _up(len(INPUT) + 1, 4) + metadata_bytes
    for layer in layers:
        name = len(layer.name) + 1  # zero-terminated, padded to 4
        total += OPERATOR_BYTES[layer.op] + _up(name, 4)
        shape = layer.weight_shape
        if shape:
            channels = layer.out_shape[2]
            scales = 1 if layer.op == DENSE else channels  # dense: one scale for the whole kernel
            total += _up(prod(shape), 16) + _up(4 * channels, 16) + 2 * (4 + 8) * scales
            total += _up(name + len("/kernel"), 4) + _up(name + len("/bias"), 4)
    return total


def flash_bytes(file: int) -> int:
    """File [B] plus TFLM's code: what the board's flash must hold beside the application [B]."""
    return file + RUNTIME_BYTES
