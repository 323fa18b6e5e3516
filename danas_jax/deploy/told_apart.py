"""Which finalists cannot be told apart: paired bootstrap of one against another, on the same examples.

Validation says what a larger network gains, test the same as information only: nothing is chosen by it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations, pairwise
from typing import Any

from danas_jax.classification import Metric
from danas_jax.deploy.answers import Answers
from danas_jax.resampling import figure_difference

SPLITS = {"validation": "int8_validation", "test": "int8_test"}  # in a pair -> the kind of answers


def pairs(
    entries: Sequence[Mapping[str, Any]], answers: Mapping[str, Mapping[str, Answers]], metric: Metric, seed: int
) -> list[dict[str, Any]]:
    """{"smaller", "larger": names, "arena_saved_bytes", "validation", "test": {"difference", "interval"} | None}.

    Of each candidate of a summary's `entries` and the next one by the arena on the board, and of all those of a budget.
    `answers` are the real-valued ones by network and kind; a difference is `metric` of the larger less the smaller.
    """
    chosen = [entry for entry in entries if entry["kind"] == "candidate"]
    arenas = {entry["name"]: entry["predicted"]["arena_device_bytes"] for entry in chosen}
    by_arena = sorted(arenas, key=lambda name: (arenas[name], name))
    neighbours = set(pairwise(by_arena))
    return [
        {
            "smaller": smaller,
            "larger": larger,
            "arena_saved_bytes": arenas[larger] - arenas[smaller],
            **{
                split: _difference(answers[larger][kind], answers[smaller][kind], metric, seed)
                for split, kind in SPLITS.items()
            },
        }
        for smaller, larger in combinations(by_arena, 2)
        if (smaller, larger) in neighbours or _share_a_budget(chosen, smaller, larger)
    ]


def _share_a_budget(entries: Sequence[Mapping[str, Any]], *names: str) -> bool:
    budgets = [[entry["budget"] for entry in entries if entry["name"] == name] for name in names]
    return any(budget in budgets[1] for budget in budgets[0])


def _difference(larger: Answers, smaller: Answers, metric: Metric, seed: int) -> dict[str, Any] | None:
    found = figure_difference(metric, larger.labels, larger.logits, smaller.logits, seed)
    return found and {"difference": found[0], "interval": [found[1], found[2]]}
