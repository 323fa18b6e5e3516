"""Frames that are no squares: aspects, heights, what is seen of a picture of another shape."""

import numpy as np
import pytest

from danas_jax.views import frame
from danas_jax.views.frame import Box, centred, placed


@pytest.mark.parametrize(
    ("aspect", "right"),
    [
        ("4/3", "give width to height as 4:3"),
        ("4:3 ", "give width to height as 4:3"),
        ("0:1", "give width to height as 4:3"),
        ("17:9", "two whole numbers from 1 to 16"),
        ("8:6", "give it in lowest terms, 4:3"),
        ("4.0:3", "give width to height"),
    ],
)
def test_what_is_no_aspect_is_refused(aspect, right):
    with pytest.raises(ValueError, match=right):
        frame.terms(aspect)


def test_the_width_follows_from_the_height():
    assert frame.terms("4:3") == (4, 3)
    assert [frame.size(px, "4:3") for px in (24, 48, 120)] == [(24, 32), (48, 64), (120, 160)]
    assert frame.size(48, "3:4") == (48, 36)
    assert frame.size(37, "1:1") == (37, 37)
    with pytest.raises(ValueError, match="of aspect 4:3 its width is no whole number: give a multiple of 3, 48 or 51"):
        frame.size(50, "4:3")
    with pytest.raises(ValueError, match=r"give a multiple of 9, 9$"):
        frame.size(8, "16:9")
    assert (frame.text((48, 64)), frame.text(48), frame.text((48, 48))) == ("64x48 px", "48 px", "48 px")
    assert frame.aspect_of((120, 160)) == "4:3"


def test_the_centre_by_hand():
    assert centred(480, 640, (48, 64)) == Box(0, 0, 480, 640)
    assert centred(120, 160, (48, 48)) == Box(0, 20, 120, 120)
    assert centred(161, 120, (3, 4)) == Box(35, 0, 90, 120)
    assert centred(10, 1000, (1, 1)) == Box(0, 495, 10, 10)
    assert centred(48, 64, (1, 1000)) == Box(23, 0, 1, 64)  # at least a pixel of a strip
    assert placed((120, 160), (96, 96), "stretch") == (Box(0, 0, 120, 160), Box(0, 0, 96, 96))
    assert placed((120, 160), (96, 96), "crop") == (Box(0, 20, 120, 120), Box(0, 0, 96, 96))
    assert placed((120, 160), (96, 96), "pad") == (Box(0, 0, 120, 160), Box(12, 0, 72, 96))
    with pytest.raises(ValueError, match="one of"):
        placed((1, 1), (1, 1), "letterbox")


def test_the_centre_is_the_largest_part_of_its_aspect():
    rng = np.random.default_rng(0)
    for height, width, other_height, other_width in rng.integers(1, 300, (500, 4)).tolist():
        box = centred(height, width, (other_height, other_width))
        assert box.height == height or box.width == width
        for place, inner, outer in ((box.top, box.height, height), (box.left, box.width, width)):
            assert 1 <= inner <= outer
            assert place == (outer - inner) // 2
        exact = min(height, width * other_height / other_width), min(width, height * other_width / other_height)
        assert abs(box.height - max(1, exact[0])) <= 0.5
        assert abs(box.width - max(1, exact[1])) <= 0.5
