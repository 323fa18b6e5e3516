"""Synthetic scenes: find the figure among its look-alikes. The tour of every phase, nothing to download.

    danas run quickstart            # what `make run` runs

Takes minutes on two laptop cores. Two budgets, 24 kB and 64 kB of SRAM.
"""

from danas_jax.config import Config, Limits
from danas_jax.spaces import quickstart


def get_config() -> Config:
    """Two budgets over the small space."""
    return Config(
        name="quickstart",
        space=quickstart(),
        budgets=(
            Limits(sram_bytes=24 * 1024, flash_bytes=256 * 1024),
            Limits(sram_bytes=64 * 1024, flash_bytes=512 * 1024),
        ),
    )
