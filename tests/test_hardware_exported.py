"""200 random subnets of two spaces, exported to int8: what was predicted against file and TFLM, logits included.

MACs, weights, liveness and arena are equal for every one; files were within 0.09 % when this was written.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from deploy_nets import int8_network, pictures

from danas_jax.deploy.integer import integer_forward
from danas_jax.deploy.tflite_writer import random_model, write_tflite
from danas_jax.deploy.verify import ALLOWED_OPERATORS, measure_arena, operators, reported, run_tflm
from danas_jax.hardware import graph, tflite_reader, tflm
from danas_jax.layers import total_macs
from danas_jax.spaces import mobilenetv2_tiny, quickstart

# about what the exporter stores: with a longer text than the allowance of flash.py the file would be larger by as much
METADATA = {"data": {"resolution_px": 64, "colour": "rgb", "normalisation": "(pixel - 128) / 128"}, "note": "x" * 150}
SUBNETS = 100  # per space


SPACES = pytest.mark.parametrize("space", [quickstart(), mobilenetv2_tiny()], ids=lambda space: space.name)


def subnets(space):
    """The smallest, the largest and random ones, with 2 to 19 classes."""
    rng = np.random.default_rng(23)
    for genes in [space.min_genes, space.max_genes, *space.sample(rng, SUBNETS - 2)]:
        yield space.layers(genes, int(rng.integers(2, 20)))


@SPACES
def test_exported_subnets_cost_what_was_predicted(space):
    arena_errors, file_errors = [], []
    for i, layers in enumerate(subnets(space)):
        data = write_tflite(random_model(layers, seed=i), METADATA)
        predicted, parsed = graph.from_layers(layers), tflite_reader.parse(data, "exported.tflite")
        assert graph.macs(predicted) == graph.macs(parsed) == tuple(layer.macs for layer in layers)
        assert graph.params(predicted) == graph.params(parsed) == sum(layer.params for layer in layers)
        assert graph.total_macs(parsed) == total_macs(layers)
        assert graph.weight_bytes(predicted) == graph.weight_bytes(parsed)
        assert graph.live_bytes(predicted) == graph.live_bytes(parsed)
        assert replace(predicted, file_bytes=len(data)) == parsed  # and everything else that figures are made of
        said, least = reported(data), measure_arena(data)["arena_bytes"]
        assert tflm.head_bytes(predicted) == said["head"]
        assert tflm.arena_host_bytes(predicted) == tflm.arena_host_bytes(parsed) >= least
        arena_errors.append(tflm.arena_host_bytes(predicted) / said["total"] - 1)
        file_errors.append(predicted.file_bytes / len(data) - 1)
    for name, errors in (("arena", arena_errors), ("file", file_errors)):
        print(f"{space.name}: {name} {100 * min(errors):+.3f} to {100 * max(errors):+.3f} % of {len(errors)} files")
    assert min(arena_errors) >= -0.005 and max(arena_errors) <= 0.01
    assert max(map(abs, file_errors)) <= 0.01


@pytest.mark.parametrize(("every", "images"), [(10, 8), pytest.param(1, 64, marks=pytest.mark.slow)])
@SPACES
def test_exported_subnets_answer_as_simulated_in_the_predicted_arena(space, every, images):
    """Bit for bit, on networks through which pictures can be told apart; the slow form: all, on 64 images each."""
    still = 0
    for i, layers in list(enumerate(subnets(space)))[::every]:
        model = int8_network(layers, seed=i, calibrating=8)
        data, seen = write_tflite(model, METADATA), pictures(model.input_shape, images, seed=i)
        assert set(operators(data)) <= set(ALLOWED_OPERATORS)
        logits = run_tflm(data, seen, tflm.arena_host_bytes(graph.from_layers(layers)))
        np.testing.assert_array_equal(logits, integer_forward(model, seen))
        still += np.ptp(logits.astype(int), axis=0).max() < 20
    assert still <= 0.05 * SUBNETS / every
