"""Is there a person in the photograph? The space and the budgets of the project's own comparison (docs/evidence.md).

    danas compare person_compare --data.path DIR

`person_photos` with pictures of up to 128 px, at 32, 64, 128 and 256 kB of SRAM and 512 kB of flash: from 128 kB on the
memory holds more than 96 px.
"""

import dataclasses

from danas_jax.config import Config, Limits
from danas_jax.config_io import load_config
from danas_jax.views.image import ImageView


def get_config() -> Config:
    """`person_photos` with higher resolutions and other budgets; needs --data.path."""
    photos = load_config("person_photos")
    return dataclasses.replace(
        photos,
        name="person_compare",
        space=dataclasses.replace(photos.space, name="person_compare", view=ImageView((48, 64, 80, 96, 128))),
        budgets=tuple(Limits(sram_bytes=kb * 1024, flash_bytes=512 * 1024) for kb in (32, 64, 128, 256)),
        baselines=(),
    )
