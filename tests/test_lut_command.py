"""`danas lut`: measure, time, import and check from the command line, on a machine whose times are known."""

from __future__ import annotations

import json
import math
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from danas_jax import cli
from danas_jax.deploy.tflite_writer import random_model, write_tflite
from danas_jax.hardware import lut, tflite_reader
from danas_jax.hardware.graph import from_layers
from danas_jax.hardware.layer_key import OVERHEAD, Key, key_of
from danas_jax.layers import LayerBuilder
from danas_jax.lut import cases, command, hosts, measured
from danas_jax.lut.check import macs_line_errors
from danas_jax.lut.hosts import Host
from danas_jax.lut.timer import Timer
from danas_jax.spaces import quickstart

OVERHEAD_MS = 0.05
MS = np.array([1e-6, 2e-6, 3e-5, 4e-6, 0.002])  # of one of each of Key.features
HEADER = '# {"board": "host", "runtime": "tflm", "version": 1}\n'
COLUMNS = "op,input,output,kernel,stride,padding,ms\n"
ROWS = "CONV_2D,8x8x4,8x8x6,1,1,same,0.5\nADD,4,4,,,,0.25\n"


class KnownTimes:
    """A host on which every layer takes MS . features, and a clock that only its inferences move on."""

    def __init__(self):
        self.now, self.started, self.stop_after = 0.0, 0, math.inf

    def ms(self, graph):
        keys = [key_of(graph, operator) for operator in graph.operators]
        return OVERHEAD_MS + sum(float(key.features @ MS) for key in keys)

    def start(self, tflite):
        self.started += 1
        if self.started > self.stop_after:
            raise KeyboardInterrupt
        seconds = 1e-3 * self.ms(tflite_reader.parse(tflite, "net"))

        def inference():
            self.now += seconds

        return inference


@pytest.fixture
def known(monkeypatch, tmp_path):
    """KnownTimes in place of the host-tflm runtime; the current folder is an empty one."""
    machine = KnownTimes()
    host = Host("tflm", "tflite-micro", "known", machine.start)
    monkeypatch.setattr(command, "HOSTS", {"host-tflm": host})
    monkeypatch.setattr(command, "Timer", partial(Timer, clock=lambda: machine.now, interruptions=lambda: 0))
    monkeypatch.chdir(tmp_path)
    return machine


