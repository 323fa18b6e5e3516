"""A subnet at its own cost inside one program: blocks beyond the depth are jumped over, the others run cut to size.

Masks cost as much as the whole envelope. Here the genes choose among branches: whether a block runs and, where that
pays, its expansion and its kernel; widths stay masked. Forward only, and one subnet at a time: `vmap` would compute
every branch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import groupby

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from danas_jax.layers import ADD, LayerSpec, total_macs
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
) -> _Found:
    """The subnet `genes` [G] on x [B, R, R, 3] -> (logits [B, classes], the statistics of its batch normalisations).

    `layers` and `params` are those of the envelope. Without `statistics` it is normalised by the batch, whose are
    returned at the envelope's widths (of channels that were not computed: mean 0, variance 1); with them {} is.
    """
    net = _Subnet(space, envelope, genes, params, statistics, elastic.masks(space, genes, layers))
    found: Statistics = {}
    for name, group in groupby(layers, lambda layer: layer.name.rpartition(".")[0]):
        part = list(group)
        x, new = net.block(name, part, x) if name else net.plain(part, x)
        found |= new
    return x, found


class _Subnet:
    """One subnet while a program is traced."""

    def __init__(self, space, envelope, genes, params, statistics, masks):
        self.space, self.envelope, self.genes = space, envelope, genes
        self.params, self.statistics, self.masks = params, statistics, masks
        self.first = 0 if branches_pay(space, envelope) else -1  # of the values of a block's axes that get a branch

    def plain(self, layers: Sequence[LayerSpec], x: jax.Array) -> _Found:
        """Layers that every subnet has."""
        found: Statistics = {}

        def apply(layer: LayerSpec, x: jax.Array) -> jax.Array:
            x, new = self._layer(layer, layer.out_shape[2], x)
            found.update(new)
            return x

        return run_layers(layers, x, apply), found

    def block(self, name: str, layers: Sequence[LayerSpec], x: jax.Array) -> _Found:
        """An inverted residual block; one that the depth may leave out passes its input on."""
        stage, number = name.split(".")
        depths = self._values(f"{stage}.depth")
        if int(number[1:]) < depths[0]:
            return self._present(name, layers, x)

        def absent(x: jax.Array) -> _Found:
            shapes = jax.eval_shape(lambda x: self._present(name, layers, x), x)[1]
            return x, {layer: _nothing(new["mean"].shape[0], new["mean"].dtype) for layer, new in shapes.items()}

        depth = jnp.array(depths)[self.genes[self.space.index[f"{stage}.depth"]]]
        return lax.cond(int(number[1:]) < depth, lambda x: self._present(name, layers, x), absent, x)

    def _present(self, name: str, layers: Sequence[LayerSpec], x: jax.Array) -> _Found:
        *expand, depthwise, project = (layer for layer in layers if layer.op != ADD)
        kernels = self._values(f"{name}.kernel")[self.first :]

        def sized(expansion: int) -> Callable[[jax.Array], _Found]:
            hidden = expansion * layers[0].in_shape[2]

            def run(x: jax.Array) -> _Found:
                found: Statistics = {}
                for layer in expand:
                    x, found = self._layer(_wide(layer, layer.in_shape[2], hidden), layer.out_shape[2], x)
                cut = [replace(_wide(depthwise, hidden, hidden), kernel=kernel) for kernel in kernels]
                branches = [lambda x, layer=layer: self._layer(layer, depthwise.out_shape[2], x) for layer in cut]
                x, middle = self._switch(f"{name}.kernel", branches, x)
                x, last = self._layer(_wide(project, hidden, project.out_shape[2]), project.out_shape[2], x)
                return x, found | middle | last

            return run

        branches = [sized(expansion) for expansion in self._values(f"{name}.expansion")[self.first :]]
        out, found = self._switch(f"{name}.expansion", branches, x)
        return (x + out if layers[-1].op == ADD else out), found

    def _switch(self, axis: str, branches: Sequence[Callable[[jax.Array], _Found]], x: jax.Array) -> _Found:
        if len(branches) == 1:
            return branches[0](x)
        return lax.switch(self.genes[self.space.index[axis]], branches, x)

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
        if self.first == 0:
            masks.pop("taps", None)
        given = self.statistics and layer.batch_norm
        x, found = weighted(
            layer, arrays, x, masks, elastic.slice_layer(layer, self.statistics[layer.name]) if given else None
        )
        if not found:
            return x, {}
        rest = _nothing(full_width - layer.out_shape[2], found["mean"].dtype)
        return x, {layer.name: {name: jnp.concatenate([found[name], rest[name]]) for name in found}}


@lru_cache(maxsize=256)
def branches_pay(space: SearchSpace, envelope: elastic.Envelope) -> bool:
    """Whether branches for expansions and kernels save enough of the envelope's expected MACs: each is code to compile.

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


def _wide(layer: LayerSpec, inputs: int, outputs: int) -> LayerSpec:
    """`layer` with other numbers of channels."""
    return replace(layer, in_shape=(*layer.in_shape[:2], inputs), out_shape=(*layer.out_shape[:2], outputs))


def _nothing(width: int, dtype: jnp.dtype) -> dict[str, jax.Array]:
    """The statistics of channels that were not computed."""
    return {"mean": jnp.zeros(width, dtype), "var": jnp.ones(width, dtype)}
