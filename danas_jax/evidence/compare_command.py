"""`danas compare`: does choosing the data with the architecture pay, on one's own data? Starts without jax."""

from __future__ import annotations

import argparse
import csv
import io
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from danas_jax import config_io, run
from danas_jax.config import Config, Limits, native_frame, native_resolution_px
from danas_jax.console import say
from danas_jax.errors import UserError
from danas_jax.evidence.rows import JOINT, costliest, data_from_text, usual_fixed, usual_height_px
from danas_jax.report.blocks import Axis, Chart, Point, Series
from danas_jax.report.svg import svg
from danas_jax.views.image import ImageView

ROWS = ("fixed", "random", "time", "no-supernet", "references")
_NEAR_BYTES = 64 * 1024  # the budget of the time grid is the one nearest to this, unless --full


def compare_command(arguments: list[str]) -> dict[str, Any]:
    """Run `danas compare` with these arguments, print the tables and return the result (compare.json)."""
    parser = argparse.ArgumentParser(
        "danas compare CONFIG",
        description="The joint search beside the same search with its data fixed, beside random search, beside "
        "search without a supernet, and beside published networks: equal effort, equal limits, int8 test accuracy.",
        add_help=False,
        allow_abbrev=False,
    )
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS), help="beside the joint search (all)")
    parser.add_argument(
        "--fixed", metavar="AXIS=VALUE,...", action="append", default=[],
        help="a data configuration to fix, axes left out are at their costliest; may be given several times "
        "(else, of pictures: 96 px rgb, and of the common ones the best by the joint search; the costliest)",
    )  # fmt: skip
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="(0 1 2)")
    parser.add_argument("--shares", type=float, nargs="+", default=[0.25, 0.5], help="of the search time (0.25 0.5)")
    parser.add_argument("--full", action="store_true", help="every common configuration, all seeds and budgets in all")
    parser.add_argument("--out", type=Path, help="where rows and results are kept (<run dir>-compare)")
    parser.add_argument("--runs", type=Path, help="where the rows' runs live, which take gigabytes (<out>/runs)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    if any(a in ("-h", "--help") for a in arguments):
        print(parser.format_help())
    options, rest = parser.parse_known_args(arguments)
    if len(set(options.seeds)) < len(options.seeds):
        raise UserError(f"--seeds = {options.seeds}: give different ones")
    if any(not 0 < share < 1 for share in options.shares):
        raise UserError(f"--shares = {options.shares}: give shares between 0 and 1")
    config = _config(rest)
    folder = options.out or Path(f"{run.run_directory(config)}-compare")
    result = _compare(config, options, folder)
    run.write_json(folder / "compare.json", result)
    run.write_text(folder / "compare.csv", as_csv(result))
    for name, text in figures(result).items():
        run.write_text(folder / name, text)
    if options.json:
        print(json.dumps(result, indent=2))
    else:
        print_result(result)
        print(f"results: {folder}/compare.json, compare.csv, accuracy_over_budget.svg, accuracy_over_time.svg")
    return result


def _config(arguments: list[str]) -> Config:
    from danas_jax import overrides
    from danas_jax.config_checks import validate

    named = bool(arguments) and not arguments[0].startswith("-")
    config = config_io.load_config(arguments[0]) if named else Config(name="CONFIG")
    config = overrides.parse_flags(config, arguments[1:] if named else arguments, "danas compare CONFIG")
    if not named:
        raise UserError("give the CONFIG first: danas compare CONFIG [flags]")
    validate(config)
    return config


def _compare(config: Config, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    from danas_jax import runtime
    from danas_jax.data.dataset import open_data
    from danas_jax.evidence.compare import Asked, run_rows  # brings jax
    from danas_jax.evidence.rows import Planner, fitting_references
    from danas_jax.evidence.summary import summary
    from danas_jax.hardware import boards, run_tables

    runtime.keep_compiled_programs()
    boards.remember(config.boards)
    tables = run_tables.load(config.latency_tables, config.budgets)
    data = open_data(config.data, native_frame(config), config.seed)
    if "references" in options.rows:
        more = fitting_references(config, len(data.class_names))
        config = replace(config, baselines=(*config.baselines, *more))
    planner = Planner(config, len(data.items["train"]), len(data.class_names), tables)
    asked = _asked(config, options, Asked)
    say(_plan_text(asked, config))
    with run.exclusive(folder):
        results = list(run_rows(planner, asked, folder, options.runs or folder / "runs"))
    return {"name": config.name, "seeds": options.seeds, **summary(results, config.budgets, config.seed)}


def _asked(config: Config, options: argparse.Namespace, kind: type) -> Any:
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
    return kind(
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


def _plan_text(asked: Any, config: Config) -> str:
    """What is about to be run: supernets and retrainings, in image views, before anything starts."""
    fixed = len(asked.fixed) or 1
    per_seed = 1 + ("fixed" in asked.rows) * fixed
    extra = len(asked.extra_seeds) * ("time" in asked.rows) * len(asked.shares) * 2
    supernets, count = len(asked.seeds) * per_seed + extra, len(config.budgets)
    retrained = count * (len(asked.seeds) * (per_seed + ("random" in asked.rows))) + extra
    return (
        f"compare: about {supernets} supernets of {config.train.epochs} epochs each at {count} budgets, and "
        f"{retrained} networks retrained for {config.retrain.epochs} epochs; finished rows are not run again"
    )


def as_csv(result: dict[str, Any]) -> str:
    """One row for each cell of the table."""
    out = io.StringIO()
    names = ("budget", "row", "sees", "seeds", "int8_test", "low", "high", "int8_validation", "joint_minus_this")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow((*names, "difference_low", "difference_high"))
    for cell in result["cells"]:
        low, high = cell["int8_test_interval"]
        gain = cell["joint_minus_this"]
        against = (gain["difference"], *gain["interval"]) if gain else ("", "", "")
        values = (cell["seeds"], cell["int8_test"], low, high, cell["int8_validation"], *against)
        writer.writerow((result["budgets"][cell["budget"]], cell["row"], "; ".join(cell["sees"]), *map(_short, values)))
    return out.getvalue()


def _short(value: Any) -> Any:
    return round(value, 4) if isinstance(value, float) else value


def print_result(result: dict[str, Any]) -> None:
    """The table, the joint search's average gain over each row, and what fits nothing."""
    console = Console(soft_wrap=False)
    if not console.is_terminal:
        console = Console(file=console.file, width=140)
    table = Table(title=f"{result['name']}: int8 test accuracy", box=box.SIMPLE_HEAVY, title_justify="left")
    columns = ("budget", "row", "sees", "int8 test [95 %]", "int8 val.", "seeds", "joint minus this, points [95 %]")
    for i, column in enumerate(columns):
        table.add_column(column, justify="left" if i < 3 else "right", overflow="fold")
    for cell in result["cells"]:
        low, high = cell["int8_test_interval"]
        table.add_row(
            result["budgets"][cell["budget"]],
            cell["row"] + (" (best fixed)" if cell["is_best_fixed"] else ""),
            ", ".join(cell["sees"]),
            f"{cell['int8_test']:.3f} [{low:.3f}, {high:.3f}]",
            f"{cell['int8_validation']:.3f}",
            str(cell["seeds"]),
            _points(cell["joint_minus_this"]) if cell["joint_minus_this"] else "",
        )
    console.print(table)
    for entry in result["nothing_fits"]:
        text = f"{result['budgets'][entry['budget']]}, {entry['row']}: nothing fits ({entry['needs']})"
        console.print(text, markup=False, highlight=False)
    for row, gain in result["averages"].items():
        text = f"{JOINT} minus {row}, mean over {len(gain['budgets'])} budgets: {_points(gain)} points"
        console.print(text, markup=False, highlight=False)


def _points(gain: dict[str, Any]) -> str:
    low, high = gain["interval"]
    return f"{100 * gain['difference']:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"


def figures(result: dict[str, Any]) -> dict[str, str]:
    """{file name: SVG}: accuracy over the measured arena, and over the time of the search."""
    over_budget: dict[str, list[Point]] = {}
    for cell in result["cells"]:
        text = f"{cell['row']}, {', '.join(cell['sees'])}: {cell['int8_test']:.3f}"
        over_budget.setdefault(cell["row"], []).append(Point(max(cell["arena_bytes"]), cell["int8_test"], text))
    over_time: dict[str, list[Point]] = {}
    for entry in result["times"]:
        text = f"{entry['row']}, {result['budgets'][entry['budget']]}, {entry['share']:g} of the time"
        point = Point(entry["search_minutes"], entry["int8_test"], f"{text}: {entry['int8_test']:.3f}")
        over_time.setdefault(entry["row"], []).append(point)
    return {
        "accuracy_over_budget.svg": _figure(over_budget, Axis("arena, measured [kB]", per=1024)),
        "accuracy_over_time.svg": _figure(over_time, Axis("search [min]")),
    }


def _figure(rows: dict[str, list[Point]], x: Axis) -> str:
    series = [
        Series(name, sorted(points), style=i, line=True, radius=5.0) for i, (name, points) in enumerate(rows.items())
    ]
    y = Axis("int8 test accuracy")
    return svg(Chart("compare", f"{y.label} over {x.label}", x, y, series))
