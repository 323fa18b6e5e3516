"""Projects for boards: TFLM's compiled against its interface and run on this machine, the files, what is refused."""

import dataclasses

import pytest
from deploy_nets import networks
from firmware_toys import built, command, exported, need, scenes, write
from pipeline_toys import TOY

from danas_jax import cli, disk, run
from danas_jax.config import Board, Limits
from danas_jax.deploy.firmware import memory
from danas_jax.deploy.firmware.c_frame import Frame
from danas_jax.deploy.firmware.emulator import answers
from danas_jax.deploy.firmware.flags import KINDS
from danas_jax.deploy.firmware.project import tflm_arena_bytes
from danas_jax.errors import UserError
from danas_jax.hardware import graph, lut, tflm
from danas_jax.hardware.layer_key import OVERHEAD, Key, key_of
from danas_jax.views.resize import deployed_view


@pytest.mark.parametrize("kind", ["arduino", "zephyr"])
def test_a_frame_goes_through_preprocessing_and_interpreter(kind, tmp_path):
    tflite, manifest, model = exported(networks()[0])
    write(tmp_path, kind, tflite, manifest, model, Frame(80))
    frames = scenes(3, 80)
    printed = command(built(tmp_path, kind, 1, 0), cwd=tmp_path, data=frames.tobytes())
    found = answers(printed.replace("\r", ""))
    view = deployed_view(frames, manifest["data"]["resolution_px"], manifest["data"]["colour"])
    classes = len(manifest["classes"])
    assert (found.logits == view.reshape(3, -1)[:, :classes].astype(int) - 128).all()  # the fake's logits: its input
    assert (found.classes == found.logits.argmax(axis=1)).all()
    labels = [line.rsplit(" ms: ", 1)[1] for line in printed.splitlines() if line.startswith("example")]
    assert labels == [manifest["classes"][i] for i in found.classes]


@pytest.mark.parametrize("kind", ["arduino", "zephyr"])
@pytest.mark.parametrize("case", [0, 7])
def test_the_bench_modes_table_is_imported(kind, case, tmp_path, monkeypatch):
    tflite, manifest, model = exported(networks()[case])
    write(tmp_path, kind, tflite, manifest, model, Frame(80), board="nano33ble")
    layers = [layer.spec for layer in model.layers]
    table = command(built(tmp_path, kind, len(layers), 4), cwd=tmp_path)
    (tmp_path / "times.csv").write_text(table)
    monkeypatch.chdir(tmp_path)
    assert cli.main(["lut", "import", "times.csv", "--board", "nano33ble", "--out", "table.csv"]) == 0
    read = lut.load("table.csv")
    net = graph.from_layers(layers)
    assert set(read.rows) == {Key(OVERHEAD), *(key_of(net, operator) for operator in net.operators)}
    assert {row.readings for row in read.rows.values()} == {4}
    assert (read.board, read.runtime) == ("nano33ble", "tflm")
    assert read.info["arena_used_bytes"] == tflm_arena_bytes(model) - 100  # what the fake reports
    # between two questions the fake's clock goes 7 us: one step inside a layer, one between two of them
    assert all(row.ms == 0.007 for key, row in read.rows.items() if key.op != OVERHEAD)
    assert read.overhead_ms == pytest.approx(0.007 * (len(layers) + 1))
    assert lut.predict(read, net).looked_up_share == 1


def test_a_table_of_the_bare_projects_bench_mode_is_imported(tmp_path):
    need("gcc", "make")
    write(tmp_path, "bare", *exported(networks()[7]), Frame(80))
    command("make", "host", "CC=gcc", "BENCH=5", cwd=tmp_path)
    (tmp_path / "times.csv").write_text(command("./host", cwd=tmp_path))
    header, rows = lut.read_rows(tmp_path / "times.csv")
    assert header["runtime"] == "danas_c" and "board" not in header
    assert rows[Key(OVERHEAD)].readings == 5
    heaviest = max(rows, key=lambda key: key.macs)
    assert rows[heaviest].ms > 0.01  # a microsecond per 10,000 products is out of this machine's reach


def test_tflms_arena_has_room_for_what_every_kernel_set_takes():
    for layers in networks():
        model = exported(layers)[2]
        net = graph.from_layers(layers)
        assert tflm.arena_device_bytes(net) <= tflm_arena_bytes(model) <= 1.2 * tflm.arena_device_bytes(net) + 8192


