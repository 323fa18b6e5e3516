"""The image view at an aspect: frames, crops, texts and errors; what is square stays as it was."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from supernet_toys import SPACE
from view_contract import Augmented, keeps_its_word

from danas_jax import config_io, views
from danas_jax.config import Baseline, Config, DataSettings, Limits, native_frame
from danas_jax.config_checks import validate
from danas_jax.data.mixing import view_keys
from danas_jax.deploy.examples import network_input
from danas_jax.errors import UserError
from danas_jax.hardware.cost import cost, space_costs
from danas_jax.search.feasible import Problem, data_twins
from danas_jax.views import _pictures
from danas_jax.views.base import NetworkInput
from danas_jax.views.image import ImageData, ImageView
from danas_jax.views.resize import area_weights, bilinear_weights, resized

pytestmark = pytest.mark.usefixtures("strict_types")
WIDE = ImageView((12, 18), aspect="4:3")
TOY = dataclasses.replace(SPACE, view=WIDE)


def waves(count, height, width):
    """Waves longer than a few pixels, other ones down than across; uint8 [count, height, width, 3]."""
    y, x = np.mgrid[0:height, 0:width]
    parts = [np.sin(2 * x / width + i) * np.cos(3 * y / height - i) for i in range(3 * count)]
    return (
        np.round(128 + 100 * np.stack(parts, -1))
        .astype(np.uint8)
        .reshape(height, width, count, 3)
        .transpose(2, 0, 1, 3)
    )


@pytest.mark.parametrize(
    "view", [WIDE, ImageView((16,), aspect="3:4", resizes=("bilinear", "area"), bit_depths=(5, 8))]
)
def test_the_view_keeps_its_word(view, monkeypatch):
    monkeypatch.setattr(_pictures, "_ASPECT", 1.0)  # the whole picture, not of another aspect
    width, height = map(int, view.aspect.split(":"))
    raw = waves(3, 12 * height, 12 * width).copy()
    keeps_its_word(view, raw, Augmented(0.5, 0.3, 0.2), 3.0, lambda codes: (codes, codes[:, :, ::-1]))


@pytest.mark.parametrize(("method", "weights"), [("area", area_weights), ("bilinear", bilinear_weights)])
def test_each_axis_is_resized_by_its_own_weights(method, weights):
    images = np.random.default_rng(0).integers(0, 256, (5, 31, 70, 3), dtype=np.uint8)
    for height, width in ((31, 20), (11, 70), (24, 32)):
        across = (np.einsum("ix,nyxc->nyic", weights(70, width), images.astype(np.int64)) + 128) >> 8
        down = (np.einsum("ky,nyic->nkic", weights(31, height), across) + 32768) >> 16
        assert (resized(images, (height, width), method) == down).all()


def test_random_crops_are_of_the_frames_aspect():
    """A slope down and a slope across tell each crop's height and width, in shares of the frame."""
    height, width = 90, 120
    y, x = np.mgrid[0:height, 0:width]
    slopes = np.stack([200 * y / height, 200 * x / width, 0 * x], -1).round().astype(np.uint8)
    keys = view_keys(0, jnp.arange(200), 0)
    found = np.asarray(
        WIDE.training(
            keys, jnp.asarray(np.repeat(slopes[None], 200, 0)), ImageData(18, "rgb", aspect="4:3"), Augmented(0.35)
        )
    )
    assert found.shape == (200, 18, 24, 3)
    tall = (found[:, -2, 5, 0] - found[:, 1, 5, 0]) / 200 * 18 / 15
    wide = np.abs(found[:, 5, -2, 1] - found[:, 5, 1, 1]) / 200 * 24 / 21
    stretched = tall / wide
    assert 0.7 < stretched.min() < 0.8
    assert 1.25 < stretched.max() < 1.4
    assert 0.33 < (tall * wide).min() < 0.45


def test_the_aspect_is_a_value_of_the_data_but_nothing_to_choose():
    assert [axis.name for axis in WIDE.axes] == ["resolution_px", "aspect", "colour"]
    assert WIDE.axes[1].values == ("4:3",)
    described = TOY.describe(TOY.max_genes)["data"]
    assert described == {"resolution_px": 18, "aspect": "4:3", "colour": "rgb"}
    assert views.data_text(described) == "24x18 px rgb"
    assert TOY.layers(TOY.max_genes, 2)[0].in_shape == (18, 24, 3)
    problem = Problem(TOY, TOY.min_genes, TOY.max_genes, lambda genes: np.zeros(len(genes)))
    twins = {TOY.data(genes).text for genes in data_twins(problem, TOY.max_genes[None])}
    assert twins - {"24x18 px rgb"} == {"16x12 px rgb", "24x18 px mono"}
    data = ImageData(18, "mono", "bilinear", 4, "4:3")
    assert ImageView((16,)).only(data).data(**NetworkInput(WIDE, data).values) == data


