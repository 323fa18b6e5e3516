"""danas rank: the pool, a ranking's figures by hand, the zero-cost score, and a whole tiny ranking that resumes."""

import csv
import json
import math

import numpy as np
import pytest
from pipeline_toys import config_file
from supernet_toys import SPACE

from danas_jax import cli
from danas_jax.config import Limits
from danas_jax.deploy import alone
from danas_jax.errors import UserError
from danas_jax.evidence import agreement, pool, zero_cost
from danas_jax.metrics import kendall_tau

BUDGETS = (Limits(sram_bytes=300), Limits(sram_bytes=100), Limits(sram_bytes=200))


def sample(rng, count):
    return np.stack([rng.integers(0, 400, count), rng.integers(0, 9, count)], axis=1)


def fits(genes, limits):
    return genes[:, 0] <= limits.sram_bytes


def test_the_pool_is_dealt_to_the_slices_of_the_budgets():
    found = pool.draw(sample, fits, BUDGETS, 14, seed=3)
    assert [limits.sram_bytes for limits in found.budgets] == [100, 200, 300]
    assert np.bincount(found.slices).tolist() == [5, 5, 4]
    assert (np.searchsorted([100, 200, 300], found.genes[:, 0]) == found.slices).all()
    assert len(np.unique(found.genes, axis=0)) == 14
    np.testing.assert_array_equal(pool.draw(sample, fits, BUDGETS, 14, seed=3).genes, found.genes)
    assert not np.array_equal(pool.draw(sample, fits, BUDGETS, 14, seed=4).genes, found.genes)


def test_a_slice_that_holds_few_gets_few_and_an_empty_pool_is_refused():
    few = pool.draw(lambda rng, n: sample(rng, n) * [1, 0], fits, (Limits(sram_bytes=2), *BUDGETS), 40, seed=0)
    assert np.bincount(few.slices).tolist() == [3, 10, 10, 10]
    with pytest.raises(UserError, match="--pool = 5: 0 systems fit"):
        pool.draw(sample, lambda genes, limits: genes[:, 0] < 0, BUDGETS, 5, seed=0)


def test_figures_of_a_ranking_by_hand():
    score, accuracy = np.array([4.0, 3, 2, 1]), np.array([0.6, 0.9, 0.8, 0.5])
    assert agreement.regret(score, accuracy, 1) == pytest.approx(0.3)
    assert agreement.regret(score, accuracy, 2) == 0
    assert agreement.precision(score, accuracy, 2) == 0.5
    found = agreement.agreement(score, np.stack([accuracy, score]))
    assert found["kendall_tau"] == pytest.approx((2 / 6 + 1) / 2)
    assert found["regret_at_3"] == 0
    assert "regret_at_5" not in found
    assert agreement.agreement(np.ones(4), accuracy[None])["kendall_tau"] is None


def test_the_ceiling_is_another_training_on_other_images():
    others, accuracies = np.array([[1.0, 2, 3], [3, 1, 2]]), np.array([[2.0, 1, 3], [1, 2, 3]])
    by_hand = (kendall_tau(others[0], accuracies[1]) + kendall_tau(others[1], accuracies[0])) / 2
    assert agreement.ceiling_tau(others, accuracies) == pytest.approx(by_hand)
    assert math.isnan(agreement.ceiling_tau(others[:1], accuracies[:1]))


def test_intervals_hold_what_they_are_of_and_compare_on_the_same_systems():
    rng = np.random.default_rng(0)
    truth = rng.normal(size=30)
    accuracies = truth + rng.normal(size=(2, 30)) / 3
    scores = {"good": truth, "same": truth.copy(), "bad": rng.normal(size=30)}
    found = agreement.tau_intervals(scores, accuracies, accuracies, "good", seed=1)
    tau = np.mean([kendall_tau(truth, accuracy) for accuracy in accuracies])
    low, high = found["good"]["tau"]
    assert low < tau < high
    assert found["same"]["difference"] == [0, 0]
    assert found["bad"]["difference"][0] > 0
    assert found["ceiling"]["tau"][1] <= 1
    assert agreement.tau_intervals(scores, accuracies[:1], accuracies[:1], "good", 1)["ceiling"]["tau"] is None


def test_naswot_tells_networks_that_see_a_difference():
    layers = SPACE.layers(SPACE.max_genes, 2)
    images = np.random.default_rng(0).integers(0, 256, (6, *layers[0].in_shape), np.uint8)
    assert np.isfinite(zero_cost.naswot(layers, images, seed=0))
    assert zero_cost.naswot(layers, np.repeat(images[:1], 6, axis=0), seed=0) == -np.inf
    kernel = np.asarray(zero_cost._alike(layers)(zero_cost.init_variables(layers, 0)[0], images))
    units = sum(math.prod(layer.out_shape) for layer in layers if layer.activation != "none")
    np.testing.assert_array_equal(np.diag(kernel), units)
    np.testing.assert_array_equal(kernel, kernel.T)


def test_a_table_of_something_else_is_refused(tmp_path):
    path = tmp_path / "trained.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match="not a table of trained networks"):
        alone.Table(path, ("search", "validation"))
    path.write_text("key,system,seed,epochs,image_views,search_accuracy\nk,s,0,1,2,much\n")
    with pytest.raises(UserError, match=r"row k: .*: a number from 0 to 1 is right"):
        alone.Table(path, ("search",))


def test_danas_rank_trains_the_pool_once_and_resumes_after_a_kill(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    arguments = ["rank", config_file(tmp_path), "--pool", "4", "--export", "pool.csv"]
    real, trained = alone.retrain, []

    def dying(*given):
        if len(trained) == 3:
            raise KeyboardInterrupt
        trained.append(given[1].text)
        return real(*given)

    monkeypatch.setattr(alone, "retrain", dying)
    monkeypatch.setattr("danas_jax.evidence.rank.on_devices", map)
    assert cli.main(arguments) == 3
    assert len((tmp_path / "runs/toy/rank/trained.csv").read_text().splitlines()) == 4
    monkeypatch.setattr(alone, "retrain", lambda *given: trained.append("again") or real(*given))
    assert cli.main(arguments) == 0
    assert trained.count("again") == 8 - 3
    assert cli.main(["rank", "runs/toy", "--pool", "4", "--json"]) == 0
    assert trained.count("again") == 8 - 3
    printed = capsys.readouterr().out
    result = json.loads(printed[printed.rindex("\n{") :])
    assert json.loads((tmp_path / "runs/toy/rank/rank.json").read_text())["systems"] == result["systems"]
    assert len(result["systems"]) == 4
    assert set(result["parts"]["all"]["scores"]) == {"supernet", "predictor", "macs", "params", "naswot"}
    assert not list((tmp_path / "runs/toy/rank/checkpoints").iterdir())
    rows = list(csv.DictReader((tmp_path / "pool.csv").read_text().splitlines()))
    for row, system in zip(rows, result["systems"], strict=True):
        genes = SPACE.check(np.array([int(gene) for gene in row["genes"].split()]))
        assert row["id"] == system["id"] == SPACE.candidate_id(genes)
        assert [float(row["alone_validation_seed0"]), float(row["alone_validation_seed1"])] == pytest.approx(
            system["alone_validation"], abs=1e-6
        )


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--pool", "1"], "--pool = 1: give 2 or more"),
        (["--seeds", "3", "3"], "give different ones"),
    ],
)
def test_wrong_flags(flags, message, tmp_path, capsys):
    assert cli.main(["rank", config_file(tmp_path), *flags]) == 2
    assert message in capsys.readouterr().err
