"""The preprocessing in C against the view that networks are trained on, bit for bit."""

import ctypes
from math import gcd

import numpy as np
import pytest
from firmware_toys import WARNINGS, command, exported, need, write

from danas_jax.deploy.firmware.c_frame import Frame
from danas_jax.layers import LayerBuilder
from danas_jax.views.frame import pair, placed
from danas_jax.views.resize import area_weights, bilinear_weights, coarser, deployed_view, grey

# network's side, or height and width, and channels, channels of the frame, resize, bit depth
AREA = [(32, 1, 3, "area", 8), (48, 3, 3, "area", 8), (33, 1, 1, "area", 8), (7, 3, 3, "area", 8)]
BILINEAR = [(32, 1, 3, "bilinear", 4), (48, 3, 3, "bilinear", 8), (33, 1, 1, "bilinear", 1), (7, 3, 3, "bilinear", 5)]
CASES = [*AREA, *BILINEAR, (24, 3, 3, "area", 3)]
WIDE = [((24, 32), 1, 3, "area", 8), ((33, 44), 3, 3, "bilinear", 5), ((40, 30), 1, 1, "area", 8)]
FITS = [(*case, fit) for case in (CASES[0], CASES[5], *WIDE) for fit in ("crop", "pad")]
SANITIZED = ["-g", "-fsanitize=undefined,address", "-fno-sanitize-recover=all"]


def network(size, channels):
    """The smallest network that reads such an input."""
    net = LayerBuilder((*pair(size), channels))
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
        size, channels, frame_channels, resize, bit_depth, *fit = case
        if case not in libraries:
            folder = tmp_path_factory.mktemp("preprocess")
            given = exported(network(size, channels), resize=resize, bit_depth=bit_depth, fit=(*fit, "stretch")[0])
            write(folder, "bare", *given, Frame(size, frame_channels))
            flags = ["-std=c99", "-pedantic", *WARNINGS, "-shared", "-fPIC"]
            command("gcc", *flags, "preprocess.c", "-o", "preprocess.so", cwd=folder)
            libraries[case] = ctypes.CDLL(str(folder / "preprocess.so"))
        result = np.full((*pair(size), channels), 99, np.int8)
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
    side, channels, frame_channels, resize, bit_depth = case
    rng = np.random.default_rng(side)
    sizes = [side, side + 1, 2 * side, *rng.integers(side, 5 * side, 22)]
    for size in sizes:
        frame = pixels(rng, size, size, frame_channels)
        replicated = np.broadcast_to(frame, (size, size, 3))[None]
        colour = "mono" if channels == 1 else "rgb"
        view = deployed_view(np.ascontiguousarray(replicated), side, colour, resize, bit_depth)[0]
        assert (preprocess(case, frame).astype(int) == view.astype(int) - 128).all(), size


def expected(frame, case, size):
    """What the deployed view sees of a frame: int [h, w, c] of the input."""
    _, channels, _, resize, bit_depth, *_ = case
    replicated = np.ascontiguousarray(np.broadcast_to(frame, (*frame.shape[:2], 3)))[None]
    colour = "mono" if channels == 1 else "rgb"
    return deployed_view(replicated, size, colour, resize, bit_depth)[0].astype(int) - 128


@pytest.mark.parametrize("case", WIDE)
def test_frames_of_the_inputs_aspect(preprocess, case):
    size, _, frame_channels, *_ = case
    rng, step = np.random.default_rng(2), np.array(size) // gcd(*size)
    for times in range(gcd(*size), 5 * gcd(*size), 3):
        frame = pixels(rng, *(times * step), frame_channels)
        assert (preprocess(case, frame) == expected(frame, case, size)).all(), frame.shape


