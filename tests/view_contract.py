"""What every view must keep (danas_jax/views/base.py), checked of a view and a few of its raw examples."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from danas_jax.data.mixing import view_keys


@dataclasses.dataclass(frozen=True)
class Augmented:
    """Settings of the augmentation, all off."""

    crop_area_min: float = 1.0
    colour_jitter: float = 0.0
    saturation_jitter: float = 0.0
    time_shift: float = 0.0
    gain_jitter: float = 0.0
    noise: float = 0.0


def configurations(view):
    """Every data configuration of a view."""
    axes = (*view.shape_axes, *view.traced_axes)
    return [
        view.data(**dict(zip((axis.name for axis in axes), values, strict=True)))
        for values in itertools.product(*(axis.values for axis in axes))
    ]


def stem(codes, kernel):
    """What a first convolution with stride 2 makes of codes [N, h, w, c]."""
    inputs = (jnp.asarray(codes, jnp.float32) - 128) / 128
    stride = tuple(min(2, side) for side in kernel.shape[:2])
    dimensions = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(inputs, jnp.asarray(kernel), stride, "SAME", dimension_numbers=dimensions)


def keeps_its_word(view, raw, augmented, atol=1.0, shown=lambda codes: (codes,)):
    """Assert the contract for raw examples [N, ...]; training views may be `atol` codes off without augmentation.

    `shown(codes)`: all that such a training view may show, each alike (a picture, and the same flipped).
    """
    names = [axis.name for axis in (*view.shape_axes, *view.traced_axes)]
    fields = {field.name: field.default for field in dataclasses.fields(view.config)}
    assert len(set(names)) == len(names)
    assert set(names) <= set(fields)
    assert all(fields[name] is not dataclasses.MISSING for name in set(fields) - set(names))
    keys, count = view_keys(0, jnp.arange(len(raw)), 0), len(raw)
    trained = {}
    for data in configurations(view):
        height, width, channels = view.shape(data)
        codes, deployed = view.codes(raw, data), view.deployed(raw, data)
        assert codes.shape == (count, height, width, view.channels), data
        assert deployed.shape == (count, height, width, channels), data
        assert codes.dtype == deployed.dtype == np.uint8
        assert data.text

        shares = {
            a.name: jax.nn.one_hot(a.values.index(getattr(data, a.name)), len(a.values)) for a in view.traced_axes
        }
        blended = view.blended(jnp.asarray(codes, jnp.float32), shares)
        area = (3, 1 if width == 1 else 3)
        kernel = np.random.default_rng(0).normal(size=(*area, view.channels, 4)).astype(np.float32)
        small = view.stem_kernel(kernel, data)
        assert small.shape == (*area, channels, 4)
        np.testing.assert_allclose(stem(deployed, small), stem(blended, kernel), atol=1e-4, err_msg=data.text)

        shape = tuple(getattr(data, axis.name) for axis in view.shape_axes)
        if shape not in trained:  # what it is trained on does not depend on the traced axes
            trained[shape] = np.asarray(view.training(keys, jnp.asarray(raw), data, Augmented()))
            assert trained[shape].shape == codes.shape
            assert trained[shape].dtype == np.float32
            off = [np.abs(trained[shape] - either).max((1, 2, 3)) for either in shown(codes)]
            assert np.min(off, axis=0).max() <= atol
            one, again = (np.asarray(view.training(keys, jnp.asarray(raw), data, augmented)) for _ in range(2))
            assert (one == again).all()
            assert 0 <= one.min() <= one.max() <= 255
            assert (one != trained[shape]).any()
    for axis in view.traced_axes:
        fixed = {a.name: jax.nn.one_hot(0, len(a.values)) for a in view.traced_axes if a is not axis}
        floats = jnp.asarray(view.codes(raw, configurations(view)[-1]), jnp.float32)
        ends = [np.asarray(view.blended(floats, {**fixed, axis.name: row})) for row in jnp.eye(len(axis.values))]
        shares = np.random.default_rng(1).dirichlet(np.ones(len(axis.values))).astype(np.float32)
        mean = sum(share * end for share, end in zip(shares, ends, strict=True))
        np.testing.assert_allclose(view.blended(floats, {**fixed, axis.name: jnp.asarray(shares)}), mean, atol=1e-3)
