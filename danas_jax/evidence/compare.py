"""Runs the rows of a comparison, one pipeline run each, and keeps what each gave in a file of its own.

A row whose result is there is not run again, even where its run directory is gone: a comparison goes on over days and
machines. Test is read once for each finalist, by its run, and every such look is written down.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from danas_jax import config_io, disk, pipeline, run, schema
from danas_jax.config import Config, Limits
from danas_jax.config_checks import validate
from danas_jax.console import say
from danas_jax.csv_text import csv_text
from danas_jax.deploy.finalists import kept_answers
from danas_jax.errors import UserError
from danas_jax.evidence.rows import Planner, Row, shorter
from danas_jax.provenance import provenance
from danas_jax.report.summary_schema import PREDICTED
from danas_jax.schema import NUMBER
from danas_jax.search import archive, pareto_json
from danas_jax.space import SearchSpace, Stage
from danas_jax.views import data_text
from danas_jax.views.base import DataConfig

PHASES = ("train", "search", "retrain", "export", "report")
READS = "test_reads.csv"
ROW: dict[str, Any] = {  # what `row_result` gives; rows of an older danas lack some fields
    "row": str,
    "seed": int,
    "share": NUMBER,
    "config": dict,
    "left_out": [{"budget": dict, "needs": str}],
    "accuracy_by_data": [{"budget": dict, "accuracy": {str: NUMBER}}],
    "times_s": {str: NUMBER},
    "networks": [
        {
            "name": str,
            "kind": str,
            "budget": dict | None,
            "predicted": {"macs": NUMBER, **PREDICTED},
            "measured": {"arena_bytes": NUMBER},
            "accuracy": {"int8_test": NUMBER, "int8_validation": NUMBER},
            "sees": str,
            "images": int,
            "right": str,
            "validation_images?": int,
            "validation_right?": str,
        }
    ],
}
_READ_FIELDS = ("time", "git_commit", "row", "network", "images")


@dataclass(frozen=True)
class Asked:
    """What is compared: fixed data configurations (None = chosen by the joint search), seeds, extra rows."""

    rows: tuple[str, ...]
    fixed: tuple[DataConfig, ...]
    candidates: tuple[DataConfig, ...]  # of which the best fixed one is sought, by the joint search's accuracies
    seeds: tuple[int, ...]
    shares: tuple[float, ...]  # of the search time, for the time grid
    extra_seeds: tuple[int, ...]  # of the time grid and of the search without a supernet
    extra_budgets: tuple[Limits, ...]  # likewise


def run_rows(planner: Planner, asked: Asked, folder: Path, runs: Path) -> Iterator[dict[str, Any]]:
    """The result of every row, in order; those missing in `folder` are run below `runs`. See `row_result`."""

    def done(row: Row, supernet: Row | None = None) -> dict[str, Any]:
        return _done(row, folder, runs, supernet)

    _refuse_rows_that_cannot_be(planner, asked)
    for seed in asked.seeds:
        planner_of = replace(planner, config=replace(planner.config, seed=seed))
        joint = planner_of.joint()
        result = done(joint)
        yield result
        fixed = list(dict.fromkeys((*asked.fixed, *best_by_search(result, asked.candidates))))
        if "fixed" in asked.rows:
            for data in fixed:
                yield done(planner_of.fixed(data))
        if planner.config.baselines:
            yield done(planner_of.references())
        if "random" in asked.rows:
            yield done(planner_of.random(str(_run_dir(joint, runs))), supernet=joint)
        if seed in asked.extra_seeds:
            narrow = replace(planner_of, config=replace(planner_of.config, budgets=asked.extra_budgets))
            if "time" in asked.rows:
                there = best_by_search(result, asked.candidates, asked.extra_budgets) or fixed[:1]
                for share in asked.shares:
                    for row in (narrow.joint(), *(narrow.fixed(data) for data in there)):
                        yield done(shorter(row, share))
            if "no-supernet" in asked.rows:
                yield done(narrow.no_supernet())


def _refuse_rows_that_cannot_be(planner: Planner, asked: Asked) -> None:
    """UserError before hours of other rows, where a row without a supernet lacks what only that gives the config."""
    rows = [planner.references()] if planner.config.baselines else []
    if "no-supernet" in asked.rows and asked.extra_seeds:
        rows.append(replace(planner, config=replace(planner.config, budgets=asked.extra_budgets)).no_supernet())
    for row in rows:
        try:
            validate(row.config)
        except UserError as error:
            raise UserError(f"the row {row.name} cannot be: {error}; give it, or --rows without this one") from error


def best_by_search(
    joint: dict[str, Any], candidates: Iterable[DataConfig], budgets: tuple[Limits, ...] | None = None
) -> list[DataConfig]:
    """Of `candidates`, for each budget the one whose systems the joint search found most accurate; each once."""
    found = {}
    for entry in joint["accuracy_by_data"]:
        if budgets is None or entry["budget"] in [dataclasses.asdict(limits) for limits in budgets]:
            known = [data for data in candidates if data.text in entry["accuracy"]]
            if known:
                best = max(known, key=lambda data: entry["accuracy"][data.text])
                found[best.text] = best
    return list(found.values())


def _run_dir(row: Row, runs: Path) -> Path:
    return Path(os.path.abspath(runs)) / row.key


def _done(row: Row, folder: Path, runs: Path, supernet: Row | None) -> dict[str, Any]:
    """The row's result, read or made; `supernet`: the row whose supernet it takes, trained first where it is gone.

    UserError where it was made with other settings.
    """
    saved = folder / "rows" / f"{row.key}.json"
    if saved.exists():
        return kept(saved, row)
    say(f"== {row.name}, seed {row.config.seed}" + (f", {row.share:g} of the time" if row.share < 1 else ""))
    if supernet and not run.phase_done(_run_dir(supernet, runs), "train"):
        _run(supernet, _run_dir(supernet, runs), ("train",))
    directory = _run_dir(row, runs)
    if row.config.budgets:
        _run(row, directory, PHASES)
    else:
        say("nothing fits: " + "; ".join(need for _, need in row.left_out))
    result = row_result(row, directory)
    _note_reads(folder / READS, row, result)
    disk.write_json(saved, result)
    return result


def kept(saved: Path, row: Row) -> dict[str, Any]:
    """The row's result in a file; UserError where that is damaged, or was made with other settings."""
    result = disk.read_json(saved)
    where = f"{saved} is damaged, remove it to run this row again"
    schema.check(result, ROW, where)
    if (result["row"], result["seed"], result["share"]) != (row.name, row.config.seed, row.share):
        raise UserError(f"{where}: row, seed and share are not those of {row.key}")
    _refuse_other_settings(saved, result, row)
    budgets = [dataclasses.asdict(limits) for limits in row.config.budgets]
    for i, network in enumerate(result["networks"]):
        if network["kind"] == "candidate" and network["budget"] not in budgets:
            raise UserError(f"{where}: networks[{i}].budget is none of the row's")
        for on in ("", "validation_") if network.get("validation_images") else ("",):
            try:
                right = unpacked(network[f"{on}right"], network[f"{on}images"])
            except (KeyError, ValueError, UserError) as error:
                raise UserError(f"{where}: networks[{i}].{on}right: {error}") from error
            if not right.size:
                raise UserError(f"{where}: networks[{i}].{on}images: 1 or more is right")
    searched = row.config.budgets and row.config.search.finalists_per_budget
    if searched and not any(network["kind"] == "candidate" for network in result["networks"]):
        raise UserError(f"{where}: networks: none is a candidate, of a row that searches for {len(budgets)} budgets")
    if result["networks"]:
        schema.check(result["times_s"], dict.fromkeys(("train", "search", "retrain"), NUMBER), f"{where}: times_s")
    return result


