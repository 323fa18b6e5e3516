"""Which model predicts a subnet's accuracy best: five folds over the evaluations of a finished search.

python benchmarks/predictor_models.py [RUN with config.json and evaluations.csv, default results/person_photos]

Prints Kendall's tau and the mean absolute error, with all of the other folds to learn from and with 60 systems of them.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from danas_jax.config_io import read_config
from danas_jax.hardware import population
from danas_jax.metrics import kendall_tau
from danas_jax.search import predictor
from danas_jax.space import SearchSpace

FOLDS, FEW, CLASSES = 5, 60, 2
PENALTIES = np.geomspace(1e-4, 10, 11)
Predict = Callable[[np.ndarray], np.ndarray]
Fit = Callable[[np.ndarray, np.ndarray], Predict]  # (features [N, F], accuracy [N]) -> features -> accuracy


def load(folder: Path) -> tuple[SearchSpace, np.ndarray, np.ndarray]:
    """Space, genes [N, G] and half-slice accuracies [N] of a run or a copy of its results."""
    csv_path = next(p for p in (folder / "evaluations.csv", folder / "search/evaluations.csv") if p.exists())
    rows = list(csv.DictReader(csv_path.read_text().splitlines()))
    genes = np.array([row["genes"].split() for row in rows], dtype=np.int64)
    space = read_config(folder / "config.json").space
    return space, genes, np.array([float(row["accuracy_half"]) for row in rows])


def features(space: SearchSpace, genes: np.ndarray, kinds: str) -> np.ndarray:
    """Columns [N, F]: v the values one by one, s the sizes, p products of pairs of sizes, l logarithms of costs."""
    sizes = genes / np.maximum(1, space.cardinalities - 1)
    parts = []
    if "v" in kinds:
        values = genes[:, :, None] == np.arange(space.cardinalities.max())
        parts.append((values & space.active(genes)[:, :, None]).reshape(len(genes), -1))
    if "s" in kinds:
        parts.append(sizes)
    if "p" in kinds:
        i, j = np.triu_indices(sizes.shape[1])
        parts.append((sizes - 0.5)[:, i] * (sizes - 0.5)[:, j])
    if "l" in kinds:
        costs = population.costs(space, genes, CLASSES)
        parts.append(np.log(np.column_stack([costs[key] for key in ("macs", "params", "input_px")])))
    return np.concatenate(parts, axis=1).astype(np.float64)


def ridge(x: np.ndarray, y: np.ndarray) -> Predict:
    """Ridge regression, its penalty by the closed leave-one-out error."""
    left, values, right = np.linalg.svd(x, full_matrices=False)
    shrink = values**2 / (values**2 + PENALTIES[:, None] * len(y))
    centred = left.T @ (y - y.mean())
    leverage = shrink @ np.square(left).T + 1 / len(y)
    errors = np.square((y - y.mean() - (shrink * centred) @ left.T) / np.maximum(1 - leverage, 1e-3)).mean(axis=1)
    penalty = PENALTIES[np.argmin(errors)] * len(y)
    weights = right.T @ (values / (values**2 + penalty) * centred)
    return lambda q: q @ weights + y.mean()


def gaussian_process(x: np.ndarray, y: np.ndarray) -> Predict:
    """RBF and linear kernel; length, share of the linear one and noise by the marginal likelihood."""
    target, width = (y - y.mean()) / y.std(), x.shape[1]

    def kernel(a: np.ndarray, b: np.ndarray, length: float, linear: float) -> np.ndarray:
        squared = (a * a).sum(axis=1)[:, None] + (b * b).sum(axis=1) - 2 * a @ b.T
        return np.exp(-np.maximum(squared, 0) / (2 * width * length**2)) + linear * (a @ b.T) / width

    found = []
    for length in (0.5, 1.0, 2.0, 4.0):
        for linear in (0.0, 1.0):
            values, vectors = np.linalg.eigh(kernel(x, x, length, linear))
            inner = vectors.T @ target
            for noise in np.geomspace(1e-3, 3, 10):
                scale = values.clip(0) + noise
                loss = 0.5 * len(y) * np.log((inner**2 / scale).mean()) + 0.5 * np.log(scale).sum()
                found.append((loss, length, linear, vectors @ (inner / scale)))
    _, length, linear, weights = min(found, key=lambda one: one[0])
    return lambda q: kernel(q, x, length, linear) @ weights * y.std() + y.mean()


def networks(x: np.ndarray, y: np.ndarray, members: int = 6, units: int = 32, steps: int = 400) -> Predict:
    """Bagged networks of two hidden layers, Adam with decay on a cosine schedule."""
    rng, target = np.random.default_rng(0), ((y - y.mean()) / y.std())[None, :, None]
    sizes = [(x.shape[1], units), (units, units), (units, 1)]
    weights = [rng.standard_normal((members, *size)) * np.sqrt(1 / size[0]) for size in sizes]
    weights += [np.zeros((members, 1, size[1])) for size in sizes]
    first, second = [np.zeros_like(w) for w in weights], [np.zeros_like(w) for w in weights]
    bag = rng.multinomial(len(y), np.full(len(y), 1 / len(y)), size=members)[:, :, None] / len(y)

    def layers(q: np.ndarray) -> list[np.ndarray]:
        one = np.maximum(q @ weights[0] + weights[3], 0)
        two = np.maximum(one @ weights[1] + weights[4], 0)
        return [one, two, two @ weights[2] + weights[5]]

    for step in range(1, steps + 1):
        one, two, out = layers(x)
        d_out = 2 * (out - target) * bag
        d_two = d_out @ weights[2].transpose(0, 2, 1) * (two > 0)
        d_one = d_two @ weights[1].transpose(0, 2, 1) * (one > 0)
        gradients = [x.T @ d_one, one.transpose(0, 2, 1) @ d_two, two.transpose(0, 2, 1) @ d_out]
        gradients += [d.sum(axis=1, keepdims=True) for d in (d_one, d_two, d_out)]
        rate = 0.0025 * (1 + np.cos(np.pi * step / steps))
        for w, g, m, v in zip(weights, gradients, first, second, strict=True):
            m += 0.1 * (g - m)
            v += 0.01 * (g * g - v)
            w -= rate * (m / (1 - 0.9**step) / (np.sqrt(v / (1 - 0.99**step)) + 1e-8) + 0.01 * w)
    return lambda q: layers(q)[2][..., 0].mean(axis=0) * y.std() + y.mean()


def main() -> None:
    """Print one line per model."""
    default = Path(__file__).parent / "results" / "person_photos"
    space, genes, accuracy = load(Path(sys.argv[1]) if len(sys.argv) > 1 else default)

    def over(model: Fit, kinds: str) -> Callable[[np.ndarray], np.ndarray]:
        x = features(space, genes, kinds)

        def predict(train: np.ndarray) -> np.ndarray:
            scale = x[train].std(axis=0)
            scale[scale < 1e-9] = np.inf
            standard = (x - x[train].mean(axis=0)) / scale
            return model(standard[train], accuracy[train])(standard)

        return predict

    models = {
        "ridge, logarithms of MACs, parameters, side": over(ridge, "l"),
        "ridge, sizes": over(ridge, "s"),
        "ridge, values": over(ridge, "v"),
        "ridge, values and logarithms": over(ridge, "vl"),
        "ridge, values and sizes": over(ridge, "vs"),
        "ridge, sizes and products of pairs": over(ridge, "sp"),
        "Gaussian process, values and sizes": over(gaussian_process, "vs"),
        "six bagged networks, sizes": over(networks, "s"),
        "the predictor": lambda train: predictor.fit(space, genes[train], accuracy[train], 0).predict(genes)[0],
    }
    order = np.random.default_rng(0).permutation(len(accuracy))
    for name, predict in models.items():
        line = f"{name:<46}"
        for count in (len(order), FEW):
            found = np.empty(len(order))
            for k in range(FOLDS):
                train = np.random.default_rng([1, k]).permutation(np.setdiff1d(order, order[k::FOLDS]))[:count]
                found[order[k::FOLDS]] = predict(train)[order[k::FOLDS]]
            line += f"  {kendall_tau(found, accuracy):.3f} {np.abs(found - accuracy).mean():.4f}"
        print(line)


if __name__ == "__main__":
    main()
