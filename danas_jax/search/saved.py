"""A search's saved state: what identifies the search, and its evaluations to and from JSON."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict

import numpy as np

from danas_jax import schema
from danas_jax.config import Limits, SearchSettings
from danas_jax.errors import UserError
from danas_jax.schema import NUMBER
from danas_jax.search.archive import number
from danas_jax.space import SearchSpace

Tested = dict[str, dict[bytes, float]]  # tier -> gene bytes -> accuracy


def header(
    space: SearchSpace,
    settings: SearchSettings,
    budgets: Sequence[Limits],
    seed: int,
    search_images: int,
    lower: np.ndarray,
    upper: np.ndarray,
) -> dict:
    """What a saved state must share with the search that resumes it."""
    return {
        "schema_version": 1,
        "space": space.fingerprint,
        "settings": {**asdict(settings), "objectives": list(settings.objectives)},
        "budgets": [asdict(limits) for limits in budgets],
        "seed": int(seed),
        "search_images": int(search_images),
        "bounds": [np.asarray(lower).tolist(), np.asarray(upper).tolist()],
    }


def rows(tested: Tested) -> dict[str, list[dict]]:
    """The re-ranked accuracies of each tier, JSON-ready."""
    return {
        tier: [{"genes": np.frombuffer(k, dtype=np.int64).tolist(), "accuracy": number(a)} for k, a in known.items()]
        for tier, known in tested.items()
    }


def read(
    saved: dict, expected: dict, genes_length: int, tiers: Collection[str]
) -> tuple[list[tuple[np.ndarray, np.ndarray]], Tested]:
    """The rounds (genes, half-slice accuracies) of a saved state, and the re-ranked accuracies of `tiers`.

    Raises UserError when it is damaged or of another search than the header `expected`.
    """
    changed = [key for key in expected if saved.get(key) != expected[key]]
    if changed:
        raise UserError(f"the saved search was made with another {', '.join(changed)}: use another run directory")
    wanted = {
        "rounds": [{"genes": [[int]], "half": [NUMBER | None]}],
        "tested": {tier: [{"genes": [int], "accuracy": NUMBER | None}] for tier in tiers},
    }
    schema.check(saved, wanted, "the saved search is damaged, delete it and search again")
    try:
        rounds = [
            (np.array(r["genes"], dtype=np.int64).reshape(-1, genes_length), np.array(r["half"], dtype=np.float64))
            for r in saved["rounds"]
        ]
        tested = {
            tier: {
                np.array(r["genes"], np.int64).tobytes(): np.float64(r["accuracy"]).item()
                for r in saved["tested"][tier]
            }
            for tier in tiers
        }
        if any(len(genes) != len(half) for genes, half in rounds):
            raise ValueError("genes and accuracies of a round differ in number")
    except (TypeError, ValueError) as error:
        why = f"the saved search is damaged (rounds or tested: {error!r}): delete it and search again"
        raise UserError(why) from error
    return rounds, tested
