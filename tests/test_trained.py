"""A trained supernet from a notebook: the documented lines run, and agree with the run's own search."""

import contextlib
import dataclasses
import io
import re
from pathlib import Path

import numpy as np
import pytest
from pipeline_toys import TOY, config_file

from danas_jax import cli
from danas_jax import trained as module
from danas_jax.config import Limits
from danas_jax.errors import UserError
from danas_jax.hardware.layer_key import OVERHEAD, Key
from danas_jax.hardware.lut import Row, Table
from danas_jax.search import pareto_json
from danas_jax.task import SINGLE_LABEL
from danas_jax.trained import open_trained

DOC = Path(__file__).resolve().parent.parent / "docs" / "notebook.md"


@pytest.fixture(scope="module")
def run(place):
    """The toy, trained and searched for its own budgets."""
    config = config_file(place)
    for phase in ("train", "search"):
        assert cli.main([phase, config, "--run-dir", "runs/quickstart"]) == 0
    return place / "runs" / "quickstart"


def test_the_documented_lines_run(run):
    (code,) = re.findall(r"```python\n(.*?)```", DOC.read_text(encoding="utf-8"), flags=re.S)
    assert len(code.splitlines()) <= 12
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(code, {})
    accuracies, arenas, *front = printed.getvalue().splitlines()
    assert len(accuracies.split()) == len(arenas.strip("[]").split()) == 4
    assert front


def test_the_run_s_own_search_again(run):
    """Same settings, same budgets: the same archive, though nothing of it is read."""
    net = open_trained(run)
    found = net.search(TOY.budgets)
    assert found == pareto_json.load(run / "search" / "pareto.json", net.space)
    best = found.budgets[0].reranked[0]
    for tier in ("half", "full", "int8"):
        assert net.evaluate(np.array(best.genes), tier).tolist() == [getattr(best, f"accuracy_{tier}")]
    assert net.costs(np.array([best.genes]))["macs"].tolist() == [best.costs["macs"]]
    assert net.violation(np.array([best.genes]), TOY.budgets[0]) == 0
    assert net.violation(np.array([best.genes]), Limits(macs=1)) > 0


def test_how_sure_an_accuracy_is_depends_on_the_metric(run, monkeypatch):
    known = dataclasses.replace(SINGLE_LABEL, equivalent_images=lambda labels, metric: 7.4 + (metric != "accuracy"))
    monkeypatch.setattr(module, "task_of", lambda labels: known)
    assert open_trained(run).search_images == 7


def test_other_settings(run):
    net = open_trained(run)
    few = net.search(TOY.budgets[:1], {"strategy": "random", "generations": 0, "population": 2})
    assert few.evaluations is not None
    assert len(few.budgets) == 1
    assert len(few.evaluations.genes) < 8


def test_a_latency_table_of_the_notebook_times_networks(run):
    net = open_trained(run)
    net.latency_tables = {
        "rp2040": Table("rp2040", "tflm", {Key("CONV_2D", (1,), (1,)): Row(0), Key(OVERHEAD): Row(9e6)})
    }
    assert net.costs(net.space.min_genes[None], "rp2040")["latency_ms"] > 9e6
    assert net.violation(net.space.min_genes[None], Limits(latency_ms=9e6, board="rp2040")) > 0
    assert net.violation(net.space.min_genes[None], Limits(latency_ms=9e6)) == 0


def test_what_is_refused(run, place):
    with pytest.raises(UserError, match="holds no trained supernet"):
        open_trained(place / "nowhere")
    net = open_trained(run)
    with pytest.raises(UserError, match=r"search\.metric = 'auc': this run's accuracies are measured with 'accuracy'"):
        net.search(TOY.budgets, {"metric": "auc"})
    net.bounds = net.bounds[0], net.bounds[0]
    with pytest.raises(UserError, match=r"genes\[1\] .*outside the bounds"):
        net.evaluate(np.stack([net.space.min_genes, net.space.max_genes]))
