"""Which file a teacher's name means, and its digest: found at the start of a run. No jax."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from pathlib import Path
from typing import Any, TypeVar

from danas_jax import run, untrusted
from danas_jax.config import TeacherSettings
from danas_jax.errors import UserError

MAX_FILE_BYTES = 2 * 2**30
SUFFIXES = (".tflite", ".onnx")
EXPORTED = "model_int8.tflite"  # as deploy/export.py calls it

S = TypeVar("S", bound=TeacherSettings)


def resolved(settings: S, section: str) -> S:
    """The settings with the teacher's own file, absolute, and its digest; UserError where there is no such file.

    A file that is gone keeps the digest it had: a run that is done needs no teacher.
    """
    if not settings.teacher:
        return dataclasses.replace(settings, teacher_sha256="")
    if settings.teacher_sha256 and not os.path.exists(settings.teacher):
        return settings
    path = _file(Path(os.path.abspath(os.path.expanduser(settings.teacher))), f"{section}.teacher")
    digest = hashlib.sha256(content(path, f"{section}.teacher")).hexdigest()
    changes: dict[str, Any] = {"teacher": str(path), "teacher_sha256": digest}
    return dataclasses.replace(settings, **changes)


def content(path: Path | str, field: str) -> bytes:
    """The bytes of a teacher's file; UserError naming `field` where it cannot be read."""
    try:
        return untrusted.read_bytes(path, MAX_FILE_BYTES)
    except OSError as error:
        raise UserError(f"{field} = {path}: {error.strerror or error}") from error


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
        entries = run.read_json(path / "summary.json")["finalists"]
        best = max(entries, key=lambda entry: entry["accuracy"]["int8_validation"])
        return untrusted.inside(path, best["files"]["tflite"], "files.tflite")
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{field} = {path}: its summary.json is damaged ({type(error).__name__}: {error})") from error
