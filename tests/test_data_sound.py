"""Wav files as int16 of one rate and length: every depth, and what is no such file named."""

import io
import wave

import numpy as np
import pytest
from wav_files import FLOAT, wav, wav_bytes, words

from danas_jax.config import DataSettings
from danas_jax.data import sound
from danas_jax.data.dataset import open_data
from danas_jax.errors import UserError

RATE_HZ = 16000
RAMP = np.arange(-300, 300)


def read(data: bytes, samples: int = len(RAMP), rate_hz: int = RATE_HZ) -> np.ndarray:
    out = sound.read_wav(data, rate_hz, samples)
    assert (out.dtype, out.shape) == (np.int16, (samples,))
    return out


@pytest.mark.parametrize(
    ("values", "options"),
    [
        (RAMP, {}),
        (RAMP, {"extensible": True}),
        (RAMP << 8, {"bits": 24}),
        (RAMP * 256 + 255, {"bits": 24, "extensible": True}),  # the low bits are dropped
        (RAMP << 16, {"bits": 32}),
        (RAMP / 32768, {"bits": 32, "encoding": FLOAT}),
        (RAMP, {"extra": b"LIST\x03\0\0\0abc\0"}),  # chunks of odd size are padded
        (RAMP, {"size": 0xFFFFFFFF}),  # of unknown length
        (np.stack([RAMP - 5, RAMP + 5], 1), {}),
        (np.stack([RAMP - 5, RAMP + 5, RAMP], 1) << 8, {"bits": 24}),
    ],
)
def test_every_depth_is_the_same_sound(values, options):
    assert (read(wav_bytes(values, **options)) == RAMP).all()


def test_eight_bits_are_the_upper_ones():
    assert read(wav_bytes([0, 128, 255], bits=8), 3).tolist() == [-32768, 0, 32512]


def test_the_standard_library_writes_what_is_read():
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setparams((1, 2, RATE_HZ, 0, "NONE", ""))
        writer.writeframes(RAMP.astype("<i2").tobytes())
    assert (read(file.getvalue()) == RAMP).all()


def test_a_short_clip_lies_in_the_middle_and_of_a_long_one_the_middle_is_kept():
    assert read(wav_bytes([1, 2, 3]), 8).tolist() == [0, 0, 1, 2, 3, 0, 0, 0]
    assert read(wav_bytes(np.arange(9)), 4).tolist() == [2, 3, 4, 5]


@pytest.mark.parametrize("rate_hz", [8000, 44100, 48000])
def test_another_rate_is_resampled(rate_hz):
    def tone(rate_hz):
        return np.rint(10000 * np.sin(2 * np.pi * 440 * np.arange(rate_hz) / rate_hz))

    out = read(wav_bytes(tone(rate_hz), rate_hz=rate_hz), RATE_HZ)
    inside = slice(200, -200)
    assert np.abs(out.astype(int) - tone(RATE_HZ))[inside].max() < 20


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty file"),
        (b"hello, I am text", "not a wav file inside"),
        (wav_bytes(RAMP)[:-1], "truncated"),
        (wav_bytes(RAMP)[:600], "truncated"),
        (wav_bytes(RAMP)[:36], "truncated"),
        (wav_bytes(RAMP)[:30], "truncated"),
        (wav_bytes([]), "no sound inside"),
        (b"RIFF\0\0\0\0WAVE", "no sound inside"),
        (wav_bytes(RAMP, bits=16, encoding=85), "encoding 85 with 16 bits: give PCM"),
        (wav_bytes(RAMP, rate_hz=0), "1 channels at 0 Hz"),
        (wav_bytes([0.0, np.nan], bits=32, encoding=FLOAT), "a sample is not a number"),
    ],
)
def test_what_is_no_sound_says_why(data, reason):
    with pytest.raises(ValueError, match=reason):
        read(data)


def opened(root, **changes):
    settings = {"source": "folder", "modality": "audio", "path": str(root), "clip_s": 0.05, **changes}
    return open_data(DataSettings(**settings), 0, seed=1)


PLACES = [f"{split}/{word}" for split in ("train", "validation", "test") for word in ("down", "up")]


def test_a_folder_of_clips(tmp_path):
    data = opened(words(tmp_path, *PLACES))
    assert (data.shape, data.warnings) == ((800,), ())
    split = data.load("validation", "retrain")
    assert (split.raw.shape, split.raw.dtype, split.labels.tolist()) == ((24, 800), np.int16, [0] * 12 + [1] * 12)
    assert split.names[0] == "validation/down/0000_nohash_0.wav"
    first = np.random.default_rng(200).integers(-1000, 1000, 800)
    assert (split.raw[0] == first).all()


def test_clips_of_other_kinds_are_counted(tmp_path):
    root = words(tmp_path, *PLACES)
    wav(root / "train/down/a.wav", np.zeros(2205), rate_hz=44100)
    wav(root / "train/down/b.wav", np.zeros((800, 2)))
    wav(root / "train/up/c.wav", np.zeros(900))
    wav(root / "train/up/d.wav", np.zeros(800), extra=b"LIST\0\x20\0\0" + bytes(8192))  # the sound begins further in
    assert opened(root).warnings == (
        "1 of 76 clips are longer than 0.05 s: the middle is taken",
        "1 of 76 clips are not at 16000 Hz: resampled",
        "1 of 76 clips have several channels: their mean is taken",
    )


def test_unreadable_clips_are_named(tmp_path):
    root = words(tmp_path, *PLACES)
    (root / "train/down/a.wav").write_bytes(b"")
    (root / "train/down/b.wav").write_text("text")
    cut = root / "train/up/0000_nohash_0.wav"
    cut.write_bytes(cut.read_bytes()[:-10])
    data = opened(root)
    assert data.warnings == (
        "2 of 74 clips cannot be read: train/down/a.wav (empty file), train/down/b.wav (not a wav file inside) "
        "(left out)",
    )
    splits = data.load("train", "train"), data.load("search", "search")
    warnings = [text for split in splits for text in split.warnings]
    assert len(warnings) == 1
    assert "train/up/0000_nohash_0.wav (truncated) (left out)" in warnings[0]


def test_speakers_stay_together(tmp_path):
    data = opened(words(tmp_path, "down", "up", count=40), group_pattern="^(.*)_nohash_")
    groups = [set(items.groups) for items in data.items.values()]
    assert sum(map(len, groups)) == len(set.union(*groups)) == 20
    assert "group:0003" in set.union(*groups)


def test_names_without_a_speaker_are_said(tmp_path):
    root = words(tmp_path, "down", "up", count=40)
    wav(root / "up/other.wav", np.zeros(800))
    (text,) = [text for text in opened(root, group_pattern="^(.*)_nohash_").warnings if "group" in text]
    assert text == "1 of 81 clips have no match of '^(.*)_nohash_': each is a group of its own"


def test_a_folder_of_pictures_is_no_folder_of_clips(tmp_path):
    for word in ("down", "up"):
        (tmp_path / word).mkdir()
        (tmp_path / word / "a.jpg").write_bytes(b"\xff\xd8")
    with pytest.raises(UserError, match="class 'down' has no wav in down/"):
        opened(tmp_path)
