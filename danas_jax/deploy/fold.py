"""Batch normalisation folded into the kernel and bias of the layer before it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from danas_jax.layers import BN_EPSILON, LayerSpec


def folded_layer(kernel: Any, scale: Any, bias: Any, mean: Any, var: Any) -> tuple[Any, Any]:
    """(kernel [..., c], bias [c]) of one layer whose batch norm has scale, bias, mean and var [c]; NumPy or JAX."""
    gain = scale / (var + BN_EPSILON) ** 0.5
    return kernel * gain, bias - mean * gain  # the channel axis is last in every layout


def fold_batch_norm(
    layers: tuple[LayerSpec, ...],
    params: Mapping[str, Mapping[str, np.ndarray]],
    stats: Mapping[str, Mapping[str, np.ndarray]],
) -> dict[str, dict[str, np.ndarray]]:
    """Weights of the network without batch norm: {layer: {"kernel", "bias"}} float32, kernels in the training layout.

    `params` {layer: {"kernel", "scale", "bias"}} ({"kernel", "bias"} for dense), `stats` {layer: {"mean", "var"}}.
    ValueError names the layer whose kernel has another shape than its LayerSpec or whose result is not finite.
    """
    folded = {}
    for layer in layers:
        if not layer.weight_shape:
            continue
        entry = {name: np.asarray(value, np.float64) for name, value in params[layer.name].items()}
        kernel, bias = entry["kernel"], entry["bias"]
        if kernel.shape != layer.weight_shape:
            raise ValueError(f"{layer.name}: kernel {kernel.shape}, its LayerSpec says {layer.weight_shape}")
        if layer.batch_norm:
            mean, var = (np.asarray(stats[layer.name][name], np.float64) for name in ("mean", "var"))
            kernel, bias = folded_layer(**entry, mean=mean, var=var)
        folded[layer.name] = {"kernel": kernel.astype(np.float32), "bias": bias.astype(np.float32)}
        if not all(np.isfinite(value).all() for value in folded[layer.name].values()):
            raise ValueError(f"{layer.name}: folded weights are not finite")
    return folded
