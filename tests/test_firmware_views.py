"""Projects of sound and series: samples to codes to logits in C against the Python view and the integer network."""

import dataclasses
import re
import wave

import numpy as np
import pytest
from firmware_toys import VIEWS, built, command, exported_view, need, raw_examples, sanitizers, write
from pipeline_toys import TOY

from danas_jax import cli, disk, run
from danas_jax.config import Board, Limits
from danas_jax.deploy.examples import network_input
from danas_jax.deploy.firmware import memory
from danas_jax.deploy.firmware.c_layers import plan_arena
from danas_jax.deploy.firmware.emulator import answers
from danas_jax.deploy.firmware.flags import KINDS
from danas_jax.deploy.firmware.front_ends import front_end_of
from danas_jax.deploy.integer import integer_forward
from danas_jax.errors import UserError
from danas_jax.hardware import lut

INPUTS = """
#include <stdio.h>

#include "front_end.h"

int main(void) {
  static danas_raw portion[DANAS_PORTION_COUNT];
  static int8_t input[DANAS_MODEL_HEIGHT * DANAS_MODEL_WIDTH * DANAS_MODEL_CHANNELS];
  for (;;) {
    int32_t left;
    danas_front_end_begin();
    for (left = DANAS_EXAMPLE_COUNT; left > 0; left -= DANAS_PORTION_COUNT) {
      const int32_t count = left < DANAS_PORTION_COUNT ? left : DANAS_PORTION_COUNT;
      if (fread(portion, sizeof *portion, (size_t)count, stdin) != (size_t)count) return 0;
      if (danas_front_end_input(input)) return 1; /* not before its time */
      danas_front_end_take(portion, count);
    }
    if (!danas_front_end_input(input) || fwrite(input, sizeof input, 1, stdout) != 1) return 2;
  }
}
"""


class Toy:
    """A network behind a view, raw examples, and what Python makes of them."""

    def __init__(self, name, count=6, point=None):
        self.tflite, self.manifest, self.model = exported_view(name)
        self.manifest["operating_point"] = point
        self.raw = raw_examples(name, count)
        self.source = network_input(self.manifest["data"])
        self.front_end = front_end_of(self.source, self.raw.shape[1:])
        self.bytes = self.front_end.examples(self.raw).astype("<i2").tobytes()
        self.codes = self.source.deployed(self.raw).astype(int) - 128
        self.logits = integer_forward(self.model, self.source.deployed(self.raw))

    def write(self, folder, kind, **keywords):
        return write(folder, kind, self.tflite, self.manifest, self.model, self.front_end, **keywords)


