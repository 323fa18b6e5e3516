"""From the user's files to raw examples as training's were: pictures, wav files, rows of .npz arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path

import numpy as np

from danas_jax import untrusted
from danas_jax.config_io import load_view
from danas_jax.data import decode, sound
from danas_jax.data.sources.npz import MIN_SCALE, read_windows
from danas_jax.errors import UserError
from danas_jax.views.base import NetworkInput
from danas_jax.views.frame import SQUARE
from danas_jax.views.image import ImageData, ImageView
from danas_jax.views.resize import fit_of, native_size_of, view_of

MAX_NATIVE_PX = 8192
MAX_RAW = 2**26  # numbers of one raw example
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


def check_raw(data: Mapping, shape: Sequence[int], where: str) -> None:
    """UserError, naming `where`, unless a manifest's `data` tells a raw example that a network of input `shape` reads.

    Memory is asked for by what it says.
    """

    def need(ok: bool, name: str) -> None:
        if not ok:
            raise UserError(f"{where}: data.{name} = {data.get(name)!r}: export again")

    def size(value: object, most: int) -> bool:
        return type(value) is int and 1 <= value <= most

    if "view" not in data or data["view"].get("kind") == ImageView.kind:
        native, least = data.get("native_resolution_px"), shape[1]
        need(native is None or (size(native, MAX_NATIVE_PX) and native >= least), "native_resolution_px")
        try:
            need("view" in data or max(native_size_of(data)) <= MAX_NATIVE_PX, "native_resolution_px")
        except ValueError as error:
            raise UserError(f"{where}: data.native_resolution_px = {native!r}: {error}; export again") from error
        return
    axes, scale = data.get("raw_shape") or [], data.get("raw_scale")
    sizes = isinstance(axes, list) and len(axes) in (1, 2) and all(size(one, MAX_RAW) for one in axes)
    need(sizes and prod(axes) <= MAX_RAW, "raw_shape")
    numbers = isinstance(scale, list) and all(isinstance(s, int | float) and s >= MIN_SCALE for s in scale)
    need(scale is None or (numbers and len(scale) in (1, axes[-1])), "raw_scale")


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
            content = untrusted.read_bytes(file, untrusted.MAX_EXAMPLE_BYTES)
            return {str(file): sound.read_wav(content, data["view"]["native_rate_hz"], data["raw_shape"][0])}
        except (OSError, ValueError) as error:
            raise UserError(f"{file}: cannot be read ({error})") from error
    windows = read_windows(file, tuple(data["raw_shape"]), data.get("raw_scale"))
    return {f"{file}, row {row}": window for row, window in enumerate(windows)}
