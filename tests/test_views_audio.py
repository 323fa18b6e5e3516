"""The integer view of sound, against audio_reference.py and against what the published features are in floats."""

import math

import jax.numpy as jnp
import numpy as np
import pytest
from audio_reference import Reference
from view_contract import Augmented, keeps_its_word

from danas_jax.classification import confusion_matrix
from danas_jax.data import sound
from danas_jax.data.mixing import view_keys
from danas_jax.errors import UserError
from danas_jax.views import _sounds
from danas_jax.views.audio import AudioData, AudioView
from danas_jax.views.decimate import MAX_FACTOR, decimated, low_pass
from danas_jax.views.fixed_fft import hann, power_spectra
from danas_jax.views.mel import log2_q12

pytestmark = pytest.mark.usefixtures("strict_types")

VIEW = AudioView(16000, (4000, 8000, 16000), (10, 20, 40), clips_s=(0.5, 1.0))
CEPSTRA = AudioView(16000, (8000, 16000), (20, 40), (10, 13), windows_ms=(40, 30), hops_ms=(20, 15))
DEFAULT = AudioData(16000, 40, 0, 30, 20, 1.0)


def clips(count, samples=16000, seed=0):
    """int16 [N, T]: vowels of all levels over a hiss, in silence; and the extremes."""
    rng = np.random.default_rng(seed)
    time = np.arange(samples) / 16000
    out = rng.normal(0, 2 ** rng.uniform(0, 6, (count, 1)), (count, samples))
    for clip in out:
        pitch, level = rng.uniform(90, 300), 2 ** rng.uniform(4, 13)
        for harmonic in range(1, 25):
            clip += level * rng.uniform(0, 1) / harmonic * np.sin(2 * np.pi * harmonic * pitch * time)
        clip *= np.abs(np.sin(np.pi * time * rng.uniform(1, 3)))
        clip[: int(rng.integers(0, 3000))] = 0
    out = np.clip(np.rint(out), -32768, 32767).astype(np.int16)
    out[-1] = rng.choice([-32768, 32767], samples)
    return out


@pytest.mark.parametrize(
    ("view", "data"),
    [
        (VIEW, AudioData(16000, 40, 0, 30, 20, 0.5)),
        (VIEW, AudioData(4000, 20, 0, 30, 20, 0.5)),
        (CEPSTRA, AudioData(8000, 20, 13, 40, 15, 1.0)),
    ],
    ids=lambda value: value.text if isinstance(value, AudioData) else "",
)
def test_codes_are_the_stated_integers_and_their_products_the_stated_cost(view, data):
    raw = clips(2)
    codes = view.deployed(raw, data)
    assert codes.shape == (2, *view.shape(data))
    reference = Reference(view, data)
    assert codes[0, :, :, 0].tolist() == reference.codes(raw[0, view.clip(data)].tolist())
    assert reference.products == view.pipeline_operations(data)
    assert codes[1, :, :, 0].tolist() == reference.codes(raw[1, view.clip(data)].tolist())


