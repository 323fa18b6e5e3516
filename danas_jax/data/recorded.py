"""Which examples each split of a run consists of, written down when it begins (splits.json).

Derived splits follow from the list of all examples, so that a picture more or less deals them anew. A supernet must
never be ranked, nor a finalist chosen, by what it was trained on: a session whose splits are others is refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from danas_jax import disk, schema
from danas_jax.data.dataset import SPLITS, Data
from danas_jax.data.sources.unlabelled import UNLABELLED
from danas_jax.data.splits import Items
from danas_jax.errors import UserError

PLACE = "splits.json"  # in the run directory


def record(folder: Path, data: Data, limit_per_class: int, warnings: Sequence[str]) -> None:
    """Write the file, where the run has none."""
    if not (folder / PLACE).exists():
        splits = {split: {**_told(data.items[split]), "classes": data.counts[split]} for split in SPLITS}
        content = {"limit_per_class": limit_per_class, "splits": splits, "warnings": list(warnings)}
        content |= {UNLABELLED: _told(data.unlabelled)} if data.unlabelled else {}
        disk.write_json(folder / PLACE, content)


def refuse_others(folder: Path, data: Data, where: str, splits: Sequence[str] = SPLITS) -> None:
    """UserError where the run in `folder` had other examples in one of `splits`; nothing where it did not tell.

    `where` names what the user gave.
    """
    if not (folder / PLACE).exists():
        return
    content = disk.read_json(folder / PLACE)
    wanted = {"splits": {split: {"images": int, "sha256": str} for split in splits}}
    schema.check(content, wanted, f"{folder / PLACE} is damaged, start another run")
    was = content["splits"]
    changed = [
        f"{split}: was {was[split]['images']} examples, is {len(data.items[split])}"
        for split in splits
        if was[split]["sha256"] != _told(data.items[split])["sha256"]
    ]
    if changed:
        raise UserError(
            f"{where}: the examples are not those that {folder} began with:\n  " + "\n  ".join(changed) + "\n"
            "so it would be judged by what it was trained on; give the old data, or another --run-dir"
        )


def refuse_other_pile(folder: Path, data: Data, where: str) -> None:
    """UserError where the run in `folder` had other examples without labels; nothing where it did not tell."""
    content = disk.read_json(folder / PLACE) if (folder / PLACE).exists() else {}
    if UNLABELLED not in content or not data.unlabelled:
        return
    schema.check(
        content, {UNLABELLED: {"images": int, "sha256": str}}, f"{folder / PLACE} is damaged, start another run"
    )
    was, now = content[UNLABELLED], _told(data.unlabelled)
    if was["sha256"] != now["sha256"]:
        raise UserError(
            f"{where}: the examples without labels are not those that {folder} began with: were {was['images']}, are "
            f"{now['images']}; its steps would be others, so give the old ones, or another --run-dir"
        )


def _told(items: Items) -> dict[str, Any]:
    rows = sorted(f"{key!r} {label!r}" for key, label in zip(items.keys, items.labels.tolist(), strict=True))
    return {"images": len(items), "sha256": hashlib.sha256("\n".join(rows).encode()).hexdigest()}
