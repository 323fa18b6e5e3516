"""data.fit: how pictures of another shape get to the frame, from files, arrays, scenes; the cache tells them apart."""

import dataclasses
import io

import numpy as np
import pytest
from PIL import Image

from danas_jax.config import DataSettings
from danas_jax.data import decode, synthetic
from danas_jax.data.dataset import open_data, open_source
from danas_jax.data.sources.readers import images
from danas_jax.errors import UserError
from danas_jax.views.resize import resized

RED, GREEN, BLUE, GREY = (200, 0, 0), (0, 200, 0), (0, 0, 200), (128, 128, 128)


def stripes(height, width):
    """A third red, a third green, a third blue, from left to right, or from top to bottom of an upright picture."""
    thirds = 3 * np.arange(max(height, width)) // max(height, width)
    line = np.array([RED, GREEN, BLUE], np.uint8)[thirds]
    return np.ascontiguousarray(np.broadcast_to(line if width > height else line[:, None], (height, width, 3)))


def png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def by_all_ways(pixels, size, fit):
    """Read from a file, fitted as a frame, taken out of an array: the same."""
    read = decode.read_image(png(pixels), size, fit=fit)
    assert (read == decode.fitted(Image.fromarray(pixels), size, fit)).all()
    assert (read == images(size, fit).array(pixels, "x", 0)).all()
    return read


def test_the_centre_is_what_crop_keeps():
    assert (by_all_ways(stripes(40, 120), (20, 20), "crop") == GREEN).all()
    assert (by_all_ways(stripes(120, 40), (24, 32), "crop") == GREEN).all()
    middle = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    wide = np.concatenate([np.zeros((48, 9, 3), np.uint8), middle, np.zeros((48, 10, 3), np.uint8)], axis=1)
    assert (by_all_ways(wide, (48, 64), "crop") == middle).all()  # nothing is resampled where nothing has to be


def test_everything_is_in_a_padded_picture_beside_grey():
    found = by_all_ways(stripes(40, 120), (30, 30), "pad")
    assert (found[:10] == GREY).all() and (found[20:] == GREY).all()
    for start, colour in ((0, RED), (10, GREEN), (20, BLUE)):
        assert (found[10:20, start + 3 : start + 7] == colour).all()
    found = by_all_ways(stripes(120, 40), (30, 40), "pad")
    assert (found[:, :15] == GREY).all() and (found[:, 25:] == GREY).all()
    assert (found[13:17, 15:25] == GREEN).all()


def test_stretched_everything_fills_the_frame():
    found = by_all_ways(stripes(40, 120), (24, 30), "stretch")
    for start, colour in ((0, RED), (10, GREEN), (20, BLUE)):
        assert (found[:, start + 3 : start + 7] == colour).all()


@pytest.mark.parametrize("fit", ["stretch", "crop", "pad"])
def test_pictures_of_the_frames_aspect_are_the_same_by_all(fit):
    pixels = np.random.default_rng(1).integers(0, 256, (96, 128, 3), dtype=np.uint8)
    whole = np.asarray(Image.fromarray(pixels).resize((64, 48), Image.Resampling.BICUBIC))
    assert (by_all_ways(pixels, (48, 64), fit) == whole).all()
    assert (by_all_ways(pixels, (96, 128), fit) == pixels).all()


def test_a_turned_photograph_is_fitted_upright():
    exif, file = Image.Exif(), io.BytesIO()
    exif[0x0112] = 6  # the camera was held upright: the stored picture lies on its side
    Image.fromarray(stripes(120, 40)).rotate(90, expand=True).save(file, "JPEG", exif=exif, quality=95)
    found = decode.read_image(file.getvalue(), (40, 30), fit="crop").astype(int)
    assert np.abs(found[18:22] - GREEN).max() < 12
    large = io.BytesIO()
    Image.fromarray(np.tile(stripes(120, 40), (8, 8, 1))).save(large, "JPEG", exif=exif)
    assert decode.read_image(large.getvalue(), (40, 30), fit="pad").shape == (40, 30, 3)


def folder(root, count=8):
    for label, name in enumerate(("a", "b")):
        (root / name).mkdir(parents=True)
        for i in range(count):
            (root / name / f"{i}.png").write_bytes(png(np.roll(stripes(24, 48), 7 * i + label, axis=1)))
    return DataSettings(source="folder", path=str(root))


def test_every_frame_and_fit_has_a_store_of_its_own(tmp_path):
    settings = dataclasses.replace(folder(tmp_path / "photos"), cache_dir=str(tmp_path / "cache"))
    seen = {}
    for size in ((24, 32), (24, 24)):
        for fit in ("stretch", "crop", "pad"):
            data = open_data(dataclasses.replace(settings, fit=fit), size, 0)
            split = data.load("train", "train")
            assert data.shape == (*size, 3)
            assert split.fit == fit
            seen[size, fit] = np.asarray(split.raw).tobytes()
            assert len(list((tmp_path / "cache").iterdir())) == len(seen)
    assert len(set(seen.values())) == 6
    again = open_data(settings, 24, 0).load("train", "train")  # a side alone is a square
    assert np.asarray(again.raw).tobytes() == seen[(24, 24), "stretch"]
    assert len(list((tmp_path / "cache").iterdir())) == 6


def test_a_square_stretched_store_has_the_name_that_it_had():
    assert images(24).decoding == images((24, 24), "stretch").decoding
    assert images(24).decoding.startswith("squashed pictures, Pillow ")


def test_scenes_are_fitted_in_integers():
    settings = DataSettings(train_images=8, validation_images=4, test_images=4)
    whole, _ = synthetic.scene(0, "train", 0, settings.detail_px, settings.colour_cue)
    key = "train/absent/000000"

    def read(size, fit="stretch"):
        return open_source(dataclasses.replace(settings, fit=fit), size, 0).read(key)

    assert (read((48, 64)) == resized(whole[None], (48, 64))[0]).all()
    assert (read((48, 64), "crop") == resized(whole[None, 16:112], (48, 64))[0]).all()
    padded = read((48, 64), "pad")
    assert (padded[:, 8:56] == resized(whole[None], 48)[0]).all()
    assert (padded[:, :8] == 128).all() and (padded[:, 56:] == 128).all()
    sources = {fit: open_source(dataclasses.replace(settings, fit=fit), 64, 0) for fit in ("stretch", "crop")}
    assert sources["stretch"].fingerprint != sources["crop"].fingerprint
    with pytest.raises(UserError, match="resolution 160x120 px: synthetic scenes have 128 px, search up to that"):
        read((120, 160))
    with pytest.raises(UserError, match="resolution 136x102 px: synthetic scenes have 128 px, 128x96 px of them seen"):
        read((102, 136), "crop")