def test_measured_and_timed_on_the_same_machine_agree(known, capsys):
    assert cli.main(["lut", "measure", "quickstart", "--networks", "1"]) == 0
    table = lut.load("lut/host-tflm.csv")
    assert table.overhead_ms == pytest.approx(OVERHEAD_MS + Key("AVERAGE_POOL_2D", (1, 1, 1), (1, 1, 1)).features @ MS)
    less = table.overhead_ms - OVERHEAD_MS  # the work of the empty file, which every other row then lacks
    layers = [key for key in table.rows if key.op != OVERHEAD]
    expected = [key.features @ MS - less for key in layers]
    np.testing.assert_allclose([table.rows[key].ms for key in layers], expected, rtol=1e-4)
    assert {row.readings for row in table.rows.values()} == {3}

    assert cli.main(["lut", "time", "quickstart", "--networks", "12", "--out", "nets.csv"]) == 0
    header, networks = measured.read("nets.csv")
    assert len(networks) == 12
    for network, row in networks.items():
        assert row.ms == pytest.approx(known.ms(network.graph), rel=1e-5)
    assert header["kernels"] == "known"

    capsys.readouterr()
    assert cli.main(["lut", "check", "lut/host-tflm.csv", "nets.csv", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["networks"] == 12
    assert result["pace"] == pytest.approx(1.0)
    assert 0.2 < result["interpolated_share"] < 0.9  # one random network and the corners do not hold all layers
    assert result["lookup"]["error_max_pct"] < 5
    assert (result["lookup"]["hit_rate"], result["lookup"]["kendall_tau"]) == (1.0, 1.0)
    assert result["lookup"]["error_mean_pct"] < result["macs_line"]["error_mean_pct"]
    assert cli.main(["lut", "check", "lut/host-tflm.csv", "nets.csv"]) == 0
    shown = capsys.readouterr().out
    assert "within 10 %" in shown
    assert "line over MACs" in shown
    assert "not the same" not in shown


def test_an_interrupted_measurement_goes_on(known):
    wanted = ["lut", "measure", "quickstart", "--networks", "1", "--out", "t.csv"]
    known.stop_after = 42  # two of them are the reference
    assert cli.main(wanted) == 3
    assert len(lut.load("t.csv").rows) == 40
    known.started, known.stop_after = 0, math.inf
    assert cli.main(wanted) == 0
    assert known.started == 2 + 3 * len(lut.load("t.csv").rows) - 40
    assert cli.main([*wanted[:-1], "at_once.csv"]) == 0
    rows, expected = lut.load("t.csv").rows, lut.load("at_once.csv").rows
    assert rows.keys() == expected.keys()
    assert [rows[key].ms for key in rows] == pytest.approx([expected[key].ms for key in rows], rel=1e-4)
    total = len(rows)
    assert total > 60
    known.started = 0
    assert cli.main(wanted) == 0
    assert known.started == 2  # nothing but the reference


def test_time_that_is_up_is_said(known, capsys):
    assert cli.main(["lut", "time", "quickstart", "--minutes", "1e-9", "--out", "n.csv"]) == 0
    assert "0 of 30 timed; the same command goes on" in capsys.readouterr().out


def test_a_machine_that_changed_is_said(known, capsys):
    assert cli.main(["lut", "measure", "quickstart", "--networks", "1", "--out", "t.csv"]) == 0
    start = known.start

    def slow(tflite):
        inference = start(tflite)
        return lambda: (inference(), inference())

    known_host = command.HOSTS["host-tflm"]
    command.HOSTS["host-tflm"] = Host(known_host.runtime, known_host.package, known_host.kernels, slow)
    assert cli.main(["lut", "time", "quickstart", "--networks", "3", "--out", "n.csv"]) == 0
    assert cli.main(["lut", "check", "t.csv", "n.csv"]) == 0
    assert "took 2.00 times as long" in capsys.readouterr().out


def test_the_wheel_runs_what_is_timed():
    """The real kernels: each file is set off, and more of the same work takes longer."""
    space = quickstart(resolutions_px=(32,))
    todo = cases.layer_cases(space, 2, 1, 0)
    least, most = (sorted(todo, key=lambda key: key.macs)[i] for i in (0, -1))
    timer = Timer(hosts.HOSTS["host-tflm"].start(cases.tflite(cases.REFERENCE)))
    times = [timer.read(hosts.HOSTS["host-tflm"].start(cases.tflite(todo[key]))).ms for key in (least, most)]
    assert times[1] > 5 * times[0] > 0


def test_layers_to_measure_are_those_of_the_networks():
    space = quickstart(resolutions_px=(32, 48))
    todo = cases.layer_cases(space, 3, 4, 0)
    assert next(iter(todo)) == Key(OVERHEAD)
    for genes in (space.min_genes, space.max_genes, *space.sample(np.random.default_rng(0), 4)):
        graph = from_layers(space.layers(genes, 3))
        assert {key_of(graph, operator) for operator in graph.operators} <= set(todo)
    assert max(len(layers) for layers in todo.values()) == 1


def test_import_makes_a_table(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.csv").write_text(COLUMNS + ROWS)
    assert cli.main(["lut", "import", "mine.csv", "--board", "mine"]) == 0
    assert "no row OVERHEAD" in capsys.readouterr().out
    table = lut.load("lut/mine-tflm.csv")
    assert (table.board, table.runtime, table.info) == ("mine", "tflm", {"imported_from": "mine.csv"})
    assert [row.ms for row in table.rows.values()] == [0.25, 0.5]


def test_a_users_files_are_checked_by_path(tmp_path, capsys):
    """MEASURED.csv with `model`: paths count from its own folder."""
    (tmp_path / "t.csv").write_text(HEADER + COLUMNS + ROWS)
    (tmp_path / "nets").mkdir()
    for width in (3, 6, 12):
        net = LayerBuilder((8, 8, 4))
        net.conv("a", width)
        (tmp_path / f"nets/{width}.tflite").write_bytes(write_tflite(random_model(net.build()), {}))
    (tmp_path / "nets/m.csv").write_text("model,ms\n3.tflite,0.25\n6.tflite,0.4\n12.tflite,0.8\n")
    assert cli.main(["lut", "check", str(tmp_path / "t.csv"), str(tmp_path / "nets/m.csv"), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    # 0.5 ms for 6 channels is looked up, the others are the table's mean per MAC (its ADD has none)
    assert [row["predicted_ms"] for row in result["rows"]] == pytest.approx([0.25, 0.5, 1.0])
    assert result["looked_up_share"] == pytest.approx(0.5 / 1.75)
    assert result["fallback_share"] == pytest.approx(1.25 / 1.75)
    assert result["lookup"]["error_median_pct"] == pytest.approx(25)
    assert result["lookup"]["hit_rate"] == pytest.approx(1 / 3)
    assert result["lookup"]["kendall_tau"] == 1.0
    assert result["pace"] is None


def test_estimates_are_counted(tmp_path, capsys):
    columns, rows = COLUMNS.replace("\n", ",readings\n"), ROWS.replace("0.5\n", "0.5,0\n").replace("0.25\n", "0.25,3\n")
    (tmp_path / "t.csv").write_text(HEADER + columns + rows)
    lines = [f"quickstart,2,{gene}-{GENES[2:]},{gene + 1}," for gene in range(3)]
    measured_csv = tmp_path / "m.csv"
    measured_csv.write_text(NETS.replace("\n", ",readings\n") + "".join(line + "0\n" for line in lines))
    assert cli.main(["lut", "check", str(tmp_path / "t.csv"), str(measured_csv)]) == 0
    assert "1 of the table's rows and 3 of the networks are estimates" in capsys.readouterr().out
    (tmp_path / "t.csv").write_text(HEADER + COLUMNS + ROWS)
    measured_csv.write_text(NETS.replace("\n", ",readings\n") + "".join(line + "1\n" for line in lines))
    assert cli.main(["lut", "check", str(tmp_path / "t.csv"), str(measured_csv)]) == 0
    assert "are estimates" not in capsys.readouterr().out


def test_the_macs_line_leaves_each_network_out():
    rng = np.random.default_rng(0)
    macs, ms = rng.uniform(1e6, 5e6, 9), rng.uniform(1.0, 5.0, 9)
    for i, error in enumerate(macs_line_errors(macs, ms)):
        others = np.arange(9) != i
        a = np.column_stack([np.ones(8), macs[others]]) / ms[others, None]
        line = np.linalg.lstsq(a, np.ones(8), rcond=None)[0]
        assert error == pytest.approx((line[0] + line[1] * macs[i]) / ms[i] - 1)


GENES = "-".join(map(str, quickstart().max_genes.tolist()))
NET = f"quickstart,2,{GENES}"
NETS = "space,classes,genes,ms\n"


@pytest.mark.parametrize(
    ("arguments", "content", "message"),
    [
        (["measure", "quikstart"], "", "Did you mean quickstart"),
        (["measure", "quickstart", "--runtime", "tflm"], "", "--runtime = 'tflm': give host-tflm or host-litert"),
        (["measure", "quickstart", "--networks", "0"], "", "--networks = 0: give a positive number"),
        (["measure", "quickstart", "--minutes", "nan"], "", "--minutes = nan: give a positive number"),
        (["time", "quickstart", "--seed", "-1", "--out", "n.csv"], "", "--seed = -1: give 0 or more"),
        (["measure", "quickstart", "--out", "IN"], HEADER + COLUMNS + ROWS, "processor is None, here it is"),
        (["time", "quickstart", "--out", "IN"], "model,ms\na.tflite,1\n", "board is None, here it is 'host'"),
        (["import", "IN", "--board", "a/b"], COLUMNS + ROWS, "--board = 'a/b': give letters"),
        (["import", "IN", "--board", "mine", "--out", "IN"], COLUMNS + ROWS, "is there already"),
        (["import", "IN", "--board", "mine"], HEADER + COLUMNS + ROWS, "board is 'host', not 'mine'"),
        (["import", "IN", "--board", "mine"], COLUMNS + ROWS + ROWS, "line 4: the same layer as in"),
        (["import", "IN", "--board", "mine"], COLUMNS + ROWS.replace("0.5", "-0.5"), "ms = '-0.5': give a number"),
        (["import", "IN", "--board", "mine"], COLUMNS + ROWS.replace("0.5", ""), "ms = '': give a number"),
        (["import", "nowhere.csv", "--board", "mine"], "", "nowhere.csv: No such file"),
        (["check", "TABLE", "IN"], NETS + NET + ",1\n", "1 networks, give 3 or more"),
        (["check", "TABLE", "IN"], NETS + NET + ",1\n" + NET + ",2\n", "line 3: the same network as in"),
        (["check", "TABLE", "IN"], NETS + NET + ",0\n", "line 2: ms = 0: give a positive number"),
        (["check", "TABLE", "IN"], NETS + NET + ",-1\n", "ms = '-1': give a number"),
        (["check", "TABLE", "IN"], NETS + "quickstart,2,1-2,1\n", "line 2: genes"),
        (["check", "TABLE", "IN"], NETS + "quickstart,2,a-b,1\n", "line 2: give genes as 5-1-0-2"),
        (
            ["check", "TABLE", "IN"],
            NETS + "./evil.py,2,1-2,1\n",
            "line 2: space = './evil.py': a table names no Python",
        ),
        (["check", "TABLE", "IN"], NETS + f"{'q' * 9999},2,1-2,1\n", "line 2: [Errno 36]"),
        (["check", "TABLE", "IN"], NETS + f"quickstart,2,{10**30}-1,1\n", "line 2: give genes as 5-1-0-2"),
        (["check", "TABLE", "IN"], NETS + NET.replace(",2,", ",0,") + ",1\n", "classes = 0: give 1 or more"),
        (["check", "TABLE", "IN"], f"space,classes,genes,id,ms\n{NET},abc,1\n", "has changed since it was measured"),
        (["check", "TABLE", "IN"], "model,ms\na.tflite,1\nb.tflite,1\nc.tflite,1\n", "a.tflite"),
        (["check", "TABLE", "IN"], '# {"board": "other"}\nmodel,ms\na,1\nb,1\nc,1\n', "board is 'other', the table's"),
        (["check", "SOFTMAX", "IN"], "model,ms\nq0.tflite,1\nq1.tflite,1\nq2.tflite,1\n", "a table of other operators"),
    ],
)
def test_bad_input_is_2_and_says_what_is_right(tmp_path, monkeypatch, capsys, arguments, content, message):
    monkeypatch.chdir(tmp_path)
    for i in range(3):
        Path(f"q{i}.tflite").write_bytes(cases.tflite(quickstart().layers(quickstart().min_genes, 2)))
    files = {"IN": content, "TABLE": HEADER + COLUMNS + ROWS, "SOFTMAX": HEADER + COLUMNS + "SOFTMAX,2,2,,,,1\n"}
    for name, text in files.items():
        Path(name).write_text(text)
    assert cli.main(["lut", *arguments]) == 2
    shown = capsys.readouterr().err
    assert message in shown
    assert "Traceback" not in shown


@pytest.mark.parametrize("arguments", [[], ["measure"], ["measure", "quickstart", "--networks", "x"], ["count"]])
def test_arguments_that_do_not_parse_are_2(arguments):
    with pytest.raises(SystemExit) as caught:
        cli.main(["lut", *arguments])
    assert caught.value.code == 2


def test_litert_that_is_not_installed_is_named(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)
    assert cli.main(["lut", "measure", "quickstart", "--runtime", "host-litert"]) == 2
    assert "pip install 'danas_jax[export]'" in capsys.readouterr().err
