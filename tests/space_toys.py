"""A space in which everything is awkward."""

from danas_jax.space import SearchSpace, Stage
from danas_jax.views.image import ImageView

# Odd sides, later blocks of every kind, depths with a gap, tensors that need rounding up.
ODD = SearchSpace(
    name="odd",
    view=ImageView((9, 15, 41), ("mono", "rgb")),
    stem_widths=(3, 5, 17),
    stages=(
        Stage(widths=(3, 7), depths=(1, 3, 4), stride=2, kernels=(3, 7)),
        Stage(widths=(6, 11), depths=(1, 3), stride=1, kernels=(1, 3), block="conv"),
        Stage(widths=(9,), depths=(1, 2, 3), stride=1, expansions=(2, 5), kernels=(1, 5)),
    ),
    head_widths=(10, 700),
)
