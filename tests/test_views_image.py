"""The image view's axes: resize and bit depth beside resolution and colour, and what stays as it was without them."""

import dataclasses
import json
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from firmware_toys import scenes
from view_contract import Augmented, configurations, keeps_its_word

from danas_jax import config_io, views
from danas_jax.config import Baseline, Config
from danas_jax.config_checks import validate
from danas_jax.deploy.examples import network_input
from danas_jax.errors import UserError
from danas_jax.search.feasible import Problem, data_twins
from danas_jax.spaces import quickstart
from danas_jax.views import _pictures
from danas_jax.views.base import NetworkInput
from danas_jax.views.image import ImageData, ImageView
from danas_jax.views.resize import coarser

pytestmark = pytest.mark.usefixtures("strict_types")
RESULTS = Path(__file__).resolve().parent.parent / "benchmarks" / "results" / "person_photos"
BOTH = ("bilinear", "area")


@pytest.fixture
def whole(monkeypatch):
    """Crops of a crop_area_min of 1 are the whole picture, not of another aspect."""
    monkeypatch.setattr(_pictures, "_ASPECT", 1.0)


def flipped_or_not(codes):
    return codes, codes[:, :, ::-1]


def smooth(count, side):
    """Waves longer than a few pixels, for which the filters of training and of the board differ little."""
    y, x = np.mgrid[0:side, 0:side] / side
    waves = np.stack([np.sin(2 * x + i) * np.cos(2 * y - i) for i in range(3 * count)], axis=-1)
    return np.round(128 + 100 * waves).astype(np.uint8).reshape(side, side, count, 3).transpose(2, 0, 1, 3).copy()


@pytest.mark.parametrize(
    "view",
    [
        ImageView((16,)),
        ImageView((16, 24), resizes=BOTH, bit_depths=(2, 5, 8)),
        ImageView((20,), ("rgb",), ("bilinear",), (4,)),
        ImageView((16,), ("mono",), bit_depths=(1, 8)),
    ],
)
@pytest.mark.usefixtures("whole")
def test_the_view_keeps_its_word(view):
    keeps_its_word(view, smooth(3, 48), Augmented(0.5, 0.3, 0.2), 3.0, flipped_or_not)


@pytest.mark.usefixtures("whole")
def test_bilinear_is_trained_on_what_is_deployed_however_fine_the_pattern():
    keeps_its_word(ImageView((16, 24), resizes=("bilinear",)), scenes(3, 56), Augmented(0.5, 0.3), 1.0, flipped_or_not)


def test_fingerprints_are_those_of_before_the_new_axes():
    assert quickstart().fingerprint == "12c7e36f9861"
    stored = json.loads((RESULTS / "pareto.json").read_text())["space"]["fingerprint"]
    space = config_io.read_config(RESULTS / "config.json").space
    assert space.fingerprint == stored
    new = [
        dataclasses.replace(space, view=dataclasses.replace(space.view, **more)).fingerprint
        for more in ({"resizes": BOTH}, {"resizes": ("bilinear",)}, {"bit_depths": (4, 8)}, {"bit_depths": (4,)})
    ]
    assert len({stored, *new}) == 5


def test_axes_are_there_only_where_there_is_more_than_the_default():
    names = [axis.name for axis in ImageView((16,)).axes]
    assert names == ["resolution_px", "colour"]
    full = ImageView((16, 24), resizes=BOTH, bit_depths=(4, 8))
    assert [axis.name for axis in full.shape_axes] == ["resolution_px", "resize"]
    assert [axis.name for axis in full.traced_axes] == ["colour", "bit_depth"]
    data = ImageData(20, "mono", "bilinear", 3)
    for view in (full, ImageView((16,))):
        assert configurations(view.only(data)) == [data]
        assert configurations(view.only(ImageData(20, "mono"))) == [ImageData(20, "mono")]


def test_a_candidates_data_twins_differ_in_the_new_axes_too():
    space = dataclasses.replace(quickstart(), view=ImageView((32, 48), resizes=BOTH, bit_depths=(4, 8)))
    problem = Problem(space, space.min_genes, space.max_genes, lambda genes: np.zeros(len(genes)))
    twins = data_twins(problem, space.max_genes[None])
    assert [space.data(genes).text for genes in twins] == [
        "32 px rgb",
        "48 px rgb, bilinear",
        "48 px mono",
        "48 px rgb, 4 bit",
    ]
    assert views.data_text(space.describe(twins[1])["data"]) == "48 px rgb, bilinear"


def test_texts_name_what_is_not_the_default():
    assert ImageData(48, "mono").text == "48 px mono"
    assert ImageData(48, "mono", "bilinear", 4).text == "48 px mono, bilinear, 4 bit"
    stored = NetworkInput(ImageView((48,)), ImageData(48, "rgb", bit_depth=5)).values
    assert views.data_text(stored) == "48 px rgb, 5 bit"
    assert views.data_config({"resolution_px": 48, "colour": "rgb"}) == ImageData(48, "rgb")
    assert views.data_config({"resolution_px": 48}) is None
    assert views.data_config({"resolution_px": 48, "colour": "rgb", "gamma": 2}) is None


def test_a_manifest_tells_the_view_and_one_of_before_is_read():
    data = ImageData(20, "mono", "bilinear", 3)
    given = ImageView((20,)).only(data).manifest(data, (56, 56, 3))
    raw = scenes(2, 56)
    expected = NetworkInput(ImageView((20,)), data).deployed(raw)
    assert (network_input(given).deployed(raw) == expected).all()
    assert network_input({"resolution_px": 20, "colour": "mono"}).data == ImageData(20, "mono")
    with pytest.raises(UserError, match=r"resizes = .'nearest',"):
        network_input({**given, "resize": "nearest"})
    with pytest.raises(UserError, match=r"bit_depths = .9,"):
        network_input({**given, "bit_depth": 9})


@pytest.mark.parametrize("bits", range(1, 9))
def test_float_codes_lose_the_same_bits(bits):
    codes = np.arange(256, dtype=np.uint8)
    floats = _pictures.coarser(jnp.asarray(codes, jnp.float32), bits)
    assert np.asarray(floats).tolist() == coarser(codes, bits).tolist()


def test_bad_values_are_named():
    for fields, message in (
        ({"resizes": ("area", "bilinear")}, "space.resizes"),
        ({"resizes": ()}, "space.resizes"),
        ({"bit_depths": (0, 8)}, "space.bit_depths.*integers from 1 to 8"),
        ({"bit_depths": (8, 4)}, "space.bit_depths.*ascending"),
    ):
        with pytest.raises(UserError, match=message):
            ImageView((16,), **fields)
    for data in (ImageData(48, "rgb", "nearest"), ImageData(48, "rgb", bit_depth=9), ImageData(48, "grey")):
        with pytest.raises(UserError, match=r"baselines: fixed: data = ImageData.*48"):
            validate(Config(name="c", baselines=(Baseline("fixed", data=data),)))
