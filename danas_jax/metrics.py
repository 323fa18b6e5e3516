"""Figures that say how sure a number is and how good a front is: intervals, rank correlation, hypervolume. NumPy."""

from __future__ import annotations

import numpy as np

PAIRS_AT_ONCE = 4_000_000  # entries of a pairwise matrix held at a time (hypervolume)


def accuracy_standard_error(accuracy: float, images: float) -> float:
    """Binomial standard error of an accuracy (0 to 1) measured on `images` images; NaN without images."""
    if images <= 0 or not 0 <= accuracy <= 1:
        return float("nan")
    return float(np.sqrt(accuracy * (1 - accuracy) / images))


def wilson_interval(correct: int, images: int, z: float = 1.959964) -> tuple[float, float]:
    """Wilson score interval (95 % at the default z) of `correct` out of `images`; (0, 1) without images."""
    if images <= 0:
        return 0.0, 1.0
    share, z2 = correct / images, z * z
    centre = (share + z2 / (2 * images)) / (1 + z2 / images)
    half = z * np.sqrt(share * (1 - share) / images + z2 / (4 * images**2)) / (1 + z2 / images)
    return max(0.0, float(centre - half)), min(1.0, float(centre + half))


def share_interval(share: float, images: float, seed: int, resamples: int = 10_000) -> tuple[float, float]:
    """95 % percentile bootstrap interval of an accuracy `share` (0 to 1) on `images` images; ValueError without any.

    The number of right answers in a resample of N is Binomial(N, share): no single answer is needed. Where all
    are right, or all wrong, every resample is the same and tells nothing of the error: the interval is Wilson's there.
    """
    count = max(1, round(images))
    if images <= 0:
        raise ValueError("share_interval: no images")
    if share in (0, 1):
        return wilson_interval(round(share * count), count)
    return percentiles(np.random.default_rng(seed).binomial(count, share, resamples) / count)


def bootstrap_interval(correct: np.ndarray, seed: int, resamples: int = 10_000) -> tuple[float, float]:
    """95 % percentile bootstrap interval of the mean of `correct`, bool or shares [N]; ValueError when empty."""
    correct = np.asarray(correct)
    if correct.size == 0:
        raise ValueError("bootstrap_interval: no images")
    if correct.dtype != bool and correct.mean() not in (0, 1):
        return _mean_interval(correct, seed, resamples)
    return share_interval(float(correct.mean()), correct.size, seed, resamples)


def percentiles(draws: np.ndarray) -> tuple[float, float]:
    """What 95 % of `draws` [R] lie between."""
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(low), float(high)


def _mean_interval(values: np.ndarray, seed: int, resamples: int) -> tuple[float, float]:
    """Of values [N], of which few differ: how often each comes in a resample is multinomial."""
    distinct, counts = np.unique(values, return_counts=True)
    draws = np.random.default_rng(seed).multinomial(values.size, counts / values.size, resamples) @ distinct
    return percentiles(draws / values.size)


def paired_bootstrap(
    correct_a: np.ndarray, correct_b: np.ndarray, seed: int, resamples: int = 10_000
) -> tuple[float, float, float]:
    """Accuracy of a minus that of b on the same images, and its 95 % interval: (difference, low, high).

    Both are bool [N], or shares of right decisions [N].

    Raises ValueError when the two are empty or of different length.
    """
    a, b = np.asarray(correct_a), np.asarray(correct_b)
    if a.shape != b.shape or a.size == 0:
        raise ValueError(f"paired_bootstrap: the same images for both, got {a.shape} and {b.shape}")
    if a.dtype != bool:
        difference = a - b
        return float(difference.mean()), *_mean_interval(difference, seed, resamples)
    # An image contributes +1, -1 or 0, so the counts of a resample are multinomial: the pairing is kept.
    only_a, only_b = np.sum(a & ~b), np.sum(b & ~a)
    shares = np.array([only_a, only_b, a.size - only_a - only_b]) / a.size
    counts = np.random.default_rng(seed).multinomial(a.size, shares, size=resamples)
    return float((only_a - only_b) / a.size), *percentiles((counts[:, 0] - counts[:, 1]) / a.size)


def kendall_tau(a: np.ndarray, b: np.ndarray) -> float:
    """Kendall's tau-b of two [N] rankings (ties corrected), -1 to 1; NaN when one of them is constant."""
    a, b = _pair(a, b)
    if np.isnan(a).any() or np.isnan(b).any():
        return float("nan")
    a, b = (np.unique(x, return_inverse=True)[1] for x in (a, b))
    pairs, tied_a, tied_b = _pairs(np.array([a.size])), _pairs(np.bincount(a)), _pairs(np.bincount(b))
    both = _pairs(np.unique(np.stack([a, b]), axis=1, return_counts=True)[1])
    discordant = _inversions(b[np.lexsort((b, a))])
    agree = pairs - tied_a - tied_b + both - 2 * discordant  # Knight (1966), in N log N
    untied = float(pairs - tied_a) * float(pairs - tied_b)
    return agree / np.sqrt(untied) if untied else float("nan")


