"""Fixed networks as LayerSpec lists, written from their published layer tables."""

from __future__ import annotations

from danas_jax.config import Baseline
from danas_jax.layers import LayerBuilder, LayerSpec
from danas_jax.views.base import View

# MobileNetV1 (Howard et al. 2017, arXiv 1704.04861, table 1): (output channels, stride) after the 32-channel stem.
_MOBILENET_V1 = (
    *((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)),
    *((512, 1), (512, 1), (512, 1), (512, 1), (512, 1), (1024, 2), (1024, 1)),
)


def mobilenet_v1(
    input_shape: tuple[int, int, int], num_classes: int, width_multiplier: float = 1.0
) -> tuple[LayerSpec, ...]:
    """MobileNetV1 on inputs [h, w, c]."""
    net = LayerBuilder(input_shape)
    net.conv("stem", int(32 * width_multiplier), kernel=3, stride=2)
    for i, (width, stride) in enumerate(_MOBILENET_V1):
        net.depthwise(f"b{i}.depthwise", kernel=3, stride=stride)
        net.conv(f"b{i}.pointwise", int(width * width_multiplier))
    net.pool("pool")
    net.dense("classifier", num_classes)
    return net.build()


def ds_cnn(input_shape: tuple[int, int, int], num_classes: int, width_multiplier: float = 1.0) -> tuple[LayerSpec, ...]:
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


NETWORKS = {"mobilenet_v1": mobilenet_v1, "ds_cnn": ds_cnn}


def baseline_layers(baseline: Baseline, view: View, num_classes: int) -> tuple[LayerSpec, ...]:
    """The network of a baseline, as it is trained, costed and exported."""
    return NETWORKS[baseline.network](view.shape(baseline.data), num_classes, baseline.width_multiplier)
