"""Search spaces as data: functions that return a SearchSpace. Write your own the same way in a config file."""

from __future__ import annotations

from danas_jax.space import SearchSpace, Stage


def mobilenetv2_tiny(
    resolutions_px: tuple[int, ...] = (32, 48, 64, 80, 96, 128),
    colours: tuple[str, ...] = ("mono", "rgb"),
) -> SearchSpace:
    """MobileNetV2-shaped systems for 20 kB to 512 kB of SRAM; 5x5 kernels where maps are small."""
    return SearchSpace(
        name="mobilenetv2_tiny",
        resolutions_px=resolutions_px,
        colours=colours,
        stem_widths=(8, 16),
        stages=(
            Stage(widths=(8, 12), depths=(1,), stride=1, expansions=(1,), kernels=(3,)),
            Stage(widths=(8, 12, 16), depths=(1, 2), stride=2, expansions=(2, 3, 4), kernels=(3,)),
            Stage(widths=(16, 24, 32), depths=(1, 2), stride=2, expansions=(3, 4), kernels=(3, 5)),
            Stage(widths=(24, 32, 48), depths=(1, 2, 3), stride=2, expansions=(3, 4), kernels=(3, 5)),
            Stage(widths=(32, 48, 80), depths=(1, 2), stride=1, expansions=(3, 4), kernels=(3, 5)),
            Stage(widths=(48, 80, 128), depths=(1, 2), stride=2, expansions=(3, 4, 6), kernels=(3, 5)),
        ),
        head_widths=(64, 128, 256),
    )


def quickstart(
    resolutions_px: tuple[int, ...] = (32, 48, 64),
    colours: tuple[str, ...] = ("mono", "rgb"),
) -> SearchSpace:
    """A small space that two laptop cores train in a few minutes."""
    return SearchSpace(
        name="quickstart",
        resolutions_px=resolutions_px,
        colours=colours,
        stem_widths=(8, 16),
        stages=(
            Stage(widths=(8, 16), depths=(1,), stride=2, expansions=(3, 4), kernels=(3,)),
            Stage(widths=(16, 24), depths=(1, 2), stride=2, expansions=(3, 4), kernels=(3, 5)),
            Stage(widths=(24, 40), depths=(1, 2), stride=2, expansions=(3, 4), kernels=(3, 5)),
        ),
        head_widths=(32, 64),
    )
