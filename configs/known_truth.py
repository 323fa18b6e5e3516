"""Synthetic scenes whose right data configuration is known: does the search choose it?

    danas run known_truth --data.detail-px 4 --data.colour-cue 0

With `colour_cue` 0 colour tells nothing, so grey is right, and the resolution must be high enough for `detail_px`; with
`colour_cue` 1 only colour tells. One generous budget, so that memory decides only between systems equally accurate.
benchmarks/data_truth.py runs this over seeds and details.
"""

from danas_jax.config import Config, DataSettings, Limits, RetrainSettings, SearchSettings, TrainSettings
from danas_jax.space import SearchSpace, Stage
from danas_jax.views.image import ImageView


def get_config() -> Config:
    """Four resolutions, both colours, and a small network space that two cores train in three minutes.

    Crops stay near the whole picture: a zoomed-in one would show details that the deployed view cannot.
    """
    return Config(
        name="known_truth",
        data=DataSettings(source="synthetic", train_images=2500, detail_px=4, colour_cue=0.0),
        space=SearchSpace(
            name="known_truth",
            view=ImageView((40, 48, 64, 96), ("mono", "rgb")),
            stem_widths=(8,),
            stages=(
                Stage(widths=(8, 12), depths=(1,), stride=2, expansions=(3,), kernels=(3,)),
                Stage(widths=(12, 16), depths=(1, 2), stride=2, expansions=(3,), kernels=(3, 5)),
                Stage(widths=(16, 24), depths=(1, 2), stride=2, expansions=(3,), kernels=(3, 5)),
            ),
            head_widths=(32, 64),
        ),
        train=TrainSettings(epochs=30, learning_rate=4e-3, crop_area_min=0.9),
        search=SearchSettings(population=16, generations=5, rerank=12),
        retrain=RetrainSettings(epochs=4, crop_area_min=0.9),
        budgets=(Limits(sram_bytes=256 * 1024),),
    )
