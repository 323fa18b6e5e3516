"""Tiny teachers in files: an int8 .tflite of our own writer, and .onnx networks of one matrix."""

from pathlib import Path

import numpy as np
import pytest
from deploy_nets import int8_network

from danas_jax.config import RetrainSettings
from danas_jax.deploy import tflite_writer
from danas_jax.layers import LayerBuilder
from danas_jax.teachers import named
from danas_jax.teachers.teacher import open_teacher

SIZE = 16


def tflite_model(channels=3, outputs=2, seed=0):
    """A quantised network of SIZE px."""
    net = LayerBuilder((SIZE, SIZE, channels))
    net.conv("stem", 6, stride=2)
    net.dense("flat", outputs)
    return int8_network(net.build(), seed=seed)


def tflite_file(path: Path, model=None, metadata=None) -> Path:
    """The file of a model."""
    path.write_bytes(tflite_writer.write_tflite(model or tflite_model(), metadata or {}))
    return path


def onnx_file(path: Path, weights, bias, shape=("n", 3, SIZE, SIZE), softmax=False, op="", inputs="FLOAT") -> Path:
    """The means of each channel times `weights` [channels, outputs], and `bias`; `op` is put in front."""
    onnx = pytest.importorskip("onnx", reason="onnx is not installed: pip install onnx")
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: pip install 'danas-jax[teacher]'")
    weights, bias = np.asarray(weights, np.float32), np.asarray(bias, np.float32)
    helper, kinds = onnx.helper, onnx.TensorProto
    nodes = [helper.make_node(op, ["x"], ["front"])] if op else []
    nodes += [
        helper.make_node("Cast", ["front" if op else "x"], ["real"], to=kinds.FLOAT),
        helper.make_node("GlobalAveragePool", ["real"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["flat"]),
        helper.make_node("Gemm", ["flat", "w", "b"], ["logits" if softmax else "y"]),
    ]
    nodes += [helper.make_node("Softmax", ["logits"], ["y"], axis=1)] if softmax else []
    graph = helper.make_graph(
        nodes,
        "teacher",
        [helper.make_tensor_value_info("x", getattr(kinds, inputs), list(shape))],
        [helper.make_tensor_value_info("y", kinds.FLOAT, [shape[0], len(bias)])],
        [onnx.numpy_helper.from_array(weights, "w"), onnx.numpy_helper.from_array(bias, "b")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


def settings_of(path: Path, **values) -> RetrainSettings:
    """Retraining with the teacher in a file, as a run's start finds it."""
    return named.resolved(RetrainSettings(teacher=str(path), **values), "retrain")


def opened(path: Path, classes=("absent", "present"), **values):
    """The teacher in a file."""
    return open_teacher(settings_of(path, **values), "retrain", tuple(classes))
