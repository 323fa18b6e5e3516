"""The parsers that bad_input.py damages files for: what a run directory from somebody else holds, beside its models."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from bad_input_trial import Parser
from rich.console import Console

from danas_jax import config_io, disk, reuse, run
from danas_jax.config import Limits
from danas_jax.errors import UserError
from danas_jax.spaces import quickstart

ACCURACY = {"int8_test": 0.75, "int8_test_interval": [0.7, 0.8], "int8_validation": 0.76, "float_validation": 0.77}


def in_run(folder: Path) -> Path:
    """`folder`, with the config.json of a run in it."""
    if not (folder / "config.json").exists():
        disk.write_json(folder / "config.json", config_io.to_json(config_io.load_config("quickstart")))
    return folder


def _text(value: dict[str, Any]) -> bytes:
    return json.dumps({"schema_version": disk.SCHEMA_VERSION, **value}).encode()


def _metrics() -> Parser:
    from danas_jax.report.status import status
    from danas_jax.report.status_command import text

    records = [{"phase": "train", "step": s, "steps": 9, "loss": 1 / s, "unix_time_s": 5.0 + s} for s in (1, 2, 3)]
    records += [
        {"phase": "search", "step": 1, "steps": 2, "evaluations": 7, "best_accuracy": [0.5], "best_interval": [[0, 1]]},
        {"phase": "retrain", "name": "x", "epoch": 2, "loss": 0.5, "validation_accuracy": 0.5, "unix_time_s": 9},
    ]

    def read(path: Path) -> None:
        found = status(in_run(path.parent))
        text(found)
        if found["notes"]:
            raise UserError(found["notes"][0])

    content = "".join(json.dumps(record) + "\n" for record in records).encode()
    return Parser("metrics", (content,), read, "metrics.jsonl", "lines", command=lambda p: ["status", str(p.parent)])


def _summary() -> Parser:
    from danas_jax.deploy.predict import model_path
    from danas_jax.report.files import read_summary
    from danas_jax.report.table import print_table
    from danas_jax.sweep.collect import collect

    quiet = Console(file=io.StringIO())
    entries = [
        {
            "name": name,
            "id": name,
            "kind": kind,
            "genes": [0, 1],
            "arch": {},
            "data": {"resolution_px": 48, "colour": "mono"},
            "budget": dataclasses.asdict(Limits(sram_bytes=65536)) if kind == "candidate" else None,
            "predicted": {"macs": 1_234_567, "arena_device_bytes": 20480, "arena_host_bytes": 22528},
            "measured": {"arena_bytes": 21504, "file_bytes": 51200},
            "accuracy": ACCURACY,
            "files": {"tflite": f"export/{name}/model_int8.tflite"},
        }
        for name, kind in (("abc", "candidate"), ("def", "candidate"), ("usual", "baseline"))
    ]
    summary = {"name": "x", "seed": 3, "classes": ["cat", "dog"], "finalists": entries, "search_metric": "accuracy"}

    def read(path: Path) -> None:
        found = collect(in_run(path.parent).parent)
        if found["unfinished"]:
            raise UserError(f"{path}: {found['unfinished'][0]['why']}")
        print_table(read_summary(path.parent), quiet)
        model_path(path.parent)

    def command(path: Path) -> list[str]:
        return ["sweep", "collect", str(path.parent.parent)]

    return Parser("summary", (_text(summary),), read, "job/summary.json", "json", command=command)


def _plan() -> Parser:
    from danas_jax.sweep.collect import collect

    plan = {"config": "x.py", "jobs": [{"name": "a", "command": "run", "flags": []}, {"name": "b", "command": "rank"}]}

    def read(path: Path) -> None:
        in_run(path.parent / "job")
        if notes := collect(path.parent)["notes"]:
            raise UserError(notes[0])

    return Parser(
        "plan", (_text(plan),), read, "sweep.json", "json", command=lambda p: ["sweep", "collect", str(p.parent)]
    )


def _splits() -> Parser:
    from danas_jax.data.recorded import record, refuse_others

    items = SimpleNamespace(keys=("a", "b"), labels=np.array([0, 1]))
    counts = _every(lambda: {"cat": 1, "dog": 1})
    data: Any = SimpleNamespace(items=_every(lambda: Items(items)), counts=counts, unlabelled=Items(items))

    def read(path: Path) -> None:
        refuse_others(path.parent, data, "data.path = 'x'")

    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        record(Path(folder), data, 0, ["few"])
        content = (Path(folder) / "splits.json").read_bytes()
    return Parser("splits", (content,), read, "splits.json", "json")


class Items(SimpleNamespace):
    """What `recorded` asks of a split's items."""

    def __init__(self, of: SimpleNamespace):
        super().__init__(**vars(of))

    def __len__(self) -> int:
        return len(self.keys)


