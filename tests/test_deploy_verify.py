"""Arena, operators and header of an exported file."""

import os
import re
import shutil
import subprocess
import threading
import time

import numpy as np
import pytest
from deploy_nets import networks, pictures

from danas_jax.deploy import header, tflite_writer, verify


@pytest.fixture(scope="module")
def model():
    return tflite_writer.random_model(networks()[0])


@pytest.fixture(scope="module")
def tflite(model):
    return tflite_writer.write_tflite(model, {})


def manifest(model, tflite, classes):
    side, _, channels = model.input_shape
    return {
        "id": 'a "quoted" */ id',
        "classes": classes,
        "data": {"resolution_px": side, "colour": {1: "mono", 3: "rgb"}[channels], "resize": "area"},
        "input": {"shape": [1, side, side, channels]},
        "output": {"scale": model.output.scale, "zero_point": model.output.zero_point, "shape": [1, len(classes)]},
        "memory": {"predicted": {"arena_device_bytes": 12345}},
    }


def test_stated_arena_runs_and_is_tight(model, tflite):
    memory = verify.measure_arena(tflite)
    images = pictures(model.input_shape, 2)
    verify.run_tflm(tflite, images, memory["arena_bytes"])
    with pytest.raises(verify.VerificationError, match="arena"):
        verify.run_tflm(tflite, images, memory["arena_bytes"] - 64)
    largest = max(np.prod(layer.spec.out_shape) for layer in model.layers)
    assert largest <= memory["head_bytes"] < memory["arena_bytes"]
    assert 0 <= memory["arena_bytes"] - memory["head_bytes"] - memory["tail_bytes"] < 64


def test_a_wrong_simulation_is_noticed(model, tflite):
    images = pictures(model.input_shape, 2)
    other = tflite_writer.random_model(networks()[0], seed=1)
    with pytest.raises(verify.VerificationError, match="differ on 2 of 2 images"):
        verify.verify(tflite, other, images)


def test_operators_off_the_list_are_noticed(model, tflite, monkeypatch):
    assert set(verify.operators(tflite)) <= set(verify.ALLOWED_OPERATORS)
    monkeypatch.setattr(verify, "ALLOWED_OPERATORS", ("CONV_2D",))
    with pytest.raises(verify.VerificationError, match="DEPTHWISE_CONV_2D"):
        verify.verify(tflite, model, pictures(model.input_shape, 1))


def test_tflm_prints_nothing_of_its_own(tflite, capfd):
    verify.measure_arena(tflite)
    with pytest.raises(verify.VerificationError):
        verify.run_tflm(tflite, np.zeros((1, *networks()[0][0].in_shape), np.uint8), 512)
    assert capfd.readouterr() == ("", "")


PROGRAM = """
#include <stdio.h>
#include "model.h"
int main(void) {
  unsigned long sum = 0;
  unsigned i;
  for (i = 0; i < DANAS_MODEL_LENGTH; ++i) sum += (unsigned long)danas_model[i] * (i % 251 + 1);
  printf("%lu %d %d %u %d %d %d %s|%s\\n", sum, DANAS_MODEL_WIDTH, DANAS_MODEL_CHANNELS, DANAS_MODEL_ARENA_BYTES,
         DANAS_MODEL_INPUT(255), DANAS_MODEL_GREY(255, 255, 255), (int)((uintptr_t)danas_model % 16),
         danas_model_labels[0], danas_model_labels[1]);
  return 0;
}
"""


@pytest.mark.parametrize(("compiler", "language"), [("gcc", "c99"), ("g++", "c++11")])
def test_header_compiles_and_holds_the_file(model, tflite, tmp_path, compiler, language):
    if not shutil.which(compiler):
        pytest.skip(f"{compiler} is not installed")
    labels = ['no "person"?', "café \\ 1"]
    (tmp_path / "model.h").write_text(header.c_header(tflite, manifest(model, tflite, labels)))
    source = tmp_path / ("main.c" if language == "c99" else "main.cc")
    source.write_text(PROGRAM)
    flags = [f"-std={language}", "-Wall", "-Wextra", "-Werror", "-pedantic"]
    subprocess.run([compiler, *flags, str(source), "-o", str(tmp_path / "main")], check=True)
    printed = subprocess.run([str(tmp_path / "main")], check=True, capture_output=True).stdout.decode().strip()
    total = int((np.frombuffer(tflite, np.uint8).astype(int) * (np.arange(len(tflite)) % 251 + 1)).sum())
    side, _, channels = model.input_shape
    assert printed == f"{total} {side} {channels} 12345 127 255 0 {labels[0]}|{labels[1]}"


def test_header_names_every_operator(model, tflite):
    text = header.c_header(tflite, manifest(model, tflite, ["a", "b"]))
    calls = re.findall(r"\(resolver\)\.(\w+)\(\);", text)
    assert len(calls) == len(set(verify.operators(tflite))) == int(re.findall(r"MODEL_OPERATORS (\d+)", text)[0])
    assert set(calls) <= set(header.RESOLVER_CALLS.values())


def test_header_says_what_the_manifest_lacks(model, tflite):
    lacking = manifest(model, tflite, ["a", "b"])
    del lacking["memory"]
    with pytest.raises(KeyError, match="memory"):
        header.c_header(tflite, lacking)


def test_two_threads_that_silence_tflm_do_not_silence_the_process():
    """Taken in turns: else the second would give back, at its end, the first one's file as standard output."""
    before, started = os.fstat(1), threading.Event()

    def first():
        started.set()
        time.sleep(0.2)

    thread = threading.Thread(target=verify._silenced, args=(first,))
    thread.start()
    started.wait(10)
    verify._silenced(lambda: time.sleep(0.3))
    thread.join(10)
    assert os.path.samestat(before, os.fstat(1))
