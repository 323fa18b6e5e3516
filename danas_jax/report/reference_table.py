"""`danas cost --references`: the published networks at their usual inputs, a line each."""

from __future__ import annotations

from typing import Any

from danas_jax.baselines import REFERENCES, baseline_layers
from danas_jax.config import Baseline
from danas_jax.hardware.figures import Setting, figures
from danas_jax.hardware.graph import Graph, from_layers
from danas_jax.networks import NETWORKS
from danas_jax.views.image import ImageView

CLASSES = 2  # of a reference's classifier here: a person, or none
_VIEW = ImageView((96,))  # an input's shape is the data's alone
COLUMNS = ("name", "input", "MACs", "parameters", "RAM kB", "file kB", "with code kB", "ms")


def reference_graph(baseline: Baseline) -> Graph:
    """A reference as it would be exported for two classes."""
    return from_layers(baseline_layers(baseline, _VIEW, CLASSES))


def reference_figures(setting: Setting) -> list[dict[str, Any]]:
    """Each reference's name, input and source, and its figures as in docs/cost.md, without `layers`."""
    found = []
    for baseline in REFERENCES:
        every = {key: value for key, value in figures(reference_graph(baseline), setting).items() if key != "layers"}
        source = NETWORKS[baseline.network].source
        found.append({"network": baseline.name, "input": baseline.data.text, "published": source, **every})
    return found


def reference_rows(found: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    """COLUMNS, and for a board `fits`, as texts, and a row for each reference; kB of 1,024 B."""
    board = found[0]["fits"] is not None
    rows = [(*COLUMNS, *(["fits"] if board else []), "published")]
    for one in found:
        sizes = one["ram_bytes"], one["flash"]["file_bytes"], one["flash"]["code_bytes"]
        time = "-" if one["latency_ms"] is None else f"{one['latency_ms']:.1f}"
        counts = f"{one['macs']:,}", f"{one['params']:,}", *(f"{size / 1024:.1f}" for size in sizes), time
        fits = ["yes" if one["fits"]["fits"] else "no"] if board else []
        rows.append((one["network"], one["input"], *counts, *fits, one["published"]))
    return rows
