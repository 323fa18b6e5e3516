"""What the report shows beside the run's own files, computed once and kept as JSON files in <run>/report/.

memory.json: what each operator of a network keeps alive. diagnostics.json: predictions against measurements, and how
well each accuracy ranks the next. examples.json: validation examples as each exported network sees them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from danas_jax import disk
from danas_jax.baselines import baseline_layers
from danas_jax.config import Config
from danas_jax.data.dataset import Split
from danas_jax.errors import UserError
from danas_jax.hardware import graph
from danas_jax.layers import LayerSpec
from danas_jax.report.examples import examples_of
from danas_jax.report.files import DIAGNOSTICS, EXAMPLES, MEMORY
from danas_jax.search import pareto_json
from danas_jax.search.tiers import agreement
from danas_jax.views.base import NetworkInput

MOST_PROFILED = 400  # networks in memory.json, about 3 kB each; finalists and re-ranked systems first
STEPS = (("search", "float_validation"), ("float_validation", "int8_validation"), ("int8_validation", "int8_test"))


def derive(folder: Path, config: Config, validation: Callable[[], Split]) -> list[str]:
    """Write the files above for the run in `folder`, whose summary there is; `validation` loads that split.

    Returns what a user should know. Examples that are there already are kept: the data may be gone.
    """
    summary = disk.read_json(folder / "summary.json")
    disk.write_json(folder / "report" / MEMORY, memory(folder, config, len(summary["classes"])))
    disk.write_json(folder / "report" / DIAGNOSTICS, diagnostics(summary))
    place = folder / "report" / EXAMPLES
    names = {entry["name"] for entry in summary["finalists"]}
    if place.exists() and set(disk.read_json(place)["networks"]) == names:
        return []
    try:
        disk.write_json(place, {"networks": examples_of(folder, _inputs(config, summary), validation)})
    except UserError as error:
        return [f"the report shows no examples: {error}"]
    return []


def memory(folder: Path, config: Config, num_classes: int) -> dict[str, Any]:
    """{"networks": {id or baseline's name: its profile}} of baselines and of what the search found."""
    space, found = config.space, pareto_json.load(folder / "search" / "pareto.json", config.space)
    genes = {c.id: c.genes for budget in found.budgets for c in map(budget.candidate, budget.finalists)}
    for part in ("reranked", "front"):
        genes = {**genes, **{c.id: c.genes for budget in found.budgets for c in getattr(budget, part)}}
    layers = {name: space.layers(np.array(genes[name]), num_classes) for name in list(genes)[:MOST_PROFILED]}
    layers |= {b.name: baseline_layers(b, space.view, num_classes) for b in config.baselines}
    return {"networks": {name: profile(network) for name, network in layers.items()}}


def profile(layers: tuple[LayerSpec, ...]) -> dict[str, Any]:
    """Per operator, in the order of execution, its name, output, live bytes and MACs; and where the peak is."""
    net = graph.from_layers(layers)
    peak = graph.bottleneck(net)
    return {
        "operators": [op.name for op in net.operators],
        "outputs": [net.tensors[op.outputs[0]].name for op in net.operators],
        "live_bytes": graph.live_bytes(net),
        "macs": list(graph.macs(net)),
        "bottleneck": {"operator": peak.step, "live_bytes": peak.bytes, "tensors": list(peak.tensors)},
    }


def diagnostics(summary: Mapping[str, Any]) -> dict[str, Any]:
    """{"cost_model": a row for each network and quantity, "ranks": a row for each step of accuracies}."""
    networks = list({entry["name"]: entry for entry in summary["finalists"]}.values())
    pairs = (("arena", "arena_host_bytes", "arena_bytes"), ("file", "file_bytes", "file_bytes"))
    rows = [
        {
            "name": entry["name"],
            "quantity": quantity,
            "predicted_bytes": entry["predicted"][predicted],
            "measured_bytes": entry["measured"][measured],
            "error_percent": 100 * (entry["predicted"][predicted] / entry["measured"][measured] - 1),
        }
        for entry in networks
        for quantity, predicted, measured in pairs
    ]
    return {"cost_model": rows, "ranks": [_step(networks, *step) for step in STEPS]}


def _step(networks: list[Mapping[str, Any]], earlier: str, later: str) -> dict[str, Any]:
    """How well one accuracy tells the next, on the networks that have both (of which there may be too few)."""
    accuracies = [(e["accuracy"][earlier], e["accuracy"][later]) for e in networks]
    pairs = np.array([pair for pair in accuracies if None not in pair], np.float64).reshape(-1, 2)
    found = agreement(*pairs.T) if len(pairs) > 1 else {"systems": len(pairs)}
    return {"of": earlier, "against": later, **found}


def _inputs(config: Config, summary: Mapping[str, Any]) -> dict[str, NetworkInput]:
    """Name -> what that network reads."""
    view = config.space.view
    return {entry["name"]: NetworkInput(view, view.data(**entry["data"])) for entry in summary["finalists"]}
