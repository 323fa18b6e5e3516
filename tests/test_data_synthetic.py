"""Scenes have the truth they claim: the same for the same seed, decided by the detail or by the hue, nothing else."""

import numpy as np
import pytest

from danas_jax.config import DataSettings
from danas_jax.data.dataset import open_data
from danas_jax.data.synthetic import SCENE_PX, scene
from danas_jax.errors import UserError
from danas_jax.views.resize import deployed_view, grey

SMALL = DataSettings(train_images=40, validation_images=8, test_images=6)


def test_a_scene_is_fixed_by_seed_split_and_index():
    first, label = scene(3, "train", 5, 8, 0.5)
    again, _ = scene(3, "train", 5, 8, 0.5)
    assert first.shape == (SCENE_PX, SCENE_PX, 3)
    assert first.dtype == np.uint8
    assert label == 1
    assert (first == again).all()
    for other in ((4, "train", 5), (3, "validation", 5), (3, "train", 7)):
        assert (scene(*other, 8, 0.5)[0] != first).any()


@pytest.mark.parametrize("detail_px", [2, 4, 8, 16, 32])
def test_colour_cue_one_is_told_by_colour_only(detail_px):
    """At equal grey, exactly, in every pixel: no mono view can tell the classes."""
    for index in range(20):
        absent, _ = scene(1, "train", index, detail_px, 1.0, label=0)
        present, _ = scene(1, "train", index, detail_px, 1.0, label=1)
        assert (grey(absent) == grey(present)).all()
        differs = (absent != present).any(-1)
        assert 200 < differs.sum() < 0.3 * differs.size  # one body
        redness = present[differs].astype(int) - absent[differs]
        assert redness[:, 0].mean() > 40  # R up
        assert redness[:, 1].mean() < -20  # G down


@pytest.mark.parametrize("detail_px", [2, 4, 8, 16])
def test_colour_cue_zero_is_told_by_grey_only(detail_px):
    levels = []
    for index in range(20):
        absent, _ = scene(1, "train", index, detail_px, 0.0, label=0)
        present, _ = scene(1, "train", index, detail_px, 0.0, label=1)
        differs = (absent != present).any(-1)
        change = present[differs].astype(int) - absent[differs]
        assert np.abs(change - change[:, :1]).max() <= 1  # R, G and B alike: a change of grey (G rounds)
        levels.append(change.mean())
    assert abs(np.mean(levels)) < 2  # of the pattern; no more light on one side


def test_the_share_of_hue_scenes_is_the_colour_cue():
    by_hue = sum(
        (grey(scene(0, "train", i, 8, 0.3, label=0)[0]) == grey(scene(0, "train", i, 8, 0.3, label=1)[0])).all()
        for i in range(200)
    )
    assert 40 <= by_hue <= 80


def test_grey_stays_exact_where_chroma_is_strongest():
    """No channel ever clips: what luminance the scene has is what every pixel's grey says."""
    pictures = np.stack([scene(0, "test", i, 4, 1.0)[0] for i in range(30)])
    assert grey(pictures).min() >= 40
    assert grey(pictures).max() <= 215
    assert pictures.min() > 0
    assert pictures.max() < 255


def stripe_evidence(pictures: np.ndarray) -> np.ndarray:
    """Energy of horizontal minus vertical pixel differences of second order, float [N]."""
    p = pictures[..., 0].astype(float)
    across = (p[:, :, 2:] - 2 * p[:, :, 1:-1] + p[:, :, :-2]) ** 2
    down = (p[:, 2:] - 2 * p[:, 1:-1] + p[:, :-2]) ** 2
    return across.mean((1, 2)) - down.mean((1, 2))


def ranking(scores: np.ndarray, labels: np.ndarray) -> float:
    """Probability that a present scene scores above an absent one."""
    return float((scores[labels == 1][:, None] > scores[labels == 0][None]).mean())


def test_small_detail_needs_pixels():
    """A fixed linear filter, no training: at two pixels per pair it ranks the classes, at one it hardly can."""
    drawn = [scene(0, "train", i, 4, 0.0) for i in range(240)]
    pictures, labels = np.stack([p for p, _ in drawn]), np.array([label for _, label in drawn])
    assert ranking(stripe_evidence(deployed_view(pictures, 64, "mono")), labels) > 0.85
    # what is left comes from where the stripes' phase jumps; a trained probe makes nothing of it
    assert 0.35 < ranking(stripe_evidence(deployed_view(pictures, 32, "mono")), labels) < 0.7


def test_stripes_of_one_pixel_vanish_where_pairs_are_averaged():
    """Detail 2 at half the side: twins of both labels are the same picture; at more pixels they are not."""
    twins = [np.stack([scene(5, "train", i, 2, 0.0, label=label)[0] for i in range(20)]) for label in (0, 1)]

    def differ(px):
        absent, present = (deployed_view(pictures, px, "mono").astype(float) for pictures in twins)
        return np.abs(absent - present).mean()

    assert differ(64) < 0.05
    assert differ(96) > 1.5


def test_open_data_serves_the_scenes():
    data = open_data(SMALL, 64, seed=2)
    assert data.class_names == ("absent", "present")
    assert data.counts["train"] == {"absent": 16, "present": 16}
    assert data.counts["search"] == {"absent": 4, "present": 4}
    seen = []
    train = data.load("train", "train", lambda done, total: seen.append((done, total)))
    assert seen[-1] == (32, 32)
    assert train.raw.shape == (32, 64, 64, 3)
    assert train.labels.dtype == np.int32
    assert data.load("train", "search") is train
    again = open_data(SMALL, 64, seed=2)
    assert again.fingerprint == data.fingerprint
    np.testing.assert_array_equal(again.load("train", "train").raw, train.raw)
    assert open_data(SMALL, 64, seed=3).fingerprint != data.fingerprint
    split, label, number = train.names[3].split("/")
    picture, drawn = scene(2, split, int(number), SMALL.detail_px, SMALL.colour_cue)
    assert (label, drawn) == (data.class_names[train.labels[3]], train.labels[3])
    assert (deployed_view(picture[None], 64, "rgb")[0] == train.raw[3]).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"detail_px": 1}, "data.detail_px = 1: give 2 to 32"),
        ({"colour_cue": 1.5}, "data.colour_cue = 1.5: give a share from 0 to 1"),
        ({"test_images": 0}, "data.test_images = 0: give 4 or more"),
    ],
)
def test_bad_settings_are_named(change, message):
    with pytest.raises(UserError, match=message):
        open_data(DataSettings(**change), 64, seed=0)


def test_scenes_are_not_enlarged():
    with pytest.raises(UserError, match="resolution 160 px: synthetic scenes have 128 px"):
        open_data(SMALL, 160, seed=0)