def _refuse_other_settings(saved: Path, result: dict[str, Any], row: Row) -> None:
    was = settings(config_io.from_json(result["config"]))
    if differing := config_io.differences(was, settings(row.config)):
        raise UserError(
            f"{saved}: made with other settings:\n  " + "\n  ".join(differing) + "\n"
            "give the same settings, another --out, or remove the file to run this row again"
        )


def settings(config: Config) -> Config:
    """What a row's result depends on: the config without where things lie, which another machine may change.

    Networks that are given (references) are those of any space, so a row of them holds for a comparison over another.
    """
    path = config.data.path if config.data.source == "tfds" else ""  # there it is a name
    unlabelled = Path(config.data.unlabelled).name
    data = replace(config.data, path=path, data_dir="", cache_dir="", unlabelled=unlabelled)
    train, retrain = (
        replace(part, teacher=Path(part.teacher).name, init_from=Path(part.init_from).name)
        for part in (config.train, config.retrain)
    )
    config = replace(config, data=data, train=train, retrain=retrain, run_dir="", supernet_from="")
    if config.search.finalists_per_budget:
        return config
    none = Stage(widths=(1,))
    space = SearchSpace(name="", view=config.space.view, stem_widths=(1,), stages=(none,), head_widths=(1,))
    return replace(config, name="", space=space)


