"""Validation pictures that an exported network gets right or wrong, as it sees them. Never of the test split."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from danas_jax import disk
from danas_jax.data.dataset import Split
from danas_jax.deploy.answers import Answers, answers_path, read_answers, real_valued
from danas_jax.errors import UserError
from danas_jax.task import decisions
from danas_jax.views.base import NetworkInput

EACH = 8  # most hits, and most misses, of a network


def examples_of(
    folder: Path, inputs: Mapping[str, NetworkInput], validation: Callable[[], Split]
) -> dict[str, list[dict[str, Any]]]:
    """Name of each exported network -> examples: {"name", "label", "answer": classes, "right", "png": base64}.

    UserError where the examples are no pictures, or the split is another than the network was measured on.
    """
    if {source.view.kind for source in inputs.values()} - {"image"}:
        raise UserError("they are of pictures only")
    split = validation()
    return {name: _of_network(folder / "export" / name, source, split) for name, source in inputs.items()}


def _of_network(export: Path, source: NetworkInput, split: Split) -> list[dict[str, Any]]:
    manifest = disk.read_json(export / "manifest.json")
    answers = real_valued(read_answers(answers_path(export, "int8_validation")), manifest["output"])
    if answers.names != tuple(split.names):
        raise UserError(f"{export} was measured on other validation examples than there are now")
    rows, right = chosen(answers), answers.right
    seen = source.deployed(split.raw[np.array(rows)])
    said, classes = _said(answers), tuple(manifest["classes"])
    return [
        {
            "name": split.names[i],
            "label": _names(_has(answers)[i], classes),
            "answer": _names(said[i], classes),
            "right": bool(right[i] == 1),
            "png": base64.b64encode(_png(picture)).decode(),
        }
        for i, picture in zip(rows, seen, strict=True)
    ]


def chosen(answers: Answers) -> list[int]:
    """Rows of up to EACH misses, those furthest on the wrong side first, and as many hits, evenly over the split."""
    right = answers.right == 1
    has, logits = _has(answers), answers.logits
    if answers.labels.ndim == 2:
        margin = np.where(has, logits, -logits).min(axis=1)
    else:
        margin = logits[has] - np.where(has, -np.inf, logits).max(axis=1)
    misses, hits = np.flatnonzero(~right), np.flatnonzero(right)
    misses = misses[np.argsort(margin[misses], kind="stable")][:EACH]
    hits = hits[np.linspace(0, len(hits) - 1, min(EACH, len(hits))).astype(int)]
    return [*misses.tolist(), *hits.tolist()]


def _has(answers: Answers) -> np.ndarray:
    """Which classes each example has, bool [N, classes]."""
    if answers.labels.ndim == 2:
        return answers.labels > 0
    return answers.labels[:, None] == np.arange(answers.logits.shape[1])


def _said(answers: Answers) -> np.ndarray:
    """Which classes the network says each example has, bool [N, classes]."""
    if answers.labels.ndim == 2:
        return decisions(answers.logits)
    return answers.logits.argmax(axis=1)[:, None] == np.arange(answers.logits.shape[1])


def _names(which: np.ndarray, classes: tuple[str, ...]) -> list[str]:
    return [name for name, there in zip(classes, which, strict=True) if there]


def _png(codes: np.ndarray) -> bytes:
    """uint8 [h, w, 1 or 3] as a PNG."""
    buffer = io.BytesIO()
    Image.fromarray(codes[..., 0] if codes.shape[2] == 1 else codes).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
