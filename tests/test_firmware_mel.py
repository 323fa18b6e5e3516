"""The C of an audio view against the NumPy that networks are trained on, bit for bit."""

import ctypes
import math

import numpy as np
import pytest
from firmware_toys import STRICT, command, need, shared_library

from danas_jax.deploy.firmware.c_mel import c_mel, memory, tables
from danas_jax.deploy.firmware.project import _source
from danas_jax.errors import UserError
from danas_jax.views.audio import AudioView
from danas_jax.views.decimate import low_pass
from danas_jax.views.mel import SPAN

NUMBERS = ("factor", "taps", "window", "hop", "size", "mel_bins", "mfccs", "frames", "floor", "span")
TABLES = ("tap", "hann", "sine", "start", "rise", "dct")
MEMORY = ("history", "sound", "spectrum", "levels", "rows")


class View(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int32) for name in NUMBERS] + [(name, ctypes.c_void_p) for name in TABLES]


class Memory(ctypes.Structure):
    _fields_ = [(name, ctypes.c_void_p) for name in MEMORY]


class State(ctypes.Structure):
    _fields_ = [
        ("view", ctypes.POINTER(View)),
        ("memory", Memory),
        *((name, ctypes.c_int32) for name in ("newest", "pending", "filled", "row", "rows")),
    ]


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return shared_library(tmp_path_factory.mktemp("mel"), "mel")


class Board:
    """A view in C: `samples` takes sound, `input` is the network's input, None while there is too little."""

    def __init__(self, library, view, data):
        front = view.front_end(data)
        self.library, self.shape = library, view.shape(data)[:2]
        self.kept = tables(view, data) | {
            name: np.full(count, 99, kind.removesuffix("_t")) for name, (kind, count) in memory(view, data).items()
        }
        numbers = [front.factor, len(low_pass(front.factor)), front.window, front.hop, front.size]
        numbers += [front.mel_bins, front.mfccs, self.shape[0], front.floor, SPAN]
        self.view = View(*numbers, *(self.kept[name].ctypes.data for name in TABLES))
        self.memory = Memory(*(self.kept[name].ctypes.data for name in MEMORY))
        self.state = State()
        library.danas_mel_begin(ctypes.byref(self.state), ctypes.byref(self.view), ctypes.byref(self.memory))

    def samples(self, sound):
        sound = np.ascontiguousarray(sound)
        return self.library.danas_mel_samples(ctypes.byref(self.state), ctypes.c_void_p(sound.ctypes.data), len(sound))

    def input(self):
        found = np.full(self.shape, 99, np.int8)
        there = self.library.danas_mel_input(ctypes.byref(self.state), ctypes.c_void_p(found.ctypes.data))
        return found if there else None


