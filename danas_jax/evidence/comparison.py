"""A whole comparison: which rows its options ask for, running them, and what they say together."""

from __future__ import annotations

import argparse
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

from danas_jax import run, runtime
from danas_jax.config import Config, Limits, native_frame, native_resolution_px
from danas_jax.console import say
from danas_jax.data.dataset import open_data
from danas_jax.evidence.compare import Asked, run_rows
from danas_jax.evidence.rows import (
    Planner,
    costliest,
    data_from_text,
    fitting_references,
    usual_fixed,
    usual_height_px,
)
from danas_jax.evidence.summary import summary
from danas_jax.hardware import boards, run_tables
from danas_jax.views.image import ImageView

_NEAR_BYTES = 64 * 1024  # the budget of the time grid is the one nearest to this, unless --full


def compare(config: Config, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Run the missing rows that `danas compare`'s options ask for; everything it prints, JSON-ready. Resumes."""
    runtime.keep_compiled_programs()
    boards.remember(config.boards)
    tables = run_tables.load(config.latency_tables, config.budgets)
    data = open_data(config.data, native_frame(config), config.seed)
    if "references" in options.rows:
        more = fitting_references(config, len(data.class_names))
        config = replace(config, baselines=(*config.baselines, *more))
    planner = Planner(config, len(data.items["train"]), len(data.class_names), tables)
    asked = _asked(config, options)
    say(_plan_text(asked, config))
    with run.exclusive(folder):
        results = list(run_rows(planner, asked, folder, options.runs or folder / "runs"))
    return {"name": config.name, "seeds": options.seeds, **summary(results, config.budgets, config.seed)}


def _asked(config: Config, options: argparse.Namespace) -> Asked:
    view = config.space.view
    common = usual_fixed(view, native_resolution_px(config))
    if options.fixed:
        fixed, candidates = [data_from_text(view, text) for text in options.fixed], []
    elif options.full:
        fixed, candidates = common, common
    elif isinstance(view, ImageView):
        at_96 = [costliest(view, resolution_px=usual_height_px(view, 96), colour="rgb")]
        at_96 = [data for data in common if data in at_96]
        fixed, candidates = at_96, common
    else:
        fixed, candidates = common, []
    near = config.budgets if options.full else (min(config.budgets, key=_distance),)
    seeds = tuple(options.seeds)
    return Asked(
        rows=tuple(options.rows),
        fixed=tuple(fixed),
        candidates=tuple(candidates),
        seeds=seeds,
        shares=tuple(options.shares),
        extra_seeds=seeds if options.full else seeds[:1],
        extra_budgets=near,
    )


def _distance(limits: Limits) -> float:
    return abs(math.log((limits.sram_bytes or 1) / _NEAR_BYTES))


def _plan_text(asked: Asked, config: Config) -> str:
    """What is about to be run: supernets and retrainings, in image views, before anything starts."""
    fixed = len(asked.fixed) or 1
    per_seed = 1 + ("fixed" in asked.rows) * fixed
    extra = len(asked.extra_seeds) * ("time" in asked.rows) * len(asked.shares) * 2
    supernets, count = len(asked.seeds) * per_seed + extra, len(config.budgets)
    retrained = count * (len(asked.seeds) * (per_seed + ("random" in asked.rows))) + extra
    references = len(asked.seeds) * len(config.baselines)
    return (
        f"compare: about {supernets} supernets of {config.train.epochs} epochs each at {count} budgets, and "
        f"{retrained + references} networks retrained for {config.retrain.epochs} epochs; finished rows are not run "
        "again"
    )
