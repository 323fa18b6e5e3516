"""Published networks as LayerSpec lists, written from their layer tables, by the names that a Baseline takes.

All have SAME padding, one average over the last map and a dense classifier of their own number of classes, so that
they are trained, quantised and costed like a network of a search. Where that is not what a published file holds the
function says so: the file's is then "like" it. Their pictures are int8 as ours are, without a QUANTIZE of their own.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from functools import partial
from math import ceil
from typing import NamedTuple

from danas_jax.errors import UserError
from danas_jax.layers import LayerBuilder, LayerSpec

Shape = tuple[int, int, int]  # h, w, c
Layers = tuple[LayerSpec, ...]

# MobileNetV1 (Howard et al. 2017, arXiv 1704.04861, table 1): (output channels, stride) after the 32-channel stem.
_MOBILENET_V1 = (
    *((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)),
    *((512, 1), (512, 1), (512, 1), (512, 1), (512, 1), (1024, 2), (1024, 1)),
)
# MobileNetV2 (Sandler et al. 2018, arXiv 1801.04381, table 2): (expansion, output channels, blocks, first stride).
_MOBILENET_V2 = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


class Block(NamedTuple):
    """Expansion to `expanded` channels (0: none), k x k depthwise, projection; a sum where the map keeps its shape."""

    expanded: int
    kernel: int
    stride: int
    width: int


# The blocks of the person detectors that harvard-edge/Wake_Vision keeps as .tflite files (folder model_zoo).
# MCUNet (Lin et al. 2020, arXiv 2007.10319), three networks for 64, 80 and 144 px:
_MCUNET_VWW0 = (
    *((0, 3, 1, 8), (48, 5, 2, 16), (64, 3, 1, 16), (80, 3, 2, 24), (96, 3, 1, 24), (96, 3, 1, 24)),
    *((120, 3, 2, 40), (160, 3, 1, 40), (120, 7, 1, 40), (120, 3, 1, 48), (192, 3, 1, 48)),
    *((240, 7, 2, 96), (480, 5, 1, 96), (384, 7, 1, 160)),
)
_MCUNET_VWW1 = (
    *((0, 3, 1, 8), (48, 3, 2, 16), (48, 3, 1, 16), (48, 3, 1, 16), (48, 7, 2, 24), (144, 3, 1, 24), (120, 5, 1, 24)),
    *((144, 7, 2, 40), (240, 7, 1, 40), (240, 3, 1, 48), (192, 3, 1, 48)),
    *((240, 5, 2, 96), (480, 3, 1, 96), (384, 3, 1, 96), (288, 7, 1, 160)),
)
_MCUNET_VWW2 = (
    *((0, 3, 1, 8), (24, 3, 2, 16), (80, 3, 1, 16), (96, 5, 1, 16), (48, 3, 1, 16), (80, 7, 2, 24), (96, 5, 1, 24)),
    *((96, 3, 1, 24), (144, 7, 1, 24), (144, 3, 2, 40), (240, 7, 1, 40), (160, 5, 1, 40), (200, 3, 1, 40)),
    *((200, 5, 1, 48), (144, 5, 1, 48), (192, 3, 1, 48), (144, 5, 1, 48)),
    *((192, 3, 2, 96), (480, 5, 1, 96), (384, 5, 1, 96), (384, 3, 1, 96), (480, 3, 1, 160)),
)
# MicroNet-VWW2 (Banbury et al. 2021, arXiv 2010.11267). The third, fifth and ninth block are 20, 16 and 12 wide there.
_MICRONET_VWW2 = (
    *((4, 3, 1, 8), (28, 3, 2, 24), (28, 3, 1, 24), (128, 3, 2, 28), (152, 3, 1, 28), (152, 3, 1, 28)),
    *((152, 3, 2, 24), (112, 3, 1, 24), (112, 3, 1, 24), (76, 3, 1, 32), (76, 3, 1, 16), (56, 3, 1, 28)),
    *((56, 3, 1, 28), (56, 3, 2, 16), (96, 3, 1, 16), (96, 3, 1, 16), (96, 3, 1, 32)),
)


def mobilenet_v1(input_shape: Shape, num_classes: int, width_multiplier: float = 1.0) -> Layers:
    """MobileNetV1 on inputs [h, w, c]."""
    net = LayerBuilder(input_shape)
    net.conv("stem", int(32 * width_multiplier), kernel=3, stride=2)
    for i, (width, stride) in enumerate(_MOBILENET_V1):
        net.depthwise(f"b{i}.depthwise", kernel=3, stride=stride)
        net.conv(f"b{i}.pointwise", int(width * width_multiplier))
    net.pool("pool")
    net.dense("classifier", num_classes)
    return net.build()


def ds_cnn(input_shape: Shape, num_classes: int, width_multiplier: float = 1.0) -> Layers:
    """DS-CNN on inputs [frames, bins, c], as MLPerf Tiny has it for keyword spotting ([49, 10, 1], 12 words).

    Banbury et al. 2021, arXiv 2106.07597, after Zhang et al. 2017, arXiv 1711.07128.
    """
    net, width = LayerBuilder(input_shape, activation="relu"), int(64 * width_multiplier)
    net.conv("stem", width, kernel=(10, 4), stride=2)
    for i in range(4):
        net.depthwise(f"b{i}.depthwise", kernel=3)
        net.conv(f"b{i}.pointwise", width)
    net.pool("pool")
    net.dense("classifier", num_classes)
    return net.build()


def _inverted_residuals(
    input_shape: Shape, num_classes: int, stem: int, blocks: tuple[Block, ...], head: int
) -> Layers:
    """A 3x3 stem of stride 2, the blocks, a 1x1 convolution to `head` channels where given, the classifier."""
    net = LayerBuilder(input_shape)
    net.conv("stem", stem, kernel=3, stride=2)
    for i, block in enumerate(blocks):
        entry, channels = net.last, net.shape[2]
        if block.expanded:
            net.conv(f"b{i}.expand", block.expanded)
        net.depthwise(f"b{i}.depthwise", block.kernel, block.stride)
        net.conv(f"b{i}.project", block.width, activate=False)
        if block.stride == 1 and block.width == channels:
            net.add(f"b{i}.add", entry)
    if head:
        net.conv("head", head)
    net.pool("pool")
    net.dense("classifier", num_classes)
    return net.build()


def mobilenet_v2(input_shape: Shape, num_classes: int, width_multiplier: float = 1.0) -> Layers:
    """MobileNetV2 on inputs [h, w, c]; widths in multiples of 8, and the head never below its 1,280."""

    def scaled(channels: int) -> int:
        rounded = max(8, int(channels * width_multiplier + 4) // 8 * 8)
        return rounded if rounded >= 0.9 * channels * width_multiplier else rounded + 8

    blocks, channels = [], scaled(32)
    for expansion, width, count, first in _MOBILENET_V2:
        for i in range(count):
            expanded = expansion * channels if expansion > 1 else 0
            channels = scaled(width)
            blocks.append(Block(expanded, 3, 1 if i else first, channels))
    head = scaled(1280) if width_multiplier > 1 else 1280
    return _inverted_residuals(input_shape, num_classes, scaled(32), tuple(blocks), head)


def _as_published(
    input_shape: Shape,
    num_classes: int,
    width_multiplier: float = 1.0,
    *,
    stem: int,
    blocks: tuple[tuple[int, int, int, int], ...],
    head: int = 0,
) -> Layers:
    """A network that is known in one width only.

    The MCUNets' files have a PAD before every convolution, a VALID one, as PyTorch pads: with stride 2 a row and
    column before the map where TensorFlow has them after. The last one of vww1 pools 2x2 of its 3x3 map. MicroNet's
    sums of unequal widths pad the narrower side with channels of zeros. Where that is the block's own output (three
    times), its projection is as wide as the sum here; where it is the other side (twice), there is no sum.
    """
    if width_multiplier != 1:
        raise UserError(f"width_multiplier = {width_multiplier:g}: the network is published in one width, give 1")
    return _inverted_residuals(input_shape, num_classes, stem, tuple(Block(*block) for block in blocks), head)


def colabnas(input_shape: Shape, num_classes: int, width_multiplier: float = 1.0, cells: int = 5) -> Layers:
    """ColabNAS's k_8 with that many cells (Garavagno et al. 2023, arXiv 2212.07700); a multiplier of 0.5 is its k_4.

    A 3x3 convolution, in each cell 2x2 max pooling and a 3x3 convolution that is 1 + 2^-cell times as wide. The hidden
    dense layer behind the pool is a 1x1 convolution here, so it has batch normalisation and scales per channel.
    """
    net, width = LayerBuilder(input_shape, activation="relu"), int(8 * width_multiplier)
    net.conv("stem", width, kernel=3)
    for i in range(cells):
        net.max_pool(f"c{i}.pool")
        width = ceil(width * (1 + 2**-i))
        net.conv(f"c{i}.conv", width, kernel=3)
    net.pool("pool")
    net.conv("hidden", width)
    net.dense("classifier", num_classes)
    return net.build()


class Published(NamedTuple):
    """A network by its function of (input shape, classes, width multiplier), and where its table is from."""

    build: Callable[[Shape, int, float], Layers]
    source: str


_ZOO = "file of harvard-edge/Wake_Vision, model_zoo"
NETWORKS = {
    "mobilenet_v1": Published(mobilenet_v1, "Howard et al. 2017, arXiv 1704.04861, table 1"),
    "mobilenet_v2": Published(mobilenet_v2, "Sandler et al. 2018, arXiv 1801.04381, table 2"),
    "mcunet_vww0": Published(
        partial(_as_published, stem=16, blocks=_MCUNET_VWW0), f"Lin et al. 2020, arXiv 2007.10319; {_ZOO}"
    ),
    "mcunet_vww1": Published(
        partial(_as_published, stem=16, blocks=_MCUNET_VWW1), f"Lin et al. 2020, arXiv 2007.10319; {_ZOO}"
    ),
    "mcunet_vww2": Published(
        partial(_as_published, stem=16, blocks=_MCUNET_VWW2), f"Lin et al. 2020, arXiv 2007.10319; {_ZOO}"
    ),
    "micronet_vww2": Published(
        partial(_as_published, stem=12, blocks=_MICRONET_VWW2, head=128),
        f"Banbury et al. 2021, arXiv 2010.11267; {_ZOO}",
    ),
    "colabnas_c3": Published(partial(colabnas, cells=3), f"Garavagno et al. 2023, arXiv 2212.07700; {_ZOO}"),
    "colabnas_c5": Published(partial(colabnas, cells=5), f"Garavagno et al. 2023, arXiv 2212.07700; {_ZOO}"),
    "ds_cnn": Published(ds_cnn, "Banbury et al. 2021, arXiv 2106.07597"),
}


def published_layers(network: str, input_shape: Shape, num_classes: int, width_multiplier: float) -> Layers:
    """The network of that name on inputs [h, w, c].

    Raises UserError for an unknown name, a multiplier that the network has not or that leaves a layer without
    channels, and a map that becomes too small for a pool.
    """
    if network not in NETWORKS:
        near = difflib.get_close_matches(network, NETWORKS, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise UserError(f"network = {network!r}: {hint}Networks are {', '.join(NETWORKS)}")
    if not width_multiplier > 0:
        raise UserError(f"width_multiplier = {width_multiplier:g}: give a positive number")
    try:
        layers = NETWORKS[network].build(input_shape, num_classes, width_multiplier)
    except UserError as error:
        raise UserError(f"network = {network!r} on {'x'.join(map(str, input_shape))}: {error}") from error
    if any(layer.out_shape[2] < 1 for layer in layers):
        raise UserError(f"width_multiplier = {width_multiplier:g}: leaves layers of {network} without channels")
    return layers
