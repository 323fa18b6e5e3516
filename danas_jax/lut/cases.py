"""What is timed: the layers of a search space one by one, or whole networks of it, as int8 files."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np

from danas_jax.bench.work import known_spaces
from danas_jax.config_io import load_config
from danas_jax.deploy.tflite_writer import random_model, write_tflite
from danas_jax.hardware.graph import from_layers
from danas_jax.hardware.layer_key import OVERHEAD, Key, key_of
from danas_jax.layers import AVG_POOL, CONV, INPUT, LayerSpec
from danas_jax.space import SearchSpace

Layers = tuple[LayerSpec, ...]

# What every reading is compared with: a pointwise layer of 65,536 MACs, a tenth of a millisecond.
REFERENCE: Layers = (LayerSpec("reference", CONV, (INPUT,), (16, 16, 16), (16, 16, 16)),)
# As little work as a file can hold, so that its time is that of setting off.
EMPTY: Layers = (LayerSpec("empty", AVG_POOL, (INPUT,), (1, 1, 1), (1, 1, 1)),)


@cache
def find_space(name: str) -> SearchSpace:
    """A space of danas_jax/spaces.py by name, or the space of a CONFIG. Raises UserError as `load_config` does."""
    shipped = known_spaces()
    return shipped[name]() if name in shipped else load_config(name).space


def tflite(layers: Layers) -> bytes:
    """An int8 file of these layers with random weights; what they are does not change how long it takes."""
    return write_tflite(random_model(layers), {})


def layer_cases(space: SearchSpace, num_classes: int, networks: int, seed: int) -> dict[Key, Layers]:
    """Every different layer of the smallest and the largest network of each data configuration and of `networks`
    random ones, as a network of its own; first the overhead."""
    corners = [
        np.array([*data, *genes[len(data) :]])
        for data in space.data_genes()
        for genes in (space.min_genes, space.max_genes)
    ]
    rows = [*corners, *space.sample(np.random.default_rng(seed), networks)]
    # a layer's name and activation do not change its time
    alone = dict.fromkeys(
        replace(layer, name="layer", inputs=(INPUT,) * len(layer.inputs), activation="none")
        for genes in rows
        for layer in space.layers(genes, num_classes)
    )
    cases: dict[Key, Layers] = {Key(OVERHEAD): EMPTY}
    for layer in alone:
        one = from_layers((layer,))
        key = key_of(one, one.operators[0])
        assert key is not None
        cases[key] = (layer,)
    return cases


def random_genes(space: SearchSpace, count: int, seed: int) -> list[np.ndarray]:
    """Genes [G] of `count` different random systems (fewer where so many draws hold fewer)."""
    drawn = space.sample(np.random.default_rng(seed), 4 * count)
    _, first = np.unique(drawn, axis=0, return_index=True)
    return list(drawn[np.sort(first)[:count]])
