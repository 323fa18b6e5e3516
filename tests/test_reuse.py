"""A trained supernet searched again: for other budgets, without training, and never beyond what was trained."""

import dataclasses
import json

import numpy as np
import pytest
from pipeline_toys import TOY, config_file
from supernet_toys import SPACE

from danas_jax import cli, reuse
from danas_jax.supernet import evaluate


@pytest.fixture(scope="module")
def small(place):
    """The toy, trained and searched for 5 kB: the second block of a stage is pruned."""
    config = config_file(place)
    for phase in ("train", "search"):
        assert cli.main([phase, config, "--limits.sram-bytes", "5120", "--run-dir", "small"]) == 0
    return config


def test_a_larger_budget_later_names_the_pruning(small, place, capsys):
    flags = ["--limits.sram-bytes", "65536", "--run-dir", "large", "--supernet-from", "small"]
    for phase in ("train", "search"):
        assert cli.main([phase, small, *flags]) == 0
        said = capsys.readouterr()
        assert "was pruned for smaller budgets" in said.out + said.err
        assert "s1.depth up to 1" in said.out + said.err
    weights = [(place / run / reuse.WEIGHTS).read_bytes() for run in ("small", "large")]
    assert weights[0] == weights[1]
    assert not (place / "large/supernet/checkpoints").exists()
    found = json.loads((place / "large/search/pareto.json").read_text())["budgets"][0]
    assert {len(c["arch"]["stages"][1]["blocks"]) for c in found["reranked"]} == {1}
    phases = [json.loads((place / run / ".phases/train.json").read_text()) for run in ("small", "large")]
    assert phases[0]["supernet_image_views"] == phases[1]["supernet_image_views"] > 0


def test_the_same_search_again_measures_nothing(small, place, monkeypatch):
    def refuse(*arguments):
        raise AssertionError("a program was asked for")

    monkeypatch.setattr(evaluate, "_subnet_program", refuse)
    flags = ["--limits.sram-bytes", "5120", "--run-dir", "again", "--supernet-from", "small"]
    for phase in ("train", "search"):
        assert cli.main([phase, small, *flags]) == 0
    found = [(place / run / "search/pareto.json").read_bytes() for run in ("small", "again")]
    assert found[0] == found[1]


def test_another_board_is_searched_below_the_run(small, place, capsys):
    before = (place / "small/search/pareto.json").read_bytes()
    said = []
    for _ in range(2):  # the second time it is there already
        assert cli.main(["search", "small", "--board", "rp2040", "--limits.sram-bytes", "5120"]) == 0
        said.append(capsys.readouterr().out)
    (folder,) = (place / "small/searches").iterdir()
    assert folder.name.startswith("rp2040-")
    assert (folder / reuse.WEIGHTS).read_bytes() == (place / "small" / reuse.WEIGHTS).read_bytes()
    found = json.loads((folder / "search/pareto.json").read_text())["budgets"][0]
    assert found["budget"]["board"] == "rp2040"
    assert all(c["costs"]["arena_device_bytes"] <= 5120 for c in found["front"])
    for text in said:
        assert f"first choice {found['finalists'][0]}" in text
        assert "best by input" in text
    assert "search: done before" in said[1]
    assert (place / "small/search/pareto.json").read_bytes() == before
    assert cli.main(["search", "small"]) == 0  # the run itself
    assert cli.main(["search", "small", "--board", "rp2040", "--seed", "3"]) == 2
    assert "seed: was 0, is 3" in capsys.readouterr().err
    assert [path.name for path in (place / "small/searches").iterdir()] == [folder.name]


def test_another_metric_and_energy_are_searched_below_the_run(small, place, capsys):
    question = ["search", "small", "--board", "nano33ble", "--search.metric", "balanced_accuracy"]
    energy = ["--search.objectives", "error", "energy"]
    assert cli.main([*question, *energy, "--limits.energy-mj", "2"]) == 0
    said = capsys.readouterr().out
    for words in ("best balanced accuracy per budget", "search balanced accuracy 0.", "balanced accuracy tiers: half:"):
        assert words in said
    assert "nano33ble, 252 kB SRAM, 1024 kB flash, 2 mJ" in said and "int8: mean error" in said
    (folder,) = (place / "small/searches").glob("nano33ble-*")
    found = json.loads((folder / "search/pareto.json").read_text())
    assert (found["metric"], found["objectives"]) == ("balanced_accuracy", ["error", "energy"])
    assert all(9.9e-3 * c["costs"]["latency_ms"] <= 2 for c in found["budgets"][0]["front"])
    keys = [json.loads((run / reuse.ACCURACIES).read_text().splitlines()[0]) for run in (place / "small", folder)]
    assert keys[0] != keys[1]
    before = sorted(place.glob("small/searches/*/supernet"))
    for flags in (energy, ["--limits.energy-mj", "5"]):
        assert cli.main(["search", "small", "--board", "rp2040", *flags]) == 2
        assert "the active power of board rp2040 is not known" in capsys.readouterr().err
    assert sorted(place.glob("small/searches/*/supernet")) == before  # refused before anything is done


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--seed", "1"], "seed: was 0, is 1"),
        (["--train.epochs", "2"], "train.epochs: was 1, is 2"),
        (["--data.detail-px", "4"], "data.detail_px: was 8, is 4"),
        (["--supernet-from", "nowhere"], "nowhere: holds no trained supernet"),
    ],
)
def test_a_supernet_of_other_settings_is_refused(small, capsys, flags, says):
    command = ["train", small, "--limits.sram-bytes", "65536", "--run-dir", "refused", "--supernet-from", "small"]
    assert cli.main([*command, *flags]) == 2
    assert says in capsys.readouterr().err


def test_figures_by_slice_do_not_change_a_supernet(small, place):
    data = dataclasses.replace(TOY.data, slice_fields=("source",))
    config = dataclasses.replace(TOY, data=data, supernet_from=str(place / "small"))
    assert reuse.source_payload(config)["supernet_image_views"] > 0


def test_bounds_are_narrowed_to_what_was_trained():
    trained = (SPACE.min_genes, SPACE.max_genes.copy())
    width = SPACE.index["s1.width"]
    trained[1][width] = 1
    payload = reuse.payload_of(trained, 7, ("a", "b"))
    (lower, upper), lost = reuse.narrowed(SPACE, (SPACE.min_genes, SPACE.max_genes), payload)
    assert lost == ["s1.width up to 6"]
    assert upper.tolist() == trained[1].tolist()
    assert lower.tolist() == SPACE.min_genes.tolist()
    smaller = SPACE.max_genes - np.eye(len(SPACE.axes), dtype=int)[width] * 2
    assert reuse.narrowed(SPACE, (SPACE.min_genes, smaller), payload)[1] == []


def test_a_key_is_of_weights_images_and_settings(tmp_path):
    (tmp_path / "supernet").mkdir()
    (tmp_path / reuse.WEIGHTS).write_bytes(b"weights")
    keys = {
        reuse.accuracy_key(TOY, tmp_path, ("a", "b")),
        reuse.accuracy_key(TOY, tmp_path, ("a",)),
        reuse.accuracy_key(dataclasses.replace(TOY, seed=1), tmp_path, ("a", "b")),
        reuse.accuracy_key(
            dataclasses.replace(TOY, search=dataclasses.replace(TOY.search, metric="f1")), tmp_path, ("a", "b")
        ),
    }
    (tmp_path / reuse.WEIGHTS).write_bytes(b"others")
    keys.add(reuse.accuracy_key(TOY, tmp_path, ("a", "b")))
    assert len(keys) == 5
