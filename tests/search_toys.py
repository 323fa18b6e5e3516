"""A toy cost model and a toy accuracy with a known shape, for the search tests (no jax)."""

import numpy as np

from danas_jax.config import Limits
from danas_jax.space import SearchSpace, Stage
from danas_jax.spaces import quickstart
from danas_jax.views.image import ImageView

SPACE = quickstart()


def tiny_space() -> SearchSpace:
    """2 x 2 x 2 x 2 = 16 systems."""
    stage = Stage(widths=(8, 16), stride=2)
    return SearchSpace("tiny", ImageView((32, 48)), (8, 16), (stage,), (16, 32))


def toy_costs(space: SearchSpace):
    """costs(genes, board): arena by resolution and stem, file by widths; monotone in every gene."""
    weight = np.arange(1, len(space.axes) + 1)

    def costs(genes: np.ndarray, board: str) -> dict[str, np.ndarray]:
        px = np.array(space.view.resolutions_px)[genes[:, 0]]
        stem = np.array(space.stem_widths)[genes[:, 2]]
        size = (genes * weight).sum(axis=1)
        arena = px * px * (1 + 2 * genes[:, 1]) + 64 * stem + 100 * size
        macs = px * px * (stem + 10 * size + 1)
        flash = 10_000 + 1000 * size + (5000 if board == "big" else 0)
        return {
            "macs": macs,
            "arena_device_bytes": arena,
            "arena_host_bytes": arena + 200,
            "flash_bytes": flash,
            "input_px": px,
            "input_channels": 1 + 2 * genes[:, 1],
            "latency_ms": macs / (4e4 if board == "big" else 1e4),
        }

    return costs


def violation(costs: dict[str, np.ndarray], limits: Limits) -> np.ndarray:
    """Sum of the relative excesses over the limits."""
    total = np.zeros(len(costs["macs"]))
    pairs = [("sram_bytes", "arena_device_bytes"), ("sram_bytes", "arena_host_bytes"), ("flash_bytes", "flash_bytes")]
    for limit, cost in [*pairs, ("macs", "macs"), ("latency_ms", "latency_ms")]:
        if (bound := getattr(limits, limit)) is not None:
            total += np.maximum(0, costs[cost] / bound - 1)
    return total


def toy_accuracy(space: SearchSpace, images: int = 400, seed: int = 7):
    """evaluate(genes, tier): a smooth optimum inside the space plus a fixed noise per system and tier."""
    rng = np.random.default_rng(seed)
    target = rng.integers(0, space.cardinalities)
    gain = rng.random(len(space.axes)) + 0.2

    def evaluate(genes: np.ndarray, tier: str) -> np.ndarray:
        miss = (np.abs(genes - target) / np.maximum(1, space.cardinalities - 1) * gain).sum(axis=1) / gain.sum()
        noise = np.array([hash((*g.tolist(), ("half", "full", "int8").index(tier))) % 1000 / 1000 - 0.5 for g in genes])
        return np.round((0.95 - 0.45 * miss + 0.01 * noise) * images) / images

    return evaluate
