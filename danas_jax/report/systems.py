"""What the page tells of each system: of every candidate of the fronts under each budget, and of every baseline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from danas_jax.classification import METRIC_NAMES
from danas_jax.report import quality
from danas_jax.report.files import RunFiles
from danas_jax.report.table import DASH, budget_text, kilobytes, millions, sure
from danas_jax.views import data_text

EXAMPLE_BYTES = 1_000_000  # of pictures in a page, all networks together
COSTS = (  # key, what a reader calls it, how it is written
    ("arena_device_bytes", "tensor arena on the board", kilobytes),
    ("arena_host_bytes", "tensor arena on this host", kilobytes),
    ("peak_sram_bytes", "activations alive at once", kilobytes),
    ("flash_bytes", "flash (file and runtime)", kilobytes),
    ("file_bytes", "file", kilobytes),
    ("macs", "MACs", millions),
    ("params", "parameters", lambda value: f"{value:,}"),
    ("latency_ms", "latency", lambda value: f"{value:.1f} ms"),
)
HOVER = ("arena_device_bytes", "flash_bytes", "latency_ms", "macs")
Costs = Mapping[str, float | None]


def key_of(budget: Mapping[str, Any] | None, name: str) -> str:
    """The key of a system under a budget (its costs are those of its board), of a baseline without one."""
    return f"{budget_text(budget)}/{name}" if budget else name


def metric_name(files: RunFiles) -> str:
    """What the search's accuracies are."""
    return METRIC_NAMES[files.pareto.get("metric", "accuracy")]


def search_accuracy(candidate: Mapping[str, Any]) -> float | None:
    """On the whole search slice where that was measured, else on its ranking part."""
    full = candidate["accuracy"]["full"]
    return candidate["accuracy"]["half"] if full is None else full


def interval(candidate: Mapping[str, Any], tier: str) -> list[float] | None:
    """The 95 % interval of a tier's accuracy; None where it is not measured, or the run is an older one."""
    return candidate.get("intervals", {}).get(tier)


def searched(candidate: Mapping[str, Any]) -> str:
    """`search_accuracy` with its 95 % interval."""
    tier = "half" if candidate["accuracy"]["full"] is None else "full"
    return sure(search_accuracy(candidate), interval(candidate, tier))


