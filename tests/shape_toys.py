"""Networks whose inputs are not square: time series [T, 1, C], and spectrograms [frames, bins, 1]."""

from dataclasses import replace

import numpy as np
from space_toys import ODD
from supernet_toys import SPACE

from danas_jax.layers import LayerBuilder
from danas_jax.networks import ds_cnn
from danas_jax.views.image import ImageView


class _Series(ImageView):
    def shape(self, data):
        side, _, channels = super().shape(data)
        return 3 * side, 1, channels


class _Spectrogram(ImageView):
    def shape(self, data):
        side, _, channels = super().shape(data)
        return side, side // 2 - 1, channels


def reshaped(space, view):
    """`space` with inputs of the shapes that `view`, a kind of ImageView, has."""
    return replace(space, view=view(space.view.resolutions_px, space.view.colours))


# The toy space on [48, 1] and [72, 1], on [16, 7] and [24, 11]
SERIES, SPECTROGRAM = (reshaped(SPACE, view) for view in (_Series, _Spectrogram))
ODD_SERIES, ODD_SPECTROGRAM = (reshaped(ODD, view) for view in (_Series, _Spectrogram))


def random_network(input_shape, seed):
    """Two to four residual blocks after a stem, with windows, strides and widths at random, pooled or flattened."""
    rng = np.random.default_rng(seed)

    def window():
        return tuple(int(size) for size in rng.integers(1, 8, 2))

    net = LayerBuilder(input_shape, activation=str(rng.choice(["relu", "relu6"])))
    net.conv("stem", int(rng.integers(2, 9)), kernel=window(), stride=int(rng.integers(1, 3)))
    for b in range(int(rng.integers(2, 5))):
        net.depthwise(f"b{b}.wide", window(), stride=int(rng.integers(1, 3)))
        entry = net.last
        net.conv(f"b{b}.expand", int(rng.integers(3, 20)))
        net.depthwise(f"b{b}.depthwise", window())
        net.conv(f"b{b}.project", net.layers[-3].out_shape[2], activate=False)
        net.add(f"b{b}.add", entry)
    if rng.random() < 0.7:
        net.conv("head", int(rng.integers(4, 30)), kernel=window())
        net.pool("pool")
    net.dense("classifier", int(rng.integers(2, 9)))
    return net.build()


def pooled_network(input_shape):
    """Windows that leave rows and columns over, between convolutions, and maps of values below zero."""
    net = LayerBuilder(input_shape)
    net.conv("stem", 5, kernel=3)
    net.max_pool("small", 2)
    net.conv("wide", 9, kernel=5, activate=False)
    net.max_pool("large", 3)
    net.depthwise("depthwise", 3)
    net.max_pool("last", 2)
    net.dense("classifier", 4)
    return net.build()


ONE_DIMENSIONAL = {
    f"series{i}": random_network((size, 1, channels), seed=i)
    for i, (size, channels) in enumerate([(128, 9), (50, 1), (33, 6), (200, 3)])
} | {"pooled_series": pooled_network((45, 1, 3))}
OBLONG = {
    f"map{i}": random_network((height, width, 1), seed=10 + i)
    for i, (height, width) in enumerate([(49, 10), (13, 40), (31, 2), (98, 20)])
} | {"pooled": pooled_network((37, 27, 1))}
NETWORKS = ONE_DIMENSIONAL | OBLONG | {"ds_cnn": ds_cnn((49, 10, 1), 12, 0.5)}
