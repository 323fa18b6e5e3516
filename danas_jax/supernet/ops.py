"""The kernels of the supernet, chosen per platform in this one place.

On CPU, XLA's grouped convolution is 13-80 times slower than shifted multiply-adds, its pointwise convolution's gradient
8 times slower than a matrix product, and its float reductions over batch and space run as one strict chain of additions
per channel (docs/design.md has the figures). So there: depthwise = shifted sums, pointwise = matrix product, and every
sum over positions = a few vectorised partial sums followed by a product with a row of ones. Elsewhere: XLA's own.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from danas_jax.layers import BN_EPSILON


def on_cpu() -> bool:
    """Whether the CPU forms of the kernels are used (decided when a program is traced)."""
    return jax.default_backend() == "cpu"


def position_sum(*factors: jax.Array) -> jax.Array:
    """Sum over all axes but the last of the product of equally shaped arrays [B, H, W, C] -> [C]."""
    if not on_cpu():
        product = factors[0]
        for factor in factors[1:]:
            product = product * factor
        return product.sum(axis=tuple(range(product.ndim - 1)))
    return _row_sums([_folded([*factors])])[0]


def _row_sums(terms: list[jax.Array]) -> jax.Array:
    """Equally shaped [..., C] arrays -> their sums over all axes but the last [len(terms), C], as one product."""
    rows = jnp.stack([term.reshape(-1, term.shape[-1]) for term in terms], axis=1)
    while rows.size > _ROW_SUM_LIMIT * len(terms) and rows.shape[0] % 2 == 0:
        rows = _folded([rows])
    flat = rows.reshape(rows.shape[0], -1)
    part = lax.broadcasted_iota(jnp.int32, (_CHAINS, len(flat)), 1) * _CHAINS // len(flat)
    chains = (part == lax.broadcasted_iota(jnp.int32, part.shape, 0)).astype(flat.dtype)
    return (chains @ flat).sum(axis=0).reshape(len(terms), -1)


_ROW_SUM_LIMIT = 1 << 17  # elements; above it the product with a row of ones was 10 times slower (8 against 80 ms)
_CHAINS = 8  # a product adds one by one; eight shorter chains cost the same and lose a tenth as much to rounding


def _folded(factors: list[jax.Array]) -> jax.Array:
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


def _taps(x: jax.Array, kernel: int, stride: int) -> list[jax.Array]:
    """The kernel * kernel shifted views of `x` [B, H, W, C], each [B, H', W', C], row by row."""
    out_h, top, bottom = _same_padding(x.shape[1], kernel, stride)
    out_w, left, right = _same_padding(x.shape[2], kernel, stride)
    # The barrier keeps XLA from recomputing x's producers once per tap.
    x = lax.optimization_barrier(jnp.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0))))
    return [
        x[:, i : i + (out_h - 1) * stride + 1 : stride, j : j + (out_w - 1) * stride + 1 : stride]
        for i in range(kernel)
        for j in range(kernel)
    ]


def _shifted_sum(x: jax.Array, weight: jax.Array, stride: int) -> jax.Array:
    kernel = weight.shape[0]
    flat = weight.reshape(kernel * kernel, -1)
    total = None
    for tap, view in enumerate(_taps(x, kernel, stride)):
        term = view * flat[tap]
        total = term if total is None else total + term
    assert total is not None
    return total


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def _depthwise_cpu(x: jax.Array, weight: jax.Array, stride: int) -> jax.Array:
    return _shifted_sum(x, weight, stride)


def _depthwise_forward(x, weight, stride):
    return _shifted_sum(x, weight, stride), (x, weight)


def _depthwise_backward(stride, saved, grad):
    x, weight = saved
    kernel, shape = weight.shape[0], x.shape
    padding, places = [(0, 0, 0)], []
    for size, out in zip(shape[1:3], grad.shape[1:3], strict=True):
        low = kernel - 1 - _same_padding(size, kernel, stride)[1]
        spread = (out - 1) * stride + 1
        padding.append((low, size + kernel - 1 - low - spread, stride - 1))
        places.append(slice(low, low + spread, stride))
    spread_grad = lax.optimization_barrier(lax.pad(grad, jnp.zeros((), grad.dtype), [*padding, (0, 0, 0)]))
    # Taken back out of the padded array, which XLA keeps: `grad` itself it would compute anew for each of the taps.
    grad = spread_grad[:, places[0], places[1]]
    taps = [_folded([view, grad]) for view in _taps(x, kernel, stride)]
    return _input_gradient(spread_grad, weight, shape), _row_sums(taps).reshape(weight.shape)


def _input_gradient(spread_grad, weight, shape):
    """The transposed convolution as one more shifted sum, of the spread gradient with the flipped kernel."""
    kernel = weight.shape[0]
    flat = weight[::-1, ::-1].reshape(kernel * kernel, -1)
    total = None
    for i in range(kernel):
        for j in range(kernel):
            term = spread_grad[:, i : i + shape[1], j : j + shape[2]] * flat[i * kernel + j]
            total = term if total is None else total + term
    return total


_depthwise_cpu.defvjp(_depthwise_forward, _depthwise_backward)


def _source_taps(size: int, kernel: int, stride: int) -> np.ndarray:
    """Which tap reads input i for output o along one axis, int [size, out]; `kernel` where none does."""
    out, before, _ = _same_padding(size, kernel, stride)
    tap = np.arange(size)[:, None] - (np.arange(out) * stride - before)
    return np.where((tap >= 0) & (tap < kernel), tap, kernel)


def _depthwise_by_position(x: jax.Array, weight: jax.Array, stride: int) -> jax.Array:
    """Every channel as one matrix from input to output positions: for small maps fewer products than taps."""
    batch, height, width, channels = x.shape
    rows, columns = (_source_taps(size, weight.shape[0], stride) for size in (height, width))
    padded = jnp.pad(weight, ((0, 1), (0, 1), (0, 0)))
    matrix = padded[rows[:, None, :, None], columns[None, :, None, :]]  # [H, W, H', W', C]
    matrix = matrix.reshape(height * width, -1, channels)
    out = jnp.einsum("bic,ioc->boc", x.reshape(batch, -1, channels), matrix)
    return out.reshape(batch, rows.shape[1], columns.shape[1], channels)


def depthwise(x: jax.Array, weight: jax.Array, stride: int) -> jax.Array:
    """Depthwise convolution, SAME: x [B, H, W, C], weight [k, k, C]."""
    if on_cpu():
        # Measured: from about two input positions a tap on, shifting is faster (docs/design.md).
        small = x.shape[1] * x.shape[2] <= 2 * weight.shape[0] ** 2
        return (_depthwise_by_position if small else _depthwise_cpu)(x, weight, stride)
    return lax.conv_general_dilated(
        x, weight[:, :, None, :], (stride, stride), "SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=x.shape[-1],
    )  # fmt: skip


def dense_conv(x: jax.Array, weight: jax.Array, stride: int) -> jax.Array:
    """Dense convolution, SAME: x [B, H, W, I], weight [k, k, I, O]; k = 1 as a matrix product."""
    kernel = weight.shape[0]
    if kernel == 1 and stride == 1:
        return x @ weight[0, 0]
    if on_cpu():
        patches = jnp.concatenate(_taps(x, kernel, stride), axis=-1)
        return patches @ weight.reshape(-1, weight.shape[-1])
    return lax.conv_general_dilated(x, weight, (stride, stride), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def _normalise(x, mean, var, scale, bias):
    return (x - mean) * (lax.rsqrt(var + BN_EPSILON) * scale) + bias


@jax.custom_vjp
def batch_norm_train(x: jax.Array, scale: jax.Array, bias: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Normalise by the batch's own statistics: x [B, H, W, C] -> (y, mean [C], biased variance [C]), two-pass.

    Everything is computed in the type of `scale`; y has the type of x.
    The statistics carry no gradient of their own (they are only recorded).
    """
    return _batch_norm_forward(x, scale, bias)[0]


