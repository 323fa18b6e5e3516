"""The C of a time series' view against the NumPy that networks are trained on, bit for bit."""

import ctypes

import numpy as np
import pytest
from firmware_toys import STRICT, command, need, shared_library

from danas_jax.deploy.firmware.c_series import c_series
from danas_jax.deploy.firmware.project import _source
from danas_jax.views.series import SensorSet, SeriesData, SeriesView, multiplier

INT32, INT16, INT8, UINT8 = (ctypes.POINTER(getattr(ctypes, f"c_{n}")) for n in ("int32", "int16", "int8", "uint8"))


class View(ctypes.Structure):
    _fields_ = [(n, ctypes.c_int32) for n in ("sensors", "channels", "factor", "length")] + [
        ("channel", UINT8),
        ("multiplier", INT32),
    ]


class State(ctypes.Structure):
    _fields_ = [
        ("view", ctypes.POINTER(View)),
        ("sums", INT32),
        ("rows", INT8),
        ("samples", ctypes.c_int32),
        ("row", ctypes.c_int32),
        ("filled", ctypes.c_int32),
    ]


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return shared_library(tmp_path_factory.mktemp("series"), "series")


def random_case(rng):
    """A random view of one sensor set, a configuration of it and an example, rarely with extremes only."""
    sensors, factor, rows = int(rng.integers(1, 13)), int(rng.integers(1, 12)), int(rng.integers(4, 40))
    native = float(rng.choice([50, 100, 104, 833]))
    samples = rows * factor + int(rng.integers(0, factor))
    channels = sorted(rng.permutation(sensors)[: rng.integers(1, sensors + 1)].tolist())
    ranges = tuple(int(r) for r in 2 ** rng.uniform(1, 15, sensors))
    sets = (SensorSet("some", tuple(channels)),)
    view = SeriesView(native, (native / factor,), (samples / native,), sets, ranges)
    raw = rng.normal(0, 2 ** rng.uniform(2, 16), (samples + int(rng.integers(0, 50)), sensors))
    raw = np.where(raw > 0, 32767, -32768) if rng.random() < 0.1 else raw
    data = SeriesData(native / factor, samples / native, "some")
    return view, data, np.clip(raw, -32768, 32767).astype(np.int16)


def c_view(view, data):
    """The struct, and the arrays that it points to."""
    channels = view.sensor_set(data.sensors).channels
    factor, (length, _, count) = view.factor(data), view.shape(data)
    channel = (ctypes.c_uint8 * count)(*channels)
    multipliers = (ctypes.c_int32 * count)(*(multiplier(view.ranges[c], factor) for c in channels))
    return View(len(view.ranges), count, factor, length, channel, multipliers), (channel, multipliers)


def pointer(array, kind):
    return array.ctypes.data_as(kind)


@pytest.mark.parametrize("seed", range(4))
def test_25_random_windows_of_random_sizes(library, seed):
    rng = np.random.default_rng(seed)
    for _ in range(25):
        view, data, raw = random_case(rng)
        struct, _kept = c_view(view, data)
        expected = view.deployed(raw[None], data)[0, :, 0].astype(int) - 128
        found = np.full(expected.shape, 99, np.int8)
        arguments = ctypes.byref(struct), pointer(raw, INT16), len(raw), pointer(found, INT8)
        assert library.danas_series_window(*arguments) == 1
        assert (found == expected).all(), (data, raw.shape)
        assert library.danas_series_window(*arguments[:2], struct.length * struct.factor - 1, arguments[3]) == 0


def test_sample_by_sample_every_window_on_the_way(library):
    rng = np.random.default_rng(9)
    compared = 0
    for _ in range(12):
        view, data, raw = random_case(rng)
        struct, _kept = c_view(view, data)
        shape = struct.length, struct.channels
        sums, rows, found = (np.full(s, 99, t) for s, t in ((shape[1], np.int32), (shape, np.int8), (shape, np.int8)))
        state = State()
        library.danas_series_begin(ctypes.byref(state), ctypes.byref(struct), pointer(sums, INT32), pointer(rows, INT8))
        for n, sample in enumerate(np.concatenate([raw, raw]), 1):
            complete = library.danas_series_sample(ctypes.byref(state), pointer(sample, INT16))
            assert complete == (n % struct.factor == 0)
            ready = library.danas_series_input(ctypes.byref(state), pointer(found, INT8))
            assert ready == (n // struct.factor >= struct.length)
            if ready and complete:
                window = np.concatenate([raw, raw])[None, :n]
                assert (found == view.deployed(window, data)[0, :, 0].astype(int) - 128).all()
                compared += 1
    assert compared > 200


MAIN = """
#include <stdio.h>

#include "series_config.h"

int main(void) {
  static int16_t sample[DANAS_SERIES_SENSORS];
  static int8_t input[DANAS_SERIES_LENGTH * DANAS_SERIES_CHANNELS];
  danas_series state;
  danas_series_begin(&state, &danas_series_network, danas_series_sums, danas_series_rows);
  while (fread(sample, sizeof sample, 1, stdin) == 1) danas_series_sample(&state, sample);
  if (!danas_series_input(&state, input)) return 1;
  return fwrite(input, sizeof input, 1, stdout) != 1;
}
"""


def test_the_generated_header_is_the_networks_view(tmp_path):
    need("gcc")
    sets = (SensorSet("acc", (0, 2)), SensorSet("all", (0, 1, 2, 3)))
    view = SeriesView(50, (12.5, 25), (1.28, 2.56), sets, (900, 32768, 41, 5000))
    data = SeriesData(12.5, 1.28, "acc")
    for name, text in (
        ("series.c", _source("series.c")),
        ("series.h", _source("series.h")),
        ("series_config.h", c_series(view, data)),
        ("main.c", MAIN),
    ):
        (tmp_path / name).write_text(text)
    command("gcc", *STRICT, "-fsanitize=undefined,address", "main.c", "series.c", "-o", "main", cwd=tmp_path)
    raw = np.random.default_rng(0).normal(0, 900, (128, 4)).astype(np.int16)
    (tmp_path / "in").write_bytes(raw.tobytes())
    command("sh", "-c", "./main < in > out", cwd=tmp_path)
    expected = view.deployed(raw[None], data)[0, :, 0].astype(int) - 128
    assert (np.frombuffer((tmp_path / "out").read_bytes(), np.int8).reshape(16, 2) == expected).all()
