"""Is there a person in the photograph? `person_compare` over a space of plain convolutions, for small arenas.

    danas run person_conv --data.path DIR

The same resolutions, budgets and recipe. With one seed (two CPU cores; the space had 160 px, too) it found 0.777 and
0.790 int8 test accuracy at 32 and 64 kB, where the inverted residuals of `person_compare` have 0.741 and 0.756
(benchmarks/results/README.md).
"""

import dataclasses

from danas_jax.config import Config
from danas_jax.config_io import load_config
from danas_jax.spaces import conv_tiny


def get_config() -> Config:
    """`person_compare` over `conv_tiny`; needs --data.path."""
    config = load_config("person_compare")
    space = dataclasses.replace(conv_tiny(), name="person_conv", view=config.space.view)
    return dataclasses.replace(config, name="person_conv", space=space)
