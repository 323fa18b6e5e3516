"""Which of nine words is said (down eight five go left one right up zero)? From one second of sound.

    danas run speech_commands --data.path DIR

DIR holds <split>/<word>/*.wav of Speech Commands, 16 kHz, or <word>/*.wav with no splits: what comes before
`_nohash_` in a file's name is the speaker, who stays in one split. Searched are the sample rate, the mel bins and the
network. One budget: 128 kB of SRAM; a DS-CNN of published shape in the same table.
"""

from danas_jax.config import Baseline, Config, DataSettings, Limits, RetrainSettings, SearchSettings, TrainSettings
from danas_jax.space import SearchSpace, Stage
from danas_jax.views.audio import AudioData, AudioView


def word_space() -> SearchSpace:
    """4 to 16 kHz, 10 to 40 mel bins in 49 frames; a DS-CNN's separable blocks, then inverted residuals."""
    return SearchSpace(
        name="speech_commands",
        view=AudioView(native_rate_hz=16000, sample_rates_hz=(4000, 8000, 16000), mel_bins=(10, 20, 40)),
        stem_widths=(16, 24, 32),
        stages=(
            Stage(widths=(16, 24, 32), depths=(1, 2), stride=1, expansions=(1,), kernels=(3, 5)),
            Stage(widths=(24, 32, 48), depths=(1, 2), stride=2, expansions=(2, 3), kernels=(3, 5)),
            Stage(widths=(32, 48, 64), depths=(1, 2), stride=2, expansions=(2, 3, 4), kernels=(3, 5)),
            Stage(widths=(48, 64, 96), depths=(1, 2), stride=1, expansions=(2, 3, 4), kernels=(3,)),
        ),
        head_widths=(64, 128, 192),
    )


def get_config() -> Config:
    """Joint search over sample rate, mel bins and architecture; needs --data.path."""
    return Config(
        name="speech_commands",
        data=DataSettings(source="folder", modality="audio", group_pattern="^(.*)_nohash_"),
        space=word_space(),
        train=TrainSettings(
            epochs=60, learning_rate=4e-3, weight_decay=0.05, label_weight=0.5, gain_jitter=0.5, noise=0.01
        ),
        search=SearchSettings(population=24, generations=6),
        retrain=RetrainSettings(
            epochs=60, weight_decay=0.05, validate_every_epochs=4, gain_jitter=0.5, noise=0.01, mixup=0.2
        ),
        budgets=(Limits(sram_bytes=128 * 1024, flash_bytes=1024 * 1024),),
        # of published shape: 49 frames of 10 MFCCs at 16 kHz (MLPerf Tiny, Banbury et al. 2021)
        baselines=(
            Baseline(
                "ds_cnn",
                network="ds_cnn",
                data=AudioData(16000, mel_bins=40, mfccs=10, window_ms=30, hop_ms=20, clip_s=1.0),
                width_multiplier=1.0,
            ),
        ),
    )
