"""`danas evaluate`: an int8 classifier's .tflite file on examples of known class. Starts without jax."""

from __future__ import annotations

import argparse
import json
import math

from danas_jax.console import Progress
from danas_jax.data.splits import SPLIT_NAMES
from danas_jax.deploy.classifier import Normalisation
from danas_jax.deploy.evaluate import Given, Subject, evaluate, read_subject
from danas_jax.errors import UserError
from danas_jax.hardware import boards, runtimes
from danas_jax.hardware.figures import Setting
from danas_jax.hardware.figures import figures as cost_figures
from danas_jax.report.blocks import TextTable
from danas_jax.report.cost_command import require_fit
from danas_jax.report.quality import overall_table, point_text, tables
from danas_jax.views.frame import FITS

SCHEMA_VERSION = 1
USAGE = "danas evaluate RUN_OR_TFLITE DATA [--split NAME] [--board NAME] [--json] [flags]"
SPLITS = tuple(dict.fromkeys(SPLIT_NAMES.values()))


def evaluate_command(arguments: list[str]) -> None:
    """Run `danas evaluate` with these arguments and print the figures; UserError on bad input."""
    options = _parser().parse_args(arguments)
    subject = read_subject(options.model, _given(options))
    if options.board:
        setting = Setting(runtimes.TFLM, boards.board(options.board))
        require_fit(cost_figures(subject.model.graph, setting), str(subject.path))
    fields = tuple(options.slice_fields)
    if options.json:
        found = evaluate(subject, options.data, options.split or "", fields)
        given = {"model": str(subject.path), "data": options.data, "known_by": subject.known_by}
        print(json.dumps({"schema_version": SCHEMA_VERSION, **given, **found}, indent=2))
        return
    with Progress("evaluate") as progress:
        found = evaluate(subject, options.data, options.split or "", fields, progress.count)
    print("\n".join(_text(subject, options.data, found)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "danas evaluate", usage=USAGE, description="An int8 classifier on examples of known class, run by TFLM."
    )
    parser.add_argument("model", metavar="RUN_OR_TFLITE", help="any int8 classifier, or a run's folder")
    parser.add_argument("data", metavar="DATA", help="[<split>/]<class>/* of jpg, png or wav, a .csv manifest, .npz")
    parser.add_argument("--split", choices=SPLITS, help="of data with splits (validation)")
    parser.add_argument("--slice-fields", nargs="+", default=(), metavar="F", help="columns of metadata.csv")
    parser.add_argument("--board", help="refuse a model that does not fit this board")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    foreign = parser.add_argument_group("of a file without manifest.json beside it")
    foreign.add_argument("--classes", nargs="+", default=(), metavar="A", help="of the outputs (folders, sorted)")
    foreign.add_argument("--colour", choices=("mono", "rgb"), help="that it reads (by its channels)")
    foreign.add_argument(
        "--mean", nargs="+", type=float, default=(), metavar="M", help="it reads (pixel - mean) / std (all codes)"
    )
    foreign.add_argument("--std", nargs="+", type=float, default=(), metavar="S", help="one number, or one a channel")
    foreign.add_argument("--fit", choices=FITS, help="how pictures of another shape get to its input (stretch)")
    return parser


def _given(options: argparse.Namespace) -> Given:
    return Given(tuple(options.classes), options.colour or "", _normalisation(options), options.fit or "")


def _normalisation(options: argparse.Namespace) -> Normalisation | None:
    mean, std = tuple(options.mean), tuple(options.std)
    if not mean and not std:
        return None
    if not mean or not std:
        raise UserError("--mean, --std: give both, in pixel values from 0 to 255")
    if not all(map(math.isfinite, mean)) or not all(0 < s < math.inf for s in std):
        raise UserError(f"--mean {mean} --std {std}: finite numbers are right, std above 0")
    return Normalisation(mean, std)


def _text(subject: Subject, data: str, found: dict) -> list[str]:
    model, figures = subject.model, found["figures"]
    if subject.normalisation:
        codes = f"{model.input.dtype} of (pixel - {subject.normalisation.mean}) / {subject.normalisation.std}"
    else:
        code = "code" if subject.source else "pixel"
        codes = f"uint8 {code}s" if model.input.dtype == "uint8" else f"int8 = {code} - 128"
    classes = ", ".join(found["classes"]) + ("" if subject.classes else " (the folders' names, sorted: is that right?)")
    lines = [
        f"{subject.path}: {subject.data.text}, {codes}; by {subject.known_by}",
        f"classes: {classes}",
        f"{subject.noun}: {data}{', ' + found['split'] if found['split'] else ''}",
        *(f"note: {note}" for note in found["notes"]),
        *_table_lines(overall_table({"TFLM, int8": figures})),
    ]
    if found["operating_point"]:
        lines += ["", point_text(found["operating_point"], "here")]
    for table in tables(figures):
        lines += _table_lines(table)
    return lines


def _table_lines(table: TextTable) -> list[str]:
    """A blank line, the title, and a line per row."""
    rows = [table.columns, *table.rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(f"{cell:{'>' if i else '<'}{width}}" for i, (cell, width) in enumerate(zip(row, widths, strict=True)))
        for row in rows
    ]
    return ["", *filter(None, [table.title]), *(f"  {line.rstrip()}" for line in lines)]
