"""One network to its int8 files: fold, quantise, write, prove on TensorFlow Lite Micro, header, manifest."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from danas_jax import disk
from danas_jax.config import ExportSettings, RetrainSettings
from danas_jax.data.dataset import Split
from danas_jax.deploy import operating_point
from danas_jax.deploy.answers import Answers, answers_of, answers_path, write_answers
from danas_jax.deploy.header import c_header
from danas_jax.deploy.int8 import int8_network
from danas_jax.deploy.tflite_writer import write_tflite
from danas_jax.deploy.verify import run_tflm, verify
from danas_jax.layers import LayerSpec
from danas_jax.views.base import NetworkInput
from danas_jax.views.frame import FITS

FILES = {"tflite": "model_int8.tflite", "header": "model.h", "manifest": "manifest.json"}


def export(
    folder: Path,
    name: str,
    layers: tuple[LayerSpec, ...],
    source: NetworkInput,
    params: dict,
    stats: dict,
    predicted: dict,
    settings: ExportSettings,
    recipe: RetrainSettings,
    training: Split,
    validation: Split,
    classes: tuple[str, ...],
    seed: int,
    log: Callable[[dict], None],
) -> dict:
    """Write <folder>/{model_int8.tflite, model.h, manifest.json} and the answers on validation, float and int8.

    `recipe`: the retraining's, for fine-tuning, whose epochs `log` gets and whose checkpoints are in <folder>/qat.
    Returns measured memory, int8 validation accuracy and how it was quantised; validation picks the operating point.
    Raises VerificationError when TFLM disagrees with the integer simulation or needs more than the stated arena.
    """
    chosen, judge, quantisation = int8_network(
        layers, source, params, stats, settings, recipe, training, validation, seed, folder / "qat", log
    )
    model = chosen.model
    view = source.manifest(training.raw.shape[1:])
    if training.scale:
        view["raw_scale"] = list(training.scale)
    if training.fit != FITS[0]:
        view["fit"] = training.fit
    stored = {name: value for name, value in view.items() if name != "view"}  # that is in the manifest: flash is dear
    tflite = write_tflite(model, {"data": stored, "classes": list(classes)})
    proof = verify(tflite, model, judge.images[: settings.verify_images])
    answers = answers_of(chosen.codes, validation)
    write_answers(answers_path(folder, "int8_validation"), answers)
    write_answers(answers_path(folder, "float_validation"), answers_of(judge.float_logits, validation))
    measured = {"arena_bytes": proof["arena_bytes"], "file_bytes": len(tflite)}
    manifest = {
        "id": name,
        "classes": list(classes),
        "multi_label": validation.labels.ndim == 2,
        "data": view,
        "input": {"dtype": "int8", **asdict(model.input), "shape": [1, *model.input_shape]},
        "output": {"dtype": "int8", **asdict(model.output), "shape": [1, len(classes)]},
        "operating_point": operating_point.pick(answers.logits, answers.labels, classes, settings),
        "memory": {"predicted": predicted, "measured": measured},
        "operators": proof["operators"],
        "quantisation": quantisation,
        "sha256": hashlib.sha256(tflite).hexdigest(),
    }
    disk.write_bytes(folder / FILES["tflite"], tflite)
    disk.write_text(folder / FILES["header"], c_header(tflite, manifest))
    disk.write_json(folder / FILES["manifest"], manifest)
    return {
        "measured": measured,
        "int8_validation": chosen.accuracy,
        "verified_images": proof["images"],
        "quantisation": quantisation,
    }


def test_answers(folder: Path, source: NetworkInput, test: Split) -> Answers:
    """What the exported file itself, run by TFLM, answers to the test images."""
    tflite = (folder / FILES["tflite"]).read_bytes()
    return answers_of(run_tflm(tflite, source.deployed(test.raw)), test)
