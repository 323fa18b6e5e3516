"""`danas data suspects`: the labels that a run's networks believe least. Starts without jax."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from danas_jax import disk, run
from danas_jax.config import native_frame
from danas_jax.config_io import read_config
from danas_jax.console import Progress
from danas_jax.data.dataset import open_data
from danas_jax.errors import UserError
from danas_jax.report.doubted import write_doubted

SPLITS = ("train", "search", "validation")  # never test: whoever looks at it chooses by it
STEM = "suspects"  # of the files in <run>/report/
NOTE = (
    "the networks have trained on the labels of train and search, so this is what they could not learn: "
    "a wrong label is among the likely reasons, a hard example is no error"
)


def suspects_command(arguments: list[str]) -> None:
    """Run `danas data suspects` with these arguments; UserError on bad input."""
    parser = argparse.ArgumentParser(
        "danas data suspects", description="The examples whose label a run's retrained finalists believe least."
    )
    parser.add_argument("run", metavar="RUN", help="a run's folder whose finalists are retrained")
    parser.add_argument("--count", type=int, default=50, help="examples to list (50)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    options = parser.parse_args(arguments)
    if options.count < 1:
        raise UserError(f"--count = {options.count}: give 1 or more")
    if options.json:
        print(json.dumps(suspects(Path(options.run), options.count), indent=2))
        return
    with Progress("data suspects") as progress:
        found = suspects(Path(options.run), options.count, progress.count)
    print("\n".join(_text(found)))


def suspects(
    folder: Path, count: int, progress: Callable[[int, int], None] = lambda done, total: None
) -> dict[str, Any]:
    """The `count` least believed labels of the run in `folder`, JSON-ready; writes the table and the sheet."""
    if not (folder / "config.json").is_file() or not run.phase_done(folder, "retrain"):
        raise UserError(f"{folder}: holds no retrained finalists; give a run's folder (`danas retrain` makes them)")
    from danas_jax import runtime
    from danas_jax.deploy.finalists import each_once, found
    from danas_jax.deploy.suspects import class_probabilities  # brings jax

    runtime.keep_compiled_programs()
    config = read_config(folder / "config.json")
    if config.data.multi_label:
        raise UserError("data.multi_label = True: danas data suspects knows examples of one class only")
    data = open_data(config.data, native_frame(config), config.seed)
    chosen = [f for f in each_once(found(folder, config, len(data.class_names))) if f.kind == "candidate"]
    splits = [data.load(name, "retrain") for name in SPLITS]
    probabilities = np.concatenate(
        class_probabilities(folder, chosen, [np.asarray(split.raw) for split in splits], progress)
    )
    parts = dict(zip(SPLITS, splits, strict=True))
    rows, table, sheet = write_doubted(folder, STEM, parts, probabilities, data.class_names, count)
    return {
        "schema_version": disk.SCHEMA_VERSION,
        "run": str(folder),
        "finalists": [finalist.name for finalist in chosen],
        "examples": {name: len(split) for name, split in zip(SPLITS, splits, strict=True)},
        "suspects": rows,
        "table": str(table),
        "sheet": str(sheet),
        "note": NOTE,
    }


def _text(found: dict[str, Any]) -> list[str]:
    counts = ", ".join(f"{count:,} of {split}" for split, count in found["examples"].items())
    shown = [
        ("split", "label", "p", "the networks say", "p", "file"),
        *(
            (
                r["split"],
                r["label"],
                f"{r['probability']:.3f}",
                r["answer"],
                f"{r['answer_probability']:.3f}",
                r["file"],
            )
            for r in found["suspects"]
        ),
    ]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    return [
        f"{found['run']}: {counts}, judged by {len(found['finalists'])} retrained finalists (mean probability)",
        f"note: {found['note']}",
        "",
        *("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in shown),
        "",
        f"table: {found['table']}; pictures: {found['sheet']}",
    ]
