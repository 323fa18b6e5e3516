"""The kernels against lax.conv_general_dilated and plain jnp, values and gradients, in both forms (CPU and XLA's)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from danas_jax.layers import BN_EPSILON
from danas_jax.supernet import ops

pytestmark = pytest.mark.usefixtures("strict_types")
FORMS = ["cpu", "xla"]
NHWC = ("NHWC", "HWIO", "NHWC")


@pytest.fixture(params=FORMS, autouse=True)
def form(request, monkeypatch):
    """Both forms run here: the choice is made when a program is traced."""
    monkeypatch.setattr(ops, "on_cpu", lambda: request.param == "cpu")
    return request.param


def draw(*shape, seed=0, mean=0.0):
    return jnp.asarray(np.random.default_rng(seed).normal(mean, 1, shape), jnp.float32)


def reference_conv(x, weight, stride, groups):
    weight = weight[:, :, None, :] if groups > 1 else weight
    return lax.conv_general_dilated(
        x, weight, (stride, stride), "SAME", dimension_numbers=NHWC, feature_group_count=groups,
        precision=lax.Precision.HIGHEST,
    )  # fmt: skip


def check(ours, theirs, *arguments, atol=2e-5):
    """Equal values, and equal gradients of a sum in which every output has a weight of its own."""
    value = theirs(*arguments)
    found = jax.jit(ours)(*arguments)
    assert found.shape == value.shape
    np.testing.assert_allclose(found, value, rtol=0, atol=atol * max(1.0, float(jnp.abs(value).max())))
    weights = draw(*value.shape, seed=9)
    numbers = tuple(range(len(arguments)))
    grads = [jax.jit(jax.grad(lambda *a, f=f: (f(*a) * weights).sum(), numbers))(*arguments) for f in (ours, theirs)]
    for one, two in zip(*grads, strict=True):
        np.testing.assert_allclose(one, two, rtol=0, atol=atol * max(1.0, float(jnp.abs(two).max())))


SHAPES = [(kernel, stride, size) for kernel in (3, 5, 7) for stride in (1, 2) for size in ((8, 8), (7, 9))]


@pytest.mark.parametrize(("kernel", "stride", "size"), SHAPES)
def test_depthwise(kernel, stride, size):
    x, weight = draw(3, *size, 5), draw(kernel, kernel, 5, seed=1)
    check(lambda x, w: ops.depthwise(x, w, stride), lambda x, w: reference_conv(x, w, stride, 5), x, weight)


@pytest.mark.parametrize(("window", "stride"), [((2, 2), 2), ((3, 3), 3), ((2, 1), 2)])
def test_max_pool(window, stride):
    """Rows and columns that are in no whole window are left out, by the gradient, too."""
    check(
        lambda x: ops.max_pool(x, window, stride),
        lambda x: lax.reduce_window(x, -jnp.inf, lax.max, (1, *window, 1), (1, stride, stride, 1), "VALID"),
        draw(3, 8, 7, 4),
    )


@pytest.mark.parametrize(("kernel", "stride", "size"), [*SHAPES[:4], (1, 1, (7, 9)), (1, 2, (8, 8)), (5, 2, (7, 9))])
def test_dense_conv(kernel, stride, size):
    x, weight = draw(3, *size, 4), draw(kernel, kernel, 4, 6, seed=1)
    check(lambda x, w: ops.dense_conv(x, w, stride), lambda x, w: reference_conv(x, w, stride, 1), x, weight)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(
    ("kernel", "size"), [(7, (7, 7)), (7, (5, 9)), (5, (2, 2)), (5, (5, 4)), (3, (1, 1)), (3, (3, 2))]
)
def test_no_more_positions_than_taps(kernel, size, stride):
    x, weight = draw(2, *size, 3), draw(kernel, kernel, 3, seed=1)
    check(lambda x, w: ops.depthwise(x, w, stride), lambda x, w: reference_conv(x, w, stride, 3), x, weight)


OBLONG = [((7, 1), (30, 1)), ((4, 2), (9, 6)), ((1, 5), (3, 8))]
SMALL_OBLONG = [((7, 1), (7, 1)), ((5, 1), (9, 1)), ((5, 1), (1, 1)), ((2, 6), (4, 3))]


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("kernel", "size"), OBLONG + SMALL_OBLONG)
def test_oblong_windows(kernel, size, stride):
    """The small ones: no more positions than taps, or than two a tap where the backward pass has its bound."""
    x, weight = draw(2, *size, 3), draw(*kernel, 3, seed=1)
    check(lambda x, w: ops.depthwise(x, w, stride), lambda x, w: reference_conv(x, w, stride, 3), x, weight)
    weight = draw(*kernel, 3, 4, seed=1)
    check(lambda x, w: ops.dense_conv(x, w, stride), lambda x, w: reference_conv(x, w, stride, 1), x, weight)


def test_a_window_of_more_taps_than_positions_goes_by_position(form):
    """Taps count by area: 7 x 1 has fewer than a map of 8, 7 x 2 more."""
    x = draw(1, 8, 1, 2)
    slices = [
        str(jax.make_jaxpr(lambda x, w: ops.depthwise(x, w, 1))(x, draw(7, width, 2))).count(" gather[")
        for width in (1, 2)
    ]
    assert slices == ([0, 1] if form == "cpu" else [0, 0])


@pytest.mark.parametrize("size", [4, 12])
def test_bfloat16_adds_up_in_float32(size, form):
    """Off by what rounding inputs and the result to bfloat16 (2**-9) costs, not by 49 roundings."""
    x, weight = draw(2, size, size, 3, mean=1.0), jnp.abs(draw(7, 7, 3, seed=1))
    exact = reference_conv(x, weight, 1, 3)
    found = ops.depthwise(x.astype(jnp.bfloat16), weight.astype(jnp.bfloat16), 1).astype(jnp.float32)
    assert float(jnp.abs(found - exact).max()) < 6e-3 * float(jnp.abs(exact).max())


@pytest.mark.parametrize("shape", [(8, 6, 6, 5), (6, 5, 7, 3), (7, 3, 3, 4), (1, 1, 1, 2), (64, 24, 24, 16)])
def test_position_sum(shape):
    """The last shape is above the limit of one row product, so rows are folded again."""
    x, y = draw(*shape, mean=0.5), draw(*shape, seed=1)
    axes = tuple(range(len(shape) - 1))
    np.testing.assert_allclose(ops.position_sum(x), np.asarray(x, np.float64).sum(axes), rtol=2e-5)
    np.testing.assert_allclose(
        ops.position_sum(x, y), (np.asarray(x, np.float64) * np.asarray(y)).sum(axes), rtol=1e-4, atol=1e-3
    )
    grads = jax.grad(lambda x: (ops.position_sum(x, y) * jnp.arange(float(shape[-1]))).sum())(x)
    np.testing.assert_allclose(grads, np.asarray(y) * np.arange(shape[-1]), rtol=1e-6)


def test_position_sum_loses_little_to_rounding():
    """Batch statistics are such sums, and a deep network multiplies their error: one chain of additions lost 1e-6."""
    for shape in ((32, 32, 32, 8), (32, 8, 8, 120)):
        x = draw(*shape, mean=0.5)
        error = np.abs(np.asarray(ops.position_sum(x)) - np.asarray(x, np.float64).sum((0, 1, 2)))
        assert error.max() * shape[-1] / x.size < 3e-7


def plain_batch_norm(x, scale, bias):
    mean, var = x.mean((0, 1, 2)), x.var((0, 1, 2))
    return (x - mean) / jnp.sqrt(var + BN_EPSILON) * scale + bias


@pytest.mark.parametrize("shape", [(8, 6, 6, 5), (7, 5, 3, 4), (3, 1, 1, 4)])
def test_batch_norm_train(shape):
    x = draw(*shape, mean=2.0) * jnp.arange(1.0, shape[-1] + 1)
    scale, bias = draw(shape[-1], seed=1), draw(shape[-1], seed=2)
    check(lambda *a: ops.batch_norm_train(*a)[0], plain_batch_norm, x, scale, bias, atol=5e-5)
    _, mean, var = ops.batch_norm_train(x, scale, bias)
    exact = np.asarray(x, np.float64)
    np.testing.assert_allclose(mean, exact.mean((0, 1, 2)), rtol=1e-5)
    np.testing.assert_allclose(var, exact.var((0, 1, 2)), rtol=1e-5)
    y = ops.batch_norm_train(x, scale, bias)[0]
    np.testing.assert_allclose(ops.batch_norm_eval(x, mean, var, scale, bias), y, rtol=1e-5, atol=1e-5)


def test_batch_norm_far_from_zero_and_without_spread():
    """Mean 300: two passes keep the variance; a channel that never changes stays finite, gradients too."""
    x = (draw(16, 6, 6, 3) + 300.0).at[..., 2].set(300.0)
    ones, zeros = jnp.ones(3), jnp.zeros(3)
    _, _, var = ops.batch_norm_train(x, ones, zeros)
    np.testing.assert_allclose(var, np.asarray(x, np.float64).var((0, 1, 2)), rtol=1e-4, atol=1e-6)
    grads = jax.grad(lambda x: (ops.batch_norm_train(x, ones, zeros)[0] ** 3).sum())(x)
    assert np.isfinite(grads).all()


def test_the_form_is_really_chosen(form):
    """Without this a broken switch would test one form twice."""
    text = str(jax.make_jaxpr(lambda x, w: ops.depthwise(x, w, 1))(draw(1, 4, 4, 2), draw(3, 3, 2)))
    assert ("conv_general_dilated" in text) == (form == "xla")


@pytest.mark.parametrize(("kind", "values"), [("relu6", [0, 1, 6]), ("relu", [0, 1, 9]), ("none", [-2, 1, 9])])
def test_activate(kind, values):
    assert ops.activate(jnp.array([-2.0, 1.0, 9.0]), kind).tolist() == values
