"""What the rows of a comparison say together: accuracy of each at every budget, and what joint search gains. NumPy."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from danas_jax.config import Limits
from danas_jax.evidence import JOINT, NO_SUPERNET, RANDOM, REFERENCES
from danas_jax.evidence.compare import unpacked
from danas_jax.evidence.rows import as_arrays
from danas_jax.hardware.cost import fits
from danas_jax.metrics import bootstrap_interval, paired_bootstrap
from danas_jax.report.table import budget_text

NOT_FIXED = (JOINT, RANDOM, NO_SUPERNET, REFERENCES)
Networks = dict[tuple[str, int], list[dict[str, Any]]]  # (row, index of the budget) -> its network of every seed


def summary(results: Sequence[dict[str, Any]], budgets: Sequence[Limits], seed: int) -> dict[str, Any]:
    """Everything that `danas compare` prints, JSON-ready; `seed` resamples the test examples.

    Raises ValueError without a joint row.
    """
    networks = by_budget([result for result in results if result["share"] == 1], budgets)
    names = list(dict.fromkeys(name for name, _ in networks))
    if JOINT not in names:
        raise ValueError("summary: no joint row")
    fixed = [r["row"] for r in results if r["share"] == 1 and r["row"] not in NOT_FIXED]
    cells = []
    for i in range(len(budgets)):
        joint = networks.get((JOINT, i), [])
        candidates = [name for name in dict.fromkeys(fixed) if (name, i) in networks]
        best = max(candidates, key=lambda name: _mean(networks[name, i], "int8_validation"), default=None)
        for name in names:
            if group := networks.get((name, i)):
                cells.append(
                    {
                        "budget": i,
                        "row": name,
                        "is_best_fixed": name == best,
                        **_cell(group, seed),
                        "joint_minus_this": _difference(joint, group, seed) if joint and name != JOINT else None,
                    }
                )
    return {
        "budgets": [budget_text(dataclasses.asdict(limits)) for limits in budgets],
        "cells": cells,
        "nothing_fits": _left_out(results, budgets),
        "averages": _averages(networks, names, len(budgets), seed),
        "times": _times(results, budgets, seed),
    }


def by_budget(results: Sequence[dict[str, Any]], budgets: Sequence[Limits]) -> Networks:
    """The networks of each row at each budget, one per seed; a reference counts at every budget that it fits."""
    found: Networks = defaultdict(list)
    wanted = [dataclasses.asdict(limits) for limits in budgets]
    for result in results:
        first: set[int] = set()
        for network in result["networks"]:
            if network["kind"] == "candidate":
                index = wanted.index(network["budget"])
                if index not in first:  # finalists_per_budget > 1: the first choice is the row's answer
                    found[result["row"], index].append(network)
                first.add(index)
            else:
                for i, limits in enumerate(budgets):
                    if fits(as_arrays(network["predicted"]), limits)[0]:
                        found[network["name"], i].append(network)
    return dict(found)


def _right(group: Sequence[dict[str, Any]], on: str = "") -> np.ndarray:
    """How often each test example (or validation's, `on`) was right, over the seeds [N]."""
    return np.mean([unpacked(network[f"{on}right"], network[f"{on}images"]) for network in group], axis=0)


def _validation_interval(group: Sequence[dict[str, Any]], seed: int) -> list[float] | None:
    """None where a row is of an older danas, or the seeds have validation examples of their own."""
    kept = {network.get("validation_images") for network in group}
    if None in kept or len(kept) > 1:
        return None
    return list(bootstrap_interval(_right(group, "validation_"), seed))


def _mean(group: Sequence[dict[str, Any]], key: str) -> float:
    return float(np.mean([network["accuracy"][key] for network in group]))


def _cell(group: Sequence[dict[str, Any]], seed: int) -> dict[str, Any]:
    return {
        "seeds": len(group),
        "int8_test": float(_right(group).mean()),
        "int8_test_interval": list(bootstrap_interval(_right(group), seed)),
        "int8_test_of_seeds": [float(network["accuracy"]["int8_test"]) for network in group],
        "int8_validation": _mean(group, "int8_validation"),
        "int8_validation_interval": _validation_interval(group, seed),
        "sees": sorted({network["sees"] for network in group}),
        "arena_bytes": [network["measured"]["arena_bytes"] for network in group],
        "macs": [network["predicted"]["macs"] for network in group],
    }


def _difference(joint: Sequence[dict[str, Any]], other: Sequence[dict[str, Any]], seed: int) -> dict[str, Any]:
    """Joint minus other on the same test examples, means over the seeds, with the 95 % interval."""
    difference, low, high = paired_bootstrap(_right(joint), _right(other), seed)
    return {"difference": difference, "interval": [low, high]}


def _averages(networks: Networks, names: Sequence[str], count: int, seed: int) -> dict[str, Any]:
    """Per row the joint search's gain, averaged over the budgets where that row fits."""
    found = {}
    for name in names:
        at = [i for i in range(count) if (name, i) in networks and (JOINT, i) in networks]
        if name == JOINT or not at:
            continue
        mine, theirs = (np.mean([_right(networks[row, i]) for i in at], axis=0) for row in (JOINT, name))
        difference, low, high = paired_bootstrap(mine, theirs, seed)
        found[name] = {"budgets": at, "difference": difference, "interval": [low, high]}
    return found


def _left_out(results: Sequence[dict[str, Any]], budgets: Sequence[Limits]) -> list[dict[str, Any]]:
    """Rows of which nothing fits a budget, each once."""
    wanted = [dataclasses.asdict(limits) for limits in budgets]
    found = {
        (result["row"], wanted.index(entry["budget"])): entry["needs"]
        for result in results
        for entry in result["left_out"]
    }
    return [{"row": row, "budget": index, "needs": needs} for (row, index), needs in found.items()]


def _times(results: Sequence[dict[str, Any]], budgets: Sequence[Limits], seed: int) -> list[dict[str, Any]]:
    """Every row's search time (supernet and search) and accuracy at the budgets that it has, for the time figure.

    Random search has the joint search's supernet, so that its training counts for both.
    """
    supernets = {r["seed"]: r["times_s"]["train"] for r in results if r["row"] == JOINT and r["share"] == 1}
    found = []
    for result in results:
        for (name, i), group in by_budget([result], budgets).items():
            if name == result["row"]:
                supernet_s = supernets[result["seed"]] if name == RANDOM else result["times_s"]["train"]
                found.append(
                    {
                        "row": name,
                        "share": result["share"],
                        "seed": result["seed"],
                        "budget": i,
                        "search_minutes": (supernet_s + result["times_s"]["search"]) / 60,
                        "retrain_minutes": result["times_s"]["retrain"] / 60,
                        **{key: _cell(group, seed)[key] for key in ("int8_test", "int8_validation")},
                    }
                )
    return found
