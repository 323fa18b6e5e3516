"""Small .tflite files of any operators, built by hand for tests."""

from math import prod

import flatbuffers
import numpy as np

from danas_jax.deploy.tflite_writer import schema

OP, KIND, TYPE = schema.BuiltinOperator, schema.BuiltinOptions, schema.TensorType


def int8(name, *shape, scales=0):
    """An activation."""
    return name, shape, TYPE.INT8, None, scales


def constant(name, *shape, kind=TYPE.INT8, element=1, scales=0):
    """Zeros stored in the file."""
    return name, shape, kind, bytes(element * prod(shape)), scales


def numbers(*values):
    """A constant of int32 numbers in one dimension: paddings, axes, a shape."""
    return "", (len(values),), TYPE.INT32, np.asarray(values, np.int32).tobytes(), 0


def _quantisation(shape, kind, data, scales):
    """`scales` equal scales such that a bias's is that of its input times its kernel's."""
    if not scales:
        return None
    kernel = data is not None and kind == TYPE.INT8
    return schema.QuantizationParametersT(
        scale=np.full(scales, 1 if kernel else 1 / 256, np.float32),
        zeroPoint=np.full(scales, -128 if data is None else 0, np.int64),
        quantizedDimension=3 if len(shape) == 4 and shape[0] == 1 else 0,
    )


def written(tensors, operators, inputs=(0,), outputs=(-1,), subgraphs=1, version=3):
    """The bytes of a file; equal data share one buffer, as converters have it.

    A tensor is (name, shape, type, data or None, scales), an operator (code, inputs, outputs, options).
    """
    stored = [b"", *dict.fromkeys(t[3] for t in tensors if t[3])]
    table = schema.SubGraphT(
        tensors=[
            schema.TensorT(
                name=name,
                shape=np.asarray(shape, np.int32),
                type=kind,
                buffer=stored.index(data or b""),
                quantization=_quantisation(shape, kind, data, scales),
            )
            for name, shape, kind, data, scales in tensors
        ],
        inputs=np.asarray(inputs, np.int32),
        outputs=np.asarray([i if i >= 0 else len(tensors) - 1 for i in outputs], np.int32),
        operators=[
            schema.OperatorT(
                opcodeIndex=i,
                inputs=np.asarray(reads, np.int32),
                outputs=np.asarray(writes, np.int32),
                builtinOptionsType=getattr(KIND, type(options).__name__[:-1], 0),
                builtinOptions=options,
            )
            for i, (_, reads, writes, options) in enumerate(operators)
        ],
    )
    codes = [schema.OperatorCodeT(deprecatedBuiltinCode=min(o[0], 127), builtinCode=o[0]) for o in operators]
    buffers = [schema.BufferT(data=np.frombuffer(d, np.uint8) if d else None) for d in stored]
    return packed(schema.ModelT(version=version, operatorCodes=codes, subgraphs=[table] * subgraphs, buffers=buffers))


def packed(model):
    """The bytes of a schema.ModelT."""
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def quantised(name, shape, kind, scale, zero_point):
    """An activation of one scale and zero point, as a schema.TensorT."""
    quantisation = schema.QuantizationParametersT(
        scale=np.array([scale], np.float32), zeroPoint=np.array([zero_point], np.int64)
    )
    return schema.TensorT(name=name, shape=np.asarray(shape, np.int32), type=kind, quantization=quantisation)


def changed(tflite, edit):
    """A file's bytes after edit(subgraph, code), which changes the schema.SubGraphT; code(OP.X) is X's index."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(tflite, 0))

    def code(number):
        model.operatorCodes.append(schema.OperatorCodeT(deprecatedBuiltinCode=min(number, 127), builtinCode=number))
        return len(model.operatorCodes) - 1

    edit(model.subgraphs[0], code)
    return packed(model)
