"""From the user's files to raw examples as training's were: pictures, wav files, rows of .npz arrays."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from danas_jax.config_io import load_view
from danas_jax.data import decode, sound
from danas_jax.data.sources.npz import read_windows
from danas_jax.errors import UserError
from danas_jax.views.base import NetworkInput
from danas_jax.views.frame import SQUARE
from danas_jax.views.image import ImageData, ImageView
from danas_jax.views.resize import fit_of, native_size_of, view_of

EXTENSIONS = {"image": decode.EXTENSIONS, "audio": sound.EXTENSIONS, "series": (".npz",)}


def network_input(data: Mapping) -> NetworkInput:
    """What the network of a manifest's `data` reads; KeyError, TypeError, ValueError, UserError where it is damaged."""
    if "view" not in data:
        _, colour, resize, bit_depth = view_of(data)
        seen = ImageData(data["resolution_px"], colour, resize, bit_depth, data.get("aspect", SQUARE))
        view = ImageView((seen.resolution_px,), (colour,), (resize,), (bit_depth,), seen.aspect)
        return NetworkInput(view, seen)
    view = load_view(data["view"])
    return NetworkInput(view, view.data(**{axis.name: data[axis.name] for axis in view.axes}))


def files_of(path: Path, kind: str) -> list[Path]:
    """The file at `path`, or every file of that kind of view below the folder, sorted. UserError when there is none."""
    if not path.exists():
        raise UserError(f"{path} does not exist: give a file or a folder of files")
    if not path.is_dir():
        return [path]
    endings = EXTENSIONS[kind]
    files = sorted(file for file in path.rglob("*") if file.suffix.lower() in endings and file.is_file())
    if not files:
        raise UserError(f"folder {path} holds nothing to predict: give files ending in {', '.join(endings)}")
    return files


def raw_examples(file: Path, source: NetworkInput, data: Mapping) -> dict[str, np.ndarray]:
    """{name: raw example} of a file: of one picture or clip, or of each row of an array. UserError names the file."""
    kind = source.view.kind
    if kind == "image":
        return {str(file): decode.read_image(file, native_size_of(data), fit=fit_of(data))}
    if kind == "audio":
        try:
            content = file.read_bytes()
            return {str(file): sound.read_wav(content, data["view"]["native_rate_hz"], data["raw_shape"][0])}
        except (OSError, ValueError) as error:
            raise UserError(f"{file}: cannot be read ({error})") from error
    windows = read_windows(file, tuple(data["raw_shape"]), data.get("raw_scale"))
    return {f"{file}, row {row}": window for row, window in enumerate(windows)}
