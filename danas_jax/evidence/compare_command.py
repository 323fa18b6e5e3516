"""`danas compare`: does choosing the data with the architecture pay, on one's own data? Starts without jax."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from danas_jax import disk, overrides, own_flags, run
from danas_jax.csv_text import csv_text
from danas_jax.errors import UserError
from danas_jax.evidence import JOINT
from danas_jax.report.blocks import Axis, Chart, Point, Series
from danas_jax.report.svg import svg
from danas_jax.report.table import points_text, print_rows, sure

ROWS = ("fixed", "random", "time", "no-supernet", "references")


def compare_command(arguments: list[str]) -> dict[str, Any]:
    """Run `danas compare` with these arguments, print the tables and return the result (compare.json)."""
    parser = own_flags.parser(
        "danas compare CONFIG",
        "The joint search beside the same search with its data fixed, beside random search, beside search without a "
        "supernet, and beside published networks: equal effort, equal limits, int8 test accuracy.",
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
    options, rest = own_flags.split(parser, arguments)
    if len(set(options.seeds)) < len(options.seeds):
        raise UserError(f"--seeds = {options.seeds}: give different ones")
    if any(not 0 < share < 1 for share in options.shares):
        raise UserError(f"--shares = {options.shares}: give shares between 0 and 1")
    config = overrides.config_of(rest, "compare")
    folder = options.out or Path(f"{run.run_directory(config)}-compare")
    from danas_jax.evidence.comparison import compare  # brings jax

    result = compare(config, options, folder)
    disk.write_json(folder / "compare.json", result)
    disk.write_text(folder / "compare.csv", as_csv(result))
    for name, text in figures(result).items():
        disk.write_text(folder / name, text)
    if options.json:
        print(json.dumps(result, indent=2))
    else:
        print_result(result)
        print(f"results: {folder}/compare.json, compare.csv, accuracy_over_budget.svg, accuracy_over_time.svg")
    return result


def as_csv(result: dict[str, Any]) -> str:
    """One row for each cell of the table."""
    names = ("budget", "row", "sees", "seeds", "int8_test", "low", "high", "int8_validation", "joint_minus_this")
    lines: list[tuple] = [(*names, "difference_low", "difference_high")]
    for cell in result["cells"]:
        low, high = cell["int8_test_interval"]
        gain = cell["joint_minus_this"]
        against = (gain["difference"], *gain["interval"]) if gain else ("", "", "")
        values = (cell["seeds"], cell["int8_test"], low, high, cell["int8_validation"], *against)
        lines.append((result["budgets"][cell["budget"]], cell["row"], "; ".join(cell["sees"]), *map(_short, values)))
    return csv_text(lines)


def _short(value: Any) -> Any:
    return round(value, 4) if isinstance(value, float) else value


def print_result(result: dict[str, Any]) -> None:
    """The table, the joint search's average gain over each row, and what fits nothing."""
    columns = (
        "budget",
        "row",
        "sees",
        "int8 test [95 %]",
        "int8 val. [95 %]",
        "seeds",
        "joint minus this, points [95 %]",
    )
    rows = []
    for cell in result["cells"]:
        rows.append(
            (
                result["budgets"][cell["budget"]],
                cell["row"] + (" (best fixed)" if cell["is_best_fixed"] else ""),
                ", ".join(cell["sees"]),
                *(sure(cell[on], cell[f"{on}_interval"]) for on in ("int8_test", "int8_validation")),
                str(cell["seeds"]),
                points_text(cell["joint_minus_this"]) if cell["joint_minus_this"] else "",
            )
        )
    console = print_rows(f"{result['name']}: int8 test accuracy", columns, rows, left=3)
    for entry in result["nothing_fits"]:
        text = f"{result['budgets'][entry['budget']]}, {entry['row']}: nothing fits ({entry['needs']})"
        console.print(text, markup=False, highlight=False)
    for row, gain in result["averages"].items():
        text = f"{JOINT} minus {row}, mean over {len(gain['budgets'])} budgets: {points_text(gain)} points"
        console.print(text, markup=False, highlight=False)


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
