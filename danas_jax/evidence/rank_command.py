"""`danas rank`: does the supernet rank systems as training each of them alone does? Starts without jax."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from danas_jax import config_io, disk, own_flags, run
from danas_jax.config import Config
from danas_jax.csv_text import csv_of
from danas_jax.errors import UserError
from danas_jax.report.table import print_rows, sure

RESULT = "rank/rank.json"  # in the run directory
FREE = ("retrain.", "budgets", "run_dir", "export.", "search.", "baselines", "boards")  # may differ from the run's


def rank_parser() -> argparse.ArgumentParser:
    """Those of its flags that are no field of Config."""
    parser = own_flags.parser(
        "danas rank CONFIG",
        "Train a pool of systems alone and compare how the supernet, and cheaper scores, rank them.",
    )
    parser.add_argument("--pool", type=int, default=48, help="systems, dealt evenly to the budgets' slices (48)")
    parser.add_argument("--pool-seed", type=int, default=0, help="which systems (0)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1], help="trainings of each; two give a ceiling")
    parser.add_argument("--trained", type=Path, help="table of results, read and added to (RUN/rank/trained.csv)")
    parser.add_argument("--export", metavar="FILE.csv", type=Path, help="genes, costs and accuracies as a table")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return parser


def rank_command(arguments: list[str]) -> dict[str, Any]:
    """Run `danas rank` with these arguments, print the table and return the result (what --json prints)."""
    options, rest = own_flags.split(rank_parser(), arguments)
    if options.pool < 2:
        raise UserError(f"--pool = {options.pool}: give 2 or more")
    if len(set(options.seeds)) < len(options.seeds):
        raise UserError(f"--seeds = {options.seeds}: give different ones")
    config, folder = _prepared(rest)
    from danas_jax.evidence.rank import RankSettings, rank

    settings = RankSettings(options.pool, options.pool_seed, tuple(options.seeds), options.trained)
    result = rank(config, folder, settings)
    disk.write_json(folder / RESULT, result)
    if options.export:
        disk.write_text(options.export, as_csv(result))
    if options.json:
        print(json.dumps(result, indent=2))
    else:
        print_result(result)
        print(f"{folder / RESULT}" + (f", {options.export}" if options.export else ""))
    return result


def _prepared(arguments: list[str]) -> tuple[Config, Path]:
    """The config with flags, and the folder of its run, whose supernet is trained if it is not."""
    from danas_jax import overrides, pipeline

    config = overrides.config_of(arguments, "rank")
    folder = run.run_directory(config)
    if (folder / "config.json").exists() and run.phase_done(folder, "train"):
        differing = config_io.differences(config_io.read_config(folder / "config.json"), config)
        wrong = [line for line in differing if not line.startswith(FREE)]
        if wrong:
            raise UserError(f"{folder}: its supernet was trained with other settings:\n  " + "\n  ".join(wrong))
        return config, folder
    with run.opened(config):
        pipeline.run_phases(config, ("train",), folder)
    return config, folder


def as_csv(result: dict[str, Any]) -> str:
    """The pool as a tabular benchmark: one row per system."""
    systems = result["systems"]
    rows = [
        {
            "id": system["id"],
            "genes": " ".join(map(str, system["genes"])),
            **system["data"],
            "slice": system["slice"],
            **system["costs"],
            **{f"score_{name}": value for name, value in system["scores"].items()},
            **{
                f"alone_{on}_seed{seed}": value
                for on in ("search", "validation")
                for seed, value in zip(result["training_seeds"], system[f"alone_{on}"], strict=True)
            },
        }
        for system in systems
    ]
    return csv_of(rows)


def print_result(result: dict[str, Any]) -> None:
    """One table per slice: every score's tau with its interval, and what the supernet is above it."""
    columns = ("score", "Kendall's tau [95 %]", "supernet above it [90 %]", "Spearman", "regret of top 1, 3, 5")
    for name, part in result["parts"].items():
        low, high = map(sure, part["accuracy_range"], part["range_intervals"])
        title = f"{result['name']}, {name}: {part['systems']} systems, {low} to {high} trained alone"
        rows = []
        for score, figures in part["scores"].items():
            regrets = (figures.get(f"regret_at_{count}") for count in (1, 3, 5))
            rows.append(
                (
                    score,
                    f"{_number(figures['kendall_tau'])} {_range(figures['tau_interval'])}",
                    "" if score == "supernet" else _range(figures["supernet_minus_this_90"]),
                    _number(figures["spearman"]),
                    ", ".join(_number(regret, 3) for regret in regrets),
                    _number(figures.get("precision_at_5")),
                )
            )
        ceiling = part["ceiling"]
        if ceiling["kendall_tau"] is not None:
            text = f"{_number(ceiling['kendall_tau'])} {_range(ceiling['tau_interval'])}"
            rows.append(("another training", text, "", "", "", ""))
        print_rows(title, (*columns, "precision of top 5"), rows, left=1)


def _number(value: float | None, digits: int = 2) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _range(interval: list[float] | None) -> str:
    return "" if interval is None else f"[{interval[0]:.2f}, {interval[1]:.2f}]"
