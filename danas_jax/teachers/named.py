"""Which file a teacher's name means, and its digest: found at the start of a run. No jax."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TypeVar

from danas_jax import disk, named_files, untrusted
from danas_jax.config import TeacherSettings
from danas_jax.errors import UserError

SUFFIXES = (".tflite", ".onnx")
EXPORTED = "model_int8.tflite"  # as deploy/export.py calls it

S = TypeVar("S", bound=TeacherSettings)


def resolved(settings: S, section: str) -> S:
    """The settings with the teacher's own file, absolute, and its digest; UserError where there is no such file.

    A file that is gone keeps the digest it had: a run that is done needs no teacher.
    """
    return named_files.resolved(settings, section, ("teacher", "teacher_sha256"), _file, _digest)


def _digest(path: Path, field: str) -> str:
    return hashlib.sha256(named_files.content(path, field)).hexdigest()


def _file(path: Path, field: str) -> Path:
    """The model's file: `path` itself, that of an export, or of the run's network that validates best in int8."""
    if not path.is_dir():
        if path.suffix not in SUFFIXES:
            raise UserError(f"{field} = {path}: give a .tflite or .onnx file, or the folder of a run")
        return path
    if (path / EXPORTED).is_file():
        return path / EXPORTED
    if not (path / "summary.json").is_file():
        raise UserError(f"{field} = {path}: this folder holds no summary.json, so it is no run with exported networks")
    try:
        entries = disk.read_json(path / "summary.json")["finalists"]
        best = max(entries, key=lambda entry: entry["accuracy"]["int8_validation"])
        return untrusted.inside(path, best["files"]["tflite"], "files.tflite")
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{field} = {path}: its summary.json is damaged ({type(error).__name__}: {error})") from error
