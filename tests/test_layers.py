"""What a network is made of: windows that are not square, one-dimensional networks, published counts."""

import pytest

from danas_jax.errors import UserError
from danas_jax.hardware.cost import cost
from danas_jax.layers import LayerBuilder, total_macs
from danas_jax.networks import ds_cnn, published_layers


def test_an_oblong_window_by_hand():
    net = LayerBuilder((9, 6, 2))
    net.conv("a", 4, kernel=(5, 2), stride=2)
    net.depthwise("b", (1, 3))
    net.pool("p")
    net.dense("d", 3)
    a, b, pool, dense = net.build()
    assert (a.out_shape, a.weight_shape, a.macs, a.params) == ((5, 3, 4), (5, 2, 2, 4), 15 * 80, 84)
    assert (b.out_shape, b.weight_shape, b.macs, b.params) == ((5, 3, 4), (1, 3, 4), 15 * 12, 16)
    assert (pool.kernel, pool.out_shape, pool.macs, pool.params) == ((5, 3), (1, 1, 4), 0, 0)
    assert (dense.weight_shape, dense.macs, dense.params) == ((4, 3), 12, 15)


def test_a_max_pool_by_hand():
    net = LayerBuilder((7, 5, 2))
    net.max_pool("a")
    (pool,) = net.build()
    assert (pool.out_shape, pool.kernel, pool.stride) == ((3, 2, 2), (2, 2), 2)
    assert (pool.macs, pool.params) == (0, 0)
    with pytest.raises(UserError, match=r"layer b: a map of 3x2 holds no window of 3x3"):
        net.max_pool("b", 3)
    series = LayerBuilder((7, 1, 2))
    series.max_pool("a")
    assert (series.shape, series.layers[0].kernel) == ((3, 1, 2), (2, 1))


def test_an_input_one_wide_makes_a_one_dimensional_network():
    def windows(net):
        net.conv("stem", 4, kernel=3, stride=2)
        net.depthwise("a", 5, stride=2)
        net.conv("b", 4, kernel=(10, 4))
        return [layer.kernel for layer in net.build()]

    net = LayerBuilder((24, 1, 3))
    assert windows(net) == [(3, 1), (5, 1), (10, 1)]
    assert net.shape == (6, 1, 4)
    assert net.layers[1].macs == 6 * 4 * 5


def test_a_map_one_wide_inside_a_network_does_not():
    """The network's larger inputs share its weights."""
    net = LayerBuilder((4, 4, 3))
    for i in range(3):
        net.depthwise(f"a{i}", 3, stride=2)
    assert net.layers[-1].in_shape == net.layers[-1].out_shape == (1, 1, 3)
    assert {layer.kernel for layer in net.layers} == {(3, 3)}
    part = LayerBuilder((1, 1, 3), one_dimensional=False)
    part.depthwise("a", 3)
    assert part.layers[0].kernel == (3, 3)


def test_ds_cnn_is_the_published_one():
    """MLPerf Tiny's keyword spotting: 2.7 million MACs; 24,908 parameters with the 4 of each normalised channel."""
    layers = ds_cnn((49, 10, 1), 12)
    assert layers[0].kernel == (10, 4) and layers[0].out_shape == (25, 5, 64)
    assert sum(layer.params for layer in layers) == 24_908 - 4 * 9 * 64
    assert total_macs(layers) == 125 * 64 * 40 + 4 * 125 * (9 * 64 + 64 * 64) + 64 * 12 == 2_656_768
    assert cost(layers)["peak_sram_bytes"] == 2 * 125 * 64


@pytest.mark.parametrize("network", ["mobilenet_v1", "ds_cnn"])
def test_width_multipliers(network):
    def widths(multiplier):
        return [layer.out_shape[2] for layer in published_layers(network, (64, 64, 1), 2, multiplier)]

    *whole, classes = widths(1.0)
    assert widths(0.5) == [*(width // 2 for width in whole), classes]
