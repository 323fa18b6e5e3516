"""Writes int8 .tflite files with flatbuffers and the schema of the tflite-micro wheel; no TensorFlow."""

from __future__ import annotations

import json

import flatbuffers
import numpy as np
from tflite_micro.tensorflow.lite.micro.python import schema_py_generated as schema

from danas_jax import untrusted
from danas_jax.deploy.quantise import INPUT_SCALE, QuantisedLayer, QuantisedModel, Scale
from danas_jax.layers import ADD, AVG_POOL, CONV, DENSE, DEPTHWISE, INPUT, MAX_POOL, POOLS, LayerSpec

METADATA_NAME = "danas"
BUFFER_ALIGNMENT = 16  # bytes; what the TFLite schema asks of constant data (SIMD loads on the device)

OPERATORS = {  # op -> (builtin code, version that first had int8)
    CONV: (schema.BuiltinOperator.CONV_2D, 3),
    DEPTHWISE: (schema.BuiltinOperator.DEPTHWISE_CONV_2D, 3),
    ADD: (schema.BuiltinOperator.ADD, 2),
    AVG_POOL: (schema.BuiltinOperator.AVERAGE_POOL_2D, 2),
    MAX_POOL: (schema.BuiltinOperator.MAX_POOL_2D, 2),
    DENSE: (schema.BuiltinOperator.FULLY_CONNECTED, 4),
}
ACTIVATIONS = {
    "none": schema.ActivationFunctionType.NONE,
    "relu": schema.ActivationFunctionType.RELU,
    "relu6": schema.ActivationFunctionType.RELU6,
}


class _AlignedBuffer(schema.BufferT):
    """A constant buffer whose data is aligned; the generated class drops the schema's force_align."""

    def Pack(self, builder):
        if self.data is None:
            return super().Pack(builder)
        builder.StartVector(1, len(self.data), BUFFER_ALIGNMENT)
        builder.head -= len(self.data)
        builder.Bytes[builder.head : builder.head + len(self.data)] = self.data
        data = builder.EndVector()
        schema.BufferStart(builder)
        schema.BufferAddData(builder, data)
        return schema.BufferEnd(builder)


def _quantisation(scales, zero_points, axis: int = 0) -> schema.QuantizationParametersT:
    return schema.QuantizationParametersT(
        scale=np.asarray(scales, np.float32).reshape(-1),
        zeroPoint=np.asarray(zero_points, np.int64).reshape(-1),
        quantizedDimension=axis,
    )


def _options(layer: QuantisedLayer) -> tuple[int, object]:
    """(builtin options type, options) of one operator."""
    spec, kinds = layer.spec, schema.BuiltinOptions
    act = ACTIVATIONS[spec.activation]
    if spec.op == CONV:
        return kinds.Conv2DOptions, schema.Conv2DOptionsT(
            padding=schema.Padding.SAME,
            strideW=spec.stride,
            strideH=spec.stride,
            fusedActivationFunction=act,
        )
    if spec.op == DEPTHWISE:
        return kinds.DepthwiseConv2DOptions, schema.DepthwiseConv2DOptionsT(
            padding=schema.Padding.SAME,
            strideW=spec.stride,
            strideH=spec.stride,
            depthMultiplier=1,
            fusedActivationFunction=act,
        )
    if spec.op == ADD:
        return kinds.AddOptions, schema.AddOptionsT(fusedActivationFunction=act)
    if spec.op in POOLS:
        height, width = spec.kernel
        return kinds.Pool2DOptions, schema.Pool2DOptionsT(
            padding=schema.Padding.VALID,
            strideW=width if spec.op == AVG_POOL else spec.stride,
            strideH=height if spec.op == AVG_POOL else spec.stride,
            filterWidth=width,
            filterHeight=height,
            fusedActivationFunction=act,
        )
    return kinds.FullyConnectedOptions, schema.FullyConnectedOptionsT(fusedActivationFunction=act)


def _stored_kernel(layer: QuantisedLayer) -> tuple[np.ndarray, int]:
    """(kernel in TFLite's layout, axis of its per-channel scales)."""
    kernel = layer.kernel
    assert kernel is not None
    if layer.spec.op == CONV:
        return kernel.transpose(3, 0, 1, 2), 0  # [out, k_h, k_w, in]
    if layer.spec.op == DEPTHWISE:
        return kernel[None], 3  # [1, k_h, k_w, c]
    return kernel.T, 0  # [out, in]


class _Graph:
    """The growing lists of one subgraph."""

    def __init__(self) -> None:
        self.buffers: list[schema.BufferT] = [schema.BufferT()]  # buffer 0 stands for "no data"
        self.tensors: list[schema.TensorT] = []
        self.operators: list[schema.OperatorT] = []
        self.codes: list[schema.OperatorCodeT] = []
        self.code_index: dict[int, int] = {}

    def buffer(self, data: bytes) -> int:
        self.buffers.append(_AlignedBuffer(data=data))
        return len(self.buffers) - 1

    def tensor(self, name: str, shape, kind: int, quantisation, data: np.ndarray | None = None) -> int:
        index = 0 if data is None else self.buffer(np.ascontiguousarray(data).tobytes())
        self.tensors.append(
            schema.TensorT(
                shape=np.asarray(shape, np.int32),
                type=kind,
                buffer=index,
                name=name,
                quantization=quantisation,
            )
        )
        return len(self.tensors) - 1

    def opcode(self, op: str) -> int:
        code, version = OPERATORS[op]
        if code not in self.code_index:
            self.code_index[code] = len(self.codes)
            self.codes.append(
                schema.OperatorCodeT(
                    deprecatedBuiltinCode=min(code, 127),
                    builtinCode=code,
                    version=version,
                )
            )
        return self.code_index[code]


