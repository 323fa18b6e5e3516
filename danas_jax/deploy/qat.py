"""Quantisation-aware fine-tuning: the exported integers' own arithmetic, simulated in JAX, with gradients.

Batch normalisation is frozen and folded at every step, so what is trained are retraining's params. Every tensor holds
int8 code - zero point as whole float32 numbers: sums of products are exact below 2^24, and only the rescaling, with a
multiplier of 24 bits where TFLM has 31, may differ by a code near a tie. Rounding passes gradients straight through
(Bengio et al. 2013, Jacob et al. 2018), clipping stops them; the scales carry none. Activation ranges are those of
post-training quantisation and stay.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from danas_jax.config import ExportSettings, RetrainSettings
from danas_jax.data.dataset import Split
from danas_jax.deploy.epochs import fit
from danas_jax.deploy.fold import folded_layer
from danas_jax.deploy.integer import activation_limits
from danas_jax.deploy.quantise import QuantisedModel, Scale, weight_scales
from danas_jax.deploy.teacher import Teacher
from danas_jax.layers import ADD, AVG_POOL, CONV, DENSE, INPUT, MAX_POOL, LayerSpec
from danas_jax.supernet import ops
from danas_jax.supernet.checkpoint import Checkpoints
from danas_jax.views.base import NetworkInput


def fine_tune(
    model: QuantisedModel,
    source: NetworkInput,
    params: dict,
    stats: Mapping[str, Mapping[str, np.ndarray]],
    judge: Callable[[dict], tuple[float, float]],
    settings: ExportSettings,
    recipe: RetrainSettings,
    training: Split,
    seed: int,
    checkpoints: Checkpoints,
    untuned_accuracy: float,
    log: Callable[[dict], None] = lambda record: None,
) -> dict:
    """The params of the epoch that `judge` (of the integers made from params, on validation) says is best.

    Starts from the retrained `params` and frozen BN `stats`, in the activation scales of `model`; where no epoch beats
    their `untuned_accuracy`, they stay. By retraining's `recipe` but for epochs, learning rate and teacher, which is
    the float network itself; on views that go on where retraining's ended; always in float32.
    Resumes from `checkpoints`; `log` and Diverged as in epochs.py.
    """
    simulated = simulation(model, stats)
    tuning = dataclasses.replace(
        recipe,
        epochs=settings.qat_epochs,
        learning_rate=settings.qat_learning_rate,
        distillation=settings.qat_distillation,
        validate_every_epochs=1,
    )
    layers = tuple(layer.spec for layer in model.layers)
    itself = Teacher(layers, source, {"params": params, "batch_stats": stats}) if tuning.distillation else None

    def blame(failed: str) -> str:
        return (
            f"the fine-tuned network's {failed} ({source.text}, {len(model.layers)} layers): "
            "give a lower --export.qat-learning-rate (in another --run-dir), or --export.qat-epochs 0"
        )

    return fit(
        simulated, judge, params, source, tuning, training, model.layers[-1].spec.out_shape[2], seed, checkpoints,
        log, blame, first_view=recipe.epochs, teacher=itself, start_metric=untuned_accuracy,
    )[0]  # fmt: skip


def simulation(
    model: QuantisedModel, stats: Mapping[str, Mapping[str, np.ndarray]]
) -> Callable[[Mapping, jax.Array], jax.Array]:
    """logits(params, views [B, h, w, c] float32 in 0..255) -> float32 [B, classes], the values of `model`'s codes.

    Of `model` only the scales of the activations are taken; the weights are those of `params` with BN `stats`.
    """
    outputs = {INPUT: model.input} | {layer.spec.name: layer.output for layer in model.layers}

    def logits(params: Mapping, views: jax.Array) -> jax.Array:
        codes = {INPUT: _rounded(views) - 128}
        for layer in model.layers:
            name, inputs = layer.spec.name, layer.spec.inputs
            weights = {**params.get(name, {}), **stats.get(name, {})}
            codes[name] = operator(
                layer.spec, weights, [codes[i] for i in inputs], [outputs[i] for i in inputs], layer.output
            )
        last = codes[model.layers[-1].spec.name]
        return last.reshape(last.shape[0], -1) * model.output.scale

    return logits


def operator(
    spec: LayerSpec, weights: Mapping, inputs: list[jax.Array], sources: list[Scale], output: Scale
) -> jax.Array:
    """One operator on codes - zero points [B, h, w, c] of scales `sources`; `weights` with BN's mean and var."""
    if spec.op == ADD:
        scaled = [x * (source.scale / output.scale) for x, source in zip(inputs, sources, strict=True)]
        return _requantised(scaled[0] + scaled[1], spec, output)
    if spec.op == AVG_POOL:  # TFLM rounds the mean of the codes themselves
        return _rounded(inputs[0].mean(axis=(1, 2), keepdims=True) + output.zero_point) - output.zero_point
    if spec.op == MAX_POOL:
        return ops.max_pool(inputs[0], spec.kernel, spec.stride)
    return _weighted(spec, weights, inputs[0], sources[0], output)


def _weighted(spec: LayerSpec, weights: Mapping, x: jax.Array, source: Scale, output: Scale) -> jax.Array:
    """conv, depthwise or dense on codes x - zero point [B, h, w, c]; weights and bias quantised as quantise.py does."""
    kernel, bias = folded_layer(**weights) if spec.batch_norm else (weights["kernel"], weights["bias"])
    scales = lax.stop_gradient(weight_scales(spec, kernel, bias, source, output, jnp))
    kernel = _rounded(kernel / scales)  # at most 127 by the choice of the scales
    bias = _rounded(bias / (scales * source.scale))
    if spec.op == DENSE:
        sums = (x.reshape(x.shape[0], -1) @ kernel)[:, None, None, :]
    else:
        sums = (ops.dense_conv if spec.op == CONV else ops.depthwise)(x, kernel, spec.stride)
    # TFLM rounds twice, first to 2^-right of a code. One rounding would give another code once in 2^(right + 1) values.
    mantissa, shift = jnp.frexp(scales * (source.scale / output.scale))
    right = jnp.maximum(-shift, 0)
    fine = _rounded((sums + bias) * jnp.ldexp(mantissa, shift + right))
    return _requantised(fine * jnp.ldexp(jnp.ones_like(mantissa), -right), spec, output)


def _requantised(x: jax.Array, spec: LayerSpec, output: Scale) -> jax.Array:
    """x in steps of the output's scale -> code - zero point, clipped as int8 and the fused activation clip."""
    low, high = (float(limit - output.zero_point) for limit in activation_limits(spec.activation, output))
    return _rounded(jnp.clip(x, low, high))  # clipped first: whole limits, and no ties at them for the gradient


@jax.custom_jvp
def _rounded(x: jax.Array) -> jax.Array:
    """The nearest whole number, half away from 0 as TFLM rounds; its derivative is 1."""
    return jnp.sign(x) * jnp.floor(jnp.abs(x) + 0.5)


@_rounded.defjvp
def _straight_through(primals, tangents):
    return _rounded(*primals), tangents[0]