def candidates(found: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """One budget's front and re-ranked candidates by id; the re-ranked entry wins."""
    return {c["id"]: c for c in (*found.get("front", []), *found.get("reranked", []))}


def systems(files: RunFiles) -> dict[str, dict[str, Any]]:
    """By key: {"title", "group", "network", "hover": lines, "rows": [[what, text]]}, as the page's script shows it."""
    name, found = metric_name(files), {}
    for result in files.budgets:
        budget = result.get("budget")
        for candidate in candidates(result).values():
            tiers = (("half", "ranking part"), ("full", "whole slice"), ("int8", "simulated int8"))
            rows = [
                (f"search {name}, {what} [95 %]", sure(candidate["accuracy"].get(tier), interval(candidate, tier)))
                for tier, what in tiers
            ]
            found[key_of(budget, candidate["id"])] = {
                "title": f"{candidate['id']}: {data_text(candidate['data'])}",
                "group": budget_text(budget),
                "network": candidate["id"],
                "hover": [f"{name} {searched(candidate)}", *_described(candidate, candidate["costs"])],
                "rows": [("budget", budget_text(budget)), *rows, *_costs(candidate["costs"])],
                "genes": _genes(candidate),
            }
    for entry in files.summary.get("finalists", []):
        key = key_of(entry.get("budget"), str(entry.get("name") or entry.get("id")))
        old = found.get(key, {})
        rows = old.get("rows") or [("budget", budget_text(entry.get("budget"))), *_costs(entry.get("predicted") or {})]
        text = data_text(entry["data"]) if entry.get("data") else DASH
        accuracy = entry.get("accuracy") or {}
        found[key] = {
            "title": f"{entry.get('name') or entry.get('id')}: {text}",
            "group": "baselines" if entry.get("kind") == "baseline" else "finalists",
            "network": str(entry.get("name") or entry.get("id")),
            "hover": [
                f"int8 test accuracy {sure(accuracy.get('int8_test'), accuracy.get('int8_test_interval'))}",
                *_described(entry, entry.get("predicted") or {}),
            ],
            "rows": [*rows, *_retrained(entry)],
            "genes": _genes(entry),
        }
    return found


def _described(system: Mapping[str, Any], costs: Costs) -> list[str]:
    """Lines on a system's costs and genes."""
    named = {key: (label, text) for key, label, text in COSTS}
    lines = [f"{named[key][0]} {named[key][1](value)}" for key in HOVER if (value := costs.get(key)) is not None]
    genes = " ".join(map(str, system.get("genes") or ()))
    return [*lines, *arch_lines(system.get("arch")), *([f"genes {genes}"] if genes else [])]


def _costs(costs: Costs) -> list[tuple[str, str]]:
    return [(label, text(value)) for key, label, text in COSTS if (value := costs.get(key)) is not None]


def _retrained(entry: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What is known of an exported network."""
    accuracy, measured = entry.get("accuracy") or {}, entry.get("measured") or {}
    kinds = (("float_validation", "validation, float"), ("int8_validation", "validation, int8"))
    return [
        *(
            (f"{what} [95 %]", sure(accuracy.get(kind), accuracy.get(f"{kind}_interval")))
            for kind, what in (*kinds, ("int8_test", "test, int8"))
        ),
        ("arena measured", kilobytes(measured.get("arena_bytes"))),
        ("file measured", kilobytes(measured.get("file_bytes"))),
    ]


def _genes(system: Mapping[str, Any]) -> list[str]:
    genes = system.get("genes")
    return [*arch_lines(system.get("arch")), *(["genes " + " ".join(map(str, genes))] if genes else [])]


def arch_lines(arch: Mapping[str, Any] | None) -> list[str]:
    """An architecture for people, a line a stage: `stage of 8: k3 e3, k5 e4` (kernel, expansion)."""
    if not arch:
        return []
    lines = [f"{name.replace('_', ' ')} {value}" for name, value in arch.items() if not isinstance(value, list)]
    for stage in arch.get("stages", ()):
        blocks = ", ".join(f"k{block['kernel']} e{block['expansion']}" for block in stage["blocks"])
        kind = " (conv)" if stage.get("block") == "conv" else ""
        lines.append(f"stage of {stage['width']}{kind}: {blocks}")
    return lines


def networks(files: RunFiles) -> dict[str, dict[str, Any]]:
    """By id or baseline's name: {"layers", "bottleneck"}, and of exported ones {"confusion", "examples", "note"}."""
    found: dict[str, dict[str, Any]] = {}
    for name, memory in files.memory.get("networks", {}).items():
        peak = memory["bottleneck"]
        found[name] = {
            "layers": [
                [output, operator, live, kilobytes(live), millions(macs)]
                for output, operator, live, macs in zip(
                    memory["outputs"], memory["operators"], memory["live_bytes"], memory["macs"], strict=True
                )
            ],
            "bottleneck": peak["operator"],
            "peak": f"{kilobytes(peak['live_bytes'])} at {memory['outputs'][peak['operator']]}: "
            f"{', '.join(peak['tensors'])} live together",
        }
    pictures = files.examples.get("networks", {})
    for entry in files.networks:
        if entry.get("figures"):
            tables = quality.tables(entry["figures"]["int8_test"])
            confusion = {"title": tables[1].title, "columns": tables[1].columns, "rows": tables[1].rows}
            shown = within(pictures.get(entry["name"], []), EXAMPLE_BYTES // max(1, len(pictures)))
            found[entry["name"]] = {**found.get(entry["name"], {}), "confusion": confusion, "examples": shown}
    return found


def within(examples: list[dict[str, Any]], limit_bytes: int) -> list[dict[str, Any]]:
    """As many of the examples, hits and misses in turn, as fit the bytes."""
    misses, hits = ([e for e in examples if e["right"] is right] for right in (False, True))
    kept, used = [], 0
    for i in range(max(len(misses), len(hits))):
        for example in (*misses[i : i + 1], *hits[i : i + 1]):
            if used + len(example["png"]) <= limit_bytes:
                kept.append(example)
                used += len(example["png"])
    return kept
