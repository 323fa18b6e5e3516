"""Is there a person in the picture? Wake Vision's own splits and labels, 1.25 million training images.

    danas data prepare wake_vision      # once: 287 GB to download, needs tensorflow
    danas run wake_vision

Trains on `train_quality`; the larger, noisier split is `--data.split-names train=train_large validation=validation
test=test`, and `--data.limit-per-class 50000` takes 100,000 images. Figures are given for each of the set's own
distance, lighting, age and gender labels. Not yet run on the whole set: meant for one GPU and a fast disk.
"""

import dataclasses

from danas_jax.config import Config, DataSettings, Limits, RetrainSettings, SearchSettings, TrainSettings
from danas_jax.spaces import mobilenetv2_tiny

SLICES = (
    *("near", "medium_distance", "far"),
    *("dark", "normal_lighting", "bright"),
    *("young", "middle_age", "older", "age_unknown"),
    *("predominantly_female", "predominantly_male", "gender_unknown"),
)  # "Yes" or "No" of images of persons, unknown of the others


def get_config() -> Config:
    """48 to 128 px in colour or grey within 64, 128 and 256 kB of SRAM."""
    return Config(
        name="wake_vision",
        data=DataSettings(
            source="tfds",
            path="wake_vision",
            split_names=("train=train_quality", "validation=validation", "test=test"),
            input_field="image",
            label_field="person",
            slice_fields=SLICES,
            search_fraction=0.02,  # 25,000 images rank subnets to half a percent
        ),
        space=dataclasses.replace(mobilenetv2_tiny(resolutions_px=(48, 64, 80, 96, 128)), name="wake_vision"),
        train=TrainSettings(
            epochs=6, batch_size=256, random_subnets=2, learning_rate=4e-3, crop_area_min=0.5, label_weight=0.5
        ),
        search=SearchSettings(population=32, generations=10),
        retrain=RetrainSettings(epochs=10, batch_size=256, crop_area_min=0.5),
        budgets=tuple(Limits(sram_bytes=kilobytes * 1024, flash_bytes=1024 * 1024) for kilobytes in (64, 128, 256)),
    )
