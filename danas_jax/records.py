"""The records of metrics.jsonl as series: one per phase and network, each step once."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

Record = TypeVar("Record", bound=Mapping[str, Any])
Owner = tuple[str, str]  # phase, network's name ("" where the phase trains one thing)


def owner(record: Mapping[str, Any]) -> Owner:
    """Whose series a record belongs to."""
    return str(record.get("phase", "")), str(record.get("name") or "")


def position(record: Mapping[str, Any]) -> int | None:
    """Where a record stands in its series: its step, else its epoch; None where it tells neither."""
    found = (record.get(key) for key in ("step", "epoch"))
    return next((at for at in found if isinstance(at, int) and not isinstance(at, bool)), None)


def spent_s(records: Iterable[Mapping[str, Any]], phase: str) -> float:
    """What a phase's sessions took together up to its last record [s]; 0.0 where there is none."""
    found = (record.get("phase_time_s") for record in records if record.get("phase") == phase)
    return max((time for time in found if isinstance(time, float) and 0 <= time < math.inf), default=0.0)


def series(records: Iterable[Record]) -> dict[Owner, list[Record]]:
    """The records of each owner in ascending position.

    A run that was killed goes on at its last checkpoint: what it did again takes the place of the first time.
    """
    found: dict[Owner, list[Record]] = {}
    for record in records:
        at = position(record)
        if at is None:
            continue
        rows = found.setdefault(owner(record), [])
        while rows and (position(rows[-1]) or 0) >= at:
            rows.pop()
        rows.append(record)
    return found
