"""`danas cost`: what a network needs on a board: a .tflite file, a run's candidate, a reference. Starts without jax."""

from __future__ import annotations

import argparse
import csv
import io
import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from danas_jax import npz, untrusted
from danas_jax.baselines import REFERENCES, baseline_layers
from danas_jax.config_io import read_config
from danas_jax.errors import UserError
from danas_jax.hardware import boards, lut, runtimes, tflite_reader
from danas_jax.hardware.figures import Setting, figures
from danas_jax.hardware.graph import Graph, from_layers
from danas_jax.report.reference_table import COLUMNS, reference_figures, reference_graph, reference_rows

SCHEMA_VERSION = 1
USAGE = "danas cost MODEL.tflite|RUN/ID|REFERENCE|--references [--board NAME] [--layers] [--json] [flags]"
MAX_CLASSES = 65_536
NAME_LENGTH = 40  # of a tensor in a line of text
MODEL_NAME = "model_int8.tflite"  # of an exported network


def cost_command(arguments: list[str]) -> None:
    """Run `danas cost` with these arguments and print the figures; UserError on bad input, and after the figures of a
    network that does not fit the board."""
    parser = argparse.ArgumentParser("danas cost", usage=USAGE, description="What a network needs on a board.")
    parser.add_argument(
        "network",
        metavar="MODEL.tflite|RUN/ID|REFERENCE",
        nargs="?",
        help="an int8 file, a run's folder and a candidate or baseline, or a published network's name",
    )
    parser.add_argument("--references", action="store_true", help="all published networks, a line each")
    parser.add_argument("--board", help="say whether it fits this board (`danas boards` lists them)")
    parser.add_argument("--runtime", default="tflm", help=f"{', '.join(runtimes.RUNTIMES)} (tflm)")
    parser.add_argument("--lut", metavar="TABLE", help="latency by a table of measured layers (`danas lut`)")
    parser.add_argument("--patches", action="store_true", help="tinyengine: the patch-based execution of least RAM")
    parser.add_argument(
        "--camera-px", type=int, default=0, help="count a camera's frame of this height and the input's aspect, resized"
    )
    parser.add_argument("--camera-grey", action="store_true", help="that camera delivers grey to a mono network")
    parser.add_argument("--layers", action="store_true", help="a line per operator")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text; holds the operators, too")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    options = parser.parse_args(arguments)
    if options.camera_px < 0:
        raise UserError(f"--camera-px = {options.camera_px}: give the height of a frame, in pixels")
    setting = Setting(
        runtimes.runtime(options.runtime),
        boards.board(options.board) if options.board else None,
        lut.load(options.lut) if options.lut else None,
        options.patches,
        options.camera_px,
        options.camera_grey,
    )
    if options.references == (options.network is not None):
        raise UserError(f"give a network or --references: {USAGE}")
    if options.references:
        every = reference_figures(setting)
        lines = [*_aligned(reference_rows(every), (0, 1, len(COLUMNS), len(COLUMNS) + 1))]
        print(_json({"references": every}) if options.json else "\n".join(lines))
        return
    found = figures(read_network(options.network), setting)
    if options.json:
        print(_json({"network": options.network, **found}))
    else:
        print("\n".join([*_summary(options.network, found), *(_table(found["layers"]) if options.layers else [])]))
    require_fit(found, options.network)


def _json(found: dict[str, Any]) -> str:
    return json.dumps({"schema_version": SCHEMA_VERSION, **found}, indent=2)


def require_fit(found: dict[str, Any], name: str) -> None:
    """UserError where the figures of the network `name` exceed the memory of the board that they are of, if any."""
    if found["fits"] and not found["fits"]["fits"]:
        text = _fit(found).removeprefix("NO: ")
        raise UserError(f"{name}: does not fit {found['board']}: {text}")


def read_network(name: str) -> Graph:
    """The graph of a .tflite file, of an export's folder, of RUN/ID (its exported file, else by its genes or, of a
    baseline, its table), or of a reference by its name.

    Raises UserError where there is no such file, run or candidate, or the file is no int8 network that can be read.
    """
    path = Path(name)
    run = path.parent
    if not path.exists() and name in (known := {baseline.name: baseline for baseline in REFERENCES}):
        return reference_graph(known[name])
    if path.is_dir() and (path / MODEL_NAME).exists():
        return tflite_reader.read(path / MODEL_NAME)
    if path.is_file() or not (run / "config.json").is_file():
        if path.is_dir():
            hint = (
                f"give a candidate of it: {name}/ID" if (path / "config.json").is_file() else f"it has no {MODEL_NAME}"
            )
            raise UserError(f"{name}: is a folder; {hint}")
        return tflite_reader.read(path)
    exported = run / "export" / path.name / MODEL_NAME
    if exported.exists():
        return tflite_reader.read(exported)
    config = read_config(run / "config.json")
    space = config.space
    classes = partial(_classes, run, space.layers(space.min_genes, 1)[-1].name)
    for baseline in config.baselines:
        if baseline.name == path.name:
            return from_layers(baseline_layers(baseline, space.view, classes()))
    return from_layers(space.layers(space.check(_genes(run, path.name)), classes()))