def _batch_norm_forward(x, scale, bias):
    x = lax.optimization_barrier(x)
    count = x.size // x.shape[-1]
    wide = x.astype(scale.dtype)
    mean = position_sum(wide) / count
    centred = wide - mean
    var = position_sum(centred, centred) / count
    return (_normalise(wide, mean, var, scale, bias).astype(x.dtype), mean, var), (x, mean, var, scale)


def _batch_norm_backward(saved, grads):
    x, mean, var, scale = saved
    grad = lax.optimization_barrier(grads[0]).astype(scale.dtype)
    count = x.size // x.shape[-1]
    inverse = lax.rsqrt(var + BN_EPSILON)
    centred = x.astype(scale.dtype) - mean
    grad_bias = position_sum(grad)
    grad_scale = position_sum(grad, centred) * inverse
    slope = scale * inverse
    grad_x = slope * (grad - grad_bias / count - centred * (inverse * grad_scale / count))
    return grad_x.astype(x.dtype), grad_scale, grad_bias


batch_norm_train.defvjp(_batch_norm_forward, _batch_norm_backward)


def batch_norm_eval(x: jax.Array, mean: jax.Array, var: jax.Array, scale: jax.Array, bias: jax.Array) -> jax.Array:
    """Normalise by given statistics [C]."""
    return _normalise(x.astype(mean.dtype), mean, var, scale, bias).astype(x.dtype)


def activate(x: jax.Array, kind: str) -> jax.Array:
    """`none`, `relu` or `relu6`."""
    if kind == "relu6":
        return jnp.clip(x, 0.0, 6.0)
    return jnp.maximum(x, 0.0) if kind == "relu" else x
