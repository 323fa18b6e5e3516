"""The integer view of a time series against a slow reference in Python integers, written from the rule in series.py."""

import dataclasses
import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from view_contract import Augmented, configurations, keeps_its_word

from danas_jax.data.mixing import view_keys
from danas_jax.errors import UserError
from danas_jax.views.series import SensorSet, SeriesData, SeriesView, multiplier, proposed_ranges

pytestmark = pytest.mark.usefixtures("strict_types")

VIEW = SeriesView(
    native_rate_hz=50,
    rates_hz=(5, 12.5, 25, 50),
    windows_s=(1.28, 2.56),
    sensor_sets=(SensorSet("acc", (1, 2)), SensorSet("gyro", (4, 5)), SensorSet("all", (1, 2, 3, 4, 5))),
    ranges=(2, 5000, 32768, 777, 12115, 130),
)
LARGEST = SeriesData(50, 2.56, "all")
CONFIGURATIONS = configurations(VIEW)


def series(count, samples=128, seed=0):
    """int16 [N, T, 6]: noise of all sizes, and the extremes."""
    rng = np.random.default_rng(seed)
    sizes = 2.0 ** rng.integers(3, 17, (count, 1, 6))
    raw = np.clip(rng.normal(0, 1, (count, samples, 6)) * sizes, -32768, 32767).astype(np.int16)
    raw[-1], raw[-2] = -32768, 32767
    return raw


