"""The arithmetic that the float and the integer network share, in NumPy, on [N, h, w, c] arrays."""

from __future__ import annotations

from functools import reduce
from itertools import product

import numpy as np

from danas_jax.layers import LayerSpec

CHUNK_ELEMENTS = 1 << 19  # elements of the widest tensor handled at once: keeps a chunk's arrays in the cache

GEMM_PIECE = 1 << 18  # multiply-accumulates up to which OpenBLAS stays on one thread


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """(before, after) zeros along one axis, as TensorFlow's SAME."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def _taps(x: np.ndarray, kernel: tuple[int, ...], stride: int) -> list[np.ndarray]:
    """The k_h * k_w shifted views of zero-padded x [N, h, w, c], each [N, ceil(h / s), ceil(w / s), c], row by row."""
    _, h, w, _ = x.shape
    rows, cols = same_padding(h, kernel[0], stride), same_padding(w, kernel[1], stride)
    padded = np.pad(x, ((0, 0), rows, cols, (0, 0)))
    last_row, last_col = (-(-h // stride) - 1) * stride + 1, (-(-w // stride) - 1) * stride + 1
    return [padded[:, i : i + last_row : stride, j : j + last_col : stride] for i, j in product(*map(range, kernel))]


def matmul(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a [n, k] @ b [k, m] in pieces that OpenBLAS runs on one thread.

    Its threads wait for each other 8 ms a call on shared cores: 20 to 50 times the time of these small products.
    """
    n, k = a.shape
    m = b.shape[1]
    rows = max(8, GEMM_PIECE // (k * m))
    cols = max(2, GEMM_PIECE // (rows * k))
    result = np.empty((n, m), np.result_type(a, b))
    for left in range(0, m, cols):
        part, out = b[:, left : left + cols], result[:, left : left + cols]
        for top in range(0, n, rows):
            np.matmul(a[top : top + rows], part, out=out[top : top + rows])
    return result


def conv(x: np.ndarray, kernel: np.ndarray, stride: int) -> np.ndarray:
    """SAME convolution of x [N, h, w, in] with kernel [k_h, k_w, in, out]; one matrix product."""
    window, width = kernel.shape[:2], kernel.shape[3]
    columns = x if window == (1, 1) and stride == 1 else np.concatenate(_taps(x, window, stride), axis=-1)
    sums = matmul(columns.reshape(-1, columns.shape[-1]), kernel.reshape(-1, width))
    return sums.reshape(*columns.shape[:3], width)


def depthwise(x: np.ndarray, kernel: np.ndarray, stride: int) -> np.ndarray:
    """SAME depthwise convolution of x [N, h, w, c] with kernel [k_h, k_w, c], as a sum of shifted products."""
    taps = _taps(x, kernel.shape[:2], stride)
    weights = kernel.reshape(len(taps), -1)
    total = taps[0] * weights[0]
    term = np.empty_like(total)
    for tap, weight in zip(taps[1:], weights[1:], strict=True):
        np.multiply(tap, weight, out=term)
        total += term
    return total


def max_pool(x: np.ndarray, window: tuple[int, int], stride: int) -> np.ndarray:
    """The largest of each whole window of x [N, h, w, c]."""
    rows, cols = ((size - taps) // stride * stride + 1 for size, taps in zip(x.shape[1:3], window, strict=True))
    views = (x[:, i : i + rows : stride, j : j + cols : stride] for i, j in product(*map(range, window)))
    return reduce(np.maximum, views)


def dense(x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """x [N, h, w, c] flattened times kernel [h * w * c, out]; [N, 1, 1, out]."""
    return matmul(x.reshape(len(x), -1), kernel)[:, None, None, :]


def chunks(layers: tuple[LayerSpec, ...], count: int):
    """Slices over `count` images, sized so that the widest tensor of a chunk stays small."""
    widest = max(np.prod(shape) for layer in layers for shape in (layer.in_shape, layer.out_shape))
    step = max(1, CHUNK_ELEMENTS // int(widest))
    return (slice(start, min(start + step, count)) for start in range(0, count, step))


def check_images(layers: tuple[LayerSpec, ...], images: np.ndarray) -> None:
    """ValueError unless `images` is uint8 [N >= 1, h, w, c] as the first layer reads them."""
    shape = layers[0].in_shape
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != shape or not len(images):
        raise ValueError(f"images {images.dtype} {images.shape}: need uint8 [N, {shape[0]}, {shape[1]}, {shape[2]}]")
