"""Inputs that are not square, from prediction to plain C: costs, arena, TFLM's and C's answers, latency keys, int8."""

from dataclasses import replace

import numpy as np
import pytest
from deploy_nets import int8_network, pictures
from firmware_toys import WARNINGS, command, need, sanitizers
from shape_toys import NETWORKS, ONE_DIMENSIONAL

from danas_jax.deploy.firmware import project
from danas_jax.deploy.firmware.c_layers import c_layers
from danas_jax.deploy.integer import integer_forward
from danas_jax.deploy.tflite_loader import load_tflite
from danas_jax.deploy.tflite_writer import write_tflite
from danas_jax.deploy.verify import measure_arena, run_tflm
from danas_jax.hardware import graph, layer_key, tflite_reader, tflm
from danas_jax.hardware.annotated_csv import Line
from danas_jax.layers import total_macs

EVERY = pytest.mark.parametrize("name", NETWORKS)

# int8 inputs from standard input to logits on standard output
MAIN = """
#include <stdio.h>
#include "layers.h"
int main(void) {
  int8_t *input = danas_arena + danas_input_offset;
  while (fread(input, 1, INPUT_BYTES, stdin) == INPUT_BYTES) {
    int i;
    for (i = 0; i < danas_layer_count; ++i) danas_run_layer(&danas_layers[i], danas_arena);
    for (i = 0; i < CLASSES; ++i) printf("%d ", danas_arena[danas_output_offset + i]);
  }
  return 0;
}
"""


def exported(name):
    """(model, file, inputs) of a network through which inputs can be told apart."""
    model = int8_network(NETWORKS[name], seed=len(name))
    return model, write_tflite(model, {}), pictures(model.input_shape, 16, seed=3)


def test_the_networks_are_of_every_kind():
    windows = {name: {layer.kernel for layer in net if layer.op != "avg_pool"} for name, net in NETWORKS.items()}
    assert all(width == 1 for name in ONE_DIMENSIONAL for _, width in windows[name])
    assert {height for name in ONE_DIMENSIONAL for height, _ in windows[name]} >= {1, 2, 3, 5, 7}
    assert {np.sign(h - w) for name in set(NETWORKS) - set(ONE_DIMENSIONAL) for h, w in windows[name]} == {-1, 0, 1}
    for op in ("avg_pool", "add"):
        assert sum(any(layer.op == op for layer in net) for net in NETWORKS.values()) > 2
    assert any(layer.op == "dense" and layer.in_shape[0] > 1 for net in NETWORKS.values() for layer in net)


@EVERY
def test_it_costs_what_was_predicted(name):
    layers, (_, tflite, _) = NETWORKS[name], exported(name)
    predicted, parsed = graph.from_layers(layers), tflite_reader.parse(tflite, "exported.tflite")
    assert replace(predicted, file_bytes=len(tflite)) == parsed
    assert graph.macs(parsed) == tuple(layer.macs for layer in layers)
    assert graph.total_macs(parsed) == total_macs(layers)
    assert graph.params(parsed) == sum(layer.params for layer in layers)
    measured = measure_arena(tflite)
    assert tflm.head_bytes(predicted) == measured["head_bytes"]
    assert tflm.arena_host_bytes(predicted) == measured["arena_bytes"]  # toys included: the least that it runs in


@EVERY
def test_tflm_answers_as_simulated_in_the_predicted_arena(name):
    model, tflite, inputs = exported(name)
    logits = run_tflm(tflite, inputs, tflm.arena_host_bytes(graph.from_layers(NETWORKS[name])))
    assert np.ptp(logits.astype(int), axis=0).max() > 20  # the inputs do reach the output
    np.testing.assert_array_equal(logits, integer_forward(model, inputs))


@EVERY
def test_a_file_is_loaded_as_it_was(name):
    model, tflite, _ = exported(name)
    loaded = load_tflite(tflite)
    for ours, theirs in zip(loaded.layers, model.layers, strict=True):
        assert ours.spec == replace(theirs.spec, batch_norm=False)
        assert ours.kernel is theirs.kernel is None or (ours.kernel == theirs.kernel).all()


@EVERY
def test_plain_c_answers_as_tflm(name, tmp_path):
    need("gcc")
    model, tflite, inputs = exported(name)
    sources = {"layers.c": c_layers(model), "main.c": MAIN}
    sources |= {shipped: project._source(shipped) for shipped in ("kernels.c", "layers.h")}
    for path, text in sources.items():
        (tmp_path / path).write_text(text)
    sizes = f"-DINPUT_BYTES={np.prod(model.input_shape)}", f"-DCLASSES={NETWORKS[name][-1].out_shape[2]}"
    command(
        "gcc",
        "-std=c99",
        *WARNINGS,
        *sanitizers(),
        *sizes,
        "layers.c",
        "main.c",
        "kernels.c",
        "-o",
        "main",
        cwd=tmp_path,
    )
    printed = command("./main", cwd=tmp_path, data=(inputs.astype(np.int16) - 128).astype(np.int8).tobytes())
    found = np.array(printed.split(), int).reshape(len(inputs), -1)
    np.testing.assert_array_equal(found, run_tflm(tflite, inputs))


@EVERY
def test_a_latency_table_holds_its_layers(name):
    net = graph.from_layers(NETWORKS[name])
    for operator, layer in zip(net.operators, NETWORKS[name], strict=True):
        key = layer_key.key_of(net, operator)
        assert key.macs == layer.macs
        cells = dict(zip(layer_key.CELLS, layer_key.cells(key), strict=True))
        assert layer_key.from_cells(Line("row", cells)) == key
