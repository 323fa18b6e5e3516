"""Baselines as layers, and the references: what one would have used instead, each at its usual input."""

from __future__ import annotations

from danas_jax.config import Baseline
from danas_jax.layers import LayerSpec
from danas_jax.networks import published_layers
from danas_jax.views.base import View
from danas_jax.views.image import ImageData, ImageView

REFERENCES = (  # by ascending RAM
    Baseline("colabnas_k2_c3_50_rgb", "colabnas_c3", ImageData(50, "rgb"), 0.25),
    Baseline("colabnas_k4_c5_50_rgb", "colabnas_c5", ImageData(50, "rgb"), 0.5),
    Baseline("colabnas_k8_c5_50_rgb", "colabnas_c5", ImageData(50, "rgb"), 1.0),
    Baseline("micronet_vww2_50_mono", "micronet_vww2", ImageData(50, "mono"), 1.0),
    Baseline("mobilenet_v1_025_96_rgb", "mobilenet_v1", ImageData(96, "rgb"), 0.25),
    Baseline("mcunet_vww0_64_rgb", "mcunet_vww0", ImageData(64, "rgb"), 1.0),
    Baseline("mcunet_vww1_80_rgb", "mcunet_vww1", ImageData(80, "rgb"), 1.0),
    Baseline("mobilenet_v2_035_96_rgb", "mobilenet_v2", ImageData(96, "rgb"), 0.35),
    Baseline("mcunet_vww2_144_rgb", "mcunet_vww2", ImageData(144, "rgb"), 1.0),
    Baseline("mobilenet_v2_035_144_rgb", "mobilenet_v2", ImageData(144, "rgb"), 0.35),
    Baseline("mobilenet_v2_035_224_rgb", "mobilenet_v2", ImageData(224, "rgb"), 0.35),
)


def references(view: View) -> tuple[Baseline, ...]:
    """The references whose data are of the view's kind and aspect: all of them for square pictures, else none so far.

    Their inputs need not be among the view's values, and what they cost is for the caller to ask.
    """
    if not isinstance(view, ImageView):
        return ()
    return tuple(one for one in REFERENCES if isinstance(one.data, ImageData) and one.data.aspect == view.aspect)


def baseline_layers(baseline: Baseline, view: View, num_classes: int) -> tuple[LayerSpec, ...]:
    """The network of a baseline, as it is trained, costed and exported; UserError where there is none such."""
    shape = view.shape(baseline.data)
    return published_layers(baseline.network, shape, num_classes, baseline.width_multiplier)
