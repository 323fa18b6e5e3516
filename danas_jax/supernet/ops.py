"""The kernels of the supernet, chosen per platform in this one place.

On CPU: depthwise, pointwise and sums over positions as in cpu_kernels.py, dense = a matrix product of patches (XLA's
convolution has an 8 times slower gradient there). Elsewhere: XLA's own.
"""

from __future__ import annotations

from functools import reduce
from itertools import product

import jax
import jax.numpy as jnp
from jax import lax

from danas_jax.layers import BN_EPSILON
from danas_jax.supernet import cpu_kernels


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
    return cpu_kernels.row_sums([cpu_kernels.folded([*factors])])[0]


def depthwise(x: jax.Array, weight: jax.Array, stride: int) -> jax.Array:
    """Depthwise convolution, SAME: x [B, H, W, C], weight [k_h, k_w, C]."""
    if on_cpu():
        return cpu_kernels.depthwise(x, weight, stride)
    return lax.conv_general_dilated(
        x, weight[:, :, None, :], (stride, stride), "SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=x.shape[-1],
    )  # fmt: skip


def dense_conv(x: jax.Array, weight: jax.Array, stride: int) -> jax.Array:
    """Dense convolution, SAME: x [B, H, W, I], weight [k_h, k_w, I, O]; 1 x 1 as a matrix product."""
    kernel = weight.shape[:2]
    pointwise = kernel == (1, 1) and stride == 1
    if on_cpu():
        patches = x if pointwise else jnp.concatenate(cpu_kernels.taps(x, kernel, stride), axis=-1)
        return cpu_kernels.pointwise(patches, weight.reshape(-1, weight.shape[-1]))
    if pointwise:
        return x @ weight[0, 0]
    return lax.conv_general_dilated(x, weight, (stride, stride), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def max_pool(x: jax.Array, window: tuple[int, int], stride: int) -> jax.Array:
    """The largest of each whole window of x [B, H, W, C]; XLA's own has a far slower gradient on CPU."""
    rows, cols = ((size - taps) // stride * stride + 1 for size, taps in zip(x.shape[1:3], window, strict=True))
    return reduce(
        jnp.maximum, (x[:, i : i + rows : stride, j : j + cols : stride] for i, j in product(*map(range, window)))
    )


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