def _every(make: Callable[[], Any]) -> dict[str, Any]:
    return {split: make() for split in ("train", "search", "validation", "test")}


def _evaluations() -> Parser:
    from danas_jax.report import cost_command

    space = quickstart()
    rows = [space.min_genes, space.max_genes]
    content = "id,accuracy_half,genes\n"
    content += "".join(f"{space.candidate_id(genes)},0.5,{' '.join(map(str, genes))}\n" for genes in rows)
    name = space.candidate_id(rows[0])

    def read(path: Path) -> None:
        folder = in_run(path.parent.parent)
        space.check(cost_command._genes(folder, name))

    return Parser("evaluations", (content.encode(),), read, "search/evaluations.csv", "lines")


def _search_state() -> Parser:
    from danas_jax.config import SearchSettings
    from danas_jax.search import saved

    space = quickstart()
    lower, upper = np.array(space.min_genes), np.array(space.max_genes)
    header = saved.header(space, SearchSettings(), (Limits(sram_bytes=65536),), 0, 100, lower, upper)
    rounds = [{"genes": [lower.tolist(), upper.tolist()], "half": [0.5, 0.25]}]
    tested = saved.rows({"full": {lower.astype(np.int64).tobytes(): 0.5}})
    expected = json.loads(json.dumps(header))

    def read(path: Path) -> None:
        try:
            saved.read(disk.read_json(path), expected, len(space.axes), ("full",))
        except UserError as error:
            raise UserError(f"{path.name}: {error}") from error

    return Parser("state", (_text({**header, "rounds": rounds, "tested": tested}),), read, "state.json", "json")


def _trained() -> Parser:
    """What the train phase leaves: bounds, class names."""
    space = quickstart()
    bounds = (np.array(space.min_genes), np.array(space.max_genes))
    payload = {**reuse.payload_of(bounds, 9, ("cat", "dog")), "time_s": 3.5}

    def read(path: Path) -> None:
        reuse.narrowed(space, bounds, run.phase_payload(in_run(path.parent.parent), "train"))

    return Parser(
        "trained",
        (_text(payload),),
        read,
        ".phases/train.json",
        "json",
        command=lambda p: ["status", str(p.parent.parent)],
    )


def _accuracies() -> Parser:
    from danas_jax.search.cache import AccuracyCache

    lines = [{"schema_version": 1, "key": "k"}, *({"tier": "half", "genes": [0, i], "accuracy": 0.5} for i in range(3))]
    content = "".join(json.dumps(line) + "\n" for line in lines).encode()

    def read(path: Path) -> None:  # drops what it cannot read, so it refuses nothing
        cache = AccuracyCache(path, "k")
        cache.over(lambda genes, tier: np.zeros(len(genes)))(np.array([[0, 1]]), "half")

    return Parser("accuracies", (content,), read, "accuracies.jsonl", "lines")


def _compared() -> Parser:
    """A row that `danas compare` has kept."""
    from danas_jax.evidence import compare
    from danas_jax.evidence.rows import Planner
    from danas_jax.evidence.summary import summary
    from danas_jax.hardware import lut

    config = dataclasses.replace(config_io.load_config("quickstart"), baselines=())
    row = Planner(config, 64, 2, lut.NO_TABLES).joint()
    answers = compare.packed(np.arange(40) % 3 > 0)
    networks = [
        {
            "name": f"n{i}",
            "kind": "candidate",
            "budget": dataclasses.asdict(limits),
            "predicted": {"macs": 9000, "arena_device_bytes": 20480},
            "measured": {"arena_bytes": 21504},
            "accuracy": ACCURACY,
            "sees": "48 px rgb",
            "images": 40,
            "right": answers,
            "validation_images": 40,
            "validation_right": answers,
        }
        for i, limits in enumerate(row.config.budgets)
    ]
    result = {
        "row": row.name,
        "seed": row.config.seed,
        "share": row.share,
        "left_out": [],
        "accuracy_by_data": [],
        "config": config_io.to_json(compare.settings(row.config)),
        "times_s": {"train": 9.0, "search": 5.5, "retrain": 3},
        "networks": networks,
    }

    def read(path: Path) -> None:
        summary([compare.kept(path, row)], config.budgets, 0)

    return Parser("compared", (_text(result),), read, "rows/x.json", "json")


RUN_FILES: dict[str, Callable[[], Parser]] = {  # the cheapest first
    "splits": _splits,
    "state": _search_state,
    "trained": _trained,
    "accuracies": _accuracies,
    "evaluations": _evaluations,
    "plan": _plan,
    "summary": _summary,
    "metrics": _metrics,
    "compared": _compared,
}
