"""Scenes made on the spot (danas_jax.data.synthetic)."""

from __future__ import annotations

import numpy as np

from danas_jax.config import DataSettings
from danas_jax.data import synthetic
from danas_jax.data.sources.base import Source, fingerprint_of
from danas_jax.data.sources.readers import NOUNS
from danas_jax.data.splits import Items
from danas_jax.errors import UserError
from danas_jax.views.frame import Size, on_grey, pair, placed, text
from danas_jax.views.resize import resized

_VERSION = 1  # raise it when scenes change: it is part of the fingerprint


def open_source(settings: DataSettings, native_px: Size, seed: int) -> Source:
    """Scenes in the frame `native_px`, drawn by `seed`; UserError for settings that no scene can have."""
    low, high = synthetic.DETAIL_RANGE_PX
    if not low <= settings.detail_px <= high:
        raise UserError(f"data.detail_px = {settings.detail_px}: give {low} to {high}")
    if not 0 <= settings.colour_cue <= 1:
        raise UserError(f"data.colour_cue = {settings.colour_cue}: give a share from 0 to 1")
    frame = pair(native_px)
    seen, shown = placed((synthetic.SCENE_PX, synthetic.SCENE_PX), frame, settings.fit)
    if shown.height > seen.height or shown.width > seen.width:
        part = f"have {synthetic.SCENE_PX} px" + (f", {text(seen[2:])} of them seen" if settings.fit == "crop" else "")
        raise UserError(f"resolution {text(native_px)}: synthetic scenes {part}, search up to that")
    splits = {}
    for split in synthetic.SPLITS:
        count = getattr(settings, f"{split}_images")
        if count < 4:
            raise UserError(f"data.{split}_images = {count}: give 4 or more")
        labels = (np.arange(count) % 2).astype(np.int32)
        keys = tuple(f"{split}/{synthetic.CLASSES[label]}/{i:06d}" for i, label in enumerate(labels))
        splits[split] = Items(keys, labels, keys)

    def read(key: str) -> np.ndarray:
        drawn_as, _, number = key.split("/")
        picture, _ = synthetic.scene(seed, drawn_as, int(number), settings.detail_px, settings.colour_cue)
        return on_grey(resized(picture[seen.slices][None], shown[2:])[0], shown, frame)

    fit = [settings.fit] if settings.fit != "stretch" else []
    recipe = _VERSION, seed, settings.detail_px, settings.colour_cue, *(len(items) for items in splits.values()), *fit
    return Source(
        synthetic.CLASSES,
        splits,
        (),
        fingerprint_of(recipe),
        NOUNS["image"],
        (*frame, 3),
        np.dtype(np.uint8),
        read,
    )
