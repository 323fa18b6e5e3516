"""Is there a person in the photograph? Three boards, and a fixed MobileNetV1-0.25 in the same table.

    danas run person_photos --data.path DIR

DIR holds <split>/<class>/*.jpg, or <class>/*.jpg with no splits; a metadata.csv in it with the columns file and source
gives figures per source. Budgets: 64, 128 and 256 kB of SRAM at 1 MB of flash.
Took 1 h 09 min on two CPU cores for 9,262 photos of train and validation; 0.77, 0.79 and 0.78 int8 test accuracy
(benchmarks/results/; commit 81c4a3b, when the smaller subnets did not see the labels: `label_weight` came later, from
benchmarks/results/inherited.csv). The space is mobilenetv2_tiny with narrower late stages, so that two cores finish
in 90 minutes.
"""

import dataclasses

from danas_jax.config import Baseline, Config, DataSettings, Limits, RetrainSettings, SearchSettings, TrainSettings
from danas_jax.space import SearchSpace, Stage
from danas_jax.spaces import mobilenetv2_tiny
from danas_jax.views.image import ImageData


def photo_space() -> SearchSpace:
    """48 to 96 px in colour or grey; 0.4 to 12 million MACs."""
    return dataclasses.replace(
        mobilenetv2_tiny(resolutions_px=(48, 64, 80, 96)),
        name="person_photos",
        stages=(
            Stage(widths=(8,), depths=(1,), stride=1, expansions=(1,), kernels=(3,)),
            Stage(widths=(8, 12, 16), depths=(1, 2), stride=2, expansions=(2, 3, 4), kernels=(3,)),
            Stage(widths=(16, 20, 24), depths=(1, 2), stride=2, expansions=(3, 4), kernels=(3, 5)),
            Stage(widths=(24, 32, 40), depths=(1, 2, 3), stride=2, expansions=(3, 4), kernels=(3, 5)),
            Stage(widths=(32, 48, 64), depths=(1, 2), stride=1, expansions=(3, 4), kernels=(3, 5)),
            Stage(widths=(48, 80, 112), depths=(1, 2), stride=2, expansions=(3, 4), kernels=(3, 5)),
        ),
        head_widths=(64, 128, 192),
    )


def get_config() -> Config:
    """Joint search over 48 to 96 px, colour and architecture; needs --data.path."""
    return Config(
        name="person_photos",
        data=DataSettings(source="folder", native_resolution_px=160, slice_fields=("source",)),
        space=photo_space(),
        train=TrainSettings(epochs=24, learning_rate=4e-3, weight_decay=0.05, crop_area_min=0.5, label_weight=0.5),
        search=SearchSettings(population=16, generations=5),
        retrain=RetrainSettings(
            epochs=18, weight_decay=0.05, crop_area_min=0.5, calibration_images=512, validate_every_epochs=3
        ),
        budgets=tuple(Limits(sram_bytes=kilobytes * 1024, flash_bytes=1024 * 1024) for kilobytes in (64, 128, 256)),
        baselines=(Baseline("mobilenet_v1_025_96_rgb", data=ImageData(96, "rgb"), width_multiplier=0.25),),
    )
