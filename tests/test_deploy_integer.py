"""The .tflite writer and the integer simulation against TFLM, tensor by tensor."""

import numpy as np
import pytest
from deploy_nets import int8_network, networks, pictures
from tflite_micro.python.tflite_micro import runtime
from tflite_micro.tensorflow.lite.micro.python import schema_py_generated as schema

from danas_jax.deploy import integer, kernels, quantise, tflite_writer, verify
from danas_jax.layers import LayerBuilder


@pytest.mark.parametrize("case", range(8))
def test_tflm_and_integer_forward_agree_on_every_logit(case):
    layers = networks()[case]
    model = int8_network(layers, seed=case)
    images = pictures(model.input_shape)
    logits = integer.integer_forward(model, images)
    assert np.ptp(logits.astype(int), axis=0).min() > 20  # the images do reach the output
    found = verify.verify(tflite_writer.write_tflite(model, {}), model, images)
    assert found["images"] == 8 and found["arena_bytes"] % 16 == 0


def test_every_intermediate_tensor_agrees():
    layers = networks()[7]
    model = int8_network(layers, seed=5)
    image = pictures(model.input_shape, count=1)
    keep = runtime.InterpreterConfig.kPreserveAllTensors
    tflite = tflite_writer.write_tflite(model, {})
    interpreter = runtime.Interpreter.from_bytes(tflite, arena_size=1 << 24, intrepreter_config=keep)
    interpreter.set_input((image.astype(np.int16) - 128).astype(np.int8), 0)
    interpreter.invoke()
    subgraph = schema.Model.GetRootAsModel(tflite, 0).Subgraphs(0)
    names = [subgraph.Tensors(i).Name().decode() for i in range(subgraph.TensorsLength())]
    for end in range(1, len(layers) + 1):
        part = type(model)(model.layers[:end], model.input)
        ours = integer.integer_forward(part, image).reshape(-1)
        theirs = interpreter.GetTensor(names.index(layers[end - 1].name), 0)["tensor_data"].reshape(-1)
        assert (ours == theirs).all(), layers[end - 1].name


def test_kernels_of_5_and_strides_of_odd_maps():
    net = LayerBuilder((33, 33, 1), activation="relu")
    net.conv("stem", 6, kernel=5, stride=2)
    net.depthwise("wide", 7, stride=2)
    net.conv("project", 6, activate=False)
    entry = net.last
    net.depthwise("more", 3)
    net.conv("back", 6, activate=False)
    net.add("sum", entry)
    net.dense("flat", 3)  # on a 9x9 map, no pooling
    model = int8_network(net.build())
    verify.verify(tflite_writer.write_tflite(model, {}), model, pictures(model.input_shape))


def test_rescale_rounds_twice():
    # 2.5 and -2.5 after the right shift: half away from zero; single rounding would give -2
    x, half = np.array([[5, -5, 7, -7]]), np.full(4, 1 << 30)
    assert integer.rescale(x, half, np.zeros(4, np.int64)).tolist() == [[3, -2, 4, -3]]
    x = np.array([[10, -10, 11, -11]])
    assert integer.rescale(x, half, np.full(4, -1)).tolist() == [[3, -3, 3, -3]]


@pytest.mark.parametrize(
    ("real", "expected"), [(0.5, (1 << 30, 0)), (1 - 2**-40, (1 << 30, 1)), (0.0, (0, 0)), (2.0**-40, (0, 0))]
)
def test_quantise_multiplier(real, expected):
    assert integer.quantise_multiplier(real) == expected


def test_wide_accumulators_leave_float32():
    net = LayerBuilder((2, 2, 1100))
    net.conv("wide", 4, activate=False)
    net.dense("out", 2)
    model = tflite_writer.random_model(net.build(), seed=2)
    wide, out = model.layers
    wide.kernel[:] = 127
    wide.kernel_scales[:] *= 0.01
    assert integer._Weighted(wide, model.input).dtype == np.float64
    assert integer._Weighted(out, wide.output).dtype == np.float32
    images = np.random.default_rng(0).integers(200, 256, (4, 2, 2, 1100)).astype(np.uint8)
    verify.verify(tflite_writer.write_tflite(model, {}), model, images)


@pytest.mark.parametrize("op", ["conv", "dense"])
def test_multipliers_are_exact_to_their_last_bit(op):
    """Biases that land on the border between two codes: one bit of the multiplier decides the code."""
    rng = np.random.default_rng(0)
    for _ in range(5):
        net = LayerBuilder((1, 1, 1))
        net.dense("out", 200) if op == "dense" else net.conv("out", 200, activate=False)
        source, output = (quantise.Scale(float(np.float32(rng.uniform(0.01, 0.05))), 0) for _ in range(2))
        scales = rng.uniform(3e-7, 5e-7, 1 if op == "dense" else 200).astype(np.float32)
        borders = np.arange(200) // 2 - 49.5
        bias = np.rint(borders * output.scale / (source.scale * scales.astype(np.float64))).astype(np.int32)
        kernel = np.zeros(net.build()[0].weight_shape, np.int8)
        layer = quantise.QuantisedLayer(net.build()[0], output, kernel, scales, bias)
        model = quantise.QuantisedModel((layer,), source)
        image = np.full((1, 1, 1, 1), 128, np.uint8)
        theirs = verify.run_tflm(tflite_writer.write_tflite(model, {}), image)
        assert (integer.integer_forward(model, image) == theirs).all()


def test_matmul_in_pieces_is_the_product():
    rng = np.random.default_rng(0)
    for n, k, m in ((1, 5000, 9), (300, 70, 41), (9, 3000, 100)):
        a, b = rng.integers(-9, 10, (n, k)).astype(np.float32), rng.integers(-9, 10, (k, m)).astype(np.float32)
        assert (kernels.matmul(a, b) == a.astype(np.int64) @ b.astype(np.int64)).all()


def test_file_layout():
    layers = networks()[0]
    model = tflite_writer.random_model(layers)
    tflite = tflite_writer.write_tflite(model, {"resolution_px": 32})
    assert tflite_writer.read_metadata(tflite) == {"resolution_px": 32}
    root = schema.Model.GetRootAsModel(tflite, 0)
    assert root.Version() == 3 and root.SubgraphsLength() == 1
    assert root.OperatorCodesLength() == len({layer.op for layer in layers})
    assert len(verify.operators(tflite)) == len(layers)
    for i in range(root.BuffersLength()):
        data = root.Buffers(i)
        if not data.DataIsNone():
            assert (data._tab.Vector(data._tab.Offset(4))) % 16 == 0


def test_images_of_another_shape_are_refused():
    model = tflite_writer.random_model(networks()[0])
    with pytest.raises(ValueError, match="need uint8"):
        integer.integer_forward(model, np.zeros((1, 8, 8, 3), np.uint8))
    with pytest.raises(ValueError, match="need uint8"):
        integer.integer_forward(model, np.zeros((1, *model.input_shape), np.float32))