def test_equal_squares_are_equal_and_other_aspects_other_spaces():
    spaces = [
        dataclasses.replace(SPACE, view=dataclasses.replace(WIDE, aspect=aspect)) for aspect in ("1:1", "4:3", "3:2")
    ]
    assert len({space.fingerprint for space in spaces}) == 3
    assert spaces[0].fingerprint == dataclasses.replace(SPACE, view=ImageView((12, 18))).fingerprint


def test_costs_of_a_population_are_those_of_each_network():
    genes = TOY.sample(np.random.default_rng(0), 20)
    costs = space_costs(TOY, genes, 3)
    for i, row in enumerate(genes):
        assert {key: column[i] for key, column in costs.items()} == cost(TOY.layers(row, 3), source=TOY.input(row))
    assert set((costs["input_width_px"] / costs["input_px"]).tolist()) == {4 / 3}


def test_a_manifest_tells_the_aspect():
    data = ImageData(12, "mono", aspect="4:3")
    given = WIDE.manifest(data, (18, 24, 3))
    assert (given["resolution_px"], given["native_resolution_px"], given["aspect"]) == (12, 18, "4:3")
    raw = waves(2, 18, 24)
    assert (network_input(given).deployed(raw) == NetworkInput(WIDE, data).deployed(raw)).all()
    assert "aspect" not in ImageView((12,)).manifest(ImageData(12, "mono"), (18, 18, 3))


def test_config_json_keeps_it_and_one_of_before_is_square():
    config = Config("c", space=TOY, data=DataSettings(fit="crop"))
    stored = config_io.to_json(config)
    assert (stored["space"]["view"]["aspect"], stored["data"]["fit"]) == ("4:3", "crop")
    assert config_io.from_json(stored) == config
    del stored["space"]["view"]["aspect"], stored["data"]["fit"]
    before = config_io.from_json(stored)
    assert before.space.view == ImageView((12, 18))
    assert before.data.fit == "stretch"
    assert (native_frame(config), native_frame(before)) == ((18, 24), (18, 18))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"aspect": "8:6"}, r"space\.aspect = '8:6': give it in lowest terms, 4:3"),
        ({"aspect": "wide"}, r"space\.aspect = 'wide': give width to height as 4:3"),
        ({"resolutions_px": (12, 20)}, r"space\.resolutions_px = 20: of aspect 4:3 .* give a multiple of 3, 18 or 21"),
        ({"resolutions_px": (12, 960)}, r"space\.resolutions_px = 960: 1280 px wide, 8 to 1024 are possible"),
        ({"aspect": "1:16", "resolutions_px": (16, 128)}, r"space\.resolutions_px = 16: 1 px wide"),
    ],
)
def test_a_view_that_cannot_be_is_refused(values, message):
    with pytest.raises(UserError, match=message):
        dataclasses.replace(WIDE, **values)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"data": DataSettings(native_resolution_px=25)},
            r"data\.native_resolution_px = 25: .* multiple of 3, 24 or 27",
        ),
        (
            {"budgets": (Limits(count_input_pipeline=True, camera_px=64),)},
            r"\]\.camera_px = 64: .* multiple of 3, 63 or 66",
        ),
        ({"baselines": (Baseline("b", data=ImageData(18, "rgb")),)}, r"b: data\.aspect = '1:1': .* give '4:3'"),
        (
            {"data": DataSettings("folder", "audio", "/x", fit="pad")},
            r"data\.fit = 'pad': modality audio has no pictures",
        ),
    ],
)
def test_settings_that_do_not_go_with_it_are_refused(changed, message):
    with pytest.raises(UserError, match=message):
        validate(Config("c", space=TOY, **changed))


def test_what_goes_with_it_passes():
    baseline = Baseline("b", data=ImageData(24, "rgb", aspect="4:3"))
    config = Config("c", space=TOY, baselines=(baseline,), budgets=(Limits(count_input_pipeline=True, camera_px=120),))
    validate(config)
    assert native_frame(config) == (24, 32)
