"""`danas data prepare NAME`: download a set of TensorFlow Datasets' catalogue and prepare it as array_record, once.

The only step that needs tensorflow. The library keeps finished downloads, so the same command resumes.
"""

from __future__ import annotations

import errno
import importlib.util
import math
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from danas_jax.console import say
from danas_jax.data.sources.tfds import library, prepared_folder, sets_folder
from danas_jax.errors import UserError

INSTALL = "pip install 'danas-jax[data-prep]'"
FILE_FORMAT = "array_record"


def prepare(name: str, data_dir: str, yes: bool, ask: Callable[[str], str] = input) -> Path | None:
    """The folder of the prepared set, None when the user said no. UserError on bad input, or too little disk space."""
    root = sets_folder(data_dir)
    if done := _prepared(name, data_dir):
        say(f"{name} is prepared in {done}")
        return done
    if missing := [module for module in ("tensorflow", "pandas") if not importlib.util.find_spec(module)]:
        raise UserError(f"danas data prepare needs {' and '.join(missing)}, training does not: {INSTALL}")
    builder = _builder(name, root)
    download, prepared = _sizes(builder)
    there = sum(file.stat().st_size for file in (root / "downloads").rglob("*") if file.is_file())
    left = max(0, download - there)
    say(
        f"{builder.info.full_name} into {builder.data_dir}: download {_text(download)}"
        + (f", of which {_text(min(there, download))} may be here already" if there and download else "")
        + f"; prepared {_text(prepared) if prepared else 'about as large as the download'}, and as much again while "
        "archives are unpacked; the downloads can be deleted afterwards"
    )
    needed, free = left + (prepared or download), shutil.disk_usage(_existing(root)).free
    if needed > free:
        raise UserError(f"--data-dir {root}: {_text(free)} are free, {_text(needed)} or more are needed")
    if not yes:
        if not sys.stdin.isatty():
            raise UserError("danas data prepare: nobody is here to ask; give --yes")
        if ask("go on? [y/N] ").strip().lower() not in ("y", "yes"):
            return None
    try:
        builder.download_and_prepare()
    except Exception as error:  # whatever the library and its downloads raise
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        text = str(error).strip().splitlines()
        reason = f"{type(error).__name__}: {text[0] if text else ''}"
        raise UserError(
            f"{name} is not prepared: {reason}; finished downloads are kept, the same command resumes"
        ) from (error)
    for split, info in builder.info.splits.items():
        say(f"{split}: {info.num_examples} examples")
    return Path(builder.data_dir)


def _prepared(name: str, data_dir: str) -> Path | None:
    """The folder of the set where it is prepared already, as array_record."""
    try:
        folder = prepared_folder(name, data_dir)
    except UserError:
        return None
    return folder if any(folder.glob(f"*.{FILE_FORMAT}*")) else None


def _builder(name: str, root: Path) -> Any:
    """The catalogue's builder. UserError for an unknown name, or one that needs more packages."""
    tfds = library()
    try:
        return tfds.builder(name, data_dir=str(root), file_format=FILE_FORMAT)
    except ModuleNotFoundError as error:
        raise UserError(f"{name} needs the package {error.name}: pip install {error.name}") from error
    except (tfds.core.DatasetNotFoundError, ValueError, AssertionError) as error:
        text = str(error).strip().splitlines()[0]
        raise UserError(
            f"NAME = {name!r}: {text} The catalogue: https://www.tensorflow.org/datasets/catalog"
        ) from error


def _sizes(builder: Any) -> tuple[int, int]:
    """(bytes to download, bytes prepared) as far as the builder knows, else 0."""
    listed = sum(max(0, info.size) for info in (builder.url_infos or {}).values())
    known = [0 if size is None or not math.isfinite(size) else int(size) for size in _info_sizes(builder.info)]
    return known[0] or listed, known[1]


def _info_sizes(info: Any) -> tuple[Any, Any]:
    return info.download_size, info.dataset_size


def _existing(path: Path) -> Path:
    """`path`, or the nearest folder above it that is there."""
    return next(p for p in (path.absolute(), *path.absolute().parents) if p.exists())


def _text(size: float) -> str:
    """`287.0 GB`, `12.5 MB`; unknown for 0."""
    if not size:
        return "of unknown size"
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"