def reference(raw, data):
    """Nested lists [t][c] of one example, by exact fractions rounded half up where the rule says so."""
    ranges, channels = VIEW.ranges, VIEW.sensor_set(data.sensors).channels
    block = round(50 / data.rate_hz)
    rows = int(data.window_s * 50 + 0.5) // block
    newest = raw.tolist()[len(raw) - rows * block :]
    out = []
    for i in range(rows):
        row = []
        for c in channels:
            total = sum(sample[c] for sample in newest[i * block : (i + 1) * block])
            m = math.floor(2**31 / (ranges[c] * block) + 0.5)  # exact in float64
            row.append(min(255, max(0, 128 + (total * m + 2**23) // 2**24)))
        out.append(row)
    return out


@pytest.mark.parametrize("data", CONFIGURATIONS, ids=lambda d: d.text)
def test_codes_are_the_stated_integers(data):
    raw = series(6)
    codes = VIEW.deployed(raw, data)
    assert codes.shape == (6, *VIEW.shape(data))
    assert codes.dtype == np.uint8
    for example, expected in zip(codes, raw, strict=True):
        assert example[:, 0].tolist() == reference(expected, data)


def test_codes_are_near_the_true_mean_over_the_full_scale():
    raw = series(20, seed=1)
    data = SeriesData(12.5, 2.56, "all")
    mean = raw[:, :, 1:].reshape(20, 32, 4, 5).mean(2)
    true = np.clip(128 + 128 * mean / np.array(VIEW.ranges[1:]), 0, 255)
    error = np.abs(VIEW.codes(raw, data)[:, :, 0] - true)
    assert error.max() <= 0.5 + 32768 * 4 / 2**25 + 1e-9  # of rounding, and of the multiplier


def test_the_newest_samples_are_taken_and_whole_blocks_of_them():
    raw = series(3, samples=131)
    assert (VIEW.codes(raw, SeriesData(50, 1.28, "all")) == VIEW.codes(raw[:, -64:], SeriesData(50, 1.28, "all"))).all()
    assert VIEW.shape(SeriesData(5, 2.56, "acc")) == (12, 1, 2)  # 128 samples are 12 blocks of 10
    later = np.concatenate([np.full((3, 8, 6), 9999, np.int16), raw[:, -120:]], axis=1)
    assert (VIEW.codes(raw, SeriesData(5, 2.56, "all")) == VIEW.codes(later, SeriesData(5, 2.56, "all"))).all()


def test_zero_is_code_128_and_full_scale_fills_the_codes():
    wide = dataclasses.replace(VIEW, ranges=(1000,) * 6)
    ends = np.array([0, -1000, 1000, 992, -1001, 4])[:, None, None]
    codes = wide.codes(np.broadcast_to(ends, (6, 128, 6)).astype(np.int16), LARGEST)
    assert codes[:, 0, 0, 0].tolist() == [128, 0, 255, 255, 0, 129]


@pytest.mark.parametrize("full_scale", [2, 3, 777, 32768])
@pytest.mark.parametrize("factor", [1, 7, 65535])
def test_multipliers_fit_the_boards_integers(full_scale, factor):
    m = multiplier(full_scale, factor)
    assert abs(m - 2**31 / (full_scale * factor)) <= 0.5
    assert m < 2**31


def test_a_configuration_of_genes_has_its_text():
    data = VIEW.data(rate_hz=12.5, window_s=2.56, sensors="acc")
    assert data == SeriesData(12.5, 2.56, "acc")
    assert data.text == "12.5 Hz, 2.56 s, acc"


def test_whole_and_broken_numbers_make_one_view():
    assert dataclasses.replace(VIEW, native_rate_hz=50.0, rates_hz=(5.0, 12.5, 25.0, 50.0)) == VIEW
    assert str(dataclasses.asdict(VIEW)["rates_hz"]) == "(5.0, 12.5, 25.0, 50.0)"  # what a space's fingerprint reads


@pytest.mark.parametrize("data", CONFIGURATIONS[::9], ids=lambda d: d.text)
def test_training_without_augmentation_shows_the_codes(data):
    raw = series(30, samples=140, seed=2)
    keys = view_keys(0, jnp.arange(30), 0)
    shown = np.asarray(jax.jit(lambda k, r: VIEW.training(k, r, data, Augmented()))(keys, jnp.asarray(raw)))
    codes = VIEW.codes(raw, data)
    assert shown.shape == codes.shape
    assert np.abs(shown - codes).max() <= 1
    assert (shown == codes).mean() > 0.999


@pytest.mark.parametrize("option", ["time_shift", "gain_jitter", "noise"])
def test_every_option_reaches_the_view_and_stays_in_range(option):
    raw, keys = jnp.asarray(series(8)), view_keys(0, jnp.arange(8), 3)
    plain, changed, again = (
        np.asarray(VIEW.training(keys, raw, LARGEST, Augmented(**changes)))
        for changes in ({}, {option: 0.3}, {option: 0.3})
    )
    assert (plain != changed).mean() > 0.1
    assert (changed == again).all()
    assert changed.min() >= 0
    assert changed.max() <= 255


def test_a_shift_moves_the_window_and_holds_the_ends():
    """A series that tells its time: every row of a shifted view is the time it shows."""
    view = SeriesView(50, (50,), (2.56,), (SensorSet("one", (0,)),), (32768,))
    raw = jnp.broadcast_to((jnp.arange(128) * 256 - 32768).astype(jnp.int16)[None, :, None], (200, 128, 1))
    keys = view_keys(0, jnp.arange(200), 0)
    shown = np.asarray(view.training(keys, raw, SeriesData(50, 2.56, "one"), Augmented(time_shift=0.25)))[:, :, 0, 0]
    shifts = shown[:, 64] - 64
    assert shifts.min() >= -32
    assert shifts.max() <= 32
    assert len(np.unique(shifts)) > 40
    expected = np.clip(np.arange(128) + shifts[:, None], 0, 127)
    assert (shown == expected).all()


def test_gains_are_of_a_channel_and_noise_is_of_the_full_scale():
    flat = dataclasses.replace(VIEW, ranges=(4000,) * 6)
    raw = jnp.full((300, 128, 6), 2000, jnp.int16)  # code 192
    keys = view_keys(0, jnp.arange(300), 0)
    gained = np.asarray(flat.training(keys, raw, LARGEST, Augmented(gain_jitter=0.5)))[:, :, 0]
    assert (gained == gained[:, :1]).all()
    assert gained.min() >= 160
    assert gained.max() <= 224
    assert (gained[:, 0, 0] != gained[:, 0, 1]).mean() > 0.9
    noisy = np.asarray(flat.training(keys, raw, LARGEST, Augmented(noise=0.1)))
    assert noisy.std() == pytest.approx(12.8, rel=0.02)


def test_the_same_keys_at_another_shape_show_the_same_example():
    settings = Augmented(time_shift=0.2, gain_jitter=0.3, noise=0.05)
    raw, keys = jnp.asarray(series(6)), view_keys(0, jnp.arange(6), 1)
    whole = np.asarray(VIEW.training(keys, raw, LARGEST, settings))
    newest = np.asarray(VIEW.training(keys, raw, SeriesData(50, 1.28, "acc"), settings))
    assert (newest == whole[:, 64:]).all()


def test_the_view_keeps_its_word():
    few = dataclasses.replace(VIEW, rates_hz=(12.5, 50))
    keeps_its_word(few, series(4, samples=132), Augmented(time_shift=0.1, gain_jitter=0.2, noise=0.01))


def test_missing_channels_are_code_128():
    codes = VIEW.codes(series(4), LARGEST)
    for i, sensors in enumerate(VIEW.sensor_sets):
        columns, data = VIEW.columns(sensors.name), SeriesData(50, 2.56, sensors.name)
        blended = np.asarray(VIEW.blended(jnp.asarray(codes, jnp.float32), {"sensors": jnp.eye(3)[i]}))
        assert (blended[..., columns] == VIEW.selected(codes, data)).all()
        assert (np.delete(blended, columns, axis=-1) == 128).all()


def test_proposed_ranges_leave_out_knocks():
    raw = np.random.default_rng(0).normal(0, 1000, (400, 100, 2)).astype(np.int16)
    raw[0, 0] = -32768
    raw[:, :, 1] = 0
    low, high = 3200, 3400  # 99.9 % of a normal distribution's magnitude is 3.29 standard deviations
    found = proposed_ranges(raw)
    assert low < found[0] < high
    assert found[1] == 2
    assert proposed_ranges(raw, percentile=100)[0] == 32768
    assert dataclasses.replace(VIEW, ranges=(*found, 2, 2, 2, 2)).ranges == (*found, 2, 2, 2, 2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"native_rate_hz": 0}, "native_rate_hz = 0: give a rate above 0"),
        ({"rates_hz": (30, 50)}, "30 Hz is not the native 50 Hz divided by a whole number; near it are 25 and 50"),
        ({"rates_hz": (100,)}, "100 Hz is not the native 50 Hz divided by a whole number; near it are 25 and 50"),
        ({"rates_hz": (50, 25)}, "rates_hz = (50.0, 25.0): give positive numbers, each once, ascending"),
        ({"rates_hz": ()}, "rates_hz = (): give positive numbers"),
        ({"windows_s": (1.29, 2.56)}, "1.29 s are 64.5 samples at 50 Hz: give a whole number of samples"),
        ({"windows_s": (0.1, 2.56)}, "0.1 s at 5 Hz are 0 rows: give windows and rates of 4 rows or more"),
        ({"sensor_sets": (SensorSet("all", (0, 1)), SensorSet("acc", (0,)))}, "acc, has not"),
        ({"sensor_sets": (SensorSet("a", (0,)), SensorSet("a", (0, 1)))}, "give each set a name of its own"),
        ({"sensor_sets": (SensorSet("a", (1, 0)),)}, "a = (1, 0): give channels ascending"),
        ({"sensor_sets": (SensorSet("a", ()),)}, "a = (): give channels ascending"),
        ({"sensor_sets": (SensorSet("a", (5, 6)),)}, "a = (5, 6): space.view.ranges has the channels 0 to 5"),
        ({"sensor_sets": ()}, "sensor_sets: the names are []: give each set a name"),
        ({"ranges": (1,) * 6}, "give a full scale from 2 to 32768 for each channel"),
        ({"ranges": (40000,) * 6}, "give a full scale from 2 to 32768 for each channel"),
    ],
)
def test_bad_values_are_named(changes, message):
    with pytest.raises(UserError) as caught:
        dataclasses.replace(VIEW, **changes)
    assert message in str(caught.value)