def _add_layer(
    graph: _Graph,
    layer: QuantisedLayer,
    tensors: dict[str, int],
    scales: dict[str, Scale],
) -> None:
    spec = layer.spec
    inputs = [tensors[name] for name in spec.inputs]
    if layer.kernel is not None:
        assert layer.kernel_scales is not None and layer.bias is not None
        kernel, axis = _stored_kernel(layer)
        weights = np.asarray(layer.kernel_scales, np.float32)
        zeros = np.zeros(weights.size, np.int64)
        # the bias scale is the float32 product, as TFLite converters store it
        bias_scales = np.float32(scales[spec.inputs[0]].scale) * weights
        int8, int32 = schema.TensorType.INT8, schema.TensorType.INT32
        inputs += [
            graph.tensor(
                f"{spec.name}/kernel",
                kernel.shape,
                int8,
                _quantisation(weights, zeros, axis),
                kernel,
            ),
            graph.tensor(
                f"{spec.name}/bias",
                layer.bias.shape,
                int32,
                _quantisation(bias_scales, zeros),
                layer.bias,
            ),
        ]
    shape = (1, spec.out_shape[2]) if spec.op == DENSE else (1, *spec.out_shape)
    quantisation = _quantisation(layer.output.scale, layer.output.zero_point)
    tensors[spec.name] = graph.tensor(spec.name, shape, schema.TensorType.INT8, quantisation)
    scales[spec.name] = layer.output
    kind, options = _options(layer)
    graph.operators.append(
        schema.OperatorT(
            opcodeIndex=graph.opcode(spec.op),
            inputs=np.asarray(inputs, np.int32),
            outputs=np.asarray([tensors[spec.name]], np.int32),
            builtinOptionsType=kind,
            builtinOptions=options,
        )
    )


def write_tflite(model: QuantisedModel, metadata: dict) -> bytes:
    """The int8 .tflite file of `model`: one operator per layer in list order, int8 input [1, h, w, c], int8 logits.

    `metadata` (JSON-ready; the data configuration) is stored under the metadata name "danas".
    """
    graph = _Graph()
    quantisation = _quantisation(model.input.scale, model.input.zero_point)
    tensors = {INPUT: graph.tensor(INPUT, (1, *model.input_shape), schema.TensorType.INT8, quantisation)}
    scales = {INPUT: model.input}
    for layer in model.layers:
        _add_layer(graph, layer, tensors, scales)
    text = json.dumps(metadata, sort_keys=True, separators=(",", ":")).encode()
    subgraph = schema.SubGraphT(
        tensors=graph.tensors,
        inputs=np.asarray([tensors[INPUT]], np.int32),
        outputs=np.asarray([tensors[model.layers[-1].spec.name]], np.int32),
        operators=graph.operators,
        name="main",
    )
    root = schema.ModelT(
        version=3,
        operatorCodes=graph.codes,
        subgraphs=[subgraph],
        description="danas_jax",
        metadata=[schema.MetadataT(name=METADATA_NAME, buffer=graph.buffer(text))],
        buffers=graph.buffers,
    )
    builder = flatbuffers.Builder(1024)
    builder.Finish(root.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def read_metadata(tflite: bytes) -> dict | None:
    """The JSON stored under "danas" in a .tflite file, None when it has none."""
    model = schema.Model.GetRootAsModel(tflite, 0)
    for i in range(model.MetadataLength()):
        entry = model.Metadata(i)
        if entry.Name() == METADATA_NAME.encode():
            return untrusted.loads(model.Buffers(entry.Buffer()).DataAsNumpy().tobytes())
    return None


def random_model(layers: tuple[LayerSpec, ...], seed: int = 0) -> QuantisedModel:
    """An int8 network of this shape with random weights and plausible scales, for tests and arena measurements."""
    rng = np.random.default_rng(seed)
    done: list[QuantisedLayer] = []
    outputs = {INPUT: INPUT_SCALE}
    for spec in layers:
        source = outputs[spec.inputs[0]]
        output = source
        parts: dict = {}
        if spec.weight_shape:
            width = spec.out_shape[2]
            output = Scale(
                float(np.float32(rng.uniform(0.02, 0.06))),
                int(rng.integers(-20, 20)) if spec.activation == "none" else -128,
            )
            taps = np.prod(spec.weight_shape) // width
            # products of two int8 values have a spread near 74 * 40; this brings the sum to about 50 output steps
            spread = 50 * output.scale / (source.scale * 74 * 40 * np.sqrt(taps))
            count = 1 if spec.op == DENSE else width
            parts = {
                "kernel": np.clip(rng.normal(0, 40, spec.weight_shape).round(), -127, 127).astype(np.int8),
                "kernel_scales": (spread * rng.uniform(0.5, 1.5, count)).astype(np.float32),
            }
            steps = 20 * output.scale / (source.scale * parts["kernel_scales"])
            parts["bias"] = (rng.normal(0, 1, width) * steps).round().astype(np.int32)
        elif spec.op == ADD:
            output = Scale(float(np.float32(rng.uniform(0.04, 0.08))), int(rng.integers(-20, 20)))
        done.append(QuantisedLayer(spec, output, **parts))
        outputs[spec.name] = output
    return QuantisedModel(tuple(done))
