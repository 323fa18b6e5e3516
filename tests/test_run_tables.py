"""Latency tables of a run: populations by a table, limits kept by it in a search, and what the config says of it."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from search_toys import toy_accuracy
from space_toys import ODD

from danas_jax import cli, config_io, overrides
from danas_jax.config import Config, LatencyTable, Limits, SearchSettings
from danas_jax.errors import UserError
from danas_jax.hardware import cost as hardware
from danas_jax.hardware import latency, layer_key, lut, population, run_tables
from danas_jax.hardware.graph import from_layers
from danas_jax.hardware.layer_key import OVERHEAD, Key
from danas_jax.hardware.lut import Row, Table
from danas_jax.search import runner
from danas_jax.spaces import mobilenetv2_tiny, quickstart

SPACE = quickstart()


def sparse_table(space, board, overhead_ms=None, classes=3):
    """Some of the layers of some networks, with times that MACs do not tell (seeded)."""
    rng = np.random.default_rng(5)
    nets = [from_layers(space.layers(genes, classes)) for genes in space.sample(rng, 6)]
    keys = dict.fromkeys(layer_key.key_of(net, operator) for net in nets for operator in net.operators)
    rows = {key: Row(float(rng.uniform(0.5, 2) * (1e-6 * key.macs + 1e-3))) for key in keys if rng.random() < 0.5}
    return Table(board, "tflm", rows if overhead_ms is None else {Key(OVERHEAD): Row(overhead_ms), **rows})


@pytest.mark.parametrize("space", [mobilenetv2_tiny(), SPACE, ODD], ids=lambda space: space.name)
@pytest.mark.parametrize(("board", "overhead_ms"), [("nano33ble", 1.5), ("no_published_line", None)])
def test_populations_by_a_sparse_table_equal_single_networks(space, board, overhead_ms):
    table = sparse_table(space, board, overhead_ms)
    genes = space.sample(np.random.default_rng(0), 200)
    nets = [space.layers(row, 3) for row in genes]
    found = population.costs(space, genes, 3, board, {board: table})
    assert tuple(found) == hardware.COST_KEYS
    exact = [lut.predict(table, from_layers(layers)) for layers in nets]
    np.testing.assert_allclose(found["latency_ms"], [one.total_ms for one in exact], rtol=1e-9)
    sources = [one.shares for one in exact]
    for source in (lut.LOOKED_UP, lut.INTERPOLATED, lut.FALLBACK):
        assert sum(shares[source] > 0 for shares in sources) > 20, source
    for layers, one in zip(nets[:3], exact, strict=False):
        assert hardware.cost(layers, board, {board: table})["latency_ms"] == one.total_ms
        assert hardware.latency_shares(layers, board, {board: table}) == one.shares
    few = population.costs(space, genes[:1], 3, board, {board: table})
    assert few["latency_ms"][0] == found["latency_ms"][0]  # whatever stands beside it
    np.testing.assert_array_equal(
        hardware.space_costs(space, genes[:5], 3, board, {board: table})["latency_ms"], found["latency_ms"][:5]
    )


def test_other_boards_keep_their_published_line():
    tables = {"nano33ble": sparse_table(SPACE, "nano33ble")}
    genes = SPACE.sample(np.random.default_rng(0), 3)
    for board in ("", "rp2040"):
        found = hardware.space_costs(SPACE, genes, 3, board, tables)
        np.testing.assert_array_equal(found["latency_ms"], latency.latency_ms(found["macs"], board))
        assert hardware.latency_shares(SPACE.layers(genes[0], 3), board, tables) is None


def test_a_table_of_other_operators_is_refused():
    table = Table("rp2040", "tflm", {Key("SOFTMAX", (2,), (2,)): Row(1.0)}, "my.csv")
    with pytest.raises(UserError, match=r"my.csv: a table of other operators \(SOFTMAX\)"):
        population.costs(SPACE, SPACE.min_genes[None], 2, "rp2040", {"rp2040": table})


def whole_table(board, px_ms):
    """Every layer of SPACE's first convolution at `px_ms` of its resolution, all else nearly free."""
    rows = {Key(OVERHEAD): Row(0.25)}
    for genes in (*SPACE.sample(np.random.default_rng(1), 300), SPACE.min_genes, SPACE.max_genes):
        net = from_layers(SPACE.layers(genes, 2))
        for i, operator in enumerate(net.operators):
            key = layer_key.key_of(net, operator)
            rows.setdefault(key, Row(px_ms[key.input[0]] if i == 0 else 1e-9 * key.features[0]))
    return Table(board, "tflm", rows)


