"""`danas cost`: figures of files and of a run's candidates, what fits, bad input; no jax."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from danas_jax import cli
from danas_jax.baselines import baseline_layers
from danas_jax.config import Baseline, Config
from danas_jax.config_io import to_json
from danas_jax.deploy.tflite_writer import random_model, write_tflite
from danas_jax.disk import write_arrays, write_json
from danas_jax.hardware import boards, patches, runtimes, tflite_reader, tflm
from danas_jax.hardware.cost import cost
from danas_jax.hardware.graph import from_layers
from danas_jax.layers import LayerBuilder
from danas_jax.spaces import quickstart
from danas_jax.views.image import ImageData

SPACE = quickstart()
GENES = SPACE.max_genes
CLASSES = 3
MINE = """
[mine]
title = "a board"
core = "cortex-m7"
clock_hz = 240_000_000
sram_bytes = {sram}
flash_bytes = {flash}
reserved_sram_bytes = 1000
source = "made up"
active_power_mw = 100.0
active_power_source = "made up"
"""


@pytest.fixture
def run(tmp_path):
    """A run's folder with one evaluated candidate; returns (folder, id)."""
    folder, name = tmp_path / "run", SPACE.candidate_id(GENES)
    (folder / "search").mkdir(parents=True)
    write_json(folder / "config.json", to_json(Config("run", space=SPACE)))
    (folder / "search" / "evaluations.csv").write_text(f"id,genes\n{name},{' '.join(map(str, GENES))}\n")
    write_arrays(folder / "supernet" / "weights.npz", {"classifier": {"bias": np.zeros(CLASSES, np.float32)}})
    return folder, name


@pytest.fixture
def model(tmp_path):
    """A small file: 8 x 8 x 1 in, 8 x 8 x 4, 4 x 4 x 4, 2 classes."""
    net = LayerBuilder((8, 8, 1))
    net.conv("a", 4)
    net.depthwise("b", 3, 2)
    net.pool("c")
    net.dense("d", 2)
    path = tmp_path / "model.tflite"
    path.write_bytes(write_tflite(random_model(net.build()), {}))
    return path


def found(capsys, *arguments, code=0):
    assert cli.main(["cost", *map(str, arguments), "--json"]) == code
    return json.loads(capsys.readouterr().out)


def test_a_file_by_hand(model, capsys):
    figures = found(capsys, model)
    assert figures["schema_version"] == 1
    assert [layer["macs"] for layer in figures["layers"]] == [64 * 4, 16 * 4 * 9, 0, 8]
    assert [layer["live_bytes"] for layer in figures["layers"]] == [64 + 256, 256 + 64, 64 + 4, 4 + 2]
    assert figures["macs"] == 256 + 576 + 8
    assert figures["params"] == (4 + 4) + (36 + 4) + (8 + 2)
    assert figures["live_peak_bytes"] == 320
    assert figures["bottleneck"]["live_tensors"] == ["input", "a"]
    assert figures["flash"]["weight_bytes"] == (4 + 16) + (36 + 16) + (8 + 8)
    assert figures["flash"]["file_bytes"] == model.stat().st_size
    assert figures["flash"]["code_bytes"] == model.stat().st_size + runtimes.TFLM.flash_fixed_bytes
    assert figures["latency_ms"] == pytest.approx(22.1 + 94.81 * 840 / 1e6)
    assert (figures["fits"], figures["energy_mj"], figures["latency_shares"]) == (None, None, None)


def test_a_candidate_is_what_the_search_counted(run, capsys):
    folder, name = run
    figures, counted = found(capsys, folder / name, "--board", "rp2040"), cost(SPACE.layers(GENES, CLASSES), "rp2040")
    assert figures["ram_bytes"] == counted["arena_device_bytes"]
    assert figures["arena_host_bytes"] == counted["arena_host_bytes"]
    assert figures["flash"]["code_bytes"] == counted["flash_bytes"]
    assert figures["latency_ms"] == pytest.approx(counted["latency_ms"])
    assert {key: figures[key] for key in ("macs", "params")} == {key: counted[key] for key in ("macs", "params")}
    assert figures["live_peak_bytes"] == counted["peak_sram_bytes"]


