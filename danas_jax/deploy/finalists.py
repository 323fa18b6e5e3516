"""A finalist's way from weights to a line of summary.json: retrain, export, one look at test, compare.

Each step of one finalist leaves a file and is skipped when that file is there, so a killed phase resumes between them.
"""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np

from danas_jax import disk
from danas_jax.baselines import baseline_layers
from danas_jax.config import Config, Limits
from danas_jax.console import say
from danas_jax.data.dataset import Split
from danas_jax.data.rows import as_rows
from danas_jax.deploy import operating_point
from danas_jax.deploy.answers import KINDS, Answers, answers_path, figures, read_answers, real_valued, write_answers
from danas_jax.deploy.export import FILES, export, test_answers
from danas_jax.deploy.retrain import image_views, retrain
from danas_jax.deploy.teacher import Teacher
from danas_jax.errors import UserError
from danas_jax.hardware import lut
from danas_jax.hardware.cost import cost, latency_shares
from danas_jax.hardware.flash import flash_bytes
from danas_jax.hardware.input_pipeline import on_board
from danas_jax.layers import LayerSpec, with_input_channels
from danas_jax.metrics import paired_bootstrap
from danas_jax.search import pareto_json
from danas_jax.search.archive import Candidate
from danas_jax.supernet.checkpoint import Checkpoints
from danas_jax.supernet.elastic import subnet_params
from danas_jax.supernet.network import init_variables
from danas_jax.transfer.start import Start
from danas_jax.views.base import NetworkInput


@dataclasses.dataclass(frozen=True)
class Finalist:
    """A system to retrain: a candidate that a budget chose, or a baseline (no genes, budget or candidate)."""

    id: str
    name: str  # its folder under retrain/ and export/
    kind: str  # "candidate" | "baseline"
    layers: tuple[LayerSpec, ...]
    source: NetworkInput
    genes: np.ndarray | None
    budget: Limits | None
    candidate: Candidate | None


def found(run_dir: Path, config: Config, num_classes: int) -> list[Finalist]:
    """The systems that the run's search chose (each once per budget that chose it) and the baselines."""
    space, result = config.space, []
    for budget in pareto_json.load(run_dir / "search" / "pareto.json", space).budgets:
        for name in budget.finalists:
            candidate = budget.candidate(name)
            genes = np.array(candidate.genes)
            layers = space.layers(genes, num_classes)
            result.append(
                Finalist(name, name, "candidate", layers, space.input(genes), genes, budget.budget, candidate)
            )
    for baseline in config.baselines:
        layers = baseline_layers(baseline, space.view, num_classes)
        source = NetworkInput(space.view, baseline.data)
        result.append(Finalist(baseline.name, baseline.name, "baseline", layers, source, None, None, None))
    return result


def each_once(finalists: list[Finalist]) -> list[Finalist]:
    """One per name: two budgets may choose the same system."""
    return list({finalist.name: finalist for finalist in finalists}.values())


def joined(first: Split, second: Split) -> Split:
    """Two splits as one."""
    raw = as_rows(first.raw).joined(as_rows(second.raw))
    labels, names = np.concatenate([first.labels, second.labels]), first.names + second.names
    return Split(raw, labels, names, scale=first.scale, fit=first.fit)


def retrain_one(
    folder: Path,
    finalist: Finalist,
    config: Config,
    supernet: dict,
    training: Split,
    validation: Split,
    teacher: Teacher | None,
    log: Callable[[dict], None],
    begin: Start | None = None,
) -> None:
    """Retrain into <folder>/{checkpoints, weights.npz, history.json}; nothing to do where history.json exists.

    A candidate's weights are first those of `begin`, where there is one, else with `retrain.inherit` the supernet's.
    """
    if (folder / "history.json").exists():
        return
    seed = _seed(config.seed, finalist.name)
    rates = None
    if finalist.kind == "candidate" and begin:
        start, rates = _begun(folder, finalist, begin, seed)
    elif finalist.kind == "candidate" and config.retrain.inherit:
        start = jax.tree.map(np.asarray, subnet_params(finalist.layers, finalist.source, supernet))
    else:
        start, _ = init_variables(finalist.layers, seed)
    with Checkpoints(folder / "checkpoints") as saved:
        done = retrain(
            finalist.layers, finalist.source, start, config.retrain, training, validation, seed, saved, log,
            config.search.metric, teacher, rates,
        )  # fmt: skip
    disk.write_arrays(folder / "weights.npz", {"params": done.params, "stats": done.stats})
    disk.write_json(
        folder / "history.json",
        {
            "epochs": done.history,
            "validation_accuracy": done.validation_accuracy,
            "validation_interval": done.validation_interval,
            "image_views": image_views(config.retrain, training.epoch_images),
        },
    )


def _begun(folder: Path, finalist: Finalist, begin: Start, seed: int) -> tuple[dict, dict | None]:
    """The params of a finalist out of `begin`, and their learning rates relative to the schedule's.

    It begins as a network of all input channels, as a supernet is one; the stem then becomes its own.
    """
    layers = with_input_channels(finalist.layers, finalist.source.view.channels)
    found = begin.begun(layers, init_variables(layers, seed)[0], folder)
    say(f"{finalist.name}: {begin.summary(found)}")
    params = jax.tree.map(np.asarray, subnet_params(finalist.layers, finalist.source, found.params))
    rates = found.rates(begin.rate)
    if rates:
        stem = rates[layers[0].name]
        stem["kernel"] = stem["kernel"].min(axis=2, keepdims=True).repeat(finalist.source.shape[2], axis=2)
    return params, rates