def test_bad_examples_are_named():
    with pytest.raises(UserError, match=r"windows_s: 2.56 s, but the examples have 100 samples, 2 s"):
        VIEW.codes(series(2, samples=100), LARGEST)
    with pytest.raises(UserError, match="6 channels, but the examples have 5"):
        VIEW.codes(series(2)[..., :5], LARGEST)
    with pytest.raises(ValueError, match="int16"):
        VIEW.codes(series(2).astype(np.float32), LARGEST)
    with pytest.raises(UserError, match="sensors = 'nose': give one of acc, gyro, all"):
        VIEW.shape(SeriesData(50, 2.56, "nose"))


def test_cost_on_the_board():
    assert VIEW.pipeline_bytes(SeriesData(25, 2.56, "acc")) == 64 * 2 + 2 * 4
    assert VIEW.pipeline_operations(SeriesData(25, 2.56, "acc")) == 64 * 2 * (2 + 4)


def test_uci_har(shared):
    """Real sensors: the codes use their range, and tell more than chance by the nearest class mean alone."""
    folder = shared / "data" / "uci_har"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there")
    with np.load(folder / "train.npz", allow_pickle=False) as file:
        raw, labels = file["x"], file["y"].astype(int)
    sensors = (SensorSet("all", tuple(range(9))),)
    view = SeriesView(50, (12.5,), (2.56,), sensors, proposed_ranges(raw))
    codes = view.codes(raw, SeriesData(12.5, 2.56, "all"))
    cut = np.mean((codes == 0) | (codes == 255), axis=(0, 1, 2))
    assert (cut < 0.02).all()
    assert (codes.astype(int).std((0, 1, 2)) > 8).all()
    # a window's mean and spread of each channel
    features = np.concatenate([codes.mean((1, 2)), codes.std((1, 2))], axis=1)
    odd = np.arange(len(raw)) % 2 == 1
    means = np.stack([features[~odd & (labels == k)].mean(0) for k in range(6)])
    nearest = np.linalg.norm(features[odd][:, None] - means, axis=2).argmin(1)
    assert (nearest == labels[odd]).mean() > 0.6  # chance: 0.19


def test_the_worked_example_of_the_documentation_runs(repository, capsys):
    text = (repository / "docs" / "views.md").read_text(encoding="utf-8")
    code = "\n".join(re.findall(r"```python\n(.*?)```", text, flags=re.S))
    exec(compile(code, "docs/views.md", "exec"), {})
    stated = re.findall(r"print\(.*\)  # (.*)", code)
    assert capsys.readouterr().out.splitlines() == stated
    assert len(stated) == 2