def random_case(rng):
    """A random configuration, the only one of its view, and a clip: noise, tones and silence of all levels."""
    while True:
        rate, factor = int(rng.choice([4000, 8000, 11025, 16000, 22050])), int(rng.choice([1, 1, 2, 3, 4, 7]))
        window, hop = (int(rng.integers(*limits)) for limits in ((8, 64), (4, 40)))
        step = 1000 // math.gcd(1000, rate)  # milliseconds with whole numbers of samples
        window, hop = (step * -(-value // step) for value in (window, hop))
        bins = int(rng.integers(4, 50))
        mfccs = int(rng.integers(4, bins + 1)) if rng.random() < 0.3 else 0
        clip_s = float(rng.integers(1, 4) * max(window, 40) / 100)
        try:
            view = AudioView(
                rate * factor,
                (rate,),
                (bins,),
                (mfccs,),
                windows_ms=(max(window, hop),),
                hops_ms=(hop,),
                clips_s=(clip_s,),
                native_clip_s=clip_s,
                low_hz=float(rng.uniform(0, 200)),
                high_hz=float(rng.uniform(1500, 12000)),
            )
        except UserError:  # more bins than the spectrum can tell apart, fewer frames than a network reads
            continue
        break
    data = view.data(**{axis.name: axis.values[0] for axis in view.axes})
    samples = view.samples(data)
    time = np.arange(samples) / (rate * factor)
    raw = rng.normal(0, 2 ** rng.uniform(-1, 16), samples)
    for _ in range(3):
        raw += 2 ** rng.uniform(0, 15) * np.sin(2 * np.pi * rng.uniform(20, rate / 2) * time)
    if rng.random() < 0.1:
        raw = np.where(raw > 0, 32767, -32768)
    raw[: int(rng.integers(0, 2) * samples // 3)] = 0
    return view, data, np.clip(np.rint(raw), -32768, 32767).astype(np.int16)


@pytest.mark.parametrize("seed", range(4))
def test_25_random_clips_of_random_configurations(library, seed):
    rng = np.random.default_rng(seed)
    for _ in range(25):
        view, data, raw = random_case(rng)
        board = Board(library, view, data)
        expected = view.deployed(raw[None], data)[0, :, :, 0].astype(int) - 128
        assert board.input() is None
        start, completed = 0, 0
        while start < len(raw):  # in portions, as a microphone gives them
            portion = raw[start : start + int(rng.integers(1, 700))]
            completed += board.samples(portion)
            start += len(portion)
        assert completed == len(expected)
        assert (board.input() == expected).all(), data
    assert expected.std() > 5


def test_extremes(library):
    view = AudioView(16000, (8000, 16000), (20,), windows_ms=(32,), clips_s=(0.2,), native_clip_s=0.2)
    rng = np.random.default_rng(0)
    for rate_hz in (8000, 16000):
        data = view.data(sample_rate_hz=rate_hz, mel_bins=20, mfccs=0, window_ms=32, hop_ms=20, clip_s=0.2)
        taps = np.where(low_pass(2)[::-1] > 0, 32767, -32768)
        clips = [np.full(3200, v) for v in (-32768, 32767, 0, 1, -1)]
        clips += [np.resize(taps, 3200), np.resize(-taps - 1, 3200), rng.choice([-32768, 32767], 3200)]
        for raw in np.array(clips, np.int16):
            board = Board(library, view, data)
            board.samples(raw)
            assert (board.input() == view.deployed(raw[None], data)[0, :, :, 0].astype(int) - 128).all()


def test_sound_goes_on(library):
    """Of an endless sound the input is, at every frame, the newest rows."""
    rng = np.random.default_rng(5)
    view = AudioView(16000, (8000,), (12,), clips_s=(0.3,), native_clip_s=0.3)
    data = view.data(sample_rate_hz=8000, mel_bins=12, mfccs=0, window_ms=30, hop_ms=20, clip_s=0.3)
    sound = rng.normal(0, 2000, 16000).astype(np.int16)
    every_row = view.front_end(data).codes(sound[None])[0].astype(int) - 128
    board, rows, count = Board(library, view, data), 0, view.shape(data)[0]
    for sample in sound:
        if board.samples(sample[None]):
            rows += 1
            found = board.input()
            assert (found is not None) == (rows >= count)
            assert found is None or (found == every_row[rows - count : rows]).all()
    assert rows == len(every_row) > 2 * count


MAIN = """
#include <stdio.h>

#include "mel_config.h"
#include "preprocess_audio.h"

int main(void) {
  static int16_t sound[DANAS_MEL_SAMPLES];
  static int8_t input[DANAS_MEL_FRAMES * DANAS_MEL_WIDTH];
  while (fread(sound, sizeof sound, 1, stdin) == 1) {
    danas_preprocess_audio(sound, input);
    if (fwrite(input, sizeof input, 1, stdout) != 1) return 1;
  }
  return sizeof danas_mel_history + sizeof danas_mel_sound + sizeof danas_mel_spectrum + sizeof danas_mel_levels +
             sizeof danas_mel_rows != BYTES || (void *)&danas_mel_network == (void *)&danas_mel_buffers;
}
"""


@pytest.mark.parametrize(("rate_hz", "mfccs"), [(16000, 0), (4000, 10)])
def test_the_generated_header_is_the_networks_view(tmp_path, rate_hz, mfccs):
    need("gcc")
    view = AudioView(16000, (4000, 16000), (20,), (mfccs,), clips_s=(0.5, 1.0))
    data = view.data(sample_rate_hz=rate_hz, mel_bins=20, mfccs=mfccs, window_ms=30, hop_ms=20, clip_s=0.5)
    for name in ("mel.c", "mel.h", "preprocess_audio.c", "preprocess_audio.h"):
        (tmp_path / name).write_text(_source(name))
    (tmp_path / "mel_config.h").write_text(c_mel(view, data))
    (tmp_path / "main.c").write_text(MAIN)
    total = view.pipeline_bytes(data) + (2 if rate_hz == 16000 else 0)  # no array of C is empty
    flags = [*STRICT, "-fsanitize=undefined,address", "-Wno-unused-variable", f"-DBYTES={total}"]
    command("gcc", *flags, "main.c", "mel.c", "preprocess_audio.c", "-o", "main", cwd=tmp_path)
    raw = np.random.default_rng(0).normal(0, 900, (3, 16000)).astype(np.int16)
    (tmp_path / "in").write_bytes(np.ascontiguousarray(raw[:, view.clip(data)]).tobytes())
    command("sh", "-c", "./main < in > out", cwd=tmp_path)
    expected = view.deployed(raw, data).astype(int) - 128
    assert (np.frombuffer((tmp_path / "out").read_bytes(), np.int8).reshape(expected.shape) == expected).all()
