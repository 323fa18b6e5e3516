"""Search spaces as data: functions that return a SearchSpace. Write your own the same way in a config file."""

from __future__ import annotations

from danas_jax.space import SearchSpace, Stage
from danas_jax.views.image import ImageView


def mobilenetv2_tiny(
    resolutions_px: tuple[int, ...] = (32, 48, 64, 80, 96, 128),
    colours: tuple[str, ...] = ("mono", "rgb"),
) -> SearchSpace:
    """MobileNetV2-shaped systems for 20 kB to 512 kB of SRAM; 5x5 kernels where maps are small."""
    return SearchSpace(
        name="mobilenetv2_tiny",
        view=ImageView(resolutions_px, colours),
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
        view=ImageView(resolutions_px, colours),
        stem_widths=(8, 16),
        stages=(
            Stage(widths=(8, 16), depths=(1,), stride=2, expansions=(3, 4), kernels=(3,)),
            Stage(widths=(16, 24), depths=(1, 2), stride=2, expansions=(3, 4), kernels=(3, 5)),
            Stage(widths=(24, 40), depths=(1, 2), stride=2, expansions=(3, 4), kernels=(3, 5)),
        ),
        head_widths=(32, 64),
    )


def conv_tiny(
    resolutions_px: tuple[int, ...] = (48, 64, 80, 96, 128, 160),
    colours: tuple[str, ...] = ("mono", "rgb"),
) -> SearchSpace:
    """Plain 3x3 convolutions for small arenas: 64 px fit into 32 kB of SRAM, 96 px into 64 kB; at most 128 kB."""

    def stage(*widths: int) -> Stage:
        return Stage(widths, depths=(1, 2), stride=2, block="conv")

    return SearchSpace(
        name="conv_tiny",
        view=ImageView(resolutions_px, colours),
        stem_widths=(8, 12, 16),
        stages=(stage(12, 16, 24), stage(24, 32, 48), stage(32, 48, 64), stage(48, 64, 96)),
        head_widths=(64, 128, 192),
    )


def ofa_proxyless(
    resolutions_px: tuple[int, ...] = (128, 160, 176, 192, 224),
    colours: tuple[str, ...] = ("mono", "rgb"),
    width_multiplier: float = 1.0,
) -> SearchSpace:
    """The shape of Once-for-all's ProxylessNAS space (Cai et al. 2020), widths rounded to multiples of 4.

    Depth 2-4, kernel 3/5/7 and expansion 3/4/6 per block in five stages, fixed widths; a first block without
    expansion, a last one of fixed depth.
    """

    def wide(channels: int) -> int:
        return max(4, round(channels * width_multiplier / 4) * 4)

    elastic = zip((24, 40, 80, 96, 192), (2, 2, 2, 1, 2), strict=True)
    stages = [Stage((wide(16),))]
    stages += [Stage((wide(width),), (2, 3, 4), stride, (3, 4, 6), (3, 5, 7)) for width, stride in elastic]
    stages.append(Stage((wide(320),), (1,), 1, (3, 4, 6), (3, 5, 7)))
    return SearchSpace(
        name="ofa_proxyless",
        view=ImageView(resolutions_px, colours),
        stem_widths=(wide(32),),
        stages=tuple(stages),
        head_widths=(wide(1280),),
    )
