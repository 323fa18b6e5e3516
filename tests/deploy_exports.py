"""Exports of random networks, as the files that the export phase leaves, for tests."""

import hashlib
import json
from functools import lru_cache

import numpy as np
from deploy_nets import batch_norm_network, networks, pictures

from danas_jax.deploy import tflite_writer
from danas_jax.deploy.fold import fold_batch_norm
from danas_jax.deploy.quantise import quantise
from danas_jax.deploy.ranges import min_max_ranges
from danas_jax.views.resize import deployed_view

CLASSES = ["cat", "dog"]
COLOURS = {1: "mono", 3: "rgb"}


@lru_cache
def network(case=0, seed=0):
    """A random network of two classes whose answers differ from picture to picture, half of them each class."""
    layers = networks()[case]
    side, _, channels = layers[0].in_shape
    images = deployed_view(np.concatenate([pictures((96, 96, 3), 1, i) for i in range(24)]), side, COLOURS[channels])
    params, stats, logits = batch_norm_network(layers, images, seed=seed)
    params[layers[-1].name]["bias"] -= np.median(logits - logits.mean(axis=1, keepdims=True), axis=0)
    folded = fold_batch_norm(layers, params, stats)
    return quantise(layers, folded, min_max_ranges(layers, folded, images))


def export(folder, case=0, seed=0, native=96, metadata=None):
    """A random network's files; returns the model."""
    model = network(case, seed)
    tflite = tflite_writer.write_tflite(model, metadata or {})
    side, _, channels = model.input_shape
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model_int8.tflite").write_bytes(tflite)
    manifest = {
        "schema_version": 1,
        "id": "x",
        "classes": CLASSES[: model.layers[-1].spec.out_shape[2]],
        "data": {
            "resolution_px": side,
            "colour": COLOURS[channels],
            "channels": channels,
            "native_resolution_px": native,
        },
        "input": {"dtype": "int8", "scale": 1 / 128, "zero_point": 0, "shape": [1, side, side, channels]},
        "output": {"scale": model.output.scale, "zero_point": model.output.zero_point},
        "sha256": hashlib.sha256(tflite).hexdigest(),
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return model


def change(folder, edit):
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    edit(manifest)
    path.write_text(json.dumps(manifest))
