"""What the run took, and all that is needed to make it again: configuration and provenance."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from danas_jax.report.blocks import Code, Fold, Section, TextTable
from danas_jax.report.files import RunFiles
from danas_jax.schema import is_number


def cost_section(files: RunFiles) -> Section:
    """Minutes of each phase, image views of each training."""
    rows = [(phase, f"{s / 60:.1f} min") for phase, s in files.summary.get("times_s", {}).items() if is_number(s)]
    views = [
        (f"image views of {entry['name']} (retraining)", f"{entry['retrain_image_views']:,}")
        for entry in files.networks
        if is_number(entry.get("retrain_image_views"))
    ]
    if is_number(files.summary.get("supernet_image_views")):
        views.insert(0, ("image views of the supernet", f"{files.summary['supernet_image_views']:,}"))
    rows += views
    return Section("Cost of the run", [TextTable("", ("phase", "amount"), rows)] if rows else [])


def origin_section(files: RunFiles) -> Section:
    """config.json and provenance.json as they are."""
    found = (("Configuration", files.config), ("Provenance", files.provenance))
    return Section("Origin", [_fold(title, content) for title, content in found if content])


def _fold(title: str, content: Mapping[str, Any]) -> Fold:
    return Fold(title, [Code(json.dumps(content, indent=2))])
