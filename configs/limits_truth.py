"""Synthetic scenes that need both a high resolution and a wide network: what does more memory buy?

    danas run limits_truth

Half of the scenes are decided by a detail of 4 px, half by colour, so the network needs detectors of both kinds; from
the smallest network (4 to 8 channels) to the largest the file grows tenfold, from 9 to 90 kB.
benchmarks/limits_truth.py searches it for SRAM and for flash limits.
"""

import dataclasses

from danas_jax.config import Config, Limits
from danas_jax.config_io import load_config
from danas_jax.space import SearchSpace, Stage
from danas_jax.views.image import ImageView


def get_config() -> Config:
    """`known_truth` with another mixture of scenes and wide ranges of widths; one generous budget."""
    known = load_config("known_truth")
    return dataclasses.replace(
        known,
        name="limits_truth",
        data=dataclasses.replace(known.data, detail_px=4, colour_cue=0.5),
        space=SearchSpace(
            name="limits_truth",
            view=ImageView((40, 48, 64, 96), ("mono", "rgb")),
            stem_widths=(4, 8, 16),
            stages=(
                Stage(widths=(4, 8, 16), depths=(1,), stride=2, expansions=(2, 3), kernels=(3,)),
                Stage(widths=(6, 12, 24), depths=(1, 2), stride=2, expansions=(2, 3), kernels=(3, 5)),
                Stage(widths=(8, 20, 48), depths=(1, 2), stride=2, expansions=(2, 4), kernels=(3, 5)),
            ),
            head_widths=(16, 48, 128),
        ),
        budgets=(Limits(sram_bytes=512 * 1024),),
    )
