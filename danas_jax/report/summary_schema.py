"""The types in a run's summary.json (docs/run_directory.md), for those who read it: older runs lack some fields."""

from __future__ import annotations

from typing import Any

from danas_jax.schema import NUMBER, Either

_SHARE = NUMBER | None
_PAIR = (NUMBER, NUMBER)
_INTERVAL = Either((_PAIR, type(None)))
_ACCURACIES = ("float_validation", "int8_validation", "int8_test", "search")
PREDICTED = {"latency_shares?": Either(({str: NUMBER}, type(None))), str: _SHARE}
_BUDGET: dict[str, Any] = {
    "board?": str,
    **{f"{key}?": NUMBER | None for key in ("sram_bytes", "flash_bytes", "macs", "latency_ms", "energy_mj")},
    "count_input_pipeline?": bool,
    "camera_px?": int | None,
    "camera_grey?": bool,
}
_ENTRY: dict[str, Any] = {
    "name": str,
    "id?": str,
    "kind?": str,
    "genes?": list | None,
    "arch?": dict | None,
    "data?": Either(({str: str | int | float | bool}, type(None))),
    "budget?": Either((_BUDGET, type(None))),
    "predicted?": PREDICTED,
    "measured?": Either(({str: _SHARE}, type(None))),
    "accuracy?": {f"{kind}?": _SHARE for kind in _ACCURACIES}
    | {f"{kind}_interval?": _INTERVAL for kind in _ACCURACIES},
}
_GAIN = Either(({"difference": NUMBER, "interval": _PAIR}, type(None)))
SUMMARY: dict[str, Any] = {
    "name?": str,
    "seed?": int,
    "classes?": [str],
    "search_metric?": str,
    "finalists": [_ENTRY],
    "comparisons?": [{"finalist": str, "baseline": str, "difference": NUMBER, "interval": _PAIR}],
    "pairs?": [{"smaller": str, "larger": str, "validation": _GAIN, "test": _GAIN, "arena_saved_bytes": NUMBER | None}],
    "times_s?": {str: NUMBER},
}