def _genes(run: Path, candidate: str) -> np.ndarray:
    """Genes int64 [G] of one of the run's evaluated candidates."""
    table = run / "search" / "evaluations.csv"
    try:
        text = untrusted.read_bytes(table, untrusted.MAX_TABLE_BYTES).decode()
        reader = csv.DictReader(io.StringIO(text, newline=""))
        try:
            rows = {row["id"]: row["genes"] for row in reader}
        except csv.Error as error:
            raise UserError(f"{table}, line {reader.line_num}: {error}; search again") from error
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise UserError(f"{table}: cannot be read ({why}); `danas search` writes it") from error
    except KeyError as error:
        raise UserError(f"{table}: has no column {error}; search again") from error
    if candidate not in rows:
        raise UserError(f"{run}/{candidate}: no such candidate; column id of {table} has {len(rows)}")
    genes = rows[candidate] or ""
    if not all(gene.isdecimal() and len(gene) < 10 for gene in genes.split()):
        raise UserError(f"{table}: {candidate}: genes = {genes!r}: whole numbers are right; search again")
    return np.array([int(gene) for gene in genes.split()], np.int64)


def _classes(run: Path, last_layer: str) -> int:
    """How many classes the run's networks tell apart, by the bias of its supernet's last layer."""
    weights = run / "supernet" / "weights.npz"
    try:
        with npz.opened(weights) as stored:
            shape, _ = stored.header(f"{last_layer}/bias")
    except UserError as error:
        raise UserError(f"{error}; `danas train` writes it") from error
    if len(shape) != 1 or not 1 <= shape[0] <= MAX_CLASSES:
        raise UserError(f"{weights}: {last_layer}/bias is {shape}: one number a class is right; train again")
    return shape[0]


def _kb(size: float) -> str:
    return f"{size / 1024:.1f} kB"


def _short(name: str) -> str:
    """The end of a tensor's name: converters join the names of everything that they fuse."""
    return name if len(name) <= NAME_LENGTH else f"...{name[3 - NAME_LENGTH :]}"


def _summary(name: str, found: dict[str, Any]) -> list[str]:
    """The figures as lines of text; kB of 1,024 B."""
    flash, worst, patching = found["flash"], found["bottleneck"], found["patching"]
    place = f"{found['runtime']} on {found['board']}" if found["board"] else f"{found['runtime']} (no --board given)"
    ram = f"{_kb(found['ram_bytes'])}, within {found['ram_error_percent']:g} % of published figures"
    if found["arena_host_bytes"] is not None:
        ram += f" (on this 64-bit host {_kb(found['arena_host_bytes'])}, exact)"
    lines = [
        f"{name}: {found['operators']} operators, {found['macs'] / 1e6:.3f} M MACs, {found['params']:,} parameters",
        f"  runtime     {place}; {found['source']}",
        f"  RAM         {ram}",
        f"  live peak   {_kb(worst['live_bytes'])} at operator {worst['operator']}, {worst['op']}: "
        + ", ".join(map(_short, worst["live_tensors"])),
        f"  flash       {_kb(flash['file_bytes'])} the file, {_kb(flash['weight_bytes'])} its weights, "
        f"{_kb(flash['code_bytes'])} with the runtime's code"
        + ("" if found["flash_error_percent"] is None else f" (within {found['flash_error_percent']:g} %)"),
        f"  latency     {_latency(found)}",
    ]
    if patching:
        lines.append(
            f"  patches     the first {patching['operators']} operators in {patching['patches']} patches "
            f"per side: {patching['latency_factor']:.2f} x the MACs"
        )
    if found["input_pipeline_bytes"]:
        frame = _kb(found["input_pipeline_bytes"])
        lines.append(f"  camera      {frame}, {found['input_pipeline_ms']:.1f} ms (estimate): a frame and its resize")
    if found["energy_mj"] is not None:
        lines.append(f"  energy      {found['energy_mj']:.2f} mJ")
    if found["fits"]:
        lines.append(f"  fits        {_fit(found)}")
    return lines


def _latency(found: dict[str, Any]) -> str:
    if found["latency_ms"] is None:
        return found["latency_basis"]
    text = f"{found['latency_ms']:.2f} ms; {found['latency_basis']}"
    if found["latency_shares"]:
        shares = (f"{share:.1%} {name.replace('_', ' ')}" for name, share in found["latency_shares"].items())
        text += f": {', '.join(shares)}"
    return text


def _fit(found: dict[str, Any]) -> str:
    """`yes: SRAM ...; flash ...`."""
    fits = found["fits"]
    parts = []
    for key, label in (("sram", "SRAM with the reserve"), ("flash", "flash with code")):
        one = fits[key]
        over = "" if one["fits"] else f", {_kb(one['need_bytes'] - one['limit_bytes'])} too much"
        parts.append(f"{label} {_kb(one['need_bytes'])} of {_kb(one['limit_bytes'])}{over}")
    return f"{'yes' if fits['fits'] else 'NO'}: {'; '.join(parts)}"


def _table(layers: list[dict[str, Any]]) -> list[str]:
    """A line per operator."""
    rows = [("", "operator", "output", "shape", "MACs", "live bytes", "ms")]
    for layer in layers:
        shape = " x ".join(map(str, layer["shape"][1:]))
        time = "-" if layer["latency_ms"] is None else f"{layer['latency_ms']:.3f} {layer['latency_source']}"
        figures = f"{layer['macs']:,}", f"{layer['live_bytes']:,}", time
        rows.append((str(layer["operator"]), layer["op"], _short(layer["output"]), shape, *figures))
    return ["", *_aligned(rows, left=(1, 2, 3))]


def _aligned(rows: list[tuple[str, ...]], left: tuple[int, ...]) -> list[str]:
    """Rows of texts as lines; the columns `left` begin alike, the others end alike."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            f"{cell:{'<' if i in left else '>'}{width}}"
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
