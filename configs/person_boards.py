"""Is there a person in the photograph? One supernet, and a front for each of the nine boards that danas knows.

    danas run person_boards --data.path DIR

From an STM32L010RB with 20 kB of SRAM and 128 kB of flash to an STM32H7B3: the space of `person_photos` goes down to
32 px and to narrower stages, so that something fits everywhere.
"""

import dataclasses

from danas_jax.config import Config
from danas_jax.config_io import load_config
from danas_jax.hardware import boards
from danas_jax.space import Stage
from danas_jax.views.image import ImageView

BOARDS = (
    *("stm32l010rb", "stm32l412kb", "nano33ble", "stm32f412", "rp2040"),
    *("stm32f746", "stm32h743", "esp32s3", "stm32h7b3"),
)


def get_config() -> Config:
    """`person_photos` with a lower end, and a budget for each board; needs --data.path."""
    photos = load_config("person_photos")
    return dataclasses.replace(
        photos,
        name="person_boards",
        space=dataclasses.replace(
            photos.space,
            name="person_boards",
            view=ImageView((32, 48, 64, 80, 96)),
            stages=(
                Stage(widths=(8,), depths=(1,), stride=1, expansions=(1,), kernels=(3,)),
                Stage(widths=(8, 12, 16), depths=(1, 2), stride=2, expansions=(2, 3, 4), kernels=(3,)),
                Stage(widths=(12, 16, 24), depths=(1, 2), stride=2, expansions=(2, 3, 4), kernels=(3, 5)),
                Stage(widths=(16, 24, 40), depths=(1, 2, 3), stride=2, expansions=(2, 3, 4), kernels=(3, 5)),
                Stage(widths=(24, 40, 64), depths=(1, 2), stride=1, expansions=(2, 3, 4), kernels=(3, 5)),
                Stage(widths=(32, 64, 112), depths=(1, 2), stride=2, expansions=(2, 3, 4), kernels=(3, 5)),
            ),
            head_widths=(32, 96, 192),
        ),
        budgets=tuple(boards.limits_of(boards.board(name)) for name in BOARDS),
        baselines=(),
    )
