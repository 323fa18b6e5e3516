"""Exported models on image files, through the very preprocessing and interpreter of the device."""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path

import numpy as np

from danas_jax.data.folder import EXTENSIONS, read_image
from danas_jax.data.views import deployed_view
from danas_jax.deploy.verify import VerificationError, run_tflm, shapes
from danas_jax.errors import UserError

MODEL_NAME, MANIFEST_NAME, SUMMARY_NAME = "model_int8.tflite", "manifest.json", "summary.json"


def _read_json(path: Path, what: str) -> dict:
    try:
        value = json.loads(path.read_text())
    except OSError as error:
        raise UserError(f"{what} {path} cannot be read ({error.strerror}): give a finished run or export") from error
    except ValueError as error:
        raise UserError(f"{what} {path} is not JSON ({error}): export again") from error
    if not isinstance(value, dict):
        raise UserError(f"{what} {path} holds a {type(value).__name__}, not an object: export again")
    return value


def _best_export(run_dir: Path) -> Path:
    """The .tflite of the run's finalist with the best int8 validation accuracy (baselines do not count)."""
    summary = _read_json(run_dir / SUMMARY_NAME, "summary")
    try:
        finalists = [f for f in summary["finalists"] if f["kind"] == "candidate"]
        ranked = sorted(finalists, key=lambda f: f["accuracy"]["int8_validation"], reverse=True)
        files = [run_dir / f["files"]["tflite"] for f in ranked]
    except (KeyError, TypeError) as error:
        raise UserError(f"{run_dir / SUMMARY_NAME}: finalists lack {error}: finish the run first") from error
    if not files:
        raise UserError(f"{run_dir / SUMMARY_NAME} lists no exported candidate: finish the run or name a .tflite file")
    return files[0]


def load_export(path: Path) -> tuple[bytes, dict]:
    """(bytes, manifest) of an export: a .tflite file, its folder, or a run directory. UserError when they disagree."""
    if not path.exists():
        raise UserError(f"model {path} does not exist: give a .tflite file or a run directory")
    if path.is_dir():
        path = path / MODEL_NAME if (path / MODEL_NAME).exists() else _best_export(path)
    try:
        tflite = path.read_bytes()
    except OSError as error:
        raise UserError(f"model {path} cannot be read ({error.strerror}): export again") from error
    if tflite[4:8] != b"TFL3":
        raise UserError(f"model {path} ({len(tflite)} B) is not a .tflite file: export again")
    manifest = _read_json(path.parent / MANIFEST_NAME, "manifest")
    where = path.parent / MANIFEST_NAME
    try:
        data, shape = manifest["data"], [int(size) for size in manifest["input"]["shape"]]
        right = [1, data["resolution_px"], data["resolution_px"], {"mono": 1, "rgb": 3}[data["colour"]]]
        output, classes, digest = manifest["output"], manifest["classes"], manifest["sha256"]
        zero_point, scale = int(output["zero_point"]), float(output["scale"])
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"manifest {where}: field {error} is missing or wrong: export again") from error
    found = hashlib.sha256(tflite).hexdigest()
    if found != digest:
        raise UserError(f"manifest {where}: sha256 {digest} but {path.name} has {found}: keep the two files together")
    if not (np.isfinite(scale) and scale > 0 and -128 <= zero_point <= 127):
        raise UserError(f"manifest {where}: output = {output}: a positive scale and an int8 zero_point are right")
    if shape != right:
        raise UserError(f"manifest {where}: input.shape {shape}, its data configuration says {right}: export again")
    if not isinstance(classes, list) or not classes:
        raise UserError(f"manifest {where}: classes = {classes!r}: a list of names is right; export again")
    try:
        held, given = shapes(tflite)
    except (struct.error, TypeError, AttributeError, IndexError, ValueError) as error:
        raise UserError(f"model {path} ({len(tflite)} B) is damaged ({error}): export again") from error
    if held != shape:
        raise UserError(f"manifest {where}: input.shape {shape}, the file reads {held}: keep the two files together")
    if given[-1] != len(classes):
        raise UserError(f"manifest {where}: {len(classes)} classes, the file gives {given[-1]}: export again")
    native = data.get("native_resolution_px")
    if native is not None and (not isinstance(native, int) or native < data["resolution_px"]):
        raise UserError(f"manifest {where}: data.native_resolution_px = {native!r}: export again")
    return tflite, manifest


def image_files(path: Path) -> list[Path]:
    """The image at `path`, or every image below the folder, sorted. UserError when there is none."""
    if not path.exists():
        raise UserError(f"image {path} does not exist: give an image file or a folder of images")
    if not path.is_dir():
        return [path]
    files = sorted(file for file in path.rglob("*") if file.suffix.lower() in EXTENSIONS and file.is_file())
    if not files:
        raise UserError(f"folder {path} holds no image: give files ending in {', '.join(EXTENSIONS)}")
    return files


def predict_files(model: str | Path, images: str | Path) -> list[dict]:
    """Per image {"file", "label", "scores": {class: probability}} from an exported int8 model, run by TFLM.

    `model`: a .tflite file beside its manifest.json, or a run directory (its best finalist); `images`: file or folder.
    UserError for anything missing, unreadable or inconsistent.
    """
    tflite, manifest = load_export(Path(model))
    data, classes, output = manifest["data"], manifest["classes"], manifest["output"]
    files = image_files(Path(images))
    # the very decoding and squashing that training's pictures went through
    native_px = data.get("native_resolution_px") or data["resolution_px"]
    views = np.concatenate(
        [deployed_view(read_image(file, native_px)[None], data["resolution_px"], data["colour"]) for file in files]
    )
    try:
        codes = run_tflm(tflite, views)
    except (VerificationError, struct.error) as error:
        raise UserError(f"model {model} does not run: {error}; export again") from error
    logits = (codes.astype(np.float64) - int(output["zero_point"])) * float(output["scale"])
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    scores = powers / powers.sum(axis=1, keepdims=True)
    return [
        {"file": str(file), "label": classes[row.argmax()], "scores": dict(zip(classes, row.tolist(), strict=True))}
        for file, row in zip(files, scores, strict=True)
    ]