def test_frames_that_do_not_suit_the_network_are_refused():
    rgb = next(layers for layers in networks() if layers[0].in_shape[2] == 3)
    model = exported(rgb)[2]
    side = rgb[0].in_shape[0]
    with pytest.raises(UserError, match=f"frames of {side - 1} px, the network reads {side} px"):
        Frame(side - 1).check(model, "here")
    with pytest.raises(UserError, match="grey frames, the network reads colour"):
        Frame(side, 1).check(model, "here")
    Frame(side).check(model, "here")


@pytest.mark.parametrize("kind", KINDS)
def test_a_board_that_is_too_small_is_refused_by_what_it_lacks(kind):
    tflite, _, model = exported(networks()[0])
    needed = memory.needs(kind, model, tflite, Frame(80))
    sram, flash = (sum(parts.values()) for parts in needed.values())
    memory.check(needed, Board("mine", "", "", 1, sram, flash, ""), "here")
    with pytest.raises(UserError, match=rf"^here: needs {sram} bytes of sram \(.*frame 19200.*mine has {sram - 1}:"):
        memory.check(needed, Board("mine", "", "", 1, sram - 1, flash, ""), "here")
    with pytest.raises(UserError, match=rf"^here: needs {flash} bytes of flash \(network .*mine has {flash - 1}:"):
        memory.check(needed, Board("mine", "", "", 1, sram, flash - 1, ""), "here")


def finished_run(folder, limits, native_px=80):
    """A run whose export phase is done, with one finalist that a budget chose, and a baseline."""
    config = dataclasses.replace(TOY, run_dir=str(folder), budgets=(limits,))
    run.open_run(config)
    tflite, manifest, _ = exported(networks()[0], classes=["a", "b"], native_px=native_px)  # 64 px mono
    disk.write_bytes(folder / "export/toy/model_int8.tflite", tflite)
    disk.write_json(folder / "export/toy/manifest.json", manifest)
    chosen = {"kind": "candidate", "name": "toy", "budget": dataclasses.asdict(limits)}
    disk.write_json(folder / "summary.json", {"finalists": [chosen, chosen, {"kind": "baseline", "name": "fixed"}]})
    for phase in ("train", "search", "retrain", "export"):
        run.mark_done(folder, phase)
    return str(folder)


def files(folder):
    found = (p for p in folder.rglob("*") if p.is_file() and p.name != ".lock")
    return {str(p.relative_to(folder)): p.read_bytes() for p in found}


def test_a_finished_run_gets_its_projects_and_nothing_else(tmp_path, capsys):
    camera = {"count_input_pipeline": True, "camera_px": 96, "camera_grey": True}
    folder = finished_run(tmp_path, Limits(sram_bytes=40_000, board="nano33ble", **camera))
    before = files(tmp_path)
    assert cli.main(["export", folder, "--firmware", "bare", "--firmware=arduino"]) == 0
    after = files(tmp_path)
    new = {name for name in after if after[name] != before.get(name)} - {"provenance.json"}
    assert before.keys() <= after.keys()
    assert {name.rsplit("/", 1)[0] for name in new} == {"export/toy/firmware/bare", "export/toy/firmware/arduino"}
    assert "export/toy/firmware/arduino/arduino.ino" in new
    config = after["export/toy/firmware/bare/firmware_config.h"].decode()
    assert "FRAME_WIDTH 96\n" in config and "FRAME_CHANNELS 1\n" in config and '\\"nano33ble\\"' in config
    assert len(after["export/toy/firmware/bare/examples.bin"]) == 3 * 96 * 96
    assert capsys.readouterr().out.count("firmware: ") == 2


def test_a_model_over_its_boards_memory_is_refused_before_anything_is_written(tmp_path, capsys):
    folder = finished_run(tmp_path, Limits(sram_bytes=16_384, board="stm32l010rb"))
    before = files(tmp_path)
    assert cli.main(["export", folder, "--firmware", "bare", "--firmware", "zephyr"]) == 2
    error = capsys.readouterr().err
    assert "firmware/bare: needs " in error and "stm32l010rb has 20480" in error
    assert "Traceback" not in error
    assert files(tmp_path).keys() == before.keys()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--firmware", "esp"], "--firmware = 'esp': give arduino or zephyr or bare"),
        (["--emulate", "cortex-m33"], "--emulate = 'cortex-m33': give cortex-m4 or cortex-m7"),
    ],
)
def test_unknown_kinds_and_cores_are_refused(arguments, message, capsys):
    assert cli.main(["export", "quickstart", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_other_commands_do_not_know_the_flags(capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["run", "quickstart", "--firmware", "bare"])
    assert stopped.value.code == 2
    assert "--firmware" in capsys.readouterr().err