@pytest.mark.parametrize("case", FITS)
def test_of_other_shapes_the_centre_is_seen_or_grey_is_beside_it(preprocess, case):
    """The parts are those of Python's rule, sizes random: wider and higher than the input, a pixel off, thin strips."""
    size, _, frame_channels, *_, fit = case
    height, width = pair(size)
    rng, refused = np.random.default_rng(3), 0
    sizes = [(height, 3 * width), (3 * height + 1, width), (2 * height, 2 * width), (height, 5), (9 * height, 2)]
    for shape in [*sizes, *rng.integers(height, 5 * height, (20, 2)).tolist()]:
        frame = pixels(rng, *shape, frame_channels)
        seen, shown = placed(shape, (height, width), fit)
        found = preprocess(case, frame)
        if seen.height < shown.height or seen.width < shown.width:
            refused += 1
            assert found is None, shape
            continue
        whole = expected(np.full((height, width, frame_channels), 128, np.uint8), case, size)
        whole[shown.slices] = expected(frame[seen.slices], case, shown[2:])
        assert (found == whole).all(), shape
    assert refused < 12


@pytest.mark.parametrize("case", CASES)
def test_other_shapes_are_squashed_by_the_weights_of_each_axis(preprocess, case):
    side, channels, frame_channels, resize, bit_depth = case
    rng, weights = np.random.default_rng(1), area_weights if resize == "area" else bilinear_weights
    for height, width in [(side, 3 * side), (2 * side, side), *rng.integers(side, 4 * side, (10, 2))]:
        frame = pixels(rng, height, width, frame_channels)
        across = (np.einsum("ix,yxc->yic", weights(int(width), side), frame.astype(np.int64)) + 128) >> 8
        down = (np.einsum("ky,yic->kic", weights(int(height), side), across) + 32768) >> 16
        down = down.astype(np.uint8)
        view = coarser(grey(down) if channels < frame_channels else down, bit_depth)
        assert (preprocess(case, frame).astype(int) == view.astype(int) - 128).all(), (height, width)


def test_nothing_is_read_or_written_outside(tmp_path):
    """Frames of random sizes in blocks of their exact sizes, with the compiler's sanitizers."""
    need("gcc")
    for case in (*((*c, "stretch") for c in (AREA[1], BILINEAR[0])), *FITS[:4], *FITS[-4:]):
        size, channels, frame_channels, resize, bit_depth, fit = case
        folder = tmp_path / "_".join(map(str, (fit, resize, *pair(size))))
        given = exported(network(size, channels), resize=resize, bit_depth=bit_depth, fit=fit)
        write(folder, "bare", *given, Frame(size, frame_channels))
        (folder / "all.c").write_text(EXACT_BLOCKS)
        command("gcc", "-std=c99", *WARNINGS, *SANITIZED, "all.c", "preprocess.c", "-o", "all", cwd=folder)
        command("./all", cwd=folder)


EXACT_BLOCKS = """
#include <stdlib.h>
#include "preprocess.h"
int main(void) {
  int k;
  for (k = 0; k < 40; ++k) {
    const int32_t width = DANAS_MODEL_WIDTH + (k < 4 ? k & 1 : rand() % 150);
    const int32_t height = DANAS_MODEL_HEIGHT + (k < 4 ? k >> 1 : rand() % 150);
    uint8_t *frame = malloc((size_t)(width * height * DANAS_FRAME_CHANNELS));
    int8_t *input = malloc(DANAS_MODEL_WIDTH * DANAS_MODEL_HEIGHT * DANAS_MODEL_CHANNELS);
    int32_t i;
    for (i = 0; i < width * height * DANAS_FRAME_CHANNELS; ++i) frame[i] = (uint8_t)rand();
    if (!danas_preprocess(frame, width, height, input) && DANAS_MODEL_FIT == 0) return 1;
    free(frame);
    free(input);
  }
  return 0;
}
"""


def test_a_frame_that_would_have_to_grow_is_refused(preprocess):
    for height, width in ((31, 40), (40, 31)):
        assert preprocess(CASES[0], np.zeros((height, width, 3), np.uint8)) is None