def float_log_mel(clip, view, data):
    """dB below a sine of full scale, float64 [F, B], of sound [T] at the configuration's rate, with a plain FFT."""
    front = view.front_end(data)
    frames = np.lib.stride_tricks.sliding_window_view(clip.astype(float), front.window)[:: front.hop]
    taper = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(front.window) / front.window)
    power = np.abs(np.fft.rfft(frames * taper, front.size)) ** 2
    edges = np.linspace(
        Reference.mel(view.low_hz), Reference.mel(min(view.high_hz, front.rate_hz / 2)), front.width + 2
    )
    mels = np.array([Reference.mel(k * front.rate_hz / front.size) for k in range(front.size // 2 + 1)])
    weights = np.maximum(0, 1 - np.abs(mels[:, None] - edges[1:-1]) / (edges[1] - edges[0]))
    full_scale = front.size * front.window * 2**30 * 3 / 32
    return 10 * np.log10(np.maximum(power @ weights / full_scale, 1e-20))


def test_codes_are_the_log_mel_spectrum_in_decibels_however_quiet_it_is():
    raw = clips(8)
    raw = np.concatenate([raw, raw[:4] >> 9])
    codes = VIEW.deployed(raw, DEFAULT)[..., 0].astype(int)
    expected = np.array([float_log_mel(clip, VIEW, DEFAULT) for clip in raw])
    error = np.abs(codes - np.clip((expected + 100) * 2.55, 0, 255))
    assert (error < 1).mean() > 0.999
    assert error.max() < 3  # 90 dB below the strongest component of the frame
    tone = np.rint(32767 * np.sin(2 * np.pi * 1000 * np.arange(16000) / 16000)).astype(np.int16)
    shares = 10 ** ((VIEW.deployed(tone[None], AudioData(16000, 10, 0, 30, 20, 1.0)) / 2.55 - 100) / 10)
    assert np.abs(10 * np.log10(shares.sum(2))).max() < 0.3  # of a sine of full scale, all bins together


@pytest.mark.parametrize("size", [16, 128, 512, 4096])
def test_the_spectrums_error_is_83_db_below_its_strongest_component(size):
    rng = np.random.default_rng(size)
    window = size - size // 16
    frames = np.rint(rng.normal(0, 1, (window, 30)) * 2.0 ** rng.uniform(1, 12, 30)).astype(np.int16)
    frames[:, 0] = rng.choice([-32768, 32767], window)
    frames[:, 1] = -32768
    power, shift = power_spectra(frames, size, 1, size // 2)
    exact = np.abs(np.fft.rfft(frames.T * hann(window), size)).T
    found = np.sqrt(power) * 2.0**6 / 2.0**shift * (size // 2)
    error = np.abs(found - exact[1:-1]).max(0) / exact.max(0)
    assert 20 * np.log10(error.max()) < -83


@pytest.mark.parametrize("factor", [2, 3, 4, MAX_FACTOR])
def test_decimation_keeps_what_the_new_rate_can_hold(factor):
    taps = low_pass(factor)
    assert taps.sum() == 32768
    assert (taps == taps[::-1]).all()
    assert np.abs(taps).sum() < 65535
    response = np.abs(np.fft.rfft(taps / 32768, 1 << 15))
    frequency = np.arange(len(response)) / (1 << 15) * factor  # of the new rate
    assert 20 * np.log10(response[frequency < 0.38].min()) > -0.1
    assert 20 * np.log10(response[frequency > 0.51].max()) < -49.5
    raw = np.random.default_rng(0).choice([-32768, 32767], (2, 40 * factor + 1)).astype(np.int16)
    raw[1, -len(taps) - 1 : -1] = np.where(taps > 0, 32767, -32768)[-raw.shape[1] + 1 :]
    exact = np.array([np.convolve(row, taps)[factor - 1 :: factor][: raw.shape[1] // factor] for row in raw.tolist()])
    assert (decimated(raw, factor) == np.clip((exact + 2**14) >> 15, -32768, 32767)).all()


def test_logarithm():
    values = np.concatenate([2 ** np.arange(63), 2 ** np.arange(63) - 1, np.arange(1, 3000)])
    values = values[values > 0]
    assert np.abs(log2_q12(values) - 4096 * np.array([math.log2(v) for v in values.tolist()])).max() < 2
    assert log2_q12(np.zeros(1, np.int64)) < -(2**19)


@pytest.mark.parametrize(
    "view",
    [
        AudioView(16000, (4000, 16000), (10, 40), clips_s=(0.5, 1.0)),
        AudioView(16000, (8000,), (20,), (10, 13), windows_ms=(40,), hops_ms=(20,)),
    ],
    ids=["log_mel", "mfcc"],
)
def test_the_contract(view):
    keeps_its_word(view, clips(6), Augmented(time_shift=0.1, gain_jitter=0.2, noise=0.01))


@pytest.mark.parametrize(("view", "data"), [(VIEW, DEFAULT), (CEPSTRA, AudioData(8000, 20, 13, 30, 15, 1.0))])
def test_training_features_are_the_deployed_ones(view, data):
    raw = clips(16, seed=1)
    codes = np.asarray(view.training(view_keys(0, jnp.arange(16), 0), jnp.asarray(raw), data, Augmented()))
    difference = np.abs(codes - view.deployed(raw, data))
    assert (difference == 0).mean() > 0.99
    assert (difference <= 1).mean() > 0.9999


def test_augmentation_of_the_waveform():
    raw = clips(40, samples=4000)
    keys = view_keys(3, jnp.arange(len(raw)), 0)

    def heard(**settings):
        return np.asarray(_sounds.augmented(keys, jnp.asarray(raw), Augmented(**settings)))

    assert (heard() == raw).all()
    shifted, shifts = heard(time_shift=0.1), []
    for before, after in zip(raw, shifted, strict=True):
        padded = np.pad(before, 400)
        places = [s for s in range(801) if (padded[s : s + 4000] == after).all()]
        assert len(places) == 1
        shifts += places
    assert min(shifts) < 80
    assert max(shifts) > 720
    loud = heard(gain_jitter=0.5)
    gains = (loud[:-1] * raw[:-1]).sum(1) / (raw[:-1].astype(float) ** 2).sum(1)
    assert 0.5 <= gains.min() < 0.6
    assert 1.4 < gains.max() <= 1.5
    assert loud[-1].max() <= 32767
    hiss = (heard(noise=0.01) - raw)[:-1]
    assert 0 <= hiss.std(1).min() < 60
    assert 270 < hiss.std(1).max() < 340  # 0.01 of full scale
    assert np.abs(np.corrcoef(hiss)[np.triu_indices(39, 1)]).max() < 0.3


def test_another_shape_hears_the_same():
    raw = clips(4)
    keys = view_keys(0, jnp.arange(4), 7)
    settings = Augmented(time_shift=0.2, gain_jitter=0.5, noise=0.001)
    fine, coarse = (
        np.asarray(VIEW.training(keys, jnp.asarray(raw), AudioData(16000, 10, 0, 30, 20, clip_s), settings))
        for clip_s in (1.0, 0.5)
    )
    start = (16000 - 8000) // 2 // 320  # 12.5 frames: half a hop off
    middle = (fine[:, start : start + 24] + fine[:, start + 1 : start + 25]) / 2
    assert np.corrcoef(middle.ravel(), coarse.ravel())[0, 1] > 0.97


def test_the_middle_of_a_clip():
    data, short = (
        AudioData(8000, 20, 0, 30, 20, 0.5),
        AudioView(16000, (8000,), (20,), clips_s=(0.5,), native_clip_s=0.5),
    )
    raw = clips(2)
    assert (VIEW.codes(raw, data) == short.codes(raw[:, 4000:12000], data)).all()


def test_published_shapes_and_texts():
    assert VIEW.shape(DEFAULT) == (49, 40, 1)
    assert CEPSTRA.shape(AudioData(16000, 40, 10, 40, 20, 1.0)) == (49, 10, 1)
    view = AudioView(16000, (16000,), (40,), (10,))
    assert view.shape(view.data(**{axis.name: axis.values[0] for axis in view.axes})) == (49, 10, 1)
    assert DEFAULT.text == "16 kHz, 40 mel bins, 1.0 s, window 30 ms, hop 20 ms"
    assert (
        AudioData(11025, 40, 10, 40, 20, 0.5).text
        == "11.025 kHz, 10 MFCCs of 40 mel bins, 0.5 s, window 40 ms, hop 20 ms"
    )


def test_axes_with_equal_values_are_told_apart():
    view = AudioView(16000, (8000, 16000), (20,), hops_ms=(20,))
    narrowed = view.with_values({"mel_bins": (10,)})
    assert (narrowed.mel_bins, narrowed.hops_ms) == ((10,), (20,))
    assert view.only(AudioData(8000, 12, 0, 30, 10, 1.0)) == AudioView(16000, (8000,), (12,), hops_ms=(10,))


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"sample_rates_hz": (6000,)}, "sample_rates_hz: 6000 Hz is not the native 16000 Hz divided by a whole number"),
        ({"sample_rates_hz": (32000,)}, r"sample_rates_hz = \(32000,\): give integers from 1000 to 16000"),
        ({"sample_rates_hz": ()}, "sample_rates_hz = .*give integers"),
        ({"sample_rates_hz": (16000, 8000)}, "sample_rates_hz = .*ascending"),
        ({"mel_bins": (3,)}, r"mel_bins = \(3,\): give integers from 4 to 128"),
        ({"mel_bins": (20.5,)}, "mel_bins = .*give integers"),
        (
            {"mel_bins": (128,), "high_hz": 200},
            "mel_bins: 128 mel bins from 20 to 200 Hz are too narrow at 8000 Hz: give fewer",
        ),
        ({"mfccs": (0, 10)}, r"mfccs = \(0, 10\): give 4 or more, or \(0,\) for log-mel"),
        ({"mfccs": (21,)}, "mfccs = .*: give integers from 0 to 20"),
        ({"windows_ms": (20, 30)}, "windows_ms = .*descending: a shorter one makes more frames"),
        ({"hops_ms": (10, 20)}, "hops_ms = .*descending"),
        ({"hops_ms": (40,)}, "hops_ms: 40 ms are more than a window of 30 ms"),
        ({"windows_ms": (1,), "hops_ms": (1,)}, "windows_ms = .*give windows of 16 to 4096 samples"),
        ({"native_rate_hz": 11025, "sample_rates_hz": (11025,)}, "windows_ms: 30 ms are 330.75 samples at 11025 Hz"),
        ({"clips_s": (2.0,)}, "clips_s = .*give numbers from 0.01 to 1"),
        ({"clips_s": (0.05,)}, "clips_s: 0.05 s are 2 frames: give clips of 4 or more"),
        ({"low_hz": 4000}, "low_hz = 4000: give 0 or more, below high_hz"),
        ({"low_hz": -1}, "low_hz = -1"),
    ],
)
def test_bad_values_are_named(wrong, text):
    right = {"native_rate_hz": 16000, "sample_rates_hz": (8000, 16000), "mel_bins": (20,)}
    with pytest.raises(UserError, match=f"space.view.{text}"):
        AudioView(**(right | wrong))


def test_clips_of_another_length_are_refused():
    with pytest.raises(UserError, match="native_clip_s = 1: the examples have 8000 samples"):
        VIEW.codes(clips(1, samples=8000), DEFAULT)
    with pytest.raises(UserError, match="native_clip_s"):
        VIEW.training(view_keys(0, jnp.arange(2), 0), jnp.asarray(clips(2, samples=8000)), DEFAULT, Augmented())


def speech(folder, per_word):
    """(int16 [N, 16000], labels, words) of the first clips of each word."""
    words = sorted(path.name for path in folder.iterdir())
    files = [
        (path, label) for label, word in enumerate(words) for path in sorted((folder / word).glob("*.wav"))[:per_word]
    ]
    raw = np.stack([sound.read_wav(path.read_bytes(), 16000, 16000) for path, _ in files])
    return raw, np.array([label for _, label in files]), words


def ridge_accuracy(features, labels, tested, answers):
    """Accuracy of a ridge regression to one-hot targets on centred features."""
    mean, scale = features.mean(0), features.std() + 1e-9
    x, y = (features - mean) / scale, np.eye(labels.max() + 1)[labels]
    weights = x.T @ np.linalg.solve(x @ x.T + 0.3 * x.shape[1] * np.eye(len(x)), y - y.mean(0))
    found = (((tested - mean) / scale) @ weights + y.mean(0)).argmax(1)
    return np.trace(confusion_matrix(found, answers, labels.max() + 1)) / len(answers)


def test_words_are_in_the_codes(shared):
    folder = shared / "data" / "speech_commands"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there")
    (raw, labels, words), (tested, answers, _) = speech(folder / "train", 60), speech(folder / "validation", 30)
    found = {}
    for data in (DEFAULT, AudioData(4000, 10, 0, 30, 20, 1.0)):
        codes, test_codes = (VIEW.deployed(x, data).reshape(len(x), -1).astype(float) for x in (raw, tested))
        found[data.text] = ridge_accuracy(codes, labels, test_codes, answers)
    floats = [np.stack([float_log_mel(clip, VIEW, DEFAULT).ravel() for clip in x]) for x in (raw, tested)]
    float_accuracy = ridge_accuracy(np.maximum(floats[0], -100), labels, np.maximum(floats[1], -100), answers)
    print(f"{len(raw)} clips of {len(words)} words: {found}, float log-mel {float_accuracy}")
    assert found[DEFAULT.text] > 0.35  # chance: 0.11
    assert found[DEFAULT.text] >= float_accuracy - 0.02
