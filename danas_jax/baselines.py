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


def _mobilenet_v1(net: LayerBuilder, multiplier: float, num_classes: int) -> tuple[LayerSpec, ...]:
    net.conv("stem", int(32 * multiplier), kernel=3, stride=2)
    for i, (width, stride) in enumerate(_MOBILENET_V1):
        net.depthwise(f"b{i}.depthwise", kernel=3, stride=stride)
        net.conv(f"b{i}.pointwise", int(width * multiplier))
    net.pool("pool")
    net.dense("classifier", num_classes)
    return net.build()


_NETWORKS = {"mobilenet_v1": _mobilenet_v1}


def baseline_layers(baseline: Baseline, view: View, num_classes: int) -> tuple[LayerSpec, ...]:
    """The network of a baseline, as it is trained, costed and exported."""
    return _NETWORKS[baseline.network](LayerBuilder(view.shape(baseline.data)), baseline.width_multiplier, num_classes)
