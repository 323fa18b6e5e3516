"""The network in plain C against TFLM, from frame to logits, under the compiler's sanitizers."""

import re

import numpy as np
import pytest
from deploy_nets import int8_network, networks, odd_network
from firmware_toys import command, exported, need, sanitizers, scenes, write

from danas_jax.deploy.firmware.c_frame import Frame
from danas_jax.deploy.firmware.c_layers import plan_arena
from danas_jax.deploy.firmware.emulator import answers
from danas_jax.deploy.tflite_loader import load_tflite
from danas_jax.deploy.tflite_writer import write_tflite
from danas_jax.deploy.verify import run_tflm
from danas_jax.errors import UserError
from danas_jax.hardware import graph, tflm
from danas_jax.views.resize import deployed_view

SUBNETS = {str(i): layers for i, layers in enumerate(networks())} | {"odd": odd_network()}
HARD_NAMES = ['say "ä"\\?', "two\nlines"]


@pytest.mark.parametrize("name", SUBNETS)
def test_logits_equal_tflms(name, tmp_path):
    need("gcc", "make")
    tflite, manifest, _ = exported(SUBNETS[name], seed=len(name))
    data = manifest["data"]
    frames = scenes(6, data["resolution_px"] + 13)
    write(tmp_path, "bare", tflite, manifest, load_tflite(tflite), Frame(frames.shape[1]))
    command("make", "host", "CC=gcc", f"HOST_FLAGS={' '.join(sanitizers())}", cwd=tmp_path)
    found = answers(command("./host", cwd=tmp_path, data=frames.tobytes()))
    wanted = run_tflm(tflite, deployed_view(frames, data["resolution_px"], data["colour"]))
    assert np.ptp(wanted.astype(int), axis=0).max() > 20  # the frames do reach the output
    assert (found.logits == wanted).all()
    assert (found.classes == wanted.argmax(axis=1)).all()


def test_scores_are_the_softmax_and_names_may_hold_anything(tmp_path):
    need("gcc", "make")
    tflite, manifest, model = exported(networks()[0], classes=HARD_NAMES)
    frames = scenes(4, 64)
    write(tmp_path, "bare", tflite, manifest, model, Frame(64))
    command("make", "host", "CC=gcc", cwd=tmp_path)
    lines = command("./host", cwd=tmp_path, data=frames.tobytes()).splitlines()
    logits = answers("\n".join(lines)).logits
    powers = np.exp(model.output.scale * logits.astype(float))
    printed = [list(map(float, re.search(r"scores ([\d. ]+)", line)[1].split())) for line in lines]
    np.testing.assert_allclose(printed, powers / powers.sum(axis=1, keepdims=True), atol=6e-4)
    shown = ['say "ä"\\?', "two?lines"]
    assert [line.rsplit(" ms: ", 1)[1] for line in lines] == [shown[row.argmax()] for row in logits]


@pytest.mark.parametrize("name", SUBNETS)
def test_activations_that_live_together_do_not_overlap(name):
    model = int8_network(SUBNETS[name])
    arena, net = plan_arena(model), graph.from_layers(SUBNETS[name])
    lives = list(net.lives.values())
    for i, one in enumerate(lives):
        for other in lives[:i]:
            if one.first <= other.last and other.first <= one.last:
                a, b = arena.offsets[one.name], arena.offsets[other.name]
                assert a + one.bytes <= b or b + other.bytes <= a, (one, other)
    assert graph.live_peak_bytes(net) <= arena.bytes <= tflm.head_bytes(net)


@pytest.mark.parametrize("name", SUBNETS)
def test_a_written_file_is_loaded_as_it_was(name):
    model = int8_network(SUBNETS[name])
    loaded = load_tflite(write_tflite(model, {"data": {"colour": "mono"}}))
    assert loaded.input == model.input
    for ours, theirs in zip(loaded.layers, model.layers, strict=True):
        assert ours.output == theirs.output
        assert vars(ours.spec) | {"batch_norm": 0} == vars(theirs.spec) | {"batch_norm": 0}
        for field in ("kernel", "kernel_scales", "bias"):
            a, b = getattr(ours, field), getattr(theirs, field)
            assert (a is b is None) or (a.dtype == b.dtype and a.shape == b.shape and (a == b).all()), field


def test_files_of_others_are_refused():
    tflite = write_tflite(int8_network(odd_network()), {})
    with pytest.raises(UserError, match=r"x\.tflite"):
        load_tflite(tflite[:-40], "x.tflite")
    renamed = tflite.replace(b"danas_jax", b"danas_jex")  # the description: the same network by another writer
    assert renamed != tflite
    with pytest.raises(UserError, match="export again"):
        load_tflite(renamed, "x.tflite")