def test_a_search_keeps_the_limit_by_the_table():
    """By this table 48 px is the fastest resolution; by the published line no network takes less than 160 ms."""
    board = "nano33ble"
    tables = {board: whole_table(board, {32: 9.0, 48: 3.0, 64: 9.0})}
    limits = Limits(latency_ms=4.0, board=board)
    assert "latency" in hardware.smallest_need(SPACE, 2, limits)
    assert hardware.smallest_need(SPACE, 2, limits, tables) is None
    bounds = hardware.prune(SPACE, (limits,), 2, tables)[:2]

    def costs(genes, name):
        return hardware.space_costs(SPACE, genes, 2, name, tables)

    def constraint(genes, budget):
        return hardware.space_violation(SPACE, genes, 2, budget, tables)

    settings = SearchSettings(population=6, generations=2, rerank=4, objectives=("error", "latency", "macs"))
    evaluate = toy_accuracy(SPACE)
    found = runner.search(SPACE, settings, (limits,), costs, hardware.violation, constraint, evaluate, 0, 400, bounds)
    candidates = [*found.budgets[0].front, *found.budgets[0].reranked]
    assert candidates
    for candidate in candidates:
        layers = SPACE.layers(np.array(candidate.genes), 2)
        assert layers[0].in_shape[0] == 48
        assert lut.predict(tables[board], from_layers(layers)).total_ms <= 4.0
        assert candidate.costs["latency_ms"] == pytest.approx(
            lut.predict(tables[board], from_layers(layers)).total_ms, rel=1e-9
        )


def write(folder, name, board, ms=0.5):
    path = folder / name
    rows = {Key(OVERHEAD): Row(9000.0), Key("CONV_2D", (8, 8, 4), (8, 8, 6), padding="same"): Row(ms)}
    path.write_text(lut.text(Table(board, "tflm", rows)))
    return str(path)


def parse(*flags, config=None):
    return overrides.parse_flags(config or Config("c"), list(flags), "danas run c")


def test_the_config_holds_board_and_digest(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first, second = write(tmp_path, "a.csv", "rp2040"), write(tmp_path, "b.csv", "nano33ble")
    boards = ("--board", "rp2040", "--board", "nano33ble")
    config = parse(*boards, "--lut", "a.csv", "--lut", "b.csv")
    assert [(entry.path, entry.board) for entry in config.latency_tables] == [
        (first, "rp2040"),
        (second, "nano33ble"),
    ]
    saved = config_io.from_json(json.loads(json.dumps(config_io.to_json(config))))
    assert saved == config
    assert parse(config=saved) == config
    assert parse(*boards, config=Config("c", latency_tables=(LatencyTable("a.csv"), LatencyTable("b.csv")))) == config
    assert {board: table.source for board, table in run_tables.load(config.latency_tables, config.budgets).items()} == {
        "rp2040": first,
        "nano33ble": second,
    }
    # Other budgets by flags leave the config's tables of other boards out; a table by a flag takes the place of all.
    assert parse("--board", "rp2040", config=saved).latency_tables == config.latency_tables[:1]
    assert parse("--limits.macs", "5", config=saved).latency_tables == ()
    assert parse("--lut", "b.csv", config=saved).latency_tables == config.latency_tables[1:]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--board", "rp2040"], r"a\.csv is a table of board nano33ble, those of the budgets are rp2040"),
        (["--limits.macs", "9"], r"a\.csv is a table of board nano33ble, no budget names a board"),
        ([], r"a\.csv is a table of board nano33ble, no budget names a board"),
        (["--board", "nano33ble", "--lut", "b.csv"], r"a\.csv and .*b\.csv are both of board nano33ble: give one"),
        (["--board", "nano33ble", "--lut", "none.csv"], r"none\.csv: No such file"),
    ],
)
def test_tables_that_do_not_suit_the_budgets_are_refused(tmp_path, monkeypatch, flags, message):
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "a.csv", "nano33ble")
    write(tmp_path, "b.csv", "nano33ble")
    with pytest.raises(UserError, match=message):
        parse("--lut", "a.csv", *flags)
    # The same holds for a config file's, where no flag sets other budgets.
    if not flags:
        with pytest.raises(UserError, match=message):
            parse(config=Config("c", latency_tables=(LatencyTable("a.csv"),)))


def test_a_changed_table_is_another_configuration(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "a.csv", "rp2040")
    command = ["run", "quickstart", "--board", "rp2040", "--lut", "a.csv", "--limits.latency-ms", "0.001"]
    assert cli.main([*command, "--run-dir", "r"]) == 2
    shown = capsys.readouterr()
    assert "latency on rp2040: by" in shown.out
    assert re.search(r"needs 9\d{3}(\.\d)? ms latency, limit is 0 ms", shown.err)
    (tmp_path / "r/metrics.jsonl").touch()
    entry = config_io.read_config("r/config.json").latency_tables[0]
    write(tmp_path, "a.csv", "rp2040", 0.75)
    for again in ([*command, "--run-dir", "r"], ["run", "r"]):
        assert cli.main(again) == 2
        assert f"latency_tables[0].sha256: was '{entry.sha256}', is '" in capsys.readouterr().err
    with pytest.raises(UserError, match=r"a\.csv has changed since the run began"):
        run_tables.load((entry,), (Limits(board="rp2040"),))
    with pytest.raises(UserError, match="those of the budgets are nano33ble"):
        run_tables.load((entry,), (Limits(board="nano33ble"),))
    (tmp_path / "a.csv").unlink()
    with pytest.raises(UserError, match=r"a\.csv: No such file"):
        run_tables.load((entry,), (Limits(board="rp2040"),))
