"""What is said where there are so few examples that an accuracy on them tells little."""

from __future__ import annotations

from danas_jax.config import Config
from danas_jax.data.dataset import Data
from danas_jax.metrics import share_interval

FEW = 100  # of a split: below that an accuracy of 0.8 is known to about 8 points either way, or worse
_PURPOSES = {
    "search": "the search slice, which ranks systems,",
    "validation": "validation, which chooses epochs and the int8 calibration,",
    "test": "test, which is the result,",
}


def few_examples(data: Data, config: Config) -> list[str]:
    """A sentence for each split that is small, and where data.limit_per_class leaves classes of unequal size."""
    said, counts, limit = [], data.counts, config.data.limit_per_class
    if limit:
        both = {name: counts["train"][name] + counts["search"][name] for name in data.class_names}
        smallest = min(both, key=both.__getitem__)
        if both[smallest] < min(limit, max(both.values())):
            said.append(
                f"data.limit_per_class = {limit}: class {smallest!r} has {both[smallest]} examples, so the classes are "
                "not of one size"
            )
    for split, purpose in _PURPOSES.items():
        images = len(data.items[split])
        if images < FEW:
            low, high = share_interval(0.8, images, 0)
            smallest = min(counts[split], key=counts[split].__getitem__)
            said.append(
                f"few examples: {purpose} has {images} (of class {smallest!r} {counts[split][smallest]}): of an "
                f"accuracy of 0.8 there the 95 % interval is [{low:.2f}, {high:.2f}]"
            )
    images, wanted = len(data.items["train"]), config.train.calibration_images
    if images < min(FEW, wanted):
        said.append(f"few examples: train has {images}: they train, and calibrate batch norm instead of {wanted}")
    return said
