"""Is there a person in the photograph? Three boards, and a fixed MobileNetV1-0.25 in the same table.

    danas run person_photos --data.path DIR

DIR holds <split>/<class>/*.jpg, or <class>/*.jpg with no splits. Budgets: 64, 128 and 256 kB of SRAM at 1 MB of flash.
"""

from danas_jax.config import Baseline, Config, DataSettings, Limits, RetrainSettings, SearchSettings, TrainSettings
from danas_jax.spaces import mobilenetv2_tiny


def get_config() -> Config:
    """Joint search over 48 to 112 px, colour and architecture; needs --data.path."""
    return Config(
        name="person_photos",
        data=DataSettings(source="folder", native_resolution_px=160),
        space=mobilenetv2_tiny(resolutions_px=(48, 64, 80, 96, 112)),
        train=TrainSettings(epochs=12, learning_rate=3e-3, weight_decay=0.05, crop_area_min=0.5),
        search=SearchSettings(population=16, generations=5),
        retrain=RetrainSettings(
            epochs=15, weight_decay=0.05, crop_area_min=0.5, calibration_images=512, validate_every_epochs=3
        ),
        budgets=tuple(Limits(sram_bytes=kilobytes * 1024, flash_bytes=1024 * 1024) for kilobytes in (64, 128, 256)),
        baselines=(Baseline(name="mobilenet_v1_025_96_rgb", resolution_px=96, colour="rgb", width_multiplier=0.25),),
    )