def test_an_exported_candidate_is_its_file(run, model, capsys):
    folder, name = run
    (folder / "export" / name).mkdir(parents=True)
    (folder / "export" / name / "model_int8.tflite").write_bytes(model.read_bytes())
    assert found(capsys, folder / name)["macs"] == found(capsys, folder / "export" / name)["macs"] == 840


def test_a_baseline_of_a_run_and_a_reference_by_its_name(run, capsys):
    folder, _ = run
    fixed = Baseline("fixed", data=ImageData(48, "mono"))
    write_json(folder / "config.json", to_json(Config("run", space=SPACE, baselines=(fixed,))))
    counted = cost(baseline_layers(fixed, SPACE.view, CLASSES))
    figures = found(capsys, folder / "fixed")
    assert (figures["macs"], figures["ram_bytes"]) == (counted["macs"], counted["arena_device_bytes"])
    assert found(capsys, "mobilenet_v1_025_96_rgb")["macs"] == 7_489_664


def test_every_reference_on_a_board(capsys):
    every = found(capsys, "--references", "--board", "stm32f746")
    assert every["schema_version"] == 1
    fits = {one["network"]: one["fits"]["fits"] for one in every["references"]}
    assert fits["mcunet_vww0_64_rgb"] and not fits["mobilenet_v2_035_224_rgb"]
    place = list(fits).index("mcunet_vww0_64_rgb")
    one = every["references"][place]
    alone = found(capsys, "mcunet_vww0_64_rgb", "--board", "stm32f746")
    assert all(one[key] == value for key, value in alone.items() if key not in ("layers", "schema_version"))
    assert cli.main(["cost", "--references", "--board", "stm32f746"]) == 0
    header, *lines = capsys.readouterr().out.splitlines()
    assert " fits " in header and " yes " in lines[place] and " no " in lines[-1]


@pytest.mark.parametrize(("short", "flash_short"), [(0, 0), (1, 0), (0, 1)])
def test_fits_to_the_byte(model, monkeypatch, tmp_path, capsys, short, flash_short):
    net = tflite_reader.read(model)
    arena, code = tflm.arena_device_bytes(net), runtimes.flash(net, runtimes.TFLM).code_bytes
    file = tmp_path / "boards.toml"
    file.write_text(MINE.format(sram=arena + 1000 - short, flash=code - flash_short))
    monkeypatch.setenv("DANAS_BOARDS", str(file))
    code = 2 if short or flash_short else 0  # what does not fit is said after the figures
    figures = found(capsys, model, "--board", "mine", code=code)
    fits = figures["fits"]
    assert (fits["sram"]["fits"], fits["flash"]["fits"]) == (not short, not flash_short)
    assert fits["fits"] == (not short and not flash_short)
    assert figures["latency_ms"] == pytest.approx(2 * (22.1 + 94.81 * 840 / 1e6))
    assert figures["energy_mj"] == pytest.approx(0.1 * figures["latency_ms"])
    assert cli.main(["cost", str(model), "--board", "mine"]) == code
    text, said = capsys.readouterr()
    assert ("does not fit mine: SRAM with the reserve" in said) == bool(code)
    assert ("fits        yes" in text) == fits["fits"]
    assert ("too much" in text) != fits["fits"]
    # a frame as large as the input: the frame alone
    counted = found(capsys, model, "--board", "mine", "--camera-px", "8", code=2)
    assert counted["input_pipeline_bytes"] == 8 * 8 * 3
    assert counted["fits"]["sram"]["need_bytes"] == fits["sram"]["need_bytes"] + 192
    assert not counted["fits"]["fits"]
    assert counted["latency_ms"] > figures["latency_ms"]


