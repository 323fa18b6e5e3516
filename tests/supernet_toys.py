"""A tiny space with every kind of axis, weights that leave no term at 0 or 1, and easy pictures, for the jax tests."""

import jax
import numpy as np

from danas_jax.data.dataset import Split
from danas_jax.space import SearchSpace, Stage
from danas_jax.supernet import elastic
from danas_jax.supernet.network import init_variables
from danas_jax.views.image import ImageView

CLASSES = 3
SPACE = SearchSpace(
    name="toy",
    view=ImageView((16, 24), ("mono", "rgb")),
    stem_widths=(4, 8),
    stages=(
        Stage(widths=(4, 8), depths=(1,), expansions=(1,), kernels=(3, 5)),
        Stage(widths=(4, 6, 8), depths=(1, 2), stride=2, expansions=(2, 3), kernels=(3, 5)),
    ),
    head_widths=(8, 16),
)
BOUNDS = (SPACE.min_genes, SPACE.max_genes)


def supernet_params(space: SearchSpace = SPACE, num_classes: int = CLASSES, seed: int = 0) -> dict:
    """Params of the whole supernet: no two channels alike, batch norm's scale and bias away from 1 and 0."""
    layers = elastic.envelope_layers(space, tuple(space.max_genes.tolist()), num_classes)
    params, _ = init_variables(layers, seed)
    rng = np.random.default_rng(seed)

    def shaken(path, leaf):
        kind = path[-1].key
        if kind == "kernel":
            return np.asarray(leaf)
        return (rng.uniform(0.5, 1.5, leaf.shape) if kind == "scale" else rng.normal(0, 0.3, leaf.shape)).astype("f")

    return jax.tree_util.tree_map_with_path(shaken, params)


def random_statistics(params: dict, spread: float = 0.3) -> dict:
    """{"mean", "var"} of every batch normalisation of `params`, means of that standard deviation."""
    rng = np.random.default_rng(5)
    return {
        name: {
            "mean": rng.normal(0, spread, part["scale"].shape).astype(part["scale"].dtype),
            "var": rng.uniform(0.3, 2.0, part["scale"].shape).astype(part["scale"].dtype),
        }
        for name, part in params.items()
        if "scale" in part
    }


def random_genes(count: int, space: SearchSpace = SPACE, seed: int = 1) -> np.ndarray:
    """The smallest and the largest system and random ones, colours and resolutions by turns; int64 [count, G]."""
    genes = np.stack([space.min_genes, space.max_genes, *space.sample(np.random.default_rng(seed), count - 2)])
    genes[2:, space.index["resolution_px"]] = np.arange(count - 2) % 2
    genes[2:, space.index["colour"]] = np.arange(count - 2) // 2 % 2
    return genes


def noise(count: int, px: int, seed: int = 0) -> np.ndarray:
    """uint8 [count, px, px, 3] that differ in brightness, structure and hue."""
    rng = np.random.default_rng(seed)
    return np.clip(rng.integers(0, 256, (count, px, px, 3)) + rng.integers(-90, 91, (count, 1, 1, 3)), 0, 255).astype(
        np.uint8
    )


def easy_split(count: int, px: int = 24, num_classes: int = 2, seed: int = 0) -> Split:
    """Bright or dark pictures: any working training learns them."""
    rng = np.random.default_rng(seed)
    labels = (np.arange(count) % num_classes).astype(np.int32)
    level = 40 + labels * (176 // max(1, num_classes - 1))
    images = np.clip(level[:, None, None, None] + rng.integers(-39, 40, (count, px, px, 3)), 0, 255).astype(np.uint8)
    return Split(images, labels, tuple(f"{i}" for i in range(count)))


def assert_same_trees(one, two) -> None:
    """Bit for bit."""
    assert jax.tree.structure(one) == jax.tree.structure(two)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))