def _pairs(counts: np.ndarray) -> int:
    """Pairs within groups of these sizes."""
    return int((counts * (counts - 1) // 2).sum())


def _inversions(order: np.ndarray) -> int:
    """Pairs of `order` [N], integers from 0 up, of which the first is greater: by bits, from the highest down.

    What agrees in all higher bits stays together, in its order; there a 1 before a 0 is an inversion.
    """
    found, group, place = 0, np.zeros(len(order), dtype=np.int64), np.arange(len(order))
    for bit in reversed(range(int(order.max()).bit_length())):
        one = (order >> bit) & 1
        start = np.flatnonzero(np.append(True, group[1:] != group[:-1]))
        sizes = np.diff(np.append(start, len(order)))
        ones = np.cumsum(one) - one  # before each place
        ones -= np.repeat(ones[start], sizes)
        first = np.repeat(start, sizes)
        found += int(ones[one == 0].sum())
        zeros = np.repeat(np.add.reduceat(1 - one, start), sizes)
        moved = first + np.where(one == 1, zeros + ones, place - first - ones)
        order, group = _at(moved, order), _at(moved, 2 * group + one)
    return found


def _at(places: np.ndarray, values: np.ndarray) -> np.ndarray:
    out = np.empty_like(values)
    out[places] = values
    return out


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's rank correlation of two [N] arrays (average ranks on ties); NaN when one of them is constant."""
    a, b = (_average_ranks(x) for x in _pair(a, b))
    a, b = a - a.mean(), b - b.mean()
    scale = np.sqrt(np.sum(a * a) * np.sum(b * b))
    return float(np.sum(a * b) / scale) if scale > 0 else float("nan")


def _pair(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if a.shape != b.shape or a.ndim != 1 or a.size == 0:
        raise ValueError(f"rank correlation: two vectors of one length, got {a.shape} and {b.shape}")
    return a, b


def _average_ranks(x: np.ndarray) -> np.ndarray:
    _, inverse, counts = np.unique(x, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[inverse]


def pareto_mask(points: np.ndarray) -> np.ndarray:
    """Which rows of `points` [N, K] (minimised) no other row dominates, bool [N]; equal rows stay, NaN rows do not."""
    points = np.asarray(points, dtype=np.float64)
    alive = np.flatnonzero(~np.isnan(points).any(axis=1))
    alive = alive[np.lexsort(points[alive].T[::-1])]  # a row can only be dominated by an earlier one
    position = 0
    while position < len(alive):  # once per member of the front, not per candidate
        pivot = points[alive[position]]
        keep = (points[alive] < pivot).any(axis=1) | (points[alive] == pivot).all(axis=1)
        position = int(np.sum(keep[: position + 1]))
        alive = alive[keep]
    mask = np.zeros(len(points), dtype=bool)
    mask[alive] = True
    return mask


def hypervolume(points: np.ndarray, reference: np.ndarray) -> float:
    """Volume that `points` [N, K] (minimised) dominate below `reference` [K]; exact, meant for K = 1 to 4.

    Points that are not below the reference everywhere, or hold a NaN, add nothing. Time grows as N^max(2, K - 1).
    """
    reference = np.asarray(reference, dtype=np.float64)
    points = np.asarray(points, dtype=np.float64).reshape(-1, reference.size)
    points = points[(points < reference).all(axis=1)]
    return _volume(points[pareto_mask(points)], reference) if len(points) else 0.0


def _volume(points: np.ndarray, reference: np.ndarray) -> float:
    if reference.size == 1:
        return float(reference[0] - points.min())
    if reference.size == 2:
        points = np.column_stack([points, np.zeros(len(points))])
        return _volume(points, np.append(reference, 1.0))
    points = points[np.argsort(points[:, -1], kind="stable")]
    height = np.diff(np.append(points[:, -1], reference[-1]))  # slice i lies above the first i + 1 points
    if reference.size > 3:
        slices = np.flatnonzero(height > 0)
        return float(sum(height[i] * hypervolume(points[: i + 1, :-1], reference[:-1]) for i in slices))
    # Three objectives: the areas of all slices at once. Columns are the points by x; a point not yet in a slice has
    # no y there; the running minimum over x is the staircase of the slice's front.
    by_x = np.argsort(points[:, 0], kind="stable")
    width = np.diff(np.append(points[by_x, 0], reference[0]))
    areas = np.empty(len(points))
    chunk = max(1, PAIRS_AT_ONCE // len(points))
    for start in range(0, len(points), chunk):
        slices = np.arange(start, min(start + chunk, len(points)))
        y = np.where(by_x <= slices[:, None], points[by_x, 1], reference[1])
        areas[slices] = (reference[1] - np.minimum.accumulate(y, axis=1)) @ width
    return float(areas @ height)