def export_one(
    run_dir: Path,
    finalist: Finalist,
    config: Config,
    latency_tables: lut.Tables,
    training: Split,
    validation: Split,
    classes: tuple[str, ...],
    log: Callable[[dict], None],
) -> dict:
    """Export into <run>/export/<name>/ and return what `export` measured; nothing to do where it was exported."""
    folder = run_dir / "export" / finalist.name
    saved = folder / "measured.json"
    if not saved.exists():
        weights = disk.read_arrays(run_dir / "retrain" / finalist.name / "weights.npz")
        measured = export(
            folder, finalist.name, finalist.layers, finalist.source, weights["params"], weights["stats"],
            _predicted(finalist, latency_tables), config.export, config.retrain, training, validation, classes,
            _seed(config.seed, finalist.name), log,
        )  # fmt: skip
        disk.write_json(saved, measured)
    measured = disk.read_json(saved)
    _check_flash(finalist, measured["measured"]["file_bytes"])
    return measured


def _check_flash(finalist: Finalist, file_bytes: int) -> None:
    """UserError where the file, which holds the names of the classes, too, is larger than predicted and too large."""
    limit, need = finalist.budget.flash_bytes if finalist.budget else None, flash_bytes(file_bytes)
    if limit is not None and need > limit:
        raise UserError(
            f"finalist {finalist.name}: its file and the runtime's code take {need:,} B of flash, its budget gives "
            f"{limit:,} B: search again below that (danas search RUN --limits.flash-bytes {2 * limit - need})"
        )


def test_once(run_dir: Path, finalist: Finalist, test: Split) -> None:
    """Keep the exported file's answers to the test images; read once."""
    saved = answers_path(run_dir / "export" / finalist.name, "int8_test")
    if not saved.exists():
        write_answers(saved, test_answers(run_dir / "export" / finalist.name, finalist.source, test))


def summary_entry(
    run_dir: Path,
    finalist: Finalist,
    config: Config,
    latency_tables: lut.Tables,
    exported: dict,
    measured: dict,
) -> dict:
    """One element of summary.json's `finalists` (docs/run_directory.md); `measured` is what `figures_of` gives."""
    test = measured["figures"]["int8_test"]
    history = disk.read_json(run_dir / "retrain" / finalist.name / "history.json")
    predicted = _predicted(finalist, latency_tables)
    described = config.space.describe(finalist.genes) if finalist.genes is not None else {"arch": None}
    return {
        "id": finalist.id,
        "name": finalist.name,
        "kind": finalist.kind,
        "genes": None if finalist.genes is None else finalist.genes.tolist(),
        "data": finalist.source.values,
        "arch": described["arch"],
        "budget": None if finalist.budget is None else dataclasses.asdict(finalist.budget),
        "predicted": predicted,
        "on_board": on_board(predicted, finalist.budget or Limits()),
        "measured": exported["measured"],
        "accuracy": {
            "search": None if finalist.candidate is None else finalist.candidate.accuracy_full,
            "search_interval": None if finalist.candidate is None else finalist.candidate.intervals.get("full"),
            "float_validation": history["validation_accuracy"],
            "float_validation_interval": history.get("validation_interval"),  # None where an older danas retrained
            "int8_validation": exported["int8_validation"],
            "int8_validation_interval": measured["figures"]["int8_validation"]["accuracy_interval"],
            "int8_test": test["accuracy"],
            "int8_test_interval": test["accuracy_interval"],
        },
        **measured,
        "files": {kind: f"export/{finalist.name}/{file}" for kind, file in FILES.items()},
        "retrain_image_views": history["image_views"],
    }


def figures_of(folder: Path, answers: dict[str, Answers], seed: int) -> dict:
    """{"figures": by kind of answer, "operating_point": its rates on validation and test, or None} of an export.

    `answers` are its `kept_answers`.
    """
    manifest = disk.read_json(folder / FILES["manifest"])
    classes, point = tuple(manifest["classes"]), manifest["operating_point"]
    if point:
        test = read_answers(answers_path(folder, "int8_test"))
        point = {**point, "test": operating_point.rates(test.logits, test.labels, classes, point)}
    return {
        "figures": {kind: figures(found, classes, seed) for kind, found in answers.items()},
        "operating_point": point,
    }


def kept_answers(folder: Path) -> dict[str, Answers]:
    """An export's answers by KINDS, real-valued."""
    output = disk.read_json(folder / FILES["manifest"])["output"]
    kept = {kind: read_answers(answers_path(folder, kind)) for kind in KINDS}
    return {kind: real_valued(found, output) if kind.startswith("int8") else found for kind, found in kept.items()}


def comparisons(finalists: list[Finalist], answers: dict[str, dict[str, Answers]], seed: int) -> list[dict]:
    """Every candidate against every baseline: paired bootstrap over the test images; `answers` by name and kind."""
    result = []
    unique = each_once(finalists)
    for candidate in (f for f in unique if f.kind == "candidate"):
        for baseline in (f for f in unique if f.kind == "baseline"):
            mine, other = (answers[finalist.name]["int8_test"].right for finalist in (candidate, baseline))
            difference, low, high = paired_bootstrap(mine, other, seed)
            result.append(
                {
                    "finalist": candidate.id,
                    "baseline": baseline.id,
                    "difference": difference,
                    "interval": [low, high],
                }
            )
    return result


def _predicted(finalist: Finalist, latency_tables: lut.Tables) -> dict:
    """The costs on the budget's board, and what its latency rests on."""
    board = finalist.budget.board if finalist.budget else ""
    shares = latency_shares(finalist.layers, board, latency_tables)
    return {**cost(finalist.layers, board, latency_tables, finalist.source), "latency_shares": shares}


def _seed(seed: int, name: str) -> int:
    """A seed of its own for each network."""
    return zlib.crc32(f"{seed}:{name}".encode()) >> 1
