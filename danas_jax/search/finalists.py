"""Which evaluated candidates are looked at twice, and which of those are retrained."""

from __future__ import annotations

import numpy as np

from danas_jax.metrics import accuracy_standard_error


def choose(
    accuracy: np.ndarray, arena: np.ndarray, macs: np.ndarray, images: int, margin: float = 0.0, count: int = 1
) -> np.ndarray:
    """Indices of the finalists, first choice first, int64 [min(count, N)].

    The rule: the best `accuracy` [N], measured on `images` images; within `margin` standard errors of it the smaller
    `arena` [N] wins, then fewer `macs` [N], then the higher accuracy. Applied again without the chosen one.
    """
    accuracy = np.nan_to_num(np.asarray(accuracy, dtype=np.float64), nan=-1.0)
    left = np.arange(len(accuracy))
    chosen = []
    while left.size and len(chosen) < count:
        close = left[within_error(accuracy[left], images, margin)]
        order = np.lexsort((-accuracy[close], np.asarray(macs)[close], np.asarray(arena)[close]))
        chosen.append(close[order[0]])
        left = left[left != chosen[-1]]
    return np.array(chosen, dtype=np.int64)


def within_error(accuracy: np.ndarray, images: float, margin: float) -> np.ndarray:
    """Which of `accuracy` [N] lie within `margin` standard errors of the best, bool [N]; the best itself always does.

    The error is that of the best with two right and two wrong answers added (Agresti and Coull 1998): a perfect score
    on a few hundred images is not free of error.
    """
    best = accuracy.max()
    error = accuracy_standard_error((best * images + 2) / (images + 4), images)
    # The margin of rounding: 0.85 measured as 85 / 100 must count as within 0.9 - 0.05.
    return accuracy >= best - margin * (0.0 if np.isnan(error) else error) - 1e-12


def to_rerank(
    accuracy: np.ndarray, arena: np.ndarray, macs: np.ndarray, images: float, margin: float, count: int
) -> np.ndarray:
    """Indices of the candidates that deserve the whole search slice, int64 [min(count, N)].

    Half of the places (rounded up) go to the best `accuracy` [N], measured on `images` images; the others to the
    smallest `arena` [N] among those within `margin` standard errors of the best, as the rule of `choose` asks for;
    places left over go to the next best accuracies. NaN accuracies are never chosen.
    """
    accuracy = np.asarray(accuracy, dtype=np.float64)
    known = np.flatnonzero(~np.isnan(accuracy))
    if not known.size:
        return known
    arena, macs = np.asarray(arena), np.asarray(macs)
    by_accuracy = known[np.lexsort((macs[known], arena[known], -accuracy[known]))]
    close = known[within_error(accuracy[known], images, margin)]
    by_arena = close[np.lexsort((-accuracy[close], macs[close], arena[close]))]
    top, rest = by_accuracy[: (count + 1) // 2], by_accuracy[(count + 1) // 2 :]
    cheap = by_arena[~np.isin(by_arena, top)][: count // 2]
    fill = rest[~np.isin(rest, cheap)]
    return np.concatenate([top, cheap, fill])[:count]
