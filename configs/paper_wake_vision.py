"""The paper's own setting on Wake Vision: 7 resolutions, both colours, MobileNetV2, 512 kB of RAM, 2 MB of flash.

    danas data prepare wake_vision
    danas run paper_wake_vision

One supernet takes the place of the 14 of the paper (arXiv:2502.12690; resolutions, colours and limits are its code's).
MobileNetV2 as published (Sandler et al. 2018) is the largest network; width, depth and expansion shrink. Not yet run:
meant for one large GPU.
"""

import dataclasses

from danas_jax.config import Config, Limits, RetrainSettings, SearchSettings, TrainSettings
from danas_jax.config_io import load_config
from danas_jax.space import SearchSpace, Stage
from danas_jax.spaces import mobilenetv2_tiny

SHARES = (0.1, 0.25, 0.5, 1.0)  # of the published channels


def _widths(channels: int) -> tuple[int, ...]:
    """Multiples of 4."""
    return tuple(sorted({max(4, round(share * channels / 4) * 4) for share in SHARES}))


def mobilenetv2() -> SearchSpace:
    """32 to 224 px, rgb and mono; stages of up to 1, 2, 3, 4, 3, 3 and 1 blocks."""
    published = ((24, 2, 2), (32, 3, 2), (64, 4, 2), (96, 3, 1), (160, 3, 2), (320, 1, 1))  # channels, blocks, stride
    return dataclasses.replace(
        mobilenetv2_tiny(resolutions_px=(32, 64, 96, 128, 160, 192, 224), colours=("mono", "rgb")),
        name="mobilenetv2",
        stem_widths=_widths(32),
        stages=(
            Stage(widths=_widths(16), depths=(1,), stride=1, expansions=(1,), kernels=(3,)),
            *(
                Stage(_widths(channels), tuple(range(1, blocks + 1)), stride, expansions=(2, 3, 6), kernels=(3,))
                for channels, blocks, stride in published
            ),
        ),
        head_widths=_widths(1280),
    )


def get_config() -> Config:
    """One budget, the paper's."""
    return Config(
        name="paper_wake_vision",
        data=load_config("wake_vision").data,
        space=mobilenetv2(),
        train=TrainSettings(
            epochs=10, batch_size=256, random_subnets=2, learning_rate=2e-3, crop_area_min=0.5, label_weight=0.5
        ),
        search=SearchSettings(population=32, generations=20),
        retrain=RetrainSettings(epochs=20, batch_size=256, crop_area_min=0.5),
        budgets=(Limits(sram_bytes=512 * 1024, flash_bytes=2 * 1024 * 1024),),
    )
