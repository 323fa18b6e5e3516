"""The bare project on an emulated Cortex-M: logits of TFLM, memory by the linker's map, instructions per layer."""

import numpy as np
import pytest
from deploy_nets import networks
from firmware_toys import command, exported, exported_view, need, raw_examples, scenes, write

from danas_jax.data.decode import EXTENSIONS, read_image
from danas_jax.deploy.examples import network_input
from danas_jax.deploy.firmware import emulator, memory
from danas_jax.deploy.firmware.c_frame import Frame
from danas_jax.deploy.firmware.emulate import EXAMPLES, emulate
from danas_jax.deploy.firmware.front_ends import front_end_of
from danas_jax.deploy.verify import VerificationError
from danas_jax.errors import UserError

SIDE = 72  # of the frames


@pytest.fixture(autouse=True)
def tools():
    if missing := emulator.missing_tools():
        pytest.skip(missing)


@pytest.fixture(scope="module")
def photographs(shared):
    """Validation photographs uint8 [20, 72, 72, 3], of both classes."""
    files = sorted(p for p in (shared / "data/person_photos/validation").rglob("*") if p.suffix.lower() in EXTENSIONS)
    if len(files) < EXAMPLES:
        pytest.skip("no photographs of person_photos here")
    return np.stack([read_image(files[i], SIDE) for i in np.linspace(0, len(files) - 1, EXAMPLES).astype(int)])


def check(found, model, tflite, front_end):
    """Figures that hold for every network."""
    assert found["images"] == EXAMPLES
    needed = memory.needs("bare", model, tflite, front_end)
    for part, measured in (("sram", found["ram_bytes"]), ("flash", found["flash_bytes"])):
        predicted = sum(needed[part].values())
        assert measured <= predicted <= measured + 2_000, part
    assert found["ram_bytes"] >= found["arena_bytes"] + found["front_end_bytes"] + memory.STACK_BYTES
    total = sum(layer["instructions"] for layer in found["layers"])
    assert total == pytest.approx(found["network_instructions"], rel=0.02)
    for layer in found["layers"]:
        assert layer["instructions"] >= 4 * layer["macs"], layer  # two loads, a product with its sum, a step


@pytest.mark.parametrize(("case", "cpu"), [(1, "cortex-m4"), (7, "cortex-m4"), (0, "cortex-m7")])
def test_logits_equal_tflms_on_scenes(case, cpu):
    tflite, manifest, model = exported(networks()[case], seed=case)
    found = emulate(tflite, manifest, model, scenes(EXAMPLES, SIDE), cpu)
    check(found, model, tflite, Frame(SIDE))
    assert found["cpu"] == cpu and len(found["layers"]) == len(model.layers)


@pytest.mark.parametrize(("name", "cpu"), [("log-mel", "cortex-m4"), ("mfcc", "cortex-m7"), ("series", "cortex-m4")])
def test_logits_equal_tflms_on_sound_and_series(name, cpu):
    tflite, manifest, model = exported_view(name)
    raw = raw_examples(name, EXAMPLES)
    found = emulate(tflite, manifest, model, raw, cpu)
    source = network_input(manifest["data"])
    check(found, model, tflite, front_end_of(source, raw.shape[1:]))
    operations = source.view.pipeline_operations(source.data)
    assert operations < found["preprocess_instructions"] < 30 * operations


def test_logits_equal_tflms_on_photographs(photographs):
    tflite, manifest, model = exported(networks()[3], seed=1)
    check(emulate(tflite, manifest, model, photographs, "cortex-m4"), model, tflite, Frame(SIDE))


def test_another_network_is_noticed():
    tflite, manifest, _ = exported(networks()[0], seed=0)
    other = exported(networks()[0], seed=1)[2]
    with pytest.raises(VerificationError, match="cortex-m4 and TFLM differ"):
        emulate(tflite, manifest, other, scenes(2, SIDE), "cortex-m4")


def test_frames_larger_than_the_emulated_board_are_refused():
    tflite, manifest, model = exported(networks()[0])
    with pytest.raises(UserError, match="pictures of 3630000 bytes do not fit"):
        emulate(tflite, manifest, model, np.zeros((1, 1100, 1100, 3), np.uint8), "cortex-m4")


def test_instructions_are_counted_alike_every_time(tmp_path):
    write(tmp_path, "bare", *exported(networks()[0]), Frame(SIDE))
    emulator.build(tmp_path, "cortex-m4")
    first, again = emulator.run(tmp_path, "cortex-m4"), emulator.run(tmp_path, "cortex-m4")
    assert first == again and first.count("example ") == 3


def test_the_memory_of_another_chip_and_a_core_without_divider(tmp_path):
    write(tmp_path, "bare", *exported(networks()[0]), Frame(SIDE))
    chip = ["FLASH_START=0x08000000", "FLASH_BYTES=0x40000", "RAM_START=0x20000000", "CPU=cortex-m0plus"]
    command("make", *chip, "RAM_BYTES=0x10000", cwd=tmp_path)
    sections = command("arm-none-eabi-size", "-A", "firmware.elf", cwd=tmp_path)
    address = {line.split()[0]: int(line.split()[2]) for line in sections.splitlines() if line.startswith(".")}
    assert address[".text"] == 0x08000000 and 0x20000000 <= address[".stack"] < 0x20010000
    command("make", "clean", cwd=tmp_path)
    with pytest.raises(AssertionError, match="region `ram' overflowed"):
        command("make", *chip, "RAM_BYTES=0x1000", cwd=tmp_path)


def test_a_fault_ends_the_program(tmp_path):
    write(tmp_path, "bare", *exported(networks()[0]), Frame(SIDE))
    (tmp_path / "network.c").write_text(
        (tmp_path / "network.c").read_text().replace("int i;", "int i = *(volatile int *)~3u;")
    )
    emulator.build(tmp_path, "cortex-m4")
    with pytest.raises(RuntimeError, match=r"make -s run .* exit code"):
        emulator.run(tmp_path, "cortex-m4")


def test_what_is_missing_is_named(monkeypatch):
    need("arm-none-eabi-gcc")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UserError, match=r"qemu-system-arm not found: apt-get install .*gcc-arm-none-eabi"):
        emulator.require_tools()
