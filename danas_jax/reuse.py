"""A supernet that another run trained, searched again: for other budgets, or with other settings of the search.

What the weights depend on must be the same; what the other run pruned was never trained and is not searched here.
"""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np

from danas_jax import config_io, disk, run, schema
from danas_jax.config import Config
from danas_jax.errors import UserError
from danas_jax.space import Bounds, SearchSpace

WEIGHTS = "supernet/weights.npz"  # in the run directory
ACCURACIES = "supernet/accuracies.jsonl"  # what was measured of it, see search/cache.py


def searched_again(config: Config, source: Path) -> Config | None:
    """The run that answers `config` from the supernet of the run in `source`: a folder below it, the same every time.

    None where `source` itself is that run, is none, or has no trained supernet yet. Raises UserError as
    `source_payload` does for settings that the weights depend on.
    """
    if not (source / "config.json").is_file():
        return None
    was = config_io.read_config(source / "config.json")
    differing = config_io.differences(was, config)
    if not differing or not run.phase_done(source, "train"):
        return None
    digest = hashlib.sha256("\n".join(differing).encode()).hexdigest()[:8]
    boards = dict.fromkeys(limits.board for limits in config.budgets if limits.board)
    folder = source / "searches" / "-".join([*boards, digest])[-64:]
    again = replace(config, supernet_from=str(source.absolute()), run_dir=str(folder))
    source_payload(again)
    return again


def payload_of(bounds: Bounds, views: int, classes: tuple[str, ...]) -> dict:
    """What the train phase leaves for those who use its supernet: trained bounds, image views spent, class names."""
    lower, upper = bounds
    bounds_json = [lower.tolist(), upper.tolist()]
    return {"supernet_image_views": views, "trained_bounds": bounds_json, "classes": list(classes)}


def source_payload(config: Config) -> dict:
    """The train phase's payload of the run `config.supernet_from`.

    Raises UserError when that is no run with a trained supernet, or one of other data, space, seed or training.
    """
    folder = Path(config.supernet_from)
    if not (folder / "config.json").is_file() or not run.phase_done(folder, "train"):
        raise UserError(f"supernet_from = {config.supernet_from}: holds no trained supernet; give a run's folder")
    other = config_io.read_config(folder / "config.json")
    # What the weights depend on; budgets count only through the bounds that were trained.
    data = replace(other.data, slice_fields=config.data.slice_fields)
    theirs = replace(config, data=data, space=other.space, train=other.train, seed=other.seed)
    differing = config_io.differences(theirs, config)
    if differing:
        raise UserError(
            f"supernet_from = {config.supernet_from}: its supernet was trained with other settings:\n  "
            + "\n  ".join(differing)
            + "\ngive the same settings, or train one here (leave supernet_from out)"
        )
    return run.phase_payload(folder, "train")


def adopt(config: Config, folder: Path) -> dict:
    """Copy the other run's weights and measured accuracies into `folder`; returns the train phase's payload."""
    payload, source = source_payload(config), Path(config.supernet_from)
    for name in (WEIGHTS, ACCURACIES):
        if (source / name).exists():
            with disk.writing(folder / name):
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source / name, folder / name)
    # Runs of an earlier danas do not say their classes.
    return {key: payload[key] for key in ("supernet_image_views", "trained_bounds", "classes") if key in payload}


def narrowed(space: SearchSpace, wanted: Bounds, payload: dict) -> tuple[Bounds, list[str]]:
    """`wanted` bounds inside the trained ones, and the axes that lose values by it as "axis up to value"."""
    bounds = payload.get("trained_bounds")
    try:
        schema.check(bounds, ([int], [int]), "bounds")
        low, high = (space.check(np.array(bound)) for bound in bounds or ())
    except (UserError, TypeError, ValueError, OverflowError) as error:
        raise UserError(f".phases/train.json: trained_bounds = {bounds!r} are not of this space ({error})") from error
    lower, upper = np.maximum(wanted[0], low), np.minimum(wanted[1], high)
    lost = [f"{axis.name} up to {axis.values[high[i]]}" for i, axis in enumerate(space.axes) if high[i] < wanted[1][i]]
    return (lower, upper), lost


def accuracy_key(config: Config, folder: Path, image_names: tuple[str, ...]) -> str:
    """What a measured accuracy depends on: the weights' bytes, the images, and how they are measured."""
    digest = hashlib.sha256((folder / WEIGHTS).read_bytes())
    search, calibration = config.search, config.train.calibration_images
    how = (config.space.fingerprint, config.seed, search.evaluation_fraction, search.metric, calibration)
    digest.update(repr((how, image_names)).encode())
    return digest.hexdigest()
