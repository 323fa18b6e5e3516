"""The fast way to decode gives what Pillow gives, for every file: pixels where there are some, else the same reason."""

import io
import itertools

import numpy as np
import pytest
from PIL import Image, ImageOps

from danas_jax.data import decode
from danas_jax.errors import Unreadable

SIZES = ((160, 160), (161, 203), (643, 481), (33, 17))


@pytest.fixture
def ways(monkeypatch):
    """How many pictures went each way: [Pillow, fast]."""
    counts, plain = [0, 0], decode._plain_jpeg

    def counted(*arguments):
        pixels = plain(*arguments)
        counts[pixels is not None] += 1
        return pixels

    monkeypatch.setattr(decode, "_plain_jpeg", counted)
    return counts


def by_pillow(content, px):
    try:
        with Image.open(io.BytesIO(content), formats=decode._FORMATS) as image:
            image.draft("RGB", (2 * px, 2 * px))
            return decode.fitted(decode._rgb(ImageOps.exif_transpose(image)), px)
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        return decode._reason(error)


def decoded(content, px):
    try:
        return decode.read_image(content, px, "it")
    except Unreadable as error:
        return error.reason


def same(content, px):
    ours, theirs = decoded(content, px), by_pillow(content, px)
    assert type(ours) is type(theirs), (ours, theirs)
    if isinstance(theirs, str):
        assert ours == theirs
    else:
        np.testing.assert_array_equal(ours, theirs)


def photograph(size, seed=0):
    """Smooth shapes and noise, so that no rounding of a decoder stays hidden."""
    rng = np.random.default_rng(seed)
    shapes = Image.fromarray(rng.integers(0, 256, (size[1] // 8 + 1, size[0] // 8 + 1, 3), dtype=np.uint8)).resize(size)
    return Image.fromarray(
        np.clip(np.asarray(shapes) + rng.normal(0, 12, (size[1], size[0], 3)), 0, 255).astype(np.uint8)
    )


def jpeg(image, **options):
    file = io.BytesIO()
    image.save(file, "JPEG", **options)
    return file.getvalue()


@pytest.mark.parametrize("size", SIZES)
def test_every_kind_of_jpeg(size, ways):
    picture = photograph(size)
    kinds = itertools.product(("RGB", "L", "YCbCr"), (30, 90), (0, 1, 2), (False, True))
    files = [jpeg(picture.convert(m), quality=q, subsampling=s, progressive=p) for m, q, s, p in kinds]
    files += [jpeg(picture, subsampling="4:1:1"), jpeg(picture, restart_marker_rows=1), jpeg(picture, keep_rgb=True)]
    for content, px in itertools.product(files, (16, 96, 160)):
        same(content, px)
    assert ways == [0, 3 * len(files)]


def test_what_only_pillow_reads(ways):
    picture = photograph((60, 40))
    for orientation in range(2, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        same(jpeg(picture, exif=exif), 32)
    same(jpeg(picture.convert("CMYK")), 32)
    for kind in ("PNG", "GIF", "WEBP", "BMP"):
        file = io.BytesIO()
        picture.save(file, kind)
        same(file.getvalue(), 32)
    assert ways == [12, 0]


def test_damaged_jpegs_are_judged_as_pillow_judges_them(ways):
    rng = np.random.default_rng(1)
    content = jpeg(photograph((90, 70)), quality=80)
    for stop in (2, 3, 20, len(content) // 3, len(content) // 2, len(content) - 3, len(content) - 1):
        same(content[:stop], 32)
    same(content + b"more", 32)
    for _ in range(150):
        damaged = bytearray(content)
        damaged[rng.integers(2, len(content))] = rng.integers(0, 256)
        same(bytes(damaged), 32)
    assert min(ways) > 0


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(Unreadable, match=r"gone.jpg: cannot be read \(No such file or directory\)"):
        decode.read_image(tmp_path / "gone.jpg", 16)


def test_the_photographs(shared, ways):
    files = sorted((shared / "data" / "person_photos").rglob("*.jpg"))[::100]
    for file in files:
        same(file.read_bytes(), 96)
    assert ways == [0, len(files)]