def test_patches_of_tinyengine(run, capsys):
    folder, name = run
    plain = found(capsys, folder / name, "--runtime", "tinyengine")
    patched = found(capsys, folder / name, "--runtime", "tinyengine", "--patches")
    best = patches.best_patching(from_layers(SPACE.layers(GENES, CLASSES)), runtimes.TINYENGINE)
    assert best is not None
    assert patched["ram_bytes"] == best.ram_bytes < plain["ram_bytes"]
    assert patched["macs"] == best.macs > plain["macs"]
    assert patched["latency_ms"] == pytest.approx(plain["latency_ms"] * best.latency_factor)


TABLE = """# {{"version": 1, "board": "{board}", "runtime": "tflm"}}
op,input,output,kernel,stride,padding,ms
OVERHEAD,,,,,,0.5
CONV_2D,8x8x1,8x8x4,1x1,1x1,same,2
"""


def test_latency_by_a_table(model, tmp_path, capsys):
    table = tmp_path / "table.csv"
    table.write_text(TABLE.format(board="stm32h743"))
    figures = found(capsys, model, "--lut", table)
    rest = (22.1 + 94.81 * 840 / 1e6) * (576 + 8) / 840
    assert figures["latency_ms"] == pytest.approx(0.5 + 2 + rest)
    assert figures["latency_shares"]["looked_up"] == pytest.approx(2.5 / figures["latency_ms"])
    assert [layer["latency_source"] for layer in figures["layers"]] == ["looked_up", *["fallback"] * 3]
    assert cli.main(["cost", str(model), "--lut", str(table), "--layers"]) == 0
    text = capsys.readouterr().out
    assert "2.000 looked_up" in text
    assert "looked up" in text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["{run}"], "give a candidate of it"),
        (["{run}/none"], "no such candidate"),
        (["{run}/none.tflite"], "no such candidate"),
        (["none.tflite"], "none.tflite: no such file"),
        ([], "give a network or --references"),
        (["{model}", "--references"], "give a network or --references"),
        (["{run}/config.json"], "no .tflite file"),
        (["{folder}"], "has no model_int8.tflite"),
        (["{model}", "--board", "stm32f74"], "did you mean stm32f746"),
        (["{model}", "--runtime", "tinyengin"], "did you mean tinyengine"),
        (["{model}", "--patches"], "give --runtime tinyengine"),
        (["{model}", "--camera-px", "-1"], "give the height of a frame"),
        (["{model}", "--camera-px", "4"], "give at least the network's 8 px"),
        (["{model}", "--camera-grey"], "give --camera-px, too"),
        (["{model}", "--lut", "{table}", "--board", "rp2040"], "a table of board stm32h743"),
        (["{model}", "--lut", "{run}/config.json"], "config.json"),
    ],
)
def test_bad_input(arguments, said, run, model, tmp_path, capsys):
    (tmp_path / "table.csv").write_text(TABLE.format(board="stm32h743"))
    names = {"run": run[0], "model": model, "table": tmp_path / "table.csv", "folder": tmp_path}
    assert cli.main(["cost", *(text.format(**names) for text in arguments)]) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert "Traceback" not in captured.err


def test_every_runtime_and_shipped_board(model, capsys):
    for name in runtimes.RUNTIMES:
        figures = found(capsys, model, "--runtime", name)
        assert figures["source"]
        assert (figures["latency_ms"] is None) == (name == "stm32tflm")
    for name in boards.shipped_boards():
        assert found(capsys, model, "--board", name)["fits"]["fits"]


def test_starts_without_jax(model):
    code = (
        "import sys; from danas_jax.cli import main; code = main(['cost', sys.argv[1], '--board', 'stm32f746']);"
        "assert not {'jax', 'rich', 'tflite_micro'} & set(sys.modules); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(model)], capture_output=True, text=True, check=True)
    assert "fits        yes" in done.stdout
