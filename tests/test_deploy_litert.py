"""An oracle that shares no code with TFLM's wheel or with ours: LiteRT's reference kernels (extra `export`)."""

import numpy as np
import pytest
from deploy_nets import batch_norm_network, networks, pictures

from danas_jax.deploy import fold, integer, quantise, ranges, tflite_writer, verify

IMAGES = 64


def litert(tflite: bytes, images: np.ndarray) -> np.ndarray:
    """int8 logits [N, classes] by LiteRT; XNNPACK, its default, rounds otherwise, so the resolver is pinned."""
    reason = "ai-edge-litert is not installed: pip install 'danas_jax[export]'"
    package = pytest.importorskip("ai_edge_litert.interpreter", reason=reason)
    interpreter = package.Interpreter(
        model_content=tflite, num_threads=1, experimental_op_resolver_type=package.OpResolverType.BUILTIN_REF
    )
    interpreter.allocate_tensors()
    source, target = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    assert (source["dtype"], target["dtype"]) == (np.int8, np.int8)
    logits = []
    for image in images:
        interpreter.set_tensor(source["index"], (image.astype(np.int16) - 128).astype(np.int8)[None])
        interpreter.invoke()
        logits.append(interpreter.get_tensor(target["index"]).reshape(-1))
    return np.stack(logits)


@pytest.mark.slow
@pytest.mark.parametrize("method", ranges.METHODS)
@pytest.mark.parametrize("case", range(8))
def test_reference_kernels_of_litert_agree_within_a_code(case, method):
    layers = networks()[case]
    calibrating = pictures(layers[0].in_shape, 32, seed=9)
    params, stats, _ = batch_norm_network(layers, calibrating, seed=case)
    folded = fold.fold_batch_norm(layers, params, stats)
    found = ranges.activation_ranges(layers, folded, calibrating, (method,), percentile=99.9)
    model = quantise.quantise(layers, folded, found[method])
    tflite, images = tflite_writer.write_tflite(model, {}), pictures(model.input_shape, IMAGES)
    theirs, ours = litert(tflite, images).astype(int), integer.integer_forward(model, images)
    assert (ours == verify.run_tflm(tflite, images)).all()
    assert np.ptp(ours.astype(int), axis=0).min() > 20  # the images do reach the output
    assert (np.abs(theirs - ours).max(axis=1) <= 1).mean() >= 0.99
