"""A subnet inside one program without what its genes leave out: blocks and, where it pays, channels and taps.

Masks cost as much as the whole envelope. Here the genes choose among branches: whether a block runs and, where that
pays, its expansion and its kernel; widths stay masked. For one subnet at a time: `vmap` would compute every branch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from itertools import groupby, product

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from danas_jax.layers import LayerSpec, total_macs
from danas_jax.space import SearchSpace
from danas_jax.supernet import elastic
from danas_jax.supernet.network import run_layers, weighted

Statistics = dict[str, dict[str, jax.Array]]  # layer -> {"mean", "var"} [C] of its batch normalisation
_Found = tuple[jax.Array, Statistics]


def forward(
    space: SearchSpace,
    envelope: elastic.Envelope,
    layers: tuple[LayerSpec, ...],
    params: Mapping,
    statistics: Statistics | None,
    genes: jax.Array,
    x: jax.Array,
    sizes: bool,
) -> _Found:
    """The subnet `genes` [G] on x [B, R, R, 3] -> (logits [B, classes], the statistics of its batch normalisations).

    `layers` and `params` are those of the envelope; with `sizes` expansions and kernels get branches, else masks.
    Without `statistics` it is normalised by the batch, whose are returned at the envelope's widths (of channels that
    were not computed: mean 0, variance 1); with them {} is.
    """
    net = _Subnet(space, envelope, genes, params, statistics, elastic.masks(space, genes, layers), sizes)
    found: Statistics = {}
    for name, group in groupby(layers, lambda layer: layer.name.rpartition(".")[0]):
        part = list(group)
        x, new = net.block(name, part, x) if name else net.run(part, x)
        found |= new
    return x, found


class _Subnet:
    """One subnet while a program is traced."""

    def __init__(self, space, envelope, genes, params, statistics, masks, sizes):
        self.space, self.envelope, self.genes = space, envelope, genes
        self.params, self.statistics, self.masks = params, statistics, masks
        self.sizes = sizes

    def run(
        self, layers: Sequence[LayerSpec], x: jax.Array, cut: Callable[[LayerSpec], LayerSpec] = lambda layer: layer
    ) -> _Found:
        """`layers`, each cut to the size that `cut` gives it."""
        found: Statistics = {}

        def apply(layer: LayerSpec, x: jax.Array) -> jax.Array:
            x, new = self._layer(cut(layer), layer.out_shape[2], x)
            found.update(new)
            return x

        return run_layers(layers, x, apply), found

    def block(self, name: str, layers: Sequence[LayerSpec], x: jax.Array) -> _Found:
        """A block; one that the depth may leave out passes its input on."""
        stage, number = name.split(".b")
        axes = self.space.index
        depths, expansions, kernels = (
            self._values(axis) for axis in (f"{stage}.depth", f"{name}.expansion", f"{name}.kernel")
        )
        first = 0 if self.sizes else -1  # of the values that get a branch
        sizes = list(product(expansions[first:], kernels[first:]))
        branches: list[Callable[[jax.Array], _Found]]
        branches = [partial(self._sized, layers, expansion, kernel) for expansion, kernel in sizes]
        # One switch for everything: then a layer's end and the next one's start are fused within a branch.
        chosen = jnp.zeros((), jnp.int32)
        if len(branches) > 1:
            chosen = self.genes[axes[f"{name}.expansion"]] * len(kernels) + self.genes[axes[f"{name}.kernel"]]
        if int(number) >= depths[0]:
            depth = jnp.array(depths)[self.genes[axes[f"{stage}.depth"]]]
            chosen = jnp.where(int(number) < depth, chosen, len(branches))
            branches.append(partial(self._absent, layers))
        return branches[0](x) if len(branches) == 1 else lax.switch(chosen, branches, x)

    def _sized(self, layers: Sequence[LayerSpec], expansion: int, kernel: int, x: jax.Array) -> _Found:
        first, last = layers[0], [layer for layer in layers if layer.weight_shape][-1]
        hidden = expansion * first.in_shape[2]

        def cut(layer: LayerSpec) -> LayerSpec:
            inputs = layer.in_shape[2] if layer is first else hidden
            outputs = layer.out_shape[2] if layer is last else hidden
            height, width = (min(kernel, size) for size in layer.kernel)
            return replace(_with_channels(layer, inputs, outputs), kernel=(height, width))

        return self.run(layers, x, cut)

    def _absent(self, layers: Sequence[LayerSpec], x: jax.Array) -> _Found:
        normalised = [layer for layer in layers if layer.batch_norm and self.statistics is None]
        dtype = self.params[layers[-1].inputs[0]]["scale"].dtype
        return x, {layer.name: _nothing(layer.out_shape[2], dtype) for layer in normalised}

    def _values(self, axis: str) -> tuple[int, ...]:
        """The axis's values inside the envelope."""
        i = self.space.index[axis]
        return self.space.axes[i].values[: self.envelope[i] + 1]

    def _layer(self, layer: LayerSpec, full_width: int, x: jax.Array) -> _Found:
        """`layer`, which may be narrower than the envelope's; where kernels have branches, it has the subnet's own."""
        arrays = elastic.slice_layer(layer, self.params[layer.name])
        masks = dict(self.masks.get(layer.name, {}))
        if layer.batch_norm:
            masks["channels"] = masks["channels"][: layer.out_shape[2]]
        if self.sizes:
            masks.pop("taps", None)
        given = self.statistics is not None and layer.batch_norm
        x, found = weighted(
            layer, arrays, x, masks, elastic.slice_layer(layer, self.statistics[layer.name]) if given else None
        )
        if not found:
            return x, {}
        rest = _nothing(full_width - layer.out_shape[2], found["mean"].dtype)
        return x, {layer.name: {name: jnp.concatenate([found[name], rest[name]]) for name in found}}


@lru_cache(maxsize=256)
def branches_pay(space: SearchSpace, envelope: elastic.Envelope) -> bool:
    """Whether branches for expansions and kernels save enough MACs on average: each is code to compile.

    Measured (docs/design.md): they doubled to quadrupled the compile time, and where they save 0.15 to 0.2 of the MACs
    (`quickstart`, `mobilenetv2_tiny`) evaluation was hardly faster; in `ofa_proxyless` they save 0.4.
    """
    high = np.array(envelope)
    systems = np.tile(high, (_SAMPLES, 1))
    elastic_axes = [i for i, axis in enumerate(space.axes) if axis.name.endswith((".expansion", ".kernel"))]
    rng = np.random.default_rng(0)
    systems[:, elastic_axes] = rng.integers(0, high[elastic_axes] + 1, (_SAMPLES, len(elastic_axes)))
    expected = np.mean([total_macs(space.layers(genes, 1)) for genes in systems])
    return bool(expected <= (1 - _LEAST_GAIN) * total_macs(space.layers(high, 1)))


_SAMPLES, _LEAST_GAIN = 64, 0.25


def _with_channels(layer: LayerSpec, inputs: int, outputs: int) -> LayerSpec:
    """`layer` with other numbers of channels."""
    return replace(layer, in_shape=(*layer.in_shape[:2], inputs), out_shape=(*layer.out_shape[:2], outputs))


def _nothing(width: int, dtype: jnp.dtype) -> dict[str, jax.Array]:
    """The statistics of channels that were not computed."""
    return {"mean": jnp.zeros(width, dtype), "var": jnp.ones(width, dtype)}
