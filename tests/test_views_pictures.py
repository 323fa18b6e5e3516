"""Options of the augmentation: saturation, mixup, cutmix; one batch and calibration rows as functions of the seed."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from supernet_toys import noise

from danas_jax.config import TrainSettings
from danas_jax.data.batches import calibration_rows, training_batch
from danas_jax.data.mixing import mixed, view_keys
from danas_jax.views._pictures import grey, training_views
from danas_jax.views.image import ImageData, ImageView

pytestmark = pytest.mark.usefixtures("strict_types")
BATCH, PX = 8, 12
KEYS = view_keys(0, jnp.arange(BATCH), 0)
# Image i is i + 1 everywhere and of class i, so a mixed picture tells what it is made of.
LEVELS = jnp.broadcast_to(jnp.arange(1.0, BATCH + 1)[:, None, None, None], (BATCH, PX, PX, 3))
CLASSES = jnp.eye(BATCH)


def keys(view):
    return view_keys(0, jnp.arange(BATCH), view)


def test_saturation_keeps_the_luminance_and_moves_the_colours():
    images = jnp.asarray(noise(BATCH, PX) // 2 + 64)  # far from the limits, nothing is cut off
    plain, moved = (np.asarray(training_views(KEYS, images, PX, 1.0, 0.0, s)) for s in (0.0, 0.5))
    neutral = np.asarray(grey(plain))
    away, moved_away = plain - neutral, moved - neutral
    factors = (away * moved_away).sum((1, 2, 3)) / (away**2).sum((1, 2, 3))
    assert (factors >= 0.5).all()
    assert (factors <= 1.5).all()
    assert factors.std() > 0.1
    np.testing.assert_allclose(moved_away, factors[:, None, None, None] * away, atol=1e-2)
    np.testing.assert_allclose(grey(jnp.asarray(moved)), neutral, atol=2.0)
    assert (moved >= 0).all()
    assert (moved <= 255).all()


def test_both_off_changes_nothing():
    views, targets = mixed(KEYS, LEVELS, CLASSES, 0.0, 0.0)
    assert views is LEVELS
    assert targets is CLASSES


def pairs(targets):
    """(own share [B], partner [B]) that the targets tell; the partner of an unmixed picture is itself."""
    targets = np.asarray(targets)
    own = np.diag(targets)
    others = targets - np.diag(own)
    return own, np.where(others.max(-1) > 0, others.argmax(-1), np.arange(BATCH))


@pytest.mark.parametrize("view", range(3))
def test_mixup_blends_pictures_and_targets_alike(view):
    views, targets = mixed(keys(view), LEVELS, CLASSES, 1.0, 0.0)
    np.testing.assert_allclose(targets.sum(-1), 1.0, rtol=1e-6)
    expected = np.asarray(targets) @ np.arange(1, BATCH + 1)
    np.testing.assert_allclose(views, np.broadcast_to(expected[:, None, None, None], views.shape), rtol=1e-5)
    own, partner = pairs(targets)
    assert len(set(own[partner != np.arange(BATCH)].round(5).tolist())) == 1  # one share for the batch
    assert sorted(partner) == list(range(BATCH))


@pytest.mark.parametrize("view", range(3))
def test_cutmix_pastes_a_box_whose_area_is_the_targets_share(view):
    views, targets = (np.asarray(x) for x in mixed(keys(view), LEVELS, CLASSES, 0.0, 1.0))
    own, partner = pairs(targets)
    for i in range(BATCH):
        pasted = views[i, :, :, 0] != i + 1
        assert set(views[i][pasted].ravel()) <= {partner[i] + 1}
        assert pasted.mean() == pytest.approx(1 - own[i], abs=1e-6)
        rows, columns = np.flatnonzero(pasted.any(1)), np.flatnonzero(pasted.any(0))
        assert pasted.sum() == len(rows) * len(columns)  # a box
        assert abs(len(rows) - len(columns)) <= 1


def test_with_both_on_one_is_chosen_per_batch():
    kinds = set()
    for view in range(12):
        views, targets = (np.asarray(x) for x in mixed(keys(view), LEVELS, CLASSES, 1.0, 1.0))
        own, partner = pairs(targets)
        swapped = [i for i in range(BATCH) if partner[i] != i and 0.05 < own[i] < 0.95]
        kinds |= {"cutmix" if len(np.unique(views[i])) > 1 else "mixup" for i in swapped}
    assert kinds == {"mixup", "cutmix"}


@pytest.mark.parametrize(("parameter", "expected"), [(0.2, 0.78), (8.0, 0.19)])
@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
def test_the_share_follows_the_beta_distribution(kind, parameter, expected):
    """Parameter 0.2 keeps most pictures nearly whole (mean of |2 share - 1| is 0.78), 8 blends most (0.19)."""
    both = (parameter, 0.0) if kind == "mixup" else (0.0, parameter)
    program = jax.jit(lambda keys: mixed(keys, LEVELS, CLASSES, *both)[1])
    shares = [pairs(program(keys(view)))[0].min() for view in range(60)]
    assert np.mean(np.abs(2 * np.array(shares) - 1)) == pytest.approx(expected, abs=0.1)


def crops(settings):
    view = ImageView((PX,))
    return lambda keys, raw: view.training(keys, raw, ImageData(PX, "rgb"), settings)


def test_a_batch_is_a_function_of_seed_rows_and_view():
    settings = dataclasses.replace(TrainSettings(), mixup=0.4, cutmix=1.0, saturation_jitter=0.3)
    images, labels = jnp.asarray(noise(20, 16)), jnp.arange(20) % 3

    def batch(seed, rows, view):
        return jax.device_get(
            training_batch(
                images, labels, seed, jnp.asarray(rows), jnp.asarray(rows), view, crops(settings), 3, settings
            )
        )

    one = batch(0, [3, 1, 4, 15], 2)
    assert one[0].shape == (4, PX, PX, 3)
    assert one[1].shape == (4, 3)
    for a, b in zip(one, batch(0, [3, 1, 4, 15], 2), strict=True):
        np.testing.assert_array_equal(a, b)
    others = batch(1, [3, 1, 4, 15], 2), batch(0, [5, 1, 4, 15], 2), batch(0, [3, 1, 4, 15], 3)
    assert not any(np.array_equal(one[0][1], other[0][1]) for other in others)


@pytest.mark.parametrize("option", ["crop_area_min", "colour_jitter", "saturation_jitter", "mixup", "cutmix"])
def test_every_option_reaches_the_batch(option):
    none = dataclasses.replace(TrainSettings(), crop_area_min=1.0, colour_jitter=0.0)
    images, labels, rows = jnp.asarray(noise(BATCH, 16)), jnp.arange(BATCH), jnp.arange(BATCH)
    plain, changed = (
        training_batch(images, labels, 0, rows, rows, 0, crops(settings), BATCH, settings)
        for settings in (none, dataclasses.replace(none, **{option: 0.5}))
    )
    assert not np.allclose(plain[0], changed[0], atol=1.0)
    assert np.array_equal(plain[1], changed[1]) == (option not in ("mixup", "cutmix"))


def test_targets_are_smoothed_labels():
    settings = dataclasses.replace(TrainSettings(), label_smoothing=0.3)
    images, labels = jnp.asarray(noise(4, 16)), jnp.array([2, 0, 1, 1])
    _, targets = training_batch(
        images, labels, 0, jnp.array([3, 0]), jnp.array([3, 0]), 0, crops(settings), 3, settings
    )
    np.testing.assert_allclose(targets, [[0.1, 0.8, 0.1], [0.1, 0.1, 0.8]], rtol=1e-6)


def test_calibration_rows_are_drawn_without_replacement():
    rows = calibration_rows(3, 7, 100, 30)
    assert rows.tolist() == sorted(np.random.default_rng([3, 7]).permutation(100)[:30].tolist())
    assert len(set(rows.tolist())) == 30
    assert calibration_rows(3, 8, 100, 30).tolist() != rows.tolist()
    assert calibration_rows(3, 7, 5, 30).tolist() == list(range(5))