@pytest.mark.parametrize("name", VIEWS)
def test_codes_and_logits_are_pythons(name, tmp_path):
    need("gcc", "make")
    toy = Toy(name)
    assert len(np.unique(toy.logits, axis=0)) > 4 and np.ptp(toy.logits.astype(int), axis=0).max() > 20
    toy.write(tmp_path, "bare")
    host = ["make", "host", "CC=gcc", f"HOST_FLAGS={' '.join(sanitizers())}"]
    command(*host, cwd=tmp_path)
    found = answers(command("./host", cwd=tmp_path, data=toy.bytes))
    assert (found.logits == toy.logits).all()
    assert (found.classes == toy.logits.argmax(axis=1)).all()
    assert not len(answers(command("./host", cwd=tmp_path, data=toy.bytes[: len(toy.bytes) // 7])).classes)
    (tmp_path / "main.c").write_text(INPUTS)
    command("make", "clean", cwd=tmp_path)
    command(*host, cwd=tmp_path)
    (tmp_path / "in").write_bytes(toy.bytes)
    command("sh", "-c", "./host < in > out", cwd=tmp_path)
    codes = np.frombuffer((tmp_path / "out").read_bytes(), np.int8).reshape(toy.codes.shape)
    assert (codes == toy.codes).all()
    assert len((tmp_path / "examples.bin").read_bytes()) == 3 * toy.front_end.bytes


@pytest.mark.parametrize("name", ["mfcc", "series"])
def test_the_operating_point_names_the_class(name, tmp_path):
    need("gcc", "make")
    without = Toy(name)
    gaps = np.unique(without.logits[:, 1].astype(int) - without.logits[:, 0])
    threshold = int(gaps[len(gaps) // 2])
    assert threshold not in (0, 1) and gaps[0] < threshold
    toy = Toy(name, point={"positive_class": "yes", "threshold_codes": threshold, "max_false_alarm_rate": 0.1})
    toy.write(tmp_path, "bare")
    command("make", "host", "CC=gcc", cwd=tmp_path)
    found = answers(command("./host", cwd=tmp_path, data=toy.bytes))
    assert (found.classes == (toy.logits[:, 1].astype(int) - toy.logits[:, 0] >= threshold)).all()


@pytest.mark.parametrize("kind", ["arduino", "zephyr"])
@pytest.mark.parametrize("name", VIEWS)
def test_portions_go_through_preprocessing_and_interpreter(name, kind, tmp_path):
    toy = Toy(name)
    toy.write(tmp_path, kind)
    printed = command(built(tmp_path, kind, 1, 0), cwd=tmp_path, data=toy.bytes).replace("\r", "")
    found = answers(printed)
    assert (found.logits == toy.codes.reshape(len(toy.raw), -1)[:, :2]).all()  # the fake's logits: its input
    asked = list(map(int, re.findall(r"^send (\d+)$", printed, re.M)))
    count = -(-toy.front_end.bytes // toy.front_end.portion_bytes)
    assert count > 5 and sum(asked[:count]) == toy.front_end.bytes
    assert len(asked) == len(toy.raw) * count + 1  # the last one is not answered
    assert asked[0] == toy.front_end.portion_bytes


@pytest.mark.parametrize("name", ["mfcc", "series"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_bench_mode_needs_no_examples(name, kind, tmp_path):
    toy = Toy(name)
    toy.write(tmp_path, kind)
    if kind == "bare":
        need("gcc", "make")
        command("make", "host", "CC=gcc", "BENCH=3", cwd=tmp_path)
        program = "./host"
    else:
        program = built(tmp_path, kind, len(toy.model.layers), 3)
    (tmp_path / "times.csv").write_text(command(program, cwd=tmp_path))
    rows = lut.read_rows(tmp_path / "times.csv")[1]
    assert len(rows) == 1 + len(toy.model.layers) and {row.readings for row in rows.values()} == {3}


@pytest.mark.parametrize("name", VIEWS)
def test_memory_is_what_the_search_counts_and_a_portion(name):
    toy = Toy(name)
    needed = memory.needs("bare", toy.model, toy.tflite, toy.front_end)
    counted = toy.source.view.pipeline_bytes(toy.source.data)
    fixed = memory.VARIABLES_BYTES + memory.STACK_BYTES
    total = plan_arena(toy.model).bytes + counted + toy.front_end.portion_bytes + fixed
    assert sum(needed["sram"].values()) == total
    assert counted + toy.front_end.portion_bytes < toy.front_end.bytes or name == "series"  # no buffer for the clip
    memory.check(needed, Board("mine", "", "", 1, total, 10**6, ""), "here")
    with pytest.raises(UserError, match=rf"needs {total} bytes of sram \(.*front end {counted}.*mine has {total - 1}"):
        memory.check(needed, Board("mine", "", "", 1, total - 1, 10**6, ""), "here")


@pytest.mark.parametrize("name", VIEWS)
def test_the_readme_makes_the_bytes_of_an_example(name, tmp_path, monkeypatch):
    toy = Toy(name)
    toy.write(tmp_path, "arduino")
    text = (tmp_path / "README.md").read_text()
    assert "$" not in text and f"{toy.front_end.bytes} bytes" in text
    (code,) = re.findall(r"```python\n(.*?)```", text, re.S)
    compile(code, "README.md", "exec")
    monkeypatch.chdir(tmp_path)
    if name == "series":
        np.savez("windows.npz", x=toy.raw)
    else:
        with wave.open("clip.wav", "wb") as clip:
            clip.setparams((1, 2, VIEWS[name].native_rate_hz, 0, "NONE", ""))
            clip.writeframes(toy.raw[0].astype("<i2").tobytes())
    made = {}
    exec(code.split("with serial.Serial")[0].replace("import serial ", "pass "), made)
    assert made["data"] == toy.bytes[: toy.front_end.bytes]


def finished_run(folder, name, limits, boards=()):
    """A run whose export phase is done, with one finalist of one of VIEWS."""
    run.open_run(dataclasses.replace(TOY, run_dir=str(folder), budgets=(limits,), boards=boards))
    toy = Toy(name)
    disk.write_bytes(folder / "export/toy/model_int8.tflite", toy.tflite)
    disk.write_json(folder / "export/toy/manifest.json", toy.manifest)
    chosen = {
        "kind": "candidate",
        "name": "toy",
        "budget": {**dataclasses.asdict(limits), "count_input_pipeline": True},
    }
    disk.write_json(folder / "summary.json", {"finalists": [chosen]})
    for phase in ("train", "search", "retrain", "export"):
        run.mark_done(folder, phase)
    return str(folder)


@pytest.mark.parametrize(("name", "header"), [("log-mel", "mel_config.h"), ("series", "series_config.h")])
def test_danas_export_writes_the_projects(name, header, tmp_path, capsys):
    folder = finished_run(tmp_path, name, Limits(sram_bytes=40_000))
    assert cli.main(["export", folder, *(f"--firmware={kind}" for kind in KINDS)]) == 0
    projects = tmp_path / "export/toy/firmware"
    for place in ("bare", "arduino", "zephyr/src"):
        assert (projects / place / header).is_file()
        assert not list((projects / place).glob("preprocess.c"))
    assert capsys.readouterr().out.count("firmware: ") == 3


def test_a_board_too_small_for_sound_is_refused_before_anything_is_written(tmp_path, capsys):
    tiny = Board("tiny", "a", "b", 10**6, 9_000, 10**6, "c")
    folder = finished_run(tmp_path, "log-mel", Limits(sram_bytes=9_000, board="tiny"), (tiny,))
    assert cli.main(["export", folder, "--firmware", "bare"]) == 2
    assert "front end " in capsys.readouterr().err
    assert not (tmp_path / "export/toy/firmware").exists()
