"""Which file an init-from means, its digest, and the weights and class names in it. No jax.

The file is data of somebody else: sizes are looked at first, nothing is unpickled, and every array is checked.
"""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from danas_jax import disk, named_files, reuse
from danas_jax.config import InitSettings
from danas_jax.errors import UserError

SUFFIX = ".npz"
_RIGHT = f"give a run's folder or a {SUFFIX} of weights that danas wrote"

S = TypeVar("S", bound=InitSettings)


@dataclasses.dataclass(frozen=True)
class Source:
    """A network's weights {layer: {"kernel", "bias" and, with batch normalisation, "scale"}}, float32.

    `classes` are those of its classifier in order, () where nobody knows them.
    """

    path: Path
    params: dict[str, dict[str, np.ndarray]]
    classes: tuple[str, ...]


def resolved(settings: S, section: str) -> S:
    """The settings with the file of weights, absolute, and its digest; UserError where there is no such file.

    A file that is gone keeps the digest it had: its weights are needed where a training begins only.
    """
    return named_files.resolved(settings, section, ("init_from", "init_sha256"), _file, _digest)


def read(settings: InitSettings, section: str) -> Source:
    """The weights that `resolved` settings name; UserError where they are gone, others by now, or no network's."""
    path, field = Path(settings.init_from), f"{section}.init_from"
    if _digest(path, field) != settings.init_sha256:
        raise UserError(f"{field} = {path}: is another file than at the start of the run; give that one")
    tree = disk.read_arrays(path)
    layers = tree.get("params", tree)  # a retrained network's file has its statistics beside them
    if not isinstance(layers, dict) or not layers:
        raise UserError(f"{field} = {path}: holds no weights of layers; {_RIGHT}")
    params = {name: _layer(arrays, f"{field} = {path}: {name}") for name, arrays in layers.items()}
    classes = settings.init_classes or _classes_beside(path)
    outputs = [arrays["kernel"].shape[-1] for arrays in params.values() if arrays["kernel"].ndim == 2]
    if settings.init_classes and outputs != [len(classes)]:
        raise UserError(f"{section}.init_classes = {classes}: its classifier has {outputs} outputs, name each")
    return Source(path, params, classes if outputs == [len(classes)] else ())


def _file(path: Path, field: str) -> Path:
    """The file of weights: `path` itself, or that of the run's supernet."""
    if not path.is_dir():
        if not path.exists():
            raise UserError(f"{field} = {path}: no such file; {_RIGHT}")
        if path.suffix != SUFFIX:
            raise UserError(f"{field} = {path}: {_RIGHT}")
        return path
    if not (path / "config.json").is_file():
        raise UserError(f"{field} = {path}: this folder holds no config.json, so it is no run; {_RIGHT}")
    if not (path / reuse.WEIGHTS).is_file():
        raise UserError(
            f"{field} = {path}: this run has no trained supernet ({reuse.WEIGHTS}); finish its training (danas train), "
            f"or give another run or one of its networks, retrain/NAME/weights{SUFFIX}"
        )
    return path / reuse.WEIGHTS


def _digest(path: Path, field: str) -> str:
    """SHA-256 of the file and of the class names that its run gives it."""
    found = hashlib.sha256(named_files.content(path, field))
    found.update("\n".join(_classes_beside(path)).encode())
    return found.hexdigest()


def _classes_beside(path: Path) -> tuple[str, ...]:
    """What the run that a file lies in says about its classes; () where there is no such run, or it does not say."""
    for folder in path.parents[1:3]:  # RUN/supernet/ and RUN/retrain/NAME/
        for place in (folder / ".phases" / "train.json", folder / "summary.json"):
            if (folder / "config.json").is_file() and place.is_file():
                names = disk.read_json(place).get("classes", ())
                if names and isinstance(names, list) and all(isinstance(name, str) for name in names):
                    return tuple(names)
    return ()


def _layer(arrays: Any, where: str) -> dict[str, np.ndarray]:
    """One layer's arrays as float32; UserError unless they are those of a convolution or a classifier."""
    if not isinstance(arrays, dict) or not {"kernel", "bias"} <= set(arrays) <= {"kernel", "bias", "scale"}:
        raise UserError(f"{where}: not the weights of a layer (kernel, bias, scale); {_RIGHT}")
    kernel = arrays["kernel"]
    if kernel.ndim not in (2, 3, 4) or not kernel.size:
        raise UserError(f"{where}: its kernel is {kernel.shape}; {_RIGHT}")
    for name, array in arrays.items():
        if array.dtype.kind != "f" or not np.isfinite(array).all():
            raise UserError(f"{where}/{name}: holds what is no finite float; {_RIGHT}")
        if name != "kernel" and array.shape != kernel.shape[-1:]:
            raise UserError(f"{where}/{name}: is {array.shape}, its kernel is {kernel.shape}; {_RIGHT}")
    return {name: array.astype(np.float32) for name, array in arrays.items()}
