"""Does choosing data and architecture together pay? One config, and the same search with its data configuration fixed.

Each row is a whole run of its own (supernet, search, retraining, int8, test), by the same recipe and limits: `joint`
searches both; `highest` has the costliest value of every data axis, where something of it fits; each --fixed one more
configuration, say a common default. Runs resume, finished ones are read, so the same command goes on.

    python benchmarks/fixed_data.py uci_har --path DIR --fixed rate_hz=50,window_s=2.56,sensors=acc --seeds 0
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import os
from pathlib import Path

from danas_jax import cli, pipeline, run
from danas_jax.config import Config
from danas_jax.config_checks import validate
from danas_jax.config_io import load_config
from danas_jax.errors import UserError
from danas_jax.views import data_text
from danas_jax.views.base import DataConfig, View

FIELDS = (
    *("config", "seed", "data", "sram_limit_bytes", "network", "kind", "sees", "macs", "arena_bytes", "file_bytes"),
    *("int8_validation", "int8_test", "test_low", "test_high", "minutes"),
)


def costliest(view: View) -> DataConfig:
    """The last value of every axis."""
    return view.data(**{axis.name: axis.values[-1] for axis in view.axes})


def parsed(view: View, text: str) -> DataConfig:
    """`rate_hz=50,sensors=acc` as a data configuration; UserError for another axis."""
    given = dict(entry.partition("=")[::2] for entry in text.split(","))
    kinds = {axis.name: type(axis.values[0]) for axis in view.axes}
    if set(given) != set(kinds):
        raise UserError(f"--fixed {text}: give {', '.join(kinds)}")
    return view.data(**{name: kinds[name](value) for name, value in given.items()})


def rows_of(config: Config, folder: Path, name: str) -> list[dict]:
    """A finished run's networks."""
    summary = run.read_json(folder / "summary.json")
    minutes = sum(summary["times_s"].values()) / 60
    return [
        {
            "config": config.name,
            "seed": config.seed,
            "data": name,
            "sram_limit_bytes": (entry["budget"] or {}).get("sram_bytes"),
            "network": entry["name"],
            "kind": entry["kind"],
            "sees": data_text(entry["data"]),
            "macs": entry["predicted"]["macs"],
            "arena_bytes": entry["measured"]["arena_bytes"],
            "file_bytes": entry["measured"]["file_bytes"],
            "int8_validation": round(entry["accuracy"]["int8_validation"], 4),
            "int8_test": round(entry["accuracy"]["int8_test"], 4),
            "test_low": round(entry["accuracy"]["int8_test_interval"][0], 4),
            "test_high": round(entry["accuracy"]["int8_test_interval"][1], 4),
            "minutes": round(minutes, 1),
        }
        for entry in summary["finalists"]
    ]


def main() -> None:
    """Run what is missing and write every finished run's networks to the CSV."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", metavar="CONFIG", help="a shipped config, a .py file")
    parser.add_argument("--path", required=True, help="data.path")
    parser.add_argument("--fixed", metavar="AXIS=VALUE,...", action="append", default=[], help="one more row")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--runs", type=Path, default=Path("runs/fixed_data"))
    parser.add_argument("--out", type=Path, help="benchmarks/results/fixed_data_<config>.csv, unless given")
    options = parser.parse_args()
    config = load_config(options.config)
    config = dataclasses.replace(
        config, data=dataclasses.replace(config.data, path=os.path.abspath(os.path.expanduser(options.path)))
    )
    view = config.space.view
    fixed = {"highest": costliest(view)} | {text: parsed(view, text) for text in options.fixed}
    ways = {"joint": view} | {name: view.only(data) for name, data in fixed.items()}
    rows = []
    for seed in options.seeds:
        for name, chosen in ways.items():
            label = name if name in ("joint", "highest") else data_text(dataclasses.asdict(fixed[name]))
            folder = options.runs / f"{config.name}_{label.replace(' ', '').replace(',', '_')}_seed{seed}"
            space = dataclasses.replace(config.space, view=chosen)
            one = dataclasses.replace(config, seed=seed, run_dir=str(folder), space=space)
            if name != "joint":  # those are the same in each row
                one = dataclasses.replace(one, baselines=())
            validate(one)
            print(f"== {config.name}, seed {seed}, {label}", flush=True)
            try:
                with run.opened(one):
                    pipeline.run_phases(one, cli.PHASES, folder)
            except UserError as error:  # a board too small for the highest fidelity is an answer, too
                if "nothing fits" not in str(error):
                    raise
                print(error, flush=True)
                continue
            rows += rows_of(one, folder, label)
    out = options.out or Path(f"benchmarks/results/fixed_data_{config.name}.csv")
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("w", newline="") as file:
        writer = csv.DictWriter(file, FIELDS)
        writer.writeheader()
        writer.writerows(rows)
    print(out.read_text())


if __name__ == "__main__":
    main()
