"""The integer view against a slow reference in pure Python, written from the rule in resize.py, not from its code."""

import math
from fractions import Fraction

import numpy as np
import pytest

from danas_jax.views.resize import area_weights, bilinear_weights, coarser, deployed_view, grey, resized

SIZES = [(160, 96), (128, 48), (64, 48), (33, 32), (50, 7), (9, 1), (7, 6)]


def rounded(numerator: int, denominator: int) -> int:
    """Round half up, in integers."""
    return (2 * numerator + denominator) // (2 * denominator)


def reference_weights(source: int, size: int) -> list[list[int]]:
    rows = []
    for i in range(size):
        covered, row, before = 0, [], 0
        for j in range(source):
            covered += max(0, min((i + 1) * source, (j + 1) * size) - max(i * source, j * size))
            row.append(rounded(4096 * covered, source) - before)
            before = rounded(4096 * covered, source)
        rows.append(row)
    return rows


def reference_bilinear(source: int, size: int) -> list[list[int]]:
    """Centres as fractions, rounded half up to 4096ths of a pixel."""
    rows = []
    for i in range(size):
        centre = (2 * i + 1) * Fraction(source, 2 * size) - Fraction(1, 2)
        place = math.floor(4096 * centre + Fraction(1, 2))
        rows.append([max(0, 4096 - abs(place - 4096 * j)) for j in range(source)])
    return rows


REFERENCES = {"area": reference_weights, "bilinear": reference_bilinear}


def reference_resize(image: list, size: int, method: str) -> list:
    """One channel, list of rows, in Python integers."""
    source = len(image)
    weights = REFERENCES[method](source, size)
    rows = [[(sum(w[j] * p[j] for j in range(source)) + 128) >> 8 for w in weights] for p in image]
    return [[(sum(w[y] * rows[y][i] for y in range(source)) + 32768) >> 16 for i in range(size)] for w in weights]


@pytest.mark.parametrize(("source", "size"), [*SIZES, (5, 5)])
@pytest.mark.parametrize("method", REFERENCES)
def test_weights_are_the_stated_integers(method, source, size):
    weights = {"area": area_weights, "bilinear": bilinear_weights}[method](source, size)
    assert weights.tolist() == REFERENCES[method](source, size)
    assert (weights.sum(1) == 4096).all()
    assert weights.min() >= 0


@pytest.mark.parametrize(("source", "size"), SIZES)
@pytest.mark.parametrize("method", REFERENCES)
def test_resize_equals_the_integer_reference(method, source, size):
    images = np.random.default_rng(source).integers(0, 256, (2, source, source, 3), dtype=np.uint8)
    images[1] = np.where(images[1] > 127, 255, 0)  # extremes: the largest sums
    out = resized(images, size, method)
    for n in range(2):
        for c in range(3) if source < 100 else (n,):
            assert out[n, :, :, c].tolist() == reference_resize(images[n, :, :, c].tolist(), size, method)


@pytest.mark.parametrize("value", [0, 1, 127, 255])
def test_a_flat_picture_stays_flat(value):
    assert (resized(np.full((1, 160, 160, 1), value, np.uint8), 96) == value).all()


def test_resize_is_close_to_the_true_area_mean():
    images = np.random.default_rng(0).integers(0, 256, (3, 96, 96, 3), dtype=np.uint8)
    true = images.reshape(3, 32, 3, 32, 3, 3).mean((2, 4))
    assert np.abs(resized(images, 32) - true).max() < 0.6


def test_many_images_equal_one_by_one():
    images = np.random.default_rng(0).integers(0, 256, (70, 160, 160, 3), dtype=np.uint8)
    together = resized(images, 64)
    assert all((resized(images[i : i + 1], 64)[0] == together[i]).all() for i in (0, 1, 53, 54, 55, 69))


def test_equal_size_is_the_identity_and_enlarging_is_refused():
    images = np.zeros((1, 32, 32, 3), np.uint8)
    assert resized(images, 32) is images
    with pytest.raises(ValueError, match="from 32 px to 33 px: it only shrinks"):
        resized(images, 33)
    with pytest.raises(ValueError, match="from 32 px to 33 px: it only shrinks"):
        resized(images, 33, "bilinear")
    with pytest.raises(ValueError, match="resize 'nearest'"):
        resized(images, 16, "nearest")
    with pytest.raises(ValueError, match="uint8"):
        resized(images.astype(np.float32), 16)


def test_grey_on_every_level_of_every_channel():
    pixels = np.random.default_rng(0).integers(0, 256, (20_000, 3), dtype=np.uint8)
    pixels[:8] = [[r, g, b] for r in (0, 255) for g in (0, 255) for b in (0, 255)]
    expected = [(77 * r + 150 * g + 29 * b + 128) >> 8 for r, g, b in pixels.tolist()]
    assert grey(pixels)[:, 0].tolist() == expected
    assert grey(pixels).dtype == np.uint8


def test_deployed_view_resizes_in_colour_first():
    images = np.random.default_rng(0).integers(0, 256, (2, 40, 40, 3), dtype=np.uint8)
    assert (deployed_view(images, 24, "mono") == grey(resized(images, 24))).all()
    assert (deployed_view(images, 24, "rgb") == resized(images, 24)).all()
    with pytest.raises(ValueError, match="mono or rgb"):
        deployed_view(images, 24, "grey")


@pytest.mark.parametrize("bits", range(1, 9))
def test_bit_depth_is_the_middle_of_the_step_that_a_code_is_in(bits):
    codes = np.arange(256, dtype=np.uint8)
    step = 256 // 2**bits
    assert coarser(codes, bits).tolist() == [code // step * step + step // 2 for code in range(256)]
    assert coarser(codes, bits).dtype == np.uint8
    assert len(set(coarser(codes, bits).tolist())) == 2**bits


def test_bit_depth_comes_after_grey():
    images = np.random.default_rng(0).integers(0, 256, (2, 40, 40, 3), dtype=np.uint8)
    expected = coarser(grey(resized(images, 24, "bilinear")), 2)
    assert (deployed_view(images, 24, "mono", "bilinear", 2) == expected).all()
