"""The CPU forms of the supernet's kernels (supernet/ops.py chooses; docs/design.md has the figures).

XLA's grouped convolution on a CPU is 13-80 times slower than shifted multiply-adds, and its reductions over batch
and space run as one strict chain of additions a channel. So depthwise = a sum of shifted views, or of single positions
where a map has no more of them than the kernel has taps, and every sum over positions = a few vectorised partial sums
followed by a product with rows of ones.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial, reduce
from itertools import product
from math import prod

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax


def row_sums(terms: list[jax.Array]) -> jax.Array:
    """Equally shaped [..., C] arrays -> their sums over all axes but the last [len(terms), C], as one product."""
    rows = jnp.stack([term.reshape(-1, term.shape[-1]) for term in terms], axis=1)
    while rows.size > _ROW_SUM_LIMIT * len(terms) and rows.shape[0] % 2 == 0:
        rows = folded([rows])
    flat = rows.reshape(rows.shape[0], -1)
    part = lax.broadcasted_iota(jnp.int32, (_CHAINS, len(flat)), 1) * _CHAINS // len(flat)
    chains = (part == lax.broadcasted_iota(jnp.int32, part.shape, 0)).astype(flat.dtype)
    sums = jnp.matmul(chains, flat, preferred_element_type=_wide(flat[:0]).dtype).sum(axis=0)
    return sums.astype(flat.dtype).reshape(len(terms), -1)


_ROW_SUM_LIMIT = 1 << 17  # elements; above it the product with a row of ones was 10 times slower (8 against 80 ms)
_CHAINS = 8  # a product adds one by one; eight shorter chains cost the same and lose a tenth as much to rounding


def folded(factors: list[jax.Array]) -> jax.Array:
    """The product of `factors` with its leading axis folded, summed, until it is small, to an 8th at most.

    Small arrays stay whole: every part is code to compile.
    """
    length, size = factors[0].shape[0], factors[0].size
    divisors = [u for u in (1, 2, 4, 8) if length % u == 0]
    parts = next((u for u in divisors if size // u <= _ROW_SUM_LIMIT), divisors[-1])
    rows = length // parts
    total = None
    for u in range(parts):
        product = factors[0][u * rows : (u + 1) * rows]
        for factor in factors[1:]:
            product = product * factor[u * rows : (u + 1) * rows]
        total = product if total is None else total + product
    assert total is not None
    return total


def _same_padding(size: int, kernel: int, stride: int) -> tuple[int, int, int]:
    """(output size, padding before, padding after) of TensorFlow's SAME rule."""
    out = -(-size // stride)
    total = max((out - 1) * stride + kernel - size, 0)
    return out, total // 2, total - total // 2


def taps(x: jax.Array, kernel: tuple[int, ...], stride: int) -> list[jax.Array]:
    """The k_h * k_w shifted views of `x` [B, H, W, C], each [B, H', W', C], row by row."""
    out_h, top, bottom = _same_padding(x.shape[1], kernel[0], stride)
    out_w, left, right = _same_padding(x.shape[2], kernel[1], stride)
    # The barrier keeps XLA from recomputing x's producers once per tap.
    x = lax.optimization_barrier(jnp.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0))))
    return [
        x[:, i : i + (out_h - 1) * stride + 1 : stride, j : j + (out_w - 1) * stride + 1 : stride]
        for i, j in product(*map(range, kernel))
    ]


def _shifted_sum(x: jax.Array, weight: jax.Array, stride: int) -> jax.Array:
    flat = weight.reshape(-1, weight.shape[-1])
    return _added(view * tap for view, tap in zip(taps(x, weight.shape[:2], stride), flat, strict=True))


def _added(terms: Iterable[jax.Array]) -> jax.Array:
    """Their sum, bfloat16 added up in float32."""
    first, *others = terms
    return reduce(jnp.add, map(_wide, others), _wide(first)).astype(first.dtype)


def _wide(x: jax.Array) -> jax.Array:
    return x.astype(jnp.float32) if x.dtype == jnp.bfloat16 else x


def _source_taps(size: int, kernel: int, stride: int) -> np.ndarray:
    """Which tap reads input i for output o along one axis, int [size, out]; `kernel` where none does."""
    out, before, _ = _same_padding(size, kernel, stride)
    tap = np.arange(size)[:, None] - (np.arange(out) * stride - before)
    return np.where((tap >= 0) & (tap < kernel), tap, kernel)


