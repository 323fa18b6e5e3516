"""The int8 network of a .tflite file that `tflite_writer` wrote: its inverse."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from tflite_micro.tensorflow.lite.micro.python import schema_py_generated as schema

from danas_jax.deploy.quantise import QuantisedLayer, QuantisedModel, Scale
from danas_jax.deploy.tflite_writer import read_metadata, write_tflite
from danas_jax.errors import UserError
from danas_jax.hardware.graph import NAMES, Graph, Tensor
from danas_jax.hardware.tflite_reader import parse
from danas_jax.layers import AVG_POOL, CONV, DENSE, DEPTHWISE, LayerSpec

_OPS = {name: op for op, name in NAMES.items()}


def _shape(tensor: Tensor) -> tuple[int, int, int]:
    height, width, channels = (1, 1, 1, *tensor.shape[1:])[-3:]
    return height, width, channels


def _kernel(op: str, stored: np.ndarray) -> np.ndarray:
    """The kernel in the training layout."""
    if op == CONV:
        return np.ascontiguousarray(stored.transpose(1, 2, 3, 0))
    return stored[0] if op == DEPTHWISE else np.ascontiguousarray(stored.T)


def load_tflite(tflite: bytes, source: str = "model") -> QuantisedModel:
    """The network in `tflite`, equal to what was written but for `batch_norm` (folded); `source` names it in errors.

    Raises UserError for a damaged file, and for one that `write_tflite` would not write just so.
    """
    graph = parse(tflite, source)
    try:
        found = _model(graph, schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(tflite, 0)))
        same = write_tflite(found, read_metadata(tflite) or {}) == tflite
    except (KeyError, TypeError, AttributeError, IndexError, ValueError, struct.error):
        same = False
    if not same:
        raise UserError(f"{source}: is no file that this version of danas writes: export again")
    return found


def _model(graph: Graph, model: Any) -> QuantisedModel:
    stored, layers = model.subgraphs[0].tensors, []

    def scale(index: int) -> Scale:
        quantisation = stored[index].quantization
        return Scale(float(quantisation.scale[0]), int(quantisation.zeroPoint[0]))

    def constant(index: int, dtype: str) -> np.ndarray:
        data = np.asarray(model.buffers[graph.tensors[index].buffer].data, np.uint8).tobytes()
        return np.frombuffer(data, np.dtype(dtype).newbyteorder("<")).astype(dtype).reshape(graph.tensors[index].shape)

    for operator in graph.operators:
        op, output = _OPS[operator.name], operator.outputs[0]
        weighted = op in (CONV, DEPTHWISE, DENSE)
        sources = [graph.tensors[i] for i in (operator.inputs[:1] if weighted else operator.inputs)]
        spec = LayerSpec(
            name=graph.tensors[output].name,
            op=op,
            inputs=tuple(source.name for source in sources),
            in_shape=_shape(sources[0]),
            out_shape=_shape(graph.tensors[output]),
            kernel=operator.kernel,
            stride=1 if op == AVG_POOL else operator.stride[0],  # a pool's window is the map, its stride says nothing
            activation=operator.activation,
        )
        parts = {}
        if weighted:
            kernel, bias = operator.inputs[1:]
            parts = {
                "kernel": _kernel(op, constant(kernel, "int8")),
                "kernel_scales": np.asarray(stored[kernel].quantization.scale, np.float32),
                "bias": constant(bias, "int32"),
            }
        layers.append(QuantisedLayer(spec, scale(output), **parts))
    return QuantisedModel(tuple(layers), scale(graph.inputs[0]))
