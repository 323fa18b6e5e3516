"""Exported models on pictures, sound and series, through the very preprocessing and interpreter of the device."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from danas_jax import disk, untrusted
from danas_jax.deploy import operating_point
from danas_jax.deploy.classifier import parse_classifier, read_file
from danas_jax.deploy.examples import check_raw, files_of, network_input, raw_examples
from danas_jax.errors import UserError
from danas_jax.views.frame import FITS
from danas_jax.views.resize import fit_of, known_view, native_size_of

MODEL_NAME, MANIFEST_NAME, SUMMARY_NAME = "model_int8.tflite", "manifest.json", "summary.json"
_REMEDY = "give a finished run, or export again"


def _best_export(run_dir: Path) -> Path:
    """The .tflite of the run's finalist with the best int8 validation accuracy (baselines do not count)."""
    summary = disk.read_json(run_dir / SUMMARY_NAME, _REMEDY)
    try:
        finalists = [f for f in summary["finalists"] if f["kind"] == "candidate"]
        ranked = sorted(finalists, key=lambda f: f["accuracy"]["int8_validation"], reverse=True)
        names = [f["files"]["tflite"] for f in ranked]
    except (KeyError, TypeError) as error:
        raise UserError(f"{run_dir / SUMMARY_NAME}: finalists lack {error}: finish the run first") from error
    if not names:
        raise UserError(f"{run_dir / SUMMARY_NAME} lists no exported candidate: finish the run or name a .tflite file")
    return untrusted.inside(run_dir, names[0], f"{run_dir / SUMMARY_NAME}: files.tflite")


def model_path(path: Path) -> Path:
    """The .tflite file that `path` names: itself, in an export's folder, or a run's best finalist."""
    if not path.exists():
        raise UserError(f"model {path} does not exist: give a .tflite file or a run directory")
    if not path.is_dir():
        return path
    return path / MODEL_NAME if (path / MODEL_NAME).exists() else _best_export(path)


def load_export(path: Path) -> tuple[bytes, dict]:
    """(bytes, manifest) of an export: a .tflite file, its folder, or a run directory. UserError when they disagree."""
    path = model_path(path)
    tflite = read_file(path)
    model = parse_classifier(tflite, f"model {path}")
    where = f"manifest {path.parent / MANIFEST_NAME}"
    manifest = disk.read_json(path.parent / MANIFEST_NAME, _REMEDY)
    field = "data"
    try:
        data = manifest["data"]
        right = [1, *network_input(data).shape]
        field = "input.shape"
        shape = [int(size) for size in manifest["input"]["shape"]]
        field = "output, classes or sha256"
        output, classes, digest = manifest["output"], manifest["classes"], manifest["sha256"]
        field = "output"
        scale, zero_point = float(output["scale"]), int(output["zero_point"])
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError, UserError) as error:
        raise UserError(f"{where}: field {field} is missing or wrong ({error}): export again") from error
    found = hashlib.sha256(tflite).hexdigest()
    if found != digest:
        raise UserError(f"{where}: sha256 {digest} but {path.name} has {found}: keep the two files together")
    held = [1, *model.shape]
    if shape != right:
        raise UserError(f"{where}: input.shape {shape}, its data configuration says {right}: export again")
    if held != shape:
        raise UserError(f"{where}: input.shape {shape}, the file reads {held}: keep the two files together")
    if (scale, zero_point) != (model.output.scale, model.output.zero_point):
        raise UserError(
            f"{where}: output = {output}, the file gives scale {model.output.scale} and zero_point "
            f"{model.output.zero_point}: keep the two files together"
        )
    if not isinstance(classes, list) or not classes or not all(isinstance(name, str) for name in classes):
        raise UserError(f"{where}: classes = {classes!r}: a list of names is right; export again")
    if model.classes != len(classes):
        raise UserError(f"{where}: {len(classes)} classes, the file gives {model.classes}: export again")
    check_raw(data, shape, where)
    if "view" not in data and not known_view(data):
        raise UserError(f"{where}: data.fit = {fit_of(data)!r}: {', '.join(FITS)} are known; export again")
    operating_point.from_manifest(manifest, where)
    return tflite, manifest


class Predictor:
    """An exported model, loaded once. UserError for anything missing, unreadable or inconsistent."""

    def __init__(self, model: Path):
        path = model_path(model)
        tflite, manifest = load_export(path)
        self._model = parse_classifier(tflite, f"model {path}")
        self._interpreter = self._model.start()
        self._data, self._point = manifest["data"], manifest.get("operating_point")
        self.classes, self._multi_label = tuple(manifest["classes"]), bool(manifest.get("multi_label"))
        self.source = network_input(self._data)

    @property
    def native_px(self) -> tuple[int, int]:
        """(height, width) of the frame of training's pictures [px]; UserError where it reads no pictures."""
        if self.source.view.kind != "image":
            raise UserError(f"the model reads {self.source.text}, not pictures")
        return native_size_of(self._data)

    @property
    def fit(self) -> str:
        """How pictures of another shape were brought there."""
        return fit_of(self._data)

    def view(self, raw: np.ndarray) -> np.ndarray:
        """What the device sees of a raw example (a picture uint8 [H, W, 3] of `native_px`): uint8 [h, w, c]."""
        return self.source.deployed(raw[None])[0]

    def views(self, file: Path) -> dict[str, np.ndarray]:
        """{name: what the device sees} of the examples in a file; UserError when it cannot be read."""
        return {name: self.view(raw) for name, raw in raw_examples(file, self.source, self._data).items()}

    def __call__(self, views: np.ndarray) -> list[dict]:
        """{"label", "scores": {class: probability}} of each of uint8 views [N, h, w, c]; {"labels", "scores"} of many.

        With an operating point the scores are of the logits shifted by its threshold: the label's is always highest.
        """
        codes = operating_point.shifted(self._model.codes(self._interpreter, views), self.classes, self._point)
        logits = (codes - self._model.output.zero_point) * self._model.output.scale
        if self._multi_label:  # a probability each, and whichever is likelier than not is there
            return [
                {
                    "labels": [name for name, logit in zip(self.classes, row, strict=True) if logit > 0],
                    "scores": dict(zip(self.classes, (1 / (1 + np.exp(-row))).tolist(), strict=True)),
                }
                for row in logits
            ]
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        scores = powers / powers.sum(axis=1, keepdims=True)
        return [
            {"label": self.classes[row.argmax()], "scores": dict(zip(self.classes, row.tolist(), strict=True))}
            for row in scores
        ]


def predict_files(model: str | Path, files: str | Path) -> list[dict]:
    """Per example {"file", "label" or "labels", "scores": {class: probability}} from an exported int8 model, by TFLM.

    `model`: a .tflite file beside its manifest.json, or a run directory (its best finalist); `files`: a file or a
    folder of pictures, wav files or .npz arrays, as the model reads. UserError for anything missing, unreadable or
    inconsistent.
    """
    predictor = Predictor(Path(model))
    views: dict[str, np.ndarray] = {}
    for file in files_of(Path(files), predictor.source.view.kind):
        views |= predictor.views(file)
    return [{"file": name, **row} for name, row in zip(views, predictor(np.stack(list(views.values()))), strict=True)]
