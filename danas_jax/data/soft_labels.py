"""A teacher's answers to every example, by example and view: what the targets of a step are blended with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class SoftLabels:
    """Answers to the `views` recorded views of each example, or with `views` 0 to the whole example."""

    table: np.ndarray  # float16 [max(views, 1), N, classes], probabilities
    views: int  # the training's view numbers are taken modulo this; 0 = they are what they were
    seed: int  # of the recorded views
    fingerprint: str  # of everything that the answers depend on

    @property
    def means(self) -> np.ndarray:
        """The mean over the views, float32 [N, classes]."""
        return self.table.astype(np.float32).mean(axis=0)


def seen(
    soft: SoftLabels | None, seed: int, rows: np.ndarray, view: int
) -> tuple[int, int | np.ndarray, np.ndarray | None]:
    """(seed, view or one of each example [B], answers float32 [B, classes] or None) of a step's examples at `rows` [B].

    Recorded views take the place of the step's `view`; a row that stands there again has the next one.
    """
    if soft is None:
        return seed, view, None
    if not soft.views:
        return seed, view, soft.table[0, rows].astype(np.float32)
    views = (view + _times_before(rows)) % soft.views
    return soft.seed, views.astype(np.int32), soft.table[views, rows].astype(np.float32)


def _times_before(rows: np.ndarray) -> np.ndarray:
    """How often each row stood before in `rows` [B]."""
    order = np.argsort(rows, kind="stable")
    ordered = rows[order]
    starts = np.searchsorted(ordered, ordered)
    found = np.empty(len(rows), np.int64)
    found[order] = np.arange(len(rows)) - starts
    return found