def _run(row: Row, directory: Path, phases: tuple[str, ...]) -> None:
    config = replace(row.config, run_dir=str(directory))
    validate(config)
    with run.opened(config):
        pipeline.run_phases(config, phases, directory)


def row_result(row: Row, directory: Path) -> dict[str, Any]:
    """What a finished run gives to the comparison, JSON-ready; `right` says for each test example if int8 was right.

    Likewise `validation_right`.
    """
    result: dict[str, Any] = {
        "row": row.name,
        "seed": row.config.seed,
        "share": row.share,
        "epochs": row.config.train.epochs,
        "config": config_io.to_json(settings(row.config)),
        "left_out": [{"budget": dataclasses.asdict(limits), "needs": need} for limits, need in row.left_out],
        "networks": [],
        "accuracy_by_data": [],
        "times_s": {},
        "provenance": provenance(),
    }
    if not row.config.budgets:
        return result
    summary = disk.read_json(directory / "summary.json")
    found = pareto_json.load(directory / "search" / "pareto.json", row.config.space)
    return result | {
        "times_s": summary["times_s"],
        "accuracy_by_data": archive.winning_data(found),
        "networks": [_network(entry, directory) for entry in summary["finalists"]],
    }


def _network(entry: dict[str, Any], directory: Path) -> dict[str, Any]:
    answers = kept_answers(directory / "export" / entry["name"])
    test, validation = answers["int8_test"], answers["int8_validation"]
    kept = ("name", "kind", "genes", "data", "arch", "budget", "predicted", "measured", "accuracy")
    return {
        **{key: entry[key] for key in kept},
        "sees": data_text(entry["data"]),
        "images": len(test.labels),
        "right": packed(test.right),
        "validation_images": len(validation.labels),
        "validation_right": packed(validation.right),
    }


def packed(right: np.ndarray) -> str:
    """Which examples were right [N] as hexadecimal digits, eight examples in two."""
    return np.packbits(np.asarray(right) > 0.5).tobytes().hex()


def unpacked(text: str, images: int) -> np.ndarray:
    """Of `packed`, bool [images]; UserError where there are fewer."""
    bits = np.unpackbits(np.frombuffer(bytes.fromhex(text), np.uint8))
    if len(bits) < images:
        raise UserError(f"right: {len(bits)} answers, {images} examples")
    return bits[:images].astype(bool)


def _note_reads(path: Path, row: Row, result: dict[str, Any]) -> None:
    """One line for each network that was shown the test split; once, however often the row was stopped."""
    old = path.read_text() if path.exists() else ",".join(_READ_FIELDS) + "\n"
    noted = {(line["row"], line["network"]) for line in csv.DictReader(io.StringIO(old))}
    now = result["provenance"]
    looked = dict.fromkeys((n["name"], n["images"]) for n in result["networks"])
    new = [(now["time"], now["git_commit"], row.key, *look) for look in looked if (row.key, look[0]) not in noted]
    disk.write_text(path, old + csv_text(new))