def _position_matrix(weight: jax.Array, height: int, width: int, stride: int) -> jax.Array:
    """Every channel's convolution as a matrix from input to output positions, [H * W, H' * W', C]."""
    sides = zip((height, width), weight.shape[:2], strict=True)
    rows, columns = (_source_taps(size, kernel, stride) for size, kernel in sides)
    padded = jnp.pad(weight, ((0, 1), (0, 1), (0, 0)))
    matrix = padded[rows[:, None, :, None], columns[None, :, None, :]]  # [H, W, H', W', C]
    return matrix.reshape(height * width, -1, weight.shape[-1])


@jax.custom_vjp
def pointwise(x: jax.Array, weight: jax.Array) -> jax.Array:
    """A matrix product per position: x [..., I], weight [I, O]."""
    return x @ weight


def _pointwise_forward(x, weight):
    return pointwise(x, weight), (x, weight)


def _pointwise_backward(saved, grad):
    """As autodiff has it, but the weight's gradient is not written as a transposed product.

    For that form XLA makes a transposed copy of `grad`, and computes it anew instead of sharing it with grad_x.
    """
    x, weight = saved
    rows, grad_rows = (array.reshape(-1, array.shape[-1]) for array in (x, grad))
    return grad @ weight.T, lax.dot_general(rows, grad_rows, (((0,), (0,)), ((), ())))


pointwise.defvjp(_pointwise_forward, _pointwise_backward)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def depthwise(x: jax.Array, weight: jax.Array, stride: int) -> jax.Array:
    """Depthwise convolution, SAME: x [B, H, W, C], weight [k_h, k_w, C]."""
    batch, height, width, channels = x.shape
    if height * width > prod(weight.shape[:2]):
        return _shifted_sum(x, weight, stride)
    matrix, flat = _position_matrix(weight, height, width, stride), x.reshape(batch, -1, channels)
    out = _added(flat[:, i, None] * matrix[i] for i in range(height * width))
    return out.reshape(batch, -(-height // stride), -(-width // stride), channels)


def _depthwise_forward(x, weight, stride):
    return depthwise(x, weight, stride), (x, weight)


def _depthwise_backward(stride, saved, grad):
    x, weight = saved
    # Measured: from about two input positions a tap on, shifting is faster (docs/design.md).
    small = x.shape[1] * x.shape[2] <= 2 * prod(weight.shape[:2])
    return (_backward_by_position if small else _backward_by_shifting)(x, weight, stride, grad)


depthwise.defvjp(_depthwise_forward, _depthwise_backward)


def _backward_by_position(x, weight, stride, grad):
    batch, height, width, channels = x.shape
    matrix, transposed = jax.vjp(lambda weight: _position_matrix(weight, height, width, stride), weight)
    flat, flat_grad = x.reshape(batch, -1, channels), grad.reshape(batch, -1, channels)
    grad_x = _added(flat_grad[:, o, None] * matrix[:, o] for o in range(flat_grad.shape[1]))
    return grad_x.reshape(x.shape), transposed(jnp.einsum("bic,boc->ioc", flat, flat_grad))[0]


def _backward_by_shifting(x, weight, stride, grad):
    kernels, shape = weight.shape[:2], x.shape
    padding, places = [(0, 0, 0)], []
    for size, out, kernel in zip(shape[1:3], grad.shape[1:3], kernels, strict=True):
        low = kernel - 1 - _same_padding(size, kernel, stride)[1]
        spread = (out - 1) * stride + 1
        padding.append((low, size + kernel - 1 - low - spread, stride - 1))
        places.append(slice(low, low + spread, stride))
    spread_grad = lax.optimization_barrier(lax.pad(grad, jnp.zeros((), grad.dtype), [*padding, (0, 0, 0)]))
    # Taken back out of the padded array, which XLA keeps: `grad` itself it would compute anew for each of the taps.
    grad = spread_grad[:, places[0], places[1]]
    sums = [folded([view, grad]) for view in taps(x, kernels, stride)]
    return _input_gradient(spread_grad, weight, shape), row_sums(sums).reshape(weight.shape)


def _input_gradient(spread_grad, weight, shape):
    """The transposed convolution as one more shifted sum, of the spread gradient with the flipped kernel."""
    flat = weight[::-1, ::-1].reshape(-1, weight.shape[-1])
    places = product(*map(range, weight.shape[:2]))
    views = (spread_grad[:, i : i + shape[1], j : j + shape[2]] for i, j in places)
    return _added(view * tap for view, tap in zip(views, flat, strict=True))
