"""The integer view against a slow reference in pure Python, written from the rule in area.py and not from its code."""

import numpy as np
import pytest

from danas_jax.views.area import area_weights, deployed_view, grey, resize_area

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


def reference_resize(image: list, size: int) -> list:
    """One channel, list of rows, in Python integers."""
    source = len(image)
    weights = reference_weights(source, size)
    rows = [[(sum(w[j] * p[j] for j in range(source)) + 128) >> 8 for w in weights] for p in image]
    return [[(sum(w[y] * rows[y][i] for y in range(source)) + 32768) >> 16 for i in range(size)] for w in weights]


@pytest.mark.parametrize(("source", "size"), SIZES)
def test_weights_are_the_stated_integers(source, size):
    weights = area_weights(source, size)
    assert weights.tolist() == reference_weights(source, size)
    assert (weights.sum(1) == 4096).all()
    assert weights.min() >= 0


@pytest.mark.parametrize(("source", "size"), SIZES)
def test_resize_equals_the_integer_reference(source, size):
    images = np.random.default_rng(source).integers(0, 256, (2, source, source, 3), dtype=np.uint8)
    images[1] = np.where(images[1] > 127, 255, 0)  # extremes: the largest sums
    out = resize_area(images, size)
    for n in range(2):
        for c in range(3) if source < 100 else (n,):
            assert out[n, :, :, c].tolist() == reference_resize(images[n, :, :, c].tolist(), size)


@pytest.mark.parametrize("value", [0, 1, 127, 255])
def test_a_flat_picture_stays_flat(value):
    assert (resize_area(np.full((1, 160, 160, 1), value, np.uint8), 96) == value).all()


def test_resize_is_close_to_the_true_area_mean():
    images = np.random.default_rng(0).integers(0, 256, (3, 96, 96, 3), dtype=np.uint8)
    true = images.reshape(3, 32, 3, 32, 3, 3).mean((2, 4))
    assert np.abs(resize_area(images, 32) - true).max() < 0.6


def test_many_images_equal_one_by_one():
    images = np.random.default_rng(0).integers(0, 256, (70, 160, 160, 3), dtype=np.uint8)
    together = resize_area(images, 64)
    assert all((resize_area(images[i : i + 1], 64)[0] == together[i]).all() for i in (0, 1, 53, 54, 55, 69))


def test_equal_size_is_the_identity_and_enlarging_is_refused():
    images = np.zeros((1, 32, 32, 3), np.uint8)
    assert resize_area(images, 32) is images
    with pytest.raises(ValueError, match="from 32 px to 33 px: it only shrinks"):
        resize_area(images, 33)
    with pytest.raises(ValueError, match="uint8"):
        resize_area(images.astype(np.float32), 16)


def test_grey_on_every_level_of_every_channel():
    pixels = np.random.default_rng(0).integers(0, 256, (20_000, 3), dtype=np.uint8)
    pixels[:8] = [[r, g, b] for r in (0, 255) for g in (0, 255) for b in (0, 255)]
    expected = [(77 * r + 150 * g + 29 * b + 128) >> 8 for r, g, b in pixels.tolist()]
    assert grey(pixels)[:, 0].tolist() == expected
    assert grey(pixels).dtype == np.uint8


def test_deployed_view_resizes_in_colour_first():
    images = np.random.default_rng(0).integers(0, 256, (2, 40, 40, 3), dtype=np.uint8)
    assert (deployed_view(images, 24, "mono") == grey(resize_area(images, 24))).all()
    assert (deployed_view(images, 24, "rgb") == resize_area(images, 24)).all()
    with pytest.raises(ValueError, match="mono or rgb"):
        deployed_view(images, 24, "grey")
