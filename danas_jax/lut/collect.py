"""Times many files in rounds, so that a slow minute of the machine meets every one of them at most once."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import replace
from typing import TypeVar

from danas_jax.console import Progress
from danas_jax.hardware.lut import Row
from danas_jax.lut.cases import Layers, tflite
from danas_jax.lut.hosts import Host
from danas_jax.lut.timer import MAX_PACE, Reading, Timer

ROUNDS = 3  # readings of each file; the least counts
SAVE_EVERY_S = 10.0

Case = TypeVar("Case", bound=Hashable)


def merged(row: Row | None, reading: Reading) -> Row:
    """`row` with one more reading. The least estimate stands only until a steady reading comes: it counts as none."""
    if row is None or (reading.steady and not row.readings):
        return Row(reading.ms, int(reading.steady))
    if not reading.steady:
        return row if row.readings else Row(min(row.ms, reading.ms), 0)
    least, most = min(row.ms, reading.ms), max(row.ms * (1 + row.spread), reading.ms)
    return Row(least, row.readings + 1, most / least - 1 if least else 0.0)


def collect(
    cases: Mapping[Case, Layers],
    rows: dict[Case, Row],
    timer: Timer,
    host: Host,
    pace_ms: float,
    until: float,
    save: Callable[[], None],
) -> bool:
    """Adds readings to `rows` until every case has ROUNDS of them; False when `until` (time.monotonic) came first.

    `pace_ms` is the reference's best time when `rows` were read (infinite without rows). Where the machine turns out
    to be faster than that, they are read again. `save` is called now and then, and at the end in any case.
    """
    saved = time.monotonic()
    with Progress("timing") as progress:
        try:
            for turn in range(ROUNDS):
                for i, (case, layers) in enumerate(cases.items()):
                    if case in rows and rows[case].readings >= ROUNDS:
                        continue
                    if time.monotonic() > until:
                        return False
                    reading = timer.read(host.start(tflite(layers)))
                    if timer.best_ms * MAX_PACE < pace_ms:
                        rows.update({known: replace(row, readings=0) for known, row in rows.items()})
                        pace_ms = timer.best_ms
                    rows[case] = merged(rows.get(case), reading)
                    progress.count(turn * len(cases) + i + 1, ROUNDS * len(cases))
                    if time.monotonic() - saved > SAVE_EVERY_S:
                        save()
                        saved = time.monotonic()
        finally:
            save()
    return True
