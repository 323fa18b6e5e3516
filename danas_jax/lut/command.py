"""`danas lut measure | time | import | check`: the arguments, the files, what is printed."""

from __future__ import annotations

import argparse
import json
import math
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from danas_jax import disk
from danas_jax.bench.machine import machine
from danas_jax.console import say
from danas_jax.errors import Interrupted, UserError
from danas_jax.hardware import lut
from danas_jax.hardware.layer_key import OVERHEAD, Key
from danas_jax.hardware.lut import Row, Table
from danas_jax.lut import cases, measured
from danas_jax.lut.check import check
from danas_jax.lut.collect import collect
from danas_jax.lut.hosts import BOARD, HOSTS, Host
from danas_jax.lut.measured import Subnet
from danas_jax.lut.timer import MAX_PACE, Timer

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")  # of a board or runtime, which are part of a file's name


def main(arguments: list[str]) -> None:
    """Run `danas lut` with these arguments. Raises UserError for bad input, Interrupted when the user stops it."""
    parser = argparse.ArgumentParser("danas lut", description="Latency tables; docs/lut.md describes the files.")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def command(name: str, action: Callable[[argparse.Namespace], None], text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        sub.set_defaults(action=action)
        sub.add_argument("--debug", action="store_true", help="show the traceback of an error")
        return sub

    for name, action, text, count, seed in (
        ("measure", _measure, "time the layers of a search space one by one on this machine", 100, 0),
        ("time", _time, "time random networks of a search space end to end on this machine", 30, 1),
    ):
        sub = command(name, action, text)
        sub.add_argument("space", metavar="SPACE", help="a space of danas_jax/spaces.py, or a CONFIG")
        sub.add_argument("--runtime", default="host-tflm", help=" or ".join(HOSTS))
        sub.add_argument("--networks", type=int, default=count, help=f"random networks of the space ({count})")
        sub.add_argument("--classes", type=int, default=2, help="of the classifier (2)")
        sub.add_argument("--seed", type=int, default=seed, help=f"of the random networks ({seed})")
        sub.add_argument(
            "--minutes", type=float, default=30.0, help="stop after so long (30); the same command goes on"
        )
        sub.add_argument("--out", help="the file to write, or to go on with", required=name == "time")
    sub = command("import", _import, "make a table of your own measurements")
    sub.add_argument("measurements", metavar="MEASUREMENTS", help="CSV: op, input, output, kernel, stride, padding, ms")
    sub.add_argument("--board", required=True, help="the board's name")
    sub.add_argument("--runtime", default="tflm", help="the runtime's name (tflm)")
    sub.add_argument("--out", help="the file to write")
    sub = command("check", _check, "compare a table's predictions with networks timed end to end")
    sub.add_argument("table", metavar="TABLE")
    sub.add_argument("measured", metavar="MEASURED", help="CSV: model, or space, classes and genes; ms")
    sub.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args(arguments)
    options.action(options)


def _default_path(board: str, runtime: str) -> Path:
    return Path("lut", f"{board}-{runtime}.csv")


def _start(options: argparse.Namespace) -> Host:
    """The runtime of `measure` and `time`, once their numbers are checked."""
    if options.runtime not in HOSTS:
        raise UserError(f"--runtime = {options.runtime!r}: give {' or '.join(HOSTS)}")
    for flag in ("networks", "classes", "minutes"):
        if not 0 < getattr(options, flag) < math.inf:
            raise UserError(f"--{flag} = {getattr(options, flag)}: give a positive number")
    if options.seed < 0:
        raise UserError(f"--seed = {options.seed}: give 0 or more")
    host = HOSTS[options.runtime]
    host.start(cases.tflite(cases.REFERENCE))  # a missing package shows before anything is timed
    return host


def _check_same(path: Path, header: Mapping, host: Host) -> None:
    """UserError when the file that is gone on with was measured with something else than is here now."""
    here = {"board": BOARD, "runtime": host.runtime, "processor": machine()["processor"], **host.describe()}
    theirs, reference_ms = header.get("machine"), header.get("reference_ms")
    there = {**header, "processor": theirs.get("processor") if isinstance(theirs, dict) else None}
    for field, value in here.items():
        if there.get(field) != value:
            raise UserError(f"{path}: {field} is {there.get(field)!r}, here it is {value!r}; give another --out")
    if not isinstance(reference_ms, int | float) or not 0 < reference_ms < math.inf:
        raise UserError(f"{path}: reference_ms is {reference_ms!r}, not a time in ms; give another --out")


def _collect(
    todo: Mapping, rows: dict, host: Host, header: Mapping, path: Path, minutes: float, text: Callable
) -> None:
    """Time `todo` into `rows` and keep `text(header)` of them in the file, so that a break loses little.

    `header` is that of the file that is gone on with.
    """
    pace_ms = header.get("reference_ms", math.inf)
    timer = Timer(HOSTS["host-tflm"].start(cases.tflite(cases.REFERENCE)), pace_ms)
    here = {"board": BOARD, "runtime": host.runtime, "machine": machine(), **host.describe()}

    def save() -> None:
        if rows:
            disk.write_text(path, text({**here, "reference_ms": round(timer.best_ms, 6)}))

    try:
        done = collect(todo, rows, timer, host, pace_ms, time.monotonic() + 60 * minutes, save)
    except KeyboardInterrupt:
        raise Interrupted from None
    if not done:
        timed = sum(case in rows for case in todo)
        say(f"time is up after {minutes:g} min: {timed} of {len(todo)} timed; the same command goes on")
    if not rows:
        return
    spread = 100 * np.quantile([row.spread for row in rows.values()], (0.5, 0.9))
    say(f"{path}: {len(rows)} rows; readings of one differ by {spread[0]:.1f} % (median), {spread[1]:.1f} % (90 %)")
    unsteady = sum(not row.readings for row in rows.values())
    if unsteady:
        say(f"{unsteady} rows are estimates: other work always disturbed them; the same command tries them again")


def _shifted(rows: Mapping[Key, Row], sign: int) -> dict[Key, Row]:
    """Times of layers with (1) or without (-1) the overhead of an inference, which a file of one layer has, too."""
    overhead = rows.get(Key(OVERHEAD), Row(0.0)).ms
    return {
        key: row if key.op == OVERHEAD else replace(row, ms=max(row.ms + sign * overhead, 0.0))
        for key, row in rows.items()
    }


def _measure(options: argparse.Namespace) -> None:
    host = _start(options)
    path = Path(options.out or _default_path(BOARD, host.runtime))
    table = Table(BOARD, host.runtime, {})
    if path.exists():
        table = lut.load(path)
        _check_same(path, {**table.info, "board": table.board, "runtime": table.runtime}, host)
    rows = _shifted(table.rows, 1)
    space = cases.find_space(options.space)
    todo = cases.layer_cases(space, options.classes, options.networks, options.seed)
    say(f"{len(todo) - 1} different layers of {space.name}, timed with {options.runtime}")

    def text(header: dict) -> str:
        return lut.text(Table(BOARD, host.runtime, _shifted(rows, -1), info=header))

    _collect(todo, rows, host, table.info, path, options.minutes, text)


def _time(options: argparse.Namespace) -> None:
    measured.refuse_code(options.space, "SPACE")
    host = _start(options)
    path = Path(options.out)
    header, known = measured.read(path) if path.exists() else ({}, {})
    if header or known:
        _check_same(path, header, host)
    rows = {network: row for network, row in known.items() if isinstance(network, Subnet)}
    if len(rows) < len(known):
        raise UserError(f"{path}: holds times of .tflite files, which this command does not take; give another --out")
    space = cases.find_space(options.space)
    todo = {
        Subnet(options.space, options.classes, tuple(genes.tolist())): space.layers(genes, options.classes)
        for genes in cases.random_genes(space, options.networks, options.seed)
    }
    say(f"{len(todo)} networks of {space.name}, timed with {options.runtime}")
    _collect(todo, rows, host, header, path, options.minutes, lambda header: measured.text(header, rows))


def _import(options: argparse.Namespace) -> None:
    for flag in ("board", "runtime"):
        if not NAME.fullmatch(getattr(options, flag)):
            raise UserError(f"--{flag} = {getattr(options, flag)!r}: give letters, digits, '-', '_' and '.'")
    path = Path(options.out or _default_path(options.board, options.runtime))
    if path.exists():
        raise UserError(f"{path} is there already: remove it, or give another --out")
    header, rows = lut.read_rows(options.measurements)
    for flag in ("board", "runtime"):
        if header.get(flag, getattr(options, flag)) != getattr(options, flag):
            raise UserError(f"{options.measurements}: {flag} is {header[flag]!r}, not {getattr(options, flag)!r}")
    info = {**header, "imported_from": Path(options.measurements).name}
    table = Table(options.board, options.runtime, rows, info=info)
    disk.write_text(path, lut.text(table))
    say(f"{path}: {len(rows)} rows of {', '.join(sorted(table.operators))}")
    if Key(OVERHEAD) not in rows:
        say(f"no row {OVERHEAD}: the fixed time of an inference counts as 0")


def _check(options: argparse.Namespace) -> None:
    result = check(options.table, options.measured)
    if options.json:
        print(json.dumps(result, indent=2, allow_nan=False))
        return
    table = result["table"]
    say(f"{options.table}: {table['board']}, {table['runtime']}, {table['rows']} rows; {result['networks']} networks")
    shares = (100 * result[f"{source}_share"] for source in (lut.LOOKED_UP, lut.INTERPOLATED, lut.FALLBACK))
    say("looked up {:.1f} % of the predicted time, interpolated {:.1f} %, fallen back {:.1f} %".format(*shares))
    if result["fallback_share"]:
        say(f"fallback: {result['fallback_basis']}")
    estimates = result["estimated_rows"], result["estimated_networks"]
    if any(estimates):
        say("{} of the table's rows and {} of the networks are estimates: other work disturbed them".format(*estimates))
    if result["pace"] and not 1 / MAX_PACE <= result["pace"] <= MAX_PACE:
        say(
            f"the machine was not the same: a reference inference took {result['pace']:.2f} times as long when the "
            "networks were timed as when the table was; measure both again, one after the other"
        )
    say(f"{'error':<21}{'median':>9}{'mean':>9}{'largest':>9}{'within 10 %':>13}{'Kendall tau':>13}")
    for title, part in (("lookup table", "lookup"), ("line over MACs *", "macs_line")):
        row = result[part]
        errors = "".join(f"{row[f'error_{name}_pct']:>7.1f} %" for name in ("median", "mean", "max"))
        tau = "-" if row["kendall_tau"] is None else f"{row['kendall_tau']:.3f}"
        say(f"{title:<21}{errors}{100 * row['hit_rate']:>11.1f} %{tau:>13}")
    say("* fitted to the measured networks themselves, each one left out in turn")
