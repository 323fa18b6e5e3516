"""What is a person doing (walking, upstairs, downstairs, sitting, standing, lying)? From a belt's inertial sensors.

    danas run uci_har --data.path DIR

DIR holds train.npz and test.npz of the UCI HAR set: `x` int16 [N, 128, 9] at 50 Hz times `scale`, `y`, `subject`. The
channels are body acceleration, angular rate and total acceleration, x y z each; the accelerometer itself gives the last
three, body acceleration is filtered out of it. Validation and the search slice are subjects of their own. One budget:
32 kB of SRAM.
"""

from danas_jax.config import Config, DataSettings, Limits, RetrainSettings, SearchSettings, TrainSettings
from danas_jax.space import SearchSpace, Stage
from danas_jax.views.series import SensorSet, SeriesView

# proposed_ranges of train.npz: 99.9 % of each channel's magnitudes lie below, in units of train.npz's `scale`
RANGES = (5222, 3728, 3417, 12115, 13468, 7650, 10482, 5421, 5359)


def har_space() -> SearchSpace:
    """12.5 to 50 Hz, half or the whole window, one to three kinds of channels; kernels of 3 to 7 rows."""
    return SearchSpace(
        name="uci_har",
        view=SeriesView(
            native_rate_hz=50,
            rates_hz=(12.5, 25, 50),
            windows_s=(1.28, 2.56),
            sensor_sets=(
                SensorSet("acc", (6, 7, 8)),
                SensorSet("acc_gyro", (3, 4, 5, 6, 7, 8)),
                SensorSet("all", tuple(range(9))),
            ),
            ranges=RANGES,
        ),
        stem_widths=(8, 16),
        stages=(
            Stage(widths=(8, 12, 16), depths=(1, 2), stride=2, expansions=(2, 3, 4), kernels=(3, 5, 7)),
            Stage(widths=(16, 24, 32), depths=(1, 2), stride=2, expansions=(2, 3, 4), kernels=(3, 5, 7)),
            Stage(widths=(24, 32, 48), depths=(1, 2), stride=2, expansions=(2, 3, 4), kernels=(3, 5)),
        ),
        head_widths=(48, 96),
    )


def get_config() -> Config:
    """Joint search over rate, window, sensors and architecture; needs --data.path."""
    return Config(
        name="uci_har",
        data=DataSettings(source="npz", modality="series", group_field="subject"),
        space=har_space(),
        train=TrainSettings(
            epochs=40,
            learning_rate=4e-3,
            weight_decay=0.05,
            label_weight=0.5,
            time_shift=0.05,
            gain_jitter=0.1,
            noise=0.01,
        ),
        search=SearchSettings(population=24, generations=6),
        retrain=RetrainSettings(
            epochs=40, weight_decay=0.05, validate_every_epochs=4, time_shift=0.05, gain_jitter=0.1, noise=0.01
        ),
        budgets=(Limits(sram_bytes=32 * 1024, flash_bytes=512 * 1024),),
    )
