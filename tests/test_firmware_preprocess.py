"""The preprocessing in C against the view that networks are trained on, bit for bit."""

import ctypes

import numpy as np
import pytest
from firmware_toys import WARNINGS, command, exported, need, write

from danas_jax.deploy.firmware.c_config import Frame
from danas_jax.layers import LayerBuilder
from danas_jax.views.area import area_weights, deployed_view, grey

# network's side and channels, channels of the frame
CASES = [(32, 1, 3), (48, 3, 3), (33, 1, 1), (7, 3, 3)]


def network(side, channels):
    """The smallest network that reads such an input."""
    net = LayerBuilder((side, side, channels))
    net.conv("stem", 2, kernel=3, stride=2)
    net.pool("pool")
    net.dense("classifier", 2)
    return net.build()


@pytest.fixture(scope="module")
def preprocess(tmp_path_factory):
    """preprocess(case, frame [h, w, C]) -> int8 [R, R, c], compiled once per case; None where it refuses the frame."""
    need("gcc")
    libraries = {}

    def run(case, frame):
        side, channels, frame_channels = case
        if case not in libraries:
            folder = tmp_path_factory.mktemp("preprocess")
            write(folder, "bare", *exported(network(side, channels)), Frame(side, frame_channels))
            flags = ["-std=c99", "-pedantic", *WARNINGS, "-shared", "-fPIC"]
            command("gcc", *flags, "preprocess.c", "-o", "preprocess.so", cwd=folder)
            libraries[case] = ctypes.CDLL(str(folder / "preprocess.so"))
        result = np.full((side, side, channels), 99, np.int8)
        frame = np.ascontiguousarray(frame)
        pixels, numbers = ctypes.POINTER(ctypes.c_uint8), ctypes.POINTER(ctypes.c_int8)
        height, width = map(ctypes.c_int32, frame.shape[:2])
        done = libraries[case].danas_preprocess(
            frame.ctypes.data_as(pixels), width, height, result.ctypes.data_as(numbers)
        )
        return result if done else None

    return run


def pixels(rng, *shape):
    """Noise; now and then only black and white, where rounding shows most."""
    image = rng.integers(0, 256, shape, dtype=np.uint8)
    return image if rng.random() < 0.7 else np.where(image < 128, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("case", CASES)
def test_25_squares_of_random_sizes(preprocess, case):
    side, channels, frame_channels = case
    rng = np.random.default_rng(side)
    sizes = [side, side + 1, 2 * side, *rng.integers(side, 5 * side, 22)]
    for size in sizes:
        frame = pixels(rng, size, size, frame_channels)
        replicated = np.broadcast_to(frame, (size, size, 3))[None]
        view = deployed_view(np.ascontiguousarray(replicated), side, "mono" if channels == 1 else "rgb")[0]
        assert (preprocess(case, frame).astype(int) == view.astype(int) - 128).all(), size


@pytest.mark.parametrize("case", CASES)
def test_other_shapes_are_squashed_by_the_weights_of_each_axis(preprocess, case):
    side, channels, frame_channels = case
    rng = np.random.default_rng(1)
    for height, width in rng.integers(side, 4 * side, (10, 2)):
        frame = pixels(rng, height, width, frame_channels)
        across = (np.einsum("ix,yxc->yic", area_weights(int(width), side), frame.astype(np.int64)) + 128) >> 8
        down = (np.einsum("ky,yic->kic", area_weights(int(height), side), across) + 32768) >> 16
        view = grey(down.astype(np.uint8)) if channels < frame_channels else down
        assert (preprocess(case, frame).astype(int) == view.astype(int) - 128).all(), (height, width)


def test_a_frame_that_would_have_to_grow_is_refused(preprocess):
    for height, width in ((31, 40), (40, 31)):
        assert preprocess(CASES[0], np.zeros((height, width, 3), np.uint8)) is None
